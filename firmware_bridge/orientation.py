"""From readings to the sensor's orientation in one world: y up, metres, radians. Units, axes and gravity are settled
here.

Two ways, and what a device sends decides between them unless the settings do:

    device   its own quaternion; its world is turned so that up is y
    9-axis   VQF on gyroscope, accelerometer and magnetometer: the heading is magnetic
    6-axis   VQF on gyroscope and accelerometer: the heading starts anywhere and drifts slowly

VQF: Laidig and Seel, "VQF: highly accurate IMU orientation estimation with bias estimation and magnetic disturbance
rejection", Information Fusion 91 (2023), 10.1016/j.inffus.2022.10.014; the package ``vqf``, at its own defaults.

Its filter has one fixed period. Real readings do not: the turn of each step is scaled to the time that really passed, a
short gap is bridged by steps between the two readings around it, and after a long one the filter starts anew with the
bias it had, and says so, because the heading is then lost. The first second is kept until it is over, and then gets
the up and the north that all of it has taught.

Input that could mean two things is refused: what is refused, what was expected and what to do are in the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import DeviceError, MissingExtra, UnknownChoice
from firmware_bridge.plausibility import GyroscopeScale, check_acceleration, up_axis
from firmware_bridge.samples import Quaternion, Reading, Vector, maker

__all__ = ["MODES", "UPS", "Orientation", "Oriented", "Settings"]

MODES = ("auto", "device", "9-axis", "6-axis")

_HALF = math.sqrt(0.5)
UPS: dict[str, Quaternion] = {
    "+x": (_HALF, 0.0, 0.0, _HALF), "-x": (_HALF, 0.0, 0.0, -_HALF), "+y": (1.0, 0.0, 0.0, 0.0),
    "-y": (0.0, 1.0, 0.0, 0.0), "+z": (_HALF, -_HALF, 0.0, 0.0), "-z": (_HALF, _HALF, 0.0, 0.0),
}
"""Axis of a device's world that points up -> the rotation into our world."""

WARM_UP_S = 1.0
"""Readings of so long are looked at before anything is believed; they are not lost, but filtered then."""
WARM_UP_LEAST = 20
"""And at least so many."""
TURNING_S = 0.03
"""Two orientations so far apart say how fast a sensor turns; nearer ones say mostly how unevenly they arrived."""
BRIDGED_S = 0.25
"""The longest gap that is bridged: a body segment turns by less than half a turn in it."""


@dataclass(frozen=True)
class Settings:
    """How one sensor's orientation is made.

    Args:
        mode: one of :data:`MODES`; ``auto`` takes the device's quaternion where there is one, else VQF, with the
            magnetometer only if ``magnetometer`` says so.
        up: axis of the device's world that points up (``"+z"``), for its own quaternions; None finds out from the
            accelerometer, and refuses where there is none.
        magnetometer: ``auto`` may use it. Indoors it is disturbed more often than not, hence off.

    Raises:
        UnknownChoice: another mode or axis.
    """

    mode: str = "auto"
    up: str | None = None
    magnetometer: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UnknownChoice("way to an orientation", self.mode, MODES)
        if self.up is not None and self.up not in UPS:
            raise UnknownChoice("axis", self.up, UPS)


class Oriented(NamedTuple):
    """A sensor's orientation at one instant.

    Args:
        time: seconds, host's monotonic clock.
        quaternion: sensor -> world, y up.
        rate: rad/s in sensor axes, with the filter's bias taken off. Of a device that sends quaternions only, how
            fast they turn; None for its first few.
        epoch: changes when the heading was lost (a long gap, a reboot): earlier headings do not compare with later
            ones.
    """

    time: float
    quaternion: Quaternion
    rate: Vector | None
    epoch: int


_oriented = maker(Oriented)


class Orientation:
    """Turns the readings of one sensor into orientations, in order.

    Args:
        settings: how.
        name: of the sensor, for messages.
    """

    epoch: int

    def __init__(self, settings: Settings | None = None, *, name: str = "sensor") -> None:
        self.settings: Settings = settings or Settings()
        self.name = name
        self.mode: str | None = None
        """The way that was taken; None until the first second is over."""
        self.epoch = 0
        self._waiting: list[tuple[float, Reading]] = []
        self._refused: DeviceError | None = None
        self._scale = GyroscopeScale(name)
        self._time = -math.inf
        self._filter: Any = None
        self._period = 0.0
        self._last: tuple[float, Vector] | None = None
        self._vectors = (np.zeros(3), np.zeros(3), np.zeros(3))
        self._turn: Quaternion = UPS["+y"]
        self._turned_from: tuple[float, Quaternion] | None = None
        self._rate: Vector | None = None

    def push(self, reading: Reading, time: float) -> list[Oriented]:
        """Take the next reading, measured at ``time`` seconds.

        Returns:
            What follows from it: nothing during the first second, then that second at once, then one for each.
            A reading that is not newer than the last, or that lacks what the way needs, gives nothing.

        Raises:
            DeviceError: the readings cannot mean what they should (see the module); every later reading raises it too.
            MissingExtra: VQF is needed and not installed.
        """
        return self.push_all([(time, reading)])

    def push_all(self, readings: Sequence[tuple[float, Reading]]) -> list[Oriented]:
        """Take several (seconds, reading) in order; gives what :meth:`push` gives for one after the other, and costs less.

        Raises:
            DeviceError, MissingExtra: as :meth:`push`. The readings beside the one that tells are given up with it.
        """
        if self._refused is not None:
            raise self._refused
        later: list[tuple[float, Reading]] = []
        for one in readings:
            if one[0] > self._time:
                self._time = one[0]
                later.append(one)
        try:
            return self._warm_up(later) if self.mode is None else self._orient(later)
        except DeviceError as error:
            self._refused = error
            self._waiting.clear()
            raise

    def restart(self) -> None:
        """The device began anew: its heading means nothing any more, its bias still does."""
        if self.mode is not None:
            self._lose_heading()

    def _warm_up(self, readings: list[tuple[float, Reading]]) -> list[Oriented]:
        for count, one in enumerate(readings, 1):
            self._waiting.append(one)
            if one[0] - self._waiting[0][0] >= WARM_UP_S and len(self._waiting) >= WARM_UP_LEAST:
                waited, self._waiting = self._waiting, []
                self._decide(waited)
                return self._begin(waited) + self._orient(readings[count:])
        return []

    def _begin(self, waited: list[tuple[float, Reading]]) -> list[Oriented]:
        if self._filter is None:
            return self._orient(waited)
        found = [(oriented, self._filter.getQuat3D().tolist()) for one in waited for oriented in self._orient([one])]
        if not found:
            return []
        # VQF begins with what the first reading of the accelerometer says is up; with a limb in swing that is off by ten degrees.
        # What the whole of this time has taught it about up and north holds for its beginning, too: gyroscopes lead back there.
        last, (w, x, y, z) = found[-1]
        world = _product(last.quaternion, (w, -x, -y, -z))
        return [oriented._replace(quaternion=_product(world, turned)) if oriented.epoch == last.epoch else oriented
                for oriented, turned in found]

    def _decide(self, waited: list[tuple[float, Reading]]) -> None:
        """Choose the way from what the first second holds, and check it."""
        readings = [reading for _, reading in waited]
        acceleration = _column(readings, "acceleration")
        rate = _column(readings, "angular_velocity")
        mode = self.settings.mode
        if mode == "auto":
            if any(r.orientation is not None for r in readings):
                mode = "device"
            else:
                compass = self.settings.magnetometer and any(r.magnetic_field is not None for r in readings)
                mode = "9-axis" if compass else "6-axis"
        if len(acceleration):
            check_acceleration(self.name, acceleration, rate)
        if mode == "device":
            self._turn = UPS[self._device_up(readings)]
        else:
            self._check_complete(mode, readings)
            self._period = float(np.median(np.diff([time for time, _ in waited])))
            self._filter = _vqf(self._period)
        self.mode = mode

    def _device_up(self, readings: list[Reading]) -> str:
        pairs = [(r.orientation, r.acceleration) for r in readings if r.orientation and r.acceleration]
        if not any(r.orientation for r in readings):
            raise DeviceError(f"{self.name} sends no quaternion", expected="the orientation of the device's own filter",
                              remedy="set mode to 6-axis, or switch the device's output")
        if not pairs:
            if self.settings.up is None:
                raise DeviceError(f"{self.name} sends quaternions and no acceleration, so that nothing tells which axis "
                                  "of its world points up", expected="up, one of " + ", ".join(UPS),
                                  remedy="say it (most devices: up=+z), or let the device send acceleration too")
            return self.settings.up
        quaternions, accelerations = (np.array(part, dtype=np.float64) for part in zip(*pairs, strict=True))
        found = up_axis(self.name, quaternions, accelerations)
        if self.settings.up not in (None, found):
            raise DeviceError(f"{self.name}: the accelerometer points along {found} of the device's world",
                              expected=f"{self.settings.up}, as the settings say",
                              remedy="leave up out, or correct it")
        return found

    def _check_complete(self, mode: str, readings: list[Reading]) -> None:
        needed = {"acceleration": "acceleration with gravity", "angular_velocity": "angular velocity"}
        if mode == "9-axis":
            needed["magnetic_field"] = "magnetic field"
        for field, words in needed.items():
            if any(getattr(reading, field) is not None for reading in readings):
                continue
            linear = field == "acceleration" and any(r.linear_acceleration is not None for r in readings)
            raise DeviceError(f"{self.name} sends " + ("acceleration with gravity taken off" if linear else f"no {words}"),
                              expected=f"{words}: {mode} orientation needs it",
                              remedy="choose an output of the device that has it" + (
                                  ", or mode 6-axis" if field == "magnetic_field" else ", or its own quaternion"))

    def _orient(self, readings: list[tuple[float, Reading]]) -> list[Oriented]:
        return self._pass_through(readings) if self.mode == "device" else self._filtered(readings)

    def _filtered(self, readings: list[tuple[float, Reading]]) -> list[Oriented]:
        done: list[Oriented] = []
        compass = self.mode == "9-axis"
        for time, reading in readings:
            gyroscope, acceleration = reading.angular_velocity, reading.acceleration
            if acceleration is None or gyroscope is None:
                continue
            if self._scale.ratio is None:
                self._scale.push(time, gyroscope, acceleration)
            if self._last is not None and time - self._last[0] > BRIDGED_S:
                self._lose_heading()
            magnetic = reading.magnetic_field if compass else None
            count, scale = 1, 1.0
            if self._last is not None:
                last, before = self._last
                count = max(1, round((time - last) / self._period))
                scale = (time - last) / (count * self._period)
                for k in range(1, count):  # those that are missing
                    share = k / count
                    between = [b + share * (g - b) for b, g in zip(before, gyroscope, strict=True)]
                    self._step(between, scale, acceleration, magnetic)
            self._last = (time, gyroscope)
            self._step(gyroscope, scale, acceleration, magnetic)
            a, b, c, d = (self._filter.getQuat9D() if compass else self._filter.getQuat6D()).tolist()
            # By UPS["+z"], for VQF's own world: two of four parts are zero.
            quaternion = (_HALF * a + _HALF * b, _HALF * b - _HALF * a, _HALF * c + _HALF * d, _HALF * d - _HALF * c)
            x, y, z = self._filter.getBiasEstimate()[0].tolist()
            rate = (gyroscope[0] - x, gyroscope[1] - y, gyroscope[2] - z)
            done.append(_oriented((time, quaternion, rate, self.epoch)))
        return done

    def _step(self, gyroscope: Sequence[float], scale: float, acceleration: Vector, magnetic: Vector | None) -> None:
        turn, force, field = self._vectors  # one by one is the cheapest way of three numbers into an array
        turn[0], turn[1], turn[2] = gyroscope[0] * scale, gyroscope[1] * scale, gyroscope[2] * scale
        force[0], force[1], force[2] = acceleration
        if magnetic is None:
            self._filter.update(turn, force)
        else:
            field[0], field[1], field[2] = magnetic
            self._filter.update(turn, force, field)

    def _pass_through(self, readings: list[tuple[float, Reading]]) -> list[Oriented]:
        done: list[Oriented] = []
        for time, reading in readings:
            if reading.orientation is None:
                continue
            rate = reading.angular_velocity
            if rate is None:
                rate = self._turning(time, reading.orientation)
            done.append(Oriented(time, _product(self._turn, reading.orientation), rate, self.epoch))
        return done

    def _turning(self, time: float, orientation: Quaternion) -> Vector | None:
        """rad/s in sensor axes, of a device that sends its orientation only; held between differences over
        :data:`TURNING_S`."""
        if self._turned_from is None or time - self._turned_from[0] > BRIDGED_S:
            self._turned_from, self._rate = (time, orientation), None
        passed = time - self._turned_from[0]
        if passed >= TURNING_S:
            self._rate = _rate(self._turned_from[1], orientation, passed)
            self._turned_from = (time, orientation)
        return self._rate

    def _lose_heading(self) -> None:
        self.epoch += 1
        if self._filter is not None:
            bias, sigma = self._filter.getBiasEstimate()
            self._filter.resetState()
            self._filter.setBiasEstimate(bias, sigma)
            self._last = None  # nothing to bridge from


def _vqf(period: float) -> Any:
    try:
        return import_module("vqf").VQF(period)
    except ImportError as error:
        raise MissingExtra("vqf", "sensors", "orientation from gyroscope and accelerometer") from error


def _column(readings: list[Reading], field: str) -> NDArray[np.float64]:
    """(K, 3) what there is of a field."""
    values = [getattr(reading, field) for reading in readings]
    return np.array([value for value in values if value is not None], dtype=np.float64).reshape(-1, 3)


def _rate(before: Quaternion, after: Quaternion, seconds: float) -> Vector:
    """rad/s in sensor axes that carry one orientation to the other on the shorter way."""
    w, x, y, z = before
    turn = _product((w, -x, -y, -z), after)
    sine = math.sqrt(turn[1] ** 2 + turn[2] ** 2 + turn[3] ** 2)
    scale = 2.0 / seconds if sine < 1e-9 else 2.0 * math.atan2(sine, abs(turn[0])) / sine / seconds
    scale = math.copysign(scale, turn[0])
    return (scale * turn[1], scale * turn[2], scale * turn[3])


def _product(first: Quaternion, second: Sequence[float]) -> Quaternion:
    # One product of scalars: numpy's calls would cost more than the filter.
    w, x, y, z = first
    a, b, c, d = second
    return (w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c, w * c - x * d + y * a + z * b,
            w * d + x * c - y * b + z * a)
