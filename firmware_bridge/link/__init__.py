"""One link per device: it connects, configures, decodes, notices silence, connects again, and counts every loss.

    transport --chunks--> codec --readings--> ledger --samples, gaps, reboots--> outbox --> whoever reads
"""

from firmware_bridge.link.backoff import Backoff
from firmware_bridge.link.connection import Link
from firmware_bridge.link.events import (
    Event,
    Gap,
    Health,
    Ignored,
    Item,
    Lost,
    Overflow,
    Reboot,
    Recovered,
    Refused,
    Report,
    Sample,
    Stalled,
)
from firmware_bridge.link.ledger import Ledger, Verdict
from firmware_bridge.link.opening import open_link, protocol_of
from firmware_bridge.link.wakeup import Wakeup

__all__ = [
    "Backoff", "Event", "Gap", "Health", "Ignored", "Item", "Ledger", "Link", "Lost", "Overflow", "Reboot",
    "Recovered", "Refused", "Report", "Sample", "Stalled", "Verdict", "Wakeup", "open_link", "protocol_of",
]
