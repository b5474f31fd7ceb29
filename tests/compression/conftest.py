"""Real clips as windows, and a small recogniser."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from edgeskel.window import fit_window

Windows = list[tuple[Tensor, Tensor]]


@pytest.fixture(scope="session")
def windows(utd_store: Any) -> Windows:
    """24 recorded clips, every 36th of the store: (1, 1, 96, 20, 3) and (1, 1, 96, 20)."""
    clips = [utd_store[index] for index in range(0, len(utd_store), 36)]
    fitted = [fit_window(clip.joints, clip.confidence, 1, 96) for clip in clips]
    return [(torch.from_numpy(joints)[None], torch.from_numpy(confidence)[None]) for joints, confidence in fitted]
