"""What the verbs around learned actions share: the model that they stand on, and a session that knows them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeskel.errors import UsageError
from edgeskel.extras import needed

if TYPE_CHECKING:
    from edgeskel.continual.device import Knowledge
    from edgeskel.continual.device.latent_replay import LatentReplay
    from edgeskel.runtime import Session

__all__ = ["LEARNED", "Model", "knowledge_of", "latent_replay_of"]

LEARNED = Path("learned.sqlite")


@dataclass(frozen=True, kw_only=True)
class Model:
    """Which recogniser, as `edgeskel run` takes it."""

    bundle: Path | None = None
    """Folder of an exported bundle."""
    model: str | None = None
    """Instead of a bundle: a checkpoint folder or a shipped model's name, run by torch. By default edge-demo."""
    engine: str | None = None
    """Engine for the bundle: tensorrt, executorch, onnxruntime or torch. By default the best one present."""
    precision: str | None = None
    """Artifact of the bundle: fp32, fp16 or int8. By default what the bundle lists first."""
    threads: int | None = None
    """Processor threads. By default the engine decides."""

    def words(self) -> str:
        """The options that choose the same recogniser again, for a command line."""
        chosen = {"bundle": self.bundle, "model": self.model, "engine": self.engine, "precision": self.precision}
        return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in chosen.items() if value is not None)

    def session(self) -> Session:
        """The recogniser alone. Raises as ``edgeskel.cli.run.open_session``."""
        from edgeskel.cli.run import Run, open_session

        return open_session(Run("", bundle=self.bundle, model=self.model, engine=self.engine, precision=self.precision,
                                threads=self.threads))

    def knowledge(self) -> Knowledge:
        """Where its classes lie in the embedding.

        Raises:
            ModelError: the bundle or the checkpoint has no embedding.npz.
            CorruptFile, BundleError, UnknownChoice: the model.
        """
        return knowledge_of(self.bundle, self.model)

    def latent_replay(self) -> LatentReplay:
        """What trains the last layers. Raises as :func:`latent_replay_of`."""
        return latent_replay_of(self.bundle, self.model)


def latent_replay_of(bundle: Path | None, model: str | None) -> LatentReplay:
    """What trains the last layers of a bundle's network.

    Raises:
        UsageError: a model and no bundle.
        ModelError: the bundle was exported without it.
        BundleError, CorruptFile, EngineError: the bundle, or ExecuTorch.
    """
    from edgeskel.continual.device.latent_replay import LatentReplay
    from edgeskel.runtime import Bundle

    folder = bundle or (Path(model) if model else None)
    if folder is None or (bundle is None and not (folder / "manifest.json").is_file()):
        raise UsageError(f"latent replay of the model {model or 'edge-demo'}",
                         expected="a bundle that was exported with --latent-replay",
                         remedy="edgeskel export MODEL --calibration STORE --latent-replay, then --bundle DIR")
    return LatentReplay.of_bundle(Bundle.open(folder))


def knowledge_of(bundle: Path | None, model: str | None) -> Knowledge:
    """See :meth:`Model.knowledge`."""
    from edgeskel.cli.run import DEFAULT_MODEL, NO_TORCH
    from edgeskel.continual.device import Knowledge, knowledge
    from edgeskel.runtime import Bundle

    folder = bundle or Path(model or DEFAULT_MODEL)
    if bundle is not None or (folder / "manifest.json").is_file():
        return Knowledge.of_bundle(Bundle.open(folder))
    with needed(f"the classes of the model {folder}", "train", instead=NO_TORCH):
        from edgeskel.models import folder_of

    return Knowledge.load(folder_of(str(folder)) / knowledge.FILE)
