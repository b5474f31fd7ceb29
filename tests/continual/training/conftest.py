"""A tiny recogniser and clips of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from edgeskel import topologies
from edgeskel.continual.training.clips import Clips
from edgeskel.models import Recogniser, create

CLASSES = 6
FRAMES = 24


@pytest.fixture
def recogniser() -> Recogniser:
    """For 6 classes, clips of 24 frames, in 3 tuples of 8."""
    torch.manual_seed(0)
    return create("edge", topology=topologies.get("kinect-v1"), labels=tuple("abcdef"), source_frames=FRAMES, frames=FRAMES,
                  widths=(8, 16, 16), regions=(0, 6, 4), blocks=(1, 1, 1), groups=4, dropout=0.0)


@pytest.fixture
def clips() -> Callable[..., Clips]:
    """``clips(count, classes)``: smooth random motion, with the classes in turn."""

    def make(count: int, classes: range = range(2), seed: int = 0) -> Clips:
        draw = torch.Generator().manual_seed(seed)
        start = torch.randn(count, 1, 1, 20, 3, generator=draw)
        speed = torch.randn(count, 1, 1, 20, 3, generator=draw)
        joints = start + speed * torch.linspace(0, 1, FRAMES).view(1, 1, -1, 1, 1) ** 2
        targets = torch.tensor([classes[index % len(classes)] for index in range(count)])
        return Clips(joints, torch.ones(count, 1, FRAMES, 20), targets)

    return make
