"""How much of each package's public interface has types that every checker understands alike: at least 98 %.

``python -m tests.verifytypes`` asks basedpyright (``--verifytypes``), package by package; ``make lint`` runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("edgeskel", "export", "firmware_bridge", "targets")
LEAST = 0.98


def completeness(package: str) -> tuple[float, list[str]]:
    """The share of public symbols whose type is known, and what is said of the others."""
    folder = Path(sys.executable).parent  # of this environment, not of where a link leads
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}",
                   "VIRTUAL_ENV": str(folder.parent)}
    command = [sys.executable, "-m", "basedpyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        sys.exit(done.stdout + done.stderr)
    remarks = [f"{symbol['name']}: {remark['message'].splitlines()[0]}" for symbol in found["symbols"]
               for remark in symbol["diagnostics"] if symbol["isExported"] and remark["severity"] == "error"]
    return found["completenessScore"], remarks


def main() -> int:
    """Print the share of each package; 1 if one is below the least."""
    low = 0
    for package in PACKAGES:
        share, remarks = completeness(package)
        print(f"{package}: {share:.1%} of the public symbols have a known type")
        if share < LEAST:
            low += 1
            print(f"  expected at least {LEAST:.0%}:", *remarks, sep="\n  ")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
