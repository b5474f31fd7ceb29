"""``edgeskel keys``: the keys that sign releases, and the devices that trust them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from edgeskel.cli.flash import Host, device
from edgeskel.cli.report import Command, Report

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMANDS"]


@dataclass(frozen=True)
class CreateKey:
    """Make an Ed25519 key that signs releases."""

    path: tyro.conf.Positional[Path | None] = None
    """Where; the public key goes beside it as PATH.pub. By default your release key."""


@dataclass(frozen=True)
class ShowKey:
    """The public key, and its fingerprint."""

    path: tyro.conf.Positional[Path | None] = None
    """A private or public key. By default your release key."""


@dataclass(frozen=True)
class TrustKey:
    """Have a device take releases of another key, too."""

    host: tyro.conf.Positional[str]
    """The device as ssh takes it."""
    key: tyro.conf.Positional[Path]
    """The public key."""
    prefix: str | None = None
    """Where on the device. By default wherever it was flashed."""
    ssh_config: Path | None = None
    """Another SSH configuration than your own."""


@dataclass(frozen=True)
class ListKeys(Host):
    """Keys whose releases a device takes."""


@dataclass(frozen=True)
class RevokeKey:
    """Have a device take a key's releases no longer; what runs goes on."""

    host: tyro.conf.Positional[str]
    """The device as ssh takes it."""
    fingerprint: tyro.conf.Positional[str]
    """SHA256:... as edgeskel keys list prints it."""
    prefix: str | None = None
    """Where on the device. By default wherever it was flashed."""
    ssh_config: Path | None = None
    """Another SSH configuration than your own."""


def create(config: CreateKey) -> Report:
    """Make it; an existing one is never replaced."""
    from targets.flash import signing

    path = config.path or signing.default_path()
    key = signing.create(path)
    return Report({"path": str(path), "public": key.public, "fingerprint": key.fingerprint})


def show(config: ShowKey) -> Report:
    """Read it."""
    from targets.device.trust import fingerprint
    from targets.flash import signing

    path = config.path or signing.default_path()
    public = signing.public_line(path)
    return Report({"path": str(path), "public": public, "fingerprint": fingerprint(public)})


def trust(config: TrustKey) -> Report:
    """Tell the device."""
    from targets.flash import signing

    return _trusted(config, "--add", signing.public_line(config.key))


def list_keys(config: ListKeys) -> Report:
    """Ask the device."""
    return _trusted(config)


def revoke(config: RevokeKey) -> Report:
    """Tell the device."""
    return _trusted(config, "--remove", config.fingerprint)


def _trusted(config: Any, *arguments: str) -> Report:
    with device(config) as asked:
        answer = asked.call("trust", *arguments)
    keys: dict[str, str] = answer["trusted"]
    damaged: list[str] = answer.get("damaged", [])  # earlier programs on a device do not say

    def draw(out: Console) -> None:
        for mark, key in keys.items():
            out.print(
                f"{mark}  {key.partition(' ')[2].partition(' ')[2]}", soft_wrap=True
            )

        for complaint in damaged:
            out.print(f"damaged: {complaint}", soft_wrap=True)

    return Report({"host": config.host, "trusted": keys, "damaged": damaged}, draw)


COMMANDS = {
    "create": Command(CreateKey, create),
    "show": Command(ShowKey, show),
    "trust": Command(TrustKey, trust),
    "list": Command(ListKeys, list_keys),
    "revoke": Command(RevokeKey, revoke),
}
