"""A live feed gives its reader a batch when the reader needs one, and neither sooner nor for every reading."""

from __future__ import annotations

import math
import selectors
import socket
import time

import pytest

from firmware_bridge.coalescing import CoalescingSelector
from firmware_bridge.feed import LiveFeed
from firmware_bridge.link import Sample
from firmware_bridge.testing.pty_node import PtyNode


def test_a_reader_that_says_until_when_it_needs_nothing_is_left_alone_until_then() -> None:
    with PtyNode(rate_hz=200) as device, LiveFeed({device.address: None}) as feed:
        counts: list[int] = []
        for _, items in feed:
            count = sum(isinstance(item, Sample) for item in items)
            counts += [count] if counts or count else []
            if len(counts) > 20:
                break
            feed.expect(time.monotonic() + 0.05, ())
        # Ten each; what was taken up before the reader said so comes at once, which are four at least.
        assert sum(counts[1:]) > 3 * len(counts[1:])


def test_a_reader_that_waits_for_a_device_gets_a_batch_with_a_reading_of_it() -> None:
    with PtyNode(rate_hz=100) as quick, PtyNode(rate_hz=20) as slow, LiveFeed({quick.address: None, slow.address: None}) as feed:
        heard: list[set[str]] = []
        for _, items in feed:
            devices = {item.device for item in items if isinstance(item, Sample)}
            if heard or len(devices) == 2:
                heard += [devices] if len(items) == sum(isinstance(item, Sample) for item in items) and items else []
            if len(heard) > 6:
                break
            feed.expect(math.inf, {slow.address})
        # A batch comes in any case after a fifth of a second, which is four of its periods.
        assert sum(slow.address in devices for devices in heard) >= len(heard) / 2


def test_a_loop_that_gathers_pauses_before_it_looks_and_keeps_its_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    ours, theirs = socket.socketpair()
    with ours, theirs, CoalescingSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        assert len(selector.select(1.0)) == 1 and not naps  # it looks at once, unless it is told to gather
        selector.gather_s = 0.002
        assert len(selector.select(1.0)) == len(selector.select(None)) == 1 and naps == [0.002, 0.002]
        selector.select(0.0005)  # a timer of the loop is due sooner
        selector.select(0)  # and callbacks wait
        assert naps == [0.002, 0.002, 0.0005]
