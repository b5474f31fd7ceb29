"""What the verbs that run a recogniser share: which one it is, a session of it, and what actions learned on it stand on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgeskel.cli.report import console
from edgeskel.errors import EngineError, UsageError
from edgeskel.extras import needed

if TYPE_CHECKING:
    from edgeskel.continual.device.latent_replay import LatentReplay
    from edgeskel.embedding import ClassStatistics
    from edgeskel.runtime import Bundle, Session

__all__ = ["DEFAULT_MODEL", "LEARNED", "Model"]

DEFAULT_MODEL = "edge-demo"
LEARNED = Path("learned.sqlite")
NO_TORCH = ("run a bundle, which needs numpy and one engine: --bundle DIR, made by edgeskel export MODEL --out DIR where there is "
            "torch")
"""What to do where a model is to be run and torch is missing."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Which recogniser."""

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

    def session(self, mode: Literal["streaming", "sliding-window"] | None = None, threshold: float | None = None,
                persons: int = 4) -> Session:
        """A session of it.

        Args:
            mode, threshold: as :func:`edgeskel.runtime.load` takes them; None is the recogniser's own.
            persons: who are followed at a time.

        Raises:
            UsageError: both a bundle and a model, or an option of bundles with a model.
            ModelError, BundleError, CorruptFile, EngineError, UnknownChoice: the model or the bundle.
        """
        from edgeskel import runtime
        from edgeskel.runtime.bundle import Bundle

        if self.bundle is not None and self.model is not None:
            raise UsageError("both --bundle and --model", expected="one of them")
        if self._is_bundle():
            runtime.engines.check_threads(self.threads)
            bundle = Bundle.open(self._folder())
            self._prove(bundle, mode)
            settings = runtime.event_config(bundle.certainty, threshold, bundle.segmenter)
            session = runtime.load(self._folder(), self.engine, self.precision, self.threads, mode, settings)
            if session.remark:
                console.print(session.remark, style="dim")
        else:
            session = self._of_model(mode, threshold)
        session.most = persons
        session.reset()
        return session

    def knowledge(self) -> ClassStatistics:
        """Where its classes lie in the embedding.

        Raises:
            ModelError: the bundle or the checkpoint has no embedding.npz.
            CorruptFile, BundleError, UnknownChoice: the model.
        """
        from edgeskel.embedding import ClassStatistics, statistics
        from edgeskel.runtime import Bundle

        if self._is_bundle():
            return ClassStatistics.of_bundle(Bundle.open(self._folder()))
        with needed(f"the classes of the model {self._folder()}", "train", instead=NO_TORCH):
            from edgeskel.models import folder_of

        return ClassStatistics.load(folder_of(str(self._folder())) / statistics.FILE)

    def latent_replay(self) -> LatentReplay:
        """What trains the last layers of its network.

        Raises:
            UsageError: a model and no bundle.
            ModelError: the bundle was exported without it.
            BundleError, CorruptFile, EngineError: the bundle, or ExecuTorch.
        """
        from edgeskel.continual.device.latent_replay import LatentReplay
        from edgeskel.runtime import Bundle

        if not self._is_bundle():
            raise UsageError(f"latent replay of the model {self.model or DEFAULT_MODEL}",
                             expected="a bundle that was exported with --latent-replay",
                             remedy="edgeskel export MODEL --calibration STORE --latent-replay, then --bundle DIR")
        return LatentReplay.of_bundle(Bundle.open(self._folder()))

    def _folder(self) -> Path:
        return self.bundle or Path(self.model or DEFAULT_MODEL)

    def _is_bundle(self) -> bool:
        return self.bundle is not None or (self._folder() / "manifest.json").is_file()

    def _of_model(self, mode: Literal["streaming", "sliding-window"] | None, threshold: float | None) -> Session:
        from edgeskel import runtime
        from edgeskel.runtime.bundle import read_certainty
        from edgeskel.runtime.segmentation import read_segmenter

        if self.engine not in (None, "torch") or self.precision is not None:
            raise UsageError(
                f"--engine or --precision with the model {self._folder()}",
                expected="a bundle: a model is run by torch as it is",
                remedy=f"export it first: edgeskel export {self._folder()} --target host --out DIR",
            )
        name = self.model or DEFAULT_MODEL
        with needed(f"running the model {name}", "train", instead=NO_TORCH):
            from edgeskel.models import folder_of, from_pretrained

        model = from_pretrained(name)
        settings = runtime.event_config(read_certainty(folder_of(name)), threshold, read_segmenter(folder_of(name)))
        return runtime.session_of(model, self.threads, mode, settings)

    def _prove(self, bundle: Bundle, mode: str | None) -> None:
        """What ExecuTorch is about to load must not end this process."""
        from edgeskel import runtime
        from edgeskel.cli import isolated_proof

        for form in ("clip", "step") if bundle.step is not None and mode != "sliding-window" else ("clip",):
            try:
                artifact, engine = runtime.choose(bundle, self.engine, self.precision, form)
            except EngineError:  # that none runs here is told where it is loaded
                continue
            if engine == isolated_proof.ENGINE:
                isolated_proof.prove(bundle, artifact)
