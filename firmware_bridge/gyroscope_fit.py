"""Does a gyroscope fit the accelerometer beside it? Units, signs and order of its axes, judged by any motion.

A gyroscope's turns, added up, lead the accelerometer's axes back to those of a moment ago. Seen in axes that stand still so,
what an accelerometer feels is gravity in the mean over a second or more, however a limb swings: its velocity hardly changes from
one second to the next. So the means of successive windows agree with each other and with 1 g. Where axes are exchanged, have the
wrong sign or another scale, turns lead elsewhere and the means disagree.

How far they do says little by itself: motion may be violent. Every fault that is known from the field is therefore tried beside the
gyroscope as it is (:data:`FAULTS`: what it would say if the fault were undone), on the same windows, and the logarithm of how much
better one of the two explains them is added up. A gyroscope is refused when one of the faults explains far more, and fits when it
beats them all. What nothing tells apart stays "not judged yet": a sensor that only turned about the vertical, or hardly at all.
Axes that both sensors share are only a mounting and make no difference.

Both kinds of evidence are bounded window by window, so that one blow or a violent second decides nothing. What a bias could explain
does not count against a sensor, as long as it is not known. The bounds were set on BROAD and recordings of walking and running;
nothing that is reported of orientations depends on them.

Sources: acceleration in axes that are led by the gyroscope, as in Laidig and Seel, Information Fusion 91 (2023),
10.1016/j.inffus.2022.10.014 (VQF); evidence added up to two bounds as in Wald, "Sequential tests of statistical hypotheses",
Ann. Math. Statist. 16 (1945), 10.1214/aoms/1177731118, with a slack as in Page, "Continuous inspection schemes", Biometrika 41
(1954), 10.1093/biomet/41.1-2.100; the log ratio of residuals is that of Student's t distribution.

A device's own quaternion is judged likewise, by the rate at which it turns: conjugated, or with axes of its own, it does not fit.

Axes: F faults and, first, none; H scales among them; K steps; W windows of a comparison.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import deque
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import DeviceError
from firmware_bridge.gaps import rate_between
from firmware_bridge.plausibility import check_at_rest
from firmware_bridge.samples import STANDARD_GRAVITY, Quaternion, Vector

__all__ = ["FAULTS", "GyroscopeFit", "Judgement"]

Float64 = NDArray[np.float64]
Judgement = Literal["not judged yet", "fits", "refused"]

STEP_S = 0.04
"""Readings are taken together over so long: 30 degrees at the fastest that limbs turn."""
WINDOW_S, WINDOWS = 1.0, 4
"""Windows and how many are compared. A mean reaches over two, rising and falling (Hann), so that strides and swings average out."""
GAP_S = 0.25
"""After a longer gap the turns are not known any more."""
NOISE = 0.001
"""Square of the share of g by which means differ when all is right: 0.03, a velocity that changes by 0.3 m/s in a second."""
SWAYING = 0.02
"""And beside that so much of the variance of the acceleration in a window, in the axes in which it varies least: of strides that
take longer than a window, a mean keeps a seventh of their swing, whatever the gyroscope says."""
BIAS_RAD_S = (0.005, 0.035)
"""A bias may be as large when a sensor has been still, and where nothing tells: two degrees a second is what VQF looks for at
most."""
STILL = (0.02, 0.15)
"""Standard deviations, rad/s and m/s², within which a sensor lies still."""
SLOW = 0.15
"""rad/s: more, however even, is a turn and no bias."""
AT_ONCE = 1.3
"""One comparison adds at most so much; a window is part of three."""
SLACK = 0.2
"""So much is taken off what speaks for a fault, each time: what repeats in a slow rhythm must not add up."""
REFUSED, FITS = 3.0, 3.0
"""Log evidence for a fault that refuses a gyroscope, and against each of them that lets it pass."""
PATIENCE, REST = 60, 12
"""After so many comparisons that have told nothing, as of a sensor that turns about the vertical only, so many windows are left out
after each: motion that tells more will come or it will not."""
PENDING_S = 1.5 * WINDOW_S
"""Readings of so long wait at most for somebody to call :meth:`GyroscopeFit.judge` in a quiet moment."""
FASTEST_SQUARE, FAST_S = 40.0**2, 0.4
"""(rad/s)² for so many seconds on end: above the range of the sensors in use, and of limbs."""


class _Fault(NamedTuple):
    undone: Float64  # (3, 3) from what it says to what is right
    seen: str
    remedy: str


def _faults() -> tuple[_Fault, ...]:
    still = np.eye(3)
    faults = [
        _Fault(-still, "it turns against the gyroscope about every axis",
               "look for a wrong sign, or for one of the two in left-handed axes, in the codec"),
        _Fault(still / 57.3, "it looks like degrees/s", "multiply by pi / 180 in the codec"),
        _Fault(still * 57.3, "it looks converted to radians twice", "look at the codec's scale"),
        _Fault(0 * still, "it explains nothing of what the accelerometer sees",
               "see that both are of one sensor, and that the gyroscope is switched on"),
    ]
    for scale in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 0.65, 1.55, 2.0, 4.0, 8.0, 16.0):
        words = f"{1 / scale:.3g} times too large" if scale < 1 else f"{scale:.3g} times too small"
        faults.append(_Fault(scale * still, f"it looks about {words}", "look at the sensor's range and the codec's scale"))
    turned = [(order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)]
    # The simplest first: of those that explain the same, it is the first that is named.
    for order, signs in sorted(turned, key=lambda one: (sum(a != b for a, b in enumerate(one[0])), one[1].count(-1))):
        matrix = np.zeros((3, 3))
        matrix[range(3), order] = signs
        if order == (0, 1, 2) and signs.count(-1) in (0, 3):
            continue
        names = ", ".join(("-" if sign < 0 else "") + "xyz"[axis] for axis, sign in zip(order, signs, strict=True))
        faults.append(_Fault(matrix, f"its axes would fit as ({names})", "exchange axes or signs of one of the two in the codec"))
    return tuple(faults)


FAULTS = _faults()
"""What is tried: a wrong sign of all axes, degrees, scales, and every other order and sign of axes. No scale nearer than these: a
limb that swings slowly feels its own acceleration as a quarter more or less of its turn."""
_DEGREES = 1


def _parts() -> tuple[Float64, NDArray[np.int64], NDArray[np.int64], Float64]:
    """Every way, the one without a fault first, as a scale and then a turn of the axes: (H,) scales that there are, (F,) which of
    them, (F, 3) the axis that each axis becomes, and (F, 3) with which sign.

    An order and signs of axes are a turn P of them, where they stay right-handed, or a turn of them and the scale -1. Turned axes
    need no sum of their own: exp(P w) is P exp(w) P^T.
    """
    scales: list[float] = []
    which, orders, signs = [], [], []
    for undone in (np.eye(3), *(fault.undone for fault in FAULTS)):
        scale = float(np.cbrt(np.linalg.det(undone)))
        turn = undone / scale if scale else np.eye(3)
        known = [at for at, other in enumerate(scales) if math.isclose(scale, other, abs_tol=1e-12)]
        which.append(known[0] if known else len(scales))
        if not known:
            scales.append(scale)
        orders.append(np.abs(turn).argmax(axis=1))
        signs.append(turn.sum(axis=1).round())
    return np.array(scales), np.array(which), np.array(orders), np.array(signs)


_SCALES, _SCALE, _ORDER, _SIGN = _parts()
_ANGLES = np.concatenate([0.5 * _SCALES, _SCALES])
_CROSS = np.zeros((3, 9))  # a vector -> its cross product as a matrix
for _axis, _at, _sign in ((0, 5, -1), (0, 7, 1), (1, 2, 1), (1, 6, -1), (2, 1, -1), (2, 3, 1)):
    _CROSS[_axis, _at] = _sign
_AXES = np.arange(3)


class _Window(NamedTuple):
    felt: Float64  # (F, 3, 2) m/s² in the axes of its beginning but for their turn, weighted towards its end, and its beginning
    turn: Float64  # (H, 3, 3) from its end to its beginning
    sway: float  # variance of the acceleration, in g, in the axes in which it varies least
    still: bool


class GyroscopeFit:
    """Compares the gyroscope of one sensor with its accelerometer until it can be told whether they fit.

        fit = GyroscopeFit("left_forearm")
        for time, reading in readings:
            fit.push(time, reading.angular_velocity, reading.acceleration)   # raises DeviceError
        print(fit.judgement)

    Args:
        name: of the sensor, for the message.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.judgement: Judgement = "not judged yet"
        self.settled = False
        """Nothing that comes can change the judgement any more; what is pushed costs nothing."""
        self._time = self._since = -math.inf
        self._readings: list[tuple[float, Vector, Vector]] = []  # seconds, rad/s, m/s²
        self._slow = -math.inf  # when it turned as limbs do, last
        self._windows: deque[_Window] = deque(maxlen=WINDOWS)
        self._bias: Float64 | None = None
        self._against = np.zeros(len(FAULTS))
        self._for = np.zeros(len(FAULTS))
        self._left = np.zeros(len(FAULTS))
        self._compared = self._resting = 0
        self._before: tuple[float, Quaternion] | None = None
        self._unsure = BIAS_RAD_S[1]

    @property
    def waits(self) -> bool:
        """Whether :meth:`judge` has something to do."""
        return self._time - self._since > WINDOW_S + STEP_S and not self.settled

    def push(self, time: float, rate: Vector, acceleration: Vector, bias_rad_s: float = BIAS_RAD_S[1]) -> None:
        """Take a reading: seconds, rad/s, m/s²; and how large a bias the rate may have.

        Raises:
            DeviceError: as :meth:`judge`.
        """
        if self.settled or time <= self._time:
            return
        if not time - self._time <= GAP_S:
            self._begin(time)
        self._time, self._unsure = time, bias_rad_s
        self._readings.append((time, rate, acceleration))
        x, y, z = rate
        if x * x + y * y + z * z < FASTEST_SQUARE:
            self._slow = time
        elif time - self._slow > FAST_S:
            self.judgement, self.settled = "refused", True
            raise self._misfit(FAULTS[_DEGREES])
        if time - self._since > PENDING_S:
            self.judge()

    def push_orientation(self, time: float, orientation: Quaternion, acceleration: Vector) -> None:
        """Take a reading of a device that sends its own quaternion, sensor -> world, in place of :meth:`push`.

        Raises:
            DeviceError: as :meth:`judge`.
        """
        before, self._before = self._before, (time, orientation)
        if before is not None and time > before[0]:
            self.push(time, rate_between(before[1], orientation, time - before[0]), acceleration)

    def judge(self) -> None:
        """Work on what was pushed. It happens by itself; call it in a quiet moment to have it done then.

        Raises:
            DeviceError: the gyroscope does not fit, or gravity at rest is not 1 g.
        """
        if not self.waits:
            return
        steps = self._steps()
        if self._resting:
            self._resting -= 1
            return
        try:
            self._windows.append(self._window(steps))
            if len(self._windows) == WINDOWS:
                self._compare()
                self._compared += 1
                if self._compared > PATIENCE:
                    self._resting = REST
                    self._windows.clear()
        except DeviceError:
            self.judgement, self.settled = "refused", True
            raise

    def _begin(self, time: float) -> None:
        self._since = self._slow = time
        self._readings = []
        self._windows.clear()

    def _steps(self) -> Float64:
        """(K, 7) seconds, rad/s and m/s² of the steps of the window that is over; its readings are let go."""
        times = [reading[0] for reading in self._readings]
        since, ends, passed = self._since, [0], []
        while since < self._since + WINDOW_S - 1e-6:
            end = bisect.bisect_left(times, since + STEP_S - 1e-6, ends[-1])
            passed.append(times[end] - since)
            since = times[end]
            ends.append(end + 1)
        measured = np.array([(*rate, *acceleration) for _, rate, acceleration in self._readings[:ends[-1]]])
        del self._readings[:ends[-1]]
        self._since = since
        means = np.add.reduceat(measured, ends[:-1], axis=0) / np.diff(ends)[:, None]
        return np.concatenate([np.array(passed)[:, None], means], axis=1)

    def _window(self, steps: Float64) -> _Window:
        """Steps (K, 7) as :meth:`_steps` has them, led back to the axes of their beginning in every way."""
        passed, rates, forces = steps[:, 0], steps[:, 1:4], steps[:, 4:]
        spread = steps[:, 1:].std(axis=0).tolist()
        if max(spread[:3]) < STILL[0] and max(spread[3:]) < STILL[1] and np.median(np.linalg.norm(rates, axis=-1)) < SLOW:
            mean = forces.mean(axis=0)
            check_at_rest(self.name, mean)
            self._bias = rates.mean(axis=0)
            half = np.where(_AXES == _ORDER[:, :, None], (0.5 * _SIGN * mean)[:, :, None], 0.0).sum(axis=1)
            return _Window(np.stack([half, half], axis=-1), np.broadcast_to(np.eye(3), (len(_SCALES), 3, 3)), 0.0, True)
        turns = passed[:, None] * (rates if self._bias is None else rates - self._bias)
        led, end = _led(turns)
        ends = np.cumsum(passed)
        rising = np.sin(0.5 * np.pi * (ends - 0.5 * passed) / ends[-1]) ** 2 * passed / ends[-1]
        weights = np.stack([rising, passed / ends[-1] - rising, np.full(len(steps), 1 / len(steps))])
        weighted = (weights[:, :, None] * forces).transpose(1, 0, 2).reshape(len(steps), 9)
        # By scale, the two axes of what leads, weights, and the axis of what is felt.
        sums = (led.reshape(len(steps), -1).T @ weighted).reshape(len(_SCALES), 3, 3, 3, 3)
        felt = (sums[_SCALE[:, None], :, _ORDER, :, _AXES] * _SIGN[:, :, None, None]).sum(axis=1)  # (F, 3, weights)
        sway = float(np.square(forces).sum() / len(forces) - np.square(felt[..., 2]).sum(axis=-1).max()) / STANDARD_GRAVITY**2
        return _Window(felt[..., :2], end, sway, False)

    def _compare(self) -> None:
        if all(window.still for window in self._windows):
            return
        led = np.empty((WINDOWS, len(_SCALES), 3, 3))
        felt = np.empty((WINDOWS, len(_SCALE), 3, 2))
        led[0] = np.eye(3)
        for number, window in enumerate(self._windows):
            felt[number] = window.felt
            if number + 1 < WINDOWS:
                led[number + 1] = led[number] @ window.turn
        felt = led[:, _SCALE] @ felt
        mean = (felt[:-1, ..., 0] + felt[1:, ..., 1]) / STANDARD_GRAVITY
        # By how much the windows differ from the one gravity of 1 g that fits them best.
        common = mean.sum(axis=0) / len(mean)
        apart = np.maximum(0.0, np.square(mean).sum(axis=(0, 2)) / len(mean) + 1 - 2 * np.sqrt(np.square(common).sum(axis=-1)))
        noise = NOISE + SWAYING * sum(window.sway for window in self._windows) / WINDOWS
        known, unknown = BIAS_RAD_S
        bias = known if self._bias is not None else min(max(self._unsure, known), unknown)
        bias *= WINDOW_S * math.sqrt(2 / 3)
        explained, as_it_is = np.log(apart[1:] + noise), math.log(float(apart[0]) + noise)
        pardoned = math.log(max(0.0, math.sqrt(float(apart[0])) - bias) ** 2 + noise)
        self._against = np.maximum(self._against + np.clip(pardoned - explained, -AT_ONCE, AT_ONCE) - SLACK, -FITS)
        self._for += np.clip(explained - as_it_is, -AT_ONCE, AT_ONCE)
        self._left += explained  # not bounded: it is to tell one fault from another
        self._conclude()

    def _conclude(self) -> None:
        if self._against.max() > REFUSED:
            left = np.where(self._against > REFUSED - AT_ONCE, self._left, math.inf)
            raise self._misfit(FAULTS[int(np.argmax(left < left.min() + 1e-3))])
        if (self._for > FITS).all():
            self.judgement, self.settled = "fits", True

    def _misfit(self, fault: _Fault) -> DeviceError:
        if self._before is not None:
            return DeviceError(f"{self.name}: gravity does not turn as the device's quaternion says",
                               expected="sensor -> world, about the accelerometer's own axes",
                               remedy="check the order (w, x, y, z), whether it has to be conjugated, and that quaternion and "
                               "acceleration are of the same axes")
        return DeviceError(f"{self.name}: gravity does not turn as the gyroscope says; {fault.seen}",
                           expected="rad/s about the accelerometer's own axes", remedy=fault.remedy)


def _led(turns: Float64) -> tuple[Float64, Float64]:
    """(K, 3) radians of successive turns -> (K, H, 3, 3) from the middle of each to the axes before the first, and (H, 3, 3) from
    the end of the last, at every scale."""
    angle = np.sqrt(np.square(turns).sum(axis=-1, keepdims=True))
    cross = (turns / np.maximum(angle, 1e-12) @ _CROSS).reshape(-1, 3, 3)
    angles = angle * _ANGLES  # of half the turn and of all of it
    # Rodrigues' formula, of the unit matrix, the cross product and its square.
    parts = np.stack([np.broadcast_to(np.eye(3), cross.shape), cross, cross @ cross], axis=1).reshape(-1, 3, 9)
    shares = np.stack([np.ones_like(angles), np.sin(angles), 1 - np.cos(angles)], axis=-1)
    rotations = (shares @ parts).reshape(len(turns), 2, len(_SCALES), 3, 3)
    ends = np.empty((len(turns) + 1, len(_SCALES), 3, 3))
    ends[0] = np.eye(3)
    for step, turn in enumerate(rotations[:, 1]):
        np.matmul(ends[step], turn, out=ends[step + 1])
    return ends[:-1] @ rotations[:, 0], ends[-1]
