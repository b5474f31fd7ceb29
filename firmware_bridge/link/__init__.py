"""One link per device: it connects, configures, decodes, notices silence, connects again, and counts every loss.

    transport --chunks--> codec --readings--> ledger --samples, gaps, reboots--> outbox --> whoever reads

A link works with anything that has the
members of :class:`firmware_bridge.transports.Transport`. What a transport may have beside them:

    identity       "ble:AA:...", "serial:NUMBER": who the device is (see firmware_bridge.enrolment), once it is known
    ordered        False where bytes may overtake each other (datagrams)
    senders_apart  True where Chunk.channel is a sender with a codec and counters of its own
    on_silence     "reopen" (the default), "report" where nothing can be opened anew, "ignore" where pauses are recorded
    room           set by the link: awaited by a source that can be held up (a file) when the reader is slow
    together       True where chunks are small and many, and may be decoded when they are read instead of one by one
    refused        hosts whose datagrams are dropped unread; each is named once
    open_limit_s   seconds after which opening hangs; infinite where a transport bounds each of its steps itself
    most_wait_s    the longest wait before the next attempt, where looking again costs nothing (an unplugged port)
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
