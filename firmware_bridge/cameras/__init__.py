"""Cameras: makers' joints in, frames out.

    camera:udp?port=7000&layout=azure-kinect            JSON datagrams from any camera and language
    camera:mediapipe?index=0&model=pose_landmarker.task a webcam and MediaPipe
    camera:realsense?pose=package.module:function       an Intel RealSense and a 2-D pose function
    camera:depthai?pose=package.module:function         a Luxonis OAK and a 2-D pose function

Joints are converted once, at the door, by one adapter per maker (:data:`ADAPTERS`). A new camera is one new file and one
line in a table; makers' SDKs are imported when a camera is opened and never before.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from edgeskel.errors import UnknownChoice
from firmware_bridge.cameras.convert import Adapter, ConversionSettings, FrameConverter, RefusedFrame
from firmware_bridge.cameras.frame_validator import FAULTS
from firmware_bridge.cameras.pinhole import Intrinsics

if TYPE_CHECKING:
    from firmware_bridge.source import Source

__all__ = [
    "ADAPTERS",
    "CAMERAS",
    "FAULTS",
    "Adapter",
    "FrameConverter",
    "Intrinsics",
    "RefusedFrame",
    "ConversionSettings",
    "adapter",
    "open_source",
]

# layout -> "module:attribute" of its Adapter
ADAPTERS: dict[str, str] = {
    "azure-kinect": "firmware_bridge.cameras.azure_kinect:ADAPTER",
    "kinect-v2": "firmware_bridge.cameras.kinect_v2:ADAPTER",
    "zed-18": "firmware_bridge.cameras.zed:ADAPTER_18",
    "zed-34": "firmware_bridge.cameras.zed:ADAPTER_34",
    "zed-38": "firmware_bridge.cameras.zed:ADAPTER_38",
    "mediapipe-33": "firmware_bridge.cameras.mediapipe_pose:ADAPTER",
    "coco-17": "firmware_bridge.cameras.coco_17:ADAPTER",
    "coco-wholebody-133": "firmware_bridge.cameras.coco_wholebody:ADAPTER",
}

# camera -> module with function open_camera(options) -> Source
CAMERAS: dict[str, str] = {
    "udp": "firmware_bridge.cameras.udp",
    "mediapipe": "firmware_bridge.cameras.mediapipe_live",
    "realsense": "firmware_bridge.cameras.realsense_live",
    "depthai": "firmware_bridge.cameras.depthai_live",
}


def adapter(layout: str) -> Adapter:
    """The adapter of a maker's layout.

    Raises:
        UnknownChoice: no such layout; the message lists those that there are.
    """
    if layout not in ADAPTERS:
        raise UnknownChoice("layout of a camera", layout, ADAPTERS)
    module, _, attribute = ADAPTERS[layout].partition(":")
    found: Adapter = getattr(import_module(module), attribute)
    return found


def open_source(place: str, options: Mapping[str, str]) -> Source:
    """The camera of ``camera:PLACE?...``; nothing is opened before the source is entered.

    Raises:
        UnknownChoice: no such camera, option or layout.
        UsageError: a value that makes no sense.
    """
    if place not in CAMERAS:
        raise UnknownChoice("camera", place, CAMERAS)
    source: Source = import_module(CAMERAS[place]).open_camera(options)
    return source
