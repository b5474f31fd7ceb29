"""What a device is planned with: one TOML file each, which may extend another.

A profile says which artifacts a device gets, which packages run them, and the facts that a plan needs. A file::

    extends = "jetson-orin-nano"        # what is not given here is taken from there; notes add to its notes
    purpose = "Kiosk of hall 3"
    artifacts = ["onnx-fp16", "onnx-fp32"]
    memory_gb = [8]
    releases = ["jetpack-6"]

The file's name is the profile's name. Version tables found in the world disagree, so a profile only plans: a probe on
the device decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any

from edgeskel.errors import CorruptFile, UnknownChoice
from edgeskel.extras import wanted
from export.artifact_kinds import KINDS, OLDEST_TENSORRT, PROGRAMS

__all__ = ["Profile", "SystemRelease", "parse"]


@dataclass(frozen=True)
class SystemRelease:
    """One version of a device's system software; "" is what we do not know."""

    name: str
    system: str
    """As its maker calls it."""
    l4t: str = ""
    cuda: str = ""
    tensorrt: str = ""
    python: str = ""
    source: str = ""
    """Where these versions were read."""


@dataclass(frozen=True)
class Profile:
    """One device, or one kind of device where nothing is extended.

    Args:
        name: as in ``edgeskel export --target NAME``.
        target: the kind of device, for the manifest: the name of the profile at the root.
        purpose: one line for a person.
        artifacts: what is exported, by the names of ``export.artifact_kinds.KINDS``, the preferred one first.
        extra: the extra of edgeskel that the exporting machine needs.
        packages: what the device needs: package -> how it gets there.
        programs: programs of ours that travel in the bundle.
        notes: what its user should know.
        architecture: of the processor, as the device calls it.
        memory_gb: sizes it is sold with.
        compute_capability: of the GPU, such as ``"8.7"``.
        power_modes: by name.
        releases: names of the system releases that run on it.
        known: every release that this profile or those it extends describe.
        sources: where the facts were read.
    """

    name: str
    target: str
    purpose: str
    artifacts: tuple[str, ...]
    extra: str
    packages: Mapping[str, str] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    architecture: str = ""
    memory_gb: tuple[float, ...] = ()
    compute_capability: str = ""
    power_modes: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    known: Mapping[str, SystemRelease] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    @property
    def systems(self) -> tuple[SystemRelease, ...]:
        """The releases that run on it."""
        return tuple(self.known[name] for name in self.releases)

    @property
    def tensorrt(self) -> tuple[int, int] | None:
        """Major and minor version of the oldest TensorRT among its releases, which must take what is exported; None where it
        has none. Where no release says a version, it is the oldest that ``build_engine.py`` serves, if that travels along."""
        matches = (re.match(r"(\d+)\.(\d+)", release.tensorrt) for release in self.systems)
        found = [(int(match[1]), int(match[2])) for match in matches if match]
        if found:
            return min(found)
        return OLDEST_TENSORRT if "build_engine.py" in self.programs else None


_TEXT = ("purpose", "extra", "architecture", "compute_capability")
_LISTS = ("artifacts", "programs", "notes", "power_modes", "releases", "sources")
_FIELDS = (*_TEXT, *_LISTS, "extends", "packages", "memory_gb", "release")
_NEEDED = ("purpose", "artifacts", "extra")


def parse(data: Mapping[str, Any], name: str, origin: object, get: Callable[[str], Profile]) -> Profile:
    """A profile from what its file holds.

    Args:
        data: the file's content.
        name: of the profile.
        origin: the file, for error messages.
        get: finds the profile that this one extends.

    Raises:
        CorruptFile: a field is unknown, missing or of the wrong type.
        UnknownChoice: an artifact, program, extra, release or extended profile that there is not.
    """
    for key in data:
        if key not in _FIELDS:
            near = get_close_matches(key, _FIELDS, n=1)
            raise CorruptFile(origin, f"field {key!r} = {data[key]!r}", expected="fields " + ", ".join(_FIELDS),
                              remedy=f"did you mean {near[0]!r}?" if near else "")
    values: dict[str, Any] = {key: _text(data[key], key, origin) for key in _TEXT if key in data}
    values |= {key: _texts(data[key], key, origin) for key in _LISTS if key in data}
    if "packages" in data:
        values["packages"] = {package: _text(how, f"packages.{package}", origin)
                              for package, how in _table(data["packages"], "packages", origin).items()}
    if "memory_gb" in data:
        values["memory_gb"] = _sizes(data["memory_gb"], origin)
    known = {release: _release(release, table, origin)
             for release, table in _table(data.get("release", {}), "release", origin).items()}
    if "extends" in data:
        base = get(_text(data["extends"], "extends", origin))
        values["notes"] = base.notes + values.get("notes", ())
        profile = replace(base, name=name, known={**base.known, **known}, **values)
    else:
        for key in _NEEDED:
            if not values.get(key):
                raise CorruptFile(origin, f"no field {key!r}",
                                  expected='it, or extends = "PROFILE" to take it from another profile')
        profile = Profile(name=name, target=name, known=known, **values)
    _check(profile, origin)
    return profile


def _check(profile: Profile, origin: object) -> None:
    extras = ("all", *sorted(wanted()))
    for what, seen, choices in (("artifact", profile.artifacts, KINDS), ("program", profile.programs, PROGRAMS),
                                ("extra", (profile.extra,), extras), ("release", profile.releases, profile.known)):
        for one in seen:
            if one not in choices:
                raise UnknownChoice(f"{what} in {origin}:", one, choices)


def _text(value: object, key: str, origin: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\n" in value:
        raise CorruptFile(origin, f"field {key!r} = {value!r}", expected="one line of text")
    return value


def _texts(value: object, key: str, origin: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise CorruptFile(origin, f"field {key!r} = {value!r}", expected="a list of texts")
    if len(set(value)) != len(value):
        raise CorruptFile(origin, f"field {key!r} = {value!r}", expected="each of them once")
    return tuple(value)


def _sizes(value: object, origin: object) -> tuple[float, ...]:
    if not isinstance(value, list) or not value or any(
            isinstance(size, bool) or not isinstance(size, (int, float)) or not 0 < size < 1e6 for size in value):
        raise CorruptFile(origin, f"field 'memory_gb' = {value!r}", expected="a list of gigabytes, such as [4, 8]")
    return tuple(value)


def _table(value: object, key: str, origin: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CorruptFile(origin, f"field {key!r} = {value!r}", expected=f"a table, [{key}]")
    return value


def _release(name: str, table: object, origin: object) -> SystemRelease:
    place = f"release.{name}"
    known = [item.name for item in fields(SystemRelease) if item.name != "name"]
    values = {}
    for key, value in _table(table, place, origin).items():
        if key not in known:
            raise CorruptFile(origin, f"field '{place}.{key}' = {value!r}", expected="fields " + ", ".join(known))
        values[key] = _text(value, f"{place}.{key}", origin)
    if "system" not in values:
        raise CorruptFile(origin, f"no field '{place}.system'", expected="the release's name, as its maker gives it")
    return SystemRelease(name, **values)
