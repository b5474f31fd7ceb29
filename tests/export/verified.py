"""Prints as JSON what ``verify`` says of a bundle without torch and ExecuTorch; for a processor that is emulated."""

from __future__ import annotations

import json
import sys
from pathlib import Path

for _package in ("torch", "executorch"):
    sys.modules[_package] = None  # type: ignore[assignment]  # slow to import there, and not what is asked

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from edgeskel.runtime.bundle import Bundle  # noqa: E402
from export.verify import as_rows, verify  # noqa: E402

_bundles = [Bundle.open(folder) for folder in sys.argv[1:]]
print(json.dumps([as_rows(verify(bundle, threads=1)[0]) for bundle in _bundles]))
