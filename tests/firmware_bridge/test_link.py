"""The link keeps a device connected, counts every loss exactly, and suffers alone."""

from __future__ import annotations

import asyncio
import math
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import DeviceError, UsageError
from firmware_bridge.codecs import Write
from firmware_bridge.device_allowlist import DeviceAllowlist
from firmware_bridge.link import (
    Backoff,
    DeviceRefused,
    DeviceReport,
    Gap,
    Item,
    Link,
    Lost,
    Overflow,
    Reboot,
    Recovered,
    Sample,
    SequenceTracker,
    Stalled,
    Wakeup,
)
from firmware_bridge.samples import Chunk, DeviceStatus, Flags, Reading
from firmware_bridge.testing.radio import RadioModel, SimulatedDevice, SimulatedTransport
from firmware_bridge.testing.virtual_time import VirtualLoop, run
from firmware_bridge.transports import Traits
from tests.firmware_bridge.counting import Counting
from tests.firmware_bridge.several import Several


class Clocked(Counting):
    """u16 counter, u32 microseconds; 7 bytes more are a status with an identity."""

    clock_bits: ClassVar[int | None] = 32

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        if len(chunk.data) == 13:
            return [DeviceStatus(identity=chunk.data[6:].decode(), battery=0.5)]
        if len(chunk.data) != 6:
            self.counts.bad += 1
            return []
        sequence, device_us = struct.unpack("<HI", chunk.data)
        self.counts.frames += 1
        return [Reading(sequence=sequence, device_us=device_us)]

    def start(self, rate_hz: float | None = None) -> list[Write]:
        if rate_hz == 7:
            raise UsageError("7 Hz", expected="100 Hz")
        return [Write(b"start")]

    def stop(self) -> list[Write]:
        return [Write(b"stop")]

    def reply(self, chunk: Chunk) -> list[Write]:
        return [Write(b"pong")] if len(chunk.data) == 13 else []


def packet(sequence: int, device_us: int) -> bytes:
    return struct.pack("<HI", sequence, device_us % 2**32)


class Bench:
    """A device, the link to it, and everything that came out."""

    def __init__(self, clock: Callable[[], int], name: str = "left", **device: object) -> None:
        self.device = SimulatedDevice(packet, clock=clock, **device)  # type: ignore[arg-type]
        self.transports: list[SimulatedTransport] = []
        self.items: list[Item] = []
        self.name, self.clock = name, clock
        self.hang = self.together = False

    def transport(self) -> SimulatedTransport:
        self.transports.append(SimulatedTransport(self.device, self.name))
        self.transports[-1].hang, self.transports[-1].traits = self.hang, Traits(together=self.together)
        return self.transports[-1]

    def link(self, **options: object) -> Link:
        return Link(self.name, Clocked, self.transport, clock=self.clock, seed=1, **options)  # type: ignore[arg-type]

    async def watch(self, link: Link, seconds: float) -> None:
        end = self.clock() + int(seconds * 1e9)
        while self.clock() < end:
            await asyncio.sleep(0.01)
            self.items += link.drain()

    def of(self, kind: type) -> list[Item]:
        return [item for item in self.items if type(item) is kind]


def test_readings_arrive_whole_in_order_and_across_the_wrap() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock, first=65400)
        async with bench.link() as link:
            await bench.watch(link, 5.0)
            health = link.health
        sequences = [item.reading.sequence for item in bench.of(Sample)]
        assert len(sequences) > 480
        assert all((b - a) % 65536 == 1 for a, b in zip(sequences, sequences[1:], strict=False))
        assert 0 in sequences  # it did wrap
        assert health.lost == 0 and not bench.of(Gap) and health.state == "streaming"
        assert health.rate_hz == pytest.approx(100, rel=0.03)
        assert bench.device.written == [(b"start", ""), (b"stop", "")]

    run(scenario)


def test_every_packet_that_the_radio_dropped_is_counted() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        # 50 ms and 40 % errors cannot carry 100 packets a second: the queue overflows all the time.
        model = RadioModel(interval_s=0.05, packet_error=0.4, queue=8, supervision_s=30.0, seed=3)
        bench = Bench(clock, model=model, first=65000)
        async with bench.link() as link:
            await bench.watch(link, 30.0)
        samples, gaps = bench.of(Sample), bench.of(Gap)
        span = (samples[-1].reading.sequence - samples[0].reading.sequence) % 65536
        assert sum(gap.count for gap in gaps) == span + 1 - len(samples) > 200
        flagged = [item for item in samples if item.reading.flags & Flags.GAP]
        assert len(flagged) == len(gaps)

    run(scenario)


def test_a_gap_comes_right_before_the_reading_that_follows_it() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock, model=RadioModel(interval_s=0.015, queue=4, fades=((3.0, 3.4),), supervision_s=2.0))
        async with bench.link() as link:
            await bench.watch(link, 4.0)
        index = next(i for i, item in enumerate(bench.items) if isinstance(item, Gap))
        before = [item for item in bench.items[:index] if isinstance(item, Sample)][-1]
        after = bench.items[index + 1]
        assert isinstance(after, Sample) and after.reading.flags == Flags.GAP
        assert after.reading.sequence - before.reading.sequence == bench.items[index].count + 1

    run(scenario)


def test_silence_is_noticed_within_half_a_second_and_a_period_although_connected() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        bench.hang = True  # and closing hangs, as bleak's does when its daemon was killed
        async with bench.link() as link:
            await bench.watch(link, 2.0)
            bench.device.silent = True
            last_ns = link.health.last_seen_ns
            await bench.watch(link, 1.0)
            stalled = bench.of(Stalled)[0]
            assert 0.5 <= (stalled.host_ns - last_ns) / 1e9 <= 0.51 + 0.001
            assert link.health.state == "stalled"
            bench.device.silent = bench.hang = False
            await bench.watch(link, 3.0)
            assert link.health.state == "streaming" and len(bench.transports) == 2
            recovered = bench.of(Recovered)[-1]
            assert recovered.after_s < 0.51 + 2.0 + 0.2 + 0.1  # stall, bounded close, first wait, connect
            assert link.health.lost == sum(gap.count for gap in bench.of(Gap)) > 150

    run(scenario)


def test_a_device_is_not_blamed_for_what_held_up_the_host() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        async with bench.link() as link:
            await bench.watch(link, 2.0)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            for _ in range(3):
                bench.device.silent = True
                loop.advance(1.3)  # as if a callback had taken so long: nothing was read meanwhile,
                await bench.watch(link, 0.2)  # and what others hold back for us comes a little later
                bench.device.silent = False
                await bench.watch(link, 0.3)
            assert not bench.of(Stalled) and link.health.reopened == 0
            bench.device.silent = True
            await bench.watch(link, 1.0)
            assert bench.of(Stalled)

    run(scenario)


def test_a_slow_device_may_be_silent_for_ten_of_its_periods() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock, rate_hz=4.0)
        async with bench.link() as link:
            await bench.watch(link, 6.0)
            bench.device.silent = True
            await bench.watch(link, 2.2)
            assert not bench.of(Stalled)
            await bench.watch(link, 0.6)
            assert bench.of(Stalled)

    run(scenario)


def test_a_reboot_begins_an_epoch_and_counts_what_was_missed_since() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        async with bench.link() as link:
            await bench.watch(link, 3.0)
            bench.device.reboot()
            bench.transports[-1].cut()
            await bench.watch(link, 3.0)
            health = link.health
        [reboot] = bench.of(Reboot)
        first = next(item for item in bench.of(Sample) if item.epoch == 1)
        assert first.reading.flags & Flags.REBOOTED
        assert reboot.missed == first.reading.sequence > 0
        assert health.lost == reboot.missed and health.reboots == 1
        assert {item.epoch for item in bench.of(Sample)} == {0, 1}

    run(scenario)


def test_attempts_grow_rarer_and_the_first_reading_ends_the_outage() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        async with bench.link() as link:
            await bench.watch(link, 1.0)
            bench.device.present = False
            bench.transports[-1].cut()
            await bench.watch(link, 60.0)
            attempts = len(bench.transports)
            assert 13 <= attempts <= 30  # 0.2, 0.4, ... 5 s, each shortened by up to half
            assert len(bench.of(Lost)) == 2  # out of reach, then not found: said once each
            bench.device.present = True
            await bench.watch(link, 6.0)
            assert link.health.state == "streaming"
            assert bench.of(Recovered)[-1].after_s == pytest.approx(60, abs=6)

    run(scenario)


def test_backoff_stays_within_its_bounds_and_differs_between_devices() -> None:
    backoff = Backoff()
    delays = [[backoff.delay_s(n, random.Random(seed)) for n in range(1, 40)] for seed in range(20)]
    assert all(0.1 <= delay <= 5.0 for row in delays for delay in row)
    assert all(0.1 <= row[0] <= 0.2 for row in delays)
    assert len({row[0] for row in delays}) == 20


def test_one_device_that_hangs_fails_and_floods_leaves_the_others_alone() -> None:
    class Failing(Clocked):
        def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
            raise ZeroDivisionError("a codec with a fault")

    class Hanging(SimulatedTransport):
        async def open(self, received: object, lost: object) -> None:
            await asyncio.sleep(1e6)

    class Exploding(SimulatedTransport):
        async def open(self, received: object, lost: object) -> None:
            raise RuntimeError("a library failed")

    async def scenario(clock: Callable[[], int]) -> None:
        good, bad = Bench(clock, "good"), Bench(clock, "bad")
        options = {"clock": clock, "seed": 2}
        links = Several(
            good.link(),
            Link("failing", Failing, bad.transport, **options),
            Link("hanging", Clocked, lambda: Hanging(bad.device), **options),
            Link("exploding", Clocked, lambda: Exploding(bad.device), **options),
            Link("wrong", Clocked, bad.transport, rate_hz=7, **options),
        )
        async with links:
            end = clock() + 40_000_000_000
            while clock() < end:
                await asyncio.sleep(0.02)
                good.items += links.drain()
            state = {health.device: health for health in links.health}
        samples = [item for item in good.of(Sample) if item.device == "good"]
        assert len(samples) > 3980 and state["good"].lost == 0
        assert state["failing"].faults > 100 and state["failing"].received == 0
        assert state["hanging"].problem.startswith("no end after 30 s")
        assert "a library failed" in state["exploding"].problem
        [final] = [item for item in good.of(Lost) if item.final]
        assert final.device == "wrong" and "100 Hz" in final.reason

    run(scenario)


def test_a_slow_reader_is_told_how_much_it_missed() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        async with bench.link(limit=100) as link:
            await asyncio.sleep(5.0)
            bench.items += link.drain()
            overflow = bench.items[0]
            assert isinstance(overflow, Overflow)
            samples = bench.of(Sample)
            assert overflow.count == link.health.dropped == link.health.received - len(samples)
            assert samples[-1].reading.sequence - samples[0].reading.sequence == len(samples) - 1  # the newest stay
            await bench.watch(link, 1.0)
            assert len(bench.of(Overflow)) == 1

    run(scenario)


def test_a_stranger_is_named_and_nothing_of_it_passes() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        allowlist = DeviceAllowlist()
        allowlist.add("ble:AA:AA:AA:AA:AA:AA", "left wrist")

        def transport(identity: str) -> SimulatedTransport:
            return SimulatedTransport(bench.device, identity, identity=identity)

        for address, passes in (("ble:AA:AA:AA:AA:AA:AA", True), ("ble:BB:BB:BB:BB:BB:BB", False)):
            link = Link(address, Clocked, lambda a=address: transport(a), allowlist=allowlist, clock=clock)
            bench.items = []
            async with link:
                await bench.watch(link, 2.0)
                assert bool(bench.of(Sample)) == passes
                assert [item.identity for item in bench.of(DeviceRefused)] == ([] if passes else [address])
                assert passes or f"enrol {address} first" in link.health.problem

    run(scenario)


def test_a_device_that_only_says_itself_who_it_is_waits_for_that() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        allowlist = DeviceAllowlist()
        allowlist.add("serial:WRIST01")
        async with bench.link(allowlist=allowlist) as link:
            await bench.watch(link, 1.0)
            assert not bench.of(Sample)
            link._decoder.take(Chunk(packet(0, 0) + b"WRIST01", clock()))
            await bench.watch(link, 1.0)
            assert len(bench.of(Sample)) > 90 and bench.of(DeviceReport)[0].status.battery == 0.5
            assert (b"pong", "") in bench.device.written  # what the protocol owes the device
            assert link.health.battery == 0.5

    run(scenario)


def test_writing_to_a_device_that_is_not_there_says_so() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        with pytest.raises(DeviceError, match="left is not connected"):
            await bench.link().write([Write(b"x")])

    run(scenario)


# -- the sequence tracker, against a device that is simulated packet by packet ----------------------------------------


@settings(max_examples=100)
@given(bits=st.sampled_from([8, 16, 32]), clock_bits=st.sampled_from([None, 16, 32]), first=st.integers(0, 2**32 - 1),
       start_us=st.integers(0, 2**32 - 1), rate_hz=st.sampled_from([10.0, 100.0, 400.0]),
       holes=st.lists(st.integers(0, 90), min_size=5, max_size=60))
def test_loss_is_exact_for_every_counter(bits: int, clock_bits: int | None, first: int, start_us: int, rate_hz: float,
                                         holes: list[int]) -> None:
    """Holes up to 90 packets, well below half of an 8-bit counter, wherever counter and clock begin."""
    tracker = SequenceTracker(bits, clock_bits, 1000.0 if clock_bits == 16 else 1.0)
    number, lost = 0, 0
    span_us = (2**clock_bits * (1000 if clock_bits == 16 else 1)) if clock_bits else 0
    for hole in [0] * 5 + holes:
        number += 1 + (hole if number else 0)
        lost += hole if number > 1 else 0
        device_us = round(start_us + number / rate_hz * 1e6) % span_us if span_us else None
        reading = Reading(sequence=(first + number) % 2**bits, device_us=device_us)
        loss = tracker.update(reading, int(number / rate_hz * 1e9) + 10**9)
        assert not loss.rebooted and not loss.late
        assert loss.missing == (hole if number > 1 else 0)
    assert tracker.lost == lost


@settings(max_examples=100)
@given(bits=st.sampled_from([8, 16]), wraps=st.floats(0.0, 40.0), rate_hz=st.sampled_from([50.0, 100.0, 400.0]),
       drift_ppm=st.floats(-100, 100))
def test_whole_wraps_in_an_outage_are_counted_by_the_device_clock(bits: int, wraps: float, rate_hz: float,
                                                                  drift_ppm: float) -> None:
    tracker = SequenceTracker(bits, 64)
    hole = int(wraps * 2**bits)
    for number in [*range(50), 50 + hole]:
        device_us = round(number / rate_hz * 1e6 * (1 + drift_ppm * 1e-6))
        loss = tracker.update(Reading(sequence=number % 2**bits, device_us=device_us), round(number / rate_hz * 1e9))
    assert loss == (hole, False, False)


@settings(max_examples=100)
@given(before=st.integers(2, 70_000), down_s=st.floats(0.05, 100.0), missed=st.integers(0, 5000), bits=st.sampled_from([16, 32]))
def test_a_reboot_is_never_taken_for_a_gap(before: int, down_s: float, missed: int, bits: int) -> None:
    """Also when the new counter has overtaken the old one: then the clock has lost time."""
    rate = 100.0
    tracker = SequenceTracker(bits, 32)
    for number in range(max(0, before - 30), before):
        tracker.update(Reading(sequence=number % 2**bits, device_us=round(number / rate * 1e6)), round(number / rate * 1e9))
    tracker.reopened()
    host_ns = round(before / rate * 1e9 + (down_s + 10.5 + missed / rate) * 1e9)
    reading = Reading(sequence=missed, device_us=round(missed / rate * 1e6))
    loss = tracker.update(reading, host_ns)
    assert loss.rebooted and loss.missing == missed


def counted(tracker: SequenceTracker) -> dict[str, object]:
    """All that it keeps, but for the flags of what it remembers."""
    return {**vars(tracker), "_recent": [reading[:8] for reading in tracker._recent]}


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from([1, 1, 1, 1, 0, 2, 100, 200]),
                          st.sampled_from([10_000, 10_000, 9_990, 0, -5, 2_000_000, 2**31]),
                          st.sampled_from([10_000, 10_400, 0, 3_000_000]), st.booleans()), max_size=60), st.booleans())
def test_what_plainly_follows_is_booked_as_everything_else_is(steps: list[tuple[int, int, int, bool]], ordered: bool) -> None:
    """A reading that was only saturated takes the long way through the tracker; it must find the same."""
    short, long = SequenceTracker(8, 32, ordered=ordered), SequenceTracker(8, 32, ordered=ordered)
    sequence = device_us = host_us = 0
    for step, device_step, host_step, reopened in steps:
        sequence, device_us, host_us = (sequence + step) % 256, (device_us + device_step) % 2**32, host_us + host_step
        if reopened and step > 1:
            short.reopened()
            long.reopened()
        reading = Reading(sequence=sequence, device_us=device_us)
        loss = short.update(reading, host_us * 1000)
        assert loss == long.update(reading._replace(flags=Flags.SATURATED), host_us * 1000)
        assert counted(short) == counted(long)


def test_late_and_repeated_datagrams_are_left_out_and_corrected() -> None:
    tracker = SequenceTracker(16, None, ordered=False)
    numbers = [65533, 65534, 65537, 65536, 65535, 65538, 65536]
    losses = [tracker.update(Reading(sequence=n % 65536), i * 10**7) for i, n in enumerate(numbers)]
    assert [v.missing for v in losses] == [0, 0, 2, 0, 0, 0, 0]
    assert [v.late for v in losses] == [False, False, False, True, True, False, True]
    assert (tracker.lost, tracker.late) == (0, 3)


@pytest.mark.parametrize(("bits", "clock"), [(8, None), (16, 32), (None, 32)])
@pytest.mark.parametrize("many", [1, 4])
def test_a_notification_that_is_handed_over_twice_is_one(bits: int | None, clock: int | None, many: int) -> None:
    """As some stacks do after the link was opened anew: no reading is counted twice, nothing is a gap or a reboot."""
    tracker = SequenceTracker(bits, clock)
    for number in range(600):
        packet = [Reading(sequence=None if bits is None else number % 2**bits, acceleration=(number, part, 9.8),
                          device_us=None if clock is None else number * 40_000 + part * 10_000) for part in range(many)]
        for again in range(2 if number > 200 else 1):
            for reading in packet:
                loss = tracker.update(reading, number * 40_000_000 + again * 200_000)
                assert loss.late == bool(again) and not loss.rebooted and not loss.missing
    assert (tracker.received, tracker.lost, tracker.late, tracker.reboots) == (600 * many, 0, 399 * many, 0)


def test_a_sender_that_begins_anew_is_not_taken_for_late_packets_for_long() -> None:
    tracker = SequenceTracker(16, None, ordered=False)
    for number in range(40):
        tracker.update(Reading(sequence=number), number * 10**7)
    losses = [tracker.update(Reading(sequence=number), (40 + number) * 10**7) for number in range(20)]
    assert [v.rebooted for v in losses].index(True) == 7 and sum(v.rebooted for v in losses) == 1


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(-(2**40), 2**40), st.integers(0, 2**40)), max_size=80),
       st.booleans())
def test_no_numbers_upset_the_books(rows: list[tuple[int, int, int]], ordered: bool) -> None:
    tracker = SequenceTracker(8, 32, ordered=ordered)
    for sequence, device_us, host_ns in rows:
        loss = tracker.update(Reading(sequence=sequence, device_us=device_us), host_ns)
        assert loss.missing >= 0
    assert len(tracker._holes) <= 300


def test_what_is_decoded_when_it_is_read_is_what_would_have_been_decoded_at_once() -> None:
    async def scenario(clock: Callable[[], int], together: bool) -> tuple[list[Item], object]:
        bench = Bench(clock, first=65400, model=RadioModel(packet_error=0.3, queue=4, seed=3))
        bench.together = together
        async with bench.link() as link:
            await bench.watch(link, 2.0)
            bench.device.silent = True
            await bench.watch(link, 1.0)
            bench.device.silent = False
            await bench.watch(link, 1.0)
            bench.transports[-1].cut()
            await bench.watch(link, 1.0)
            bench.device.reboot()
            bench.transports[-1].cut()
            await bench.watch(link, 2.0)
            health = link.health
        return bench.items, health

    items, health = run(lambda clock: scenario(clock, True))
    assert {type(item) for item in items} == {Sample, Gap, Stalled, Lost, Recovered, Reboot}
    assert (items, health) == run(lambda clock: scenario(clock, False))


def test_bytes_that_nobody_reads_are_decoded_all_the_same_and_do_not_grow() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        bench = Bench(clock)
        bench.together = True
        taps: list[Chunk] = []
        async with bench.link(limit=100, tap=taps.append) as link:
            await asyncio.sleep(10.0)
            assert len(link._decoder.undecoded) <= 64 and len(link.queue) <= 100
            health = link.health
            assert health.received == len(taps) > 900 and health.dropped >= health.received - 100
            assert health.state == "streaming" and not health.reopened
            first, *rest = link.drain()
            assert isinstance(first, Overflow) and rest[-1].host_ns == taps[-1].host_ns

    run(scenario)


def test_a_reader_is_woken_when_all_those_have_sent_that_it_waits_for() -> None:
    async def scenario(clock: Callable[[], int]) -> None:
        benches = [Bench(clock, name, rate_hz=rate) for name, rate in (("quick", 100.0), ("slow", 4.0))]
        for bench in benches:
            bench.together = True
        wakeup = Wakeup()
        async with Several(*(bench.link(wakeup=wakeup) for bench in benches)) as several:
            while not all(health.state == "streaming" for health in several.health):
                await asyncio.sleep(0.01)

            def drain() -> list[Item]:
                items = several.drain()
                wakeup.clear()
                return items

            async def wait(until_s: float = math.inf, devices: Sequence[str] | None = None) -> None:
                await wakeup.wait(until_s, devices, [link.address for link in several.links if link.unread])

            async def waited(*arguments: Any) -> tuple[float, set[str]]:
                drain()
                begin = clock()
                await wait(*arguments)
                passed = (clock() - begin) / 1e9
                return passed, {item.device for item in drain() if isinstance(item, Sample)}

            assert (await waited())[1] == {"quick"}
            for _ in range(8):  # each time somewhere else between two readings
                await asyncio.sleep(0.07)
                assert (await waited(math.inf, ["quick", "slow"]))[1] == {"quick", "slow"}
                passed, heard = await waited(clock() / 1e9 + 0.1, ())
                assert passed == pytest.approx(0.1, abs=0.002) and "quick" in heard
                passed, _ = await waited(clock() / 1e9 + 0.015, ["slow"])
                assert passed <= 0.016
            for _ in range(8):  # nor does a watchdog wake it, which looks every half second
                assert (await waited(clock() / 1e9 + 0.3, ()))[0] == pytest.approx(0.3, abs=0.002)
            drain()
            while not several.links[0].unread:  # something of the quick one waits already
                await asyncio.sleep(0.001)
            begin = clock()
            await wait(math.inf, ["quick"])
            await wait()
            assert clock() == begin
            drain()
            asyncio.get_running_loop().call_later(0.02, benches[1].transports[-1].cut)
            assert (await waited(math.inf, ()))[0] == pytest.approx(0.02, abs=0.002)  # an event is not kept waiting

    run(scenario)
