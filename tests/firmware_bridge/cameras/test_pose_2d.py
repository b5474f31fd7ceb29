"""Pixels and depth to points: the pinhole, the depth of a joint, and persons in front of a wall."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeskel.coordinates import axes_matrix
from edgeskel.errors import UsageError
from firmware_bridge.cameras import Intrinsics, RefusedFrame, adapter, pose_2d
from firmware_bridge.cameras.pinhole import deproject, depth_at, place, project
from tests.firmware_bridge.cameras.bodies import body

WIDTH, HEIGHT = 640, 480
CAMERA = Intrinsics(610.0, 612.0, 322.0, 241.0)
COCO = adapter("coco-17").topology
WALL_M = 4.0

lenses = st.builds(Intrinsics, *[st.floats(100, 3000)] * 2, *[st.floats(0, 2000)] * 2)


@given(lenses, arrays(np.float64, (5, 3), elements=st.floats(-5, 5)), st.floats(0.2, 15))
@settings(max_examples=60)
def test_projecting_and_deprojecting_is_the_identity(lens: Intrinsics, points: np.ndarray, near: float) -> None:
    points[:, 2] = near + np.abs(points[:, 2])
    pixels = project(points, lens)
    np.testing.assert_allclose(deproject(pixels, points[:, 2], lens), points, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(project(deproject(pixels, points[:, 2], lens), lens), pixels, rtol=1e-9, atol=1e-6)


@given(lenses, st.floats(0.5, 10))
@settings(max_examples=60)
def test_right_and_down_in_the_picture_are_right_and_down_in_the_room(lens: Intrinsics, depth: float) -> None:
    middle = np.array([lens.cx, lens.cy])
    right, down = deproject(middle + np.array([[50.0, 0.0], [0.0, 50.0]]), np.full(2, depth), lens)
    assert right[0] > 0 and down[1] > 0
    ours = np.stack([right, down]) @ axes_matrix("image").T
    assert ours[0, 0] < 0 and ours[1, 1] < 0 and (ours[:, 2] == depth).all()  # x left, y up, z forward


@given(
    lenses,
    arrays(np.float64, (8, 3), elements=st.floats(-1, 1), unique=True),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(2, 8)),
)
@settings(max_examples=60)
def test_a_known_shape_is_placed_where_its_picture_shows_it(
    lens: Intrinsics, shape: np.ndarray, where: tuple[float, float, float]
) -> None:
    there = shape + where
    pixels = project(there, lens)
    if np.ptp(pixels, axis=0).min() < 1.0:
        return  # all in one spot of the picture: no size to tell the distance from
    found = place(shape, pixels, np.ones(8), lens)
    assert found is not None
    np.testing.assert_allclose(found, where, rtol=1e-4, atol=1e-4)


def test_a_shape_is_not_placed_behind_the_camera_or_from_two_joints() -> None:
    shape = body(COCO, at=(0, 0, 0)) @ axes_matrix("image")
    pixels = project(shape + (0, 0, 3), CAMERA)
    weights = np.zeros(17)
    weights[:2] = 1
    assert place(shape, pixels, weights, CAMERA) is None
    upside_down = 2 * np.array([CAMERA.cx, CAMERA.cy]) - pixels  # as if seen through a point in front of the camera
    assert place(shape, upside_down, np.ones(17), CAMERA) is None


@pytest.mark.parametrize("values", [(0, 600, 0, 0), (600, -1, 0, 0), (np.nan, 600, 0, 0), (600, 600, np.inf, 0)])
def test_a_lens_that_cannot_be_is_refused(values: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError, match="fx,fy,cx,cy"):
        Intrinsics(*values)


def picture_of(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the joints (our axes), and the depth image in millimetres: a disc for each joint before a wall."""
    theirs = joints @ axes_matrix("image")
    pixels = project(theirs, CAMERA)
    depth = np.full((HEIGHT, WIDTH), WALL_M * 1000)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for (u, v), z in sorted(zip(pixels, theirs[..., 2], strict=True), key=lambda item: -item[1]):
        depth[(columns - u) ** 2 + (rows - v) ** 2 <= 6**2] = z * 1000
    return pixels, depth.astype(np.uint16)


def test_a_person_before_a_wall_is_measured() -> None:
    person = body(COCO, at=(0.2, -1.0, 2.5))
    pixels, depth = picture_of(person)
    frame = pose_2d.convert(3.0, pixels[None], np.full((1, 17), 0.9), depth, CAMERA, COCO)
    assert frame.time == 3.0 and frame.confidence == pytest.approx(0.9)
    # Discs of neighbouring joints of the face overlap, so a joint may have its neighbour's depth; and millimetres round.
    np.testing.assert_allclose(frame.joints[0], person, atol=0.06)
    np.testing.assert_allclose(frame.joints[0, 5:], person[5:], atol=0.002)
    left, right = COCO.index("left_wrist"), COCO.index("right_wrist")
    assert frame.joints[0, left, 0] < frame.joints[0, right, 0]
    assert np.ptp(frame.joints[0, :, 1]) == pytest.approx(np.ptp(person[:, 1]), abs=0.01)


def test_holes_specks_and_the_wall_do_not_become_joints() -> None:
    person = body(COCO, at=(0.0, -1.0, 2.5))
    pixels, depth = picture_of(person)
    wrist, knee, ankle, elbow = (COCO.index(name) for name in ("left_wrist", "left_knee", "left_ankle", "left_elbow"))
    noise = np.random.default_rng(0)

    def around(joint: int) -> tuple[slice, slice]:
        u, v = pixels[joint].round().astype(int)
        return slice(v - 4, v + 5), slice(u - 4, u + 5)

    speckled = depth[around(wrist)]
    speckled[noise.random(speckled.shape) < 0.4] = 0  # not measured
    speckled[noise.random(speckled.shape) < 0.1] = 65535  # the sensor's own word for "nothing"
    depth[around(knee)] = 0  # a hole
    depth[around(ankle)] = WALL_M * 1000  # the pose is off: the pixel shows the wall
    u, v = pixels[elbow].round().astype(int)
    depth[v - 4 : v + 5, u + 1 : u + 5] = WALL_M * 1000  # on the rim: the smaller part of the window shows the wall
    frame = pose_2d.convert(0.0, pixels[None], np.ones((1, 17)), depth, CAMERA, COCO)
    assert frame.joints[0, wrist, 2] == pytest.approx(person[wrist, 2], abs=0.002)
    assert frame.joints[0, elbow, 2] == pytest.approx(person[elbow, 2], abs=0.002)
    assert frame.confidence[0, [knee, ankle]].tolist() == [0, 0]
    assert (frame.joints[0, [knee, ankle]] == 0).all()
    others = [joint for joint in range(17) if joint not in (knee, ankle)]
    assert (frame.confidence[0, others] == 1).all()


@pytest.mark.parametrize("split", range(1, 49))
def test_a_depth_is_always_that_of_something_that_is_there(split: int) -> None:
    """Never the mean of a hand and what is behind it, wherever the rim runs."""
    depth = np.full((7, 7), 1500.0)
    depth.reshape(-1)[:split] = 3500.0
    assert depth_at(depth, np.array([[[3.0, 3.0]]]), scale=0.001)[0, 0] in (1.5, 3.5)


@given(
    arrays(np.float64, (2, 17, 2), elements=st.floats(), fill=st.floats()),
    arrays(np.float64, (2, 17), elements=st.floats(), fill=st.floats()),
    arrays(np.uint16, (12, 16), elements=st.integers(0, 65535), fill=st.integers(0, 9000)),
)
@settings(max_examples=60)
def test_whatever_a_pose_function_gives_a_joint_is_finite_or_missing(
    pixels: np.ndarray, scores: np.ndarray, depth: np.ndarray
) -> None:
    frame = pose_2d.convert(0.0, pixels, scores, depth, CAMERA, COCO)
    assert np.isfinite(frame.joints).all() and ((frame.confidence >= 0) & (frame.confidence <= 1)).all()
    inside = ((pixels > -0.5) & (pixels < (15.5, 11.5))).all(axis=-1)
    assert (frame.confidence[~inside & ~np.isclose(pixels, -0.5).any(axis=-1)] == 0).all()


def test_joints_outside_the_picture_are_missing_and_wrong_shapes_are_named() -> None:
    depth = np.full((HEIGHT, WIDTH), 2000, np.uint16)
    pixels = np.full((1, 17, 2), 100.0)
    pixels[0, :3] = [[-1, 100], [640, 100], [100, 480]]
    frame = pose_2d.convert(0.0, pixels, np.ones((1, 17)), depth, CAMERA, COCO)
    assert frame.confidence[0, :4].tolist() == [0, 0, 0, 1]
    with pytest.raises(RefusedFrame, match="17.*joints of coco-17"):
        pose_2d.convert(0.0, np.zeros((1, 133, 2)), np.zeros((1, 133)), depth, CAMERA, COCO)
    with pytest.raises(RefusedFrame, match="depth image of shape"):
        pose_2d.convert(0.0, pixels, np.ones((1, 17)), depth[..., None], CAMERA, COCO)
    assert pose_2d.convert(0.0, [], [], depth, CAMERA, COCO).joints.shape == (0, 17, 3)
