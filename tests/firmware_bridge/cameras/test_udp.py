"""``camera:udp``: frames of any camera over loopback, from listed senders, through faults."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from edgeskel.errors import DeviceError, EdgeskelError, UnknownChoice, UsageError
from edgeskel.skeleton import Frame
from firmware_bridge import open_source
from firmware_bridge.cameras import ADAPTERS, ConversionSettings, adapter
from firmware_bridge.cameras.udp import UdpCamera
from firmware_bridge.samples import Chunk
from firmware_bridge.testing.camera_peer import CameraPeer
from firmware_bridge.transports import Lost, Received
from tests.firmware_bridge.cameras.bodies import standing

KINECT = adapter("kinect-v2").topology


@contextmanager
def camera(query: str = "layout=kinect-v2") -> Iterator[tuple[UdpCamera, Iterator[Frame]]]:
    with open_source(f"camera:udp?port=0&silence=5&{query}") as source:
        assert isinstance(source, UdpCamera)
        yield source, iter(source)


@pytest.mark.parametrize("layout", ADAPTERS)
def test_frames_of_every_layout_arrive_as_they_were(layout: str) -> None:
    query, settings = f"layout={layout}", ConversionSettings()
    if adapter(layout).axes is None:
        query += "&units=MILLIMETER&axes=LEFT_HANDED_Z_UP"
        settings = ConversionSettings("mm", "left_handed_z_up")
    with camera(query) as (source, frames), CameraPeer(source.port, layout=layout, settings=settings) as peer:
        assert source.topology == adapter(layout).topology and source.rate_hz == 30 and source.spans == ()
        received = []
        for number in range(5):
            sent = standing(source.topology, 5.0 + number / 30, persons=1 + number % 2)
            sent.confidence[0, 0] = 0.0
            peer.send(sent)
            received.append(next(frames))
            seen = sent.confidence > 0
            np.testing.assert_array_equal(received[-1].confidence > 0, seen)
            np.testing.assert_allclose(received[-1].joints[seen], sent.joints[seen], atol=1e-4)
    assert (np.diff([frame.time for frame in received]) > 0).all()
    assert not source.faults


def test_bad_datagrams_are_counted_by_name_and_good_ones_go_on() -> None:
    good = json.loads(json.dumps({"time": 0.0, "persons": [{"joints": [[0.0, 0.0, 2.0]] * 25}]}))
    with camera() as (source, frames), CameraPeer(source.port, layout="kinect-v2") as peer:
        peer.send(standing(KINECT, 1.0))
        next(frames)
        peer.send_bytes(b"\x00\xff not json")
        peer.send_object({"time": 1.1})
        peer.send_object({"time": 1.1, "persons": [{"joints": [[0, 0, 2]] * 32}]})
        peer.send_object({**good, "time": 1.1, "persons": [{**good["persons"][0], "confidence": [7] * 25}]})
        peer.send_object({**good, "time": float("nan")})
        peer.send(standing(KINECT, 0.9))  # before the one before
        millimetres = standing(KINECT, 1.2)
        peer.send(Frame(1.2, millimetres.joints * 1000, millimetres.confidence))
        nowhere = standing(KINECT, 1.3)
        said = {"time": 1.3, "persons": peer.converter.persons(nowhere)}
        said["persons"][0]["joints"][3][1] = float("nan")
        peer.send_object(said)
        peer.send(standing(KINECT, 1.4))
        nobody, one_missing, last = next(frames), next(frames), next(frames)
    assert len(nobody.joints) == 0
    assert one_missing.confidence[0].tolist() == [1, 1, 1, 0] + [1] * 21
    assert (last.confidence == 1).all()
    assert source.faults == {
        "json": 1, "fields": 1, "joints": 1, "state": 1, "time": 1, "backwards": 1, "units": 1, "nan": 1,
    }


def test_a_sender_without_time_gets_that_of_arrival_and_one_that_begins_anew_goes_on() -> None:
    with camera() as (source, frames), CameraPeer(source.port, layout="kinect-v2") as peer:
        peer.send(standing(KINECT, 900.0))
        first = next(frames)
        peer.send(standing(KINECT, 2.0))  # the camera was started again
        second = next(frames)
        peer.send_object({"persons": peer.converter.persons(standing(KINECT))})
        third = next(frames)
    assert first.time < second.time < third.time
    assert source.faults == {"restarted": 1}


def test_only_listed_senders_are_heard_and_one_at_a_time() -> None:
    with (
        camera("layout=kinect-v2&from=127.0.0.2,127.0.0.3") as (source, frames),
        CameraPeer(source.port, layout="kinect-v2", host="127.0.0.9") as stranger,
        CameraPeer(source.port, layout="kinect-v2", host="127.0.0.2") as first,
        CameraPeer(source.port, layout="kinect-v2", host="127.0.0.3") as second,
    ):
        stranger.send(standing(KINECT, 1.0, persons=5))
        first.send(standing(KINECT, 1.0))
        assert len(next(frames).joints) == 1
        second.send(standing(KINECT, 50.0, persons=2))
        first.send(standing(KINECT, 1.1))
        first.send(standing(KINECT, 1.2))
        assert [len(next(frames).joints), len(next(frames).joints)] == [1, 1]
        assert source.refused == {"127.0.0.9": 1}
    assert set(source.faults) <= {"sender"}  # kernels may order datagrams of two sockets either way


def test_silence_says_who_was_not_heard() -> None:
    with open_source("camera:udp?port=0&layout=kinect-v2&from=127.0.0.2&silence=0.3") as source:
        with CameraPeer(source.port, layout="kinect-v2", host="127.0.0.9") as stranger:  # type: ignore[attr-defined]
            stranger.send(standing(KINECT))
        with pytest.raises(DeviceError, match=r"nothing came for 0.3 s; not listed.*127\.0\.0\.9 \(1 times\).*from="):
            next(iter(source))


def test_closing_wakes_the_reader_and_the_source_opens_again() -> None:
    source = open_source("camera:udp?port=0&layout=kinect-v2&silence=0")
    for _ in range(2):
        ended = threading.Event()
        with source:

            def read() -> None:
                assert list(source) == []
                ended.set()  # noqa: B023

            reader = threading.Thread(target=read)
            reader.start()
        assert ended.wait(5)
        reader.join()


class Burst:
    """A transport that hands over everything before anybody reads."""

    address, port, refused = "burst", 0, {}  # noqa: RUF012

    async def open(self, received: Received, lost: Lost) -> None:
        for number in range(100):
            data = json.dumps({"time": number / 30, "persons": []}).encode()
            received(Chunk(data, 10**12 + number * 33_333_333, "127.0.0.1:9"))

    async def close(self) -> None:
        pass


def test_a_slow_reader_loses_the_oldest_and_is_told() -> None:
    with UdpCamera(Burst(), adapter("kinect-v2").converter(), silence_s=0.05) as source:  # type: ignore[arg-type]
        frames, times = iter(source), []
        with pytest.raises(DeviceError, match="nothing came"):
            while True:
                times.append(next(frames).time)
    assert source.faults == {"overrun": 36}
    assert len(times) == 64 and times[-1] - times[0] == pytest.approx(63 / 30, abs=1e-6)


def test_a_taken_port_is_a_device_error() -> None:
    with camera() as (source, _), pytest.raises(DeviceError, match="ss -ulpn"):
        open_source(f"camera:udp?port={source.port}&layout=kinect-v2").__enter__()


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("layout=kinect-v2", UsageError, "names no port"),
        ("port=7000", UsageError, "names no layout.*azure-kinect"),
        ("port=7000&layout=kinect-v3", UnknownChoice, "did you mean 'kinect-v2'"),
        ("port=7000&layout=zed-38&axes=IMAGE", UsageError, "units of zed-38 are not stated.*mm"),
        ("port=7000&layout=zed-38&units=METER", UsageError, "axes of zed-38 are not stated.*right_handed_y_up"),
        ("port=7000&layout=zed-38&units=METER&axes=Y_UP", UsageError, "right_handed_y_up"),
        ("port=7000&layout=coco-17&units=mm&intrinsics=600,600", UsageError, "615,615,320,240"),
        ("port=7000&layout=kinect-v2&rate=0", UsageError, "above 0"),
        ("port=7000&layout=kinect-v2&silence=-1", UsageError, "0 or more"),
        ("port=x&layout=kinect-v2", UsageError, "port"),
        ("port=7000&layout=kinect-v2&senders=1", UnknownChoice, "from"),
        ("port=7000&layout=kinect-v2&host=0.0.0.0", UsageError, "names no senders"),
        ("port=7000&layout=kinect-v2&from=camera.local", UsageError, "not an IP address"),
    ],
)
def test_wrong_options_say_what_is_valid(query: str, error: type[EdgeskelError], message: str) -> None:
    with pytest.raises(error, match=message):
        open_source(f"camera:udp?{query}")


def test_pixels_with_depth_and_a_lens_become_points() -> None:
    person = standing(adapter("coco-17").topology)
    x, y, z = person.joints[0].T
    pixels = np.stack([322 - 610 * x / z, 241 - 612 * y / z, 1000 * z], axis=-1).tolist()  # u right, v down
    pixels[16][2] = 0  # not measured
    with camera("layout=coco-17&units=mm&intrinsics=610,612,322,241") as (source, frames):
        with CameraPeer(source.port, layout="kinect-v2") as peer:
            peer.send_object({"persons": [{"joints": pixels}]})
        frame = next(frames)
    np.testing.assert_allclose(frame.joints[0, :16], person.joints[0, :16], atol=1e-5)
    assert frame.confidence[0].tolist() == [1] * 16 + [0]
