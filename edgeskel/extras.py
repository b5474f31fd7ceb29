"""Which optional package comes with which extra: read from the installed metadata, so there is one list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module, metadata
from types import ModuleType

from edgeskel.errors import MissingExtra

__all__ = ["missing_extra", "needed", "require", "wanted"]

# Import name -> distribution, where they differ.
_DISTRIBUTIONS = {"PIL": "pillow", "serial": "pyserial", "sklearn": "scikit-learn"}

_LARGE = "torch"
"""What makes an extra large: a package of it that does without is enough by itself."""
_NEED_LARGE = ("torch", "lightning", "torchmetrics", "torchao", "executorch", "onnxscript")

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
    with needed(purpose, extra):
        return import_module(module)


@contextmanager
def needed(purpose: str, extra: str = "", *, instead: str = "") -> Iterator[None]:
    """Explain what is missing of what is imported inside the block.

    Args:
        purpose: what needs it, as the start of the message.
        extra: as for :func:`require`.
        instead: how to do without.

    Raises:
        MissingExtra: a package that an extra brings is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        explained = missing_extra(error, purpose, extra, instead)
        if explained is None:
            raise
        raise explained from error


def missing_extra(error: ModuleNotFoundError, purpose: str, wished: str = "", instead: str = "") -> MissingExtra | None:
    """``error`` as what is to be installed: the extra (``wished`` where given), or the package alone where that is enough.

    Returns:
        None if neither the base install nor an extra brings that module.
    """
    root = (error.name or "").partition(".")[0]
    distribution = _DISTRIBUTIONS.get(root, root).lower()
    bringing = {extra: packages for extra, packages in wanted().items() if distribution in packages}
    if not bringing:
        return None
    if "" in bringing:  # an install without dependencies, as beside JetPack's own numpy, lacks what every install has
        return MissingExtra(root, "", purpose, enough=distribution + bringing[""][distribution])
    extra = wished or next(iter(bringing))
    small = _LARGE in wanted().get(extra, {}) and distribution not in _NEED_LARGE
    enough = distribution + next(iter(bringing.values()))[distribution] if small else ""
    return MissingExtra(root, extra, purpose, enough=enough, instead=instead)


def _applies(line: str) -> bool:
    """Whether the environment marker of a requirement holds here (the extra aside)."""
    import sys

    bound = re.search(r"python_version\s*<\s*['\"](\d+)\.(\d+)['\"]", line)
    if bound and sys.version_info[:2] >= (int(bound[1]), int(bound[2])):
        return False
    return not ("sys_platform != 'win32'" in line.replace('"', "'") and sys.platform == "win32")
