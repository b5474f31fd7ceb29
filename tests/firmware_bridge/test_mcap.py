"""Recordings as MCAP: an independent reader agrees, a kill loses nothing that was written, damage is told."""

from __future__ import annotations

import asyncio
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel.errors import CorruptFile, DataError, UnknownChoice, UsageError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.link import Gap, Item, Link, Lost, Sample
from firmware_bridge.mcap import McapReader, McapRecording, RecordedSource, Recorder
from firmware_bridge.mcap.frames import load_mcap
from firmware_bridge.samples import Chunk, Flags, Reading
from firmware_bridge.testing.virtual_time import run
from firmware_bridge.transports import open_transport
from firmware_bridge.transports.replay import ReplayTransport
from tests.firmware_bridge.counting import Counting

READING = Reading("wrist", 65535, 12, (1.0, 0.0, 0.0, 0.0), (0.1, 9.8, -1e-9), None, (0.0, 1 / 3, 2.0), None,
                  Flags.GAP | Flags.SATURATED)
TOPOLOGY = Topology("two", ("pelvis", "head"), (-1, 0))




@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """5 s of two devices at 100 Hz; the left one lost numbers 200 to 209."""
    path = tmp_path / "walk.mcap"
    with Recorder(path) as recorder:
        for number in range(500):
            host_ns = 10**12 + number * 10**7
            if not 200 <= number < 210:
                recorder.chunk("ble:left", "counting", Chunk(struct.pack("<H", number), host_ns, "1234"), "ble:AA")
            recorder.chunk("ble:right", "counting", Chunk(struct.pack("<H", number), host_ns))
    return path


def test_what_was_recorded_comes_back_exactly(tmp_path: Path) -> None:
    path = tmp_path / "all.mcap"
    chunks = [Chunk(bytes(range(n)), 123_456_789_000 + n, f"channel-{n % 2}") for n in range(30)]
    samples = [Sample("ble:left", 10**11 + n, n // 3, READING, "c") for n in range(5)]
    joints = np.array([[[0.1, 0.2, 0.3], [np.nan, np.nan, np.nan]]], np.float32)
    frame = Frame(12.5, joints, np.array([[0.75, 0.0]], np.float32))
    with Recorder(path) as recorder:
        for chunk in chunks:
            recorder.chunk("ble:left", "node", chunk)
        for sample in samples:
            recorder.sample(sample)
        recorder.frame(frame, TOPOLOGY)
    recording = McapRecording(path)
    assert [chunk for _, chunk in recording.chunks()] == chunks
    assert recording.sources() == [RecordedSource("ble:left", "node", "channel-0"), RecordedSource("ble:left", "node", "channel-1")]
    assert list(recording.samples()) == samples
    [(topology, read)] = recording.frames("fused")
    assert topology == TOPOLOGY and read.time == 12.5
    np.testing.assert_array_equal(read.joints, joints)
    np.testing.assert_array_equal(read.confidence, frame.confidence)
    assert recording.damage is None


def test_an_independent_reader_agrees(walk: Path) -> None:
    reader = pytest.importorskip("mcap.reader")
    with walk.open("rb") as file:
        summary = reader.make_reader(file).get_summary()
        assert summary.statistics.message_count == 990
        assert {c.topic for c in summary.channels.values()} == {"/bytes/ble:left", "/bytes/ble:right"}
    with walk.open("rb") as file:
        theirs = [(channel.topic, message.log_time, message.data)
                  for _, channel, message in reader.NonSeekingReader(file, validate_crcs=True).iter_messages()]
    ours = [(message.channel.topic, message.log_ns, message.data) for message in McapReader(walk)]
    assert sorted(theirs) == sorted(ours)


def test_files_of_an_independent_writer_are_read(tmp_path: Path) -> None:
    writer_module = pytest.importorskip("mcap.writer")
    path = tmp_path / "theirs.mcap"
    for compression in (writer_module.CompressionType.NONE, writer_module.CompressionType.ZSTD):
        with path.open("wb") as file:
            writer = writer_module.Writer(file, chunk_size=200, compression=compression)
            writer.start()
            channel = writer.register_channel("/x", "raw", 0)
            for n in range(100):
                writer.add_message(channel, log_time=n, data=bytes([n]), publish_time=n)
            writer.finish()
        reader = McapReader(path)
        if compression == writer_module.CompressionType.NONE:
            assert [message.data[0] for message in reader] == list(range(100)) and reader.damage is None
        else:
            with pytest.raises(CorruptFile, match="compressed with zstd"):
                list(reader)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_compressed_recording_is_said_to_be_compressed_when_it_is_played(tmp_path: Path, compression: str) -> None:
    """Its frames are inside, though none can be read: another program wrote the file anew and compressed it."""
    plain, path = tmp_path / "plain.mcap", tmp_path / "walk.mcap"
    with Recorder(plain) as recorder:
        for n in range(5):
            recorder.frame(Frame(n / 30, np.zeros((1, 2, 3), np.float32), np.ones((1, 2), np.float32)), TOPOLOGY)
    writer_module = pytest.importorskip("mcap.writer")
    with plain.open("rb") as source, path.open("wb") as file:
        writer = writer_module.Writer(file, compression=writer_module.CompressionType[compression.upper()])
        writer.start()
        for schema, channel, message in pytest.importorskip("mcap.reader").make_reader(source).iter_messages():
            number = writer.register_schema(schema.name, schema.encoding, schema.data)
            writer.add_message(writer.register_channel(channel.topic, channel.message_encoding, number, channel.metadata),
                               message.log_time, message.data, message.publish_time)
        writer.finish()
    assert len(load_mcap(plain).time) == 5
    with pytest.raises(CorruptFile, match=f"compressed with {compression}.*mcap compress --compression none"):
        load_mcap(path)


def test_a_killed_recorder_loses_nothing_that_it_had_written(tmp_path: Path) -> None:
    path = tmp_path / "killed.mcap"
    program = f"""
import os, signal
from firmware_bridge.mcap import Recorder
from firmware_bridge.samples import Chunk
recorder = Recorder({str(path)!r})
for n in range(1000):
    recorder.chunk("ble:left", "node", Chunk(n.to_bytes(2, "little"), n))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    recording = McapRecording(path)
    assert [int.from_bytes(chunk.data, "little") for _, chunk in recording.chunks()] == list(range(1000))
    assert recording.damage is not None and "cut short" in recording.damage
    assert recording.sources() == [RecordedSource("ble:left", "node")]


def test_a_file_is_never_written_over(walk: Path) -> None:
    before = walk.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        Recorder(walk)
    assert walk.read_bytes() == before


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_a_file_cut_anywhere_is_read_up_to_the_cut(walk: Path, share: float) -> None:
    whole = [chunk for _, chunk in McapRecording(walk).chunks()]
    data = walk.read_bytes()
    cut = walk.with_suffix(".cut")
    size = 8 + int(share * (len(data) - 9))
    cut.write_bytes(data[:size])
    recording = McapRecording(cut)
    read = [chunk.data for _, chunk in recording.chunks()]
    assert read == [chunk.data for chunk in whole[:len(read)]]
    message = 9 + 22 + 2
    assert len(read) >= (min(size, len(whole) * message) - 700) // message
    if size < len(data) - 2000:  # cut within the messages, not in the summary behind them
        assert recording.damage is not None and "cut short" in recording.damage


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_an_altered_file_is_never_passed_off_as_whole(walk: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(walk.read_bytes())
    end = data.rindex(b"\x0f\x04\0\0\0\0\0\0\0")  # the record that ends the data section
    place = chance.randrange(8, end)
    data[place] ^= 1 << chance.randrange(8)
    altered = walk.with_suffix(".altered")
    altered.write_bytes(data)
    reader = McapReader(altered)
    for _ in reader:
        pass
    assert reader.damage is not None


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary(max_size=300))
def test_no_bytes_upset_the_reader(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "noise.mcap"
    path.write_bytes(b"\x89MCAP0\r\n" + tail)
    reader = McapReader(path)
    assert len(list(reader)) <= 10
    reader.channels()


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(b"hello")
    with pytest.raises(CorruptFile, match="begins with b'hello'"):
        McapRecording(tmp_path / "x.mcap")
    with pytest.raises(DataError, match="No such file"):
        McapRecording(tmp_path / "y.mcap")


def replayed(transport: Callable[[Callable[[], int]], ReplayTransport], **options: object) -> tuple[list[Item], float]:
    """Everything that a link makes of a recording, and how long that took in virtual seconds."""

    async def scenario(clock: Callable[[], int]) -> tuple[list[Item], float]:
        begin_ns = clock()
        items = []
        async with Link("replay", Counting, lambda: transport(clock), clock=clock, **options) as link:  # type: ignore[arg-type]
            async for item in link:
                items.append(item)
        return items, (clock() - begin_ns) / 1e9

    return run(scenario)


@pytest.mark.parametrize("speed", [1.0, 4.0, 0.0])
def test_a_recording_replays_as_a_transport(walk: Path, speed: float) -> None:
    items, seconds = replayed(lambda clock: ReplayTransport(str(walk), "ble:left", speed, clock=clock))
    samples = [item for item in items if isinstance(item, Sample)]
    assert [item.reading.sequence for item in samples] == [*range(200), *range(210, 500)]
    assert [item.count for item in items if isinstance(item, Gap)] == [10]
    assert seconds == pytest.approx(4.99 / speed if speed else 0, abs=0.01)
    steps = np.diff([item.host_ns for item in samples])
    assert np.median(steps) == pytest.approx(10**7 / (speed or 1))
    if not speed:
        assert samples[0].host_ns == 10**12  # as recorded, so that each time is like the other


def test_a_slow_reader_holds_a_replay_up_and_loses_nothing(walk: Path) -> None:
    items, _ = replayed(lambda clock: ReplayTransport(str(walk), "ble:left", 0.0), limit=50)
    assert len([item for item in items if isinstance(item, Sample)]) == 490


def test_a_damaged_recording_is_played_up_to_the_damage_and_says_so(walk: Path) -> None:
    data = walk.read_bytes()
    cut = walk.with_suffix(".cut")
    cut.write_bytes(data[:len(data) // 2])
    items, _ = replayed(lambda clock: ReplayTransport(str(cut), "ble:left", 0.0))
    assert len([item for item in items if isinstance(item, Sample)]) > 200
    [lost] = [item for item in items if isinstance(item, Lost)]
    assert lost.final and "cut short" in lost.reason


def test_one_of_several_devices_has_to_be_chosen(walk: Path) -> None:
    with pytest.raises(UsageError, match=r"device= with one of ble:left, ble:right"):
        _ = ReplayTransport(str(walk)).source
    with pytest.raises(UsageError, match="no bytes of 'ble:middle'"):
        asyncio.run(ReplayTransport(str(walk), "ble:middle").open(print, print))
    chosen = open_transport(f"replay:{walk}?device=ble:left")
    assert isinstance(chosen, ReplayTransport) and chosen.protocol == "counting" and chosen.identity == "ble:AA"
    for address, error in ((f"replay:{walk}?sped=1", UnknownChoice), (f"replay:{walk}?speed=-1", UsageError)):
        with pytest.raises(error):
            open_transport(address)


def test_a_full_disk_is_no_silent_loss(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which Linux has")
    with Recorder(tmp_path / "x.mcap") as recorder:
        recorder.chunk("ble:left", "node", Chunk(b"whole", 1))
        kept = recorder._writer._file
        recorder._writer._file = open("/dev/full", "wb", buffering=0)
        with pytest.raises(OSError, match="No space left"):
            recorder.chunk("ble:left", "node", Chunk(b"lost", 2))
        recorder._writer._file.close()
        kept.close()
    assert [chunk.data for _, chunk in McapRecording(tmp_path / "x.mcap").chunks()] == [b"whole"]
