"""``edge-live`` on a clip at once and in steps: the same answer, the same weights as ``edge``, nothing from the future."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from edgeskel import topologies
from edgeskel.errors import UsageError
from edgeskel.models import CausalEncoder, CausalRecogniser, create, steps
from edgeskel.models.causal_streams import CausalStreams

KINECT = topologies.get("kinect-v1")
SMALL: dict[str, Any] = {"topology": KINECT, "labels": ("a", "b", "c"), "widths": (16, 32), "regions": (0, 5), "blocks": (1, 2),
                         "strides": (1, 2), "groups": 4, "source_frames": 48, "frames": 48}


def small(**changes: Any) -> Any:
    torch.manual_seed(0)
    model = create("edge-live", **{**SMALL, **changes}).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2.0)
    return model


def body(frames: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Somebody upright who moves, three metres away; a tenth of the joints is missing now and then."""
    draw = torch.Generator().manual_seed(seed)
    rest = torch.randn(20, 3, generator=draw) * 0.1 + torch.linspace(0, 1.7, 20)[:, None] * torch.tensor([0.0, 1.0, 0.0])
    steps_ = torch.randn(frames, 20, 3, generator=draw).cumsum(0) * 0.02
    seen = (torch.rand(frames, 20, generator=draw) > 0.1).float()
    joints = (rest + steps_ + torch.tensor([0.3, 0.0, 3.0])) * seen.unsqueeze(-1)
    return joints[None, None], seen[None, None]


def stepped(model: Any, joints: Tensor, confidence: Tensor, size: int) -> list[Tensor]:
    state: steps.State = ()
    answers = []
    for start in range(0, joints.shape[2], size):
        part = slice(start, start + size)
        logits, _, state = model.step(joints[:, :, part], confidence[:, :, part], state)
        answers.append(logits)
    return answers


@pytest.mark.parametrize("changes", [{}, {"align": "body"}, {"align": "none"}, {"confidence_channel": False},
                                     {"streams": ("bone_motion",)}, {"stem_stride": 1, "strides": (1, 1)}], ids=str)
@pytest.mark.parametrize("size", [4, 12])
def test_steps_end_with_the_clips_answer(changes: dict[str, Any], size: int) -> None:
    model = small(**changes)
    joints, confidence = body(48)
    with torch.inference_mode():
        whole = model(joints, confidence)
        torch.testing.assert_close(stepped(model, joints, confidence, size)[-1], whole, rtol=1e-4, atol=1e-5)


def test_the_answer_stays_when_the_person_has_gone() -> None:
    model = small()
    joints, confidence = body(48)
    joints[:, :, 28:], confidence[:, :, 28:] = 0, 0
    with torch.inference_mode():
        answers = stepped(model, joints, confidence, 4)
        torch.testing.assert_close(answers[-1], answers[6], rtol=1e-4, atol=1e-5)


def test_no_answer_knows_the_frames_to_come() -> None:
    model = small()
    joints, confidence = body(48)
    other = joints.clone()
    other[:, :, 32:] += 0.5
    with torch.inference_mode():
        before, after = stepped(model, joints, confidence, 4), stepped(model, other, confidence, 4)
    assert all(torch.equal(a, b) for a, b in zip(before[:8], after[:8], strict=True))
    assert not torch.equal(before[8], after[8])


def test_edge_and_edge_live_share_their_weights() -> None:
    live = small()
    clip = create("edge", **{**SMALL, "strides": (1, 2)})
    clip.load_state_dict(live.state_dict())
    assert sum(value.numel() for value in clip.state_dict().values()) == sum(v.numel() for v in live.state_dict().values())


def test_a_clip_turned_and_moved_gives_the_same_streams() -> None:
    streams = CausalStreams(KINECT, 24, memory=60)
    joints, confidence = body(24)
    angle = torch.tensor(0.9)
    turn = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
    moved = (joints @ turn.T + torch.tensor([1.0, 0.2, -0.7])) * confidence.unsqueeze(-1)
    torch.testing.assert_close(streams(moved, confidence)[0], streams(joints, confidence)[0], rtol=1e-3, atol=2e-4)


def test_the_value_of_a_missing_joint_means_nothing() -> None:
    streams = CausalStreams(KINECT, 24, memory=60)
    joints, confidence = body(24)
    elsewhere = torch.where(confidence.unsqueeze(-1) > 0, joints, torch.tensor(9.0))
    torch.testing.assert_close(streams(elsewhere, confidence)[0], streams(joints, confidence)[0])


def test_a_joint_that_comes_into_sight_has_not_moved() -> None:
    streams = CausalStreams(KINECT, 24, memory=60, streams=("joint_motion",), confidence_channel=False)
    joints, confidence = body(24)
    confidence[:, :, :12, 7] = 0
    joints = joints * confidence.unsqueeze(-1)
    motion, _ = streams(joints, confidence)
    assert not motion[0, :, 12, 7].any() and motion[0].abs().max() < 3


@pytest.mark.parametrize("changes", [{"persons": 2}, {"frames": 24}, {"source_frames": 46, "frames": 46}, {"pool_s": 0},
                                     {"align_s": float("nan")}, {"strides": (1, 2, 2)}, {"stem_stride": 8}])
def test_settings_that_cannot_be_causal_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        create("edge-live", **{**SMALL, **changes})


def test_being_causal_is_a_type() -> None:
    assert isinstance(small(), CausalRecogniser) and isinstance(small().encoder, CausalEncoder)
    clip = create("edge", **{**SMALL, "frames": 24})
    assert not isinstance(clip, CausalRecogniser) and not hasattr(clip, "step")
