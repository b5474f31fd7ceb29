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

Axes: F faults and, first, none; K steps; W windows of a comparison.
"""

from __future__ import annotations

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
PENDING = round(1.5 * WINDOW_S / STEP_S)
"""Steps that wait at most for somebody to call :meth:`GyroscopeFit.judge` in a quiet moment."""
FASTEST, FAST_S = 40.0, 0.4
"""rad/s for so many seconds on end: above the range of the sensors in use, and of limbs."""


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
_UNDONE = np.stack([np.eye(3), *(fault.undone for fault in FAULTS)])
_DEGREES = 1
_CROSS = np.zeros((3, 9))  # rotation vector -> its cross product as a matrix
for _axis, _at, _sign in ((0, 5, -1), (0, 7, 1), (1, 2, 1), (1, 6, -1), (2, 1, -1), (2, 3, 1)):
    _CROSS[_axis, _at] = _sign
_EYE = np.eye(3).reshape(9)


class _Window(NamedTuple):
    rising: Float64  # (F, 3) m/s² in the axes of its beginning, weighted towards its end
    falling: Float64  # and towards its beginning
    turn: Float64  # (F, 3, 3) from its end to its beginning
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
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        self._count = 0
        self._steps: list[tuple[float, ...]] = []  # seconds, rad/s, m/s²
        self._seconds = 0.0
        self._fast = 0
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
        return not self.settled and self._seconds > WINDOW_S

    def push(self, time: float, rate: Vector, acceleration: Vector, bias_rad_s: float = BIAS_RAD_S[1]) -> None:
        """Take a reading: seconds, rad/s, m/s²; and how large a bias the rate may have.

        Raises:
            DeviceError: as :meth:`judge`.
        """
        if self.settled:
            return
        if not time - self._time <= GAP_S:
            self._begin(time)
        self._time = time
        a, b, c, d, e, f = self._sums  # scalars: numpy's calls would cost more than the filter
        self._sums = (a + rate[0], b + rate[1], c + rate[2], d + acceleration[0], e + acceleration[1], f + acceleration[2])
        self._count += 1
        self._unsure = bias_rad_s
        passed = time - self._since
        if passed < STEP_S - 1e-6:
            return
        count = self._count
        self._steps.append((passed, *(total / count for total in self._sums)))
        self._sums, self._count, self._since = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0, time
        self._seconds += passed
        _, p, q, r, *_ = self._steps[-1]
        self._fast = self._fast + 1 if p * p + q * q + r * r > FASTEST**2 else 0
        if self._fast * STEP_S > FAST_S:
            self.judgement, self.settled = "refused", True
            raise self._misfit(FAULTS[_DEGREES])
        if len(self._steps) >= PENDING:
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
        steps = np.array(self._steps)
        count = int(np.searchsorted(np.cumsum(steps[:, 0]), WINDOW_S - 1e-6)) + 1
        self._seconds -= float(steps[:count, 0].sum())
        del self._steps[:count]
        if self._resting:
            self._resting -= 1
            return
        try:
            self._windows.append(self._window(steps[:count]))
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
        self._since = time
        self._sums, self._count = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0
        self._steps, self._seconds = [], 0.0
        self._windows.clear()

    def _window(self, steps: Float64) -> _Window:
        """Steps (K, 7) as :attr:`_steps` has them, led back to the axes of their beginning in every way."""
        passed, rates, forces = steps[:, :1], steps[:, 1:4], steps[:, 4:]
        speed = float(np.median(np.linalg.norm(rates, axis=-1)))
        if speed < SLOW and rates.std(axis=0).max() < STILL[0] and forces.std(axis=0).max() < STILL[1]:
            check_at_rest(self.name, forces.mean(axis=0))
            self._bias = rates.mean(axis=0)
            one = np.broadcast_to(np.eye(3), _UNDONE.shape)
            half = np.broadcast_to(0.5 * forces.mean(axis=0), (len(one), 3))
            return _Window(half, half, one, 0.0, True)
        turns = passed * (rates if self._bias is None else rates - self._bias)
        halves = _rotations(0.5 * turns @ _UNDONE.transpose(0, 2, 1))  # (F, K, 3, 3)
        led = np.broadcast_to(np.eye(3), _UNDONE.shape)
        felt = np.empty((len(steps), len(_UNDONE), 3))
        for step, force in enumerate(forces):
            led = led @ halves[:, step]
            felt[step] = led @ force  # the mean of a step belongs to its middle
            led = led @ halves[:, step]
        ends = np.cumsum(passed)
        rising = np.sin(0.5 * np.pi * (ends - 0.5 * passed[:, 0]) / ends[-1]) ** 2 * passed[:, 0] / ends[-1]
        sway = float(felt.var(axis=0).sum(axis=-1).min()) / STANDARD_GRAVITY**2
        return _Window(np.tensordot(rising, felt, 1), np.tensordot(passed[:, 0] / ends[-1] - rising, felt, 1), led, sway, False)

    def _compare(self) -> None:
        if all(window.still for window in self._windows):
            return
        rising, falling, led = [], [], np.eye(3)[None]
        for window in self._windows:
            rising.append((led @ window.rising[:, :, None])[:, :, 0])
            falling.append((led @ window.falling[:, :, None])[:, :, 0])
            led = led @ window.turn
        mean = (np.stack(rising[:-1]) + np.stack(falling[1:])) / STANDARD_GRAVITY
        # By how much the windows differ from the one gravity of 1 g that fits them best.
        apart = np.maximum(0.0, (mean**2).sum(axis=-1).mean(axis=0) + 1 - 2 * np.linalg.norm(mean.mean(axis=0), axis=-1))
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


def _rotations(vectors: Float64) -> Float64:
    """Rotation vectors (..., 3) -> (..., 3, 3), by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None]
    sine, half = np.sinc(angle / np.pi), np.sinc(angle / (2 * np.pi))
    outer = (vectors[..., :, None] * vectors[..., None, :]).reshape(*vectors.shape[:-1], 9)
    return np.asarray((np.cos(angle) * _EYE + sine * (vectors @ _CROSS) + 0.5 * half**2 * outer).reshape(*vectors.shape, 3))
