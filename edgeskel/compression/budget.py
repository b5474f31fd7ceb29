"""What a recogniser costs: parameters, multiply-accumulates, bytes.

One convention, stated once: a MAC is one multiply-accumulate of a convolution, a linear layer or a matrix product, for
one clip with all its persons, preprocessing included; additions, norms, activations and pooling are not counted. (Papers
mix MACs with FLOPs, which are two for each.)
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from edgeskel.models import Recogniser, count_parameters

__all__ = ["Budget", "budget"]


@dataclass(frozen=True)
class Budget:
    """Costs of one recogniser.

    Args:
        parameters: trainable values.
        macs: multiply-accumulates for one clip.
        bytes: of the float32 weights and statistics that a checkpoint holds.
    """

    parameters: int
    macs: int
    bytes: int


def budget(model: Recogniser) -> Budget:
    """Count ``model``; it stays as it is."""
    config = model.config
    shape = (1, config.persons, config.source_frames, len(config.topology.joints))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        copy.deepcopy(model).eval()(torch.zeros(*shape, 3), torch.ones(shape))
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    return Budget(count_parameters(model), counter.get_total_flops() // 2, size)
