"""A device that was flashed, and the probe of one that was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeskel.errors import DeviceError
from targets.device import launch, probe
from targets.flash.remote import Connection

__all__ = ["Device", "probe_device"]

_IMPORT = "from targets.device.ownership import untrusted\n"


class Device:
    """An installed device, for the verbs that only ask or tell it something.

    Args:
        connection: open.
        prefix: where to look; None looks at both usual places.
    """

    def __init__(self, connection: Connection, prefix: str | None = None) -> None:
        self.connection = connection
        self.facts: dict[str, Any] = probe_device(connection, prefix, "places")
        usual = [self.facts["prefixes"]["system"], self.facts["prefixes"]["user"]]
        places = [
            place for place in ([prefix] if prefix else usual) if self.facts["places"].get(place, {}).get("install")
        ]
        if not places:
            raise DeviceError(
                f"no edgeskel is installed on {connection.host}" + (f" under {prefix}" if prefix else ""),
                expected=f"an install under {prefix or ' or '.join(usual)}",
                remedy="flash it: edgeskel flash HOST BUNDLE",
            )
        self.prefix: str | Any = places[0]
        install = self.facts["places"][self.prefix]["install"]
        connection.sudo = install["scope"] == "system" and self.facts["uid"] != 0
        if connection.sudo and not self.facts["sudo"]:
            raise DeviceError(
                f"{connection.host}: {self.prefix} belongs to root, and sudo asks for a password",
                expected="root",
                remedy="log in as root, or allow sudo -n for this user",
            )

    def call(self, verb: str, *arguments: str, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
        """One verb of the installed program."""
        tool = f"{self.prefix}/bin/edgeskel-device"
        if not self.facts["places"][self.prefix]["tool"]:
            raise DeviceError(
                f"{self.connection.host}: no release was ever switched to under {self.prefix}",
                expected="a flashed device",
                remedy="flash it: edgeskel flash HOST BUNDLE",
            )
        command = launch.command(self.facts["executable"], tool, verb, *arguments, "--prefix", self.prefix)
        return self.connection.call(command, say=say)


def probe_device(connection: Connection, prefix: str | None, part: str = "all") -> dict[str, Any]:
    """Send the probe through the connection, without a file on the device; ``part`` is ``all`` or ``places``."""
    # As one text: the probe's only import of ours goes ahead of it.
    source = launch.source() + Path(probe.__file__).read_text("utf-8").replace(_IMPORT, "")
    done = connection.run(["python3", "-I", "-B", "-", prefix or "", part], stdin=source.encode(), check=False)
    for line in reversed(done.stdout.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "machine" in found:
            return found
    said = " ".join(done.stderr.decode(errors="replace").split())[-300:]
    if done.returncode == 127 or "not found" in said:
        raise DeviceError(
            f"{connection.host} has no python3",
            expected="Python 3.10 or newer",
            remedy="sudo apt install python3 python3-numpy",
        )
    raise DeviceError(
        f"{connection.host}: the probe gave no answer: {said}",
        expected="facts about the device",
        remedy="does a shell there work? ssh HOST python3 -V",
    )
