"""Several sensors and a camera on one time axis and one vertical.

Sensors sample when they like, arrive late and lose readings: each has a :class:`JitterBuffer` that gives its
orientation at any instant. A camera's clock is late by an unknown exposure, computing and transport:
:func:`camera_offset` finds by how much, from the speeds at which both see the same bones move. A camera is also
tilted: :class:`CameraTilt` finds which way is up in its axes from how high the sensors say that each joint is.

Axes: K samples, L bones.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeskel.geometry import between, conjugate, exponential, from_axes, heading, multiply, slerp
from firmware_bridge.oriented_sample import OrientedSample
from firmware_bridge.samples import Quaternion, Vector
from firmware_bridge.track import Track

__all__ = ["CameraTilt", "JitterBuffer", "bone_speed", "bone_velocity", "camera_offset", "orientations", "resample"]

Float64 = NDArray[np.float64]

EXTRAPOLATED_S = 0.1
"""An orientation is carried on by the gyroscope for so long; limbs change their speed faster than that."""

RECENT = 64
"""Readings that are found without a search: two thirds of a second at 100 Hz, more than a frame waits or a camera is late."""
UNKNOWN = (math.nan, math.nan, math.nan)
NOTHING = (1.0, 0.0, 0.0, 0.0)


class JitterBuffer:
    """The last readings of one sensor, by time.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int = 8192) -> None:
        self._size = size
        # Everything is written twice, ``size`` apart, so that the last ``size`` are always contiguous.
        self._data = np.full((2 * size, 8), np.nan)
        self._count = 0
        self._recent: deque[OrientedSample] = deque(maxlen=min(RECENT, size))
        self._unwritten = array("d")  # the last rows of ``_data``, as they are cheapest to keep
        self.newest: float = -math.inf
        """Seconds of the newest reading; -inf before the first."""

    def __len__(self) -> int:
        return min(self._count, self._size)

    def push(self, oriented: OrientedSample) -> None:
        """Keep a reading; those that are not newer than the newest are refused before, by
        :class:`~firmware_bridge.orientation.Orientation`."""
        self.extend([oriented])

    def extend(self, oriented: Sequence[OrientedSample]) -> None:
        """Keep several readings, oldest first."""
        if not oriented:
            return
        self._recent.extend(oriented)
        self.newest = oriented[-1].time
        keep = self._unwritten.extend
        for one in oriented:
            keep((one.time, *one.quaternion, *(one.rate or UNKNOWN)))
        self._count += len(oriented)
        if len(self._unwritten) >= 8 * RECENT:
            self._write()

    def clear(self) -> None:
        """Forget all: what came before does not compare with what comes."""
        self._count = 0
        self._recent.clear()
        self._unwritten = array("d")
        self.newest = -math.inf

    def around(self, time: float) -> tuple[OrientedSample, OrientedSample] | None:
        """The readings before and after ``time``.

        After the newest reading both are that one; before the oldest there is nothing.
        """
        after: OrientedSample | None = None
        for one in reversed(self._recent):  # what is asked for is mostly the present
            if one.time <= time:
                return one, after or one
            after = one
        view = self._view()
        if not len(view) or time < view[0, 0]:
            return None
        at = int(np.searchsorted(view[:, 0], time, side="right"))
        return _read(view[at - 1]), _read(view[at])

    def track(self, start: float, end: float) -> Track:
        """The readings of ``start <= time <= end`` that have a rate."""
        view = self._view()
        inside = (view[:, 0] >= start) & (view[:, 0] <= end) & ~np.isnan(view[:, 5])
        return Track(view[inside, 0].copy(), view[inside, 1:5].copy(), view[inside, 5:8].copy())

    def _write(self) -> None:
        data, self._unwritten = np.frombuffer(self._unwritten).reshape(-1, 8)[-self._size:], array("d")
        begin = (self._count - len(data)) % self._size
        fit = self._size - begin
        for part, row in ((data[:fit], begin), (data[fit:], 0)):
            self._data[row:row + len(part)] = part
            self._data[row + self._size:row + self._size + len(part)] = part

    def _view(self) -> Float64:
        if self._unwritten:
            self._write()
        if self._count <= self._size:
            return self._data[:self._count]
        row = self._count % self._size
        return self._data[row:row + self._size]


def _read(row: Float64) -> OrientedSample:
    time, w, x, y, z, *rate = row.tolist()
    return OrientedSample(time, (w, x, y, z), None if math.isnan(rate[0]) else (rate[0], rate[1], rate[2]), 0)


def orientations(buffers: Sequence[JitterBuffer], time: float) -> tuple[Float64, Float64]:
    """All sensors at one instant.

    Between two readings an orientation lies between them; after the newest it is carried on by the gyroscope for
    :data:`EXTRAPOLATED_S` and then stays.

    Returns:
        (S, 4) orientations, and (S,) seconds since the last reading; an age is infinite where there is no orientation.
    """
    before: list[Quaternion] = []
    after: list[Quaternion] = []
    share: list[float] = []
    age: list[float] = []
    carried: list[int] = []
    rates: list[Vector] = []
    for number, buffer in enumerate(buffers):
        found = buffer.around(time)
        if found is None:
            before.append(NOTHING)
            after.append(NOTHING)
            share.append(0.0)
            age.append(math.inf)
            continue
        a, b = found
        passed = time - a.time
        before.append(a.quaternion)
        after.append(b.quaternion)
        age.append(passed)
        share.append(0.0 if a is b else passed / (b.time - a.time))
        if a is b and passed > 0 and a.rate is not None:
            carried.append(number)
            rates.append(a.rate)
    turned = slerp(np.array(before).reshape(-1, 4), np.array(after).reshape(-1, 4), np.array(share))
    ages = np.array(age)
    if carried:
        ahead = np.array(rates) * np.minimum(ages[carried], EXTRAPOLATED_S)[:, None]
        turned[carried] = multiply(turned[carried], exponential(ahead))
    return turned, ages


def resample(track: Track, time: Float64) -> Float64:
    """(N, 4) orientations at ``time`` (N,), on the shortest arc between readings; the ends are held."""
    after = np.clip(np.searchsorted(track.time, time, side="right"), 1, len(track.time) - 1)
    begin, end = track.time[after - 1], track.time[after]
    share = np.clip((time - begin) / (end - begin), 0.0, 1.0)
    return slerp(track.orientation[after - 1], track.orientation[after], share)


def bone_velocity(time: Float64, bones: Float64, span: float) -> tuple[Float64, Float64]:
    """How bones change, as differences over ``span`` seconds centred on each instant.

    Both sides of a comparison take the same span, so that what it smooths away is missing on both and shifts nothing.

    Args:
        time: (K,) seconds, increasing.
        bones: (K, L, 3) metres from one end of each bone to the other; NaN where it was not seen.

    Returns:
        (K',) seconds and (K', L, 3) m/s; NaN where a bone was not seen.
    """
    inside = time[(time >= time[0] + span / 2) & (time <= time[-1] - span / 2)]
    ahead, behind = (_interpolate(inside + half, time, bones) for half in (span / 2, -span / 2))
    return inside, np.asarray((ahead - behind) / span, dtype=np.float64)


def bone_speed(time: Float64, bones: Float64, span: float) -> tuple[Float64, Float64]:
    """As :func:`bone_velocity`, but (K', L) speeds: for sides whose axes do not compare."""
    inside, velocity = bone_velocity(time, bones, span)
    return inside, np.asarray(np.linalg.norm(velocity, axis=-1), dtype=np.float64)


def camera_offset(camera_time: Float64, camera_speed: Float64, sensor_time: Float64, sensor_speed: Float64, *,
                  reach: float = 0.5, step: float = 0.005) -> tuple[float, float]:
    """By how much the camera's times are late, and how sure that is.

    The correlation of all signals is summed for every shift, and the top of a parabola through its peak
    taken.

    Args:
        camera_time: (K,) seconds.
        camera_speed: (K, L) of each bone (or of each bone's components), NaN where unseen.
        sensor_time: (K',) seconds.
        sensor_speed: (K', L) of the same.
        reach: the largest offset that is looked for, either way.
        step: of the grid, seconds; the parabola is finer.

    Returns:
        (seconds to take off the camera's times, correlation at the peak). A correlation of 0 means that nothing was
        found: too little in common, or the peak at the end of the reach.
    """
    begin = max(camera_time[0], sensor_time[0] + reach) if len(camera_time) and len(sensor_time) else 0.0
    end = min(camera_time[-1], sensor_time[-1] - reach) if len(camera_time) and len(sensor_time) else 0.0
    if end - begin < 2 * reach:
        return 0.0, 0.0
    grid = np.arange(begin, end, step)
    lags = np.arange(-round(reach / step), round(reach / step) + 1)
    wide = begin + step * np.arange(lags[0], len(grid) + lags[-1])
    camera = _interpolate(grid, camera_time, camera_speed)
    sensor = _interpolate(wide, sensor_time, sensor_speed)
    seen = np.isfinite(camera)
    counts = np.maximum(seen.sum(axis=0), 1)
    camera = np.where(seen, camera - np.where(seen, camera, 0.0).sum(axis=0) / counts, 0.0)
    known = np.isfinite(sensor)
    sensor = np.where(known, sensor - np.where(known, sensor, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0.0)
    score = np.zeros(len(lags))
    power = np.zeros(len(lags))
    for bone in range(camera.shape[1]):
        score += np.correlate(sensor[:, bone], camera[:, bone], mode="valid")
        power += np.correlate(sensor[:, bone] ** 2, seen[:, bone].astype(np.float64), mode="valid")
    score /= np.sqrt(np.maximum(power * float((camera**2).sum()), 1e-12))
    peak = int(np.argmax(score))
    if peak in (0, len(lags) - 1):
        return 0.0, 0.0
    left, top, right = score[peak - 1:peak + 2]
    bend = left - 2 * top + right
    fine = 0.0 if bend == 0 else 0.5 * (left - right) / bend
    # The sensors' course lies ``lag`` after the camera's when the camera's times are early, hence the sign.
    return -float(step * (lags[peak] + fine)), float(top)


def _interpolate(at: Float64, time: Float64, values: Float64) -> Float64:
    """(N, ...) linear between neighbours; NaN where one of them is."""
    after = np.clip(np.searchsorted(time, at, side="right"), 1, len(time) - 1)
    share = np.clip((at - time[after - 1]) / (time[after] - time[after - 1]), 0.0, 1.0)
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1 - share) * values[after - 1] + share * values[after], dtype=np.float64)


class CameraTilt:
    """Which way is up in camera axes: the rotation that carries a camera's joints onto the sensors' best, with a
    level camera as prior.

    Least squares of directions by singular value decomposition, as in Markley, "Attitude determination using vector
    observations and the singular value decomposition", J. Astronautical Sciences 36 (1988). Of the rotation, what
    levels the camera is the tilt; the rest is by how much the sensors' common heading is off, over all joints, whose
    single errors cancel.
    """

    PRIOR = math.radians(10)
    """Standard deviation of a camera's tilt before anything was seen."""
    NOISE = 0.05
    """Metres: difference of a joint's place as camera and sensors see it."""
    MEMORY = 0.999
    """Per frame; about half a minute, so that a camera that was pushed is followed."""
    ALIKE = 30
    """Frames in a row that share their error: trackers wander, they do not jitter."""

    def __init__(self) -> None:
        self._prior = (self.NOISE / self.PRIOR) ** 2 * self.ALIKE * np.eye(3)
        self._products = np.zeros((3, 3))
        self.rotation: Float64 = np.array([1.0, 0.0, 0.0, 0.0])
        """(4,) camera axes -> ours: the smallest turn that makes up y."""
        self.heading: float = 0.0
        """Radians about up by which the sensors' world must be turned to agree with the camera's."""

    def turn(self, angle: float) -> None:
        """The sensors' world was turned about up by ``angle`` radians."""
        cosine, sine = math.cos(angle), math.sin(angle)
        self._products = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]]) @ self._products
        self.heading -= angle

    def push(self, seen: Float64, ours: Float64) -> None:
        """Take a frame.

        Args:
            seen: (L, 3) metres, joints in camera axes about their mean.
            ours: (L, 3) metres, the same by the sensors, about their mean, in our world. Where the sensors' heading
                is not known yet, only the heights, with zeros beside them.
        """
        self._products = self.MEMORY * self._products + ours.T @ seen
        left, _, right = np.linalg.svd(self._products + self._prior)
        whole = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
        level = np.array([0.0, 1.0, 0.0])
        self.rotation = between(np.asarray(whole.T @ level, dtype=np.float64), level)
        left_over = multiply(self.rotation, conjugate(from_axes(whole[:, 0], whole[:, 1], whole[:, 2])))
        self.heading = float(heading(left_over))
