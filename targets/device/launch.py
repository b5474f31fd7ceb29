"""Runs ``edgeskel-device`` once it is sure that nobody else could have changed it.

The check is not part of what it checks: it is sent along by the workstation, and stands in the systemd units, which belong to
root. ``-S`` keeps the packages that lie about out of it: the program needs the standard library only.
"""

from __future__ import annotations

import ast
from functools import cache

from targets.device import ownership

__all__ = ["checked", "command", "source"]

_RUN = """
import json, runpy, sys
sys.argv = sys.argv[1:]
why = None
if ROOT:
    try:
        why = untrusted(sys.argv[0], os.getuid(), root=ROOT)
    except PermissionError:
        pass
why = why or untrusted(sys.argv[0], os.getuid(), sticky=True)
if why:
    owner = "root" if os.getuid() == 0 else "root or this user"
    print(json.dumps({"error": {"seen": why + ", so nothing there is run", "expected": EXPECTED % owner, "remedy": REMEDY}}))
    sys.exit(1)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@cache
def source() -> str:
    """``targets.device.ownership`` without its comments, as text that runs by itself."""
    loader = ownership.__spec__ and ownership.__spec__.loader
    text = loader.get_source(ownership.__name__) if loader else None  # type: ignore[attr-defined]
    tree = ast.parse(text or "")
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.unparse(tree) + "\n"


@cache
def checked(root: str = "") -> str:
    """For ``python3 -c``: runs the program that is its first argument, unless somebody else could have changed it.

    Args:
        root: where the system's own file system is found, for a caller that has another one; the way to the program is asked
            there too, since in the caller's own every folder above a bound one is made anew.
    """
    return f"{source()}ROOT = {root!r}\n{_RUN}"


def command(python: str, tool: str, *arguments: str, root: str = "") -> list[str]:
    """The command line of one verb; ``root`` as for :func:`checked`."""
    return [python, "-I", "-S", "-B", "-c", checked(root), tool, *arguments]
