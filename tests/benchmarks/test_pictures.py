"""The README's picture."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.pictures import recognised
from edgeskel import topologies
from edgeskel.data import synthetic


def test_the_picture_says_what_the_session_said(tmp_path: Path) -> None:
    labels = synthetic.actions()
    probabilities = np.full(len(labels), 0.02, np.float32)
    probabilities[labels.index("kick")] = 0.62
    answer = SimpleNamespace(label="kick", probability=0.62, probabilities=probabilities)
    session: Any = SimpleNamespace(labels=labels, recognise=lambda joints, confidence: answer)
    clips = [take.clip for take in synthetic.takes_of(0, takes=1, labels=("kick",), sensors=())]
    said = recognised(session, clips, topologies.get("kinect-v1"), tmp_path / "docs" / "recognised.png", frames=4)
    assert said == [{"label": "kick", "predicted": "kick", "probability": 0.62}]
    assert (tmp_path / "docs" / "recognised.png").read_bytes().startswith(b"\x89PNG")
