"""``python -m benchmarks.ship NAME CHECKPOINT STORE``: make a trained checkpoint one of the weights that come with edgeskel.

Writes ``edgeskel/models/weights/NAME``: weights as float16, ``config.json``, what the training recorded, the model card
with the figures of the test part, measured here on the very weights that ship, the ranges that int8 needs, found
with clips of the training part (unless ``--without-int8``), and what ``benchmarks.certainty`` found, if given. No recording
goes along.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._bench import ROOT
from edgeskel.cli.report import console
from edgeskel.files import atomic_write

if TYPE_CHECKING:
    from edgeskel.data import Split, Store
    from edgeskel.models import Recogniser

__all__ = ["describe_shipped", "ship"]

WEIGHTS = ROOT / "edgeskel" / "models" / "weights"


def ship(name: str, checkpoint: Path, store_path: Path, certainty: Path | None = None, int8: bool = True) -> Path:
    """Make ``WEIGHTS / name`` from a finished training and the store that it learned from."""
    from edgeskel import models
    from edgeskel.data import Store, split
    from edgeskel.runtime.bundle import CERTAINTY
    from edgeskel.training import card, evaluate, record

    store = Store.open(store_path)
    run = record.read(checkpoint)
    run = {**run, "teachers": [Path(teacher).name for teacher in run["teachers"]]}  # where they lay is nobody's business
    parts = split(store, run["protocol"], fold=run["fold"])
    folder = WEIGHTS / name
    shutil.rmtree(folder, ignore_errors=True)
    models.from_pretrained(checkpoint).save_pretrained(folder, half=True)
    recogniser = models.from_pretrained(folder)
    tested = evaluate(recogniser, store, parts.test).figures()
    found = None
    if certainty is not None:
        found = json.loads(certainty.read_text("utf-8"))
        shutil.copyfile(certainty, folder / CERTAINTY)
    with atomic_write(folder / "README.md") as file:
        file.write(card.render(run, recogniser, tested, found).encode())
    kept = {key: value for key, value in run.items() if key != "history"}
    with atomic_write(folder / record.FILE) as file:
        file.write((json.dumps(kept, indent=1) + "\n").encode())
    describe_shipped(folder, store)
    if int8:
        _ranges(name, recogniser, folder, store, parts)
    console.print(f"{folder.relative_to(ROOT)}: top-1 {tested['top1']:.2f} % of {tested['clips']} test clips")
    return folder


def _ranges(name: str, recogniser: Recogniser, folder: Path, store: Store, parts: Split) -> None:
    """What int8 needs, found with clips of the training part."""
    from edgeskel.runtime.bundle import Window
    from export.build import CALIBRATION, KINDS, TrainedModel, build
    from export.ranges import FILE
    from export.windows import calibration_windows

    config = recogniser.config
    window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
    clips = calibration_windows(store, parts, config.topology, window, CALIBRATION)
    with tempfile.TemporaryDirectory() as scratch:
        kinds = [kind for kind, about in KINDS.items() if about.precision == "int8"]
        bundle = build(TrainedModel(name, recogniser), Path(scratch) / name, target="host", kinds=kinds, calibration=clips)
        shutil.copyfile(bundle.path / "checkpoint" / FILE, folder / FILE)


def describe_shipped(folder: Path, store: Store) -> None:
    """Write ``embedding.npz`` beside shipped weights, from the very clips that they learned from."""
    from edgeskel import models
    from edgeskel.data import split
    from edgeskel.embedding import statistics
    from edgeskel.embedding.measure import describe
    from edgeskel.training import record

    run = record.read(folder)
    if run["data_digest"] != store.digest:
        sys.exit(f"{folder.name} learned from other recordings than {store.path}")
    learned = split(store, run["protocol"], fold=run["fold"], validation=0).train
    sources, patterns = store.texts("source"), run["recipe"].get("exclude", ())
    kept = [clip for clip in learned if not any(fnmatchcase(str(sources[clip]), pattern) for pattern in patterns)]
    assert len(kept) == run["clips"]["train"]
    describe(models.from_pretrained(folder), store, kept).save(folder / statistics.FILE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship", description=__doc__)
    parser.add_argument("name", help="edge-demo, edge-utd-mhad, ...")
    parser.add_argument("checkpoint", type=Path, help="folder of a finished training")
    parser.add_argument("store", type=Path, help="the store it learned from")
    parser.add_argument("--certainty", type=Path, help="what benchmarks.certainty found with this recipe")
    parser.add_argument("--without-int8", action="store_true", help="no ranges for int8")
    options = parser.parse_args()
    ship(options.name, options.checkpoint, options.store, options.certainty, not options.without_int8)
