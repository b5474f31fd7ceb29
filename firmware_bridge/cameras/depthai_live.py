"""``camera:depthai?pose=package.module:function``: a Luxonis OAK with stereo depth.

The 2-D pose function runs on the host and finds the joints in the colour picture; the camera's own stereo depth, aligned
with it, gives their distance (:mod:`~firmware_bridge.cameras.rgbd`). ``pip install depthai``, version 3.

==============  ======================================================================================================
``pose``        ``package.module:function``, or ``mediapipe`` with ``model``
``layout``      of what the function finds (coco-17)
``device``      name, IP address or serial number, where there are several
``width``       ``height``, ``rate``: of the colour picture (640, 480, 30)
==============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from edgeskel.errors import DeviceError
from firmware_bridge.cameras.mediapipe_live import imported
from firmware_bridge.cameras.pinhole import Intrinsics
from firmware_bridge.cameras.rgbd import COMMON, DepthCamera, RgbdImage, pose_of
from firmware_bridge.source import options_of

__all__ = ["open_camera", "pictures"]

PATIENCE_S = 5.0
_MONO = (640, 400)


@contextmanager
def pictures(
    *, device: str = "", width: int = 640, height: int = 480, rate_hz: float = 30.0
) -> Iterator[Iterator[RgbdImage]]:
    """Open an OAK; gives its pictures.

    Raises:
        DeviceError: depthai 3 is not installed, no such camera, or it has no pair of cameras for depth.
    """
    dai = imported("depthai", "camera:depthai")
    if not hasattr(dai.node.Camera, "requestOutput"):
        raise DeviceError(f"camera:depthai: depthai {dai.__version__}", expected="version 3",
                          remedy="run: pip install 'depthai>=3'")
    try:
        opened = dai.Device(device) if device else dai.Device()
        pipeline = dai.Pipeline(opened)
        queue = _build(dai, pipeline, opened, (width, height), rate_hz)
        pipeline.start()
    except RuntimeError as error:
        raise DeviceError(
            f"camera:depthai{' ' + device if device else ''}: {error}",
            expected="an OAK with stereo cameras on USB or Ethernet",
            remedy="on Linux a USB camera needs Luxonis's udev rule",
        ) from error
    try:
        yield _pictures(pipeline, queue)
    finally:
        pipeline.stop()
        opened.close()


def _build(dai: Any, pipeline: Any, device: Any, size: tuple[int, int], rate_hz: float) -> Any:
    """Colour and the depth aligned with it, in step, on one queue."""
    sockets = dai.CameraBoardSocket
    colour = (
        pipeline.create(dai.node.Camera)
        .build(sockets.CAM_A)
        .requestOutput(size, dai.ImgFrame.Type.RGB888i, fps=rate_hz, enableUndistortion=True)
    )
    left, right = (
        pipeline.create(dai.node.Camera).build(socket).requestOutput(_MONO, fps=rate_hz)
        for socket in (sockets.CAM_B, sockets.CAM_C)
    )
    stereo = pipeline.create(dai.node.StereoDepth).build(left, right)
    sync = pipeline.create(dai.node.Sync)
    sync.setSyncThreshold(timedelta(seconds=0.5 / rate_hz))
    if device.getPlatform() == dai.Platform.RVC4:  # its depth node does not align by itself
        align = pipeline.create(dai.node.ImageAlign)
        stereo.depth.link(align.input)
        colour.link(align.inputAlignTo)
        align.outputAligned.link(sync.inputs["depth"])
    else:
        stereo.setOutputSize(*size)
        colour.link(stereo.inputAlignTo)
        stereo.depth.link(sync.inputs["depth"])
    colour.link(sync.inputs["colour"])
    return sync.out.createOutputQueue(maxSize=2, blocking=False)


def _pictures(pipeline: Any, queue: Any) -> Iterator[RgbdImage]:
    while pipeline.isRunning():
        group = queue.get(timedelta(seconds=PATIENCE_S))
        if group is None:
            raise DeviceError(f"camera:depthai gave no picture for {PATIENCE_S:g} s",
                              remedy="check its plug, cable and power")
        colour, depth = group["colour"], group["depth"]
        (fx, _, cx), (_, fy, cy), _ = colour.getTransformation().getIntrinsicMatrix()
        yield RgbdImage(
            colour.getTimestamp().total_seconds(),  # the SDK brings it to the host's steady clock
            colour.getCvFrame()[..., ::-1],  # blue first
            depth.getFrame(),
            Intrinsics(fx, fy, cx, cy),
        )


def open_camera(options: Mapping[str, str]) -> DepthCamera:
    """Open ``camera:depthai?...``; nothing is opened before the source is entered.

    Raises:
        UsageError, UnknownChoice: options that make no sense, or no such pose function.
    """
    settings: dict[str, Any] = options_of(options, {**COMMON, "device": str}, "camera:depthai")
    finder = pose_of(settings, "camera:depthai")
    rate = settings.get("rate", 30.0)
    asked = {name: settings[name] for name in ("device", "width", "height") if name in settings}
    return DepthCamera(
        "camera:depthai",
        lambda: pictures(rate_hz=rate, **asked),
        finder.pose,
        finder.topology,
        rate_hz=rate,
        done=finder.done,
    )
