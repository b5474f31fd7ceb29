"""Every error edgeskel raises on purpose.

    EdgeskelError                 what was seen, what was expected, what to do next
    ├── UsageError                the command line or a configuration is wrong (exit status 2)
    │   ├── UnknownChoice         a name that is not in a registry; the message lists the valid ones
    │   └── MissingExtra          an optional package is not installed; the message is the pip command
    ├── DataError                 recordings, stores, splits
    │   ├── CorruptFile           a file cannot be read as what it claims to be
    │   ├── InvalidClip           a clip breaks the contract (shape, non-finite joints, no frames)
    │   └── TopologyMismatch      joints of one layout where another is needed
    ├── ModelError                checkpoints and recognisers
    │   └── LabelMismatch         class lists differ
    ├── ExportError               an artifact cannot be made, or a target cannot run it
    ├── BundleError               a bundle is incomplete, altered or of another schema
    ├── EngineError               no engine here runs this artifact, or one failed while running it
    ├── VerificationFailed        an engine disagrees with the reference
    └── DeviceError               a wearable, camera or port is absent, refused, busy or silent

Each carries ``seen``, ``expected`` and ``remedy``; the command line prints the three and exits 1 (2 for UsageError).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "BundleError",
    "CorruptFile",
    "DataError",
    "DeviceError",
    "EdgeskelError",
    "EngineError",
    "ExportError",
    "InvalidClip",
    "LabelMismatch",
    "MissingExtra",
    "ModelError",
    "TopologyMismatch",
    "UnknownChoice",
    "UsageError",
    "VerificationFailed",
]


class EdgeskelError(Exception):
    """Base of the tree.

    Args:
        seen: what was found, with the file, field or value by name.
        expected: what would have been right.
        remedy: the next thing the user should do.
    """

    exit_status = 1

    def __init__(self, seen: str, *, expected: str = "", remedy: str = "") -> None:
        self.seen = seen
        self.expected = expected
        self.remedy = remedy
        parts = [seen]
        if expected:
            parts.append(f"expected {expected}")
        if remedy:
            parts.append(remedy)
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries (data workers, data-parallel ranks); keyword-only fields need help.
        return (_rebuild, (type(self), self.__dict__.copy(), self.args))


def _rebuild(kind: type[EdgeskelError], fields: dict[str, object], args: tuple[object, ...]) -> EdgeskelError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class UsageError(EdgeskelError):
    """The command line or a configuration is wrong."""

    exit_status = 2


class UnknownChoice(UsageError):
    """``name`` is not one of ``choices``; the message lists them and names the nearest."""

    def __init__(self, kind: str, name: str, choices: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        self.choices: tuple[str, ...] = tuple(sorted(choices))
        near = get_close_matches(name, self.choices, n=1)
        super().__init__(
            f"unknown {kind} {name!r}",
            expected="one of " + ", ".join(self.choices),
            remedy=f"did you mean {near[0]!r}?" if near else "",
        )


class MissingExtra(UsageError):
    """``package`` is needed for ``purpose`` and comes with the extra ``extra``.

    Args:
        package: what is missing.
        extra: the extra that brings it; "" for what every install has.
        purpose: what needs it, as the start of the message.
        enough: the requirement that is enough by itself, such as ``scipy>=1.11``, where the extra brings much more.
        instead: how to do without.
    """

    def __init__(self, package: str, extra: str, purpose: str, *, enough: str = "", instead: str = "") -> None:
        self.package = package
        self.extra = extra
        commands = [f"pip install '{enough}'"] if enough else []
        commands += [f"pip install 'edgeskel[{extra}]'"] if extra else []
        remedy = f"run: {commands[0]}" + (f" (with everything for such work: {commands[1]})" if commands[1:] else "")
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed",
                         remedy=f"{instead}; or {remedy}" if instead else remedy)


class DataError(EdgeskelError):
    """Recordings, stores and splits."""


class CorruptFile(DataError):
    """A file cannot be read as what it claims to be."""

    def __init__(self, path: object, seen: str, *, expected: str = "", remedy: str = "") -> None:
        self.path = path
        super().__init__(f"{path}: {seen}", expected=expected, remedy=remedy)


class InvalidClip(DataError):
    """A clip breaks the contract: shape, non-finite joints, no frames."""


class TopologyMismatch(DataError):
    """Joints of one layout where another is needed."""


class ModelError(EdgeskelError):
    """Checkpoints and recognisers."""


class LabelMismatch(ModelError):
    """Class lists differ."""


class ExportError(EdgeskelError):
    """An artifact cannot be made, or a target cannot run it."""


class BundleError(EdgeskelError):
    """A bundle is incomplete, altered or of another schema."""


class EngineError(EdgeskelError):
    """No engine here runs this artifact, or one failed while running it."""


class VerificationFailed(EdgeskelError):
    """An engine disagrees with the reference."""


class DeviceError(EdgeskelError):
    """A wearable, camera or port is absent, refused, busy or silent; the message says which and what to do."""
