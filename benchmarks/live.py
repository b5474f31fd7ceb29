"""Live recognition of real recordings: how many actions of a continuous sequence are found and rightly named.

UTD-MHAD's clips of each test subject are played one after the other, with 0.5 to 1.2 s of standing still between them
(the last pose with 4 mm of noise per joint), through ``Session.step`` by window and the shipped weights:

- ``live_agreement``: percent of the clips that were found once and rightly named.
- ``clip_top1``: percent rightly named by the same weights when every clip is given whole.
- ``actions_per_clip``: actions reported for each clip that was played; above 1 some were cut in two.

The thresholds were chosen on the training subjects. ``--quick`` plays 12 clips of each of two subjects.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._bench import CACHE, main
from benchmarks.accuracy import imported
from edgeskel.runtime import Session
from edgeskel.runtime.agreement import agreement, named
from edgeskel.skeleton import Clip
from tests.streams import played

__all__ = ["measure"]

WEIGHTS = "edge-utd-mhad"


def measure(quick: bool) -> dict[str, Any]:
    """Play the test subjects' clips as one recording each."""
    from edgeskel.data import split
    from edgeskel.models import from_pretrained
    from edgeskel.runtime import session_of

    session = session_of(from_pretrained(WEIGHTS), threads=1)
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        store = imported("utd-mhad", Path(scratch) if quick else CACHE)
        test = split(store, "cross-subject").test
        subjects = store.index["subject"][test]
        for subject in sorted(set(subjects.tolist()))[: 2 if quick else None]:
            clips = [store[int(index)] for index in rng.permutation(test[subjects == subject])[: 12 if quick else None]]
            rows.append(_of_one_subject(session, clips, rng))
    total = sum(row["clips"] for row in rows)
    return {
        "live_agreement": sum(row["live_agreement"] * row["clips"] for row in rows) / total,
        "clip_top1": sum(row["clip_top1"] * row["clips"] for row in rows) / total,
        "actions_per_clip": sum(row["actions"] for row in rows) / total,
        "clips": total,
        "tables": {"live recognition, every test subject": rows},
    }


def _of_one_subject(session: Session, clips: list[Clip], rng: np.random.Generator) -> dict[str, Any]:
    frames, spans = played(clips, rng)
    session.reset()
    actions = named([event for frame in frames for event in session.step(frame)] + session.finish())
    whole = [session.recognise(clip.joints, clip.confidence).label == clip.label for clip in clips]
    return {"subject": clips[0].subject, "clips": len(clips), "actions": len(actions),
            "live_agreement": 100 * (agreement(spans, actions) or 0.0), "clip_top1": 100 * float(np.mean(whole))}


if __name__ == "__main__":
    main("live", measure, seeds=(0,))
