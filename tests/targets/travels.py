"""What is sent to a device, file by file: ``python -m tests.targets.travels`` writes the list that a test holds it to."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

from targets.flash import packing

LIST = Path(__file__).with_suffix(".txt")


def listed() -> str:
    """The program of a release, then the tool that takes releases in: one file a line."""
    with zipfile.ZipFile(io.BytesIO(packing.tool_bytes())) as tool:
        names = sorted(f"program/{name}" for name in packing.program_files()) + sorted(f"tool/{name}" for name in tool.namelist())
    return "\n".join(names) + "\n"


if __name__ == "__main__":
    LIST.write_text(listed(), encoding="utf-8")
    sys.stdout.write(f"wrote {LIST}\n")
