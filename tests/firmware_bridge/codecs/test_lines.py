"""Lines of JSON and CSV: what the format promises to whoever writes them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import UsageError
from firmware_bridge.codecs import lines
from firmware_bridge.codecs.lines import LinesCodec, encode_csv, encode_json
from firmware_bridge.samples import STANDARD_GRAVITY, DeviceStatus, Reading
from tests.firmware_bridge.codecs.checks import feed, readings, sound, survives

HALF = math.sqrt(0.5)


def one(**row: Any) -> Reading:
    (reading,) = readings(feed(LinesCodec(), [json.dumps(row).encode()]))
    return reading


def refusal(data: bytes) -> str:
    codec = LinesCodec()
    (status,) = feed(codec, [data])
    assert isinstance(status, DeviceStatus) and status.text is not None
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (0, 1, len(data))
    return status.text


def test_examples_of_the_documentation() -> None:
    text = lines.__doc__ or ""
    begin = text.index('    {"sensor"')
    example = text[begin : text.index("}", begin) + 1]
    (reading,) = readings(feed(LinesCodec(), [" ".join(example.split()).encode()]))
    assert reading == Reading("left_wrist", 7, 12_340_000, (1, 0, 0, 0), (0, 0, 9.8), None, (0, 0, 0), (20, 0, -40))
    begin = text.index("    sensor,time_s")
    example = "\n".join(line.strip() for line in text[begin:].splitlines()[:2])
    (reading,) = readings(feed(LinesCodec(), [example.encode()]))
    assert reading == Reading("left_wrist", None, 12_340_000, (1, 0, 0, 0), (0, 0, STANDARD_GRAVITY))


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("acceleration_g", [0, 0, 1], "acceleration", (0, 0, STANDARD_GRAVITY)),
        ("linear_acceleration_g", [1, 0, 0], "linear_acceleration", (STANDARD_GRAVITY, 0, 0)),
        ("linear_acceleration_m_s2", [1, 0, 0], "linear_acceleration", (1, 0, 0)),
        ("angular_velocity_deg_s", [180, 0, 0], "angular_velocity", (math.pi, 0, 0)),
        ("angular_velocity_rad_s", [1, 0, 0], "angular_velocity", (1, 0, 0)),
        ("magnetic_field_mG", [500, 0, -100], "magnetic_field", (50, 0, -10)),
        ("magnetic_field_uT", [50, 0, -10], "magnetic_field", (50, 0, -10)),
        ("quaternion_wxyz", [HALF, 0, HALF, 0], "orientation", (HALF, 0, HALF, 0)),
        ("quaternion_xyzw", [0, HALF, 0, HALF], "orientation", (HALF, 0, HALF, 0)),
    ],
)
def test_units_are_converted(name: str, value: list[float], field: str, expected: tuple[float, ...]) -> None:
    assert getattr(one(**{name: value}), field) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "value"), [("time_s", 1.5), ("time_ms", 1500), ("time_us", 1_500_000)])
def test_times(name: str, value: float) -> None:
    assert one(**{name: value, "acceleration_g": [0, 0, 1]}).device_us == 1_500_000


def test_facts_of_the_device() -> None:
    row = {"sensor": "hip", "battery": 0.5, "temperature_C": 31.0, "signal_dBm": -60, "acceleration_g": [0, 0, 1]}
    reading, status = feed(LinesCodec(), [json.dumps(row).encode()])
    assert isinstance(reading, Reading) and reading.sensor == "hip"
    assert status == DeviceStatus("hip", battery=0.5, temperature=31.0, signal_dbm=-60.0)


@pytest.mark.parametrize("name", ["acceleration", "angular_velocity", "magnetic_field", "quaternion", "time"])
def test_a_name_without_unit_is_refused_and_told_what_to_say(name: str) -> None:
    text = refusal(json.dumps({name: [0, 0, 0]}).encode())
    assert "no unit" in text and f"{name}_" in text


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"quaternion_wxyz": [0, 0, 0, 0]}, "no unit quaternion"),
        ({"quaternion_wxyz": [1, 1, 0, 0]}, "no unit quaternion"),
        ({"quaternion_wxyz": [1, 0, 0]}, "4 numbers"),
        ({"acceleration_g": 1}, "3 numbers"),
        ({"acceleration_g": [0, None, 1]}, "no number"),
        ({"acceleration_g": [0, True, 1]}, "no number"),
        ({"acceleration_g": [0, 0, 1e6]}, "beyond"),
        ({"acceleration_g": [0, 0, 10**400]}, "not finite"),
        ({"acceleration_g": [0, 0, 1], "acceleration_m_s2": [0, 0, 9.8]}, "two units"),
        ({"acceleration_g": [0, 0, 1], "sequence": -1}, "32 bits"),
        ({"acceleration_g": [0, 0, 1], "sequence": 1.5}, "32 bits"),
        ({"acceleration_g": [0, 0, 1], "time_s": -1}, "before 0"),
        ({"acceleration_g": [0, 0, 1], "sensor": 3}, "no text"),
        ({"acceleration_g": [0, 0, 1], "colour": "red"}, "colour"),
        ({"battery": 85}, "outside"),
        ({"sensor": "hip", "time_s": 1}, "without a measurement"),
    ],
)
def test_what_is_refused_is_told(row: dict[str, Any], words: str) -> None:
    assert words in refusal(json.dumps(row).encode())


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff\xfe", b"1,2,3", b"[1, 2]", b"{", b'{"acceleration_g": [0, 0, NaN]}',
                                  b'{"acceleration_g": [0, 0, Infinity]}', b'{"a":' + b"[" * 50_000,
                                  b'{"time_us": ' + b"9" * 5000 + b"}", b"x" * 70_000, b'a,a\n1,2\n', b'"a\n1\n',
                                  b"acceleration_g_x,acceleration_g\n1,2\n"])
def test_broken_datagrams_are_refused(data: bytes) -> None:
    codec = LinesCodec()
    assert readings(feed(codec, [data])) == []
    assert codec.counts.frames == 0 and codec.counts.bad >= 1


def test_a_refusal_is_told_once_and_counted_always() -> None:
    codec = LinesCodec()
    assert len(feed(codec, [b'{"acceleration": [0, 0, 1]}'] * 100)) == 1
    assert codec.counts.bad == 100
    assert len(feed(codec, [json.dumps({f"name{n}": 1}).encode() for n in range(1000)])) <= 16


def test_one_bad_line_costs_that_line() -> None:
    good = b'{"acceleration_g": [0, 0, 1]}'
    codec = LinesCodec()
    assert len(readings(feed(codec, [good + b"\n{}\n" + good + b"\r\n"]))) == 2
    assert (codec.counts.frames, codec.counts.bad, codec.counts.discarded) == (2, 1, 2)


def test_csv_with_several_rows_empty_cells_and_quotes() -> None:
    data = b'sensor,sequence,acceleration_g_x,acceleration_g_y,acceleration_g_z,battery\n' \
           b'"wrist, left",1,0,0,1,\nhip,2,,,,0.5\nhip,3,0,,1,\nhip,4,0,0\n'  # fmt: skip
    codec = LinesCodec()
    first, second, *refused = feed(codec, [data])
    assert first == Reading("wrist, left", 1, acceleration=(0, 0, STANDARD_GRAVITY))
    assert second == DeviceStatus("hip", battery=0.5)
    assert (codec.counts.frames, codec.counts.bad, len(refused)) == (2, 2, 2)


def test_csv_needs_its_header_in_the_same_datagram() -> None:
    codec = LinesCodec()
    (status,) = feed(codec, [b"sensor,battery\n", b"hip,0.5\n"])
    assert isinstance(status, DeviceStatus) and "header" in (status.text or "")


VECTORS = st.none() | st.tuples(*[st.floats(-100, 100)] * 3)
UNIT = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: math.hypot(*q) > 0.1).map(
    lambda q: tuple(part / math.hypot(*q) for part in q))
READINGS = st.builds(
    Reading, sensor=st.text('abc, "äß手', max_size=12).map(str.strip),
    sequence=st.none() | st.integers(0, 2**32 - 1), device_us=st.none() | st.integers(0, 2**52), orientation=UNIT,
    acceleration=VECTORS, linear_acceleration=VECTORS, angular_velocity=VECTORS, magnetic_field=VECTORS,
)  # fmt: skip


@settings(max_examples=50)
@given(READINGS)
def test_round_trip(reading: Reading) -> None:
    for data in (encode_json(reading), encode_csv(reading)):
        (found,) = readings(feed(LinesCodec(), [data]))
        assert (found.sensor, found.sequence, found.device_us) == (reading.sensor, reading.sequence, reading.device_us)
        assert found.orientation == pytest.approx(reading.orientation)
        for field in ("acceleration", "linear_acceleration", "angular_velocity", "magnetic_field"):
            assert getattr(found, field) == getattr(reading, field)


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
                    max_leaves=12)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(lines.NAMES) | st.text(max_size=6), JSON, max_size=6))
def test_any_json(row: dict[str, Any]) -> None:
    sound(feed(LinesCodec(), [json.dumps(row).encode()]))


@given(st.lists(st.binary(max_size=80) | st.text(max_size=80).map(str.encode), max_size=10))
def test_any_bytes(pieces: list[bytes]) -> None:
    sound(feed(LinesCodec(), pieces))


def test_mutated_lines() -> None:
    reading = Reading("hip", 3, 4_000_000, (1, 0, 0, 0), (0, 0, 9.8), None, (0, 0, 1), (20, 0, -40))
    codec = survives(LinesCodec, [encode_json(reading), encode_csv(reading)], 5000)
    assert isinstance(codec, LinesCodec)
    assert codec.counts.frames > 0 and codec.counts.bad > 0
    assert len(codec._told) <= 16


def test_a_sender_has_no_rate_to_choose() -> None:
    codec = LinesCodec()
    assert (list(codec.start()), list(codec.stop())) == ([], [])
    with pytest.raises(UsageError, match="its own"):
        codec.start(100)
