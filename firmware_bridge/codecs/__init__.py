"""Protocols of wearable devices, one file each: bytes in, readings out, commands as bytes.

A codec does no input or output, never raises on bad bytes and never grows: what it keeps between two chunks (the
beginning of a frame, a reference sample) is bounded by twice its longest frame. A new protocol is one new file with a
class that has the members of :class:`Codec`, and one line in :data:`CODECS`; or a file in a package of its own, with an entry
point (:mod:`edgeskel.plugins`). What can be chosen in it (a payload mode) are
arguments of the class; ``options`` in it says which, and an address carries them: ``ble:NAME?protocol=dot&mode=custom-3``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol

from edgeskel import plugins
from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.samples import Chunk, DeviceStatus, Reading

__all__ = ["CODECS", "EXAMPLES", "Codec", "CodecCounts", "Gatt", "Write", "check_way", "create", "names", "options_of"]


@dataclass
class CodecCounts:
    """What a codec did with the bytes so far; each count only grows.

    Args:
        frames: frames or packets that were accepted.
        bad: frames or packets that were refused (checksum, length, impossible value).
        discarded: bytes that belong to no accepted frame.
    """

    frames: int = 0
    bad: int = 0
    discarded: int = 0


@dataclass(frozen=True)
class Write:
    """A command to the device.

    Args:
        data: the bytes.
        channel: characteristic UUID (lower case), or ``""`` for a stream or datagram.
        pause_s: how long the device needs before the next command.
    """

    data: bytes
    channel: str = ""
    pause_s: float = 0.0


@dataclass(frozen=True)
class Gatt:
    """How a device is found and listened to over BLE. UUIDs in lower case, 128 bits.

    Args:
        service: advertised or primary service.
        notify: characteristics to subscribe to, in order.
        names: advertised names begin with one of these.
        least_mtu: the smallest ATT MTU at which its packets arrive whole.
        acquire: its notifications may be taken through a socket (BlueZ's AcquireNotify), which some makers' devices do not
            get on with.
    """

    service: str
    notify: tuple[str, ...]
    names: tuple[str, ...] = ()
    least_mtu: int = 23
    acquire: bool = False


class Codec(Protocol):
    """One device's protocol and the little state that decoding needs. One instance per device, never shared."""

    name: ClassVar[str]
    """As in an address: ``protocol=slimevr``."""
    gatt: ClassVar[Gatt | None]
    """How it speaks over BLE; None where it does not."""
    sequence_bits: ClassVar[int | None]
    """After how many bits ``Reading.sequence`` wraps; None where there is no counter."""
    clock_bits: ClassVar[int | None]
    """After how many bits the device clock wraps (``Reading.device_us`` wraps at 2**clock_bits ticks of
    ``clock_tick_us``); None where there is no clock."""
    clock_tick_us: ClassVar[float]
    """Microseconds of one tick of the device clock; 1.0 where it counts microseconds."""
    counts: CodecCounts

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """What ``chunk`` completes, in order. Never raises, whatever the bytes."""

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Commands that make the device send, at ``rate_hz`` or its default.

        Raises:
            UsageError: a rate that the device does not have; the message lists those it has.
        """

    def stop(self) -> Sequence[Write]:
        """Commands that make it be silent."""

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """What the protocol obliges the host to answer to ``chunk`` (handshakes, heartbeats); mostly nothing."""

    def reset(self) -> None:
        """Forget the pieces kept between chunks: the link was opened anew. The counts stay."""


# name -> "module:class"; imported when used.
CODECS: dict[str, str] = {
    "node": "firmware_bridge.codecs.node:NodeCodec",
    "slimevr": "firmware_bridge.codecs.slimevr:SlimeVRCodec",
    "witmotion": "firmware_bridge.codecs.witmotion:WitMotionCodec",
    "witmotion-ble": "firmware_bridge.codecs.witmotion_ble:WitMotionBleCodec",
    "dot": "firmware_bridge.codecs.dot:DotCodec",
    "mocopi": "firmware_bridge.codecs.mocopi:MocopiCodec",
    "mocopi-ble": "firmware_bridge.codecs.mocopi_ble:MocopiBleCodec",
    "movesense": "firmware_bridge.codecs.movesense:MovesenseCodec",
    "polar": "firmware_bridge.codecs.polar:PolarCodec",
    "metamotion": "firmware_bridge.codecs.metamotion:MetaMotionCodec",
    "bno08x": "firmware_bridge.codecs.bno08x:Bno08xCodec",
    "lines": "firmware_bridge.codecs.lines:LinesCodec",
}

# name -> how its devices are reached; one that is not here may be tried over anything.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "slimevr": ("udp:6969?protocol=slimevr",),
    "witmotion": ("serial:/dev/ttyUSB0?baud=115200&protocol=witmotion", "udp:9000?protocol=witmotion"),
    "witmotion-ble": ("ble:NAME?protocol=witmotion-ble",),
    "dot": ("ble:NAME?protocol=dot",),
    "mocopi": ("udp:12351?protocol=mocopi",),
    "mocopi-ble": ("ble:NAME?protocol=mocopi-ble",),
    "movesense": ("ble:NAME?protocol=movesense",),
    "polar": ("ble:NAME?protocol=polar",),
    "metamotion": ("ble:NAME?protocol=metamotion",),
    "bno08x": ("serial:/dev/ttyUSB0?baud=115200&protocol=bno08x", "udp:9000?protocol=bno08x"),
    "lines": ("udp:9000?protocol=lines",),
}


def names() -> tuple[str, ...]:
    """Names of the protocols: ours, then those that other installed packages bring."""
    return (*CODECS, *(name for name in sorted(plugins.names(plugins.CODECS)) if name not in CODECS))


def check_way(name: str, scheme: str) -> None:
    """Refuse a protocol over a way on which its packets never come.

    Args:
        name: of the protocol.
        scheme: ``serial``, ``ble`` or ``udp``; anything else (a recording) holds any protocol.

    Raises:
        UsageError: it is not spoken there; the message has an address as it would be right.
    """
    examples = EXAMPLES.get(name, ())
    if examples and scheme in ("serial", "ble", "udp") and not any(example.startswith(scheme + ":") for example in examples):
        raise UsageError(f"protocol={name} is not spoken over {scheme}", expected=f"an address such as {examples[0]}")


def options_of(name: str) -> Mapping[str, Callable[[str], Any]]:
    """What can be chosen of a protocol: option in an address -> its value from text (ValueError says what was expected).

    Raises:
        UnknownChoice: no such protocol; the message lists those that there are.
    """
    options: Mapping[str, Callable[[str], Any]] = getattr(_class(name), "options", {})
    return options


def create(name: str, options: Mapping[str, str] | None = None) -> Codec:
    """A codec for one device.

    Args:
        name: of the protocol.
        options: as in an address; see :func:`options_of`.

    Raises:
        UnknownChoice: no such protocol, option or choice; the message lists those that there are.
        UsageError: a value that makes no sense.
    """
    known = options_of(name)
    settings: dict[str, Any] = {}
    for option, text in (options or {}).items():
        if option not in known:
            raise UnknownChoice(f"option of protocol {name}", option, known)
        try:
            settings[option] = known[option](text)
        except ValueError as error:
            raise UsageError(f"protocol={name}: {option}={text}", expected=str(error)) from error
    codec: Codec = _class(name)(**settings)
    return codec


def _class(name: str) -> Any:
    other = plugins.load(plugins.CODECS, name, CODECS)
    if other is not None:
        return other
    if name not in CODECS:
        raise UnknownChoice("protocol", name, names())
    module, _, attribute = CODECS[name].partition(":")
    return getattr(import_module(module), attribute)
