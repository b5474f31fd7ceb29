"""Our own node in pure Python, without a line: bodies go in and out. The lines are in :mod:`.pty_node` and elsewhere.

It does what ``docs/devices/node.md`` says a node does. Its sensors swing as those of the emulated boards do: each about an axis of
its own, one radian to either side in 2.1 s, and orientation, acceleration, angular velocity and magnetic field fit together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.codecs.node_frame import (
    HEADER,
    LONGEST_BODY,
    MOST_SENSORS,
    PER_METRE_PER_SECOND_SQUARED,
    PER_MICROTESLA,
    PER_RADIAN_PER_SECOND,
    PER_UNIT,
    Acknowledgement,
    Fields,
    FrameKind,
    NodeCommand,
    Order,
    Result,
    StatusBody,
    encode_acknowledgement,
    encode_status,
    parse,
    record_size,
)
from firmware_bridge.samples import STANDARD_GRAVITY

__all__ = ["SimulatedNode", "simulated_motion"]

PERIOD_US = 1 << 21  # a power of two, so that the motion goes on where the clock wraps
AMPLITUDE = 1.0  # rad
FIELD = (0.0, 20.0, -44.0)  # east, north, up in µT; about that of central Europe
LEAST_HORIZONTAL = 0.1
EVERY_SENSOR = 0xFF
_ARGUMENTS = {Order.IDENTIFY: 0, Order.START: 0, Order.STOP: 0, Order.RATE: 2, Order.TIME_SYNC: 8, Order.TARE: 2,
              Order.FIELDS: 1}


def simulated_motion(sensors: int, device_us: int) -> NDArray[np.float64]:
    """(S, 13): quaternion w, x, y, z; acceleration, m/s²; angular velocity, rad/s; magnetic field, µT."""
    index = np.arange(sensors)
    axes: NDArray[np.float64] = np.stack([np.ones(sensors), index % 3, index % 5], axis=1).astype(np.float64)
    axes = axes / np.sqrt((axes**2).sum(axis=1, keepdims=True))
    phase = 2 * math.pi * ((device_us + index * (PERIOD_US // 8)) % PERIOD_US) / PERIOD_US
    angle = AMPLITUDE * np.sin(phase)
    speed = AMPLITUDE * 2e6 * math.pi / PERIOD_US * np.cos(phase)
    w: NDArray[np.float64] = np.cos(angle / 2)[:, None]
    v: NDArray[np.float64] = axes * np.sin(angle / 2)[:, None]
    return np.concatenate(
        [w, v, _into_sensor(w, v, (0.0, 0.0, STANDARD_GRAVITY)), axes * speed[:, None], _into_sensor(w, v, FIELD)], axis=1
    )


def _into_sensor(
    w: NDArray[np.float64], v: NDArray[np.float64], world: tuple[float, float, float]
) -> NDArray[np.float64]:
    """(S, 3): the world vector in the axes of sensors whose orientations are (w, v)."""
    across = np.cross(world, v)  # that is v x world, turned back
    turned: NDArray[np.float64] = np.asarray(world) + 2 * w * across + 2 * np.cross(across, v)
    return turned


class SimulatedNode:
    """State of a node and what it answers.

    Args:
        sensors: how many.
        rate_hz, fields: what it sends after a start.
        identity: its serial number.
        battery: share of full; it stays. None: no battery.
        longest: bytes of the longest body, for lines that carry less than 512.
        motion: what the sensors measure, as :func:`simulated_motion` is called and gives it.
        micros: device time; called for the moments of commands.
    """

    sensors: int
    identity: str
    battery: float | None
    rate_hz: int
    fields: Fields

    def __init__(
        self, sensors: int = 1, *, micros: Callable[[], int], rate_hz: int = 100,
        fields: Fields = Fields.QUATERNION | Fields.ACCELERATION | Fields.GYROSCOPE, identity: str = "simulated",
        battery: float | None = 0.8, longest: int = LONGEST_BODY,
        motion: Callable[[int, int], NDArray[np.float64]] = simulated_motion,
    ) -> None:  # fmt: skip
        self.sensors, self.identity, self.battery = sensors, identity, battery
        self._micros, self._longest, self._motion = micros, longest, motion
        self._defaults = (rate_hz, fields)
        self.boot: int = 0
        self.restart()

    def restart(self) -> None:
        """Forget what was commanded, as a node does whose power was cut; the boot number goes on."""
        self.boot = self.boot % 255 + 1
        self.rate_hz, self.fields = self._defaults
        self.running: bool = True
        self.sequence: int = 0
        self._turns = np.zeros(MOST_SENSORS)  # rad about z

    def status(self, *, started: bool = False) -> bytes:
        """A status body."""
        return encode_status(
            StatusBody(
                self.boot, self.sequence, self._micros(), started, self.running, self.battery, 30.0, self.rate_hz,
                self.sensors, self.fields, self.identity, "simulated",
            )
        )  # fmt: skip

    def samples(self, device_us: int) -> list[bytes]:
        """Bodies of one instant; the next call is the next instant."""
        motion = self._motion(self.sensors, device_us).copy()
        w, x, y, z = motion[:, :4].T.copy()
        cos, sin = np.cos(self._turns[: self.sensors] / 2), np.sin(self._turns[: self.sensors] / 2)
        motion[:, :4] = np.stack([cos * w - sin * z, cos * x - sin * y, cos * y + sin * x, cos * z + sin * w], axis=1)
        wire = np.clip(np.rint(motion * _PER_UNIT), -32767, 32767).astype("<i2")[:, _columns(self.fields)]
        records = np.empty((self.sensors, record_size(self.fields)), np.uint8)
        records[:, 0] = np.arange(self.sensors)
        records[:, 1:] = np.ascontiguousarray(wire).view(np.uint8)
        fit = (self._longest - HEADER.size) // records.shape[1]
        bodies = []
        for first in range(0, self.sensors, fit):
            part = records[first : first + fit]
            bodies.append(
                HEADER.pack(
                    FrameKind.SAMPLES, self.boot, self.sequence, device_us % 2**32, self.fields, self.sensors, len(part)
                )
                + part.tobytes()
            )
        self.sequence = (self.sequence + 1) % 2**16
        return bodies

    def skip(self, instants: int = 1) -> None:
        """Miss instants, as a node does that is too slow: their numbers are used up."""
        self.sequence = (self.sequence + instants) % 2**16

    def command(self, body: bytes) -> list[bytes]:
        """Do what ``body`` asks; the acknowledgement and what else is to be sent, nothing if it is no command."""
        device_us = self._micros()
        command = parse(body)
        if not isinstance(command, NodeCommand):
            return []
        result, data = self._obey(command)
        answer = Acknowledgement(command.token, command.order, result, device_us, data)
        asked = command.order == Order.IDENTIFY and result == Result.DONE
        return [encode_acknowledgement(answer), *([self.status()] if asked else [])]

    def _obey(self, command: NodeCommand) -> tuple[Result, bytes]:
        order, arguments = command.order, command.arguments
        if order not in _ARGUMENTS:
            return Result.UNKNOWN, b""
        if len(arguments) != _ARGUMENTS[Order(order)]:
            return Result.LENGTH, b""
        if order in (Order.START, Order.STOP):
            self.running = order == Order.START
        elif order == Order.RATE:
            rate_hz = int.from_bytes(arguments, "little")
            if not 1 <= rate_hz <= 1000:
                return Result.VALUE, b""
            self.rate_hz = rate_hz
            return Result.DONE, arguments
        elif order == Order.FIELDS:
            if not 1 <= arguments[0] <= Fields.ALL:
                return Result.VALUE, b""
            self.fields = Fields(arguments[0])
            return Result.DONE, arguments
        elif order == Order.TIME_SYNC:
            return Result.DONE, arguments + (self._micros() % 2**32).to_bytes(4, "little")
        elif order == Order.TARE:
            return self._tare(*arguments), b""
        return Result.DONE, b""

    def _tare(self, sensor: int, wanted: int) -> Result:
        if wanted > 1 or (sensor >= self.sensors and sensor != EVERY_SENSOR):
            return Result.VALUE
        chosen = slice(0, self.sensors) if sensor == EVERY_SENSOR else slice(sensor, sensor + 1)
        if not wanted:
            self._turns[chosen] = 0.0
            return Result.DONE
        w, x, y, z = self._motion(self.sensors, self._micros())[chosen, :4].T
        east, north = w * w + x * x - y * y - z * z, 2 * (x * y + w * z)
        if np.any(np.hypot(east, north) < LEAST_HORIZONTAL):
            return Result.FAILED
        self._turns[chosen] = -np.arctan2(north, east)
        return Result.DONE


_PER_UNIT = np.repeat([PER_UNIT, PER_METRE_PER_SECOND_SQUARED, PER_RADIAN_PER_SECOND, PER_MICROTESLA], [4, 3, 3, 3])


def _columns(fields: int) -> list[int]:
    """Columns of :func:`simulated_motion` that a record with ``fields`` holds."""
    groups = (range(0, 4), range(4, 7), range(7, 10), range(10, 13))
    return [column for bit, group in enumerate(groups) if fields >> bit & 1 for column in group]
