"""The BVH reader: geometry that is known by construction, a real recording, and broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.data import Store, import_dataset
from edgeskel.data.importers.bvh_file import read_bvh
from edgeskel.data.importers.bvh_names import layout
from edgeskel.errors import CorruptFile, DataError, InvalidClip, TopologyMismatch, UnknownChoice, UsageError

ARM = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT LeftArm
  {
    OFFSET 10 40 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT LeftForeArm
    {
      OFFSET 30 0 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      { OFFSET 25 0 0 }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
1 2 3  0 0 0  0 0 0  0 0 0
1 2 3  0 0 90  90 0 0  0 0 -90
"""


def written(path: Path, text: str = ARM) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_forward_kinematics_by_hand(tmp_path: Path) -> None:
    bvh = read_bvh(written(tmp_path / "arm.bvh"))
    assert bvh.names == ("Hips", "LeftArm", "LeftForeArm", "LeftForeArm_end")
    positions = bvh.positions()
    np.testing.assert_allclose(positions[0], [[1, 2, 3], [11, 42, 3], [41, 42, 3], [66, 42, 3]], atol=1e-9)
    # The root turns a quarter about y: x -> -z. The arm lifts a quarter about z: x -> y. The forearm about y: x -> z,
    # which the arm leaves alone and the root turns to x.
    np.testing.assert_allclose(positions[1], [[1, 2, 3], [1, 42, -7], [1, 72, -7], [26, 72, -7]], atol=1e-9)


@settings(max_examples=30)
@given(values=st.lists(st.floats(-720, 720), min_size=12, max_size=12))
def test_bones_keep_their_length_whatever_the_angles(tmp_path_factory: pytest.TempPathFactory,
                                                     values: list[float]) -> None:
    head = ARM[:ARM.index("MOTION")]
    text = f"{head}MOTION\nFrames: 1\nFrame Time: 0.01\n{' '.join(map(repr, values))}\n"
    positions = read_bvh(written(tmp_path_factory.mktemp("bvh") / "a.bvh", text)).positions()[0]
    lengths = np.linalg.norm(np.diff(positions, axis=0), axis=-1)
    np.testing.assert_allclose(lengths, [np.hypot(10, 40), 30, 25], rtol=1e-9)


def test_a_real_recording(datasets: Path, tmp_path: Path) -> None:
    folder = datasets / "imu-vicon-gait" / "sample" / "xsens"
    report = import_dataset("bvh", folder, tmp_path / "store", unit="mm", label="walk", topology="kinect-v1")
    assert report.clips == 1
    store = Store.open(tmp_path / "store")
    clip = store[0]
    assert (store.rate_hz, clip.frames, clip.label) == (100, 2503, "walk")
    assert (clip.confidence == 1).all()
    height = {joint: float(np.median(clip.joints[0, :, i, 1])) for i, joint in enumerate(store.topology.joints)}
    assert 1.4 < height["head"] < 1.7 and 0.9 < height["pelvis"] < 1.05
    assert height["head"] > height["neck"] > height["spine"] > height["pelvis"] > height["left_knee"] > 0.3
    # Walking, the body faces where it goes: left x up is forward.
    left, right, neck, pelvis = (store.topology.index(joint) for joint in ("left_hip", "right_hip", "neck", "pelvis"))
    body = clip.joints[0]
    forward = np.cross(body[:, left] - body[:, right], body[:, neck] - body[:, pelvis])
    step = np.gradient(body[:, pelvis], axis=0)
    fast = np.linalg.norm(step, axis=-1) > 0.005
    assert np.mean((forward * step).sum(-1)[fast] > 0) > 0.9


def test_own_names_become_ours_and_both_families_are_known(tmp_path: Path, datasets: Path) -> None:
    folder = datasets / "imu-vicon-gait" / "sample" / "xsens"
    import_dataset("bvh", folder, tmp_path / "store", unit="mm", label="walk")
    topology = Store.open(tmp_path / "store").topology
    assert topology.joints[topology.aliases.index("LeftShoulder")] == "left_shoulder"  # named by joint
    assert topology.joints[topology.aliases.index("LeftCollar")] == "left_collar"
    assert len(topology.pairs) >= 8
    import_dataset("bvh", written(tmp_path / "arm" / "arm.bvh").parent, tmp_path / "other", unit="cm")
    topology = Store.open(tmp_path / "other").topology
    assert topology.joints == ("pelvis", "left_shoulder", "left_elbow", "LeftForeArm_end")  # named by bone
    assert topology.parts["left_arm"] == (1, 2, 3)
    assert Store.open(tmp_path / "other").labels == ("arm",)


def test_files_with_two_hierarchies_need_a_layout(tmp_path: Path) -> None:
    written(tmp_path / "set" / "a.bvh")
    written(tmp_path / "set" / "b.bvh", ARM.replace("LeftForeArm", "LeftHand"))
    with pytest.raises(TopologyMismatch, match="--topology"):
        import_dataset("bvh", tmp_path / "set", tmp_path / "store", unit="cm", strict=True)
    assert not (tmp_path / "store").exists()
    assert import_dataset("bvh", tmp_path / "set", tmp_path / "store", unit="cm", topology="imu-17").clips == 2
    assert Store.open(tmp_path / "store").topology == topologies.get("imu-17")


def test_the_unit_has_to_be_said_and_to_be_plausible(tmp_path: Path) -> None:
    folder = written(tmp_path / "set" / "a.bvh").parent
    with pytest.raises(UsageError, match="--unit"):
        import_dataset("bvh", folder, tmp_path / "store")
    with pytest.raises(UnknownChoice, match="did you mean 'inch'"):
        import_dataset("bvh", folder, tmp_path / "store", unit="inches")
    with pytest.raises(InvalidClip, match="55 m with unit m.*cm or inch or 0.056444 would fit"):
        import_dataset("bvh", folder, tmp_path / "store", unit="m", strict=True)


@pytest.mark.parametrize(("change", "says"), [
    (("HIERARCHY", "SKELETON"), "SKELETON"),
    (("MOTION", "NOTION"), "no MOTION"),
    (("OFFSET 30 0 0", "OFFSET 30 0"), "offset 'CHANNELS'"),
    (("OFFSET 30 0 0", "OFFSET nan 0 0"), "offset 'nan'"),
    (("Yposition", "Wposition"), "channel 'Wposition'"),
    (("CHANNELS 6", "CHANNELS 600"), "600"),
    (("CHANNELS 6", "CHANNELS ²"), "'²' channels; expected 0 to 6"),
    (("CHANNELS 6", "CHANNELS " + "6" * 5000), "'6+' channels"),
    (("JOINT LeftForeArm", "JOINT LeftArm"), "two joints named LeftArm"),
    (("Frames: 2", "Frames: 4"), "24 numbers for 4 frames of 12"),
    (("Frame Time: 0.04", "Frame Time: 0"), "2 frames of 0.0 s"),
    (("90 0 0", "90 x 0"), "x"),
    (("{ OFFSET 25 0 0 }", "{ OFFSET 25 0 0"), "too early"),
])
def test_broken_files_are_named(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in ARM
    with pytest.raises(CorruptFile, match=says) as caught:
        read_bvh(written(tmp_path / "broken.bvh", ARM.replace(*change, 1)))
    assert "broken.bvh" in str(caught.value)


@pytest.mark.parametrize("number", ["²", "٣", "0" * 5000, "1" * 5000])
def test_numbers_in_names_are_names(tmp_path: Path, number: str) -> None:
    """A name's number, of whatever digits, is no number that has to be read."""
    names = ("Hips", "LeftUpLeg", "LeftLeg", f"Spine{number}")
    assert layout(names, (-1, 0, 1, 0), "mine").joints[:2] == ("pelvis", "left_hip")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    for cut in range(0, len(ARM) - 6, 17):
        with pytest.raises(DataError):
            read_bvh(written(tmp_path / "cut.bvh", ARM[:cut]))
    with pytest.raises(CorruptFile):
        read_bvh(tmp_path / "absent.bvh")


def test_joints_that_are_not_numbers_are_refused_or_missing(tmp_path: Path) -> None:
    folder = written(tmp_path / "set" / "a.bvh", ARM.replace("1 2 3  0 0 90", "1 nan 3  0 0 90")).parent
    with pytest.raises(InvalidClip, match="4 of 8 joints, in 1 of 2 frames.*--missing-nan"):
        import_dataset("bvh", folder, tmp_path / "store", unit="cm", strict=True)
    import_dataset("bvh", folder, tmp_path / "store", unit="cm", missing_nan=True)
    assert Store.open(tmp_path / "store")[0].confidence.tolist() == [[[1] * 4, [0] * 4]]
    assert np.isnan(read_bvh(written(tmp_path / "ind.bvh", ARM.replace("1 2 3  0 0 90", "1 -1.#IND 3  0 0 90"))).motion[1, 1])


def test_a_byte_order_mark_in_front_is_no_word(tmp_path: Path) -> None:
    file = written(tmp_path / "set" / "a.bvh")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_bvh(file).names[0] == read_bvh(written(tmp_path / "plain.bvh")).names[0]


def test_the_first_whole_file_gives_the_layout_when_an_earlier_one_is_damaged(tmp_path: Path) -> None:
    written(tmp_path / "set" / "a.bvh", ARM[:100])
    written(tmp_path / "set" / "b.bvh")
    report = import_dataset("bvh", tmp_path / "set", tmp_path / "store", unit="cm")
    assert report.clips == 1 and [source for source, _ in report.refused] == ["a.bvh"]
