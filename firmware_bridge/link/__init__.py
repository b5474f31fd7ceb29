"""One link per device: it connects, configures, decodes, notices silence, connects again, and counts every loss.

    transport --chunks--> codec --readings--> tracker --samples, gaps, reboots--> queue --> whoever reads
"""

from firmware_bridge.link.backoff import Backoff
from firmware_bridge.link.connection import Link
from firmware_bridge.link.events import (
    DeviceRefused,
    DeviceReport,
    Gap,
    Ignored,
    Item,
    LinkEvent,
    LinkHealth,
    Lost,
    Overflow,
    Reboot,
    Recovered,
    Sample,
    Stalled,
)
from firmware_bridge.link.opening import open_link, protocol_of
from firmware_bridge.link.sequence_tracker import LossReport, SequenceTracker
from firmware_bridge.link.wakeup import Wakeup

__all__ = [
    "Backoff", "LinkEvent", "Gap", "LinkHealth", "Ignored", "Item", "SequenceTracker", "Link", "Lost", "Overflow", "Reboot",
    "Recovered", "DeviceRefused", "DeviceReport", "Sample", "Stalled", "LossReport", "Wakeup", "open_link", "protocol_of",
]
