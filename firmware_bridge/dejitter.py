"""How many sampling periods lie between two readings, and when each was measured.

A sensor measures by an oscillator, evenly; what stamps its readings (a loop that polls it, an operating system, their
arrival) does so with jitter. Integrating a gyroscope over the differences of such stamps multiplies the jitter into the
rotation. So readings are counted: one period each, unless some are missing.

The period and the phase are followed by a loop of second order (the steady state of a Kalman filter for a rate that wanders
as a random walk; Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, 6.5), whose
bandwidth follows from the jitter that is seen. Missing readings shift the phase by whole periods for good, which jitter does
not: with little jitter that shows at once, else a cumulative sum (Page, "Continuous inspection schemes", Biometrika 41 (1954),
10.1093/biomet/41.1-2.100) finds it some readings later and says how many ago.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dejitter", "Late", "round_period"]

Float64 = NDArray[np.float64]

WANDER = 3e-5
"""By how much a rate wanders in a second, relative (one standard deviation): an oscillator that warms up."""
FASTEST_GAIN = 0.2
STEEPEST_GAIN = FASTEST_GAIN**2 / 2
"""Shares of a deviation that phase and period follow at most, however even the stamps are."""
SETTLING = 64
"""Readings over which the size of the jitter is averaged."""
LEAST_JITTER = 0.05
"""Share of the period that jitter is taken to have at least, when it is judged whether a reading is missing."""
LOG_LIKELIHOOD_RATIO = 12.0
"""Log likelihood ratio at which readings are missing: once in e**12 readings it is said of jitter. Deviations that come in runs,
as of readings that wait for each other, tell less: the ratio is higher by what their correlation says."""
PLAIN, PLAIN_AMONG_JITTER = 5.0, 10.0
"""Standard deviations of the jitter by which a reading that is late tells at once that others are missing. Where jitter is a good
part of a period, it may have a long tail."""
OLD, OLD_AMONG_JITTER = 4.0, 6.0
"""And by which one is early that is older than the one before, and no new one."""
MOST_CORRELATION = 0.9
"""Correlation of neighbouring deviations that is allowed for at most, of ten readings that came in one packet."""
BLOCK = 16
"""Readings by which a changed rate is noticed."""
CHANGED = 0.1
"""A period that is off by such a share is another rate, if the readings of a block are that even."""
NOMINAL_SLACK = 0.1
"""A nominal rate may be off by so much."""
LIKELY = 3.5
"""Standard deviations of what was seen within which the nominal rate, or a multiple of 5 Hz, is the better guess; it is kept until
what is followed differs by more."""
LEAST_PERIOD_S = 1e-4
EXACT = 1e-6
"""Share of the period below which stamps are as good as numbers of this size can be, and better than any fit."""
EVEN = 1 / 6
"""Share of the period below which jitter leaves no doubt about the number of periods between two readings."""


class Late(NamedTuple):
    """Found out late: right before the reading that came ``ago`` readings before this one, ``seconds`` are missing.

    Args:
        ago: readings back, 0 for this one.
        seconds: less than 0 where too many were taken for missing.
        spread: whether they belong to all readings since then, in equal parts (the rate has changed).
    """

    ago: int
    seconds: float
    spread: bool = False


class Dejitter:
    """Follows one series of time stamps. Make it by :meth:`learn`.

    Args:
        period: seconds.
        jitter: seconds, standard deviation of the stamps.
        readings: how many the two were learnt from.
        late: seconds by which the first stamp to come lies behind what is known of the phase with this period.
        known: how many of the stamps to come have been learnt from.
        likely: seconds that a period has by the nominal rate, which is believed until the stamps speak against it.
    """

    in_order = False
    """Set where stamps are of arrival: readings may wait for each other, but none is older than the one before."""

    def __init__(self, period: float, jitter: float, readings: int, *, late: float = 0.0, known: int = 0,
                 likely: float | None = None) -> None:
        self.period = likely or period
        """Seconds: the likely one until the stamps speak against it, since the first seconds of stamps that jitter tell it to a
        few thousandths only, and what is followed then."""
        self.time = -math.inf
        """Seconds: when the last reading was measured, the jitter taken off."""
        self.step = self.period
        """Seconds of each period up to the last reading: what passed by stamps that are exact, else the period."""
        self.found: Late | None = None
        """What the last reading has revealed about earlier ones."""
        self._late = late if likely is None else late + 0.5 * max(0, known - 1) * (likely - period)
        self._known = known
        # What the stamps alone say, while the likely period is believed: by how much time and period differ.
        self._doubted = likely is not None
        self._free_period = period - self.period
        self._free_time = -0.5 * max(0, known - 1) * self._free_period  # in the middle of what both were learnt from they meet
        # Of the differences of successive deviations, which a reading that is missing disturbs once only: mean square, and mean
        # product of one and the next.
        self._square, self._product = 2 * jitter * jitter, -jitter * jitter
        self._off = self._step = 0.0
        self._learnt = max(readings, 4)
        self._stamp = -math.inf
        self._newest = -math.inf
        self._sequence: int | None = None
        self._block: list[float] = []
        self._counted = self._declared = 0
        self._forget()
        self._tune()

    @classmethod
    def learn(cls, times: Sequence[float], nominal_s: float | None = None) -> Dejitter:
        """Period and jitter of the first readings.

        Args:
            times: seconds, of two readings at least, in the order in which they came.
            nominal_s: the period that the device should have.
        """
        stamps = np.asarray(times, dtype=np.float64)
        steps = np.diff(stamps)
        slope, even, late, correlation = _line(np.arange(len(stamps), dtype=np.float64), stamps)
        guess = nominal_s if nominal_s is not None else float(np.median(steps))
        if guess > LEAST_PERIOD_S:
            counts = np.concatenate([[0.0], np.cumsum(np.maximum(1.0, np.round(steps / guess)))])
            period, jitter, behind, correlation_then = _line(counts, stamps)
            if jitter < EVEN * period and abs(period / guess - 1) < NOMINAL_SLACK:
                # Over the whole span it is known to the last digit, which the middle of the single steps is not.
                if jitter < 1e-6 * period:
                    period, behind = float((stamps[-1] - stamps[0]) / counts[-1]), 0.0
                likely = nominal_s or _round_rate(period)
                fits = _fits(period, likely, _uncertain(jitter, len(stamps), correlation_then))
                return cls(period, jitter, len(stamps), late=behind, known=len(stamps), likely=likely if fits else None)
        if nominal_s is not None and slope > (1 + NOMINAL_SLACK) * nominal_s:
            return cls(nominal_s, even, 4)  # some are missing, who knows which
        if not slope > LEAST_PERIOD_S:  # they came all at once, or backwards
            slope = max(float(stamps.max() - stamps.min()) / len(stamps), LEAST_PERIOD_S)
        count = len(stamps)
        likely = nominal_s or _round_rate(slope)
        fits = _fits(slope, likely, _uncertain(even, count, correlation))
        return cls(slope, even, count, late=late, known=count, likely=likely if fits else None)

    @property
    def jitter(self) -> float:
        """Seconds, standard deviation of the last stamps."""
        return self._jitter

    def push(self, stamp: float, sequence: int | None = None, readings: int = 1) -> int:
        """Take the stamp of the next reading.

        Args:
            stamp: seconds.
            sequence: the device's counter, where it has one; believed where the stamp does not contradict it.
            readings: how many there were since the last one that was pushed, this one included.

        Returns:
            How many periods have passed since the last reading that was pushed: ``readings`` plus the number of those that are
            missing. 0 for a reading that is not newer than the last one and is left out.
        """
        self.found = None
        before, self._sequence = self._sequence, sequence
        if self._stamp == -math.inf:
            self._stamp = self._newest = stamp
            self.time, self._late = stamp - self._late, 0.0
            return 1
        period = self.period
        count = readings
        off = stamp - self.time - count * period
        sigma = self._sigma
        if sequence is not None and before is not None and 1 < sequence - before < 1 << 15:
            missing = sequence - before - 1
            if abs(off - missing * period) < 5 * sigma + 0.5 * period:
                count += missing
                off -= missing * period
        if off > 0.5 * period or off < -0.5 * period:
            if off > self._plain:
                missing = round(off / period)
                count += missing
                off -= missing * period
                self._declared += missing
                self._up = self._down = 0.0
            elif not self.in_order and stamp <= self._newest and off < -self._old:
                self._see(off)
                self._tune()
                self._sequence = before
                return 0
        if stamp > self._newest:
            self._newest = stamp
        step = stamp - self._stamp
        self.step = step / count if self._exact else period
        self._excess += count * self.step - step
        self._block.append(step if readings == 1 else step / readings)
        self._counted += readings
        self._stamp = stamp
        if off > 0.25 * period or off < -0.25 * period or self._up or self._down:
            off = self._accumulate(off)
        predicted = self.time + count * period
        phase_gain, period_gain = self._phase_gain, self._period_gain
        if self._known:
            self._known -= 1
            self._learnt -= readings  # they are in it, and the block will add them again
            phase_gain = period_gain = 0.0
        elif readings > 1:
            phase_gain = min(readings * phase_gain, FASTEST_GAIN)
            period_gain = min(readings * period_gain, STEEPEST_GAIN / readings)
        share = phase_gain * off
        self.time = predicted + (share if share > -0.5 * period else -0.5 * period)
        if self._doubted:
            self._follow_freely(off, count, phase_gain, period_gain)
        else:
            self.period = period + period_gain * off
        # As _see; written out, since it is done for every reading.
        most, change = 4 * sigma, off - self._off
        if change > most or change < -most:
            change = math.copysign(most, change)
        before_that, self._off, self._step = self._step, off, change
        self._square += (change * change - self._square) / SETTLING
        self._product += (change * before_that - self._product) / SETTLING
        if len(self._block) >= BLOCK:
            self._end_block()
        return count

    def repeats(self, stamp: float) -> bool:
        """Whether a reading with the last one's values has come so soon that it is that one again."""
        return stamp - self._stamp < (0.5 if self._sigma < EVEN * self.period else 0.1) * self.period

    def jump(self) -> None:
        """The last reading came after a long silence: its stamp is all there is, and the period is kept."""
        self.time = self._newest = self._stamp
        self._forget()

    def restart(self) -> None:
        """The next stamp is the first of another clock; the period is kept."""
        self._known = 0
        self.time = self._stamp = self._newest = -math.inf
        self._forget()

    def _follow_freely(self, off: float, count: int, phase_gain: float, period_gain: float) -> None:
        """Follow what the stamps say by themselves, beside what is believed."""
        ahead = self._free_time + count * self._free_period
        left = off - ahead
        self._free_time = ahead + phase_gain * (left - off)  # by which time has moved, too
        self._free_period += period_gain * left

    def _forget(self) -> None:
        self._up = self._down = self._up_sum = self._down_sum = 0.0
        self._up_run = self._down_run = 0
        self._declared = 0  # readings that were taken for missing and may be taken back
        self._block, self._counted = [], 0  # seconds for each reading since each push, and readings
        self._excess = self._excess_before = 0.0  # by how much more was counted than passed, in this block and the one before

    def _accumulate(self, off: float) -> float:
        """Page's sums for a phase that is late or early by a period; gives the deviation that is left."""
        period = self.period
        scale = period / (self._sigma * self._sigma)
        most = max(1.5 * period, 3 * self._sigma)  # of one reading, which may be late by chance
        held = off if -most < off < most else math.copysign(most, off)
        self._up += (held - 0.5 * period) * scale
        self._up_sum += off
        self._up_run += 1
        if self._up <= 0:
            self._up = self._up_sum = 0.0
            self._up_run = 0
        self._down += (-held - 0.5 * period) * scale
        self._down_sum += off
        self._down_run += 1
        if self._down <= 0 or not self._declared:
            self._down = self._down_sum = 0.0
            self._down_run = 0
        if self._up > self._threshold:
            return self._find(off, max(1, round(self._up_sum / self._up_run / period)), self._up_run)
        if self._down > self._threshold:
            return self._find(off, -min(self._declared, max(1, round(-self._down_sum / self._down_run / period))), self._down_run)
        return off

    def _find(self, off: float, missing: int, run: int) -> float:
        self._declared += missing
        self.found = Late(run - 1, missing * self.period)
        self.time += missing * self.period * (1 - min(1.0, run * self._phase_gain))  # what it has followed by itself since
        if self._doubted:
            self._free_period -= missing * self.period * run * self._period_gain
        else:
            self.period -= missing * self.period * run * self._period_gain
        self._up = self._down = self._up_sum = self._down_sum = 0.0
        self._up_run = self._down_run = 0
        return off - missing * self.period

    def _see(self, off: float) -> None:
        """Follow how large the jitter is."""
        step, before = off - self._off, self._step
        most = 4 * self._sigma
        if not -most < step < most:
            step = math.copysign(most, step)
        self._off, self._step = off, step
        self._square += (step * step - self._square) / SETTLING
        self._product += (step * before - self._product) / SETTLING

    def _end_block(self) -> None:
        """Notice a rate that has changed, and set the loop's bandwidth."""
        block, readings = self._block, self._counted
        self._learnt += readings
        self._block, self._counted = [], 0
        steps = sorted(block)
        middle = median(steps)
        if abs(middle / self.period - 1) > CHANGED and steps[-3] - steps[2] < CHANGED * middle:
            whole = sum(block) / BLOCK
            if abs(whole / middle - 1) < 0.25 / BLOCK:  # nor is any missing
                self._change(whole, readings)
                return
        self._excess_before, self._excess = self._excess, 0.0
        self._tune()

    def _change(self, period: float, readings: int) -> None:
        """The rate is another one, since a block ago; what was counted wrongly in it is said."""
        self.found = Late(2 * BLOCK - 1, -self._excess - self._excess_before, spread=True)
        self.period, self.time, self._learnt, self._doubted = period, self._stamp, readings, False
        self._square, self._product, self._off, self._step = 2 * (0.1 * period) ** 2, -((0.1 * period) ** 2), 0.0, 0.0
        self._forget()
        self._tune()

    def _tune(self) -> None:
        period = self.period
        # Of deviations of which each is ``correlation`` times the one before and something new.
        correlation = min(max(1 + 2 * self._product / self._square, 0.0), MOST_CORRELATION) if self._square else 0.0
        self._jitter = math.sqrt(0.5 * self._square / (1 - correlation))
        self._sigma = max(self._jitter, LEAST_JITTER * period)
        self._exact = self._jitter < EXACT * period
        self._plain = (PLAIN if self._sigma < EVEN * period else PLAIN_AMONG_JITTER) * self._sigma + 0.25 * period
        self._old = (OLD if self._sigma < EVEN * period else OLD_AMONG_JITTER) * self._sigma + 0.5 * period
        self._threshold = LOG_LIKELIHOOD_RATIO * (1 + correlation) / (1 - correlation)
        noise = max(self._jitter**2, 1e-18) * period  # of stamps, as a density
        swift = (WANDER * WANDER / noise) ** 0.25 * period  # of the loop, radians in a period
        self._phase_gain = min(max(math.sqrt(2) * swift, 4 / self._learnt), FASTEST_GAIN)
        self._period_gain = min(max(swift * swift, 6 / self._learnt**2), STEEPEST_GAIN)
        # The loop knows the period as a line through so many readings would.
        known = math.sqrt(6 / self._period_gain)
        if self._doubted and abs(self._free_period) > LIKELY * _uncertain(self._jitter, known, correlation):
            self.period += self._free_period
            self.time += self._free_time
            self._late -= self._free_time  # of a first stamp that is still to come
            self._doubted = False


def round_period(counts: Float64, stamps: Float64) -> tuple[float, bool]:
    """Seconds of a count, by a line through (K,) counts and stamps, and whether that is as good as a multiple of 5 Hz; it is that
    then."""
    slope, jitter, _, correlation = _line(counts, stamps)
    step = float(counts[-1] - counts[0]) / (len(counts) - 1)
    likely = _round_rate(slope)
    fits = _fits(slope, likely, _uncertain(jitter, len(counts), correlation) / step)
    return (likely, True) if fits else (slope, False)


def _fits(period: float, likely: float, uncertain: float) -> bool:
    """Whether what was seen may well be the likely period, all seconds."""
    return abs(period - likely) < min(LIKELY * uncertain, likely * NOMINAL_SLACK)


def _round_rate(period: float) -> float:
    """The period of the multiple of 5 Hz that is next; that itself below 10 Hz."""
    return 1 / (5 * round(0.2 / period)) if 0.2 / period > 2 else period


def _uncertain(jitter: float, readings: float, correlation: float) -> float:
    """Standard deviation of the slope of a line through so many stamps, seconds for each, whose neighbours correlate."""
    return jitter * math.sqrt(12 / readings**3 * (1 + correlation) / (1 - correlation))


def _line(counts: Float64, stamps: Float64) -> tuple[float, float, float, float]:
    """Least squares: seconds for each count; of what is left the deviation, the first, and neighbours' correlation."""
    x = counts - counts.mean()
    y = stamps - stamps.mean()
    slope = float((x @ y) / (x @ x))
    left = y - slope * x
    square = float(left @ left)
    correlation = float(left[1:] @ left[:-1]) / square if square else 0.0
    return slope, math.sqrt(square / len(left)), float(left[0]), min(max(correlation, 0.0), MOST_CORRELATION)
