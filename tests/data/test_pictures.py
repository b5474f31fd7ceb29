"""Pictures of clips, generated and recorded."""

from __future__ import annotations

import builtins
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.data import pictures, synthetic
from edgeskel.data.view import View, bones, side
from edgeskel.errors import MissingExtra, UsageError
from edgeskel.skeleton import Clip

KINECT = topologies.get("kinect-v1")
SVG = "{http://www.w3.org/2000/svg}"


def clip(action: str = "wave", *, yaw: float = 0.0, noise: float = 0.0, seed: int = 0) -> Clip:
    camera = synthetic.Camera(yaw=yaw, noise=noise)
    return synthetic.clip(action, synthetic.SyntheticBody(), synthetic.Style(), np.random.default_rng(seed), camera=camera,
                          sensors=())


def with_nothing_at(made: Clip, joint: int) -> Clip:
    confidence, joints = made.confidence.copy(), made.joints.copy()
    confidence[..., joint] = 0
    joints[..., joint, :] = np.nan
    return Clip(joints, confidence, made.time, label=made.label)


def circles(text: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(text).findall(f".//{SVG}circle")


def test_every_topology_has_a_bone_for_each_joint_but_the_root() -> None:
    for name in topologies.names():
        topology = topologies.get(name)
        assert len(bones(topology)) == len(topology.joints) - 1
    assert side(KINECT, KINECT.index("left_hand")) == "left" and side(KINECT, KINECT.index("head")) == "middle"


@pytest.mark.parametrize("yaw", [-1.0, 0.0, 0.6, 2.5])
def test_the_actor_is_seen_from_the_front_however_it_stood(yaw: float) -> None:
    made = clip("bow", yaw=yaw)
    points = View.of(made.joints, made.confidence, KINECT).project(made.joints)[0, 0]
    left, right = points[KINECT.index("left_shoulder")], points[KINECT.index("right_shoulder")]
    assert left[0] - right[0] > 0.2  # the person's left is on the picture's right
    assert points[KINECT.index("head"), 1] - points[KINECT.index("left_foot"), 1] > 1.3


def test_two_persons_are_seen_from_beside_the_line_between_them() -> None:
    made = clip("bow")
    joints = np.concatenate([made.joints, made.joints + np.array([0.0, 0.0, 1.2], np.float32)])
    confidence = np.concatenate([made.confidence, made.confidence])
    points = View.of(joints, confidence, KINECT).project(joints)
    apart = np.abs(points[0, 0, 0] - points[1, 0, 0])
    assert apart[0] == pytest.approx(1.2, abs=0.01)


def test_an_svg_strip_is_well_formed_and_shows_every_joint() -> None:
    text = pictures.svg(clip(), KINECT, frames=5)
    assert len(circles(text)) == 5 * 20 and "wave" in text and "currentColor" in text


def test_a_label_cannot_break_out_of_the_svg() -> None:
    text = pictures.svg(clip(), KINECT, frames=1, caption='<script>"&')
    assert "<script>" not in text
    assert '<script>"&' in "".join(ElementTree.fromstring(text).itertext())


def test_missing_joints_are_left_out_and_inferred_ones_hollow() -> None:
    hand = KINECT.index("left_hand")
    assert len(circles(pictures.svg(with_nothing_at(clip(), hand), KINECT, frames=4))) == 4 * 19
    made = clip()
    confidence = made.confidence.copy()
    confidence[..., hand] = 0.5
    guessed = Clip(made.joints, confidence, made.time)
    assert sum(c.get("fill") == "none" for c in circles(pictures.svg(guessed, KINECT, frames=4))) == 4


def test_a_clip_without_any_joint_seen_is_drawn_empty(tmp_path: Path) -> None:
    made = clip()
    empty = Clip(made.joints, np.zeros_like(made.confidence), made.time, label="nobody")
    assert not circles(pictures.svg(empty, KINECT))
    assert pictures.strip(empty, KINECT, tmp_path / "empty.png").stat().st_size > 0


def test_a_strip_is_a_png_with_ink_in_three_colours(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = pictures.strip(clip("throw", noise=1.0), KINECT, tmp_path / "strip.png", frames=6)
    with image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in pictures.COLOURS.values():
        wanted = [int(colour[i:i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(pixels - wanted).max(axis=1) < 12).sum() > 100
    assert not list(tmp_path.glob(".*"))


def test_an_animation_plays_at_the_clips_own_speed(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    made = clip("kick")
    milliseconds = 0
    with image.open(pictures.animation(made, KINECT, tmp_path / "kick.gif", rate_hz=4)) as gif:
        for frame in range(gif.n_frames):
            gif.seek(frame)
            milliseconds += gif.info["duration"]
    assert milliseconds / 1000 == pytest.approx(made.time[-1], abs=0.5)


def test_a_one_frame_clip_can_be_drawn(tmp_path: Path) -> None:
    made = clip()
    one = Clip(made.joints[:, :1], made.confidence[:, :1], made.time[:1], label="one")
    assert len(circles(pictures.svg(one, KINECT))) == 20
    assert pictures.animation(one, KINECT, tmp_path / "one.gif").stat().st_size > 0


def test_without_matplotlib_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match=r"pip install 'edgeskel\[viz\]'"):
        pictures.strip(clip(), KINECT, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_recorded_clips_can_be_drawn(utd_store: Any, tmp_path: Path) -> None:
    recorded = utd_store[0]
    assert len(circles(pictures.svg(recorded, utd_store.topology, frames=8))) >= 8 * 15
    points = View.of(recorded.joints, recorded.confidence, utd_store.topology).project(recorded.joints)[0, 0]
    names = utd_store.topology
    assert points[names.index("left_shoulder"), 0] > points[names.index("right_shoulder"), 0]


@pytest.mark.parametrize("frames", [0, -3])
def test_a_strip_without_skeletons_is_refused(frames: int) -> None:
    with pytest.raises(UsageError, match=f"{frames} skeletons"):
        pictures.svg(clip(), KINECT, frames)


@pytest.mark.parametrize("action", ["bow", "jump", "squat", "wave"])
@pytest.mark.parametrize("height", [120, 160, 400])
def test_heads_are_drawn_whole(action: str, height: int) -> None:
    """With their outline, inside the picture, whatever the pose and the size."""
    drawing = ElementTree.fromstring(pictures.svg(clip(action), KINECT, frames=6, height=height))
    _, _, width, _ = map(float, str(drawing.get("viewBox")).split())
    drawn = [[float(str(circle.get(name))) for name in ("cx", "cy", "r")] for circle in drawing.findall(f".//{SVG}circle")]
    largest = max(radius for _, _, radius in drawn)
    for x, y, radius in (one for one in drawn if one[2] == largest):
        assert radius + 0.5 <= x <= width - radius - 0.5 and radius + 0.5 <= y


def test_the_top_row_of_a_strip_holds_no_ink(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    made = clip("jump")
    path = pictures.strip(Clip(made.joints, made.confidence, made.time, label=" "), KINECT, tmp_path / "strip.png", frames=5)
    pixels = np.asarray(image.open(path).convert("L")).astype(int)
    first = int(np.argmax((pixels < 200).any(axis=1)))
    widths = (pixels[first:first + 30] < 200).sum(axis=1)
    assert widths[0] < widths.max() / 2  # a circle's top, not the chord of one that is cut
