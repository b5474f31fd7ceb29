"""Our own wearable node, over serial lines and BLE; ``docs/devices/node.md`` is its specification.

Over a stream, bodies come as COBS frames with a CRC between zero bytes. A notification over BLE is one bare body: the
radio has framed and checked it already. Commands are framed on both.

Orientations turn sensor axes into a world that is right-handed with z up; without a magnetometer its heading is free.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs._values import words
from firmware_bridge.codecs.node_frame import (
    LONGEST_STUFFED,
    Acknowledgement,
    Fields,
    Message,
    NodeCommand,
    Order,
    Result,
    Samples,
    StatusBody,
    body_of,
    encode_command,
    frame_of,
    parse,
)
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Reading

__all__ = ["COMMANDS", "NOTIFICATIONS", "SERVICE", "NodeCodec"]

SERVICE = "70ad0001-2093-4e7c-b4b1-a29182aa9a72"
NOTIFICATIONS = "70ad0002-2093-4e7c-b4b1-a29182aa9a72"
COMMANDS = "70ad0003-2093-4e7c-b4b1-a29182aa9a72"

HIGHEST_RATE_HZ = 1000
ALL_SENSORS = 0xFF
_RECENT = 16
_HALF_CLOCK = 1 << 31


def _fields_of(text: str) -> Fields:
    """``quaternion,gyroscope`` as :class:`Fields`."""
    names = {str(each.name).lower(): each for each in Fields if each.bit_count() == 1}
    fields = Fields(0)
    for word in words(text):
        if word not in names:
            raise UnknownChoice("field of a node", word, names)
        fields |= names[word]
    if not fields:
        raise ValueError("some of " + ", ".join(names))
    return fields


class NodeCodec:
    """Decodes one node. See :class:`firmware_bridge.codecs.Codec`.

    ``sequence`` numbers instants, so every sensor's readings count without a gap. A restart is known by the boot number,
    by the node's first status frame or, where the node has no boot number, by its clock stepping back; the commands of
    the last :meth:`start` or :meth:`stop` are then due again, and :meth:`reply` gives them.

    Args:
        fields: what the node shall send; None leaves it as the node has it.
    """

    name: ClassVar[str] = "node"
    gatt: ClassVar[Gatt | None] = Gatt(SERVICE, (NOTIFICATIONS,), names=("edge-node",), least_mtu=41, acquire=True)
    sequence_bits: ClassVar[int | None] = 16
    clock_bits: ClassVar[int | None] = 32
    clock_tick_us: ClassVar[float] = 1.0
    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {"fields": _fields_of}

    def __init__(self, fields: Fields | None = None) -> None:
        self.counts: CodecCounts = CodecCounts()
        self.answers: deque[Acknowledgement] = deque(maxlen=_RECENT)
        """The last acknowledgements, oldest first."""
        self.boot: int | None = None
        """The boot number of the last body; None before the first."""
        self._fields = fields
        self._rest = b""
        self._skipping = False
        self._device_us: int | None = None  # of the last samples of this start
        self._read_before = False
        self._fresh: int | None = None  # sequence of the instant that is the first after a restart
        self._restarted = False
        self._wanted: tuple[Write, ...] = ()
        self._due: tuple[Write, ...] = ()
        self._token = 0

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """See :meth:`firmware_bridge.codecs.Codec.decode`."""
        if chunk.channel == NOTIFICATIONS:
            message = parse(chunk.data)
            if isinstance(message, Samples):  # nearly all
                self.counts.frames += 1
                return list(self._readings(message))
            return self._take(message, len(chunk.data))
        found: list[Reading | DeviceStatus] = []
        *pieces, self._rest = (self._rest + chunk.data).split(b"\0")
        for piece in pieces:
            if self._skipping:  # the end of what was too long
                self._skipping = False
                self.counts.discarded += len(piece) + 1
                continue
            if not piece:  # between the end of a frame and the beginning of the next
                continue
            body = body_of(piece) if len(piece) <= LONGEST_STUFFED else None
            found += self._take(parse(body or b""), len(piece) + 1)
        if self._skipping or len(self._rest) > LONGEST_STUFFED:
            self.counts.bad += not self._skipping
            self.counts.discarded += len(self._rest)
            self._rest, self._skipping = b"", True
        return found

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """See :meth:`firmware_bridge.codecs.Codec.start`. Rates are whole numbers of Hz.

        It begins with *identify*: the status says who the node is, and a host may wait for that.
        """
        writes = [self.identify()]
        if self._fields is not None:
            writes.append(self.command(Order.FIELDS, bytes([self._fields])))
        if rate_hz is not None:
            if not math.isfinite(rate_hz) or rate_hz != int(rate_hz) or not 1 <= rate_hz <= HIGHEST_RATE_HZ:
                raise UsageError(f"a rate of {rate_hz:g} Hz", expected=f"a whole number from 1 to {HIGHEST_RATE_HZ} Hz")
            writes.append(self.command(Order.RATE, int(rate_hz).to_bytes(2, "little")))
        self._wanted = (*writes, self.command(Order.START))
        return self._wanted

    def stop(self) -> Sequence[Write]:
        """See :meth:`firmware_bridge.codecs.Codec.stop`."""
        self._wanted = (self.command(Order.STOP),)
        return self._wanted

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """After a restart: what :meth:`start` or :meth:`stop` had asked for, once."""
        due, self._due = self._due, ()
        return due

    def reset(self) -> None:
        """See :meth:`firmware_bridge.codecs.Codec.reset`. A restart that happened meanwhile is still noticed."""
        self._rest, self._skipping, self._due = b"", False, ()

    def command(self, order: Order, arguments: bytes = b"") -> Write:
        """Any command as it goes out; its acknowledgement appears in :attr:`answers`."""
        self._token = (self._token + 1) & 0xFF
        return Write(frame_of(encode_command(NodeCommand(self._token, order, arguments))), COMMANDS)

    def identify(self) -> Write:
        """Ask for a status; a node with a lamp also blinks."""
        return self.command(Order.IDENTIFY)

    def tare(self, sensor: int | None = None, *, undo: bool = False) -> Write:
        """Make the present heading of ``sensor`` (or all) the world's x axis; ``undo`` gives the node's own back."""
        return self.command(Order.TARE, bytes([ALL_SENSORS if sensor is None else sensor, not undo]))

    def _take(self, message: Message | None, size: int) -> list[Reading | DeviceStatus]:
        """Count a body, which took ``size`` bytes, and give what it says."""
        if message is None or isinstance(message, NodeCommand):  # a command is what we write: an echo, not the node
            self.counts.bad += 1
            self.counts.discarded += size
            return []
        self.counts.frames += 1
        if isinstance(message, Samples):
            return list(self._readings(message))
        if isinstance(message, StatusBody):
            self._note_boot(message.boot, message.started)
            return [DeviceStatus(
                battery=message.battery, temperature=message.temperature, identity=message.identity or None,
                firmware=message.firmware or None, text="started" if message.started else None,
            )]  # fmt: skip
        self.answers.append(message)
        return [DeviceStatus(text=_refusal(message))] if message.result != Result.DONE else []

    def _readings(self, samples: Samples) -> list[Reading]:
        last = self._device_us
        if (last is not None and samples.boot == self.boot and not self._restarted and self._fresh is None
                and (samples.device_us - last) % 2**32 < _HALF_CLOCK):  # it goes on, as it nearly always does
            self._device_us = samples.device_us
            return samples.readings
        stepped_back = self._device_us is not None and (samples.device_us - self._device_us) % 2**32 >= _HALF_CLOCK
        # A boot number that stayed proves that the node did not start anew, however long we heard nothing.
        self._note_boot(samples.boot, stepped_back and samples.boot == 0)
        if self._restarted:
            self._restarted = False
            # Only what follows other readings is a restart; the first ones ever begin the first epoch anyway.
            self._fresh = samples.sequence if self._read_before else None
        self._device_us, self._read_before = samples.device_us, True
        if self._fresh is None:
            return samples.readings
        if samples.sequence != self._fresh:  # its instant may have come in several bodies
            self._fresh = None
            return samples.readings
        return [reading._replace(flags=reading.flags | Flags.REBOOTED) for reading in samples.readings]

    def _note_boot(self, boot: int, seen: bool) -> None:
        if seen or self.boot not in (None, boot):
            self._restarted, self._device_us = True, None
            self._due = self._wanted
        self.boot = boot


def _refusal(answer: Acknowledgement) -> str:
    order = Order(answer.order).name.lower() if answer.order in set(Order) else f"command {answer.order}"
    reasons = {Result.UNKNOWN: "it does not know it", Result.LENGTH: "its arguments have another length",
               Result.VALUE: "it does not have that value", Result.FAILED: "it could not do it"}
    reason = reasons[Result(answer.result)] if answer.result in set(Result) else f"reason {answer.result}"
    return f"the node refused {order.replace('_', ' ')}: {reason}"
