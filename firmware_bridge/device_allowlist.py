"""Which devices may speak: only those that somebody has enrolled reach a recogniser.

Radio and network are open to everybody in reach: a neighbour's sensor of the same model, or a packet from any host. A
device is therefore known by an identity that it keeps, and the identity is written down once, by hand:

    ble:AA:BB:CC:DD:EE:FF     the address of a BLE device (on macOS the system's UUID for it)
    serial:NUMBER             the serial number of the USB port, or the one that the device itself reports
    udp:HOST or udp:HOST:PORT the sender of datagrams

This is a list of names, not cryptography: an address can be forged. Where a device can bond, ask for it
(``ble:NAME?pair=1``); where the network is not yours, keep UDP on loopback and tunnel it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from edgeskel.errors import CorruptFile, UsageError
from edgeskel.files import atomic_write

__all__ = ["DeviceAllowlist", "default_path", "identity_of"]

KINDS = ("ble", "serial", "udp")
VERSION = 1


def default_path() -> Path:
    """Where the user's list is kept: ``edgeskel/devices.json`` under ``$XDG_CONFIG_HOME`` (``~/.config``)."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edgeskel" / "devices.json"


def identity_of(text: str) -> str:
    """``text`` in the one form in which identities are compared.

    Raises:
        UsageError: not ``KIND:WHAT`` with a kind that there is.
    """
    kind, colon, what = text.strip().partition(":")
    kind, what = kind.lower(), what.strip()
    if not colon or kind not in KINDS or not what:
        raise UsageError(f"{text!r} is not the identity of a device",
                         expected="ble:ADDRESS, serial:NUMBER or udp:HOST[:PORT]")
    return f"{kind}:{what.upper() if kind == 'ble' else what}"


class DeviceAllowlist:
    """The enrolled devices: identity -> name, kept in a small JSON file that is replaced as a whole.

    Args:
        path: the file; it need not exist yet. None keeps the list in memory only.

    Raises:
        CorruptFile: the file is not such a list; it is left as it is.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = Path(path) if path is not None else None
        self._names: dict[str, str] = {}
        if self._path is not None and self._path.exists():
            self._names = _read(self._path)

    @property
    def names(self) -> Mapping[str, str]:
        """Identity -> name, in the order of enrolment."""
        return MappingProxyType(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, identity: str, name: str = "") -> None:
        """Enrol a device, or give it another name; on the disk when this returns.

        Raises:
            UsageError: not an identity.
            OSError: the file cannot be written; nothing has changed.
        """
        self._replace({**self._names, identity_of(identity): name})

    def remove(self, identity: str) -> None:
        """Forget a device.

        Raises:
            UsageError: it is not enrolled; the message lists those that are.
            OSError: the file cannot be written; nothing has changed.
        """
        key = identity_of(identity)
        if key not in self._names:
            raise UsageError(f"{key} is not enrolled", expected="one of " + (", ".join(self._names) or "none so far"))
        self._replace({known: name for known, name in self._names.items() if known != key})

    def admits(self, identity: str) -> bool:
        """Whether a device is enrolled. A UDP host that is enrolled without a port may send from any port."""
        try:
            key = identity_of(identity)
        except UsageError:
            return False
        if key in self._names:
            return True
        return key.startswith("udp:") and key.rpartition(":")[0] in self._names

    def _replace(self, names: dict[str, str]) -> None:
        if self._path is not None:
            record = {"version": VERSION, "devices": [{"identity": i, "name": n} for i, n in names.items()]}
            with atomic_write(self._path) as file:
                file.write((json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())
        self._names = names


def _read(path: Path) -> dict[str, str]:
    expected = f'{{"version": {VERSION}, "devices": [{{"identity": "ble:...", "name": "..."}}]}}'
    remedy = "restore the file, or remove it and enrol the devices again"
    try:
        record = json.loads(path.read_bytes())
        if record["version"] != VERSION:
            raise CorruptFile(path, f"version {record['version']!r} of the list of enrolled devices", expected=str(VERSION),
                              remedy="use the release that wrote it")
        return {identity_of(str(device["identity"])): str(device["name"]) for device in record["devices"]}
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise CorruptFile(path, f"not a list of enrolled devices ({error})", expected=expected, remedy=remedy) from error
