"""Several recognisers as one: the weighted sum of their answers, from one folder, frame by frame where all of them can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeskel import topologies
from edgeskel.compression.low_rank import choose_ranks, compress
from edgeskel.errors import CorruptFile, EdgeskelError, LabelMismatch, ModelError, TopologyMismatch, UsageError
from edgeskel.models import CausalRecogniser, Recogniser, count_parameters, create, from_pretrained
from edgeskel.models.fused import fuse
from tests.models.test_causal import body, stepped

SMALL: dict[str, Any] = {"topology": topologies.get("kinect-v1"), "labels": ("a", "b", "c"), "widths": (8, 16), "regions": (0, 5),
                         "blocks": (1, 1), "strides": (1, 2), "groups": 4, "source_frames": 48, "frames": 48}


def member(name: str = "edge", *, seed: int = 0, **changes: Any) -> Recogniser:
    torch.manual_seed(seed)
    model = create(name, **{**SMALL, **changes}).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2.0)
    return model


def joint_bone_motion() -> list[Recogniser]:
    """Of two sizes, one with fewer frames."""
    return [member(streams=("joint",)), member(seed=1, streams=("bone",), widths=(16, 24)),
            member(seed=2, streams=("joint_motion", "bone_motion"), frames=24)]


def test_its_logits_are_the_weighted_sum_of_the_members() -> None:
    members, weights = joint_bone_motion(), (0.5, 0.2, 1.3)
    joints, confidence = body(48)
    with torch.inference_mode():
        fused = fuse(members, weights)(joints, confidence)
        torch.testing.assert_close(fused, sum(w * one(joints, confidence) for w, one in zip(weights, members, strict=True)))


def test_what_is_saved_answers_the_same(tmp_path: Path) -> None:
    hyperformer = create("hyperformer", topology=SMALL["topology"], labels=SMALL["labels"], source_frames=48, frames=48, width=24,
                         blocks=1, heads=3, groups=2)
    fused = fuse([*joint_bone_motion(), hyperformer.eval()], (1, 1, 0.5, 0.5))
    fused.save_pretrained(tmp_path)
    loaded = from_pretrained(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    assert [one["recogniser"] for one in told["members"]] == ["edge", "edge", "edge", "hyperformer"]
    assert told["streams"] == ["joint", "bone", "joint_motion", "bone_motion"]
    with torch.inference_mode():
        torch.testing.assert_close(loaded(*body(48)), fused(*body(48)), rtol=0, atol=0)


def test_a_member_of_no_weight_costs_nothing() -> None:
    members = joint_bone_motion()
    assert count_parameters(fuse(members, (1, 0, 1))) < count_parameters(fuse(members, (1, 0.1, 1))) - 1000


def test_it_is_compressed_like_any_other(tmp_path: Path) -> None:
    fused = fuse(joint_bone_motion(), (1, 1, 1))
    smaller = compress(fused, choose_ranks(fused, saving=0.2))
    smaller.save_pretrained(tmp_path)
    assert count_parameters(from_pretrained(tmp_path)) <= 0.81 * count_parameters(fused)
    again = fuse([smaller, member(seed=3)], (1, 1))  # a fused one as a member, and one in two factors
    with torch.inference_mode():
        torch.testing.assert_close(again(*body(48)), smaller(*body(48)) + member(seed=3)(*body(48)))


@pytest.mark.parametrize("size", [12, 24])
def test_causal_members_give_a_causal_one(size: int) -> None:
    every_four, every_six = member("edge-live"), member("edge-live", seed=1, streams=("bone",), strides=(1, 3))
    fused = fuse([every_four, every_six], (0.4, 0.8))
    assert isinstance(fused, CausalRecogniser) and fused.encoder.frames_per_step == 12
    joints, confidence = body(48)
    with torch.inference_mode():
        answers = stepped(fused, joints, confidence, size)
        torch.testing.assert_close(answers[-1], fused(joints, confidence), rtol=1e-4, atol=1e-5)


def test_one_member_that_needs_the_whole_clip_makes_it_one_that_does() -> None:
    assert not isinstance(fuse([member("edge-live"), member()], (1, 1)), CausalRecogniser)


@pytest.mark.parametrize(("other", "error", "seen"), [
    ({"labels": ("a", "b", "d")}, LabelMismatch, "c, d"),
    ({"labels": ("b", "a", "c")}, LabelMismatch, "order"),
    ({"topology": topologies.get("coco-17")}, TopologyMismatch, "coco-17"),
    ({"rate_hz": 50.0}, UsageError, "rate_hz = 50"),
    ({"source_frames": 64, "frames": 64}, UsageError, "source_frames = 64"),
    ({"persons": 2}, UsageError, "persons = 2"),
])
def test_members_that_do_not_fit_are_named(other: dict[str, Any], error: type[EdgeskelError], seen: str) -> None:
    with pytest.raises(error, match=rf"runs/bone.*{seen}"):
        fuse([member(), member(**other)], (1, 1), ["runs/joint", "runs/bone"])


@pytest.mark.parametrize("weights", [(1,), (1, -0.1), (0, 0), (1, float("nan"))])
def test_weights_that_make_no_sense_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="weights"):
        fuse([member(), member(seed=1)], weights)


def test_a_classifier_of_several_layers_is_refused() -> None:
    deep = member()
    deep.classifier = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    with pytest.raises(ModelError, match="ends in Sequential"):
        fuse([member(), deep], (1, 1))


def test_it_is_made_by_fusing_and_not_by_training() -> None:
    with pytest.raises(UsageError, match="members") as refused:
        create("fused", topology=SMALL["topology"], labels=SMALL["labels"])
    assert "edgeskel fuse" in str(refused.value.remedy)


@pytest.mark.parametrize(("members", "error", "seen"), [
    ([], CorruptFile, "members"),
    (3, CorruptFile, "members"),
    ([{"widths": [8]}], CorruptFile, "a member"),
    ([{"recogniser": "edge", "widths": "wide"}], CorruptFile, "widths"),
    ([{"recogniser": "tcn", "package": "my-package 1.0"}], ModelError, "my-package"),
])
def test_a_configuration_that_is_none_is_laid_to_its_file(tmp_path: Path, members: object, error: type[EdgeskelError],
                                                          seen: str) -> None:
    fuse(joint_bone_motion(), (1, 1, 1)).save_pretrained(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**told, "members": members}))
    with pytest.raises(error, match=rf"config\.json.*{seen}"):
        from_pretrained(tmp_path)


def test_what_learns_on_streams_is_told_that_there_are_none() -> None:
    with pytest.raises(UsageError, match="3 members"):
        fuse(joint_bone_motion(), (1, 1, 1)).encoder.inputs(*body(48))
