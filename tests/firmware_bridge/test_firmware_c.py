"""The firmware's portable C, compiled for this machine, says and understands the same bytes as the Python codec."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
from binascii import crc_hqx
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.codecs.node_frame import (
    LONGEST_BODY,
    MISSING,
    Acknowledgement,
    Fields,
    NodeCommand,
    Order,
    Result,
    Samples,
    StatusBody,
    encode_command,
    encode_samples,
    encode_status,
    frame_of,
    parse,
)
from firmware_bridge.firmware_build import build_host_library
from firmware_bridge.samples import Flags, Reading
from firmware_bridge.testing.node import SimulatedNode, simulated_motion
from tests.firmware_bridge.test_node_codec import examples, readings

u8, u16, u32, i16 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_int16
MICROS = ctypes.CFUNCTYPE(u32)
ROOM = 600
# Undefined behaviour and writes past an array end the test instead of passing unseen.
STRICT = ("WERROR=-Werror", "SANITIZE=-fsanitize=undefined,bounds -fsanitize-undefined-trap-on-error -fstack-protector-all")


class Header(ctypes.Structure):
    _fields_ = [("boot", u8), ("sequence", u16), ("device_us", u32)]


class Record(ctypes.Structure):
    _fields_ = [("index", u8), ("saturated", u8), ("quaternion", i16 * 4), ("acceleration", i16 * 3),
                ("gyroscope", i16 * 3), ("magnetometer", i16 * 3)]  # fmt: skip


class NodeStatus(ctypes.Structure):
    _fields_ = [("header", Header), ("started", u8), ("running", u8), ("charging", u8), ("battery", u8),
                ("temperature", i16), ("rate_hz", u16), ("sensors", u8), ("fields", u8),
                ("identity", ctypes.c_char_p), ("firmware", ctypes.c_char_p)]  # fmt: skip


class Receiver(ctypes.Structure):
    _fields_ = [("stuffed", u8 * 22), ("length", u8), ("overlong", u8)]


class Turn(ctypes.Structure):
    _fields_ = [("cosine", ctypes.c_float), ("sine", ctypes.c_float)]


class Node(ctypes.Structure):
    _fields_ = [("sensors", u8), ("rate_hz", u16), ("fields", u8), ("running", u8), ("status_due", u8),
                ("schedule_due", u8), ("turns", Turn * 64), ("quaternions", ctypes.c_float * 4 * 64)]  # fmt: skip


class Motion(ctypes.Structure):
    _fields_ = [("quaternion", ctypes.c_float * 4), ("acceleration", ctypes.c_float * 3),
                ("angular_velocity", ctypes.c_float * 3), ("magnetic_field", ctypes.c_float * 3),
                ("fields", u8), ("saturated", u8)]  # fmt: skip


def missing_tool(message: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Any:
    for tool, package in (("cc", "gcc"), ("make", "make")):
        if shutil.which(tool) is None:
            missing_tool(f"no {tool}: apt-get install {package}")
    library = ctypes.CDLL(str(build_host_library(tmp_path_factory.mktemp("firmware"), STRICT)))
    for name in ("node_encode_samples", "node_encode_status", "node_frame", "node_receive", "node_command",
                 "node_records_that_fit"):
        getattr(library, name).restype = ctypes.c_size_t
    library.node_crc16.restype = u16
    library.node_quantise.restype = i16
    library.node_quantise.argtypes = [ctypes.c_float, ctypes.c_float, ctypes.POINTER(u8)]
    return library


SCALES = {"quaternion": ("orientation", 32767), "acceleration": ("acceleration", 200),
          "gyroscope": ("angular_velocity", 900), "magnetometer": ("magnetic_field", 10)}


def record_of(reading: Reading, body_record: Reading) -> Record:
    """What the firmware would hold of ``reading``; saturation as the frame says it."""
    record = Record(int(reading.sensor or 0), bool(body_record.flags & Flags.SATURATED))
    for name, (attribute, per_unit) in SCALES.items():
        values = getattr(reading, attribute)
        field = getattr(record, name)
        for i in range(len(field)):
            wire = MISSING if values is None else round(values[i] * per_unit)
            field[i] = MISSING if values is None else max(-32767, min(32767, wire))
    return record


def framed(firmware: Any, body: bytes, room: int = ROOM) -> bytes:
    out = (u8 * ROOM)()
    length = firmware.node_frame(out, room, body, len(body))
    return bytes(out)[:length]


@settings(max_examples=60)
@given(readings())
def test_samples_are_the_same_bytes(firmware: Any, samples: Samples) -> None:
    expected = encode_samples(samples)
    parsed = parse(expected)
    assert isinstance(parsed, Samples)
    records = (Record * len(samples.readings))(*map(record_of, samples.readings, parsed.readings))
    header = Header(samples.boot, samples.sequence, samples.device_us)
    out = (u8 * ROOM)()
    length = firmware.node_encode_samples(
        out, ROOM, ctypes.byref(header), int(samples.fields), samples.sensors, records, len(records)
    )
    assert bytes(out)[:length] == expected
    assert firmware.node_encode_samples(
        out, len(expected) - 1, ctypes.byref(header), int(samples.fields), samples.sensors, records, len(records)
    ) == 0  # fmt: skip
    assert framed(firmware, expected) == frame_of(expected)


def test_the_specifications_frames(firmware: Any) -> None:
    lines = examples()
    for body, frame in zip(lines[::2], lines[1::2], strict=True):
        assert framed(firmware, body) == frame
    assert firmware.node_crc16(b"123456789", 9) == 0x29B1


def test_frames_of_every_length_with_and_without_zeros(firmware: Any) -> None:
    """COBS has an edge at every 254 bytes that hold no zero."""
    chance = random.Random(2)
    for size in range(1, LONGEST_BODY + 1):
        for body in (bytes([1]) * size, bytes(size), bytes(chance.choices((0, 7, 255), (1, 9, 9), k=size))):
            expected = frame_of(body)
            assert framed(firmware, body) == expected
            assert firmware.node_crc16(body, size) == crc_hqx(body, 0xFFFF)
    assert framed(firmware, b"") == b"" == framed(firmware, bytes(LONGEST_BODY + 1))
    assert framed(firmware, bytes(100), room=104) == b""


@settings(max_examples=100)
@given(
    st.builds(
        StatusBody, st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.booleans(), st.booleans(),
        st.one_of(st.none(), st.integers(0, 200).map(lambda half: half / 200)),
        st.one_of(st.none(), st.integers(-4000, 8500).map(lambda cents: cents / 100)), st.integers(1, 1000),
        st.integers(1, 64), st.integers(1, 15).map(Fields),
        st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=40),
        st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=40), st.booleans(),
    )
)  # fmt: skip
def test_status_is_the_same_bytes(firmware: Any, status: StatusBody) -> None:
    own = NodeStatus(
        Header(status.boot, status.sequence, status.device_us), status.started, status.running, status.charging,
        255 if status.battery is None else round(status.battery * 200),
        MISSING if status.temperature is None else round(status.temperature * 100), status.rate_hz, status.sensors,
        int(status.fields), status.identity.encode(), status.firmware.encode(),
    )  # fmt: skip
    out = (u8 * ROOM)()
    length = firmware.node_encode_status(out, ROOM, ctypes.byref(own))
    assert bytes(out)[:length] == encode_status(status)
    assert isinstance(parse(bytes(out)[:length]), StatusBody)


@settings(max_examples=200)
@given(st.floats(-1e6, 1e6, width=32), st.sampled_from([32767.0, 200.0, 900.0, 10.0]))
def test_values_are_rounded_to_the_nearest_step(firmware: Any, value: float, per_unit: float) -> None:
    saturated = u8(0)
    step = firmware.node_quantise(value, per_unit, ctypes.byref(saturated))
    if abs(value * per_unit) < 32766.9:
        assert abs(step - value * per_unit) <= 0.51
        assert not saturated.value
    elif abs(value * per_unit) > 32767.1:
        assert step == (32767 if value > 0 else -32767)
        assert saturated.value


def test_infinities_are_saturated_and_no_number_is_zero(firmware: Any) -> None:
    saturated = u8(0)
    assert firmware.node_quantise(float("nan"), 200.0, ctypes.byref(saturated)) == 0 == saturated.value
    assert firmware.node_quantise(float("-inf"), 200.0, ctypes.byref(saturated)) == -32767
    assert saturated.value == 1


def received(firmware: Any, data: bytes) -> list[bytes]:
    """Bodies that the firmware finds in what the host sent."""
    receiver, body = Receiver(), (u8 * 21)()
    found = []
    for byte in data:
        length = firmware.node_receive(ctypes.byref(receiver), byte, body)
        if length:
            found.append(bytes(body)[:length])
    return found


commands = st.builds(NodeCommand, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=16))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.binary(max_size=80), commands), max_size=5))
def test_commands_are_found_among_any_bytes(firmware: Any, sent: list[tuple[bytes, NodeCommand]]) -> None:
    data = b"".join(noise + frame_of(encode_command(command)) for noise, command in sent)
    assert received(firmware, data) == [encode_command(command) for _, command in sent]


@settings(max_examples=100)
@given(commands, st.integers(0, 7), st.data())
def test_a_damaged_command_is_not_obeyed_and_the_next_is(
    firmware: Any, command: NodeCommand, bit: int, data: st.DataObject
) -> None:
    frame = bytearray(frame_of(encode_command(command)))
    frame[data.draw(st.integers(1, len(frame) - 2))] ^= 1 << bit
    after = encode_command(NodeCommand(1, Order.STOP))
    assert received(firmware, bytes(frame) + frame_of(after)) == [after]


def test_noise_is_no_command(firmware: Any) -> None:
    assert received(firmware, random.Random(3).randbytes(300_000)) == []


# -- what the commands do: the same in C and in the simulated node ------------------------------------------------

likely = st.one_of(
    commands,
    st.builds(NodeCommand, st.integers(0, 255), st.sampled_from([1, 2, 3])),
    st.builds(NodeCommand, st.just(1), st.just(4), st.integers(0, 1100).map(lambda hz: hz.to_bytes(2, "little"))),
    st.builds(NodeCommand, st.just(2), st.just(5), st.binary(min_size=8, max_size=8)),
    st.builds(NodeCommand, st.just(3), st.just(6), st.tuples(st.sampled_from([0, 1, 4, 5, 255]), st.integers(0, 2)).map(bytes)),
    st.builds(NodeCommand, st.just(4), st.just(7), st.integers(0, 17).map(lambda mask: bytes([mask]))),
)


def c_node(firmware: Any, sensors: int) -> Any:
    node = Node()
    firmware.node_init(ctypes.byref(node), sensors, 100, 7)
    return node


def c_sense(firmware: Any, node: Any, device_us: int) -> list[Any]:
    """Records of one instant, as the firmware's loop makes them."""
    found = []
    for sensor in range(node.sensors):
        motion, record = Motion(), Record()
        firmware.simulated_motion(sensor, u32(device_us), ctypes.byref(motion))
        firmware.node_record(ctypes.byref(node), sensor, ctypes.byref(motion), ctypes.byref(record))
        found.append(record)
    return found


@settings(max_examples=60)
@given(st.lists(likely, max_size=8), st.integers(0, 2**32 - 1))
def test_commands_do_the_same_in_c_and_in_python(firmware: Any, given: list[NodeCommand], now_us: int) -> None:
    sensors = 5
    node, simulated = c_node(firmware, sensors), SimulatedNode(sensors, micros=lambda: now_us)
    micros = MICROS(lambda: now_us)
    c_sense(firmware, node, now_us)
    answer = (u8 * 24)()
    for command in given:
        body = encode_command(command)
        length = firmware.node_command(ctypes.byref(node), body, len(body), micros, answer)
        answers = simulated.command(body)
        assert bytes(answer)[:length] == answers[0]
        assert bool(node.status_due) == (len(answers) == 2)
        node.status_due = 0
        assert (node.rate_hz, node.fields, bool(node.running)) == (
            simulated.rate_hz, simulated.fields, simulated.running,
        )  # fmt: skip
    simulated.fields = Fields.ALL
    found = parse(simulated.samples(now_us)[0])
    assert isinstance(found, Samples)
    for record, reading in zip(c_sense(firmware, node, now_us), found.readings, strict=True):
        for name, (attribute, per_unit) in SCALES.items():
            wire = np.array(getattr(record, name))
            ours = np.array(getattr(reading, attribute)) * per_unit
            assert np.abs(wire - ours).max() <= 4  # float in C, double in Python; a turn adds its own rounding


def test_what_is_no_command_gets_no_answer(firmware: Any) -> None:
    node, answer = c_node(firmware, 1), (u8 * 24)()
    for body in (b"\x10\x01", b"\x01" * 12, b"\x10" + bytes(19)):
        assert firmware.node_command(ctypes.byref(node), body, len(body), MICROS(lambda: 0), answer) == 0


def test_tare_turns_x_to_east_and_refuses_an_upright_sensor(firmware: Any) -> None:
    node = c_node(firmware, 2)
    c_sense(firmware, node, 300_000)
    answer = (u8 * 24)()

    def tare(*arguments: int) -> int:
        body = encode_command(NodeCommand(1, Order.TARE, bytes(arguments)))
        size = firmware.node_command(ctypes.byref(node), body, len(body), MICROS(lambda: 0), answer)
        found = parse(bytes(answer)[:size])
        assert isinstance(found, Acknowledgement)
        return found.result

    def heading() -> float:
        w, x, y, z = np.array(c_sense(firmware, node, 300_000)[1].quaternion) / 32767
        return float(np.arctan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z))

    before = heading()
    assert abs(before) > 0.05
    assert tare(1, 1) == Result.DONE
    assert abs(heading()) < 1e-3
    assert tare(1, 0) == Result.DONE
    assert heading() == before
    node.quaternions[0][:] = (0.5**0.5, 0.0, 0.5**0.5, 0.0)  # x axis straight down
    assert tare(255, 1) == Result.FAILED
    assert heading() == before


def test_the_motion_is_one_that_a_body_can_make() -> None:
    """Unit quaternions whose change is the angular velocity, and gravity and field fixed in the world."""
    step_us = 1_000
    for device_us in range(0, 2**21, 150_001):
        now, later = (simulated_motion(17, at) for at in (device_us - step_us // 2, device_us + step_us // 2))
        middle = simulated_motion(17, device_us)
        w, x, y, z = middle[:, :4].T
        assert np.allclose(w * w + x * x + y * y + z * z, 1)
        # 2 conj(q) dq/dt is the angular velocity in sensor axes.
        dw, dx, dy, dz = ((later[:, :4] - now[:, :4]) / (step_us * 1e-6)).T
        rate = 2 * np.stack([w * dx - x * dw - y * dz + z * dy, w * dy - y * dw - z * dx + x * dz,
                             w * dz - z * dw - x * dy + y * dx], axis=1)  # fmt: skip
        assert np.allclose(rate, middle[:, 7:10], atol=1e-4)
        rotation = np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ])  # fmt: skip
        assert np.allclose(np.einsum("ijs,sj->si", rotation, middle[:, 4:7]), (0, 0, 9.80665))
        assert np.allclose(np.einsum("ijs,sj->si", rotation, middle[:, 10:13]), (0, 20, -44))
