"""One skeleton from worn sensors and a camera.

The sensors carry the pose: forward kinematics of the measured segments, the others inferred. A camera tells what
sensors cannot know and corrects what they get wrong, each at its own pace:

    root          where the body is: the mean offset of all tracked joints, so that one joint's noise hardly counts
    heading       which way each sensor's world faces, at most half a degree per second, and how its segment really
                  stood in the calibration pose (:mod:`firmware_bridge.body.heading`)
    bone lengths  medians of what it measured
    residual      per joint, what is left between camera and kinematics, in the axes of the bone that leads there. It
                  is weighted by what is known of both sides (a Kalman filter per joint): a joint whose bones are
                  measured moves with its sensors and takes over a slow correction only; one without sensors follows
                  the camera. What a camera places off for good, by a centimetre or two, is kept apart. When the camera
                  loses the joint, the residual fades.

So limbs go on moving through occlusion and between camera frames, and a late camera frame corrects the present
through the past that it belongs to. While no camera sees the body, the standing foot carries the root.

Axes: P pieces, S sensors, V joints of the layout, L bones that a camera measures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import DeviceError, UnknownChoice
from edgeskel.geometry import about_up, multiply
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.align import orientations
from firmware_bridge.body.calibration import Calibration, calibrate
from firmware_bridge.body.camera_correction import CameraCorrection, Seen, check_frame
from firmware_bridge.body.heading import FASTEST, HeadingEstimator
from firmware_bridge.body.kinematics import Skeleton
from firmware_bridge.body.root_position import RootPosition
from firmware_bridge.body.segments import INDEX, PIECES, BodyDimensions, infer
from firmware_bridge.cameras.body_check import Handedness
from firmware_bridge.fused_frame import STALE_S, FusedFrame, Origin, origins
from firmware_bridge.gyroscope_fit import Judgement
from firmware_bridge.samples import Reading
from firmware_bridge.track import Track
from firmware_bridge.worn_sensor import SensorSetup, WornSensor

__all__ = ["FusedFrame", "Fusion", "Origin"]

Float64 = NDArray[np.float64]

LIVE_S = 0.5
"""A frame waits for sensors that have sent something within so long."""
AHEAD_S = 0.004
"""A reader is called so long before a frame can be due: timers of an event loop are a millisecond late, and what has come by then
is worked through while the last readings are on their way."""
GATHERED = 16
"""Readings of a sensor that wait at most to be worked through at once; mostly the next frame comes first."""


class Fusion:
    """What a live source drives: push readings and camera frames as they come, take frames as they are due.

        fusion = Fusion(topology, {"hip": SensorSetup("pelvis"), "7C:F2": SensorSetup("left_forearm")})
        fusion.push_reading("hip", reading, host_ns)      # any order between sensors; in order for one
        fusion.push_camera(frame)
        fusion.calibrate("n-pose", (12.0, 14.0), {"raise arms": (15.0, 18.0)})
        for fused in fusion.frames(time.monotonic_ns()):
            session.step(fused.frame)

    Not thread-safe: drive it from one loop. Memory is bounded; nothing waits. The readings between two frames are gathered
    and worked through together when the frame is due, or when somebody asks: one by one they cost twice as much.

    Args:
        topology: layout of the frames, and of the camera's.
        sensors: name -> what it is.
        body: sizes; a camera's measurements replace them.
        rate_hz: frames per second.
        delay_s: the longest that a frame waits for late readings. It is due earlier when all live sensors have
            reached it.
        calibration: from an earlier time, if sensors sit as they did.

    Raises:
        UnknownChoice: a place that is none.
        DeviceError: two sensors on one segment.
        TopologyMismatch: the layout has too little in common with the body.
    """

    def __init__(self, topology: Topology, sensors: Mapping[str, SensorSetup], *, body: BodyDimensions | None = None,
                 rate_hz: float = 30.0,
                 delay_s: float = 0.06, calibration: Calibration | None = None) -> None:
        self.topology = topology
        self.rate_hz = rate_hz
        self.delay_s = delay_s
        self.sensors: dict[str, WornSensor] = {name: WornSensor(name, worn) for name, worn in sensors.items()}
        self.segments: tuple[str, ...] = tuple(sensor.segment for sensor in self.sensors.values())
        for segment in self.segments:
            if self.segments.count(segment) > 1:
                both = [name for name, sensor in self.sensors.items() if sensor.segment == segment]
                raise DeviceError(f"{' and '.join(both)} both sit on {segment}", expected="one sensor per segment",
                                  remedy="leave one out, or name its place")
        self.skeleton: Skeleton = Skeleton(topology, body)
        self.camera: CameraCorrection = CameraCorrection(self.skeleton, self.segments)
        self._handedness = Handedness(topology)
        self.camera_refused: DeviceError | None = None
        """Why the camera's frames are left out; None while they are used."""
        self.headings: HeadingEstimator = HeadingEstimator(self.segments, known=False)
        self.root: RootPosition = RootPosition()
        self._buffers = [sensor.buffer for sensor in self.sensors.values()]
        self._awaited: set[str] = set()  # live sensors that have sent nothing yet since the instant of the next frame
        self._pieces = np.array([INDEX[segment] for segment in self.segments], dtype=np.int64)
        self._mounting: Float64 | None = None
        self._turn = np.zeros(len(self.segments))
        self._facing = 0.0
        self._now = -math.inf
        self._next: float | None = None
        self._last: float | None = None
        self.calibration = calibration
        if calibration is not None:
            self.use(calibration)

    @property
    def refused(self) -> dict[str, DeviceError]:
        """Sensor -> why its readings are refused (:mod:`firmware_bridge.plausibility`); the others go on."""
        self._work()
        return {name: sensor.refused for name, sensor in self.sensors.items() if sensor.refused is not None}

    @property
    def judgements(self) -> dict[str, Judgement]:
        """Sensor -> whether its gyroscope, or quaternion, fits its accelerometer, as far as its motion has told."""
        return {name: sensor.judgement for name, sensor in self.sensors.items()}

    def push_reading(self, sensor: str, reading: Reading, host_ns: int) -> None:
        """Take a reading of one sensor, which arrived at ``host_ns`` (``time.monotonic_ns()``).

        Raises:
            UnknownChoice: no such sensor.
            DeviceError: its readings cannot be what they claim to be. Raised once, by this reading or the sensor's first
                one after that was found out; from then on they are dropped, and :attr:`refused` says why.
        """
        state = self.sensors.get(sensor)
        if state is None:
            raise UnknownChoice("sensor", sensor, self.sensors)
        now = host_ns * 1e-9
        if now > self._now:
            self._now = now
        if state.refused is None:
            time = now
            if state.clock is not None:
                time, clock_epoch = state.clock.push(reading, host_ns)
                if clock_epoch != state.clock_epoch:
                    state.clock_epoch = clock_epoch
                    self._work_through(state)
                    state.orientation.restart()
            state.gathered.append((time, reading))
            if self._next is None or state.orientation.mode is None or len(state.gathered) >= GATHERED:
                self._work_through(state)
            if self._next is not None and time >= self._next:
                self._awaited.discard(sensor)
        if state.refused is not None and not state.told:
            state.told = True
            raise state.refused

    def _work(self) -> None:
        """Work through what was gathered of all sensors."""
        for state in self.sensors.values():
            if state.gathered:
                self._work_through(state)

    def _work_through(self, state: WornSensor) -> None:
        oriented, lost = state.work_through()
        if lost:
            self.headings.lose(state.segment)
        if self._next is None and oriented:
            self._next = oriented[0].time

    def push_camera(self, frame: Frame) -> None:
        """Take a camera frame, of the same layout; its time is on the host's monotonic clock, late by whatever the
        camera takes.

        Where it shows several persons, the wearer is the one who is nearest to where the wearer was.

        Raises:
            InvalidClip: another number of joints, or values that are none.
            DeviceError: left and right are exchanged, or the picture is mirrored, by where feet and noses point. Raised once;
                until the camera shows them right again its frames are left out, and :attr:`camera_refused` says why.
        """
        self._now = max(self._now, frame.time)
        self._check_sides(frame)
        if self.camera_refused is not None:
            return
        self.camera.push(frame)
        if self._next is None:
            self._next = frame.time

    def _check_sides(self, frame: Frame) -> None:
        """Believe, or no longer believe, a camera's left and right."""
        check_frame(frame, len(self.topology.joints))
        for joints, confidence in zip(frame.joints, frame.confidence, strict=True):
            swapped = self._handedness.push(joints, confidence)
            if swapped is None or bool(swapped) == (self.camera_refused is not None):
                continue
            self.camera_refused = None
            self.camera = CameraCorrection(self.skeleton, self.segments)  # what it has taught was mirrored, too, or is of long ago
            if self.calibration is not None:
                self.use(self.calibration)
            if swapped:
                self.camera_refused = DeviceError(
                    f"the camera: {swapped} of {self._handedness.JUDGED} bodies have left and right swapped for where they face",
                    expected="joints by their own names, in right-handed axes",
                    remedy="check the axes and their handedness, a mirrored picture, and the table of joints; until then the "
                    "sensors alone are followed")
                raise self.camera_refused

    def track(self, sensor: str, start: float, end: float) -> Track:
        """What a sensor gave from ``start`` to ``end`` (host seconds), of the last minute or so."""
        if sensor not in self.sensors:
            raise UnknownChoice("sensor", sensor, self.sensors)
        self._work_through(self.sensors[sensor])
        return self.sensors[sensor].buffer.track(start, end)

    def calibrate(self, pose: str, held: tuple[float, float], moved: Mapping[str, tuple[float, float]] | None = None, *,
                  facing: float = 0.0, common_heading: bool = False, world_facing: float | None = None) -> Calibration:
        """Calibrate from what was just recorded, and go on with that.

        Args:
            pose: of ``body.POSES``.
            held: (start, end) host seconds during which the pose was held.
            moved: movement of ``body.MOVEMENTS`` -> (start, end).
            facing, common_heading, world_facing: as in :func:`firmware_bridge.body.calibrate`.

        Raises:
            UnknownChoice, DeviceError: as :func:`firmware_bridge.body.calibrate`.
        """
        self._work()
        live = {sensor.segment: sensor for sensor in self.sensors.values() if sensor.refused is None}
        made = calibrate(
            pose, {segment: sensor.buffer.track(*held) for segment, sensor in live.items()},
            {movement: {segment: sensor.buffer.track(*when) for segment, sensor in live.items()}
             for movement, when in (moved or {}).items()},
            facing=facing, common_heading=common_heading, world_facing=world_facing)
        self._facing = facing
        self.use(made)
        return made

    def use(self, calibration: Calibration) -> None:
        """Go on with a calibration; sensors that it does not know measure nothing."""
        self._work()
        self.calibration = calibration
        still = np.array([1.0, 0.0, 0.0, 0.0])
        self._mounting = np.array([calibration.mounting.get(segment, still * np.nan) for segment in self.segments]).reshape(-1, 4)
        self._turn = np.array([calibration.heading.get(segment, 0.0) for segment in self.segments])
        self.headings = HeadingEstimator(self.segments, known=True)
        self.camera.begin()

    def frames(self, now_ns: int | None = None) -> list[FusedFrame]:
        """The frames that are due at ``now_ns``, oldest first; without it, as of the last thing that was pushed."""
        now = self._now if now_ns is None else now_ns * 1e-9
        made: list[FusedFrame] = []
        while self._next is not None:
            late = now >= self._next + self.delay_s
            if self._awaited and not late:
                break
            self._awaited.clear()
            live = False
            for name, sensor in self.sensors.items():
                if sensor.gathered and sensor.buffer.newest < self._next:
                    self._work_through(sensor)
                if sensor.buffer.newest > self._next - LIVE_S:
                    live = True
                    if sensor.buffer.newest < self._next:
                        self._awaited.add(name)
            if not late and (self._awaited or not live):
                break
            made.append(self._frame(self._next))
            self._next += 1 / self.rate_hz
            self._awaited.clear()
        return made

    def waits_for(self, now_ns: int) -> tuple[float, frozenset[str] | None]:
        """When the next frame can be due at the earliest, so that a reader need not wake for every reading before.

        Returns:
            Host seconds, and sensors: no frame is due before that instant, or before all of these sensors have sent something
            more. The sensors are empty while it is the time alone that counts, and None where any reading may bring a frame.
            Readings that are pushed no later than that make the same frames at the same time, as long as sensors that measured
            steadily do so.
        """
        due = self._next
        if due is None:
            return math.inf, None
        soonest = max((sensor.soonest(due) for sensor in self.sensors.values() if sensor.buffer.newest > due - LIVE_S), default=due)
        until = min(max(due, soonest), due + self.delay_s) - AHEAD_S
        if now_ns * 1e-9 < until:
            return until, frozenset()
        return due + self.delay_s, frozenset(self._awaited) or None

    def catch_up(self) -> None:
        """Work through what was gathered now, while there is time, instead of when the frame is due."""
        self._work()

    def judge(self) -> None:
        """Look, in a quiet moment, at whether a sensor's gyroscope and accelerometer fit (:mod:`firmware_bridge.gyroscope_fit`).

        One sensor at each call, about a millisecond; where nobody calls it, it happens between readings. A sensor that does not
        fit is in :attr:`refused`, and its next reading raises.
        """
        for sensor in self.sensors.values():
            if sensor.judge():
                return

    def _sample(self, time: float) -> tuple[Float64, Float64]:
        """(S, 4) sensors -> their worlds at an instant, and (S,) ages; nothing before a calibration."""
        if self._mounting is None or not len(self.segments):
            return np.zeros((len(self.segments), 4)), np.full(len(self.segments), math.inf)
        return orientations(self._buffers, time)

    def _posture(self, sample: tuple[Float64, Float64], *, unfaced: bool = False,
                 corrected: bool = True) -> tuple[Float64, NDArray[np.bool_]]:
        """(P, 4) segment -> world and (P,) measured, from a :meth:`_sample`.

        While it is unknown how the sensors' world lies to the camera's, a camera alone is followed, unless
        ``unfaced``. Without ``corrected``, what the camera found out about the pose is left out.
        """
        turns = np.zeros((len(PIECES), 4))
        turns[:, 0] = 1.0
        measured = np.zeros(len(PIECES), dtype=bool)
        quaternions, age = sample
        if self._mounting is not None and len(self.segments) and (unfaced or self.camera.faced or not self.camera.active):
            world = multiply(about_up(self._turn + self.headings.angle), quaternions)
            worn = multiply(world, self._mounting)
            if corrected and self.camera.active:  # nothing else tilts
                worn = multiply(worn, self.headings.tilt)
            fresh = (age < STALE_S) & ~np.isnan(worn[:, 0])
            turns[self._pieces[fresh]] = worn[fresh]
            measured[self._pieces[fresh]] = True
        return infer(turns, measured, self._facing), measured

    def _frame(self, time: float) -> FusedFrame:
        passed = 0.0 if self._last is None else time - self._last
        self._last = time
        self.headings.wait(passed)
        sample = self._sample(time)
        if passed == 0.0:  # the root's path begins before the camera is asked about it
            turns = self._posture(sample)[0]
            self.root.walk(time, turns, self.skeleton.forward_with_soles(turns)[1])
        for seen in self.camera.due(time):
            self._look(seen)
        turns, measured = self._posture(sample)
        self.headings.hold_joints(turns, passed)
        joints, soles = self.skeleton.forward_with_soles(turns)
        self.root.walk(time, turns, soles)
        residual, variance, seen_age = self.camera.residuals(time, turns, measured)
        root, root_age = self.root.at(time)
        sensor_age = self._joint_ages(measured, sample[1])
        inertial = np.isfinite(sensor_age)
        filmed = seen_age < STALE_S
        known = self.skeleton.placed | np.isfinite(seen_age)
        origin = origins(known, inertial, filmed)
        confidence = np.where(known, 1 / (1 + variance / self.camera.HALF_SURE**2), 0.0)
        frame = Frame(time, (root + joints + residual)[None].astype(np.float32), confidence[None].astype(np.float32))
        return FusedFrame(frame, origin, np.where(inertial, sensor_age, np.where(filmed, seen_age, math.inf)), turns,
                     measured, root_age)

    def _joint_ages(self, measured: NDArray[np.bool_], age: Float64) -> Float64:
        """(V,) age of the oldest sensor on a joint's bones; infinite where one has none."""
        ages = np.full(len(PIECES), math.inf)
        ages[self._pieces] = age
        ages[~measured] = math.inf
        return self.camera.chains.oldest(ages)

    def _look(self, seen: Seen) -> None:
        """Let a camera frame correct heading, lengths, root and residuals, at the instant that it shows."""
        camera = self.camera
        sample = self._sample(seen.time)
        turns, measured = self._posture(sample, unfaced=True, corrected=False)
        world = camera.level(seen, self.skeleton.forward(turns), measured)
        turns, measured = self._posture(sample, unfaced=True)
        before = self.skeleton.forward(turns)
        bones = camera.bones(world, turns, measured, self.skeleton)
        if camera.faced:
            limit = FASTEST * camera.passed(seen.time)
            turn = min(limit, max(-limit, camera.tilt.heading))
            camera.tilt.turn(turn)
            self._turn = self._turn + turn
            self.headings.observe(*bones, camera.passed(seen.time))
        elif len(bones.rows):
            common = camera.common_heading(bones)
            if common is not None:  # the sensors' world turns into the camera's, once
                self._turn = self._turn + common
        facing = camera.facing(world)
        if facing is not None:
            self._facing = facing
        camera.measure(world, self.skeleton)
        turns, measured = self._posture(sample)
        joints = self.skeleton.forward(turns)
        camera.explain(joints - before, turns)
        camera.correct(world, joints, turns, measured, self.root)
        if self._mounting is not None and camera.faced:
            heading = self._turn + self.headings.angle
            camera.find_offset(seen.time, self._mounting, heading, self._buffers, self.skeleton)
