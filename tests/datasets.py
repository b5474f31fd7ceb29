"""Where the real recordings are, for tests and benchmarks that cannot do without them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["datasets"]

ROOT = Path(__file__).parent.parent


def datasets() -> Path:
    """The folder of recordings: ``EDGESKEL_DATASETS``, or ``shared/datasets`` beside the repository."""
    folder = Path(os.environ.get("EDGESKEL_DATASETS", ROOT.parent / "shared" / "datasets"))
    if not folder.is_dir():
        sys.exit(f"no recordings in {folder}: set EDGESKEL_DATASETS to the folder that holds utd-mhad, nw-ucla, ...")
    return folder
