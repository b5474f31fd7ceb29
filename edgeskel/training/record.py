"""What a checkpoint's ``run.json`` tells: how it was trained, and which clips of a store it therefore knows. No torch.

Everything that reads a ``run.json`` reads it here. A field may be absent, because shipped weights carry no curves and
earlier versions wrote less; one that is there and is not what it should be is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.data import Split, Store, split
from edgeskel.data.importers import PUBLISHED
from edgeskel.errors import CorruptFile, UsageError

__all__ = ["FILE", "IN_BUNDLE", "Training", "check_finished", "check_split", "check_unseen", "parts_for", "read"]

FILE = "run.json"

_FIELDS: dict[str, tuple[type, ...]] = {
    "recogniser": (str,),
    "dataset": (str,),
    "data_digest": (str,),
    "protocol": (str,),
    "fold": (int,),
    "split": (str,),
    "held_out": (str,),
    "clips": (dict,),
    "seed": (int,),
    "start": (str, type(None)),
    "teachers": (list,),
    "patience": (int,),
    "recipe": (dict,),
    "history": (list,),
    "parameters": (int,),
    "validation": (dict, type(None)),
    "versions": (dict,),
    "compression": (dict,),
    "fusion": (dict,),
}
IN_BUNDLE = ("dataset", "data_digest", "split", "protocol", "fold", "held_out", "clips", "seed")
"""What a bundle's manifest tells of the training."""
_ROW = ("epoch", "loss", "learning_rate")  # of every epoch in the history
_KINDS = {str: "text", int: "a whole number", dict: "a table", list: "a list", type(None): "null"}


_REMEDY = "copy the checkpoint again; without this file it still loads, and only its history is lost"


def read(folder: Path, remedy: str = _REMEDY) -> dict[str, Any]:
    """``run.json`` of a checkpoint folder; empty where there is none.

    Args:
        folder: a checkpoint's.
        remedy: for the message, when the file is damaged.

    Raises:
        CorruptFile: it is no JSON object, or a field in it is of another type than it should be.
    """
    path = folder / FILE
    try:
        run = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise CorruptFile(path, f"unreadable ({error})", expected="what a training recorded", remedy=remedy) from error
    if not isinstance(run, dict):
        raise CorruptFile(path, f"{type(run).__name__} at the top", expected="a table", remedy=remedy)
    for name, kinds in _FIELDS.items():
        if name in run and (not isinstance(run[name], kinds) or isinstance(run[name], bool)):
            raise CorruptFile(path, f"{name} is {str(run[name])[:60]!r}",
                              expected=" or ".join(_KINDS[kind] for kind in kinds), remedy=remedy)
    if "train" not in run.get("clips", {"train": 0}):
        raise CorruptFile(path, f"clips is {run['clips']!r}", expected="a count of train", remedy=remedy)
    for number, row in enumerate(run.get("history", ()), start=1):
        if not isinstance(row, dict) or not all(isinstance(row.get(name), (int, float)) for name in _ROW):
            raise CorruptFile(path, f"history of epoch {number} is {str(row)[:60]!r}",
                              expected=f"numbers for {', '.join(_ROW)}", remedy=remedy)
    return run


def check_finished(folder: Path) -> None:
    """Refuse a folder whose training has begun and not ended: nothing says which clips its weights, if any, know.

    Raises:
        UsageError: so it is.
    """
    if (folder / "training" / "begun.json").is_file() and not (folder / FILE).is_file():
        raise UsageError(
            f"{folder} holds a training that has not ended",
            expected=f"one that has, with its {FILE}",
            remedy="run the same edgeskel train again: it goes on where it stopped",
        )


@dataclass(frozen=True)
class Training:
    """Which clips a recogniser was trained with.

    Args:
        dataset, digest: of the store.
        protocol, fold, validation: the split, as :func:`edgeskel.data.split` takes it.
        clips: how many it learned from; 0 where that is not known.
    """

    dataset: str
    digest: str
    protocol: str
    fold: int
    validation: str
    clips: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Training | None:
        """From a ``run.json``, or from the part of it that a bundle's manifest holds; None where that is too little."""
        if not {"dataset", "data_digest", "split"} <= told.keys():
            return None
        rule = told.get("held_out")
        if isinstance(rule, str) and {"protocol", "fold"} <= told.keys():
            return cls(told["dataset"], told["data_digest"], told["protocol"], told["fold"], rule, _learned_from(told))
        # Earlier versions recorded the name of the split alone: protocol, fold (where there are several) and validation part.
        parts = re.fullmatch(r"(?P<protocol>.+?)(?:, fold (?P<fold>\d+) of \d+)?, (?P<rule>(no )?validation .+)", told["split"])
        if parts is None:
            return None
        named = re.fullmatch(r"validation (.+?)( of the clips.*)?", parts["rule"])
        return cls(told["dataset"], told["data_digest"], parts["protocol"], int(parts["fold"] or 0),
                   named[1] if named else "0", _learned_from(told))

    @classmethod
    def of_bundle(cls, manifest: Mapping[str, Any]) -> Training | None:
        """From a bundle's manifest."""
        return cls.of(manifest.get("data", {}).get("training", {}))

    def knows(self, store: Store) -> bool:
        """Whether ``store`` is the one it learned from, so that its clips can be told apart.

        A published data set that was imported by other rules (:class:`~edgeskel.data.importers.common.ImportOptions`) has another
        digest and the same clips.
        """
        if store.digest == self.digest or store.dataset != self.dataset or self.dataset not in PUBLISHED:
            return store.digest == self.digest
        ours = len(self.split(store).train)
        return 0.9 * ours <= self.clips <= ours  # a recipe may leave some out, such as those with wrong labels

    def split(self, store: Store) -> Split:
        """Its own split of the store that it learned from."""
        return split(store, self.protocol, fold=self.fold, validation=self.validation)


def _learned_from(told: Mapping[str, Any]) -> int:
    return int(told.get("clips", {}).get("train", 0))


def parts_for(
    trained: Training | None,
    store: Store,
    protocol: str | None = None,
    fold: int | None = None,
    validation: str | None = None,
    *,
    otherwise: str = "0",
) -> Split:
    """The split that is asked for; what is not asked for is as in the recogniser's own training.

    Args:
        trained: what is known of the training. It counts only for a store of the same dataset.
        store: the recordings.
        protocol, fold, validation: what is asked for; None for the recogniser's own.
        otherwise: validation part where neither says one.

    Raises:
        as :func:`edgeskel.data.split`.
    """
    same = trained is not None and trained.dataset == store.dataset and protocol in (None, trained.protocol)
    own = trained if same else None
    if own is not None:
        protocol = own.protocol
        fold = own.fold if fold is None else fold
        if validation is None and fold == own.fold:
            validation = own.validation
    return split(store, protocol, fold=fold or 0, validation=otherwise if validation is None else validation)


def check_unseen(
    trained: Training | None,
    store: Store,
    indices: NDArray[np.int64],
    *,
    model: str,
    part: str = "test",
    allowed: bool = False,
) -> int | None:
    """How many of the clips ``indices`` the recogniser has seen; None where that cannot be known.

    It has seen those that it learned from, and, where a test part is asked about, those of its validation part: epoch
    or rank may have been chosen on them.

    Args:
        trained: what is known of the training.
        store: the recordings.
        indices: clips that it should not know.
        model: what the user called it.
        part: which part of a split the clips are.
        allowed: count only.

    Raises:
        UsageError: there are some, and that is not ``allowed``.
    """
    if trained is None or not trained.knows(store):
        return None
    own = trained.split(store)
    used = np.concatenate((own.train, own.validation)) if part == "test" else own.train
    seen = int(np.isin(indices, used).sum())
    if seen and not allowed:
        raise UsageError(
            f"{model} was trained with {seen} of the {len(indices)} clips of that {part} part: its split is {own.name}",
            expected="clips that it has not seen",
            remedy="leave out --protocol, --fold and --validation: its own split is the default",
        )
    return seen


def check_split(trained: Training | None, store: Store, parts: Split, *, model: str) -> None:
    """Refuse a split whose test part the recogniser has seen, or whose training part holds clips of its test part.

    Raises:
        UsageError: so it is; nothing is known to be wrong with a store that it did not learn from.
    """
    if check_unseen(trained, store, parts.test, model=model) is None:
        return
    assert trained is not None
    own = trained.split(store)
    tested = int(np.isin(parts.train, own.test).sum())
    if tested:
        raise UsageError(
            f"{tested} of the {len(parts.train)} training clips of {parts.name} are test clips of {model}, whose split is"
            f" {own.name}",
            expected="its own split",
            remedy="leave out --protocol and --fold",
        )
