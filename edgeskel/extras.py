"""Which optional package comes with which extra: read from the installed metadata, so there is one list."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module, metadata
from types import ModuleType

from edgeskel.errors import MissingExtra

__all__ = ["missing_extra", "require", "wanted"]

# Import name -> distribution, where they differ.
_DISTRIBUTIONS = {"PIL": "pillow", "serial": "pyserial", "sklearn": "scikit-learn"}

_REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)(?P<bounds>[^;]*)(?:;.*?extra\s*==\s*['\"](?P<extra>[\w-]+)['\"])?")


@lru_cache(maxsize=1)
def wanted() -> dict[str, dict[str, str]]:
    """Extra -> {distribution: version bounds}; the base install stands under "" ."""
    found: dict[str, dict[str, str]] = {}
    for line in metadata.requires("edgeskel") or ():
        match = _REQUIREMENT.match(line)
        if match is None or match["name"] == "edgeskel" or not _applies(line):
            continue
        found.setdefault(match["extra"] or "", {})[match["name"].lower()] = match["bounds"].strip()
    return found


def require(module: str, purpose: str, extra: str = "") -> ModuleType:
    """Import an optional package.

    Args:
        module: its import name, e.g. ``"matplotlib.pyplot"``.
        purpose: what needs it, as the start of the message: ``"drawing a skeleton strip"``.
        extra: the one to install, where several bring the package; otherwise the first that does.

    Raises:
        MissingExtra: it is not installed; the message is the pip command.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        explained = missing_extra(error, purpose, extra)
        if explained is None:
            raise
        raise explained from error


def missing_extra(error: ModuleNotFoundError, purpose: str, wished: str = "") -> MissingExtra | None:
    """``error`` as the extra to install (``wished`` where given), or None if no extra brings that module."""
    root = (error.name or "").partition(".")[0]
    distribution = _DISTRIBUTIONS.get(root, root).lower()
    for extra, packages in wanted().items():
        if extra and distribution in packages:
            return MissingExtra(root, wished or extra, purpose)
    return None


def _applies(line: str) -> bool:
    """Whether the environment marker of a requirement holds here (the extra aside)."""
    import sys

    bound = re.search(r"python_version\s*<\s*['\"](\d+)\.(\d+)['\"]", line)
    if bound and sys.version_info[:2] >= (int(bound[1]), int(bound[2])):
        return False
    return not ("sys_platform != 'win32'" in line.replace('"', "'") and sys.platform == "win32")
