"""The systemd units of an install, as text.

edgeskel.service          recognises; sees nothing but system libraries, its prefix and its sources
edgeskel-switch@.service  one trial: switches to the release ID, watches it, keeps it or goes back. Its own unit, so
                          that it outlives the connection that asked for it
edgeskel-settle.service   at boot: ends a trial that a reboot broke off

What root runs of the prefix goes through ``targets.device.launch``, whose text stands in the units themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from targets.device import launch
from targets.device.layout import Install, Layout

__all__ = ["SERVICE", "SETTLE", "SWITCH", "rendered"]

SERVICE, SWITCH, SETTLE = "edgeskel.service", "edgeskel-switch@.service", "edgeskel-settle.service"

# Everywhere, also in user units: these need no privilege.
_HARDENED = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0022
"""
# System units only: the service gets a root of its own, in which nothing lies but these. (ProtectSystem= would undo it.)
_CLOSED = """\
CapabilityBoundingSet=
TemporaryFileSystem=/:ro
BindReadOnlyPaths=/usr -/bin -/lib -/lib64 /proc -/sys /run/systemd/notify
BindReadOnlyPaths=-/etc/ld.so.cache -/etc/alternatives -/etc/localtime -/etc/nv_tegra_release -/etc/nvsciipc.cfg -/opt/nvidia
BindPaths=/dev
PrivateTmp=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
PrivateIPC=yes
"""
_NETWORK = """\
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_BLUETOOTH
BindReadOnlyPaths=-/etc/resolv.conf -/etc/hosts -/run/dbus/system_bus_socket
"""


def rendered(layout: Layout, install: Install, *, network: bool, groups: Sequence[str] = ()) -> dict[str, str]:
    """Unit name -> content.

    Args:
        network: whether a source needs one; without, the service is in a network of its own, with no interface.
        groups: supplementary groups of the service, for cameras, serial ports and the GPU.
    """
    system = install.scope == "system"
    target = "multi-user.target" if system else "default.target"
    privileged = "+" if system else ""
    run = f"{install.python} -I -B {layout.tool}"
    checked = " ".join(map(_quoted, launch.command(install.python, str(layout.tool))))
    # "+" gives the guard root's rights and not the system's file system.
    outside = "/proc/1/root" if system else ""
    guarded = " ".join(map(_quoted, launch.command(install.python, str(layout.tool), root=outside)))
    own = [f"User={install.user}"] if system else []
    if system and groups:
        own.append("SupplementaryGroups=" + " ".join(groups))
    closed = ""
    if system:
        # Writable for the guard, which is root; the service's user owns nothing in it but the engines.
        closed = _CLOSED + f"BindPaths={layout.prefix}\n"
        home = Path(install.python).resolve().parent.parent
        if home != Path("/usr"):  # an interpreter of the user's own
            closed += f"BindReadOnlyPaths={home}\n"
    if network:
        closed += _NETWORK if system else _NETWORK.partition("\n")[0] + "\n"
    else:
        closed += "RestrictAddressFamilies=AF_UNIX\n" + ("PrivateNetwork=yes\n" if system else "")
    service = f"""\
[Unit]
Description=edgeskel: skeleton action recognition
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStartPre={privileged}{guarded} guard --prefix {layout.prefix}
ExecStart={run} serve --prefix {layout.prefix}
Restart=always
RestartSec=1
WatchdogSec=15
TimeoutStartSec=60
TimeoutStopSec=10
RuntimeDirectory=edgeskel
WorkingDirectory={layout.prefix}
Environment=OMP_NUM_THREADS=1 EDGESKEL_ENGINES={layout.engines}
{"".join(line + chr(10) for line in own)}{_HARDENED}{closed}
[Install]
WantedBy={target}
"""
    # A trial that is killed begins again; one that has decided to go back has ended well and is not repeated.
    switch = f"""\
[Unit]
Description=edgeskel: trial of release %I
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=oneshot
ExecStart={checked} run-switch %I --prefix {layout.prefix}
Restart=on-failure
RestartSec=1
TimeoutStartSec=infinity
"""
    settle = f"""\
[Unit]
Description=edgeskel: end of a trial that a reboot broke off
After={SERVICE}

[Service]
Type=oneshot
ExecStart={checked} settle --prefix {layout.prefix}
Restart=on-failure
RestartSec=1
TimeoutStartSec=infinity

[Install]
WantedBy={target}
"""
    return {SERVICE: service, SWITCH: switch, SETTLE: settle}


def _quoted(word: str) -> str:
    """One word of a command line, as systemd.service(5) and systemd.unit(5) want it."""
    plain = word.replace("%", "%%").replace("$", "$$")
    if plain and not set(plain) & set(" \t\n\"'\\;"):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
