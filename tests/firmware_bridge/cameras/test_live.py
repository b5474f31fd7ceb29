"""Cameras behind makers' packages: what they say where the package, the camera or the model is absent, and depth cameras
from picture to frame. The packages themselves are not here: docs/devices/cameras.md says what was run with them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeskel.coordinates import axes_matrix
from edgeskel.errors import DeviceError, EdgeskelError, UnknownChoice, UsageError
from firmware_bridge import open_source
from firmware_bridge.cameras import Intrinsics, adapter
from firmware_bridge.cameras.mediapipe_live import Landmarker, Webcam
from firmware_bridge.cameras.pinhole import project
from firmware_bridge.cameras.rgbd import DepthCamera, RgbdImage
from tests.firmware_bridge.cameras.bodies import body
from tests.firmware_bridge.cameras.test_pose_2d import CAMERA, picture_of

COCO = adapter("coco-17").topology
MEDIAPIPE = adapter("mediapipe-33").topology
POSE = "pose=tests.firmware_bridge.cameras.test_live:nobody"


def nobody(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((0, 17, 2)), np.zeros((0, 17))


@pytest.mark.parametrize(
    ("address", "package", "install"),
    [
        ("camera:mediapipe?model=pose.task", "mediapipe", "pip install mediapipe"),
        (f"camera:realsense?{POSE}", "pyrealsense2", "pip install pyrealsense2"),
        (f"camera:depthai?{POSE}", "depthai", "pip install depthai"),
    ],
)
def test_an_absent_package_is_named_with_its_pip_command(
    address: str, package: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed, also where it is
    source = open_source(address)  # nothing is imported yet
    with pytest.raises(DeviceError, match=f"{package}.*run: {install}"), source:
        pass


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("camera:webcam", UnknownChoice, "depthai, mediapipe, realsense, udp"),
        ("camera:realsense", UsageError, "names no pose function.*package.module:function"),
        ("camera:realsense?pose=numpy", UsageError, "package.module:function"),
        ("camera:realsense?pose=no_such_module:pose", UsageError, "No module named 'no_such_module'"),
        ("camera:realsense?pose=numpy:no_such", UsageError, "no_such"),
        ("camera:realsense?pose=numpy:pi", UsageError, "is a float.*a function of a picture"),
        (f"camera:depthai?{POSE}&layout=coco-18", UnknownChoice, "did you mean 'coco-17'"),
        (f"camera:depthai?{POSE}&serial=1", UnknownChoice, "device"),
        ("camera:mediapipe?index=0&file=a.mp4", UsageError, "both index and file"),
        ("camera:mediapipe?persons=2", UsageError, "persons=1, or intrinsics"),
        ("camera:mediapipe?index=first", UsageError, "whole number"),
        ("camera:mediapipe?mirror=yes", UsageError, "0 or 1"),
    ],
)
def test_wrong_addresses_say_what_is_valid(address: str, error: type[EdgeskelError], message: str) -> None:
    with pytest.raises(error, match=message):
        open_source(address)


def depth_camera(pose: Any, people: list[np.ndarray], opened: list[str]) -> DepthCamera:
    @contextmanager
    def pictures() -> Iterator[Iterator[RgbdImage]]:
        opened.append("open")
        colour = np.zeros((480, 640, 3), np.uint8)
        yield (
            RgbdImage(number / 30, colour, picture_of(person)[1], CAMERA) for number, person in enumerate(people)
        )
        opened.append("closed")

    return DepthCamera("depth camera", pictures, pose, COCO, done=lambda: opened.append("done"))


def test_a_depth_camera_and_a_pose_function_give_a_walking_person() -> None:
    people = [body(COCO, at=(0.02 * step, -1.0, 2.6 + 0.05 * step)) for step in range(5)]
    found, opened = iter(people), []

    def pose(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert picture.shape == (480, 640, 3)
        return project(next(found) @ axes_matrix("image"), CAMERA)[None], np.full((1, 17), 0.8)

    with depth_camera(pose, people, opened) as source:
        frames = list(source)
    assert opened == ["open", "closed", "done"] and not source.faults
    assert [frame.time for frame in frames] == [number / 30 for number in range(5)]
    for frame, person in zip(frames, people, strict=True):
        np.testing.assert_allclose(frame.joints[0, 5:], person[5:], atol=0.003)
        assert frame.confidence[0] == pytest.approx(0.8)


def test_a_pose_function_of_another_layout_is_counted_and_an_empty_room_is_a_frame() -> None:
    people = [body(COCO, at=(0, -1.0, 3.0))] * 3
    answers = iter([(np.zeros((1, 18, 2)), np.zeros((1, 18))), nobody(people[0]), nobody(people[0])])
    with depth_camera(lambda picture: next(answers), people, []) as source:
        frames = list(source)
    assert [frame.joints.shape for frame in frames] == [(0, 17, 3)] * 2
    assert source.faults == {"joints": 1}


class Capture:
    """Stands in for OpenCV's: pictures with a red left half, blue first."""

    def __init__(self, video: int | str) -> None:
        self.video, self.number, self.left = video, -1, 3

    def isOpened(self) -> bool:  # noqa: N802
        return self.video != "absent.mp4"

    def get(self, which: int) -> float:
        return 25.0 if which == 5 else 40.0 * self.number

    def set(self, which: int, value: float) -> bool:
        return True

    def grab(self) -> bool:
        self.number += 1
        return self.number < self.left

    def retrieve(self) -> tuple[bool, np.ndarray]:
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, :32, 2] = 255
        return True, picture

    def release(self) -> None:
        self.left = 0


class Model:
    """Stands in for the Pose Landmarker: finds the same person in every picture, and remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[np.ndarray, int]] = []
        self.closed = False
        theirs = body(MEDIAPIPE, at=(0, -0.92, 0)) @ axes_matrix("image")
        self.world = [[mark(*point) for point in theirs]]
        there = project(theirs + (0.3, 0.1, 3.0), Intrinsics(60, 60, 32, 24))
        self.image = [[mark((u + 0.5) / 64, (v + 0.5) / 48, 0.0) for u, v in there]]

    def detect_for_video(self, image: np.ndarray, milliseconds: int) -> Any:
        self.shown.append((image, milliseconds))
        return SimpleNamespace(pose_world_landmarks=self.world, pose_landmarks=self.image)

    def close(self) -> None:
        self.closed = True


def mark(x: float, y: float, z: float) -> SimpleNamespace:
    return SimpleNamespace(x=x, y=y, z=z, visibility=0.9)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Model:
    """Stand-ins with the names of mediapipe 1.2.3 and OpenCV 5.1, where the code looks for them."""
    made = Model()
    vision = SimpleNamespace(
        PoseLandmarker=SimpleNamespace(create_from_options=lambda options: made),
        PoseLandmarkerOptions=SimpleNamespace,
        RunningMode=SimpleNamespace(VIDEO="VIDEO"),
    )
    package = SimpleNamespace(
        tasks=SimpleNamespace(vision=vision, BaseOptions=SimpleNamespace),
        Image=lambda kind, picture: picture,
        ImageFormat=SimpleNamespace(SRGB=1),
    )
    monkeypatch.setitem(sys.modules, "mediapipe", package)
    cv2 = SimpleNamespace(VideoCapture=Capture, CAP_PROP_FPS=5, CAP_PROP_POS_MSEC=0, CAP_PROP_BUFFERSIZE=38)
    monkeypatch.setitem(sys.modules, "cv2", cv2)
    (tmp_path / "pose.task").write_bytes(b"a model")
    monkeypatch.chdir(tmp_path)
    return made


def test_a_video_is_shown_to_mediapipe_red_first_and_on_its_own_time(model: Model) -> None:
    with open_source("camera:mediapipe?file=walk.mp4&model=pose.task") as source:
        frames = list(source)
    assert source.rate_hz == 25 and source.topology == MEDIAPIPE and model.closed
    assert [frame.time for frame in frames] == pytest.approx([0.0, 0.04, 0.08])
    assert [milliseconds for _, milliseconds in model.shown] == [0, 40, 80]
    assert (model.shown[0][0][:, :32] == (255, 0, 0)).all() and (model.shown[0][0][:, 32:] == 0).all()
    np.testing.assert_allclose(frames[0].joints[0], body(MEDIAPIPE, at=(0, -0.92, 0)), atol=1e-5)
    assert frames[0].confidence == pytest.approx(0.9)


def test_a_mirror_image_is_turned_back_before_the_model_sees_it(model: Model) -> None:
    with open_source("camera:mediapipe?file=walk.mp4&model=pose.task&mirror=1") as source:
        list(source)
    assert (model.shown[0][0][:, 32:] == (255, 0, 0)).all()


def test_with_intrinsics_a_person_stands_where_the_picture_shows(model: Model) -> None:
    with open_source("camera:mediapipe?file=walk.mp4&model=pose.task&intrinsics=60,60,32,24") as source:
        frame = next(iter(source))
    np.testing.assert_allclose(frame.joints[0], body(MEDIAPIPE, at=(-0.3, -1.02, 3.0)), atol=1e-4)


def test_a_live_camera_keeps_the_host_s_time_and_its_end_is_an_error(model: Model) -> None:
    with open_source("camera:mediapipe?index=0&model=pose.task") as source:
        frames = iter(source)
        times = [next(frames).time for _ in range(3)]
        with pytest.raises(DeviceError, match="gives no picture any more"):
            next(frames)
    assert times == sorted(set(times))
    shown = [milliseconds for _, milliseconds in model.shown]
    assert shown == sorted(set(shown))  # the model refuses a time that does not increase


def test_an_absent_model_or_camera_is_named(model: Model) -> None:
    for address, message in (
        ("camera:mediapipe", "no model named.*model=PATH"),
        ("camera:mediapipe?model=absent.task", "no file absent.task.*download"),
        ("camera:mediapipe?model=pose.task&file=absent.mp4", "video absent.mp4 does not open"),
    ):
        with pytest.raises(DeviceError, match=message), open_source(address):
            pass


def test_nobody_in_the_picture_is_a_frame_of_nobody(model: Model) -> None:
    model.world, model.image = [], []
    with Webcam("walk.mp4", Landmarker("pose.task"), intrinsics=CAMERA) as source:
        assert [frame.joints.shape for frame in source] == [(0, 33, 3)] * 3


def test_mediapipe_s_image_landmarks_and_a_depth_image_need_no_world_landmarks(model: Model) -> None:
    lens = Intrinsics(60, 60, 32, 24)

    @contextmanager
    def pictures() -> Iterator[Iterator[RgbdImage]]:
        depth = np.full((48, 64), 3000, np.uint16)
        yield iter([RgbdImage(0.0, np.zeros((48, 64, 3), np.uint8), depth, lens)])

    landmarker = Landmarker("pose.task")
    with DepthCamera("depth camera", pictures, landmarker.pixels, MEDIAPIPE, done=landmarker.close) as source:
        (frame,) = list(source)
    there = body(MEDIAPIPE, at=(-0.3, -1.02, 3.0))
    seen = frame.confidence[0] > 0
    assert seen.sum() > 20 and model.closed
    np.testing.assert_allclose(frame.joints[0, seen, 2], 3.0)
    np.testing.assert_allclose(frame.joints[0, seen, :2], (there / there[:, 2:] * 3.0)[seen, :2], atol=1e-5)
