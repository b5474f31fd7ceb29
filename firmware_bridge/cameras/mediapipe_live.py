"""``camera:mediapipe?index=0&model=pose_landmarker.task``: a webcam (or ``file=walk.mp4``) and MediaPipe's Pose Landmarker.

``pip install mediapipe`` brings OpenCV, which reads the camera, but no model: the ``.task`` file is Google's, to be
downloaded once from the page of the Pose Landmarker.

==============  ======================================================================================================
``model``       the ``.task`` file
``index``       which camera (0); ``file`` plays a video instead, with its own times from 0 on
``persons``     at most so many (1); more than one needs ``intrinsics``, as without it all stand in one spot
``intrinsics``  fx,fy,cx,cy of the picture: puts each person where the picture shows it
``mirror``      1 when the camera gives a mirror image; it is turned back before the model looks
``rate``        frames per second, nominally; by default what the camera or the file says
==============  ======================================================================================================

Persons are not tracked from frame to frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import DeviceError, UsageError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.cameras.convert import RefusedFrame
from firmware_bridge.cameras.frame_validator import FrameValidator
from firmware_bridge.cameras.mediapipe_pose import ADAPTER, convert, pixels_of, placed
from firmware_bridge.cameras.options import above_zero, switch, whole
from firmware_bridge.cameras.pinhole import Intrinsics
from firmware_bridge.recording import Span
from firmware_bridge.source import options_of

__all__ = ["Landmarker", "Webcam", "imported", "open_camera"]

_SIZE = len(ADAPTER.topology.joints)


def imported(package: str, camera: str, install: str = "") -> Any:
    """A maker's package.

    Raises:
        DeviceError: it is not installed; the message is the pip command.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise DeviceError(
            f"{camera} needs the package {package!r}: {error}", remedy=f"run: pip install {install or package}"
        ) from error


class Landmarker:
    """MediaPipe's Pose Landmarker in its video mode, made when it is first asked.

    Args:
        model: the ``.task`` file.
        persons: at most so many.

    Raises:
        DeviceError: no model, one that cannot be read, or MediaPipe is not installed; when it is first asked.
    """

    def __init__(self, model: str, persons: int = 1) -> None:
        self._model, self._persons = model, persons
        self._made: Any = None
        self._package: Any = None
        self._last_ms = -1

    def open(self) -> None:
        """Load the model now."""
        if self._made is not None:
            return
        self._package = imported("mediapipe", "camera:mediapipe")
        remedy = (
            "download a Pose Landmarker model (pose_landmarker_full.task) from Google's page of it, and name it with "
            "model=PATH: the package brings none"
        )
        if not self._model or not Path(self._model).is_file():
            seen = f"no file {self._model}" if self._model else "no model named"
            raise DeviceError(f"camera:mediapipe: {seen}", expected="the .task file of a Pose Landmarker", remedy=remedy)
        vision, base = self._package.tasks.vision, self._package.tasks.BaseOptions
        try:
            self._made = vision.PoseLandmarker.create_from_options(
                vision.PoseLandmarkerOptions(
                    base_options=base(model_asset_path=self._model),
                    running_mode=vision.RunningMode.VIDEO,
                    num_poses=self._persons,
                )
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise DeviceError(f"camera:mediapipe: {self._model}: {error}", remedy=remedy) from error

    def __call__(self, picture: NDArray[np.uint8], seconds: float) -> Any:
        """The result for a picture (H, W, 3), red, green, blue, taken at ``seconds``."""
        self.open()
        self._last_ms = max(self._last_ms + 1, round(seconds * 1e3))  # it wants whole, increasing milliseconds
        image = self._package.Image(self._package.ImageFormat.SRGB, np.ascontiguousarray(picture))
        return self._made.detect_for_video(image, self._last_ms)

    def pixels(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As a pose function: (M, 33, 2) pixels and (M, 33) visibility."""
        found = _numbers(self(picture, time.monotonic()).pose_landmarks)
        return pixels_of(found[..., :3], picture.shape[1], picture.shape[0]), found[..., 3]

    def close(self) -> None:
        """Let the model go."""
        made, self._made = self._made, None
        if made is not None:
            made.close()


def _numbers(landmarks: Any) -> NDArray[np.float64]:
    """(M, 33, 4): x, y, z, visibility."""
    return np.array(
        [[(mark.x, mark.y, mark.z, mark.visibility) for mark in person] for person in landmarks], np.float64
    ).reshape(len(landmarks), -1 if landmarks else _SIZE, 4)


class Webcam:
    """Frames of a camera or a video; see the module's docstring.

    Args:
        video: what OpenCV opens: the number of a camera, or the path of a video.
        landmarker: finds the persons.
        intrinsics: of the picture, to give the persons their places.
        mirror: whether the picture is a mirror image.
        rate_hz: nominal; None takes what the camera says.
    """

    spans: tuple[Span, ...] = ()

    def __init__(
        self,
        video: int | str,
        landmarker: Landmarker,
        *,
        intrinsics: Intrinsics | None = None,
        mirror: bool = False,
        rate_hz: float | None = None,
    ) -> None:
        self.topology: Topology = ADAPTER.topology
        self.rate_hz: float = rate_hz or 30.0
        self._said_rate = rate_hz
        self._video, self._landmarker, self._intrinsics, self._mirror = video, landmarker, intrinsics, mirror
        self._capture: Any = None
        self._validator = FrameValidator(f"camera:mediapipe {video}", self.topology)

    @property
    def faults(self) -> Mapping[str, int]:
        """How often each of :data:`firmware_bridge.cameras.FAULTS` was seen."""
        return self._validator.faults

    def __enter__(self) -> Webcam:
        """Open the model and the camera.

        Raises:
            DeviceError: a package is not installed, the model is absent, or the camera does not open.
        """
        self._landmarker.open()
        cv2 = imported("cv2", "camera:mediapipe", "mediapipe")
        self._capture = cv2.VideoCapture(self._video)
        if not self._capture.isOpened():
            self.__exit__(None, None, None)
            live = isinstance(self._video, int)
            raise DeviceError(
                f"camera:mediapipe: {'camera' if live else 'video'} {self._video} does not open",
                expected="a camera that is plugged in and free" if live else "a video that OpenCV can read",
                remedy="look for it with: ls /dev/video*; your user has to be in the group video" if live else "",
            )
        if isinstance(self._video, int):
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a slow model shall see the newest picture, not a queue
        said = self._capture.get(cv2.CAP_PROP_FPS)
        if self._said_rate is None and 1 <= said <= 1000:
            self.rate_hz = float(said)
        self._position = cv2.CAP_PROP_POS_MSEC
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close both."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()
        self._landmarker.close()

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come; a video ends, a camera that gives no picture raises ``DeviceError``."""
        while self._capture is not None:
            good = self._capture.grab()
            moment = time.monotonic()
            picture = self._capture.retrieve()[1] if good else None
            if picture is None:
                if isinstance(self._video, int):
                    raise DeviceError(f"camera:mediapipe: camera {self._video} gives no picture any more",
                                      remedy="check its plug, and whether another program has taken it")
                return
            if not isinstance(self._video, int):
                moment = float(self._capture.get(self._position)) * 1e-3
            frame = self._frame(picture[..., ::-1], moment)  # OpenCV has blue first
            if frame is not None:
                yield frame

    def _frame(self, picture: NDArray[np.uint8], moment: float) -> Frame | None:
        if self._mirror:
            picture = picture[:, ::-1]
        result = self._landmarker(picture, moment)
        world = _numbers(result.pose_world_landmarks)
        points, visibility = world[..., :3], world[..., 3]
        if self._intrinsics is not None:
            pixels = pixels_of(_numbers(result.pose_landmarks), picture.shape[1], picture.shape[0])
            points = placed(points, pixels, visibility, self._intrinsics)
        try:
            return self._validator.take(convert(moment, points, list(visibility)))
        except RefusedFrame as error:
            self._validator.refuse(error)
            return None


def open_camera(options: Mapping[str, str]) -> Webcam:
    """Open ``camera:mediapipe?...``; nothing is opened before the source is entered.

    Raises:
        UsageError: a value that makes no sense, or several persons without intrinsics.
        UnknownChoice: an option that there is not.
    """
    known: dict[str, Callable[[str], object]] = {
        "index": whole,
        "file": str,
        "model": str,
        "persons": whole,
        "intrinsics": Intrinsics.parse,
        "mirror": switch,
        "rate": above_zero,
    }
    settings: dict[str, Any] = options_of(options, known, "camera:mediapipe")
    if "index" in settings and "file" in settings:
        raise UsageError("camera:mediapipe with both index and file", expected="one of them")
    persons = settings.get("persons", 1)
    if persons != 1 and "intrinsics" not in settings:
        raise UsageError(
            f"camera:mediapipe with persons={persons}",
            expected="persons=1, or intrinsics=fx,fy,cx,cy of the picture",
            remedy="without them every person's hips are at the origin, and nobody can tell them apart",
        )
    return Webcam(
        settings.get("file", settings.get("index", 0)),
        Landmarker(settings.get("model", ""), persons),
        intrinsics=settings.get("intrinsics"),
        mirror=settings.get("mirror", False),
        rate_hz=settings.get("rate"),
    )
