"""Who starts and stops the service: systemd (system or user), or ourselves where there is none."""

from __future__ import annotations

from targets.device.child_process import ChildProcessService
from targets.device.layout import Install, Layout
from targets.device.status import ServiceManager
from targets.device.systemd import Systemd

__all__ = ["manager"]


def manager(layout: Layout, install: Install) -> ServiceManager:
    """The one of this install."""
    return ChildProcessService(layout, install) if install.scope == "none" else Systemd(layout, install)
