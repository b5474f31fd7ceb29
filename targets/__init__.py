"""Kinds of device and devices, found by name: one TOML file each in ``profiles/``, and the user's own beside them.

    targets.get("jetson")                # a kind of device
    targets.get("jetson-orin-nano")      # a device
    targets.get("kiosk.toml")            # a user's, by its file; files in the user's folder are found by name

``edgeskel targets``, ``edgeskel export --target`` and docs/targets.md all read this table.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from edgeskel.errors import CorruptFile, UnknownChoice
from edgeskel.topologies import read_toml
from targets.profile import Profile, SystemRelease, parse

__all__ = ["Profile", "SystemRelease", "built_in", "get", "names", "user_folder"]

_DEPTH = 8
"""So many profiles may extend one another; more is a circle."""


def built_in() -> tuple[str, ...]:
    """Names of the profiles that ship with the package, sorted."""
    files = (entry.name for entry in resources.files(__name__).joinpath("profiles").iterdir())
    return tuple(sorted(file.removesuffix(".toml") for file in files if file.endswith(".toml")))


def user_folder() -> Path:
    """Where a user's own profiles are looked for by name."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edgeskel" / "targets"


def names() -> tuple[str, ...]:
    """Every profile's name, sorted.

    Raises:
        CorruptFile: a file of the user's takes the name of a built-in profile.
    """
    ours = built_in()
    theirs = []
    for path in sorted(user_folder().glob("*.toml")):
        if path.stem in ours:
            raise CorruptFile(path, f"{path.stem!r} is the name of a built-in profile", expected="a name of its own",
                              remedy=f'rename the file; extends = "{path.stem}" takes over what that profile says')
        theirs.append(path.stem)
    return tuple(sorted((*ours, *theirs)))


def get(name: str) -> Profile:
    """The profile ``name``, or a user's own where ``name`` is the path of a ``.toml`` file.

    Raises:
        UnknownChoice: no such profile, or it asks for an artifact, extra or release that there is not.
        CorruptFile: a file is absent or not TOML, or a field of it is wrong; the message names file, field and value.
    """
    return _get(name, ())


def _get(name: str, through: tuple[Path, ...]) -> Profile:
    path = _file(name)
    if path in through or len(through) > _DEPTH:
        chain = " -> ".join(step.stem for step in (*through, path))
        raise CorruptFile(through[-1], f"field 'extends' = {name!r} goes in a circle: {chain}",
                          expected="a profile that ends somewhere")
    return parse(read_toml(path), path.stem, path, lambda base: _get(base, (*through, path)))


def _file(name: str) -> Path:
    if name.endswith(".toml"):
        return Path(name)
    if name in built_in():
        return Path(str(resources.files(__name__).joinpath("profiles", f"{name}.toml")))
    if name in names():
        return user_folder() / f"{name}.toml"
    raise UnknownChoice("target", name, names())
