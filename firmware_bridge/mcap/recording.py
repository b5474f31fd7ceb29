"""What the bridge writes into MCAP files and reads from them. M persons, V joints."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import CorruptFile, EdgeskelError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.mcap.container import Channel, McapReader, McapWriter, Message, Schema
from firmware_bridge.samples import Chunk, Flags, Reading, Sample

__all__ = ["Recorder", "McapRecording", "RecordedSource"]

VERSION = "1"
CLOCK = "edgeskel.clock"
BYTES = "edgeskel.bytes"
VALUES = ("orientation", "acceleration", "linear_acceleration", "angular_velocity", "magnetic_field")


def _numbers(count: int, description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "number"}, "minItems": count, "maxItems": count,
            "description": description}


READING = Schema("edgeskel.Reading", "jsonschema", json.dumps({
    "type": "object",
    "properties": {
        "device": {"type": "string"}, "channel": {"type": "string"}, "epoch": {"type": "integer"},
        "sensor": {"type": "string"}, "sequence": {"type": "integer"}, "device_us": {"type": "integer"},
        "flags": {"type": "integer", "description": "1 gap, 2 saturated, 8 rebooted, 16 time interpolated"},
        "orientation": _numbers(4, "w, x, y, z; sensor -> world"),
        "acceleration": _numbers(3, "m/s2, sensor axes, gravity included"),
        "linear_acceleration": _numbers(3, "m/s2, without gravity"),
        "angular_velocity": _numbers(3, "rad/s, sensor axes"),
        "magnetic_field": _numbers(3, "uT, sensor axes"),
    },
}).encode())
FRAME = Schema("edgeskel.Frame", "jsonschema", json.dumps({
    "type": "object",
    "properties": {
        "time": {"type": "number", "description": "seconds, monotonic"},
        "joints": {"type": "array", "description": "persons x joints x 3 metres, y up; null where missing"},
        "confidence": {"type": "array", "description": "persons x joints, 0..1"},
    },
}).encode())


@dataclass(frozen=True)
class RecordedSource:
    """Where recorded bytes came from.

    Args:
        device: the link's name for it, mostly its address.
        protocol: the codec that understands them.
        channel: see :class:`~firmware_bridge.samples.Chunk`.
        identity: who it was (see :mod:`firmware_bridge.device_allowlist`), where that was known.
    """

    device: str
    protocol: str
    channel: str = ""
    identity: str = ""


class Recorder:
    """Writes a recording; a context manager. Each item is with the operating system when its method returns.

    Args:
        path: must not exist.

    Raises:
        UsageError: the file exists.
        OSError: it cannot be written, or (from any method) the disk is full.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._writer = McapWriter(path)
        self._ahead_ns = time.time_ns() - time.monotonic_ns()
        self._channels: dict[object, int] = {}
        self._writer.metadata(CLOCK, {"version": VERSION, "unix_minus_monotonic_ns": str(self._ahead_ns)})

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def chunk(self, device: str, protocol: str, chunk: Chunk, identity: str = "") -> None:
        """Bytes as they came: ``Link(..., tap=lambda chunk: recorder.chunk(address, protocol, chunk))``."""
        key = (device, protocol, chunk.channel, identity)
        number = self._channels.get(key)
        if number is None:
            number = self._channels[key] = self._writer.channel(Channel(
                f"/bytes/{device}", BYTES, metadata={"device": device, "protocol": protocol, "channel": chunk.channel,
                                                   "identity": identity}))
        self._writer.write(number, chunk.host_ns + self._ahead_ns, chunk.data)

    def sample(self, sample: Sample) -> None:
        """One reading."""
        number = self._number(f"/readings/{sample.device}", READING, {"device": sample.device})
        reading = sample.reading
        record: dict[str, Any] = {"device": sample.device, "epoch": sample.epoch, "flags": reading.flags.value}
        for name in ("sensor", "sequence", "device_us", *VALUES):
            value = getattr(reading, name)
            if value is not None and value != "":
                record[name] = value
        if sample.channel:
            record["channel"] = sample.channel
        self._write(number, sample.host_ns, record)

    def frame(self, frame: Frame, topology: Topology, name: str = "fused") -> None:
        """One frame of joints; its time is the host's monotonic clock in seconds."""
        number = self._number(f"/frames/{name}", FRAME, {"topology": json.dumps(topology.to_dict())})
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(frame.joints).all(axis=-1))
        joints = [[joint.tolist() if there else None for joint, there in zip(person, known, strict=True)]
                  for person, known in zip(frame.joints, finite, strict=True)]
        self._write(number, round(frame.time * 1e9),
                    {"time": frame.time, "joints": joints, "confidence": frame.confidence.tolist()})

    def close(self) -> None:
        """Write the summary and wait until the disk has it all. May be called twice."""
        self._writer.close()

    def _number(self, topic: str, schema: Schema, metadata: dict[str, str]) -> int:
        number = self._channels.get(topic)
        if number is None:
            number = self._channels[topic] = self._writer.channel(Channel(topic, "json", schema, metadata))
        return number

    def _write(self, number: int, host_ns: int, record: dict[str, Any]) -> None:
        self._writer.write(number, host_ns + self._ahead_ns, json.dumps(record, allow_nan=False).encode())


class McapRecording:
    """Reads a recording. :attr:`damage` says, after reading, where a file that was cut short ended.

    Raises:
        CorruptFile: not an MCAP file.
        DataError: it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._reader = McapReader(path)
        self._ahead_ns: int | None = None

    @property
    def damage(self) -> str | None:
        """What is wrong and where; None if nothing is, and before a reading method has come to its end."""
        return self._reader.damage

    def sources(self) -> list[RecordedSource]:
        """Whose bytes there are, in order of appearance."""
        return [_source(channel) for channel in self._reader.channels() if channel.encoding == BYTES]

    def chunks(self) -> Iterator[tuple[RecordedSource, Chunk]]:
        """Recorded bytes in order, with the ``host_ns`` that they had.

        Raises:
            CorruptFile: a message is not what its channel says.
        """
        known: dict[int, RecordedSource] = {}
        for message in self._reader:
            if message.channel.encoding == BYTES:
                source = known.get(id(message.channel))
                if source is None:
                    source = known[id(message.channel)] = _source(message.channel)
                yield source, Chunk(message.data, self._host_ns(message), source.channel)

    def samples(self) -> Iterator[Sample]:
        """Recorded readings in order.

        Raises:
            CorruptFile: a message is not what its channel says.
        """
        for message, record in self._json(READING):
            try:
                values = {name: tuple(float(v) for v in record[name]) for name in VALUES if name in record}
                reading = Reading(sensor=str(record.get("sensor", "")), sequence=record.get("sequence"),
                                  device_us=record.get("device_us"), flags=Flags(record["flags"]), **values)  # type: ignore[arg-type]
                sample = Sample(str(record["device"]), self._host_ns(message), int(record["epoch"]), reading,
                                str(record.get("channel", "")))
            except (KeyError, TypeError, ValueError) as error:
                raise self._wrong(message, error) from error
            yield sample

    def frames(self, name: str | None = None) -> Iterator[tuple[Topology, Frame]]:
        """Recorded frames in order; ``name`` picks one series.

        Raises:
            CorruptFile: a message is not what its channel says.
        """
        topologies: dict[int, Topology] = {}
        for message, record in self._json(FRAME):
            if name is not None and message.channel.topic != f"/frames/{name}":
                continue
            try:
                topology = topologies.get(id(message.channel))
                if topology is None:
                    topology = topologies[id(message.channel)] = Topology.from_dict(
                        json.loads(message.channel.metadata["topology"]))
                joints = [[joint or (math.nan,) * 3 for joint in person] for person in record["joints"]]
                frame = Frame(float(record["time"]), np.asarray(joints, np.float32),
                              np.asarray(record["confidence"], np.float32))
            except (KeyError, TypeError, ValueError, EdgeskelError) as error:
                raise self._wrong(message, error) from error
            yield topology, frame

    def _json(self, schema: Schema) -> Iterator[tuple[Message, dict[str, Any]]]:
        for message in self._reader:
            if message.channel.schema is not None and message.channel.schema.name == schema.name:
                try:
                    record = json.loads(message.data)
                    if not isinstance(record, dict):
                        raise ValueError("not an object")
                except ValueError as error:
                    raise self._wrong(message, error) from error
                yield message, record

    def _host_ns(self, message: Message) -> int:
        if self._ahead_ns is None:
            text = self._reader.metadata.get(CLOCK, {}).get("unix_minus_monotonic_ns", "0")
            try:
                self._ahead_ns = int(text)  # 0 for a file of somebody else: its times are as good as any
            except ValueError as error:
                raise CorruptFile(self._reader.path, f"the clock's difference is {text!r}",
                                  expected="nanoseconds") from error
        return message.log_ns - self._ahead_ns

    def _wrong(self, message: Message, error: Exception) -> CorruptFile:
        return CorruptFile(self._reader.path, f"message {message.sequence} of {message.channel.topic}: {error}",
                           expected=f"a message as {message.channel.schema.name if message.channel.schema else BYTES} says")


def _source(channel: Channel) -> RecordedSource:
    about = channel.metadata
    return RecordedSource(about.get("device", ""), about.get("protocol", ""), about.get("channel", ""), about.get("identity", ""))
