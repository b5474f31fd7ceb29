"""The moving average of a module's weights, which is what is kept of a training."""

from __future__ import annotations

import copy

import torch
from torch import nn

__all__ = ["WeightAverage"]


class WeightAverage(nn.Module):
    """A copy of a module that follows its weights and statistics as a moving average.

    Args:
        module: what to follow.
        decay: how much stays at each step; less at the start, so that the first weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.module: nn.Module = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay = decay

    def train(self, mode: bool = True) -> WeightAverage:
        """Stays in evaluation mode."""
        return self

    @torch.no_grad()
    def follow(self, module: nn.Module, step: int) -> None:
        """Move towards ``module`` after its step number ``step``."""
        keep = min(self.decay, (1 + step) / (10 + step))
        mine, theirs = self.module.state_dict(), module.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[name] for name in floats], [theirs[name] for name in floats], 1 - keep)
        for name in mine.keys() - set(floats):
            mine[name].copy_(theirs[name])
