"""A live picture: segments with the axes of their sensors, the camera's joints and the fused skeleton, in rerun.

    viewer = Viewer(topology, {"pelvis": "pelvis"})
    viewer.draw(fused=fused, camera=frame)

rerun (https://rerun.io) is not part of the device install: it wants numpy 2, which JetPack has not. It runs on the computer that
you look at, or writes a file for it.

Colours say where a joint comes from (:data:`LEGEND`, which is in the picture, too). Faint joints are unsure.

Axes: M persons, V joints, P pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.errors import MissingExtra
from edgeskel.geometry import rotate
from edgeskel.skeleton import Frame, Topology
from firmware_bridge.body.kinematics import Skeleton
from firmware_bridge.body.segments import INDEX, PIECES
from firmware_bridge.fusion import FusedFrame, Origin

__all__ = ["COLOURS", "LEGEND", "Viewer"]

COLOURS = {Origin.MISSING: (0, 0, 0), Origin.INFERRED: (150, 150, 150), Origin.CAMERA: (80, 200, 120),
           Origin.INERTIAL: (80, 140, 255), Origin.BOTH: (215, 80, 215)}
"""Told apart on dark and on light: rerun has a theme of either."""
CAMERA_COLOUR = (240, 170, 60)
BACKGROUND = (22, 26, 34)
LEGEND = """| colour | what |
|---|---|
| magenta | a joint from camera and sensors |
| blue | from sensors alone |
| green | from the camera alone |
| grey | inferred from the joints beside it |
| orange | the camera's own joints |
| red, green, blue arrows | x (left), y (up), z (ahead) of a segment; grey while its sensor says nothing |

Faint joints are unsure.
"""
AXIS_M = 0.08


class Viewer:
    """Draws what it is given, at the time that the frames say.

    Args:
        topology: layout of the frames, and of the camera's; None draws nothing but what is said.
        worn: sensor -> segment.
        file: write an ``.rrd`` file instead of opening a window.

    Raises:
        MissingExtra: rerun is not installed; the message is the pip command.
        OSError: the file cannot be written.
    """

    def __init__(self, topology: Topology | None, worn: Mapping[str, str] | None = None, *, file: Path | None = None) -> None:
        try:
            self._rerun: Any = import_module("rerun")
        except ImportError as error:
            raise MissingExtra("rerun-sdk", "viewer", "the live picture") from error
        self._topology = topology
        self._worn = dict(worn or {})
        self._skeleton = None if topology is None else Skeleton(topology)
        self._stream = self._rerun.RecordingStream("edgeskel devices")
        if file is None:
            self._stream.spawn()
        else:
            self._stream.save(str(file))
        self._lay_out()
        self._camera_time = -np.inf
        self._time = -np.inf

    def _lay_out(self) -> None:
        """The skeletons, and beside them what their colours mean."""
        layout: Any = import_module("rerun.blueprint")
        self._stream.log("/", self._rerun.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)
        self._stream.log("legend", self._rerun.TextDocument(LEGEND, media_type="text/markdown"), static=True)
        self._stream.send_blueprint(layout.Blueprint(layout.Horizontal(
            layout.Spatial3DView(origin="/", name="skeleton", background=BACKGROUND),
            layout.TextDocumentView(origin="legend", name="legend"), column_shares=[3, 1]), collapse_panels=True))

    def draw(self, *, fused: FusedFrame | None = None, camera: Frame | None = None) -> None:
        """Draw the newest frames; what was drawn already is left alone."""
        if camera is not None and camera.time > self._camera_time:
            self._camera_time = camera.time
            self._at(camera.time)
            self._camera(camera)
        if fused is not None and fused.frame.time > self._time:
            self._time = fused.frame.time
            self._at(fused.frame.time)
            self._body(fused)

    def close(self) -> None:
        """Write what is still on its way; the window stays."""
        self._stream.disconnect()

    def _at(self, seconds: float) -> None:
        self._stream.set_time("host", duration=seconds)

    def _camera(self, frame: Frame) -> None:
        for person, (joints, confidence) in enumerate(zip(frame.joints, frame.confidence, strict=True)):
            alpha = (255 * confidence).astype(np.uint8)
            colours = np.column_stack([np.tile(np.array(CAMERA_COLOUR, np.uint8), (len(joints), 1)), alpha])
            seen = confidence > 0
            self._stream.log(f"camera/{person}/joints", self._rerun.Points3D(joints[seen], colors=colours[seen], radii=0.012))

    def _body(self, fused: FusedFrame) -> None:
        assert self._topology is not None and self._skeleton is not None
        joints, confidence = fused.frame.joints[0], fused.frame.confidence[0]
        seen = confidence > 0
        colours = np.array([(*COLOURS[Origin(int(origin))], 60 + round(195 * float(sure)))
                            for origin, sure in zip(fused.origin, confidence, strict=True)], np.uint8)
        names = [f"{name} {origin_name(fused, index)}" for index, name in enumerate(self._topology.joints)]
        self._stream.log("fused/joints", self._rerun.Points3D(
            joints[seen], colors=colours[seen], radii=0.018, labels=[n for n, s in zip(names, seen, strict=True) if s],
            show_labels=False))
        bones = [(child, parent) for child, parent in enumerate(self._topology.parents)
                 if parent >= 0 and seen[child] and seen[parent]]
        self._stream.log("fused/bones", self._rerun.LineStrips3D([joints[[child, parent]] for child, parent in bones],
                                                                 colors=colours[[child for child, _ in bones]]))
        self._sensors(fused, joints)

    def _sensors(self, fused: FusedFrame, joints: np.ndarray[Any, Any]) -> None:
        """The axes of every worn segment, where its first joint is."""
        assert self._skeleton is not None
        standing = self._skeleton.forward(fused.turns)
        root = joints[self._skeleton.placed].mean(axis=0) - standing[self._skeleton.placed].mean(axis=0)
        for name, segment in self._worn.items():
            piece = INDEX[segment]
            on_piece = np.flatnonzero((self._skeleton.pieces == piece) & self._skeleton.placed)
            above = INDEX.get(PIECES[piece].parent, piece)
            near = on_piece if len(on_piece) else np.flatnonzero((self._skeleton.pieces == above) & self._skeleton.placed)
            if not len(near):
                continue
            axes = rotate(fused.turns[piece], AXIS_M * np.eye(3))
            measured = bool(fused.measured[piece])
            colours = [(255, 60, 60), (60, 255, 60), (60, 60, 255)] if measured else [(90, 90, 90)] * 3
            origin = standing[near[0]] + root
            self._stream.log(["sensors", name], self._rerun.Arrows3D(origins=np.tile(origin, (3, 1)), vectors=axes, colors=colours))


def origin_name(fused: FusedFrame, joint: int) -> str:
    """Where a joint comes from and how old it is, in words: ``(inertial, 12 ms)``."""
    origin = Origin(int(fused.origin[joint])).name.lower()
    age = float(fused.age_s[joint])
    return f"({origin}, {1e3 * age:.0f} ms)" if np.isfinite(age) else f"({origin})"
