"""Makers' joints at the door: layouts, units, axes, states, and left and right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeskel import topologies
from edgeskel.coordinates import AXES, METRES, axes_matrix, metres_of
from edgeskel.errors import UnknownChoice, UsageError
from edgeskel.skeleton import Frame
from edgeskel.topologies.remap import Remap
from firmware_bridge.cameras import (
    ADAPTERS,
    ConversionSettings,
    Intrinsics,
    RefusedFrame,
    adapter,
    azure_kinect,
    kinect_v2,
    zed,
)
from firmware_bridge.cameras import mediapipe_pose as mediapipe
from tests.firmware_bridge.cameras.bodies import body, standing

CAMERA = Intrinsics(610.0, 612.0, 322.0, 241.0)


def settings_for(layout: str) -> list[ConversionSettings]:
    """Every way in which a layout can come."""
    if adapter(layout).axes is not None:
        return [ConversionSettings()]
    ways = [ConversionSettings(units, axes) for units, axes in zip([*METRES, "METER"], AXES, strict=True)]
    return [*ways, ConversionSettings("mm", intrinsics=CAMERA)]


EVERY_WAY = [(layout, way) for layout in ADAPTERS for way in settings_for(layout)]


@pytest.mark.parametrize("layout", [name for name in ADAPTERS if name in topologies.names()])
def test_a_layout_is_the_one_that_models_are_trained_on(layout: str) -> None:
    assert adapter(layout).topology == topologies.get(layout)


def test_the_other_layouts_are_zed_s_and_feed_the_layouts_of_models() -> None:
    others = set(ADAPTERS) - set(topologies.names())
    assert others == {"zed-18", "zed-34", "zed-38"}
    for layout in others:
        theirs = adapter(layout).topology
        assert len(theirs.joints) == int(layout[-2:])
        for model in ("kinect-v1", "coco-17"):
            assert not Remap.between(theirs, topologies.get(model)).missing


@pytest.mark.parametrize("layout", ADAPTERS)
def test_sides_are_pairs_and_stay_on_their_side_of_the_tree(layout: str) -> None:
    theirs = adapter(layout).topology
    for left, right in theirs.pairs:
        assert theirs.joints[left].replace("left", "right") == theirs.joints[right]
        if theirs.aliases:
            swapped = theirs.aliases[left].lower().replace("left", "right")
            assert swapped == theirs.aliases[right].lower()
    sided = [joint for joint in theirs.joints if joint.startswith(("left_", "right_"))]
    assert len(sided) == 2 * len(theirs.pairs)
    for index, parent in enumerate(theirs.parents):
        opposite = {"left": "right", "right": "left"}.get(theirs.joints[index].partition("_")[0])
        assert parent < 0 or opposite is None or not theirs.joints[parent].startswith(opposite)


# The joint of a raised hand by the makers' own numbers, and what is certain to be the other one.
RAISED = {
    "azure-kinect": ("WRIST_LEFT", 7, 14),
    "kinect-v2": ("WristLeft", 6, 10),
    "zed-18": ("LEFT_WRIST", 7, 4),
    "zed-34": ("LEFT_WRIST", 7, 14),
    "zed-38": ("LEFT_WRIST", 16, 17),
    "mediapipe-33": ("left_wrist", 15, 16),
    "coco-17": ("", 9, 10),
    "coco-wholebody-133": ("", 9, 10),
}


@pytest.mark.parametrize(("layout", "way"), EVERY_WAY)
def test_a_raised_left_hand_is_the_left_one_and_on_the_persons_left(layout: str, way: ConversionSettings) -> None:
    alias, left, right = RAISED[layout]
    converter = adapter(layout).converter(way)
    raised = body(converter.topology)
    raised[left, 1] += 1.0
    frame = standing(converter.topology)
    sent = converter.persons(Frame(0.0, raised[None].astype(np.float32), frame.confidence))[0]["joints"]
    received = converter.frame(0.0, np.array([sent], float)).joints[0]
    assert converter.topology.joints[left] == "left_wrist" and converter.topology.joints[right] == "right_wrist"
    assert not alias or converter.topology.aliases[left] == alias
    assert received[left, 1] - received[right, 1] == pytest.approx(1.0, abs=1e-4)
    # Seen from the camera x points left, and somebody who faces it has the left hand on its right.
    assert received[left, 0] < received[right, 0]


@pytest.mark.parametrize(
    ("layout", "way", "theirs", "ours"),
    [
        # 0.3 m to the right of the camera's axis, 0.2 m above it, 2 m away
        ("azure-kinect", ConversionSettings(), (300.0, -200.0, 2000.0), (-0.3, 0.2, 2.0)),
        ("kinect-v2", ConversionSettings(), (-0.3, 0.2, 2.0), (-0.3, 0.2, 2.0)),
        ("mediapipe-33", ConversionSettings(), (0.3, -0.2, 2.0), (-0.3, 0.2, 2.0)),
        ("zed-38", ConversionSettings("METER", "IMAGE"), (0.3, -0.2, 2.0), (-0.3, 0.2, 2.0)),
        ("zed-38", ConversionSettings("CENTIMETER", "RIGHT_HANDED_Y_UP"), (30.0, 20.0, -200.0), (-0.3, 0.2, 2.0)),
        ("zed-34", ConversionSettings("METER", "LEFT_HANDED_Y_UP"), (0.3, 0.2, 2.0), (-0.3, 0.2, 2.0)),
        ("zed-34", ConversionSettings("MILLIMETER", "LEFT_HANDED_Z_UP"), (2000.0, 300.0, 200.0), (-0.3, 0.2, 2.0)),
        ("zed-18", ConversionSettings("METER", "RIGHT_HANDED_Z_UP"), (0.3, 2.0, 0.2), (-0.3, 0.2, 2.0)),
        ("zed-18", ConversionSettings("FOOT", "RIGHT_HANDED_Z_UP_X_FWD"), (2 / 0.3048, -0.3 / 0.3048, 0.2 / 0.3048), (-0.3, 0.2,
                                                                                                                      2.0)),
        ("coco-17", ConversionSettings("mm", intrinsics=CAMERA), (322 + 610 * 0.15, 241 - 612 * 0.1, 2000.0), (-0.3, 0.2, 2.0)),
        ("coco-17", ConversionSettings("m", "backward,right,up", "right"), (-2.0, 0.3, 0.2), (-0.3, 0.2, 2.0)),
    ],
)
def test_one_point_of_the_room(layout: str, way: ConversionSettings, theirs: tuple[float, ...], ours: tuple[float, ...]) -> None:
    converter = adapter(layout).converter(way)
    frame = converter.frame(1.5, np.tile(theirs, (1, len(converter.topology.joints), 1)))
    np.testing.assert_allclose(frame.joints[0], np.tile(ours, (len(converter.topology.joints), 1)), atol=1e-6)
    assert frame.time == 1.5 and (frame.confidence == 1).all()


@pytest.mark.parametrize(("layout", "way"), EVERY_WAY)
def test_a_stand_in_sends_what_the_door_reads_back(layout: str, way: ConversionSettings) -> None:
    converter = adapter(layout).converter(way)
    frame = standing(converter.topology, persons=2)
    frame.confidence[1, 3:7] = 0.0
    sent = json.loads(json.dumps(converter.persons(frame)))
    nowhere = [np.nan] * 3
    joints = [[joint or nowhere for joint in person["joints"]] for person in sent]
    received = converter.frame(0.0, joints, [person["confidence"] for person in sent])
    seen = frame.confidence > 0
    np.testing.assert_array_equal(received.confidence > 0, seen)
    np.testing.assert_allclose(received.joints[seen], frame.joints[seen], atol=1e-5)
    assert (received.joints[~seen] == 0).all()


@pytest.mark.parametrize("axes", AXES)
def test_makers_axes_are_what_imported_recordings_call_them(axes: str) -> None:
    directions, handedness = AXES[axes]
    words = ", ".join(f"{axis} {word}" for axis, word in zip("xyz", directions.split(","), strict=True))
    np.testing.assert_array_equal(axes_matrix(axes), axes_matrix(words, handedness))
    assert np.linalg.det(axes_matrix(axes)) == pytest.approx(1 if handedness == "right" else -1)


def test_the_matrix_of_right_handed_axes_is_a_rotation_and_left_handed_ones_have_to_be_called_so() -> None:
    for directions in ("right,down,forward", "forward,left,up", "left,up,forward"):
        matrix = axes_matrix(directions)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3))
        assert np.linalg.det(matrix) == pytest.approx(1)
    with pytest.raises(UsageError, match="left-handed.*handedness=left"):
        axes_matrix("right,up,forward")
    assert np.linalg.det(axes_matrix("right,up,forward", "left")) == pytest.approx(-1)
    with pytest.raises(UsageError, match="right-handed"):
        axes_matrix("RIGHT_HANDED_Y_UP", "left")


@pytest.mark.parametrize("axes", ["", "up", "right,up", "right,left,up", "right,right,up", "north,up,east", "a,b,c,d"])
def test_axes_that_are_none_are_refused(axes: str) -> None:
    with pytest.raises(UsageError, match="right,down,forward"):
        axes_matrix(axes)


def test_units_are_named_as_users_and_as_the_zed_sdk_do() -> None:
    assert metres_of("MILLIMETER") == metres_of("mm") == 0.001
    assert metres_of("Foot") == metres_of("ft") == 0.3048
    with pytest.raises(UnknownChoice, match="did you mean 'cm'"):
        metres_of("cms")


def test_kinect_states_become_confidences() -> None:
    joints = [body(kinect_v2.LAYOUT)]
    frame = kinect_v2.convert(0.0, joints, [[0, 1, 2] + ["Tracked", "Inferred", "NotTracked"] + [2] * 19])
    assert frame.confidence[0, :6].tolist() == [0, 0.5, 1, 1, 0.5, 0]
    assert (frame.joints[0, [0, 5]] == 0).all()
    frame = azure_kinect.convert(0.0, [body(azure_kinect.LAYOUT) * 1000], [[0, 1, 2, 3] + ["LOW", "NONE"] + [2] * 26])
    assert frame.confidence[0, :6].tolist() == [0, 0.5, 1, 1, 0.5, 0]


@pytest.mark.parametrize("state", [3, -1, 1.5, "tracked", None, [2], "HIGH"])
def test_a_state_that_kinect_does_not_have_names_the_joint(state: object) -> None:
    with pytest.raises(RefusedFrame, match="tracking state .* of left_wrist.*check that the sender really is kinect-v2") as caught:
        kinect_v2.convert(0.0, [body(kinect_v2.LAYOUT)], [[2] * 6 + [state] + [2] * 18])
    assert caught.value.kind == "state"


def test_zed_keypoints_that_are_nan_are_missing() -> None:
    joints = body(zed.LAYOUT_38) * [1, 1, -1]
    joints[[5, 6]] = np.nan
    confidence = np.full(38, 80.0)
    confidence[5] = np.nan
    frame = zed.convert(2.0, [joints], [confidence], units="METER", axes="RIGHT_HANDED_Y_UP")
    assert frame.confidence[0, [5, 6]].tolist() == [0, 0]
    assert frame.confidence[0, 7] == pytest.approx(0.8)
    assert np.isfinite(frame.joints).all()
    with pytest.raises(UnknownChoice, match="18, 34, 38"):
        zed.convert(0.0, np.zeros((1, 70, 3)), units="METER", axes="IMAGE")
    with pytest.raises(RefusedFrame, match=r"confidence 150.* of pelvis.*0 to 100"):
        zed.convert(0.0, [joints], [[150.0] + [80.0] * 37], units="METER", axes="RIGHT_HANDED_Y_UP")


@pytest.mark.parametrize("layout", ["zed-18", "zed-34", "zed-38", "coco-17", "coco-wholebody-133"])
def test_units_and_axes_that_the_maker_leaves_open_must_be_stated(layout: str) -> None:
    for way in (ConversionSettings(), ConversionSettings("m"), ConversionSettings(axes="image")):
        with pytest.raises(UsageError, match="not stated"):
            adapter(layout).converter(way)


@pytest.mark.parametrize("layout", ["azure-kinect", "kinect-v2", "mediapipe-33"])
def test_units_and_axes_that_the_maker_has_fixed_are_not_the_users(layout: str) -> None:
    for way in (ConversionSettings(units="cm"), ConversionSettings(axes="right,up,backward"),
                ConversionSettings(intrinsics=CAMERA)):
        with pytest.raises(UsageError, match=layout):
            adapter(layout).converter(way)
    fixed = adapter(layout)
    assert fixed.converter(ConversionSettings(fixed.units, fixed.axes)) is not None


@pytest.mark.parametrize("layout", ADAPTERS)
def test_another_number_of_joints_is_refused_and_nobody_is_a_frame_of_nobody(layout: str) -> None:
    converter = adapter(layout).converter(settings_for(layout)[0])
    size = len(converter.topology.joints)
    for shape in ((1, size - 1, 3), (1, size + 1, 3), (1, size, 2), (size, 3)):
        with pytest.raises(RefusedFrame, match=f"{size}") as caught:
            converter.frame(0.0, np.ones(shape))
        assert caught.value.kind == "joints"
    with pytest.raises(RefusedFrame, match="as many as joints"):
        converter.frame(0.0, np.ones((1, size, 3)), [[1.0] * (size - 1)])
    nobody = converter.frame(0.0, [])
    assert nobody.joints.shape == (0, size, 3) and nobody.confidence.shape == (0, size)


@given(arrays(np.float64, (1, 25, 3), elements=st.floats(), fill=st.floats()))
@settings(max_examples=80)
def test_whatever_the_numbers_are_a_joint_is_finite_or_missing(values: np.ndarray) -> None:
    try:
        frame = kinect_v2.convert(0.0, values)
    except RefusedFrame as error:
        assert error.kind == "units"
    else:
        assert np.isfinite(frame.joints).all()
        np.testing.assert_array_equal(frame.confidence > 0, np.isfinite(values).all(axis=-1))


@given(arrays(np.float64, (1, 17, 3), elements=st.floats(), fill=st.floats()))
@example(np.full((1, 17, 3), 1e300))
@settings(max_examples=60)
def test_whatever_pixels_and_depths_are_a_joint_is_finite_or_missing(values: np.ndarray) -> None:
    try:
        frame = adapter("coco-17").converter(ConversionSettings("mm", intrinsics=CAMERA)).frame(0.0, values)
    except RefusedFrame as error:
        assert error.kind == "units"
    else:
        assert np.isfinite(frame.joints).all()
        assert (frame.confidence[~(values[..., 2] > 0)] == 0).all()


@given(
    st.sampled_from(EVERY_WAY), st.floats(-2, 2), st.floats(-1, 1), st.floats(2, 5), st.floats(-3.1, 3.1)
)
@settings(max_examples=80)
def test_lengths_and_handedness_survive_every_door(
    way: tuple[str, ConversionSettings], x: float, y: float, z: float, turn: float
) -> None:
    """A person of right hand sides stays one: distances, and the sign of the volume that three bones span."""
    converter = adapter(way[0]).converter(way[1])
    person = body(converter.topology, at=(0.0, -1.0, 0.0)).astype(np.float64)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    person = person @ rotation.T + (x, y, z)
    sent = converter.persons(Frame(0.0, person[None].astype(np.float32), np.ones((1, len(person)), np.float32)))[0]["joints"]
    received = converter.frame(0.0, np.array([sent], float)).joints[0].astype(np.float64)
    names = ["nose", "left_hip", "right_hip", "left_shoulder"]
    if "nose" not in converter.topology.joints:
        names[0] = "left_foot"
    which = [converter.topology.index(name) for name in names]

    def volume(points: np.ndarray) -> float:
        return float(np.linalg.det(points[which[1:]] - points[which[0]]))

    assert volume(received) == pytest.approx(volume(person), rel=1e-2, abs=1e-6)
    np.testing.assert_allclose(received, person, atol=1e-4)
    assert np.ptp(received[:, 1]) > 1.4  # upright, and as tall as it was


def test_mediapipe_is_placed_where_its_picture_shows_it() -> None:
    world = np.stack([body(mediapipe.LAYOUT, at=(0, -0.92, 0)) @ axes_matrix("image") for _ in range(2)])
    places = np.array([[0.4, 0.1, 2.5], [-0.8, -0.2, 4.0]])
    there = world + places[:, None]
    pixels = np.stack(
        [610 * there[..., 0] / there[..., 2] + 322, 612 * there[..., 1] / there[..., 2] + 241], axis=-1
    )
    image = (pixels + 0.5) / (640, 480)
    found = mediapipe.placed(world, mediapipe.pixels_of(image, 640, 480), np.ones(world.shape[:2]), CAMERA)
    np.testing.assert_allclose(found, there, atol=1e-9)
    unseen = mediapipe.placed(world, pixels, np.zeros(world.shape[:2]), CAMERA)
    assert np.isnan(unseen).all()
    assert (mediapipe.convert(0.0, unseen).confidence == 0).all()


def test_an_unknown_layout_lists_those_that_there_are() -> None:
    with pytest.raises(UnknownChoice, match="azure-kinect.*zed-38"):
        adapter("zed-70")
