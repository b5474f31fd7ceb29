"""Every artifact of one recogniser, each proved against the recogniser's own answers before it is kept.

Axes: G golden windows.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import edgeskel
from edgeskel.continual.device.latent_replay import NAME, LatentReplay
from edgeskel.data import Store
from edgeskel.embedding.statistics import FILE as EMBEDDING
from edgeskel.errors import ExportError, LabelMismatch
from edgeskel.models import CausalRecogniser
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Artifact, Golden, Window, step_form
from edgeskel.runtime.comparison import compare, describe, run_windows
from edgeskel.runtime.step_artifact import Stepper
from export.artifact_kinds import KINDS, ArtifactKind
from export.bundle import ArtifactEntry, write_golden
from export.graph import DeployableGraph, StepGraph, export_program
from export.library_output import suppress_library_output
from export.ranges import FILE as RANGES
from export.ranges import Ranges, apply_scales, read_scales, weights_digest
from export.trained_model import TrainedModel
from export.verify import latent_artifact
from export.windows import WindowSet, synthetic_windows

__all__ = ["CALIBRATION", "TOLERANCE", "ArtifactMaker"]

GOLDEN = 12
CALIBRATION = 64
TOLERANCE = {
    "fp32": {"agreement": 1.0, "max_abs_diff": 1e-4, "top1_drop": 0.0},
    "fp16": {"agreement": 0.98, "max_abs_diff": 0.05, "top1_drop": 0.5},
    "int8": {"agreement": 0.90, "max_abs_diff": 0.5, "top1_drop": 1.0},
}
"""What each precision may do to the answers. fp32 may do nothing; int8 may move uncertain ones."""


class ArtifactMaker:
    """Makes artifacts of one recogniser, each traced and calibrated once.

    Args:
        model: the recogniser.
        calibration: recorded clips, for int8 and as golden inputs; see :func:`export.build.build`.
        tensorrt: the oldest TensorRT of the target (major, minor); None where it has none.

    Raises:
        LabelMismatch: calibration clips of actions that the recogniser does not know.
    """

    model: TrainedModel
    tensorrt: tuple[int, int] | None
    golden: Golden
    golden_windows: WindowSet

    def __init__(self, model: TrainedModel, calibration: WindowSet | None, tensorrt: tuple[int, int] | None = None) -> None:
        config = model.recogniser.config
        if calibration is not None:
            _check_labels(calibration, config.labels, model.name)
        self.model, self.tensorrt = model, tensorrt
        self.graph: DeployableGraph = DeployableGraph(model.recogniser).eval()
        self.step: StepGraph | None = None
        if isinstance(model.recogniser, CausalRecogniser):
            self.step = StepGraph(model.recogniser).eval()
        self.window: Window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
        self.metadata: dict[str, Any] = {
            "name": model.name, "version": edgeskel.__version__, "labels": list(config.labels),
            "topology": config.topology.to_dict(), "persons": config.persons, "frames": config.source_frames,
            "rate_hz": float(config.rate_hz), "hop": config.hop,
        }
        self.weights: str = weights_digest(model.recogniser)
        self.ranges: dict[str, Any] = {}
        recorded = model.ranges
        self.recorded: Ranges | None = recorded if recorded is not None and recorded.weights == self.weights else None
        if calibration is None and self.recorded is None and model.learned_from_synthetic_motion:
            calibration = synthetic_windows(config.topology, self.window, CALIBRATION, config.labels)
        self.calibration = calibration
        if calibration is None:
            self.golden_windows = synthetic_windows(config.topology, self.window, GOLDEN, config.labels, seed=7)
        else:
            spread = np.unique(np.linspace(0, len(calibration) - 1, GOLDEN).astype(int))
            self.golden_windows = calibration.take(spread)
        self._network: Any = None
        self.latent: dict[str, Any] = {}

    def write_reference(self, folder: Path) -> None:
        """The checkpoint itself, and what it says to the golden inputs."""
        self.model.recogniser.save_pretrained(folder / "checkpoint")
        if self.model.class_statistics is not None:
            self.model.class_statistics.save(folder / "checkpoint" / EMBEDDING)
        windows = self.golden_windows
        answers = [self._torch(*pair) for pair in windows.pairs()]
        probabilities, embedding = (np.concatenate([answer[i] for answer in answers]) for i in (0, 1))
        if not (np.isfinite(probabilities).all() and np.isfinite(embedding).all()):
            raise ExportError(f"{self.model.name} answers the golden inputs with NaN", remedy="train it again")
        self.golden = Golden(windows.joints, windows.confidence, probabilities, embedding)
        write_golden(folder, self.golden, windows.labels)

    def write(self, folder: Path, name: str) -> ArtifactEntry:
        """Make one artifact and prove it on the golden inputs."""
        kind = KINDS[name]
        content, details = self.make(name)
        (folder / kind.file).write_bytes(content)
        if kind.form != "clip":
            details["form"] = kind.form
        details["measured"] = self.prove(folder / kind.file, kind, len(content))
        return ArtifactEntry(kind.file, kind.format, kind.precision, self._engines(kind), TOLERANCE[kind.precision], details)

    def _engines(self, kind: ArtifactKind) -> tuple[str, ...]:
        return tuple(engine for engine in kind.engines if engine != "tensorrt" or self.tensorrt is not None)

    def make(self, name: str) -> tuple[bytes, dict[str, Any]]:
        """One artifact's content, and what the manifest says of it."""
        if name.startswith("onnx"):
            return self._make_onnx(name)
        from export import executorch

        if name == "coreml-fp32":
            lowered = executorch.lower_coreml(self.graph, self.metadata)
        elif name == "xnnpack-fp32":
            lowered = executorch.lower_xnnpack(export_program(self.graph), self.metadata)
        elif name == "xnnpack-step":
            assert self.step is not None
            lowered = executorch.lower_xnnpack(export_program(self.step), {**self.metadata, "step": self.step_entry()})
        else:
            lowered = executorch.lower_xnnpack(self._quantized(), self.metadata)
        details: dict[str, Any] = {"undelegated": lowered.undelegated, "delegates": lowered.delegates}
        if name == "coreml-fp32":
            details["note"] = "made here, but only Apple's systems run it: not verified"
        return lowered.content, details

    def _make_onnx(self, name: str) -> tuple[bytes, dict[str, Any]]:
        from export import fp16, onnx, qdq

        if name == "onnx-step":
            assert self.step is not None
            model = onnx.export_step(self.step, {**self.metadata, "step": self.step_entry()}, self.tensorrt)
            return model.SerializeToString(), {"opset": onnx.OPSET, "nodes": len(model.graph.node)}
        if self._network is None:
            self._network = onnx.export_onnx(self.graph, self.metadata, self.tensorrt)
        network = self._network
        if name == "onnx-fp16":
            model = fp16.to_fp16(network)
        elif name == "onnx-int8":
            model = qdq.to_int8(network, self._activation_ranges(network))
        else:
            model = network.model
        return model.SerializeToString(), {"opset": onnx.OPSET, "nodes": len(model.graph.node)}

    def step_entry(self) -> dict[str, Any]:
        """How the step artifacts are fed, for the manifest."""
        assert self.step is not None
        joints, confidence, *states = self.step.example()
        return {
            "frames": self.step.frames, "look_ahead": 0, "delay": 0,
            "inputs": [{"name": "joints", "shape": list(joints.shape)}, {"name": "confidence", "shape": list(confidence.shape)}],
            "states": [{"name": name, "shape": list(state.shape)}
                       for name, state in zip(self.step.inputs[2:], states, strict=True)],
        }

    def _activation_ranges(self, network: Any) -> dict[str, float]:
        from export import qdq

        if self.calibration is None and self.recorded is not None and self.recorded.onnx is not None:
            names = qdq.quantized_inputs(network)
            if len(names) != len(self.recorded.onnx):
                raise ExportError(f"{RANGES} holds {len(self.recorded.onnx)} ranges", expected=f"{len(names)} for this graph",
                                  remedy="calibrate anew with --calibration STORE")
            ranges = dict(zip(names, self.recorded.onnx, strict=True))
        else:
            ranges = qdq.activation_ranges(network, self._clips().pairs())
        self.ranges["onnx"] = list(ranges.values())
        return ranges

    def _quantized(self) -> Any:
        """The int8 program for XNNPACK."""
        recorded = None if self.recorded is None or self.calibration is not None else self.recorded.xnnpack
        with suppress_library_output():
            from edgeskel.compression.quantization import quantize

            # With recorded scales any plausible window will do: it only builds the graph that they are put into.
            clips = self._clips() if recorded is None else self.golden_windows.take([0])
            quantized = quantize(self.graph, clips.pairs(), self.graph.floating)
            if recorded is not None:
                apply_scales(quantized, recorded)
            self.ranges["xnnpack"] = read_scales(quantized)
            with torch.no_grad():
                return torch.export.export(quantized, self.graph.example(), strict=False)

    def write_ranges(self, folder: Path) -> None:
        """What calibration found, beside the weights in the bundle."""
        if self.ranges:
            found = Ranges(self.weights, self.calibrated_with() or {}, **self.ranges)
            (folder / "checkpoint" / RANGES).write_text(found.to_json(), encoding="utf-8")

    def calibrated_with(self) -> dict[str, Any] | None:
        """What int8 was calibrated with, for the manifest."""
        calibration = self.calibration
        if calibration is not None:
            return {"origin": calibration.origin, "clips": len(calibration), "digest": calibration.digest,
                    "data_digest": calibration.data_digest, "sources": list(calibration.sources)}
        return None if self.recorded is None else self.recorded.calibration

    def _clips(self) -> WindowSet:
        if self.calibration is None:
            raise ExportError("int8 needs recorded clips to calibrate with, and none were given",
                              remedy="give --calibration STORE (its training part is used, never its test part)")
        return self.calibration

    def prove(self, path: Path, kind: ArtifactKind, size: int) -> list[dict[str, Any]]:
        """Run the golden inputs on every engine present. Raises ``ExportError`` when the answers stray.

        ONNX Runtime's engine computes int8 exactly as the graph says, and so as TensorRT does: whether the int8 kernels of the
        processor that exports are right decides nothing.
        """
        measured = []
        for name in kind.engines:
            if name not in engines.ENGINES or engines.get(name).available() is not None:
                continue
            if name == "tensorrt":
                continue  # an engine is built on the device, not while exporting
            engine: Any = engines.get(name)(path, {"labels": self.metadata["labels"]}, 1)
            if kind.form == "step":
                engine = Stepper(engine, step_form(self.step_entry()), len(self.model.recogniser.config.topology.joints))
            details = {"tolerance": TOLERANCE[kind.precision], "bytes": size}
            artifact = Artifact(kind.file, kind.format, kind.precision, self._engines(kind), details)
            measured.append(self._measure(artifact, name, engine))
        return measured

    def _measure(self, artifact: Artifact, name: str, engine: Any) -> dict[str, Any]:
        """Run the golden inputs on one engine. Raises ``ExportError`` when the answers stray."""
        answers = run_windows(engine, self.golden.joints, self.golden.confidence)
        outcome = compare(artifact, name, "golden", answers, self.golden.probabilities)
        if not outcome.passed:
            raise ExportError(describe(outcome), expected=f"{artifact.precision} within {TOLERANCE[artifact.precision]}",
                              remedy=self._remedy(artifact.precision))
        return {"engine": name, "windows": outcome.windows, "agreement": outcome.agreement,
                "max_abs_diff": outcome.max_abs_diff, "median_ms": round(outcome.median_ms, 3),
                "threads": 1, "machine": platform.processor() or platform.machine()}

    def _remedy(self, precision: str) -> str:
        """What was not done yet."""
        if precision == "fp32":
            return "the engine's version computes something else: report both versions"
        leave_out = f"leave {precision} out: --precision " + " ".join(sorted({"fp16", "fp32", "int8"} - {precision}))
        if precision == "int8" and (self.calibration is None or not self.calibration.data_digest):
            return f"calibrate with recordings of its own actions, --calibration STORE, or {leave_out}"
        return f"{leave_out}; these weights lose too much in it"

    def write_latent_replay(self, folder: Path, store: Store, clips: Iterable[int]) -> None:
        """Trunk, tail and latents to replay, proved like an artifact; they are none, since no app runs them as one."""
        from export.latent import FOLDER, SPARE, write_latent_replay

        replayed = write_latent_replay(self.model.recogniser, folder / FOLDER, store, clips)
        size = sum(file.stat().st_size for file in (folder / FOLDER).iterdir())
        entry = {"folder": FOLDER, "bytes": size, "replayed": replayed, "room": SPARE, "tolerance": TOLERANCE["fp32"]}
        if LatentReplay.available() is None:
            entry["measured"] = [self._measure(latent_artifact(entry), NAME, LatentReplay(folder / FOLDER))]
        self.latent = entry

    def _torch(self, joints: Any, confidence: Any) -> tuple[Any, Any]:
        with torch.inference_mode():
            embedding = self.model.recogniser.embed(torch.from_numpy(joints), torch.from_numpy(confidence))
            probabilities = torch.softmax(self.model.recogniser.classifier(embedding), dim=-1)
        return probabilities.numpy(), embedding.numpy()


def _check_labels(calibration: WindowSet, known: Sequence[str], name: str) -> None:
    """Clips of other actions have other ranges. Unlabelled ones are the user's own, and his to answer for."""
    unknown = sorted(set(calibration.labels) - set(known) - {""})
    if unknown:
        raise LabelMismatch(f"calibration clips ({calibration.origin}) of {', '.join(map(repr, unknown[:5]))}"
                            f"{', ...' if len(unknown) > 5 else ''}, which {name} does not know",
                            expected="clips of its own actions: " + ", ".join(known[:5]) + (", ..." if len(known) > 5 else ""),
                            remedy="give a store of the data set that it was trained with; recordings of your own with other "
                                   "names are taken when they are imported without labels")
