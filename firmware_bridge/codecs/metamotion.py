"""MbientLab MetaMotion (R, RL, S, C): the sensor fusion that runs on the board, over BLE.

Source: MetaWear-SDK-Cpp (MbientLab), ``sensor/cpp/sensor_fusion.cpp``, ``gyro_bosch.cpp`` and the bytes in its tests
(``test_sensor_fusion.py``, ``test_sensor_fusion_config.py``, ``test_accelerometer_bmi270.py``, ``test_settings.py``).

Every message is u8 module, u8 register, contents; a register with bit 7 set is read instead of written. Fused values
come from module 0x19, each in its own notification, without counter and without time:

    19 04, 05, 06   corrected acceleration (mg), angular velocity (degrees/s), magnetic field (µT): 3 x f32, u8 accuracy
    19 07           quaternion w, x, y, z: 4 x f32
    19 09, 0A       gravity, acceleration without it (m/s²), sensor axes: 3 x f32

The board sends what belongs to one step of the fusion one after the other; the codec puts it into one reading, which it
hands over as soon as all outputs are there, or when one comes that the reading has already (another was lost, or is slower,
as the magnetic field). The board says which accelerometer it has, and :meth:`MetaMotionCodec.reply` configures that one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs import CodecCounts, Gatt, Write
from firmware_bridge.codecs._values import DEGREE, reaches, unit, within, words
from firmware_bridge.samples import STANDARD_GRAVITY, Chunk, DeviceStatus, Flags, Reading

__all__ = ["MODES", "OUTPUTS", "MetaMotionCodec", "encode_battery", "encode_output"]

SERVICE = "326a9000-85cb-9195-d9dd-464cfbbae75a"
COMMAND = "326a9001-85cb-9195-d9dd-464cfbbae75a"
NOTIFY = "326a9006-85cb-9195-d9dd-464cfbbae75a"

ACCELEROMETER, SETTINGS, GYROSCOPE, MAGNETOMETER, FUSION = 0x03, 0x11, 0x13, 0x15, 0x19
READ = 0x80
INFO, MAC, BATTERY = 0x80, 0x0B, 0x0C
BMI160, BMI270 = 1, 4  # kinds of accelerometer, as module 3 names itself

MOST_ACCELERATION = 16 * STANDARD_GRAVITY
MOST_ANGULAR_VELOCITY = 2000 * DEGREE
MOST_MAGNETIC_FIELD = 2500.0  # µT, of the BMM150


@dataclass(frozen=True)
class MetaMotionMode:
    """A mode of the fusion: its number, the sensors it runs, and Hz of the quaternion."""

    number: int
    sensors: tuple[int, ...]
    rate: int


MODES: dict[str, MetaMotionMode] = {
    "ndof": MetaMotionMode(1, (ACCELEROMETER, GYROSCOPE, MAGNETOMETER), 100),
    "imu-plus": MetaMotionMode(2, (ACCELEROMETER, GYROSCOPE), 100),
    "compass": MetaMotionMode(3, (ACCELEROMETER, MAGNETOMETER), 25),
    "m4g": MetaMotionMode(4, (ACCELEROMETER, MAGNETOMETER), 50),
}

OUTPUTS: dict[str, int] = {
    "acceleration": 0x04,
    "angular_velocity": 0x05,
    "magnetic_field": 0x06,
    "orientation": 0x07,
    "gravity": 0x09,
    "linear_acceleration": 0x0A,
}
"""What can be sent -> its register."""
_BY_REGISTER = {register: output for output, register in OUTPUTS.items()}
_VECTOR, _CORRECTED, _QUATERNION = struct.Struct("<3f"), struct.Struct("<3fB"), struct.Struct("<4f")
_RATE_CODES = {100: 8, 50: 7, 25: 6}  # of both accelerometers


class MetaMotionCodec:
    """One MetaMotion board.

    Args:
        outputs: what the board shall send, keys of :data:`OUTPUTS`. The maker's own apps allow 100 notifications a
            second in all, so that more outputs at 100 Hz may lose some. By default the acceleration comes along, for
            without it nothing tells which axis of the quaternion's world points up. Gravity is the fusion's estimate,
            not a measurement: it comes as the acceleration of a sensor of its own, named ``gravity``.
        mode: a key of :data:`MODES`.

    Raises:
        UnknownChoice: no such output or mode; the message lists those there are.
        UsageError: no output at all.
    """

    name: ClassVar[str] = "metamotion"
    gatt: ClassVar[Gatt | None] = Gatt(service=SERVICE, notify=(NOTIFY,), names=("MetaWear",))
    sequence_bits: ClassVar[int | None] = None
    clock_bits: ClassVar[int | None] = None
    clock_tick_us: ClassVar[float] = 1.0
    options: ClassVar[Mapping[str, Callable[[str], Any]]] = {"outputs": words, "mode": str}

    outputs: tuple[str, ...]
    mode: MetaMotionMode

    def __init__(self, outputs: Sequence[str] = ("acceleration", "orientation"), mode: str = "ndof") -> None:
        if mode not in MODES:
            raise UnknownChoice("fusion mode", mode, MODES)
        for output in outputs:
            if output not in OUTPUTS:
                raise UnknownChoice("MetaMotion output", output, OUTPUTS)
        if not outputs:
            raise UsageError("no output is asked for", expected=f"some of {', '.join(OUTPUTS)}")
        self.outputs, self.mode = tuple(dict.fromkeys(outputs)), MODES[mode]
        self.counts: CodecCounts = CodecCounts()
        self._expected = {output for output in self.outputs if output != "gravity"}
        self._step: dict[str, Reading] = {}

    def decode(self, chunk: Chunk) -> list[Reading | DeviceStatus]:
        """What one notification says or completes; one of another length, cut by the MTU, is refused."""
        data = chunk.data
        found: Reading | DeviceStatus | None = None
        if chunk.channel == NOTIFY and 2 <= len(data) <= 20:
            if data[0] == ACCELEROMETER and data[1] == INFO and len(data) >= 4:
                self.counts.frames += 1
                if data[2] in (BMI160, BMI270):
                    return []
                return [DeviceStatus(text=f"accelerometer of kind {data[2]}: not a board with sensor fusion")]
            if data[0] == FUSION:
                found = _output(data[1], data[2:])
            elif data[0] == SETTINGS:
                found = _about(data[1], data[2:])
        if found is None:
            self.counts.bad += 1
            self.counts.discarded += len(data)
            return []
        self.counts.frames += 1
        if isinstance(found, DeviceStatus) or found.sensor:
            return [found]
        return self._join(_BY_REGISTER[data[1]], found)

    def start(self, rate_hz: float | None = None) -> Sequence[Write]:
        """Ask for battery, address and accelerometer; :meth:`reply` does the rest. See :class:`~firmware_bridge.codecs.Codec`."""
        if rate_hz is not None and rate_hz != self.mode.rate:
            raise UsageError(f"the fusion does not run at {rate_hz:g} Hz", expected=f"{self.mode.rate} in this mode")
        return tuple(
            Write(bytes(command), COMMAND)
            for command in ((SETTINGS, READ | BATTERY), (SETTINGS, READ | MAC), (ACCELEROMETER, INFO))
        )

    def stop(self) -> Sequence[Write]:
        """Stop the fusion and the sensors under it. See :class:`~firmware_bridge.codecs.Codec`."""
        commands = [bytes((FUSION, 1, 0)), bytes((FUSION, 3, 0, 0x7F))]
        commands += [bytes((sensor, 1, 0)) for sensor in self.mode.sensors]
        commands += [bytes((sensor, 2, 0, 1)) for sensor in self.mode.sensors]
        commands += [bytes((FUSION, OUTPUTS[output], 0)) for output in self.outputs]
        return tuple(Write(command, COMMAND) for command in commands)

    def reply(self, chunk: Chunk) -> Sequence[Write]:
        """Configure and start, when the board has said which accelerometer it has."""
        data = chunk.data
        if chunk.channel != NOTIFY or len(data) < 4 or data[:2] != bytes((ACCELEROMETER, INFO)):
            return ()
        if data[2] not in (BMI160, BMI270):
            return ()
        return tuple(Write(command, COMMAND) for command in (*self._configure(data[2]), *self._begin()))

    def reset(self) -> None:
        """Forget the step whose rest has not come."""
        self._step = {}

    def _join(self, output: str, found: Reading) -> list[Reading | DeviceStatus]:
        whole: list[Reading | DeviceStatus] = []
        if output in self._step:
            whole.append(_joined(self._step))
            self._step = {}
        self._step[output] = found
        self._expected.add(output)  # a recording may hold more than this codec would ask for
        if self._step.keys() == self._expected:
            whole.append(_joined(self._step))
            self._step = {}
        return whole

    def _configure(self, accelerometer: int) -> list[bytes]:
        """±16 g, ±2000 degrees/s; the magnetometer at its 25 Hz."""
        code = _RATE_CODES[self.mode.rate]
        commands = [
            bytes((FUSION, 2, self.mode.number, 0x13)),
            bytes((ACCELEROMETER, 3, 0x20 | code, 0x0C))
            if accelerometer == BMI160
            else bytes((ACCELEROMETER, 3, 0xA0 | code, 0x03)),
        ]
        if GYROSCOPE in self.mode.sensors:
            commands.append(bytes((GYROSCOPE, 3, 0x28, 0x00)))
        if MAGNETOMETER in self.mode.sensors:
            commands += [bytes((MAGNETOMETER, 4, 0x04, 0x0E)), bytes((MAGNETOMETER, 3, 0x06))]
        return commands

    def _begin(self) -> list[bytes]:
        wanted = sum(1 << (OUTPUTS[output] - OUTPUTS["acceleration"]) for output in self.outputs)
        commands = [bytes((FUSION, OUTPUTS[output], 1)) for output in self.outputs]
        commands += [bytes((sensor, 2, 1, 0)) for sensor in self.mode.sensors]
        commands += [bytes((sensor, 1, 1)) for sensor in self.mode.sensors]
        return [*commands, bytes((FUSION, 3, wanted, 0)), bytes((FUSION, 1, 1))]


def _joined(step: dict[str, Reading]) -> Reading:
    flags = Flags.NONE
    for reading in step.values():
        flags |= reading.flags
    return Reading(flags=flags, **{output: getattr(reading, output) for output, reading in step.items()})


def _output(register: int, body: bytes) -> Reading | None:
    if register == OUTPUTS["orientation"]:
        orientation = unit(*_QUATERNION.unpack(body)) if len(body) == _QUATERNION.size else None
        return None if orientation is None else Reading(orientation=orientation)
    if register in (OUTPUTS["gravity"], OUTPUTS["linear_acceleration"]):
        if len(body) != _VECTOR.size:
            return None
        x, y, z = _VECTOR.unpack(body)
        if register == OUTPUTS["gravity"]:
            return Reading("gravity", acceleration=(x, y, z)) if within((x, y, z), 1.05 * STANDARD_GRAVITY) else None
        # Gravity is taken away, so it may stand 1 g beyond the sensor's range.
        return Reading(linear_acceleration=(x, y, z)) if within((x, y, z), 1.15 * MOST_ACCELERATION) else None
    if len(body) != _CORRECTED.size or body[-1] > 3:
        return None
    x, y, z, _ = _CORRECTED.unpack(body)
    if register == OUTPUTS["acceleration"]:
        scale, most = STANDARD_GRAVITY / 1000, MOST_ACCELERATION
    elif register == OUTPUTS["angular_velocity"]:
        scale, most = DEGREE, MOST_ANGULAR_VELOCITY
    elif register == OUTPUTS["magnetic_field"]:
        scale, most = 1.0, MOST_MAGNETIC_FIELD
    else:
        return None
    vector = (x * scale, y * scale, z * scale)
    if not within(vector, 1.05 * most):
        return None
    flags = Flags.SATURATED if reaches(vector, 0.999 * most) else Flags.NONE
    if register == OUTPUTS["acceleration"]:
        return Reading(acceleration=vector, flags=flags)
    if register == OUTPUTS["angular_velocity"]:
        return Reading(angular_velocity=vector, flags=flags)
    return Reading(magnetic_field=vector, flags=flags)


def _about(register: int, body: bytes) -> DeviceStatus | None:
    if register == READ | BATTERY and len(body) == 3 and body[0] <= 100:
        return DeviceStatus(battery=body[0] / 100)
    if register == READ | MAC and len(body) == 7:
        return DeviceStatus(identity=":".join(f"{octet:02X}" for octet in reversed(body[1:])))
    return None


def encode_output(output: str, values: Sequence[float], *, accuracy: int = 3) -> Chunk:
    """A fused value as the board sends it.

    Args:
        output: a key of :data:`OUTPUTS`.
        values: SI units; a quaternion is (w, x, y, z).
        accuracy: 0 (unreliable) to 3 (high), where the message has it.
    """
    register = OUTPUTS[output]
    if output == "orientation":
        body = _QUATERNION.pack(*values)
    elif output in ("gravity", "linear_acceleration"):
        body = _VECTOR.pack(*values)
    else:
        scale = {"acceleration": STANDARD_GRAVITY / 1000, "angular_velocity": DEGREE, "magnetic_field": 1.0}[output]
        body = _CORRECTED.pack(*(value / scale for value in values), accuracy)
    return Chunk(bytes((FUSION, register)) + body, 0, NOTIFY)


def encode_battery(share: float, millivolts: int) -> Chunk:
    """The answer to the question for the battery; ``share`` of full, 0..1."""
    return Chunk(struct.pack("<BBBH", SETTINGS, READ | BATTERY, round(100 * share), millivolts), 0, NOTIFY)
