"""Which way to an orientation a sensor's readings allow, and whether they hold what it needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import DeviceError
from firmware_bridge.oriented_sample import UPS, OrientationSettings
from firmware_bridge.plausibility import up_axis
from firmware_bridge.samples import Reading
from firmware_bridge.signal_merger import SignalMerger

__all__ = ["check_complete", "choose_mode", "column", "device_up"]


def choose_mode(settings: OrientationSettings, readings: list[Reading]) -> str:
    """The mode that the settings say; for ``auto``, the one that the readings allow."""
    if settings.mode != "auto":
        return settings.mode
    if any(reading.orientation is not None for reading in readings):
        return "device"
    compass = settings.magnetometer and any(reading.magnetic_field is not None for reading in readings)
    return "9-axis" if compass else "6-axis"


def device_up(name: str, settings: OrientationSettings, waited: list[tuple[float, Reading]]) -> str:
    """The axis of the device's world that points up, one of :data:`~firmware_bridge.oriented_sample.UPS`.

    Raises:
        DeviceError: there is no quaternion, nothing tells, or the settings say otherwise.
    """
    pairs = [(r.orientation, r.acceleration) for _, r in SignalMerger("orientation", "acceleration").push(waited)]
    if not any(r.orientation for _, r in waited):
        raise DeviceError(f"{name} sends no quaternion", expected="the orientation of the device's own filter",
                          remedy="set mode to 6-axis, or switch the device's output")
    if not pairs:
        if settings.up is None:
            raise DeviceError(f"{name} sends quaternions and no acceleration, so that nothing tells which axis "
                              "of its world points up", expected="up, one of " + ", ".join(UPS),
                              remedy="say it (most devices: up=+z), or let the device send acceleration too")
        return settings.up
    quaternions, accelerations = (np.array(part, dtype=np.float64) for part in zip(*pairs, strict=True))
    found = up_axis(name, quaternions, accelerations)
    if settings.up not in (None, found):
        raise DeviceError(f"{name}: the accelerometer points along {found} of the device's world",
                          expected=f"{settings.up}, as the settings say",
                          remedy="leave up out, or correct it")
    return found


def check_complete(name: str, mode: str, readings: list[Reading]) -> None:
    """See that the readings hold what the mode needs. Raises DeviceError where they do not."""
    needed = {"acceleration": "acceleration with gravity", "angular_velocity": "angular velocity"}
    if mode == "9-axis":
        needed["magnetic_field"] = "magnetic field"
    for field, words in needed.items():
        if any(getattr(reading, field) is not None for reading in readings):
            continue
        linear = field == "acceleration" and any(r.linear_acceleration is not None for r in readings)
        raise DeviceError(f"{name} sends " + ("acceleration with gravity taken off" if linear else f"no {words}"),
                          expected=f"{words}: {mode} orientation needs it",
                          remedy="choose an output of the device that has it" + (
                              ", or mode 6-axis" if field == "magnetic_field" else ", or its own quaternion"))


def column(readings: list[Reading], field: str) -> NDArray[np.float64]:
    """(K, 3) what there is of a field."""
    values = [getattr(reading, field) for reading in readings]
    return np.array([value for value in values if value is not None], dtype=np.float64).reshape(-1, 3)
