"""Named splits: which clips train, which validate, which are read once at the end.

A protocol says which clips are the test part. The validation part is carved from the rest by whole subjects, so that
choices made on it (epoch, rank, threshold, recipe) hold for people the model has not seen; the test part is never
looked at for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeskel.data.store import Store
from edgeskel.errors import DataError, UnknownChoice, UsageError

__all__ = ["PROTOCOLS", "Protocol", "Split", "available", "default_protocol", "folds", "names_in_order", "split"]

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Clip indices of the three parts, each sorted; no clip is in two of them.

    Args:
        train, validation, test: indices into the store.
        name: protocol, fold and validation rule, as results should quote them.
        protocol: the protocol's name.
        fold: which of its folds.
        held_out: the validation rule, as :func:`split` takes it to give this validation part again.
        repeated: those of the test clips whose contents also stand on the training side, under another source. A public
            release can hold copies (95 of N-UCLA's 464 test clips are); a figure should say whether it counts them.
    """

    train: Indices
    validation: Indices
    test: Indices
    name: str
    protocol: str
    fold: int
    held_out: str
    repeated: Indices


@dataclass(frozen=True)
class Protocol:
    """A way to choose the test part.

    Args:
        test: (store, fold) -> mask of the test clips.
        folds: store -> how many folds there are.
        about: one line for ``--help`` and the docs.
        datasets: where it is official; empty when it fits any store.
        validate_by: what a validation part is made of.
    """

    test: Callable[[Store, int], Mask]
    folds: Callable[[Store], int]
    about: str
    datasets: tuple[str, ...] = ()
    validate_by: str = "subject"


def split(store: Store, protocol: str | None = None, *, fold: int = 0, validation: float | str = 0.2,
          seed: int = 0) -> Split:
    """Split a store by a named protocol.

    Args:
        store: the recordings.
        protocol: one of :data:`PROTOCOLS`, ``"10-fold"`` for another k than 5, ``"subject:2,4,6"`` or ``"view:3"`` for
            test parts of your own, or None for the dataset's own.
        fold: which fold, from 0.
        validation: the part of the training side to hold out: a share of its subjects (0.2 is the nearest whole number
            of them, at least one; 0 is none), or names, ``"subject:7"``, ``"subject:1,5"``, ``"view:2"``. Where one
            subject trains, or the protocol divides by clip, it is a share of the clips; ``Split.name`` says so.
        seed: what draws the held-out subjects and, for ``random``, ``k-fold``, the clips.

    Raises:
        UnknownChoice: no such protocol, or not for this dataset.
        DataError: the store lacks what the protocol divides by, or a part would be empty.
        UsageError: no such fold, or a validation rule that cannot be read.
    """
    name = default_protocol(store) if protocol is None else protocol
    rule = _protocol(store, name, seed)
    count = rule.folds(store)
    if not 0 <= fold < count:
        raise UsageError(f"fold {fold} of {name}", expected=f"0 to {count - 1}")
    test = rule.test(store, fold)
    if test.all() or not test.any():
        raise DataError(f"{name} puts {int(test.sum())} of the {len(store)} clips of {store.dataset} in the test part",
                        expected="clips on both sides",
                        remedy=f"protocols for this store: {', '.join(available(store))}")
    held_out, again, how = _validation(store, ~test, validation, rule.validate_by, seed)
    train = ~test & ~held_out
    if not train.any():
        raise DataError(f"validation {validation!r} leaves no clip of {store.dataset} to train on",
                        remedy="hold out less, or 0 for no validation part")
    parts = [name] + ([f"fold {fold} of {count}"] if count > 1 else []) + [how]
    return Split(np.flatnonzero(train), np.flatnonzero(held_out), np.flatnonzero(test), name=", ".join(parts),
                 protocol=name, fold=fold, held_out=again,
                 repeated=np.flatnonzero(test & np.isin(store.index["digest"], store.index["digest"][~test])))


def folds(store: Store, protocol: str | None = None) -> int:
    """How many folds ``protocol`` has for this store. Raises as :func:`split`."""
    return _protocol(store, default_protocol(store) if protocol is None else protocol, 0).folds(store)


def available(store: Store) -> tuple[str, ...]:
    """Protocols that fit this store: those of its dataset, and those for any store that has what they divide by."""
    subjects = bool(np.all(store.index["subject"] != b""))
    return tuple(name for name, rule in PROTOCOLS.items()
                 if (store.dataset in rule.datasets or (not rule.datasets and (subjects or rule.validate_by == "clip")))
                 and (name != STATED or store.test_subjects))


def default_protocol(store: Store) -> str:
    """The dataset's own protocol; for a store that has none, by subject where known, else at random."""
    if store.test_subjects:
        return STATED
    official = [name for name, rule in PROTOCOLS.items() if store.dataset in rule.datasets]
    if official:
        return official[0]
    return "by-subject" if len(set(store.index["subject"])) > 1 else "random"


def _protocol(store: Store, name: str, seed: int) -> Protocol:
    if (k := re.fullmatch(r"(k|\d+)-fold", name)) is not None:
        count = 5 if k[1] == "k" else int(k[1])
        if count > len(store):
            raise UsageError(f"{name} of {len(store)} clips", expected=f"at most {len(store)} folds, one clip each",
                             remedy="leave-one-out does that")
        return _k_fold(count, seed)
    if name.startswith(("subject:", "view:")):
        return _named(store, name)
    if name == STATED and not store.test_subjects:
        raise UsageError(f"protocol {STATED} for {store.dataset}, which states no test subjects", expected="a list of them",
                         remedy="import with test_subjects in dataset.toml, or pass --protocol subject:2,4,6")
    if name == "random":
        return Protocol(lambda store, _: _random(store, seed), _one, PROTOCOLS[name].about, validate_by="clip")
    if name not in PROTOCOLS or (PROTOCOLS[name].datasets and store.dataset not in PROTOCOLS[name].datasets):
        raise UnknownChoice(f"protocol of {store.dataset}", name, available(store))
    return PROTOCOLS[name]


# What the datasets' authors divide by.

NTU_TRAIN_SUBJECTS = (
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38,  # NTU-60
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89, 91, 92, 93, 94, 95,
    97, 98, 100, 103,  # added by NTU-120
)
TRAIN_SUBJECTS: dict[str, tuple[int, ...]] = {"utd-mhad": (1, 3, 5, 7), "utkinect": (1, 3, 5, 7, 9), "ntu": NTU_TRAIN_SUBJECTS}
TRAIN_VIEWS = {"nw-ucla": (1, 2), "ntu": (2, 3)}
SBU_FOLDS = (
    "s01s02 s03s04 s05s02 s06s04", "s02s03 s02s07 s03s05 s05s03", "s01s03 s01s07 s07s01 s07s03",
    "s02s01 s02s06 s03s02 s03s06", "s04s02 s04s03 s04s06 s06s02 s06s03",
)


def _cross_subject(store: Store, _: int) -> Mask:
    return ~np.isin(_subjects(store), [str(subject) for subject in TRAIN_SUBJECTS[store.dataset]])


def _cross_view(store: Store, _: int) -> Mask:
    return ~np.isin(store.texts("view"), [str(view) for view in TRAIN_VIEWS[store.dataset]])


def _cross_setup(store: Store, _: int) -> Mask:
    """NTU-120 trains on even camera setups; the setup is the file name's S number."""
    setups = [re.search(r"S(\d{3})C\d{3}P", source) for source in store.texts("source")]
    if None in setups:
        raise DataError("a source of this store does not name its camera setup", expected="SsssCcccPpppRrrrAaaa")
    return np.array([setup is not None and int(setup[1]) % 2 == 1 for setup in setups])


def _five_fold(store: Store, fold: int) -> Mask:
    return np.isin(_subjects(store), SBU_FOLDS[fold].split())


# What fits any store.

STATED = "stated"


def _stated(store: Store, _: int) -> Mask:
    return np.isin(_subjects(store), store.test_subjects)


def _named(store: Store, name: str) -> Protocol:
    """``subject:2,4,6`` or ``view:3``: those test, the others train."""
    field, _, listed = name.partition(":")
    column = _subjects(store) if field == "subject" else store.texts("view")
    wanted = [part.strip() for part in listed.split(",")]
    present = names_in_order(column)
    for part in wanted:
        if part not in present:
            raise UnknownChoice(f"{field} of {store.dataset}", part, present)
    return Protocol(lambda store, _: np.isin(column, wanted), _one, f"{field} {', '.join(wanted)} for the test")


def _loso(store: Store, fold: int) -> Mask:
    return np.asarray(_subjects(store) == names_in_order(_subjects(store))[fold])


def _by_subject(store: Store, _: int) -> Mask:
    """The last quarter of the subjects, at least one."""
    names = names_in_order(_subjects(store))
    return np.isin(_subjects(store), names[-max(1, round(len(names) / 4)):])


def _leave_one_out(store: Store, fold: int) -> Mask:
    return np.asarray(np.arange(len(store)) == fold)


def _random(store: Store, seed: int) -> Mask:
    return _draw_clips(store, np.ones(len(store), bool), 0.2, seed)


def _k_fold(k: int, seed: int) -> Protocol:
    def test(store: Store, fold: int) -> Mask:
        return np.asarray(_deal(store, np.arange(len(store)), seed) % k == fold)

    if k < 2:
        raise UsageError(f"{k}-fold", expected="at least 2 folds")
    return Protocol(test, lambda _: k, PROTOCOLS["k-fold"].about, validate_by="clip")


def _one(_: Store) -> int:
    return 1


PROTOCOLS = {
    "cross-subject": Protocol(_cross_subject, _one, "the authors' training subjects against the others",
                              ("utd-mhad", "utkinect", "ntu")),
    "cross-view": Protocol(_cross_view, _one, "the authors' training cameras against the other",
                           ("nw-ucla", "ntu")),
    "cross-setup": Protocol(_cross_setup, _one, "even camera setups against odd (NTU-120)", ("ntu",)),
    "five-fold": Protocol(_five_fold, lambda _: 5, "the authors' five groups of pairs", ("sbu",)),
    "synthetic": Protocol(_by_subject, _one, "the last quarter of the generated bodies", ("synthetic",)),
    STATED: Protocol(_stated, _one, "the test_subjects of dataset.toml (subject:2,4,6 or view:3 name others)"),
    "by-subject": Protocol(_by_subject, _one, "the last quarter of the subjects, by number"),
    "loso": Protocol(_loso, lambda store: len(set(_subjects(store).tolist())), "leave one subject out, one fold each"),
    "leave-one-out": Protocol(_leave_one_out, len, "leave one clip out, one fold each", validate_by="clip"),
    "k-fold": Protocol(lambda store, fold: _k_fold(5, 0).test(store, fold), lambda _: 5,
                       "five parts with equal shares of each class (10-fold for ten)", validate_by="clip"),
    "random": Protocol(lambda store, _: _random(store, 0), _one,
                       "a fifth of each class, whoever performs it: optimistic", validate_by="clip"),
}


def _validation(store: Store, side: Mask, rule: float | str, by: str, seed: int) -> tuple[Mask, str, str]:
    """Mask of the clips to hold out of ``side``, the rule that does so again, and how they were chosen in words."""
    nothing = np.zeros(len(store), bool)
    if isinstance(rule, str):
        try:
            rule = float(rule)
        except ValueError:
            return _named_validation(store, side, str(rule)), str(rule), f"validation {rule}"
    if not 0 <= rule < 1:
        raise UsageError(f"validation {rule}", expected="a share from 0 up to but not including 1")
    if rule == 0:
        return nothing, "0", "no validation part"
    if by == "clip":
        return _draw_clips(store, side, rule, seed), f"{rule:g}", f"validation {rule:g} of the clips"
    subjects = _subjects(store)
    names = names_in_order(subjects[side])
    if len(names) < 2:
        return _draw_clips(store, side, rule, seed), f"{rule:g}", f"validation {rule:g} of the clips of the one training subject"
    count = min(len(names) - 1, max(1, round(rule * len(names))))
    chosen = names_in_order(np.random.default_rng(seed).permutation(names)[:count])
    again = "subject:" + ",".join(chosen)
    return side & np.isin(subjects, chosen), again, f"validation {again}"


def _named_validation(store: Store, side: Mask, rule: str) -> Mask:
    field, colon, wanted = rule.partition(":")
    if field not in ("subject", "view") or not colon:
        raise UsageError(f"validation {rule!r}", expected="a share such as 0.2, subject:1,5 or view:2")
    column = store.texts(field)
    present = names_in_order(column[side])
    for name in wanted.split(","):
        if name not in present:
            raise UnknownChoice(f"training {field} of {store.dataset}", name, present)
    return side & np.isin(column, wanted.split(","))


def _draw_clips(store: Store, side: Mask, share: float, seed: int) -> Mask:
    """Every 1/share-th clip of each class in shuffled order."""
    drawn = np.zeros(len(store), bool)
    clips = np.flatnonzero(side)
    order = _deal(store, clips, seed)
    drawn[clips] = np.floor((order + 1) * share) > np.floor(order * share)
    return drawn


def _deal(store: Store, clips: Indices, seed: int) -> Indices:
    """Position of each clip in a shuffle that goes through the classes one after the other: taken modulo k, it deals
    each class evenly over k hands."""
    shuffled = np.random.default_rng(seed).permutation(len(clips))
    by_class = shuffled[np.argsort(store.index["label"][clips][shuffled], kind="stable")]
    position = np.empty(len(clips), np.int64)
    position[by_class] = np.arange(len(clips))
    return position


def _subjects(store: Store) -> NDArray[Any]:
    subjects = store.texts("subject")
    if np.any(subjects == ""):
        raise DataError(f"{int(np.sum(subjects == ''))} of the {len(store)} clips of {store.dataset} name no subject",
                        expected="a subject for every clip", remedy="use the protocol random or k-fold")
    return subjects


def names_in_order(values: NDArray[Any]) -> list[str]:
    """Distinct names, numbers in numeric order: 1, 2, 10."""
    return sorted(set(values.tolist()), key=lambda name: [(not part.isdigit(), part.zfill(12))
                                                          for part in re.split(r"(\d+)", name) if part])
