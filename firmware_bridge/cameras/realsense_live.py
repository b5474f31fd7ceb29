"""``camera:realsense?pose=package.module:function``: an Intel RealSense, which measures depth and finds no skeletons.

The 2-D pose function finds the joints in the colour picture, the depth image aligned with it gives their distance
(:mod:`~firmware_bridge.cameras.rgbd`). ``pip install pyrealsense2``.

==============  ======================================================================================================
``pose``        ``package.module:function``, or ``mediapipe`` with ``model``
``layout``      of what the function finds (coco-17)
``serial``      which camera; ``file`` plays a recording of the SDK instead
``width``       ``height``, ``rate``: of both streams (640, 480, 30)
==============  ======================================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from edgeskel.errors import DeviceError
from firmware_bridge.cameras.frame_validator import HostClock
from firmware_bridge.cameras.mediapipe_live import imported
from firmware_bridge.cameras.pinhole import Intrinsics
from firmware_bridge.cameras.rgbd import COMMON, DepthCamera, RgbdImage, pose_of
from firmware_bridge.source import options_of

__all__ = ["open_camera", "pictures"]

PATIENCE_MS = 5000


@contextmanager
def pictures(
    *, serial: str = "", file: str = "", width: int = 640, height: int = 480, rate_hz: float = 30.0
) -> Iterator[Iterator[RgbdImage]]:
    """Open a RealSense, or a recording of one; gives its pictures.

    Raises:
        DeviceError: pyrealsense2 is not installed, no such camera, or it lacks these streams.
    """
    rs = imported("pyrealsense2", "camera:realsense")
    pipeline, config = rs.pipeline(), rs.config()
    if file:
        config.enable_device_from_file(file, repeat_playback=False)  # with the streams that it has
    else:
        if serial:
            config.enable_device(serial)
        config.enable_stream(rs.stream.depth, width, height, rs.format.z16, round(rate_hz))
        config.enable_stream(rs.stream.color, width, height, rs.format.rgb8, round(rate_hz))
    try:
        profile = pipeline.start(config)
        streams = {stream.stream_type() for stream in profile.get_streams()}
        if not {rs.stream.depth, rs.stream.color} <= streams:
            pipeline.stop()
            raise RuntimeError(f"no depth or no colour among {sorted(map(str, streams))}")
    except RuntimeError as error:
        raise DeviceError(
            f"camera:realsense{' ' + (file or serial) if file or serial else ''}: {error}",
            expected="a RealSense on a USB 3 port, or a recording, with both streams in that size and rate",
            remedy="try rs-enumerate-devices; on Linux the user needs librealsense's udev rules",
        ) from error
    try:
        yield _pictures(rs, pipeline, profile.get_device())
    finally:
        pipeline.stop()


def _pictures(rs: Any, pipeline: Any, device: Any) -> Iterator[RgbdImage]:
    align = rs.align(rs.stream.color)
    scale = float(device.first_depth_sensor().get_depth_scale())
    playing = device.is_playback()
    if playing:
        device.as_playback().set_real_time(False)  # every picture, however slow the pose function is
    host_time, last = HostClock(), -1
    while True:
        good, frames = pipeline.try_wait_for_frames(PATIENCE_MS)
        arrived_ns = time.monotonic_ns()
        if not good:
            if playing:
                return
            raise DeviceError(
                f"camera:realsense gave no picture for {PATIENCE_MS / 1e3:g} s",
                remedy="check its plug and cable; a USB 2 cable is too slow for both streams",
            )
        aligned = align.process(frames)
        colour, depth = aligned.get_color_frame(), aligned.get_depth_frame()
        if not colour or not depth or colour.get_frame_number() == last:
            continue  # the SDK gives a picture again when only the other stream has a new one
        last = colour.get_frame_number()
        lens = colour.profile.as_video_stream_profile().intrinsics
        seconds = colour.get_timestamp() * 1e-3
        yield RgbdImage(
            seconds if playing else host_time(seconds, arrived_ns),
            _red_first(rs, colour),
            np.asanyarray(depth.get_data()).copy(),
            Intrinsics(lens.fx, lens.fy, lens.ppx, lens.ppy),
            scale,
        )


def _red_first(rs: Any, colour: Any) -> Any:
    """(H, W, 3), a copy: the SDK uses its memory again. A recording may have another order than we ask of a camera."""
    picture, kind = np.asanyarray(colour.get_data()), colour.profile.format()
    if kind not in (rs.format.rgb8, rs.format.bgr8):
        raise DeviceError(
            f"camera:realsense: a recording with colour as {kind}", expected="rgb8 or bgr8", remedy="record it so"
        )
    return (picture if kind == rs.format.rgb8 else picture[..., ::-1]).copy()


def open_camera(options: Mapping[str, str]) -> DepthCamera:
    """Open ``camera:realsense?...``; nothing is opened before the source is entered.

    Raises:
        UsageError, UnknownChoice: options that make no sense, or no such pose function.
    """
    settings: dict[str, Any] = options_of(options, {**COMMON, "serial": str, "file": str}, "camera:realsense")
    finder = pose_of(settings, "camera:realsense")
    rate = settings.get("rate", 30.0)
    asked = {name: settings[name] for name in ("serial", "file", "width", "height") if name in settings}
    return DepthCamera(
        "camera:realsense",
        lambda: pictures(rate_hz=rate, **asked),
        finder.pose,
        finder.topology,
        rate_hz=rate,
        done=finder.done,
    )
