"""A release: everything that one version of a device runs, listed with digests in a signed ``release.json``.

    release.json, release.json.sig     what it is, SHA-256 of each file below, and the signature over that
    edgeskel-device                    the program that installs it
    bundle/                            the exported recogniser
    program/                           the service, plain Python
    packages/                          the engine for this Python, where the device has none
    files/                             what its source reads: a recording, the TOML of what is worn

Its name is the bundle's and the first digits of ``release.json``'s own SHA-256: the same content is the same release.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from edgeskel.errors import BundleError, DeviceError
from edgeskel.files import open_regular, read_regular
from edgeskel.printable import printable

__all__ = [
    "DESCRIPTOR",
    "DESCRIPTOR_LIMIT",
    "SCHEMA",
    "SIGNATURE",
    "SIGNATURE_LIMIT",
    "TOOL",
    "Release",
    "damage",
    "digest_of",
    "is_identity",
    "require_whole",
    "version",
]

SCHEMA = 1
DESCRIPTOR = "release.json"
SIGNATURE = "release.json.sig"
DESCRIPTOR_LIMIT, SIGNATURE_LIMIT = 4 << 20, 64 << 10
"""Bytes that they may have."""
TOOL = "edgeskel-device"
_AGAIN = "make the release again: edgeskel flash HOST BUNDLE"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# In one form, so that text is ordered as time is. [0-9], since \d takes the digits of every script.
_MOMENT = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+00:00")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
# As packages have it: 0.4.1, 0.4.1rc2, 0.4.1.dev3+g12ab.
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}[A-Za-z0-9]{0,16}([.+-][A-Za-z0-9]{1,40}){0,6}")


@dataclass(frozen=True)
class Release:
    """A release's descriptor, as read and checked; ``content`` is the very bytes that are signed."""

    content: bytes
    facts: Mapping[str, Any]
    files: Mapping[str, tuple[str, int]]
    """Path inside the release -> (SHA-256, bytes)."""

    @property
    def identity(self) -> str:
        return f"{self.facts['name']}-{hashlib.sha256(self.content).hexdigest()[:12]}"

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files.values())

    @property
    def age(self) -> dict[str, str]:
        """By what releases are ordered: when the bundle was made, and the version of the program."""
        return {"created": str(self.facts["created"]), "program": str(self.facts["program"])}

    @property
    def needs_network(self) -> bool:
        """Whether its source may open one; a recording and the golden inputs do not."""
        return not str(self.facts["settings"]["source"]).startswith(("golden:", "replay:"))

    @classmethod
    def read(cls, folder: Path) -> Release:
        """Of a folder that holds ``release.json``.

        Raises:
            BundleError: it is absent or makes no sense.
        """
        try:
            return cls.parse(read_regular(folder / DESCRIPTOR, DESCRIPTOR_LIMIT))
        except OSError as error:
            raise BundleError(
                f"{folder / DESCRIPTOR}: {error.strerror}", expected="a release", remedy=_AGAIN
            ) from error

    @classmethod
    def parse(cls, content: bytes) -> Release:
        """Check a descriptor's form. What it says is to be believed only once its signature is checked.

        Raises:
            BundleError: not a descriptor, of another schema, or with a path that leaves the release.
        """
        try:
            facts = json.loads(content)
            if facts["schema"] != SCHEMA:
                raise BundleError(
                    f"{DESCRIPTOR} has schema {facts['schema']!r}",
                    expected=f"schema {SCHEMA}",
                    remedy="update edgeskel on the older of the two machines",
                )
            files = {str(name): (entry["sha256"], entry["bytes"]) for name, entry in facts["files"].items()}
            for name, (digest, size) in files.items():
                _check_entry(name, digest, size)
            for key in ("created", "program", "target", "bundle", "machine", "python"):
                if not isinstance(facts[key], str):
                    raise TypeError(f"{key} is {facts[key]!r}")
            if facts["created"] and not _is_moment(facts["created"]):
                raise ValueError(f"created {facts['created']!r}, expected a moment in UTC")
            if not _VERSION.fullmatch(facts["program"]):
                raise ValueError(f"program {facts['program']!r}, expected a version such as 1.2.3")
            if not _NAME.fullmatch(facts["name"]):
                raise ValueError(f"name {facts['name']!r}")
            if not isinstance(facts["settings"]["source"], str):
                raise TypeError(f"source {facts['settings']['source']!r}")
        except BundleError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BundleError(
                f"{DESCRIPTOR} is malformed ({type(error).__name__}: {printable(str(error), 300)})",
                expected="what flash writes",
                remedy=_AGAIN,
            ) from error
        if TOOL not in files or "bundle/manifest.json" not in files:
            raise BundleError(f"{DESCRIPTOR} lists no {TOOL} or no bundle", expected="both", remedy=_AGAIN)
        return cls(content, facts, files)


def _check_entry(name: str, digest: Any, size: Any) -> None:
    place = PurePosixPath(name)
    if (
        not name
        or place.is_absolute()
        or ".." in place.parts
        or "\\" in name
        or "\0" in name
        or place.as_posix() != name
    ):
        raise ValueError(f"file {name!r} lies outside the release")
    if name in (DESCRIPTOR, SIGNATURE):
        raise ValueError(f"{name} cannot list itself")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ValueError(f"digest of {name} is {digest!r}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"size of {name} is {size!r}")


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:  # a thirteenth month
        return False
    return _MOMENT.fullmatch(text) is not None


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version, to order it by: those before any letter, sign or other digit than 0 to 9."""
    numbers = re.match(r"[0-9.]*", text)
    return tuple(int(part[:18]) for part in (numbers[0] if numbers else "").split(".") if part)


def is_identity(name: object) -> bool:
    """Whether a release can have this name: never one that leads to another folder."""
    return isinstance(name, str) and _IDENTITY.fullmatch(name) is not None


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal. Raises ``OSError`` where it is no file, a link included."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def damage(folder: Path, identity: str) -> str | None:
    """What is wrong with an installed release; None when every byte is as it was signed."""
    try:
        release = Release.read(folder)
    except BundleError as error:
        return error.seen
    if release.identity != identity:
        return f"{DESCRIPTOR} was altered"
    for name, (digest, size) in release.files.items():
        try:
            if (folder / name).lstat().st_size != size or digest_of(folder / name) != digest:
                return f"{name} was altered"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


def require_whole(folder: Path, identity: str) -> Release:
    """The release in ``folder``, every digest checked.

    Raises:
        DeviceError: damaged or absent.
    """
    if not folder.exists():
        raise DeviceError(
            f"release {identity} is not here",
            expected="one that was taken in, and that no other flash has replaced since",
            remedy="flash it again, when no other flash goes on",
        )
    why = damage(folder, identity)
    if why is not None:
        raise DeviceError(
            f"release {identity} is not whole: {why}", expected="every file as it was signed", remedy="flash it again"
        )
    return Release.read(folder)
