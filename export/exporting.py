"""A bundle from a shipped model, a checkpoint folder or a recogniser in memory: what ``edgeskel export`` does, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from edgeskel.data import Store
from edgeskel.embedding.measure import describe
from edgeskel.errors import UsageError
from edgeskel.models import Recogniser
from edgeskel.runtime.bundle import Bundle, Window
from edgeskel.training import record
from export.build import CALIBRATION, TrainedModel, build
from export.windows import calibration_windows

__all__ = ["Target", "export_bundle"]


class Target(Protocol):
    """What is exported for; ``targets.get(NAME)`` gives one. See :class:`targets.Profile`."""

    @property
    def name(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def artifacts(self) -> Sequence[str]: ...
    @property
    def programs(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def packages(self) -> Mapping[str, str]: ...
    @property
    def tensorrt(self) -> tuple[int, int] | None: ...


def export_bundle(model: str | Path | Recogniser, out: str | Path, target: Target, *, calibration: str | Path | Store | None = None,
                  protocol: str | None = None, fold: int | None = None, latent_replay: bool = False,
                  precisions: Sequence[str] = (), progress: Callable[[str], None] = lambda what: None) -> Bundle:
    """Write a bundle for a target; ``out`` appears whole, or not at all.

    Args:
        model: a shipped model's name, a checkpoint folder, or a recogniser in memory, whose bundle is named ``model`` and
            carries no card or training record.
        out: the bundle's folder; an older bundle there is replaced.
        target: ``targets.get("jetson")``, ``targets.get("host")``, ...
        calibration: store of recorded clips for int8, and for learning on the device where the checkpoint has no
            ``embedding.npz``; its training part is used, never its test part.
        protocol, fold: which split of that store; the one of the model's training by default, else the dataset's own.
        latent_replay: add what a device needs to train the last layers itself; needs ``calibration``.
        precisions: only these (fp32, fp16, int8); all that the target takes by default. Asking for one makes failing to provide
            it an error.
        progress: told what is being made.

    Returns:
        The bundle, opened.

    Raises:
        UnknownChoice: no such model or split.
        UsageError: ``latent_replay`` without ``calibration``.
        LabelMismatch, DataError: the store does not fit the recogniser, or holds its test clips in the training part.
        ExportError: an artifact cannot be made, or strays too far from the recogniser's own answers.
        OSError: the disk is full; nothing is left behind.
    """
    if latent_replay and calibration is None:
        raise UsageError("latent replay without calibration", expected="recordings that the model learned from",
                         remedy="some of each action are replayed while the device learns: give --calibration STORE")
    trained = TrainedModel("model", model.eval()) if isinstance(model, Recogniser) else TrainedModel.of(model)
    settings = trained.recogniser.config
    windows = replay = None
    if calibration is not None:
        window = Window(settings.persons, settings.source_frames, settings.rate_hz, settings.hop)
        store = calibration if isinstance(calibration, Store) else Store.open(calibration)
        history = record.Training.of(trained.training)
        parts = record.parts_for(history, store, protocol, fold)
        record.check_split(history, store, parts, model=str(model) if isinstance(model, (str, Path)) else trained.name)
        windows = calibration_windows(store, parts, settings.topology, window, CALIBRATION)
        replay = (store, parts.train) if latent_replay else None
        if trained.class_statistics is None:
            trained = replace(trained, class_statistics=describe(trained.recogniser, store, parts.train))
    return build(trained, Path(out), target=target.target, profile=target.name, kinds=target.artifacts, programs=target.programs,
                 calibration=windows, precisions=precisions, notes=target.notes, replay=replay, needs=dict(target.packages),
                 tensorrt=target.tensorrt, progress=progress)
