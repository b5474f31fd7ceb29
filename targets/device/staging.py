"""Takes a release in: offered, received (from where it broke off), admitted. Nothing here touches what runs.

    offer     the signed descriptor alone: signature, age, form, disk; answers which files are missing
    receive   only files that an offered descriptor lists; each is kept once its digest is right
    admit     assembles ``releases/ID`` under a temporary name, every digest checked again, and renames it

A release shares no file with another one, so that a byte that turns on the disk hurts one of them only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from edgeskel.errors import BundleError, DeviceError
from edgeskel.files import atomic_folder, atomic_write, open_regular, read_regular
from targets.device import trust
from targets.device.layout import Layout
from targets.device.release import (
    DESCRIPTOR,
    SIGNATURE,
    SIGNATURE_LIMIT,
    TOOL,
    Release,
    damage,
    digest_of,
    is_identity,
    version,
)
from targets.device.state import State
from targets.device.switching import load

__all__ = ["admit", "is_older", "offer", "prune", "receive"]

_MARGIN = 32 << 20  # bytes that stay free


def offer(layout: Layout, content: bytes, signature: bytes, *, allow_older: bool = False) -> dict[str, Any]:
    """Judge a release by its descriptor.

    Returns:
        ``release`` (its name), ``key`` (who signed), ``whole`` (it is installed already) and ``missing``: a list of
        ``sha256``, ``bytes`` and ``have`` (bytes that came last time).

    Raises:
        DeviceError: signed by nobody whom this device trusts, older than what ran here, or there is no room for it.
        BundleError: not a release.
    """
    key = trust.check(layout.signers, content, signature)
    release = Release.parse(content)
    state = load(layout)
    if is_older(release, state) and not allow_older:
        raise DeviceError(
            f"{release.identity} is older than what ran here: its bundle was made {release.facts['created'] or 'at no date'}, "
            f"its program is {release.facts['program']}",
            expected=f"a bundle made {state.newest['created']} or later, program {state.newest['program']} or newer",
            remedy="add --allow-older if that is meant; edgeskel flash rollback HOST goes to the release before",
        )
    if damage(layout.release(release.identity), release.identity) is None:
        return {"release": release.identity, "key": key, "whole": True, "missing": []}
    place = layout.staging / release.identity
    for other in layout.staging.iterdir():
        if other.is_dir() and other != place:
            shutil.rmtree(other, ignore_errors=True)
    prune(layout, state)
    place.mkdir(parents=True, exist_ok=True)
    missing = _missing(layout, release, place)
    _check_room(layout, release, sum(item["bytes"] - item["have"] for item in missing))
    # The descriptor last: where it is, it was checked.
    for name, value in ((SIGNATURE, signature), (DESCRIPTOR, content)):
        with atomic_write(place / name) as file:
            file.write(value)
    return {"release": release.identity, "key": key, "whole": False, "missing": missing}


def is_older(release: Release, state: State) -> bool:
    """Whether its bundle or its program is older than the newest that was ever good here."""
    if not state.newest:
        return False
    return release.age["created"] < state.newest["created"] or version(release.age["program"]) < version(
        state.newest["program"]
    )


def _missing(layout: Layout, release: Release, place: Path) -> list[dict[str, Any]]:
    """Files that are neither staged nor part of an installed release."""
    wanted = {digest: size for digest, size in release.files.values()}
    at_hand = _installed(layout, set(wanted))
    missing = []
    for digest, size in sorted(wanted.items(), key=lambda item: item[1]):
        if (place / digest).is_file() or digest in at_hand:
            continue
        part = place / f"{digest}.part"
        have = part.stat().st_size if part.is_file() else 0
        missing.append({"sha256": digest, "bytes": size, "have": have if have <= size else 0})
    return missing


def _installed(layout: Layout, wanted: set[str]) -> dict[str, Path]:
    """Digest -> a file of an installed release that should have it; ``admit`` checks that it does."""
    found: dict[str, Path] = {}
    for folder in layout.releases.iterdir():
        try:
            release = Release.read(folder)
        except BundleError:
            continue
        for name, (digest, size) in release.files.items():
            path = folder / name
            if digest in wanted and digest not in found and path.is_file() and path.stat().st_size == size:
                found[digest] = path
    return found


def _check_room(layout: Layout, release: Release, upload: int) -> None:
    disk = os.statvfs(layout.prefix)
    free, needed = disk.f_bavail * disk.f_frsize, upload + release.size + _MARGIN
    if free < needed:
        raise DeviceError(
            f"{free / 1e6:.0f} MB are free under {layout.prefix}",
            expected=f"{needed / 1e6:.0f} MB for this release",
            remedy="free some space on the device, or install under another --prefix",
        )


def receive(layout: Layout, identity: str, stream: BinaryIO) -> dict[str, Any]:
    """Take files: for each a line of JSON (``sha256``, ``offset``), then its bytes from there to its end.

    What came before the stream broke off stays, and is gone on with next time.

    Raises:
        DeviceError: nothing was offered under that name, a file that was not, or bytes that are not what was signed.
        OSError: the disk is full.
    """
    place = layout.staging / identity
    offered = {digest: size for digest, size in _offered(place).files.values()}  # no fsync: admit digests them again
    taken = 0
    while line := stream.readline(4096):
        try:
            header = json.loads(line)
            digest, offset = header["sha256"], int(header["offset"])
            size = offered[digest]
        except (ValueError, KeyError, TypeError) as error:
            raise DeviceError(
                f"a file that was not offered ({line[:80]!r})", expected=f"one that {identity} lists"
            ) from error
        _receive_one(place, digest, offset, size, stream)
        taken += 1
    return {"received": taken}


def _offered(place: Path) -> Release:
    """What was offered under that name. Raises ``DeviceError`` where another offer has taken its place."""
    if not is_identity(place.name):
        raise DeviceError(f"{place.name!r} is no name of a release", expected="one that was offered")
    if not (place / DESCRIPTOR).is_file():
        raise DeviceError(
            f"{place.name} is not being taken in any more",
            expected="one flash of this device at a time: the last one that begins goes on",
            remedy="wait until the other one is done (edgeskel flash status HOST), then run the same command again",
        )
    return Release.read(place)


def _receive_one(place: Path, digest: str, offset: int, size: int, stream: BinaryIO) -> None:
    part = place / f"{digest}.part"
    have = part.stat().st_size if part.is_file() else 0
    if not 0 <= offset <= min(have, size):
        raise DeviceError(
            f"bytes of {digest[:12]} from {offset} on", expected=f"from {have} on", remedy="run flash again"
        )
    with part.open("r+b" if have else "wb") as file:
        file.truncate(offset)
        file.seek(offset)
        left = size - offset
        while left:
            block = stream.read(min(left, 1 << 20))
            if not block:
                file.flush()
                raise DeviceError(
                    f"the upload broke off {left} bytes before the end of a file",
                    remedy="run flash again: it goes on from here",
                )
            file.write(block)
            left -= len(block)
    if digest_of(part) != digest:
        part.unlink()
        raise DeviceError(
            f"a file has not the digest that was signed ({digest[:12]}…)",
            expected="the bytes as signed",
            remedy="run flash again; if it stays, the copy or the line is damaged",
        )
    part.replace(place / digest)


def admit(layout: Layout, identity: str) -> Path:
    """Make the offered release one of ``releases``: signature and every digest are checked on the bytes that stay.

    Raises:
        DeviceError: a file is missing or altered, or the key is not trusted any more.
    """
    target, place = layout.release(identity), layout.staging / identity
    if damage(target, identity) is None:
        shutil.rmtree(place, ignore_errors=True)
        return target
    release = _offered(place)
    trust.check(layout.signers, release.content, read_regular(place / SIGNATURE, SIGNATURE_LIMIT))
    if release.identity != identity:
        raise DeviceError(f"{place / DESCRIPTOR} is not the one of {identity}", remedy="run flash again")
    at_hand = _installed(layout, {digest for digest, _ in release.files.values()})
    if target.exists() and not (target / DESCRIPTOR).is_file():  # damaged beyond knowing what it was
        shutil.rmtree(target)
    with atomic_folder(target, marker=DESCRIPTOR) as folder:
        for name, (digest, _) in release.files.items():
            source = place / digest
            _copy(source if source.is_file() else at_hand.get(digest, source), folder / name, digest)
        (folder / TOOL).chmod(0o755)
        (folder / SIGNATURE).write_bytes(read_regular(place / SIGNATURE, SIGNATURE_LIMIT))
        (folder / DESCRIPTOR).write_bytes(release.content)  # the very bytes that were checked
    shutil.rmtree(place, ignore_errors=True)
    return target


def _copy(source: Path, target: Path, digest: str) -> None:
    """Copy and digest in one pass: what is written is what was digested."""
    target.parent.mkdir(parents=True, exist_ok=True)
    seen = hashlib.sha256()
    try:
        with open_regular(source) as reader, target.open("wb") as writer:
            while block := reader.read(1 << 20):
                seen.update(block)
                writer.write(block)
    except FileNotFoundError as error:
        raise DeviceError(
            f"{target.name} has not arrived", expected="every file of the release", remedy="run flash again"
        ) from error
    if seen.hexdigest() != digest:
        if source.name == digest:  # staged, so it can be sent again
            source.unlink(missing_ok=True)
        raise DeviceError(
            f"{source} is not what was signed", expected=f"SHA-256 {digest[:12]}…", remedy="run flash again"
        )


def prune(layout: Layout, state: State) -> None:
    """Remove releases that are neither current nor one to go back to, and half-made ones."""
    for folder in layout.releases.iterdir():
        if folder.name not in state.retained:
            shutil.rmtree(folder, ignore_errors=True)
    for choice in (layout.prefix / "choices").iterdir():
        if choice.stem not in state.retained:
            choice.unlink(missing_ok=True)
