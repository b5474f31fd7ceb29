"""MCAP files: a writer whose every message is on its way to the disk when it returns, and a reader that says where a
file is damaged.

The layout is the MCAP specification, version 0 (https://mcap.dev/spec). We write messages outside of chunks, one system
call each: what was recorded before a crash of the program is in the file. Against a power failure only ``sync`` helps,
and closing does it. Chunks without compression are read as well, so files of other tools open here when they were
written without it, and every MCAP tool opens ours.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from edgeskel.errors import CorruptFile, DataError, UsageError

__all__ = ["Channel", "McapReader", "McapWriter", "Message", "Schema"]

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 1, 2, 3, 4, 5, 6
STATISTICS, METADATA, METADATA_INDEX, SUMMARY_OFFSET, DATA_END = 0x0B, 0x0C, 0x0D, 0x0E, 0x0F
LONGEST_RECORD = 1 << 30
MESSAGE_HEAD = struct.Struct("<HIQQ")


@dataclass(frozen=True)
class Schema:
    """How the data of a channel is described, such as ``Schema("edgeskel.Reading", "jsonschema", b"{...}")``."""

    name: str
    encoding: str
    data: bytes


@dataclass(frozen=True)
class Channel:
    """A series of messages.

    Args:
        topic: its name.
        encoding: of its messages, ``json`` for example.
        schema: None for bytes that have none.
        metadata: anything about it, as text.
    """

    topic: str
    encoding: str
    schema: Schema | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; times in nanoseconds since 1970."""

    channel: Channel
    sequence: int
    log_ns: int
    publish_ns: int
    data: bytes


class McapWriter:
    """Writes a new file; a context manager.

    Args:
        path: must not exist: a recording is never written over.
        library: who wrote it.

    Raises:
        UsageError: the file exists.
        OSError: it cannot be made, or (from any method) the disk is full.
    """

    def __init__(self, path: str | os.PathLike[str], *, library: str = "edgeskel") -> None:
        try:
            self._file = open(path, "xb", buffering=0)
        except FileExistsError as error:
            raise UsageError(f"{path} exists", remedy="choose another name or remove it") from error
        self._crc = 0
        self._offset = 0
        self._ids: dict[int, Channel] = {}
        self._counts: dict[int, int] = {}
        self._schemas: dict[Schema, int] = {}
        self._metadata: list[bytes] = []
        self._first_ns: int | None = None
        self._last_ns = 0
        self._put(MAGIC + _record(HEADER, _text("") + _text(library)))

    def __enter__(self) -> McapWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def channel(self, channel: Channel) -> int:
        """Announce a channel; its number is what :meth:`write` takes."""
        schema_id = 0
        if channel.schema is not None:
            if channel.schema not in self._schemas:
                self._schemas[channel.schema] = len(self._schemas) + 1
                self._put(_schema_record(self._schemas[channel.schema], channel.schema))
            schema_id = self._schemas[channel.schema]
        number = len(self._ids) + 1
        self._ids[number], self._counts[number] = channel, 0
        self._put(_channel_record(number, schema_id, channel))
        return number

    def write(self, channel: int, log_ns: int, data: bytes, publish_ns: int | None = None) -> None:
        """Append a message; it is with the operating system when this returns."""
        count = self._counts[channel]
        self._counts[channel] = count + 1
        self._first_ns = log_ns if self._first_ns is None else min(self._first_ns, log_ns)
        self._last_ns = max(self._last_ns, log_ns)
        head = MESSAGE_HEAD.pack(channel, count & 0xFFFFFFFF, log_ns, log_ns if publish_ns is None else publish_ns)
        self._put(_record(MESSAGE, head + data))

    def metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Append named text values."""
        record = _record(METADATA, _text(name) + _map(values))
        self._metadata.append(_record(METADATA_INDEX, struct.pack("<QQ", self._offset, len(record)) + _text(name)))
        self._put(record)

    def sync(self) -> None:
        """Wait until the disk has it all."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the summary, and wait until the disk has it all. May be called twice."""
        if self._file.closed:
            return
        try:
            self._put(_record(DATA_END, struct.pack("<I", self._crc)))
            self._put_summary()
            self.sync()
        finally:
            self._file.close()

    def _put_summary(self) -> None:
        counts = b"".join(struct.pack("<HQ", number, count) for number, count in self._counts.items())
        statistics = struct.pack("<QHIIIIQQI", sum(self._counts.values()), len(self._schemas), len(self._ids), 0,
                                 len(self._metadata), 0, self._first_ns or 0, self._last_ns, len(counts)) + counts
        groups = [
            (SCHEMA, [_schema_record(number, schema) for schema, number in self._schemas.items()]),
            (CHANNEL, [_channel_record(number, self._schemas[c.schema] if c.schema else 0, c)
                       for number, c in self._ids.items()]),
            (STATISTICS, [_record(STATISTICS, statistics)]),
            (METADATA_INDEX, self._metadata),
        ]
        summary_start, summary, offsets = self._offset, b"", b""
        for opcode, records in groups:
            if records:
                group = b"".join(records)
                offsets += _record(SUMMARY_OFFSET, struct.pack("<BQQ", opcode, summary_start + len(summary), len(group)))
                summary += group
        footer = struct.pack("<BQQQ", FOOTER, 20, summary_start, summary_start + len(summary))
        crc = zlib.crc32(summary + offsets + footer)
        self._put(summary + offsets + footer + struct.pack("<I", crc) + MAGIC)

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view):]
        self._crc = zlib.crc32(data, self._crc)
        self._offset += len(data)


class McapReader:
    """Reads a file from its beginning; iterate it as often as you like.

    A file that was cut short or altered is read up to the damage; :attr:`damage` then says what is wrong and where, and
    is None otherwise (and before an iteration has come to its end).

    Raises:
        CorruptFile: it does not begin as an MCAP file.
        DataError: it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self.damage: str | None = None
        self.metadata: dict[str, dict[str, str]] = {}
        """Named values, as far as the file has been read."""
        with self._open() as file:
            begin = file.read(len(MAGIC))
        if begin != MAGIC:
            raise CorruptFile(self.path, f"begins with {begin!r}", expected="an MCAP recording")

    def __iter__(self) -> Iterator[Message]:
        self.damage = None
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        with self._open() as file:
            size = os.fstat(file.fileno()).st_size
            try:
                for opcode, content in _records(file, size):
                    yield from self._message(opcode, content, schemas, channels)
            except _Damage as damage:
                self.damage = str(damage)

    def channels(self) -> list[Channel]:
        """The channels: from the summary at the end, or by reading everything where a file was cut short."""
        found: dict[int, Channel] = {}
        with self._open() as file:
            start = _summary_start(file)
            if start:
                file.seek(start)
                schemas: dict[int, Schema] = {}
                try:
                    for opcode, content in _records(file, os.fstat(file.fileno()).st_size, start):
                        for _ in self._message(opcode, content, schemas, found):
                            pass
                except _Damage:
                    found.clear()
        return list(found.values()) or list(dict.fromkeys(message.channel for message in self))

    def _message(self, opcode: int, content: bytes, schemas: dict[int, Schema],
                 channels: dict[int, Channel]) -> Iterator[Message]:
        try:
            if opcode == MESSAGE:
                number, sequence, log_ns, publish_ns = MESSAGE_HEAD.unpack_from(content)
                if number not in channels:
                    raise _Damage(f"a message of channel {number}, which was not announced")
                yield Message(channels[number], sequence, log_ns, publish_ns, content[MESSAGE_HEAD.size:])
            elif opcode == CHUNK:
                for inner, part in _chunk(content):
                    yield from self._message(inner, part, schemas, channels)
            elif opcode == SCHEMA:
                fields = _Fields(content)
                number = fields.number("<H")
                schemas[number] = Schema(fields.text(), fields.text(), fields.data())
            elif opcode == CHANNEL:
                fields = _Fields(content)
                number, schema = fields.number("<H"), fields.number("<H")
                if schema and schema not in schemas:
                    raise _Damage(f"channel {number} has schema {schema}, which was not announced")
                channels[number] = Channel(fields.text(), fields.text(), schemas.get(schema), fields.map())
            elif opcode == METADATA:
                fields = _Fields(content)
                name = fields.text()
                self.metadata[name] = fields.map()
        except _Compressed as compressed:
            raise CorruptFile(self.path, f"its messages are compressed with {compressed}", expected="one without compression",
                              remedy=f"write it anew: mcap compress --compression none {self.path} -o plain.mcap") from None
        except (struct.error, UnicodeDecodeError) as error:
            raise _Damage(f"a record of kind {opcode} that cannot be read ({error})") from error

    def _open(self) -> BinaryIO:
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror}", expected="an MCAP recording") from error


class _Damage(Exception):
    """What is wrong with a file, and where."""


class _Compressed(Exception):
    """With what a chunk is compressed; nothing is wrong with the file."""


def _summary_start(file: BinaryIO) -> int:
    """Where the summary of a file that was closed begins; 0 if there is none."""
    size = file.seek(0, os.SEEK_END)
    if size < 2 * len(MAGIC) + 29:
        return 0
    file.seek(size - len(MAGIC) - 29)
    footer = file.read()
    opcode, length, start = struct.unpack_from("<BQQ", footer)
    ours = opcode == FOOTER and length == 20 and footer.endswith(MAGIC) and start < size
    return int(start) if ours else 0


def _records(file: BinaryIO, size: int, position: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every record of the section that begins at ``position``, with the checks that the format allows."""
    crc = 0
    if not position:
        position = len(MAGIC)
        crc = zlib.crc32(file.read(position))
    while True:
        head = file.read(9)
        if len(head) < 9:
            raise _Damage(f"cut short after {position + len(head)} bytes")
        opcode, length = struct.unpack("<BQ", head)
        if length > min(size - position - 9, LONGEST_RECORD):
            raise _Damage(f"cut short or altered at byte {position}: a record of {length} bytes where "
                          f"{max(0, size - position - 9)} are left")
        content = file.read(length)
        if not 0 < opcode <= DATA_END and opcode < 0x80:
            raise _Damage(f"altered at byte {position}: a record of kind {opcode}")
        if opcode == FOOTER:
            return
        if opcode == DATA_END:
            expected = struct.unpack("<I", content)[0] if length == 4 else 0
            if expected and expected != crc:
                raise _Damage("altered somewhere: the checksum of all messages does not match")
            return
        try:
            yield opcode, content
        except _Damage as damage:
            raise _Damage(f"{damage}, at byte {position}") from damage
        crc = zlib.crc32(content, zlib.crc32(head, crc))
        position += 9 + length


def _chunk(content: bytes) -> Iterator[tuple[int, bytes]]:
    fields = _Fields(content)
    fields.number("<Q"), fields.number("<Q")
    size, crc, compression = fields.number("<Q"), fields.number("<I"), fields.text()
    if compression:
        raise _Compressed(compression)
    records = fields.data("<Q")
    if len(records) != size or (crc and zlib.crc32(records) != crc):
        raise _Damage("a chunk whose checksum does not match")
    position = 0
    while position < len(records):
        opcode, length = struct.unpack_from("<BQ", records, position)
        if length > len(records) - position - 9:
            raise _Damage("a chunk that ends within a record")
        yield opcode, records[position + 9:position + 9 + length]
        position += 9 + length


class _Fields:
    """The fields of a record, one after the other. Raises struct.error where it is too short."""

    def __init__(self, content: bytes) -> None:
        self._content, self._position = content, 0

    def number(self, form: str) -> int:
        value: int = struct.unpack_from(form, self._content, self._position)[0]
        self._position += struct.calcsize(form)
        return value

    def data(self, form: str = "<I") -> bytes:
        length = self.number(form)
        if length > len(self._content) - self._position:
            raise struct.error(f"{length} bytes where {len(self._content) - self._position} are left")
        self._position += length
        return self._content[self._position - length:self._position]

    def text(self) -> str:
        return self.data().decode()

    def map(self) -> dict[str, str]:
        inner = _Fields(self.data())
        values: dict[str, str] = {}
        while inner._position < len(inner._content):
            key = inner.text()
            values[key] = inner.text()
        return values


def _record(opcode: int, content: bytes) -> bytes:
    return struct.pack("<BQ", opcode, len(content)) + content


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def _map(values: Mapping[str, str]) -> bytes:
    data = b"".join(_text(key) + _text(value) for key, value in values.items())
    return struct.pack("<I", len(data)) + data


def _schema_record(number: int, schema: Schema) -> bytes:
    body = struct.pack("<H", number) + _text(schema.name) + _text(schema.encoding)
    return _record(SCHEMA, body + struct.pack("<I", len(schema.data)) + schema.data)


def _channel_record(number: int, schema: int, channel: Channel) -> bytes:
    return _record(CHANNEL, struct.pack("<HH", number, schema) + _text(channel.topic) + _text(channel.encoding)
                   + _map(channel.metadata))
