"""BVH files as programs write them: names, grammar, scales and axes. A person of 1.7 m in each, who is known by construction."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.data import ImportReport, Store, import_dataset
from edgeskel.data.importers.bvh_file import read_bvh
from edgeskel.errors import DataError, InvalidClip, UnknownChoice, UsageError
from edgeskel.skeleton import Clip

KINECT = topologies.get("kinect-v2")
# Ours -> metres from the joint before it, of the left side; the right is its mirror image.
ARM = {"collar": (0.05, 0.12, 0), "shoulder": (0.12, 0, 0), "elbow": (0.28, 0, 0), "wrist": (0.25, 0, 0)}
LEG = {"hip": (0.09, -0.05, 0), "knee": (0, -0.42, 0.01), "ankle": (0, -0.40, 0), "foot": (0, -0.06, 0.12)}


@dataclass
class Dialect:
    """How a program names joints: words for ours, and where the side goes."""

    pelvis: str
    trunk: list[str]
    neck: str
    head: str
    arm: list[str]
    leg: list[str]
    sides: tuple[str, str] = ("Left", "Right")
    name: str = "{side}{joint}"
    prefix: str = ""
    extra: dict[str, str] = field(default_factory=dict)  # our joint -> one that the program puts before it, at its place

    def sided(self, word: str, side: int) -> str:
        return self.prefix + self.name.format(side=self.sides[side], joint=word)


BY_BONE = (["Shoulder", "Arm", "ForeArm", "Hand"], ["UpLeg", "Leg", "Foot", "ToeBase"])
DIALECTS = {
    "mixamo": Dialect("Hips", ["Spine", "Spine1", "Spine2"], "Neck", "Head", *BY_BONE, prefix="mixamorig:"),
    "mixamo without a colon": Dialect("Hips", ["Spine", "Spine1", "Spine2"], "Neck", "Head", *BY_BONE, prefix="mixamorig"),
    "in lower case": Dialect("hips", ["spine", "spine1"], "neck", "head", [word.lower() for word in BY_BONE[0]],
                             [word.lower() for word in BY_BONE[1]], ("left", "right"), prefix="mixamorig"),
    "Xsens": Dialect("Hips", ["Chest", "Chest2", "Chest3", "Chest4"], "Neck", "Head",
                     ["Collar", "Shoulder", "Elbow", "Wrist"], ["Hip", "Knee", "Ankle", "Toe"]),
    "MVN segments": Dialect("Pelvis", ["L5", "L3", "T12", "T8"], "Neck", "Head",
                            ["Shoulder", "UpperArm", "ForeArm", "Hand"], ["UpperLeg", "LowerLeg", "Foot", "Toe"]),
    "Rokoko": Dialect("Hips", ["Spine", "Spine2", "Spine3", "Spine4"], "Neck", "Head", BY_BONE[0],
                      ["Thigh", "Shin", "Foot", "Toe"]),
    "3ds Max": Dialect("Bip01 Pelvis", ["Bip01 Spine", "Bip01 Spine1"], "Bip01 Neck", "Bip01 Head",
                       ["Clavicle", "UpperArm", "Forearm", "Hand"], ["Thigh", "Calf", "Foot", "Toe0"], ("L", "R"),
                       "Bip01 {side} {joint}"),
    "Blender": Dialect("hips", ["spine", "chest"], "neck", "head", ["shoulder", "upper_arm", "forearm", "hand"],
                       ["thigh", "shin", "foot", "toe"], ("L", "R"), "{joint}.{side}"),
    "Unreal": Dialect("pelvis", ["spine_01", "spine_02", "spine_03"], "neck_01", "head",
                      ["clavicle", "upperarm", "lowerarm", "hand"], ["thigh", "calf", "foot", "ball"], ("l", "r"),
                      "{joint}_{side}"),
    "Perception Neuron": Dialect("Hips", ["Spine", "Spine1", "Spine2"], "Neck", "Head", *BY_BONE, prefix="Robot_"),
    "CMU": Dialect("Hips", ["LowerBack", "Spine", "Spine1"], "Neck", "Head", *BY_BONE, extra={"hip": "HipJoint"}),
    "Daz": Dialect("hip", ["abdomen", "chest"], "neck", "head", ["Collar", "Shldr", "ForeArm", "Hand"],
                   ["Thigh", "Shin", "Foot", "Toe"], ("l", "r"), extra={"hip": "Buttock"}),
    "ASF": Dialect("root", ["lowerback", "upperback", "thorax"], "lowerneck", "head",
                   ["clavicle", "humerus", "radius", "wrist"], ["femur", "tibia", "foot", "toes"], ("l", "r"),
                   extra={"hip": "hipjoint"}),
    "SMPL": Dialect("Pelvis", ["Spine1", "Spine2", "Spine3"], "Neck", "Head", ["Collar", "Shoulder", "Elbow", "Wrist"],
                    ["Hip", "Knee", "Ankle", "Foot"], ("L", "R"), "{side}_{joint}", prefix="m_avg_"),
    "mocopi": Dialect("root", [f"torso_{i}" for i in range(1, 8)], "neck_1", "head",
                      ["shoulder", "up_arm", "low_arm", "hand"], ["up_leg", "low_leg", "foot", "toes"], ("l", "r"),
                      "{side}_{joint}"),
    "VRM": Dialect("C_Hips", ["C_Spine", "C_Chest", "C_UpperChest"], "C_Neck", "C_Head",
                   ["Shoulder", "UpperArm", "LowerArm", "Hand"], ["UpperLeg", "LowerLeg", "Foot", "ToeBase"], ("L", "R"),
                   "{side}_{joint}", prefix="J_Bip_"),
    "the side at the end": Dialect("Hips", ["Spine1", "Spine2", "Chest"], "Neck", "Head",
                                   ["Shoulder", "UpperArm", "LowerArm", "Hand"], ["Thigh", "Shin", "Foot", "Toe"],
                                   ("L", "R"), "{joint}_{side}"),
    "OptiTrack": Dialect("Hip", ["Ab", "Chest"], "Neck", "Head", ["Shoulder", "UArm", "FArm", "Hand"],
                         ["Thigh", "Shin", "Foot", "Toe"], ("L", "R")),
}


def rig(dialect: Dialect = DIALECTS["mixamo"], *, scale: float = 100.0, turn: Any = None, frames: int = 20,
        stage: bool = False) -> str:
    """BVH text of a person who stands and lifts the left forearm; ``turn`` (3, 3) brings our axes into the file's."""
    turn = np.eye(3) if turn is None else np.asarray(turn, float)
    lines: list[str] = ["HIERARCHY"]
    channels = 0

    def row(depth: int, text: str) -> None:
        lines.append("\t" * depth + text)

    def joint(name: str, offset: Any, children: list[Any], depth: int = 0) -> None:
        nonlocal channels
        row(depth, f"{'JOINT' if depth else 'ROOT'} {name}")
        row(depth, "{")
        row(depth + 1, "OFFSET " + " ".join(f"{value:.6f}" for value in turn @ np.asarray(offset, float) * scale))
        row(depth + 1, "CHANNELS 3 Zrotation Xrotation Yrotation" if depth else
            "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation")
        order.append(name)
        for child in children:
            joint(*child, depth + 1)
        if not children:
            row(depth + 1, "End Site")
            row(depth + 1, "{")
            row(depth + 2, "OFFSET " + " ".join(f"{value:.6f}" for value in turn @ np.array([0, -0.02, 0]) * scale))
            row(depth + 1, "}")
        row(depth, "}")

    def limb(side: int, words: list[str], offsets: dict[str, tuple[float, ...]]) -> Any:
        mirror = np.array([1 - 2 * side, 1, 1])
        built: list[Any] = []
        for word, (ours, offset) in reversed(list(zip(words, offsets.items(), strict=True))):
            built = [(dialect.sided(word, side), mirror * offset, built)]
            if ours in dialect.extra:
                built = [(dialect.sided(dialect.extra[ours], side), (0, 0, 0), built)]
        return built[0]

    order: list[str] = []
    top = [(dialect.prefix + dialect.neck, (0, 0.18, 0), [(dialect.prefix + dialect.head, (0, 0.1, 0), [])])]
    top += [limb(side, dialect.arm, ARM) for side in (0, 1)]
    for word in reversed(dialect.trunk):
        top = [(dialect.prefix + word, (0, 0.42 / len(dialect.trunk), 0), top)]
    children = [*top, *(limb(side, dialect.leg, LEG) for side in (0, 1))]
    pelvis = (dialect.prefix + dialect.pelvis, (2.0, 0, 4.0) if stage else (0, 0, 0), children)
    joint(*pelvis)
    rows = []
    elbow = order.index(dialect.sided(dialect.arm[2], 0))
    for frame in range(frames):
        values = [*(turn @ np.array([0.01 * frame, 0.95, 0]) * scale), *[0.0] * 3 * len(order)]
        axis = turn @ np.array([0, 0, 1.0])  # the forearm turns about our z
        at = int(np.abs(axis).argmax())
        channel = 3 + 3 * elbow + "zxy".index("xyz"[at])
        values[channel] = float(np.sign(axis[at])) * 80 * np.sin(frame / frames * np.pi)
        rows.append(" ".join(f"{value:.6f}" for value in values))
    return "\n".join([*lines, "MOTION", f"Frames: {frames}", "Frame Time: 0.0333333", *rows]) + "\n"


def imported(folder: Path, text: str, name: str = "wave/a.bvh", **options: Any) -> tuple[Clip, ImportReport]:
    file = folder / "set" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    options = {"unit": "cm", "topology": "kinect-v2", "strict": True, **options}
    report = import_dataset("bvh", folder / "set", folder / "store", **options)
    return Store.open(folder / "store")[0], report


def check_person(clip: Clip) -> None:
    """Who is in the clip is the rig's person, upright, with all joints but those of the fingers."""
    place = {name: clip.joints[0, :, joint].astype(float) for joint, name in enumerate(KINECT.joints)}
    seen = clip.confidence[0].min(axis=0)
    fingers = {"left_hand_tip", "right_hand_tip", "left_thumb", "right_thumb"}
    assert {name for name, sure in zip(KINECT.joints, seen, strict=True) if not sure} <= fingers

    def apart(first: str, second: str) -> Any:
        return np.linalg.norm(place[first] - place[second], axis=-1)

    np.testing.assert_allclose(apart("left_shoulder", "right_shoulder"), 0.34, atol=0.002)
    np.testing.assert_allclose(apart("left_shoulder", "left_elbow"), 0.28, atol=0.002)
    np.testing.assert_allclose(apart("left_elbow", "left_wrist"), 0.25, atol=0.002)
    np.testing.assert_allclose(apart("left_hip", "right_hip"), 0.18, atol=0.002)
    np.testing.assert_allclose(apart("right_knee", "right_ankle"), 0.40, atol=0.002)
    np.testing.assert_allclose(place["head"] - place["pelvis"], np.tile([0, 0.70, 0], (clip.frames, 1)), atol=0.002)
    assert np.allclose(place["chest"] - place["pelvis"], [0, 0.42, 0], atol=0.002)
    assert (place["left_shoulder"] - place["right_shoulder"])[:, 0].min() > 0.3
    assert ((place["left_foot"] - place["left_ankle"])[:, 2] > 0.1).all()
    lifted = (place["left_wrist"] - place["left_elbow"])[:, 1]
    assert lifted.max() > 0.23 and abs(lifted[0]) < 0.01


@pytest.mark.parametrize("name", DIALECTS)
def test_names_of_every_program_are_understood(tmp_path: Path, name: str) -> None:
    clip, _ = imported(tmp_path, rig(DIALECTS[name]))
    check_person(clip)


def test_a_collar_is_no_shoulder_and_what_is_not_understood_is_named(tmp_path: Path) -> None:
    strange = rig().replace("mixamorig:LeftForeArm", "mixamorig:LeftTentacle").replace("mixamorig:Head", "mixamorig:Orb")
    clip, report = imported(tmp_path, strange)
    told = " ".join(note.text for note in report.notes)
    assert "not understood and keep their own: mixamorig:Spine1, mixamorig:Orb, mixamorig:LeftTentacle" in told
    assert re.search(r"missing in every frame: .*left_elbow", told)
    shoulders = [clip.joints[0, 0, KINECT.index(f"{side}_shoulder")] for side in ("left", "right")]
    assert np.linalg.norm(shoulders[0] - shoulders[1]) == pytest.approx(0.34, abs=0.002)


def test_the_aliases_of_a_layout_of_ones_own_go_before_the_tables(tmp_path: Path) -> None:
    layout = tmp_path / "own.toml"
    rows = {"pelvis": ("", "mixamorig:Hips"), "head": ("pelvis", "mixamorig:Orb"), "left_elbow": ("pelvis", "mixamorig:Tentacle")}
    layout.write_text('name = "own"\njoints = [\n' + "".join(
        f'{{ joint = "{joint}", parent = "{parent}", alias = "{alias}" }},\n' for joint, (parent, alias) in rows.items()) + "]\n")
    text = rig().replace("mixamorig:LeftForeArm", "mixamorig:Tentacle").replace("mixamorig:Head", "mixamorig:Orb")
    clip, _ = imported(tmp_path, text, topology=str(layout))
    assert (clip.confidence == 1).all()
    np.testing.assert_allclose(clip.joints[0, :, 1] - clip.joints[0, :, 0], np.tile([0, 0.7, 0], (20, 1)), atol=0.002)


@pytest.mark.parametrize(("scale", "unit"), [(1, "m"), (100, "cm"), (1000, "mm"), (39.37, "inch"), (17.716, "0.056444"),
                                             (10, "0.1")])
def test_scales(tmp_path: Path, scale: float, unit: str) -> None:
    check_person(imported(tmp_path, rig(scale=scale), unit=unit)[0])


@pytest.mark.parametrize(("scale", "unit", "says"), [
    (17.716, "cm", r"a person of 0.288 m with unit cm; expected 0.8 to 2.5 m; .*0.056444 would fit"),
    (17.716, "inch", "a person of 0.7"),
    (30, "cm", "a person of 0.487 m"),
    (100, "inch", "a person of 4.* cm would fit"),
    (1, "cm", "m would fit"),
    (5, "m", r"as metres of one unit; about 0.2\d* makes a person of 1.7 m"),
])
def test_a_scale_that_makes_no_person_is_refused_with_what_would_fit(tmp_path: Path, scale: float, unit: str,
                                                                     says: str) -> None:
    with pytest.raises(InvalidClip, match=says):
        imported(tmp_path, rig(scale=scale), unit=unit)


@pytest.mark.parametrize("unit", ["0", "-0.01", "nan", "1e9"])
def test_a_unit_is_a_positive_number(tmp_path: Path, unit: str) -> None:
    with pytest.raises(UsageError, match="--unit"):
        imported(tmp_path, rig(), unit=unit)


def test_the_size_is_that_of_the_person_in_motion(tmp_path: Path) -> None:
    """Position channels override the offset: a place on the stage does not make a giant."""
    check_person(imported(tmp_path, rig(stage=True))[0])
    nested = rig().replace("ROOT mixamorig:Hips", "ROOT Stage\n{\nOFFSET 300 0 450\nCHANNELS 0\nJOINT mixamorig:Hips", 1)
    check_person(imported(tmp_path, nested.replace("MOTION", "}\nMOTION", 1))[0])


TURNS = {"x": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]], "z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
         "-y": [[1, 0, 0], [0, -1, 0], [0, 0, -1]], "-z": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
         "-x": [[0, -1, 0], [1, 0, 0], [0, 0, 1]]}


@pytest.mark.parametrize("up", TURNS)
def test_another_axis_that_points_up_is_noticed_and_can_be_said(tmp_path: Path, up: str) -> None:
    text = rig(turn=TURNS[up])
    with pytest.raises(InvalidClip, match=f"people stand along {up}, not along y.*--up[ =]{up}, or --up y"):
        imported(tmp_path, text)
    check_person(imported(tmp_path, text, up=up)[0])
    lying = imported(tmp_path, text, up="y")[0]
    assert (lying.confidence > 0).any()
    with pytest.raises(UnknownChoice, match="axis that points up"):
        imported(tmp_path, text, up="w")


def test_who_stands_up_in_a_clip_was_not_lying_in_another_axis(tmp_path: Path) -> None:
    """Lying for most of a clip is an action."""
    lines = rig(frames=40).splitlines()
    first = lines.index("MOTION") + 3
    for at in range(first, first + 30):
        values = lines[at].split()
        values[4] = "-90"  # the root turns about x
        lines[at] = " ".join(values)
    assert imported(tmp_path, "\n".join(lines))[0].frames == 40


def with_row(text: str, more: int) -> str:
    return text + text.splitlines()[-1] + "\n" if more > 0 else "\n".join(text.splitlines()[:-1]) + "\n"


@pytest.mark.parametrize("spelling", [
    lambda text: text.replace("End Site", "End site"),
    lambda text: text.replace("End Site", "END SITE"),
    lambda text: re.sub(r"[XYZ](?=position)|[XYZ](?=rotation)", lambda m: m[0].lower(), text),
    lambda text: text.replace("position", "Position").replace("rotation", "Rotation"),
    lambda text: text.replace("Frames:", "FRAMES:").replace("Frame Time:", "Frame time:"),
    lambda text: text.replace("Frames: ", "Frames:").replace("Frame Time: ", "Frame Time:"),
    lambda text: text.replace("HIERARCHY", "Hierarchy").replace("MOTION", "Motion"),
    lambda text: text.replace("ROOT", "Root").replace("JOINT", "Joint").replace("OFFSET", "Offset"),
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("\n{", " {").replace("\t", "  "),
    lambda text: text.replace("Hips", "Hüfte Hips"),
    lambda text: text.replace("\t", ""),
])
def test_spellings(tmp_path: Path, spelling: Callable[[str], str]) -> None:
    changed = spelling(rig())
    assert changed != rig()
    np.testing.assert_allclose(read(tmp_path, changed), read(tmp_path, rig()))


def read(folder: Path, text: str, encoding: str = "latin-1") -> Any:
    (folder / "a.bvh").write_bytes(text.encode(encoding))
    return read_bvh(folder / "a.bvh").positions()


def test_names_hold_spaces_and_the_ending_may_be_in_capitals(tmp_path: Path) -> None:
    check_person(imported(tmp_path, rig(DIALECTS["3ds Max"]), "wave/A.BVH")[0])
    assert read_bvh(tmp_path / "set/wave/A.BVH").names[:3] == ("Bip01 Pelvis", "Bip01 Spine", "Bip01 Spine1")


@pytest.mark.parametrize("more", [1, -1])
def test_one_row_more_or_less_than_stated_is_taken_and_said(tmp_path: Path, more: int) -> None:
    clip, report = imported(tmp_path, with_row(rig(), more))
    assert clip.frames == 20 + more
    assert (f"Frames: 20, {20 + more} rows",) in [note.details for note in report.notes]
    with pytest.raises(DataError, match="numbers for 20 frames"):
        imported(tmp_path, with_row(with_row(rig(), more), more))
    with pytest.raises(DataError, match="numbers for 20 frames"):
        imported(tmp_path, rig()[:-40])  # the last row is cut
