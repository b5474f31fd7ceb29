"""What a device is: printed as one JSON object by ``python3 -I - PREFIX [places] < probe.py``. Changes nothing there.

Alone in its file and standard library only: it is sent through the connection before anything of ours is on the device.
Only ``ownership.py`` goes ahead of it (``targets.flash.device``). It must parse on any Python 3, so that an interpreter that
is too old is named and not a traceback.
"""

import ctypes
import json
import os
import platform
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from typing import Any

from targets.device.ownership import untrusted

__all__ = ["conditions", "facts", "places"]

_RECORD = 4 << 20  # bytes

_VERSIONS = """
import json, os, sys
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
found = {}
for name in ("numpy", "onnxruntime", "tensorrt"):
    try:
        found[name] = str(__import__(name).__version__)
    except Exception as error:
        found[name] = None
        if not isinstance(error, ImportError) or getattr(error, "name", None) != name:
            found[name + "_error"] = "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:200])
print(json.dumps(found))
"""


def facts(prefix: str = "") -> "dict[str, Any]":
    """Everything that decides what can run here. Keys hold None where something could not be found out."""
    return {
        **places(prefix),
        "hostname": socket.gethostname(),
        "board": _board(),
        "l4t": _l4t(),
        "sm": _compute_capability(),
        "clock": time.time(),
        "ssh_keygen": shutil.which("ssh-keygen") is not None,
        "systemd": _systemd(),
        "memory_mb": _memory("MemTotal"),
        "memory_free_mb": _memory("MemAvailable"),
        **_versions(),
        **conditions(),
    }


def places(prefix: str = "") -> "dict[str, Any]":
    """The quick part: who we are here, with which Python, and what lies at ``prefix`` and the usual places."""
    user, system = _prefixes()
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "uid": os.getuid(),
        "user": os.environ.get("USER") or os.environ.get("LOGNAME") or "",
        "sudo": os.getuid() == 0 or _runs("sudo", "-n", "true"),
        "prefixes": {"user": user, "system": system},
        "places": {place: _place(place) for place in {prefix or "", user, system} if place},
    }


def _prefixes() -> "tuple[str, str]":
    home = os.path.expanduser("~")
    data = os.environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return os.path.join(data, "edgeskel"), "/opt/edgeskel"


def _place(prefix: str) -> "dict[str, Any]":
    """What lies under a prefix, and what is free there."""
    above = prefix
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    blocked = None if os.path.isdir(above) else above
    if blocked:
        above = os.path.dirname(blocked)
    disk = os.statvfs(above)
    held: dict[str, Any] = {}
    for name in ("install", "state"):
        held[name] = _record(os.path.join(prefix, name + ".json"))
    try:
        foreign = held["install"] is None and bool(set(os.listdir(prefix)) - {".flash.lock", "staging"})
    except OSError:
        foreign = False
    return {
        "free_mb": disk.f_bavail * disk.f_frsize / 1e6,
        "writable": os.access(above, os.W_OK),
        "foreign": foreign,
        "blocked": blocked,
        "closed": _closed(prefix),
        "untrusted": {
            "system": untrusted(prefix, 0, mount=held["install"] is None),
            "user": untrusted(prefix, os.getuid(), mount=held["install"] is None),
            "none": untrusted(prefix, os.getuid(), sticky=True),
        },
        "read_only": bool(disk.f_flag & os.ST_RDONLY),
        "no_programs": bool(disk.f_flag & os.ST_NOEXEC),
        "tool": os.path.isfile(os.path.join(prefix, "bin", "edgeskel-device")),
        "trusted": os.path.isfile(os.path.join(prefix, "trust", "allowed_signers")),
        **held,
    }


def _record(path: str) -> "dict[str, Any] | None":
    """A JSON object that anybody may have put there: no pipe is waited for, and no more is read than one can have."""
    try:
        entry = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(entry, "rb") as file:
            content = file.read(_RECORD) if stat.S_ISREG(os.fstat(entry).st_mode) else b""
        found = json.loads(content.decode())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _closed(prefix: str) -> "str | None":
    """The folder above it that not everybody may enter, so that the service's own user would not get there."""
    place = os.path.realpath(prefix)
    while place != "/":
        place = os.path.dirname(place)
        try:
            if not os.stat(place).st_mode & 0o001:
                return place
        except OSError:
            continue
    return None


def _board() -> "str | None":
    for path in ("/proc/device-tree/model", "/sys/class/dmi/id/product_name"):
        try:
            with open(path) as file:
                return file.read().strip("\0\n ")
        except (OSError, ValueError):
            continue
    return None


def _l4t() -> "str | None":
    try:
        with open("/etc/nv_tegra_release") as file:
            match = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", file.read())
    except OSError:
        return None
    return match.group(1) + "." + match.group(2) if match else "unknown"


def _compute_capability() -> "str | None":
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0):
        return None
    cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
    return str(major.value) + str(minor.value)


def _runs(*command: str) -> bool:
    try:
        return (
            subprocess.call(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            == 0
        )
    except OSError:
        return False


def _said(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def _systemd() -> "dict[str, Any]":
    """Whether systemd is what runs this machine, and whether this user has one of his own that outlives his log-in."""
    if not os.path.isdir("/run/systemd/system"):
        return {"version": None, "user": False, "linger": False}
    match = re.match(r"systemd (\d+)", _said("systemctl", "--version"))
    runtime = "/run/user/" + str(os.getuid())
    os.environ.setdefault("XDG_RUNTIME_DIR", runtime)
    user = os.path.isdir(runtime) and _said("systemctl", "--user", "is-system-running").strip() in (
        "running",
        "degraded",
        "starting",
    )
    linger = _said("loginctl", "show-user", str(os.getuid()), "--property", "Linger").strip() == "Linger=yes"
    return {"version": int(match.group(1)) if match else None, "user": user, "linger": linger}


def _memory(name: str) -> "float | None":
    try:
        with open("/proc/meminfo") as file:
            match = re.search(name + r":\s+(\d+) kB", file.read())
    except OSError:
        return None
    return int(match.group(1)) / 1024 if match else None


def _versions() -> "dict[str, Any]":
    """Packages of this interpreter, looked at in a process of their own: a damaged one may abort."""
    for line in reversed(_said(sys.executable, "-I", "-B", "-c", _VERSIONS).splitlines()):
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        return found
    return {"numpy": None, "onnxruntime": None, "tensorrt": None}


def conditions() -> "dict[str, Any]":
    """Power mode and temperature: what a latency is worth depends on them."""
    mode = re.search(r"NV Power Mode:\s*(\S+)", _said("nvpmodel", "-q"))
    power = mode.group(1) if mode else None
    if power is None:
        try:
            with open("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") as file:
                power = file.read().strip()
        except OSError:
            power = None
    warmest: float | None = None
    zones = "/sys/class/thermal"
    for zone in sorted(os.listdir(zones)) if os.path.isdir(zones) else ():
        try:
            with open(os.path.join(zones, zone, "temp")) as file:
                degrees = int(file.read()) / 1000.0
        except (OSError, ValueError):
            continue
        if -40 < degrees < 150:
            warmest = degrees if warmest is None else max(warmest, degrees)
    return {"power_mode": power, "temperature_c": warmest}


if __name__ == "__main__":
    print(json.dumps((places if "places" in sys.argv[2:] else facts)(sys.argv[1] if len(sys.argv) > 1 else "")))
