"""Exact accounting of loss: what a device's counter and clock say about the readings between two that arrived.

A counter of ``bits`` wraps at 2**bits, so two values alone tell the number of readings between them only modulo that.
The device's clock says how many wraps fit in between. Either one that goes back says that the device began anew (an
epoch), except on a transport that may reorder (datagrams), where it can be a late packet.

What cannot be told: a reboot of a device without a clock whose new counter lies ahead of the old one, and readings that
were taken but never counted. Both need a device clock, and the documentation of each device says if it has one.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from firmware_bridge.samples import Flags, Reading

__all__ = ["SequenceTracker", "LossReport"]

REMEMBERED = 64
"""Readings among which one that comes again is recognised; a packet holds fewer."""
REPEATED_NS = 1_000_000_000
"""And it comes so soon; later, a device that began anew may say the same again."""

LATE_WINDOW = 64
"""A datagram that comes so many numbers late is still recognised as late."""
STALE_RUN = 8
"""So many old numbers in a row are no late packets: the device began anew."""
CLOCK_SLACK_US = 10_000_000
"""A device clock that ran so much further than ours between two readings was set or started anew."""
LATE_CLOCK_US = 2_000_000
"""A datagram whose device time lies further back than this is not late but of a new epoch."""


class LossReport(NamedTuple):
    """What one reading revealed. ``missing``: lost right before it. ``late``: older than one that was handed over."""

    missing: int = 0
    rebooted: bool = False
    late: bool = False


NOTHING = LossReport()
PLAIN = Flags.NONE  # found at once; an enum's members are looked up by its metaclass
LATE = LossReport(late=True)


class SequenceTracker:
    """Counts what one sensor of one device lost.

    Args:
        sequence_bits: after how many bits the counter wraps; None without a counter.
        clock_bits, clock_tick_us: after how many ticks of how many microseconds the device clock wraps; None without.
        ordered: False where the transport may reorder or repeat.
    """

    received: int
    reboots: int
    lost: int
    late: int

    def __init__(self, sequence_bits: int | None, clock_bits: int | None, clock_tick_us: float = 1.0, *,
                 ordered: bool = True) -> None:
        self.received = 0
        self.lost = 0
        self.late = 0
        self.reboots = 0
        self.period_us: float | None = None
        self._modulus = 1 << sequence_bits if sequence_bits is not None else 0
        self._span_us = float(1 << clock_bits) * clock_tick_us if clock_bits is not None else 0.0
        self._ordered = ordered
        self._sequence: int | None = None
        self._device_us: int | None = None
        self._host_ns = 0
        self._reopened = False
        self._holes: set[int] = set()
        self._stale = 0
        self._recent: deque[Reading] = deque(maxlen=REMEMBERED)

    def reopened(self) -> None:
        """The transport was opened anew: nothing older waits in a buffer any more."""
        self._reopened = True

    def update(self, reading: Reading, host_ns: int) -> LossReport:
        """Count a reading that arrived at ``host_ns`` and say what it reveals."""
        if self.update_if_next(reading, host_ns):
            return NOTHING
        sequence = reading.sequence if self._modulus else None
        device_us = reading.device_us if self._span_us else None
        if self._ordered and host_ns - self._host_ns < REPEATED_NS and self._repeats(reading, sequence, device_us):
            self.late += 1
            return LATE
        if not self.received:
            loss = NOTHING
        elif Flags.REBOOTED in reading.flags:  # the protocol itself says so
            loss = self._reboot(sequence, device_us)
        else:
            loss = self._compare(sequence, device_us, host_ns)
        if loss.late:
            return loss
        self.received += 1
        self.lost += loss.missing
        self.reboots += loss.rebooted
        if sequence is not None:
            self._sequence = sequence
        if device_us is not None:
            self._device_us = device_us
        self._host_ns = host_ns
        self._reopened = False
        self._stale = 0
        self._recent.append(reading)
        return loss

    def update_if_next(self, reading: Reading, host_ns: int) -> bool:
        """Count a reading if it is plainly the next one, as nearly all are: what :meth:`update` would find, at a fraction of the
        cost. False, and nothing is counted, where it takes a closer look."""
        sequence, device_us = reading.sequence, reading.device_us
        if sequence is None or device_us is None or self._sequence is None or self._device_us is None or reading.flags is not PLAIN:
            return False
        if not self._ordered or self._reopened or (sequence - self._sequence) % self._modulus != 1 or host_ns < self._host_ns:
            return False
        advance = (device_us - self._device_us) % self._span_us
        if not 0 < advance < CLOCK_SLACK_US or 2 * advance >= self._span_us or self._modulus < 4:
            return False
        period = self.period_us
        if period is None:
            self.period_us = advance
        elif advance < period * self._modulus / 2:
            self.period_us = period + (advance - period) / 16
        else:
            return False
        self.received += 1
        self._sequence, self._device_us, self._host_ns = sequence, device_us, host_ns
        self._recent.append(reading)
        return True

    def _repeats(self, reading: Reading, sequence: int | None, device_us: int | None) -> bool:
        """Whether it was there already, with its number, its time and its values: some stacks hand a notification over twice after
        the link was opened anew (bleak, issue 2002)."""
        back = False
        if sequence is not None and self._sequence is not None:
            back = (self._sequence - sequence) % self._modulus < REMEMBERED
        elif device_us is not None and self._device_us is not None:
            back = 2 * ((self._device_us - device_us) % self._span_us) < self._span_us
        measured = reading[:8]
        return back and any(measured == recent[:8] for recent in self._recent)

    def _compare(self, sequence: int | None, device_us: int | None, host_ns: int) -> LossReport:
        host_us = (host_ns - self._host_ns) / 1e3
        step = (sequence - self._sequence) % self._modulus if sequence is not None and self._sequence is not None else None
        advance = None
        if device_us is not None and self._device_us is not None:
            advance = (device_us - self._device_us) % self._span_us
            if 2 * advance >= self._span_us:
                advance -= self._span_us
        if not self._ordered and step is not None:
            late = self._late(step, advance, host_us)
            if late is not None:
                return late if late.late else self._reboot(sequence, device_us)
        if advance is not None and self._clock_restarted(step, advance, host_us):
            return self._reboot(sequence, device_us)
        if step is None:
            return NOTHING
        elapsed = advance if advance is not None else host_us if self._reopened else 0.0
        total = self._unwrap(step, elapsed)
        if total is None:
            return self._reboot(sequence, device_us)
        if not total:  # another reading of the same packet
            return NOTHING
        if elapsed > 0 and total < self._modulus // 2:
            period = elapsed / total
            self.period_us = period if self.period_us is None else self.period_us + (period - self.period_us) / 16
        elif advance is None and self._ordered and 0 < host_us < 1e6:
            period = host_us / total
            self.period_us = period if self.period_us is None else self.period_us + (period - self.period_us) / 64
        if not self._ordered and total > 1:
            self._remember(total)
        return LossReport(total - 1) if total > 1 else NOTHING

    def _clock_restarted(self, step: int | None, advance: float, host_us: float) -> bool:
        if advance < 0:
            return self._ordered or advance < -LATE_CLOCK_US
        if self._span_us < 4 * host_us:  # it may have wrapped more than once: it says nothing
            return False
        if advance > host_us + CLOCK_SLACK_US + host_us / 100:
            # Ours stands still while the host sleeps; then the device's counter has moved on with its clock.
            return step is None or not self._agrees(step, advance)
        return self._reopened and advance < host_us - CLOCK_SLACK_US - host_us / 100

    def _agrees(self, step: int, elapsed_us: float) -> bool:
        if self.period_us is None:
            return False
        expected = elapsed_us / self.period_us
        apart = (step - expected) % self._modulus
        return min(apart, self._modulus - apart) <= min(self._modulus / 4, max(8.0, expected / 20))

    def _unwrap(self, step: int, elapsed_us: float) -> int | None:
        """Readings from the last one to this, whole wraps included; None if only a reboot explains the numbers."""
        half = self._modulus / 2
        expected = elapsed_us / self.period_us if self.period_us else 0.0
        if step < half and expected < half:
            return step
        wraps = round((expected - step) / self._modulus)
        if step >= half and (wraps < 0 or not self._agrees(step, elapsed_us)):
            return None
        return step + max(wraps, 0) * self._modulus

    def _late(self, step: int, advance: float | None, host_us: float) -> LossReport | None:
        """What a counter that does not go on means where packets may overtake each other; None if the rest decides."""
        if not step:  # the newest packet once more, or another reading in it
            if advance if advance is not None else not host_us:
                return None  # several readings of one datagram share its number and its arrival
            self.late += 1
            return LATE
        behind = self._modulus - step
        if behind > LATE_WINDOW or (advance is not None and not -LATE_CLOCK_US <= advance <= 0):
            return None
        self._stale += 1
        if self._stale >= STALE_RUN:
            return LossReport(rebooted=True)
        assert self._sequence is not None
        number = (self._sequence - behind) % self._modulus
        if number in self._holes:
            self._holes.discard(number)
            self.lost -= 1
        self.late += 1
        return LATE

    def _remember(self, total: int) -> None:
        assert self._sequence is not None
        newest = self._sequence + total
        for number in range(max(self._sequence + 1, newest - LATE_WINDOW), newest):
            self._holes.add(number % self._modulus)
        if len(self._holes) > 4 * LATE_WINDOW:
            self._holes = {n for n in self._holes if (newest - n) % self._modulus <= LATE_WINDOW}

    def _reboot(self, sequence: int | None, device_us: int | None) -> LossReport:
        """A new epoch. Counters begin at 0: what is missing since then is counted if the new clock agrees with that."""
        self._holes.clear()
        self._sequence = self._device_us = None
        missing = 0
        if sequence is not None and device_us is not None and self.period_us:
            if sequence <= 8 + 1.5 * device_us / self.period_us:
                missing = sequence
        return LossReport(missing, rebooted=True)
