"""From readings to the sensor's orientation in one world: y up, metres, radians. Units, axes and gravity are settled
here.

Two ways, and what a device sends decides between them unless the settings do:

    device   its own quaternion; its world is turned so that up is y
    9-axis   VQF on gyroscope, accelerometer and magnetometer: the heading is magnetic
    6-axis   VQF on gyroscope and accelerometer: the heading starts anywhere and drifts slowly

VQF: Laidig and Seel, "VQF: highly accurate IMU orientation estimation with bias estimation and magnetic disturbance
rejection", Information Fusion 91 (2023), 10.1016/j.inffus.2022.10.014; the package ``vqf``, at its own defaults.

Its filter has one fixed period, and so has a sensor, whatever its time stamps say: readings are counted, and the period is
followed (:mod:`firmware_bridge.dejitter`). A short gap is bridged by steps between the two readings around it. Where the sensor
may have turned otherwise meanwhile (:mod:`firmware_bridge.gaps`), the tilt is taken from the accelerometer again, the sooner the
greater the doubt, and the heading is said to be lost. After a long gap the filter starts anew with the bias it had and the old
heading as the best guess. Acceleration and gyroscope may come as separate events (:mod:`firmware_bridge.signal_merger`). The first
second is kept until it is over, and then gets the up and the north that all of it has taught.

Input that could mean two things is refused: what is refused, what was expected and what to do are in the error.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from edgeskel.errors import DeviceError, MissingExtra
from edgeskel.geometry import float_product
from firmware_bridge.dejitter import Dejitter, Late
from firmware_bridge.gaps import DOUBTFUL_RAD, doubt, rate_between, relearnt, turn_to_heading
from firmware_bridge.gyroscope_fit import GyroscopeFit
from firmware_bridge.orientation_mode import check_complete, choose_mode, column, device_up
from firmware_bridge.oriented_sample import MODES, UPS, OrientationSettings, OrientedSample
from firmware_bridge.plausibility import check_acceleration, violent
from firmware_bridge.samples import Quaternion, Reading, Vector, maker
from firmware_bridge.signal_merger import SignalMerger, spread_first_packet, stamps_of
from firmware_bridge.warmup_buffer import WarmupBuffer

__all__ = ["MODES", "UPS", "Orientation", "OrientedSample", "OrientationSettings"]

_HALF = math.sqrt(0.5)
WARM_UP_S = 1.0
"""Readings of so long are looked at before anything is believed; they are not lost, but filtered then."""
WARM_UP_LEAST = 20
"""And at least so many."""
VIOLENT_LEAST = 5
"""So many violent seconds on end in which a quaternion and the accelerometer disagree refuse it, too."""
TURNING_S = 0.03
"""Two orientations so far apart say how fast a sensor turns; nearer ones say mostly how unevenly they arrived."""
BRIDGED_S = 0.25
"""The longest gap that is bridged, however slowly the sensor turned: a limb may swing there and back in a longer one."""
REMEMBERED = 512
"""Readings back to which one that was missing can be put in: jitter hides it for so long at most."""
OTHER_RATE = 0.1
"""By such a share the period may move before the filter's own constants follow."""
LOOKED_AGAIN = 16
"""Steps after which it is looked whether the period has become known better."""
LEAST_STEP_S = 1e-6
"""Two orientations lie at least so far apart."""

_oriented = maker(OrientedSample)


class Orientation:
    """Turns the readings of one sensor into orientations, in order.

    Args:
        settings: how.
        name: of the sensor, for messages.
    """

    epoch: int

    def __init__(self, settings: OrientationSettings | None = None, *, name: str = "sensor") -> None:
        self.settings: OrientationSettings = settings or OrientationSettings()
        self.name = name
        self.mode: str | None = None
        """The way that was taken; None until the first second is over."""
        self.epoch = 0
        self._waiting: list[tuple[float, Reading]] = []
        self._refused: DeviceError | None = None
        self.fit = GyroscopeFit(name)
        """How what turns fits the accelerometer: the gyroscope, or the device's quaternion where that is taken."""
        self._violent = 0
        self.dropped = 0
        """Readings that were left out: repeated, older than the newest, or without what the way needs."""
        self._time = -math.inf
        self._filter: Any = None
        self._period = 0.0
        self._pace: Dejitter | None = None
        self._pairing: SignalMerger | None = None
        self._last: tuple[Vector, Vector] | None = None  # angular velocity and acceleration
        self._moved = False
        self._history: deque[tuple[Vector, Quaternion]] = deque(maxlen=REMEMBERED)
        self._latest: Quaternion | None = None
        self._guess: Quaternion | None = None  # which way it may look after a gap
        self._world: Quaternion | None = None  # how the filter's world is turned about up since then
        self._vectors = (np.zeros(3), np.zeros(3), np.zeros(3))
        self._early: WarmupBuffer | None = None  # what was filtered since the beginning, while the period is not known well
        self._turn: Quaternion = UPS["+y"]
        self._turned_from: tuple[float, Quaternion] | None = None
        self._rate: Vector | None = None

    def push(self, reading: Reading, time: float) -> list[OrientedSample]:
        """Take the next reading, measured at ``time`` seconds.

        Returns:
            What follows from it: nothing during the first second, then that second at once, then one for each.
            A reading that repeats the last one, is older than its jitter explains, or lacks what the way needs, gives nothing
            and is counted as dropped. One that waits for the acceleration of its instant is given with that.

        Raises:
            DeviceError: the readings cannot mean what they should (see the module); every later reading raises it too.
            MissingExtra: VQF is needed and not installed.
        """
        return self.push_all([(time, reading)])

    def push_all(self, readings: Sequence[tuple[float, Reading]]) -> list[OrientedSample]:
        """Take several (seconds, reading) in order; gives what :meth:`push` gives for one after the other, and costs less.

        Raises:
            DeviceError, MissingExtra: as :meth:`push`. The readings beside the one that tells are given up with it.
        """
        if self._refused is not None:
            raise self._refused
        try:
            return self._warm_up(readings) if self.mode is None else self._orient(readings)
        except DeviceError as error:
            self._refused = error
            self._waiting.clear()
            raise

    def restart(self) -> None:
        """The device began anew: its heading means nothing any more, its bias still does."""
        if self.mode is not None:
            self._lose_heading(self._latest)
            if self._pace is not None and self._pairing is not None:
                self._pace.restart()
                self._pairing.forget()

    def _warm_up(self, readings: Sequence[tuple[float, Reading]]) -> list[OrientedSample]:
        for count, one in enumerate(readings, 1):
            self._waiting.append(one)
            if one[0] - self._waiting[0][0] >= WARM_UP_S and len(self._waiting) >= WARM_UP_LEAST:
                waited, self._waiting = self._waiting, []
                if self._decide(waited):
                    return self._begin(waited) + self._orient(readings[count:])
        return []

    def _begin(self, waited: list[tuple[float, Reading]]) -> list[OrientedSample]:
        if self._pairing is None:
            return self._orient(waited)
        waited = spread_first_packet(waited, self._period)
        found = [(oriented, self._filter.getQuat3D().tolist()) for one in self._pairing.push(waited)
                 for oriented in self._filtered([one])]
        if not found:
            return []
        # VQF begins with what the first reading of the accelerometer says is up; with a limb in swing that is off by ten degrees.
        # What the whole of this time has taught it about up and north holds for its beginning, too: gyroscopes lead back there.
        last, (w, x, y, z) = found[-1]
        world = float_product(last.quaternion, (w, -x, -y, -z))
        return [oriented._replace(quaternion=float_product(world, led)) if oriented.epoch == last.epoch else oriented
                for oriented, led in found]

    def _decide(self, waited: list[tuple[float, Reading]]) -> bool:
        """Choose the way from what a second holds, and check it; False where a quieter one has to be waited for."""
        readings = [reading for _, reading in waited]
        acceleration = column(readings, "acceleration")
        rate = column(readings, "angular_velocity")
        mode = choose_mode(self.settings, readings)
        if len(acceleration):
            check_acceleration(self.name, acceleration, rate)
        if mode == "device":
            try:
                self._turn = UPS[device_up(self.name, self.settings, waited)]
            except DeviceError:
                self._violent += 1
                if not len(acceleration) or not violent(acceleration) or self._violent >= VIOLENT_LEAST:
                    raise
                return False
        else:
            check_complete(self.name, mode, readings)
            rate_hz = self.settings.rate_hz
            self._pace = Dejitter.learn(stamps_of(waited), None if rate_hz is None else 1 / rate_hz)
            self._pairing = SignalMerger("angular_velocity", "acceleration", "magnetic_field" if mode == "9-axis" else None)
            self._period = self._pace.step
            self._filter = _vqf(self._period)
            self._early = WarmupBuffer(self._pace.period, mode == "9-axis")
        self.mode = mode
        return True

    def judge(self) -> None:
        """Have done now, in a quiet moment, what there is to judge (:attr:`fit`); it happens by itself later.

        Raises:
            DeviceError: as :meth:`push`.
        """
        if self._refused is not None:
            return
        try:
            self.fit.judge()
        except DeviceError as error:
            self._refused = error
            raise

    def _orient(self, readings: Sequence[tuple[float, Reading]]) -> list[OrientedSample]:
        if self._pairing is None:
            return self._pass_through(readings)
        before = self._pairing.dropped
        complete = self._pairing.push(readings)
        self.dropped += self._pairing.dropped - before
        return self._filtered(complete)

    def _filtered(self, readings: Sequence[tuple[float, Reading]]) -> list[OrientedSample]:
        """Those of complete readings."""
        done: list[OrientedSample] = []
        compass, pace = self.mode == "9-axis", self._pace
        assert pace is not None, "the first second is over"
        for stamp, reading in readings:
            gyroscope, acceleration, last = reading.angular_velocity, reading.acceleration, self._last
            assert gyroscope is not None and acceleration is not None, "they are complete"
            if last is None or gyroscope != last[0] or acceleration != last[1]:
                self._moved = True
            elif self._moved and pace.repeats(stamp):
                self.dropped += 1  # the same packet once more
                continue
            else:
                self._moved = False  # it sends the same all the time
            count = pace.push(stamp, reading.sequence)
            if not count:
                self.dropped += 1
                continue
            magnetic = reading.magnetic_field if compass else None
            if pace.found is not None:
                self._put_in(pace.found, gyroscope, acceleration)
            if count > 1 and self._last is not None:
                self._bridge(count, gyroscope, acceleration, magnetic)
            if self._early is not None and self._early.count % LOOKED_AGAIN == LOOKED_AGAIN - 1:
                self._filter_again()
            self._last = (gyroscope, acceleration)
            self._step(gyroscope, pace.step / self._period, acceleration, magnetic)
            vqf = self._filter
            a, b, c, d = (vqf.getQuat9D() if compass else vqf.getQuat6D()).tolist()
            a, b, c, d = _HALF * a, _HALF * b, _HALF * c, _HALF * d
            quaternion = (a + b, b - a, c + d, d - c)  # by UPS["+z"], for VQF's own world: two of four parts are zero
            if self._guess is not None:
                self._world, self._guess = turn_to_heading(self._guess, quaternion), None
            if self._world is not None:
                quaternion = float_product(self._world, quaternion)
            bias, sigma = vqf.getBiasEstimate()
            x, y, z = bias.tolist()
            time = pace.time
            if time <= self._time:  # readings that were taken for missing came after all
                time = self._time + LEAST_STEP_S
            self._time, self._latest = time, quaternion
            if not self.fit.settled:
                # As it was measured: what a gyroscope says too small by far, VQF takes for its bias.
                self.fit.push(time, gyroscope, acceleration, math.hypot(x, y, z) + 2 * sigma)
            self._history.append((gyroscope, quaternion))
            done.append(_oriented((time, quaternion, (gyroscope[0] - x, gyroscope[1] - y, gyroscope[2] - z), self.epoch)))
        return done

    def _bridge(self, count: int, gyroscope: Vector, acceleration: Vector, magnetic: Vector | None) -> None:
        """Steps for what is missing before a reading, on the line between its neighbours; a new beginning where it is too long."""
        pace = self._pace
        assert pace is not None and self._last is not None and self._latest is not None, "there were readings"
        before, seconds = self._last[0], count * pace.period
        if seconds > BRIDGED_S:
            pace.jump()
            self._lose_heading(self._latest)
            return
        for k in range(1, count):
            share = k / count
            between = [b + share * (g - b) for b, g in zip(before, gyroscope, strict=True)]
            self._step(between, pace.step / self._period, acceleration, magnetic)
        earlier = self._history[-2][0] if len(self._history) > 1 else before
        self._mistrust(doubt(earlier, before, gyroscope, pace.period, seconds))

    def _filter_again(self) -> None:
        """Turn by what was turned since the beginning once more, when the period has become known better."""
        early, pace = self._early, self._pace
        assert early is not None and pace is not None, "it has begun"
        if early.is_over(pace.jitter):
            self._early = None
        elif early.is_due(pace.period):
            self._filter = _vqf(self._period)
            early.filter_by(self._filter, pace.period, self._period)

    def _mistrust(self, angle: float) -> None:
        """It may have turned by so many radians otherwise than it was taken to."""
        if angle > DOUBTFUL_RAD:
            self.epoch += 1
            self._early = None
            self._filter.state = relearnt(self._filter.state, angle, self._period)

    def _put_in(self, late: Late, gyroscope: Vector, acceleration: Vector) -> None:
        """Turn by what was missing (or too much) some readings ago, about the axis as it lies now."""
        pace, history = self._pace, self._history
        assert pace is not None, "it found it"
        self._early = None
        if late.spread and abs(pace.period / self._period - 1) > OTHER_RATE:
            state = self._filter.state
            self._period = pace.period
            self._filter = _vqf(self._period)
            self._filter.state = state
        if len(history) <= late.ago:
            return  # the filter began anew since
        place = late.ago // 2 if late.spread else late.ago
        before, at = history[-place - 1]
        after = history[-place][0] if place else gyroscope
        if late.spread:
            recent = [history[-k][0] for k in range(1, late.ago + 1)]
            before = after = tuple(sum(axis) / len(recent) for axis in zip(*recent, strict=True))
        turn = [0.5 * late.seconds * (b + a) for b, a in zip(before, after, strict=True)]
        w, x, y, z = history[-1][1]
        a, b, c, d = float_product((w, -x, -y, -z), at)  # axes of then -> axes of now
        _, p, q, r = float_product(float_product((a, b, c, d), (0.0, *turn)), (a, -b, -c, -d))
        self._step((p / self._period, q / self._period, r / self._period), 1.0, acceleration, None)
        if late.seconds > 0 and not late.spread:
            earlier = history[-place - 2][0] if len(history) > place + 1 else before
            self._mistrust(doubt(earlier, before, after, pace.period, late.seconds + pace.period))

    def _step(self, gyroscope: Sequence[float], scale: float, acceleration: Vector, magnetic: Vector | None) -> None:
        if self._early is not None:
            self._early.add(gyroscope, acceleration, magnetic)
        turn, force, field = self._vectors  # one by one is the cheapest way of three numbers into an array
        turn[0], turn[1], turn[2] = gyroscope[0] * scale, gyroscope[1] * scale, gyroscope[2] * scale
        force[0], force[1], force[2] = acceleration
        if magnetic is None:
            self._filter.update(turn, force)
        else:
            field[0], field[1], field[2] = magnetic
            self._filter.update(turn, force, field)

    def _pass_through(self, readings: Sequence[tuple[float, Reading]]) -> list[OrientedSample]:
        done: list[OrientedSample] = []
        for time, reading in readings:
            if reading.orientation is None:
                continue
            if time <= self._time:
                self.dropped += 1
                continue
            self._time = time
            if reading.acceleration is not None and not self.fit.settled:
                self.fit.push_orientation(time, reading.orientation, reading.acceleration)
            rate = reading.angular_velocity
            if rate is None:
                rate = self._turning(time, reading.orientation)
            done.append(OrientedSample(time, float_product(self._turn, reading.orientation), rate, self.epoch))
        return done

    def _turning(self, time: float, orientation: Quaternion) -> Vector | None:
        """rad/s in sensor axes, of a device that sends its orientation only; held between differences over
        :data:`TURNING_S`."""
        if self._turned_from is None or time - self._turned_from[0] > BRIDGED_S:
            self._turned_from, self._rate = (time, orientation), None
        passed = time - self._turned_from[0]
        if passed >= TURNING_S:
            self._rate = rate_between(self._turned_from[1], orientation, passed)
            self._turned_from = (time, orientation)
        return self._rate

    def _lose_heading(self, guess: Quaternion | None) -> None:
        """Begin anew with the bias as it is; without a compass the heading goes on from the guess."""
        self.epoch += 1
        self._early = None
        if self._filter is not None:
            bias, sigma = self._filter.getBiasEstimate()
            self._filter.resetState()
            self._filter.setBiasEstimate(bias, sigma)
            self._guess = guess if self.mode == "6-axis" else None
            self._last = None  # nothing to bridge from
            self._history.clear()


def _vqf(period: float) -> Any:
    try:
        return import_module("vqf").VQF(period)
    except ImportError as error:
        raise MissingExtra("vqf", "sensors", "orientation from gyroscope and accelerometer") from error
