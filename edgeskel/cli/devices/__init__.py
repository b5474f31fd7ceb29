"""``edgeskel devices scan | show | record | calibrate | simulate | enrol``: wearables and cameras, one file per command."""

from __future__ import annotations

from edgeskel.cli.devices.calibrate import Calibrate, calibrate
from edgeskel.cli.devices.enrol import Enrol, enrol
from edgeskel.cli.devices.record import Record, record
from edgeskel.cli.devices.scan import ScanDevices, scan
from edgeskel.cli.devices.show import DevicesShow, show
from edgeskel.cli.devices.simulate import SimulateDevices, simulate
from edgeskel.cli.report import Command

__all__ = ["COMMANDS"]

COMMANDS = {
    "scan": Command(ScanDevices, scan),
    "show": Command(DevicesShow, show),
    "record": Command(Record, record),
    "calibrate": Command(Calibrate, calibrate),
    "simulate": Command(SimulateDevices, simulate),
    "enrol": Command(Enrol, enrol),
}
