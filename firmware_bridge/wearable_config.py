"""What a person wears, written down once: a TOML file that ``wearable:FILE`` and ``edgeskel devices`` read.

    calibration = "walk.calibration.json"       # edgeskel devices calibrate writes it; beside this file by default
    stature = 1.80                              # metres

    [camera]                                    # may be left out
    source = "camera:udp?port=7000&layout=azure-kinect"

    [[device]]
    address = "serial:/dev/ttyUSB0?protocol=node"
    rate = 100
    [device.sensors]                            # the device's own name of a sensor -> where it sits
    0 = "pelvis"
    1 = { place = "left_forearm", mode = "9-axis" }

    [[device]]                                  # a device with one sensor
    address = "ble:right-wrist?protocol=dot"
    place = "right_wrist"

Paths count from the file's folder. The fields are those of :class:`WearableConfig`, :class:`DeviceConfig`, :class:`SensorConfig`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeskel.errors import CorruptFile, UnknownChoice, UsageError
from edgeskel.skeleton import Topology
from firmware_bridge.address import split_address
from firmware_bridge.body.segments import segment_of
from firmware_bridge.cameras import ADAPTERS, adapter
from firmware_bridge.device_allowlist import default_path
from firmware_bridge.link import protocol_of
from firmware_bridge.orientation import OrientationSettings

__all__ = ["WearableConfig", "DeviceConfig", "SensorConfig", "toml_of"]

DEFAULT_LAYOUT = "kinect-v2"


@dataclass(frozen=True)
class SensorConfig:
    """One sensor of a device.

    Args:
        sensor: the device's own name for it; "" where it has one only.
        place: segment of ``imu-17``, or a wrist or an ankle.
        settings: how its orientation is made: ``mode``, ``up``, ``magnetometer``.
    """

    sensor: str
    place: str
    settings: OrientationSettings = OrientationSettings()


@dataclass(frozen=True)
class DeviceConfig:
    """One device.

    Args:
        address: as :func:`firmware_bridge.link.open_link` takes it.
        sensors: those that are worn.
        rate_hz: what to ask of it; None for its default.
        nominal_hz: how often it measures, where it cannot be asked; it is not told. None for ``rate_hz``.
    """

    address: str
    sensors: tuple[SensorConfig, ...]
    rate_hz: float | None = None
    nominal_hz: float | None = None

    @property
    def protocol(self) -> str:
        """What it speaks."""
        return protocol_of(self.address)


@dataclass(frozen=True)
class WearableConfig:
    """The whole file.

    Args:
        path: where it was read from.
        devices: what is worn; may be none where there is a camera.
        camera: address of a source that shows the wearer; "" without.
        calibration: how the sensors sit; the file need not exist yet.
        enrolled: the list of enrolled devices; by default the user's own.
        layout: of the frames where there is no camera: a name of :data:`firmware_bridge.cameras.ADAPTERS`. With a camera it
            is the camera's.
        stature: metres.
        rate_hz: frames per second.
        delay_s: the longest that a frame waits for late readings.
    """

    path: Path
    devices: tuple[DeviceConfig, ...]
    camera: str
    calibration: Path
    enrolled: Path
    layout: str = DEFAULT_LAYOUT
    stature: float = 1.72
    rate_hz: float = 30.0
    delay_s: float = 0.06

    @property
    def topology(self) -> Topology:
        """Of :attr:`layout`."""
        return adapter(self.layout).topology

    @property
    def places(self) -> dict[tuple[str, str], SensorConfig]:
        """(device address, sensor) -> sensor."""
        return {(device.address, worn.sensor): worn for device in self.devices for worn in device.sensors}

    @classmethod
    def load(cls, path: str | Path) -> WearableConfig:
        """Read a file.

        Raises:
            UsageError: it cannot be read, or a value makes no sense; the message names the field.
            UnknownChoice: a field, place, mode, layout or protocol that there is not.
            CorruptFile: not TOML.
        """
        path = Path(path)
        table = _toml(path)
        _refuse_others(table, ("calibration", "enrolled", "layout", "stature", "rate", "delay", "camera", "device"), str(path))
        camera = _of(table, "camera", Mapping, {}, path)
        _refuse_others(camera, ("source",), f"[camera] in {path}")
        address = _of(camera, "source", str, "", path)
        devices = tuple(_device(entry, number, path) for number, entry in enumerate(_of(table, "device", list, [], path), 1))
        if not devices and not address:
            raise UsageError(f"{path} names no device and no camera", expected="[[device]] with address and place")
        _refuse_doubles(devices, path)
        layout = _of(table, "layout", str, DEFAULT_LAYOUT, path)
        if layout not in ADAPTERS:
            raise UnknownChoice(f"layout in {path}", layout, ADAPTERS)
        default = f"{path.stem}.calibration.json"
        enrolled = _of(table, "enrolled", str, "", path)
        return cls(
            path=path, devices=devices, camera=address, layout=layout,
            calibration=path.parent / _of(table, "calibration", str, default, path),
            enrolled=path.parent / enrolled if enrolled else default_path(),
            stature=_number(table, "stature", 1.72, 0.5, 2.6, path), rate_hz=_number(table, "rate", 30.0, 1.0, 240.0, path),
            delay_s=_number(table, "delay", 0.06, 0.0, 5.0, path),
        )  # fmt: skip


def toml_of(devices: Iterable[DeviceConfig], camera: str = "", *, stature: float | None = None, layout: str = "",
            enrolled: str = "") -> str:
    """A file's text that :meth:`WearableConfig.load` reads as these devices."""
    lines = [f"layout = {_quoted(layout)}"] if layout else []
    lines += [f"stature = {stature:g}"] if stature is not None else []
    lines += [f"enrolled = {_quoted(enrolled)}"] if enrolled else []
    lines += ["", "[camera]", f"source = {_quoted(camera)}"] if camera else []
    for device in devices:
        lines += ["", "[[device]]", f"address = {_quoted(device.address)}"]
        lines += [f"rate = {device.rate_hz:g}"] if device.rate_hz is not None else []
        lines += [f"nominal_rate = {device.nominal_hz:g}"] if device.nominal_hz is not None else []
        if [worn.sensor for worn in device.sensors] == [""]:
            lines += _sensor_lines(device.sensors[0])
            continue
        lines.append("[device.sensors]")
        lines += [f"{_quoted(worn.sensor)} = {{ {', '.join(_sensor_lines(worn))} }}" for worn in device.sensors]
    return "\n".join(lines).lstrip("\n") + "\n"


def _sensor_lines(worn: SensorConfig) -> list[str]:
    """A sensor's fields that differ from their defaults."""
    settings, lines = worn.settings, [f"place = {_quoted(worn.place)}"]
    lines += [f"mode = {_quoted(settings.mode)}"] if settings.mode != "auto" else []
    lines += [f"up = {_quoted(settings.up)}"] if settings.up is not None else []
    return lines + (["magnetometer = true"] if settings.magnetometer else [])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _toml(path: Path) -> Mapping[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CorruptFile(path, f"not a TOML file: {error}", expected="a file as docs/sensors.md describes") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", expected="a file that says what is worn",
                         remedy="edgeskel devices simulate --write body.toml writes one to begin with") from error
    return table


def _device(entry: Any, number: int, path: Path) -> DeviceConfig:
    where = f"[[device]] {number} in {path}"
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where} is {entry!r}", expected="a table")
    _refuse_others(entry, ("address", "rate", "nominal_rate", "place", "mode", "up", "magnetometer", "sensors"), where)
    address = _of(entry, "address", str, "", where)
    if not address:
        raise UsageError(f"{where} has no address", expected='address = "serial:/dev/ttyUSB0?protocol=node" or another')
    if address.startswith("replay:"):
        recording = split_address(address).place
        raise UsageError(f"{where} is a recording", expected="the device's own address",
                         remedy=f"play a whole recording: wearable:{path}?replay={recording}")
    protocol_of(address)  # refuses a wrong one, naming what there is
    sensors = _of(entry, "sensors", Mapping, {}, where)
    if ("place" in entry) == bool(sensors):
        raise UsageError(f"{where} has " + ("both place and sensors" if sensors else "neither place nor sensors"),
                         expected='place = "left_forearm", or [device.sensors] with a place for each of them')
    if sensors:
        worn = tuple(_sensor(str(name), value, f"{where}, sensor {name!r}") for name, value in sensors.items())
    else:
        worn = (_sensor("", {key: entry[key] for key in ("place", "mode", "up", "magnetometer") if key in entry}, where),)
    rate, nominal = (_number(entry, name, math.nan, 0.1, 10_000.0, where) for name in ("rate", "nominal_rate"))
    return DeviceConfig(address, worn, None if math.isnan(rate) else rate, None if math.isnan(nominal) else nominal)


def _sensor(name: str, value: Any, where: str) -> SensorConfig:
    table = {"place": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} is {value!r}", expected='a place such as "left_forearm", or { place = "left_forearm" }')
    _refuse_others(table, ("place", "mode", "up", "magnetometer"), where)
    place = _of(table, "place", str, "", where)
    segment_of(place)
    up = _of(table, "up", str, "", where)
    return SensorConfig(name, place, OrientationSettings(_of(table, "mode", str, "auto", where), up or None,
                                            _of(table, "magnetometer", bool, False, where)))


def _refuse_doubles(devices: tuple[DeviceConfig, ...], path: Path) -> None:
    addresses = [device.address for device in devices]
    for address in addresses:
        if addresses.count(address) > 1:
            raise UsageError(f"{path} names {address} {addresses.count(address)} times", expected="each device once")
    places: dict[str, str] = {}
    for device in devices:
        for worn in device.sensors:
            segment, label = segment_of(worn.place), f"sensor {worn.sensor!r} of {device.address}"
            if segment in places:
                raise UsageError(f"{path} puts {places[segment]} and {label} on {segment}", expected="one sensor per segment")
            places[segment] = label


def _refuse_others(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in known:
            raise UnknownChoice(f"field in {where}", name, known)


def _of(table: Mapping[str, Any], name: str, kind: Any, default: Any, where: object) -> Any:
    value = table.get(name, default)
    if not isinstance(value, kind):
        words = {str: "text", list: "a list of tables", bool: "true or false", Mapping: "a table"}
        raise UsageError(f"{name} in {where} is {value!r}", expected=words[kind])
    return value


def _number(table: Mapping[str, Any], name: str, default: float, least: float, most: float, where: object) -> float:
    value = table.get(name, default)
    if name in table and (isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most):
        raise UsageError(f"{name} in {where} is {value!r}", expected=f"a number from {least:g} to {most:g}")
    return float(value)
