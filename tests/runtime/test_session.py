"""What a session does with live frames, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.errors import InvalidClip, TopologyMismatch
from edgeskel.runtime.tracking import Slots
from edgeskel.skeleton import Frame

BODY = np.random.default_rng(1).normal(scale=0.3, size=(20, 3)).astype(np.float32)


def frame(time: float, *places: float, joints: int = 20) -> Frame:
    """Bodies standing at x = each place."""
    bodies = (
        np.stack([BODY[:joints] + np.array([x, 0, 0], np.float32) for x in places])
        if places
        else np.zeros((0, joints, 3))
    )
    return Frame(time, bodies.astype(np.float32), np.ones(bodies.shape[:2], np.float32))


def waving(start: float, seconds: float, *places: float) -> list[Frame]:
    """Bodies whose hands swing, twice a second and 0.4 m to either side, at 30 frames per second."""
    frames = []
    for time in start + np.arange(round(30 * seconds)) / 30:
        one = frame(float(time), *places)
        one.joints[:, [7, 11], 0] += np.float32(0.4 * np.sin(4 * np.pi * time))
        frames.append(one)
    return frames


def test_motion_is_recognised_every_hop_from_its_beginning_on(make_session: Callable[..., Any]) -> None:
    session = make_session(hop=4, frames=64)
    for item in waving(0.0, 2.0, 0.0):
        session.step(item)
    seen = [confidence[0, 0].any(axis=-1) for _, confidence in session.engine.windows]
    lengths = [int(part.sum()) for part in seen]
    assert len(lengths) >= 8 and set(np.diff(lengths)) == {4}
    assert all(part[:length].all() for part, length in zip(seen, lengths, strict=True))  # the rest is missing, not invented


def test_nobody_there_is_no_recognition(make_session: Callable[..., Any]) -> None:
    session = make_session()
    assert [session.step(frame(i / 30)) for i in range(90)] == [[]] * 90
    assert not session.engine.windows


def test_who_stands_still_costs_no_recognition(make_session: Callable[..., Any]) -> None:
    session = make_session()
    assert [session.step(frame(i / 30, 0.0)) for i in range(90)] == [[]] * 90
    assert not session.engine.windows


def test_clips_are_checked_and_fitted(make_session: Callable[..., Any]) -> None:
    session = make_session(frames=32)
    assert session.recognise(np.repeat(BODY[None, None], 1, axis=1)).probability > 0  # one frame
    session.recognise(np.repeat(BODY[None, None], 500, axis=1))
    assert [window[0].shape for window in session.engine.windows] == [(1, 1, 32, 20, 3)] * 2
    with pytest.raises(InvalidClip, match="hold nothing"):
        session.recognise(np.zeros((1, 0, 20, 3)))
    with pytest.raises(InvalidClip, match="every joint is missing"):
        session.recognise(np.zeros((1, 5, 20, 3)), np.zeros((1, 5, 20)))
    with pytest.raises(TopologyMismatch, match="25 joints"):
        session.recognise(np.zeros((1, 5, 25, 3)))


def test_a_source_of_another_layout_is_refused(make_session: Callable[..., Any]) -> None:
    session = make_session()
    session.check_topology(topologies.get("kinect-v1"))
    with pytest.raises(TopologyMismatch, match="25 joints of kinect-v2"):
        session.check_topology(topologies.get("kinect-v2"))


def test_persons_keep_their_slots_when_the_source_swaps_them() -> None:
    slots = Slots(2, topologies.get("kinect-v1"))
    for i in range(30):
        order = (0.0, 1.5) if i % 2 else (1.5, 0.0)
        placed, fresh = slots.assign(frame(i / 30, *order))
        assert placed.joints[0, 0, 0] - BODY[0, 0] == pytest.approx(1.5, abs=1e-5)
        assert fresh.all() == (i == 0)


def test_a_passer_by_does_not_take_the_slot_of_who_is_tracked() -> None:
    slots = Slots(1, topologies.get("kinect-v1"))
    slots.assign(frame(0.0, 0.0))
    placed, _ = slots.assign(frame(0.1, 3.0, 0.05))
    assert placed.joints[0, 0, 0] - BODY[0, 0] == pytest.approx(0.05, abs=1e-5)
    placed, _ = slots.assign(frame(0.2, 3.0))
    assert not placed.confidence.any()  # the tracked person is hidden; the other one is not that person
    placed, fresh = slots.assign(frame(1.5, 3.0))  # gone for more than a second
    assert placed.confidence.all() and fresh.all()


def test_who_comes_new_is_not_mixed_with_who_left(make_session: Callable[..., Any]) -> None:
    session = make_session(hop=1, frames=64)
    for item in [*waving(0.0, 1.5, 0.0), *waving(2.7, 1.5, 3.0)]:
        session.step(item)
    joints, confidence = session.engine.windows[-1]
    seen = joints[0, 0, :, 0, 0][confidence[0, 0, :, 0] > 0] - BODY[0, 0]
    np.testing.assert_allclose(seen, 3.0, atol=1e-5)


@pytest.mark.parametrize(("shape", "says"), [
    ((85, 1, 20, 3), r"would be 85 persons in 1 frames; expected joints \(persons, frames, 20, 3\).*swapaxes\(0, 1\)"),
    ((85, 2, 20, 3), "85 persons in 2 frames"),
    ((60, 20, 3), r"those of one person.*joints\[None\]"),
    ((1, 60, 3, 20), r"x y z before the joints.*swapaxes\(2, 3\)"),
])
def test_a_clip_whose_axes_are_in_another_order_is_not_recognised(make_session: Callable[..., Any], shape: tuple[int, ...],
                                                                  says: str) -> None:
    with pytest.raises(InvalidClip, match=says):
        make_session().recognise(np.random.default_rng(0).normal(size=shape))
