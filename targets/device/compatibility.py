"""Can this device run this release? Answered from a probe's facts alone, before anything on the device changes.

The same answers on a workstation (over a connection) and on the device (from a stick).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edgeskel.errors import DeviceError
from edgeskel.printable import printable
from targets.device.ownership import EXPECTED, REMEDY

__all__ = ["MACHINES", "Requirements", "line", "prefix_of", "require", "scope_of"]

MACHINES = ("x86_64", "aarch64")
_CLOCK_S = 86400.0  # a day: time zones and drift are below, a clock without a battery is years beyond
_PREFIX = re.compile(r"(/[A-Za-z0-9._-]+)+")
_MEMORY_MB = 200.0  # the process takes under 150


@dataclass(frozen=True)
class Requirements:
    """What a release asks of a device.

    Args:
        target: of the bundle: host, jetson, android, ios.
        scope: system, user or none.
        prefix: where it is installed.
        machine, python: what its packages are built for; "" when it brings none.
        needed_mb: free disk.
        compiled: whether it brings packages with compiled parts.
        clock: seconds since 1970 at which the device's clock should stand; None when nobody knows.
    """

    target: str
    scope: str
    prefix: str
    machine: str = ""
    python: str = ""
    needed_mb: float = 0.0
    compiled: bool = False
    clock: float | None = None


def scope_of(facts: Mapping[str, Any], asked: str) -> str:
    """``system`` where this user can become root, ``user`` where systemd serves him, as asked otherwise."""
    if asked != "auto":
        return asked
    return "system" if facts["sudo"] else "user"


def prefix_of(facts: Mapping[str, Any], scope: str, asked: str | None) -> str:
    """Where this scope is installed by default."""
    return asked or str(facts["prefixes"]["system" if scope == "system" else "user"])


def line(facts: Mapping[str, Any]) -> str:
    """One line of what the device is."""
    parts = [facts["board"] or facts["machine"], facts["machine"], f"Python {facts['python']}"]
    for name, label in (
        ("l4t", "L4T"),
        ("tensorrt", "TensorRT"),
        ("sm", "SM"),
        ("onnxruntime", "ONNX Runtime"),
        ("numpy", "numpy"),
        ("power_mode", "power mode"),
    ):
        if facts.get(name):
            parts.append(f"{label} {facts[name]}")
    if facts.get("temperature_c") is not None:
        parts.append(f"{facts['temperature_c']:.0f} °C")
    parts.append(f"{facts['memory_free_mb'] or 0:.0f} MB memory free")
    return ", ".join(parts)


def require(facts: Mapping[str, Any], required: Requirements) -> None:
    """Refuse what cannot work.

    Raises:
        DeviceError: with everything that stands in the way, each with what to do.
    """
    found = [
        *_interpreter(facts, required),
        *_target(facts, required),
        *_system(facts, required),
        *_place(facts, required),
        *_clock(facts, required),
    ]
    if found:
        seen = [
            f"{one}{f' (expected {expected})' if expected and len(found) > 1 else ''}" for one, expected, _ in found
        ]
        raise DeviceError(
            "; ".join(seen),
            expected=found[0][1] if len(found) == 1 else "a device that can run this release",
            remedy="; ".join(dict.fromkeys(remedy for _, _, remedy in found if remedy)),
        )


Obstacle = tuple[str, str, str]


def _interpreter(facts: Mapping[str, Any], required: Requirements) -> list[Obstacle]:
    version = tuple(int(part) for part in str(facts["python"]).split(".")[:2])
    found = []
    if version < (3, 10):
        found.append(
            (
                f"the device's Python is {facts['python']}",
                "3.10 or newer",
                "install python3.10 beside it and put it first on PATH",
            )
        )
    if not facts["numpy"]:
        why = facts.get("numpy_error")
        found.append(
            (
                f"the device's Python has no numpy{f' that loads ({why})' if why else ''}",
                "numpy, from the system's packages",
                "sudo apt install python3-numpy",
            )
        )
    if not facts["ssh_keygen"]:
        found.append(
            (
                "the device has no ssh-keygen, which checks signatures",
                "OpenSSH 8.1 or newer",
                "sudo apt install openssh-client",
            )
        )
    if required.python and required.python != ".".join(map(str, version)):
        found.append(
            (
                f"the device's Python is {facts['python']}, the release's engine is built for {required.python}",
                "the same version",
                f"make the release again for it: edgeskel flash --to-dir DIR --python {'.'.join(map(str, version))}",
            )
        )
    return found


def _target(facts: Mapping[str, Any], required: Requirements) -> list[Obstacle]:
    machine = facts["machine"]
    if required.target not in ("host", "jetson"):
        return [
            (
                f"the bundle is made for {required.target}, the device is Linux on {machine}",
                "a bundle for host or jetson",
                "export it again: edgeskel export MODEL --target host --out DIR",
            )
        ]
    if machine not in MACHINES or required.machine not in ("", machine):
        return [
            (
                f"the device's processor is {machine}"
                + (f", the release is for {required.machine}" if required.machine else ""),
                required.machine or " or ".join(MACHINES),
                "make the release for the device's own processor",
            )
        ]
    if required.target == "jetson" and not facts["l4t"] and not facts["sm"] and not facts["tensorrt"]:
        return [
            (
                f"the bundle is made for jetson, the device is {facts['board'] or machine} without an NVIDIA GPU",
                "a Jetson",
                "export it again: edgeskel export MODEL --target host --out DIR",
            )
        ]
    if required.target == "jetson" and not facts["tensorrt"]:
        why = facts.get("tensorrt_error")
        return [
            (
                f"the device's Python has no TensorRT{f' that loads ({why})' if why else ''}",
                "TensorRT's bindings, as JetPack brings them",
                "sudo apt install nvidia-jetpack",
            )
        ]
    return []


def _system(facts: Mapping[str, Any], required: Requirements) -> list[Obstacle]:
    systemd = facts["systemd"]
    if required.scope == "none":
        return []
    if systemd["version"] is None:
        return [
            (
                "systemd does not run this device, so nothing would watch the service",
                "systemd, or --scope none",
                "flash with --scope none, and have your own supervisor start PREFIX/bin/edgeskel-device serve --prefix PREFIX",
            )
        ]
    if required.scope == "system" and not facts["sudo"]:
        return [
            (
                f"{facts['user'] or 'this user'} cannot become root here: sudo asks for a password, or there is none",
                "root or sudo without a password",
                "flash with --scope user, or log in as root, or allow sudo -n for this user",
            )
        ]
    if required.scope == "user" and not (systemd["user"] and systemd["linger"]):
        what = "has no systemd of its own" if not systemd["user"] else "loses its services when it logs out"
        return [
            (
                f"{facts['user'] or 'this user'} {what} here",
                "a user whose services run without a log-in",
                f"once, as root: loginctl enable-linger {facts['user'] or 'USER'}",
            )
        ]
    return []


def _place(facts: Mapping[str, Any], required: Requirements) -> list[Obstacle]:
    if not _PREFIX.fullmatch(required.prefix):
        return [
            (
                f"the prefix {required.prefix!r} cannot stand in a systemd unit",
                "an absolute path of letters, digits and ._-",
                "choose another --prefix",
            )
        ]
    place = facts["places"].get(required.prefix)
    if place is None:
        return [(f"{required.prefix} was not looked at", "a prefix that was probed", "run flash again")]
    if place["blocked"]:
        return [
            (
                f"{place['blocked']} is a file, or a link that leads nowhere",
                f"folders, or nothing yet, on the way to {required.prefix}",
                "choose another --prefix, or move away what lies there",
            )
        ]
    if place["foreign"]:
        return [
            (
                f"{required.prefix} is there and is not edgeskel's",
                "an empty or absent folder",
                "choose another --prefix, or clear it",
            )
        ]
    if place["read_only"] or (required.scope != "system" and not place["writable"]):
        return [(f"{required.prefix} cannot be written", "a folder of this user's", "choose another --prefix")]
    if required.scope == "system" and place["closed"]:
        return [
            (
                f"{place['closed']} is closed to the service's own user",
                f"folders that everybody may enter, on the way to {required.prefix}",
                f"choose another --prefix, or open it: chmod o+x {place['closed']}",
            )
        ]
    if why := (place.get("untrusted") or {}).get(required.scope):
        owner = "root" if required.scope == "system" or facts["uid"] == 0 else "root or this user"
        return [(f"{printable(why)}, so somebody else could change what is run under {required.prefix}", EXPECTED % owner, REMEDY)]
    held = place["install"]
    if held is not None and held.get("scope") != required.scope:
        return [
            (
                f"{required.prefix} is installed with --scope {held.get('scope')}",
                f"--scope {required.scope}, as asked",
                f"flash with --scope {held.get('scope')}, or remove it first: edgeskel flash uninstall HOST",
            )
        ]
    found = []
    if required.compiled and place["no_programs"]:
        found.append(
            (
                f"{required.prefix} lies on a file system mounted noexec, and the release brings an engine",
                "a file system that programs may be loaded from, or ONNX Runtime in the device's own Python",
                "choose another --prefix, or remount it with exec",
            )
        )
    if place["free_mb"] < required.needed_mb:
        found.append(
            (
                f"{place['free_mb']:.0f} MB are free at {required.prefix}",
                f"{required.needed_mb:.0f} MB",
                "free some space on the device, or choose another --prefix",
            )
        )
    memory = facts["memory_free_mb"]
    if memory is not None and memory < _MEMORY_MB:
        found.append((f"{memory:.0f} MB of memory are free", f"{_MEMORY_MB:.0f} MB", "stop what else runs there"))
    return found


def _clock(facts: Mapping[str, Any], required: Requirements) -> list[Obstacle]:
    if required.clock is None or abs(facts["clock"] - required.clock) < _CLOCK_S:
        return []
    return [
        (
            f"the device's clock says {datetime.fromtimestamp(facts['clock']):%Y-%m-%d %H:%M}",
            f"about {datetime.fromtimestamp(required.clock):%Y-%m-%d %H:%M}",
            "set it (sudo timedatectl set-ntp true), or flash with --any-clock",
        )
    ]
