"""What a link hands over: samples, what a device says about itself, and what happened on the way.

Every item says which device and when on the host. Nothing is lost without an item that counts it.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.samples import DeviceStatus, Sample

__all__ = [
    "DeviceRefused", "DeviceReport", "Gap", "Ignored", "Item", "LinkEvent", "LinkHealth", "Lost", "Overflow", "Reboot",
    "Recovered", "Sample", "Stalled",
]


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """What a device said about itself; ``device``, ``host_ns`` and ``channel`` as in :class:`Sample`."""

    device: str
    host_ns: int
    status: DeviceStatus
    channel: str = ""


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """Something happened on a link at ``host_ns`` (``time.monotonic_ns()``)."""

    device: str
    host_ns: int


@dataclass(frozen=True, slots=True)
class Gap(LinkEvent):
    """``count`` readings of ``sensor`` were lost before the one that follows; exact, from the device's counter."""

    count: int
    sensor: str = ""
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Reboot(LinkEvent):
    """The device began anew. ``missed`` readings since then did not arrive, as far as its counter tells."""

    epoch: int
    missed: int = 0
    sensor: str = ""
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Stalled(LinkEvent):
    """No reading for ``silence_s`` although the transport says that it is connected; the link opens it anew."""

    silence_s: float


@dataclass(frozen=True, slots=True)
class Lost(LinkEvent):
    """The transport ended or could not be opened, and why; the link tries again unless ``final``."""

    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Recovered(LinkEvent):
    """Readings arrive again, ``after_s`` seconds after the last one (or after the first attempt)."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Overflow(LinkEvent):
    """The reader was too slow: the ``count`` oldest items were dropped here, on the host."""

    count: int


@dataclass(frozen=True, slots=True)
class DeviceRefused(LinkEvent):
    """``identity`` is not enrolled; nothing of it is handed over."""

    identity: str


@dataclass(frozen=True, slots=True)
class Ignored(LinkEvent):
    """Datagrams of ``sender``, a host, are dropped unread, because the address does not list it; said once for each."""

    sender: str


Item = Sample | DeviceReport | LinkEvent


@dataclass(frozen=True)
class LinkHealth:
    """How a link is doing.

    Args:
        device: the link's name for the device.
        state: ``opening``, ``waiting`` (for the first reading), ``streaming``, ``stalled``, ``lost`` or ``closed``.
        rate_hz: readings per second of one sensor, over the last second or two.
        received: readings that arrived and were understood.
        lost: readings that the device counted and that did not arrive, net of those that came late.
        late: readings that arrived after a newer one (datagrams only) or for the second time, and were left out.
        loss: lost / (received + lost), 0..1.
        dropped: items that the reader was too slow for.
        frames: frames or datagrams that the codec accepted.
        bad: frames that the codec refused.
        faults: chunks on which the codec itself failed (an error of ours; the link goes on).
        reboots: of the device.
        reopened: how often the link was opened again.
        battery: 0..1, last known.
        signal_dbm: last known.
        last_seen_ns: host time of the last reading.
        problem: the last reason why the link was down; "" when it streams.
        identity: who the device is (see :mod:`firmware_bridge.device_allowlist`); None until known, and for datagrams, where each
            channel is one.
    """

    device: str
    state: str
    rate_hz: float
    received: int
    lost: int
    late: int
    loss: float
    dropped: int
    frames: int
    bad: int
    faults: int
    reboots: int
    reopened: int
    battery: float | None
    signal_dbm: float | None
    last_seen_ns: int | None
    problem: str
    identity: str | None = None
