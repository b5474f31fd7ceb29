"""Which of the bodies that a tracker reports are persons who act: on generated motion with phantoms added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.data import Store, StoreWriter, import_dataset, synthetic
from edgeskel.data.bodies import acting, follow, persons_of
from edgeskel.skeleton import Clip
from edgeskel.window import activity, fit_window
from tests.data.test_ntu import write

Array = np.ndarray[Any, Any]


def actor(action: str = "wave", seed: int = 0) -> Array:
    """(T, V, 3) of somebody who acts."""
    made = synthetic.clip(action, synthetic.SyntheticBody(), synthetic.Style(), np.random.default_rng(seed),
                          camera=synthetic.Camera(noise=0), sensors=())
    return made.joints[0]


def phantom(body: Array, *, sway: float = 0.0, noise: float = 0.0, at: float = 1.2) -> Array:
    """The body's first pose, beside it, for as long; it may sway slowly and shake."""
    random = np.random.default_rng(7)
    moved = body[:1] + np.float32([at, 0, 0.3]) + random.normal(scale=noise, size=body.shape)
    return (moved + sway * np.sin(np.linspace(0, 4, len(body)))[:, None, None]).astype(np.float32)


def together(*bodies: tuple[Array, Array]) -> tuple[Array, Array]:
    """Joints and confidence of bodies given as (joints, frames in which they are tracked)."""
    joints = np.stack([body for body, _ in bodies])
    confidence = np.stack([np.repeat(seen[:, None], body.shape[1], 1) for body, seen in bodies]).astype(np.float32)
    return np.where(confidence[..., None] > 0, joints, 0).astype(np.float32), confidence


def during(frames: int, start: float = 0.0, end: float = 1.0) -> Array:
    at = np.arange(frames) / frames
    return (at >= start) & (at < end)


@pytest.mark.parametrize("action", ["wave", "kick", "answer phone", "walk", "sit down"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("sway", "noise"), [(0.0, 0.0), (0.01, 0.004), (0.0, 0.015)])
def test_one_window_holds_who_acts_not_who_is_tracked_best(action: str, first: bool, sway: float, noise: float) -> None:
    body = actor(action)
    pair = [(phantom(body, sway=sway, noise=noise), during(len(body))), (body, during(len(body), 0, 0.77))]
    joints, confidence = together(*(pair if first else pair[::-1]))
    window, seen = fit_window(joints, confidence, 1, 64)
    expected, expected_seen = fit_window(*together(pair[1]), 1, 64)
    np.testing.assert_array_equal(window, expected)
    np.testing.assert_array_equal(seen, expected_seen)


def test_among_still_bodies_the_best_seen_one_counts() -> None:
    pose = np.repeat(actor()[:1], 40, axis=0)
    joints, confidence = together((pose, during(40, 0, 0.5)), (pose + np.float32(1), during(40)))
    np.testing.assert_array_equal(fit_window(joints, confidence, 1, 40)[0][0], joints[1])


@settings(max_examples=10, deadline=None)
@given(shift=st.tuples(*[st.floats(-3, 3)] * 3), gaps=st.floats(0, 0.3), seed=st.integers(0, 99))
def test_activity_is_of_the_motion_alone(shift: tuple[float, ...], gaps: float, seed: int) -> None:
    body = actor()
    random = np.random.default_rng(seed)
    confidence = (random.random((1, *body.shape[:2])) >= gaps).astype(np.float32)
    junk = np.where(confidence[..., None] > 0, body[None] + np.float32(shift), np.float32(random.normal(scale=50)))
    whole = activity(body[None], np.ones_like(confidence))[0]
    assert activity(junk, confidence)[0] == pytest.approx(whole, rel=0.2)
    assert activity(np.repeat(junk[:, :1], 40, axis=1), np.ones((1, 40, body.shape[1]), np.float32))[0] < 1e-5


def test_ids_that_go_on_with_one_another_are_one_person() -> None:
    body = actor("kick")
    time = np.arange(len(body)) / 30
    joints, confidence = together((phantom(body), during(len(body))), (body, during(len(body), 0, 0.4)),
                                  (body, during(len(body), 0.4, 0.7)), (body, during(len(body), 0.8, 1)))
    tracks, trust = follow(joints, confidence, time)
    assert tracks.shape[0] == 2
    np.testing.assert_array_equal(trust[1, :, 0], during(len(body), 0, 0.7) | during(len(body), 0.8, 1))
    np.testing.assert_array_equal(tracks[1][trust[1] > 0], body[trust[1] > 0])


def test_ids_that_overlap_while_the_tracker_changes_over_are_one_person() -> None:
    body = actor("wave")
    frames = len(body)
    joints, confidence = together((body, np.arange(frames) < 33), (body, np.arange(frames) >= 30))
    tracks, trust = follow(joints, confidence, np.arange(frames) / 30)
    assert tracks.shape[0] == 1 and (trust == 1).all()
    np.testing.assert_array_equal(tracks[0], body)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_ids_that_two_bodies_exchange_are_put_right(at: float) -> None:
    first, second = actor("wave"), phantom(actor("wave"))
    late = during(len(first), at)[:, None, None]
    whole = during(len(first))
    joints, confidence = together((np.where(late, second, first), whole), (np.where(late, first, second), whole))
    tracks, _ = follow(joints, confidence, np.arange(len(first)) / 30)
    np.testing.assert_array_equal(tracks, np.stack([first, second]))


@settings(max_examples=10, deadline=None)
@given(distance=st.floats(0.4, 2), seed=st.integers(0, 50), cut=st.floats(0, 0.5))
def test_whole_tracks_of_two_persons_stay_as_they_are(distance: float, seed: int, cut: float) -> None:
    first, second = actor("wave", seed), actor("kick", seed + 1) + np.float32([distance, 0, 0])
    frames = min(len(first), len(second))
    joints, confidence = together((first[:frames], during(frames)), (second[:frames], during(frames, cut)))
    tracks, trust = follow(joints, confidence, np.arange(frames) / 30)
    assert tracks is joints and trust is confidence


def ntu_file(folder: Path, bodies: list[tuple[Array, Array]], action: int = 1, ids: list[str] | None = None) -> None:
    """Bodies of kinect-v1 as 25 joints of an NTU file."""
    ids = ids or [str(i) for i in range(len(bodies))]
    wide = [np.concatenate([np.concatenate([body, body[:, :5]], axis=1), np.full((len(body), 25, 1), 2)], axis=2)
            for body, _ in bodies]
    frames = [{identity: body[t] for identity, body, (_, seen) in zip(ids, wide, bodies, strict=True) if seen[t]}
              for t in range(len(wide[0]))]
    write(folder / f"S001C001P001R001A{action:03d}.skeleton", frames)


def test_an_import_leaves_phantoms_out_and_names_them(tmp_path: Path) -> None:
    body = actor("kick")
    whole = during(len(body))
    flicker = [(phantom(body, at=2.0 + i), (np.arange(len(body)) // 4) == 2 * i) for i in range(3)]
    ntu_file(tmp_path / "ntu", [(phantom(body), whole), (body, during(len(body), 0, 0.5)), (body, during(len(body), 0.5)),
                                *flicker])
    report = import_dataset("ntu", tmp_path / "ntu", tmp_path / "store")
    (clip,) = Store.open(tmp_path / "store")
    assert clip.joints.shape[0] == 1 and (clip.confidence == 1).all()
    np.testing.assert_allclose(clip.joints[0, :, :20], body, atol=1e-5)
    told = {note.text: note.details for note in report.notes}
    assert told["tracking ids that go on with one another are one person (--bodies all keeps them apart)"] == (
        "6 ids, 5 bodies",)
    assert told["bodies that are no person who acts are left out (--bodies all keeps them)"] == (
        "4 of 5: 1 because it stands still while another body moves; 3 because it is seen in few frames",)
    import_dataset("ntu", tmp_path / "ntu", tmp_path / "all", bodies="all")
    assert Store.open(tmp_path / "all")[0].joints.shape[0] == 6


def test_who_stands_by_in_a_mutual_action_stays(tmp_path: Path) -> None:
    body = actor("kick")
    bodies = [(phantom(body, sway=0.01), during(len(body))), (body, during(len(body)))]
    for action, persons in ((50, 2), (106, 2), (49, 1), (61, 1)):
        ntu_file(tmp_path / str(action), bodies, action)
        import_dataset("ntu", tmp_path / str(action), tmp_path / f"{action}.store")
        clip = Store.open(tmp_path / f"{action}.store")[0]
        assert clip.joints.shape[0] == persons
        np.testing.assert_allclose(clip.joints[0, :, :20], body, atol=1e-5)  # who moves is first


def test_the_reasons_are_those_of_the_bodies() -> None:
    body = actor("jump")
    joints, confidence = together((body, during(len(body), 0, 0.1)), (phantom(body), during(len(body))),
                                  (body, during(len(body))), (body, np.zeros(len(body), bool)))
    assert acting(joints, confidence, most=1, strict=True) == (
        [2], ["it is seen in few frames", "it stands still while another body moves", "it is never seen"])


def store_of(folder: Path, persons: list[tuple[str, int]]) -> Store:
    body = actor()[:12]
    with StoreWriter(folder, dataset="mine", topology=topologies.get("kinect-v1"), labels=("a", "b"), rate_hz=30) as writer:
        for at, (label, count) in enumerate(persons):
            joints = np.repeat(body[None], count, axis=0)
            writer.add(Clip(joints, np.ones(joints.shape[:3], np.float32), np.arange(12) / 30, label=label, source=str(at)))
    return Store.open(folder)


@pytest.mark.parametrize(("persons", "expected"), [
    ([("a", 6), *[("a", 1)] * 3, *[("b", 1)] * 4], 1),  # one clip with phantoms
    ([*[("a", 1)] * 9, *[("b", 2)] * 3], 2),  # a class of two persons among others of one
    ([("a", 2)] * 4, 2),
    ([("a", 3)], 3),
])
def test_one_odd_clip_does_not_say_how_many_persons_there_are(tmp_path: Path, persons: list[tuple[str, int]],
                                                              expected: int) -> None:
    assert persons_of(store_of(tmp_path / "store", persons)) == expected
