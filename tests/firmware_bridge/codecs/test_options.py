"""What can be chosen of a protocol, in an address: ``ble:NAME?protocol=dot&mode=custom-3``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeskel.errors import UnknownChoice, UsageError
from firmware_bridge.codecs import CODECS, EXAMPLES, create, dot, metamotion, movesense, options_of
from firmware_bridge.codecs.node_frame import Fields
from firmware_bridge.link import open_link, protocol_of
from firmware_bridge.mcap import Recorder
from firmware_bridge.samples import Flags, Reading
from firmware_bridge.transports import TRANSPORTS, open_transport


def spoken(address: str) -> Any:
    """The codec that a link of this address decodes with."""
    return open_link(address)._codec()


@pytest.mark.parametrize(("address", "shows"), [
    ("ble:d?protocol=dot&mode=custom-3", lambda codec: codec.mode == dot.MODES["custom-3"]),
    ("ble:d?mode=rate&protocol=dot&notify=acquire", lambda codec: codec.mode == dot.MODES["rate"]),
    ("ble:d?protocol=dot", lambda codec: codec.mode == dot.MODES["custom-5"]),
    ("ble:m?protocol=movesense&resource=IMU9", lambda codec: codec.resource == "IMU9"),
    ("ble:m?protocol=metamotion&outputs=orientation,angular_velocity&mode=imu-plus",
     lambda codec: codec.outputs == ("orientation", "angular_velocity") and codec.mode == metamotion.MODES["imu-plus"]),
    ("ble:n?fields=quaternion,gyroscope", lambda codec: codec._fields == Fields.QUATERNION | Fields.GYROSCOPE),
    ("serial:/dev/ttyUSB0?baud=460800&fields=acceleration", lambda codec: codec._fields == Fields.ACCELERATION),
])
def test_an_address_chooses(address: str, shows: Callable[[Any], bool]) -> None:
    assert shows(spoken(address))


@pytest.mark.parametrize(("address", "words"), [
    ("ble:left?protocol=slimevr", "slimevr is not spoken over ble.*udp:6969"),
    ("ble:left?protocol=bno08x", "not spoken over ble.*serial:/dev/ttyUSB0"),
    ("serial:/dev/ttyUSB0?protocol=dot", "dot is not spoken over serial.*ble:NAME"),
    ("serial:/dev/ttyUSB0?protocol=lines", "lines is not spoken over serial.*udp:9000"),
    ("udp:9000?protocol=polar", "polar is not spoken over udp.*ble:NAME"),
])
def test_a_protocol_over_a_way_that_its_devices_do_not_have_is_refused_with_one_that_they_have(address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_link(address)


def test_every_example_of_an_address_can_be_opened() -> None:
    assert set(EXAMPLES) <= set(CODECS)
    for name, examples in EXAMPLES.items():
        assert [protocol_of(example) for example in examples] == [name] * len(examples)


def test_the_chosen_mode_is_what_is_asked_of_the_device_and_what_is_read() -> None:
    codec = spoken("ble:d?protocol=dot&mode=free-acceleration")
    assert codec.start()[-1].data[2] == dot.MODES["free-acceleration"].number
    packet = dot.encode_packet("free-acceleration", Reading(device_us=5, linear_acceleration=(1.0, 2.0, 3.0)))
    assert [item.linear_acceleration for item in codec.decode(packet)] == [(1.0, 2.0, 3.0)]


def test_a_range_decides_what_is_saturated() -> None:
    reading = Reading(acceleration=(0.0, 0.0, 40.0), angular_velocity=(0.0, 0.0, 0.0))
    batch = movesense.encode_batch("IMU6", 13, 0, [reading])[0]
    for more, flags in (("", Flags.NONE), ("&acceleration_range_g=4", Flags.SATURATED)):
        codec = spoken(f"ble:m?protocol=movesense{more}")
        codec.start(13)
        assert [item.flags for item in codec.decode(batch)] == [flags]


@pytest.mark.parametrize(("address", "words"), [
    ("ble:d?protocol=dot&mode=custom-4", "unknown payload mode 'custom-4'.*custom-5"),
    ("ble:d?protocol=dot&mod=rate", "unknown option of ble with protocol=dot 'mod'.*mode.*notify.*did you mean 'mode'"),
    ("ble:d?protocol=polar&mode=rate", "unknown option of ble 'mode'"),
    ("ble:m?protocol=movesense&resource=IMU10", "unknown Movesense resource 'IMU10'.*IMU9"),
    ("ble:m?protocol=movesense&acceleration_range_g=-4", "acceleration_range_g=-4.*a number above 0"),
    ("ble:m?protocol=movesense&angular_velocity_range_dps=fast", "angular_velocity_range_dps=fast.*a number above 0"),
    ("ble:m?protocol=metamotion&outputs=", "no output is asked for.*orientation"),
    ("ble:m?protocol=metamotion&outputs=orientation,speed", "unknown MetaMotion output 'speed'"),
    ("ble:n?fields=gyro", "unknown field of a node 'gyro'.*gyroscope"),
    ("ble:n?fields=", "fields=.*some of quaternion"),
    ("udp:6969?protocol=slimevr&mode=rate", "unknown option of udp 'mode'"),
])
def test_a_wrong_choice_is_refused_before_anything_is_opened(address: str, words: str) -> None:
    for way in (open_link, protocol_of):
        with pytest.raises(UsageError, match=words.replace(".*", "(?s:.*)")):
            way(address)


def test_no_option_means_two_things() -> None:
    from importlib import import_module

    for protocol in CODECS:
        for place in TRANSPORTS.values():
            own = getattr(import_module(place.partition(":")[0]), "OPTIONS")  # noqa: B009
            assert not set(options_of(protocol)) & set(own)


def test_a_recording_knows_what_was_chosen(tmp_path: Path) -> None:
    path = tmp_path / "walk.mcap"
    address = "ble:left?protocol=dot&mode=free-acceleration"
    with Recorder(path) as recorder:
        recorder.chunk(address, "dot", dot.encode_packet("free-acceleration", Reading(linear_acceleration=(0.0, 0.0, 1.0))))
    assert spoken(f"replay:{path}").mode == dot.MODES["free-acceleration"]
    assert spoken(f"replay:{path}?protocol=dot&mode=rate").mode == dot.MODES["rate"]  # may be overruled


def test_a_codec_has_only_its_own_options() -> None:
    with pytest.raises(UnknownChoice, match="option of protocol lines 'mode'"):
        create("lines", {"mode": "rate"})
    assert open_transport("ble:d?protocol=dot&mode=rate").address == "ble:d"
