"""The layouts that come with the package, and a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeskel import topologies
from edgeskel.errors import CorruptFile, UnknownChoice, UsageError
from edgeskel.skeleton import Topology

SIZES = {"kinect-v1": 20, "kinect-v2": 25, "azure-kinect": 32, "coco-17": 17, "coco-wholebody-133": 133,
         "expressive-65": 65, "mediapipe-33": 33, "smpl-24": 24, "hdm05-31": 31, "sbu-15": 15, "imu-17": 17}


def test_every_layout_of_the_issue_is_there() -> None:
    assert set(topologies.names()) == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_a_layout_is_a_body(name: str) -> None:
    topology = topologies.get(name)
    assert topology.name == name
    assert len(topology.joints) == SIZES[name]
    assert sorted(joint for part in topology.parts.values() for joint in part) == list(range(SIZES[name]))
    for joint in ("left_hip", "right_hip", "left_shoulder", "right_shoulder"):
        assert joint in topology.joints
    sides = [joint for joint in topology.joints if joint.startswith(("left_", "right_"))]
    assert len(sides) == 2 * len(topology.pairs)
    for left, right in topology.pairs:
        assert topology.joints[left].replace("left_", "right_") == topology.joints[right]


@pytest.mark.parametrize("name", SIZES)
def test_the_tree_is_the_same_on_both_sides(name: str) -> None:
    topology = topologies.get(name)
    for joint, parent in enumerate(topology.parents):
        if parent >= 0:
            assert topology.parents[topology.mirror[joint]] == topology.mirror[parent], topology.joints[joint]


def test_orders_that_data_depends_on() -> None:
    # Microsoft's enumerations, and the subset that expressive keypoints are.
    assert topologies.get("kinect-v1").joints[:8] == (
        "pelvis", "spine", "neck", "head", "left_shoulder", "left_elbow", "left_wrist", "left_hand")
    assert topologies.get("kinect-v2").joints[20:] == (
        "chest", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb")
    assert topologies.get("azure-kinect").joints[26] == "head"
    whole, subset = topologies.get("coco-wholebody-133").joints, topologies.get("expressive-65").joints
    assert whole[:23] + whole[91:] == subset
    assert whole[:17] == topologies.get("coco-17").joints
    assert whole[91] == "left_hand_root" and whole[112] == "right_hand_root"


@pytest.mark.parametrize("name", SIZES)
def test_a_layout_survives_json(name: str) -> None:
    topology = topologies.get(name)
    assert Topology.from_dict(topology.to_dict()) == topology


def test_an_unknown_layout_lists_those_that_exist() -> None:
    with pytest.raises(UnknownChoice, match="coco-17.*did you mean 'kinect-v2'") as caught:
        topologies.get("kinect-v3")
    assert "smpl-24" in caught.value.choices


OWN = """
name = "stick"
pairs = [["hand_l", "hand_r"]]
joints = [
  { joint = "pelvis", parent = "" },
  { joint = "neck", parent = "pelvis", alias = "Neck1" },
  { joint = "hand_l", parent = "neck", part = "left_arm" },
  { joint = "finger_l", parent = "hand_l" },
  { joint = "hand_r", parent = "neck", part = "right_arm" },
]
"""


def test_a_users_own_layout(tmp_path: Path) -> None:
    file = tmp_path / "stick.toml"
    file.write_text(OWN)
    topology = topologies.load(file)
    assert topology == topologies.get(str(file))
    assert topology.parents == (-1, 0, 1, 2, 1)
    assert topology.pairs == ((2, 4),)
    assert topology.parts == {"torso": (0, 1), "left_arm": (2, 3), "right_arm": (4,)}  # finger_l as hand_l
    assert topology.aliases[1] == "Neck1"


@pytest.mark.parametrize(("change", "error", "says"), [
    (("name =", "name "), CorruptFile, "stick.toml"),
    (('parent = "neck", part = "left', 'parent = "nek", part = "left'), UnknownChoice, "did you mean 'neck'"),
    (('parent = "pelvis"', 'parent = "nek"'), UnknownChoice, "unknown parent of neck"),
    (('parent = "" ', 'parent = "hand_r" '), UsageError, "0 roots"),
    (('joint = "hand_r"', 'joint = "hand_l"'), UsageError, "named twice: hand_l"),
    (('part = "right_arm"', 'part = "right_leg_"'), UnknownChoice, "did you mean 'right_leg'"),
    (('"hand_l", "hand_r"]]', '"hand_l", "foot_r"]]'), CorruptFile, "foot_r"),
    (('joint = "pelvis"', 'joint = 3'), CorruptFile, "no text in 'joint'"),
    (('joints', 'points'), CorruptFile, "points"),
])
def test_a_wrong_layout_file_says_what_is_wrong(tmp_path: Path, change: tuple[str, str], error: type[Exception],
                                                says: str) -> None:
    file = tmp_path / "stick.toml"
    text = OWN.replace(*change)
    assert text != OWN
    file.write_text(text)
    with pytest.raises(error, match=says):
        topologies.load(file)


def test_a_layout_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CorruptFile, match="none.toml"):
        topologies.load(tmp_path / "none.toml")
