"""The reference's parameter counts, and what its structure promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgeskel import topologies
from edgeskel.errors import UsageError
from edgeskel.models import Recogniser, count_parameters, create
from edgeskel.models.hyperformer import PARTITIONS, HypergraphAttention, body_groups
from edgeskel.skeleton import Topology


def hyperformer(layout: str = "kinect-v1", classes: int = 10, **settings: Any) -> Recogniser:
    return create("hyperformer", topology=topologies.get(layout), labels=tuple(map(str, range(classes))), **settings)


@pytest.mark.parametrize(("layout", "persons", "classes", "parameters"), [
    ("kinect-v2", 2, 60, 2_729_194),  # NTU RGB+D 60
    ("kinect-v2", 2, 120, 2_742_214),  # NTU RGB+D 120
    ("kinect-v1", 1, 10, 2_695_754),  # Northwestern-UCLA
])
def test_parameters_are_the_references(layout: str, persons: int, classes: int, parameters: int) -> None:
    assert count_parameters(hyperformer(layout, classes, persons=persons)) == parameters


def test_partitions_are_the_references_and_other_layouts_use_their_parts() -> None:
    ntu = PARTITIONS["kinect-v2"]
    assert [tuple(joint for joint, group in enumerate(ntu) if group == e) for e in range(5)] == [
        (0, 21, 23), (6, 7, 10, 11, 20, 22, 24), (2, 3, 4, 5, 8, 9, 12, 16), (13, 14, 15, 17, 18, 19), (1,)]
    for layout in topologies.names():
        groups = body_groups(topologies.get(layout))
        assert len(groups) == len(topologies.get(layout).joints) and set(groups) == set(range(max(groups) + 1))
    with pytest.raises(UsageError, match="partition"):
        body_groups(Topology(name="bare", joints=("a", "b"), parents=(-1, 0)))
    with pytest.raises(UsageError, match="partition"):
        hyperformer(partition=(0, 1))


def test_attention_is_the_formula_joint_by_joint() -> None:
    torch.manual_seed(1)
    layout = topologies.get("kinect-v1")
    groups = body_groups(layout)
    attention = HypergraphAttention(8, 8, 2, 2, layout, groups)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    normed, plain = torch.randn(3, 20, 8), torch.randn(3, 20, 8)
    with torch.no_grad():
        fast = attention(normed, plain)
        query, (key, value) = attention.query(normed), attention.key_value(normed).split(8, -1)
        means = torch.stack([plain[:, [j for j in range(20) if groups[j] == e]].mean(1) for e in range(3)], 1)
        group = attention.group(means)
        for head in range(2):
            d = slice(4 * head, 4 * head + 4)
            score = torch.empty(3, 20, 20)
            for n in range(20):
                for m in range(20):
                    hop, mine = attention.hop_table[layout.hops[n, m], d], group[:, groups[m], d]
                    score[:, n, m] = (query[:, n, d] * (key[:, m, d] + hop + mine)
                                      + attention.group_bias[head] * mine).sum(-1) / 2
            mixing = attention.share * score.softmax(-1) + attention.mixing[head]
            assert torch.allclose(fast[..., d], mixing @ value[..., d], atol=1e-4)


def test_it_learns_and_sees_both_persons() -> None:
    torch.manual_seed(0)
    model = hyperformer("kinect-v1", 3, persons=2, source_frames=16, frames=16, width=24, heads=2, groups=2, blocks=5)
    joints, confidence = torch.randn(4, 2, 16, 20, 3), torch.ones(4, 2, 16, 20)
    loss = torch.nn.functional.cross_entropy(model(joints, confidence), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    still = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert still == []
    model.eval()
    changed = joints.clone()
    changed[:, 1] += torch.randn(4, 16, 20, 3)
    assert not torch.allclose(model.embed(joints, confidence), model.embed(changed, confidence))


def test_widths_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UsageError, match="width"):
        hyperformer(width=50)
