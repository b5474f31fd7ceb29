"""How long a user waits before anything happens: ``edgeskel --help`` and ``import edgeskel`` beside a bare interpreter.

Each is a whole process, started in turns with ``python -c pass``; a figure is the ratio of the medians, so the machine's
own pace cancels out.

- ``help_over_python``: ``edgeskel --help``.
- ``import_over_python``: ``import edgeskel``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks._bench import interleave, main

ROUNDS, QUICK_ROUNDS = 100, 20


def measure(quick: bool) -> dict[str, Any]:
    """Start three processes in turns."""

    def run(*command: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True)

    times = interleave({"python": run("-c", "pass"), "help": run("-m", "edgeskel.cli.main", "--help"),
                        "import": run("-c", "import edgeskel")}, rounds=QUICK_ROUNDS if quick else ROUNDS)
    bare = median(times["python"])
    return {"help_over_python": round(median(times["help"]) / bare, 3),
            "import_over_python": round(median(times["import"]) / bare, 3),
            "python_ms": round(1e3 * bare, 1)}


if __name__ == "__main__":
    main("startup", measure)
