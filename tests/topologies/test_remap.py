"""From one layout to another, by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.data import Store
from edgeskel.errors import TopologyMismatch
from edgeskel.skeleton import Frame, Topology
from edgeskel.topologies.remap import DERIVED, Remap, converter, remap_clip

NAMES = st.sampled_from(topologies.names())


def body(topology: Topology, seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    shape = (2, 4, len(topology.joints))
    return (random.normal(size=(*shape, 3)).astype(np.float32),
            random.choice([0, 0.5, 1], size=shape).astype(np.float32))


@settings(max_examples=60)
@given(source=NAMES, target=NAMES, seed=st.integers(0, 99))
def test_the_rule_joint_by_joint(source: str, target: str, seed: int) -> None:
    one, other = topologies.get(source), topologies.get(target)
    remap = Remap.between(one, other)
    joints, confidence = body(one, seed)
    mapped, trust = remap(joints, confidence)
    assert set(remap.exact) | set(remap.derived) | set(remap.missing) == set(other.joints)
    for joint in remap.exact:
        seen = confidence[..., one.index(joint)] > 0
        assert np.array_equal(trust[..., other.index(joint)], confidence[..., one.index(joint)])
        assert np.array_equal(mapped[..., other.index(joint), :][seen], joints[..., one.index(joint), :][seen])
    for joint, names in remap.derived.items():
        sources = [one.index(name) for name in names]
        assert np.array_equal(trust[..., other.index(joint)], confidence[..., sources].min(-1))
        seen = trust[..., other.index(joint)] > 0
        np.testing.assert_allclose(mapped[..., other.index(joint), :][seen], joints[..., sources, :].mean(-2)[seen],
                                   atol=1e-6)
    for joint in remap.missing:
        assert not trust[..., other.index(joint)].any()


@settings(max_examples=40)
@given(source=NAMES, target=NAMES, seed=st.integers(0, 99))
def test_mirroring_before_and_after_is_the_same(source: str, target: str, seed: int) -> None:
    one, other = topologies.get(source), topologies.get(target)
    remap = Remap.between(one, other)
    joints, confidence = body(one, seed)
    mapped, trust = remap(joints, confidence)
    mirrored, mirrored_trust = remap(joints[..., one.mirror, :], confidence[..., one.mirror])
    np.testing.assert_allclose(mirrored, mapped[..., other.mirror, :], atol=1e-6)
    assert np.array_equal(mirrored_trust, trust[..., other.mirror])


@pytest.mark.parametrize("name", topologies.names())
def test_to_itself_changes_nothing(name: str) -> None:
    topology = topologies.get(name)
    assert Remap.between(topology, topology).exact == topology.joints


@pytest.mark.parametrize("source", topologies.names())
@pytest.mark.parametrize("target", ["kinect-v1", "sbu-15", "coco-17", "smpl-24"])
def test_a_body_keeps_its_limbs(source: str, target: str) -> None:
    missing = Remap.between(topologies.get(source), topologies.get(target)).missing
    assert not [joint for joint in missing if "eye" not in joint and "ear" not in joint], (source, missing)


def test_every_joint_that_is_derived_from_or_to_exists_in_some_layout() -> None:
    known = {joint for name in topologies.names() for joint in topologies.get(name).joints}
    assert set(DERIVED) <= known
    assert {name for recipes in DERIVED.values() for recipe in recipes for name in recipe} <= known


def test_a_real_body_stays_a_body(utd_store: Store) -> None:
    clip = utd_store[0]
    there = remap_clip(clip, utd_store.topology, topologies.get("coco-17"))
    back = remap_clip(there, topologies.get("coco-17"), utd_store.topology)
    assert back.label == clip.label and back.frames == clip.frames
    kept = [joint for joint in range(20) if joint != utd_store.topology.index("head")]  # no ears, so no head
    assert (back.confidence[..., kept] == 1).all()
    apart = np.linalg.norm(back.joints - clip.joints, axis=-1)[..., kept]  # metres: wrists stand for hands and so on
    assert apart.max() < 0.4 and np.median(apart) < 0.1


def test_layouts_with_nothing_in_common_and_wrong_joint_counts_are_refused() -> None:
    odd = Topology("odd", ("a", "b"), (-1, 0))
    with pytest.raises(TopologyMismatch, match="no joint of sbu-15"):
        Remap.between(odd, topologies.get("sbu-15"))
    with pytest.raises(TopologyMismatch, match="kinect-v1"):
        Remap.between(topologies.get("kinect-v1"), topologies.get("sbu-15"))(
            np.zeros((1, 2, 15, 3), np.float32), np.ones((1, 2, 15), np.float32))


def test_live_frames_of_another_layout_are_mapped_by_name_or_refused() -> None:
    kinect_v2, kinect_v1 = topologies.get("kinect-v2"), topologies.get("kinect-v1")
    frame = Frame(1.5, np.random.default_rng(0).normal(size=(2, 25, 3)).astype(np.float32), np.ones((2, 25), np.float32))
    said: list[str] = []
    mapped = converter(kinect_v2, kinect_v1, said.append)(frame)
    assert mapped.time == 1.5 and mapped.joints.shape == (2, 20, 3)
    wrists = mapped.joints[:, kinect_v1.index("left_wrist")], frame.joints[:, kinect_v2.index("left_wrist")]
    np.testing.assert_array_equal(*wrists)
    assert len(said) == 1 and "kinect-v2 is mapped to kinect-v1" in said[0]
    assert converter(kinect_v2, kinect_v2, said.append)(frame) is frame and len(said) == 1
    with pytest.raises(TopologyMismatch, match="trained on sbu-15"):
        converter(topologies.get("sbu-15"), topologies.get("coco-wholebody-133"))
