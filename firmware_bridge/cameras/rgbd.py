"""A depth camera and a 2-D pose function: joints measured in space. Shared by RealSense and OAK; open to any other.

    def pose(picture):                     # (H, W, 3) uint8, red, green, blue
        return pixels, scores              # (M, V, 2), (M, V)

    source = DepthCamera("my camera", pictures, pose, topology)

Persons are tracked as far as the pose function orders them; most do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from importlib import import_module
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.cameras import ADAPTERS, adapter
from firmware_bridge.cameras.convert import RefusedFrame
from firmware_bridge.cameras.frame_validator import FrameValidator
from firmware_bridge.cameras.options import above_zero, whole
from firmware_bridge.cameras.pinhole import Intrinsics
from firmware_bridge.cameras.pose_2d import convert
from firmware_bridge.recording import Span

__all__ = ["COMMON", "DepthCamera", "PoseEstimator", "RgbdImage", "Pose", "pose_of"]

Pose = Callable[[NDArray[np.uint8]], "tuple[Any, Any]"]


class RgbdImage(NamedTuple):
    """One instant of a depth camera.

    Args:
        time: seconds on the host's clock.
        colour: (H, W, 3) uint8, red, green, blue.
        depth: (H, W) aligned with ``colour``; 0 is not measured.
        camera: intrinsics of ``colour``.
        scale: metres of one unit of ``depth``.
    """

    time: float
    colour: NDArray[np.uint8]
    depth: NDArray[Any]
    camera: Intrinsics
    scale: float = 0.001


Pictures = Callable[[], AbstractContextManager[Iterator[RgbdImage]]]


class DepthCamera:
    """Frames of a depth camera. A picture in which the pose function finds nobody is a frame of no person.

    Args:
        name: for messages.
        pictures: opens the camera; leaving the context closes it.
        pose: finds joints in a picture.
        topology: the layout of what ``pose`` finds.
        rate_hz: nominal.
        done: called when the camera is closed, to let go what ``pose`` holds.
    """

    spans: tuple[Span, ...] = ()

    topology: Topology
    rate_hz: float

    def __init__(
        self,
        name: str,
        pictures: Pictures,
        pose: Pose,
        topology: Topology,
        *,
        rate_hz: float = 30.0,
        done: Callable[[], None] | None = None,
    ) -> None:
        self.topology, self.rate_hz = topology, rate_hz
        self._pictures, self._pose, self._done = pictures, pose, done
        self._validator = FrameValidator(name, topology)
        self._stack = ExitStack()
        self._source: Iterator[RgbdImage] | None = None

    @property
    def faults(self) -> Mapping[str, int]:
        """How often each of :data:`firmware_bridge.cameras.FAULTS` was seen."""
        return self._validator.faults

    def __enter__(self) -> DepthCamera:
        """Open the camera.

        Raises:
            DeviceError: it is absent or busy, or its package is not installed.
        """
        self._source = self._stack.enter_context(self._pictures())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._source = None
        self._stack.close()
        if self._done is not None:
            self._done()

    def __iter__(self) -> Iterator[Frame]:
        while self._source is not None:
            picture = next(self._source, None)
            if picture is None:
                return
            try:
                pixels, scores = self._pose(picture.colour)
                frame = convert(
                    picture.time, pixels, scores, picture.depth, picture.camera, self.topology, scale=picture.scale
                )
            except RefusedFrame as error:
                self._validator.refuse(error)
                continue
            taken = self._validator.take(frame)
            if taken is not None:
                yield taken


# Options of an address that every depth camera has.
COMMON: Mapping[str, Callable[[str], object]] = {
    "pose": str,
    "layout": str,
    "model": str,
    "persons": whole,
    "width": whole,
    "height": whole,
    "rate": above_zero,
}


class PoseEstimator(NamedTuple):
    """A pose function, the layout of what it finds, and what to call when it is needed no more."""

    pose: Pose
    topology: Topology
    done: Callable[[], None] | None = None


def pose_of(settings: Mapping[str, Any], camera: str) -> PoseEstimator:
    """The pose function that an address names.

    ``pose=package.module:function`` is imported; ``layout`` says what it finds (coco-17 by default). ``pose=mediapipe``
    takes MediaPipe's image landmarks and needs ``model``.

    Raises:
        UsageError: none named, or nothing of that name.
        UnknownChoice: no such layout.
    """
    said = settings.get("pose", "")
    example = f"{camera}?pose=package.module:function, or pose=mediapipe&model=pose_landmarker.task"
    if said == "mediapipe":
        from firmware_bridge.cameras.mediapipe_live import Landmarker

        landmarker = Landmarker(settings.get("model", ""), settings.get("persons", 1))
        return PoseEstimator(landmarker.pixels, adapter("mediapipe-33").topology, landmarker.close)
    module, colon, name = said.partition(":")
    if not colon:
        raise UsageError(f"{camera} names no pose function" if not said else f"pose={said}", expected=example)
    layout = settings.get("layout", "coco-17")
    if layout not in ADAPTERS:
        raise UnknownChoice("layout of a camera", layout, ADAPTERS)
    try:
        pose = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"pose={said}: {error}", expected=example) from error
    if not callable(pose):
        raise UsageError(f"pose={said} is a {type(pose).__name__}", expected="a function of a picture")
    return PoseEstimator(pose, adapter(layout).topology)
