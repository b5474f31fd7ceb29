"""From a recogniser to a bundle: every artifact that a target wants, proved against torch before it is kept.

Axes: G golden windows.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata as distributions
from pathlib import Path
from typing import Any

import numpy as np
import torch

import edgeskel
from edgeskel.continual.device.knowledge import FILE as EMBEDDING
from edgeskel.continual.device.knowledge import Knowledge
from edgeskel.continual.device.latent_replay import ENTRY as LATENT
from edgeskel.continual.device.latent_replay import NAME, LatentReplay
from edgeskel.data import Store, synthetic
from edgeskel.errors import ExportError, LabelMismatch
from edgeskel.files import atomic_folder
from edgeskel.models.base import Recogniser, count_parameters
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import MANIFEST, Artifact, Bundle, Golden, Window, step_form
from edgeskel.runtime.stepping import Stepper
from export import card
from export.bundle import Content, Entry, seal, write_golden
from export.graph import DeployableGraph, StepGraph, export_program
from export.kinds import KINDS, PROGRAMS, Kind
from export.quiet import quiet
from export.ranges import FILE as RANGES
from export.ranges import Ranges, apply_scales, read_scales, weights_digest
from export.verify import compare, describe, latent_artifact, run_windows
from export.windows import Windows, synthetic_windows

__all__ = ["KINDS", "Kind", "Source", "build"]

GOLDEN = 12
CALIBRATION = 64
TOLERANCE = {
    "fp32": {"agreement": 1.0, "max_abs_diff": 1e-4, "top1_drop": 0.0},
    "fp16": {"agreement": 0.98, "max_abs_diff": 0.05, "top1_drop": 0.5},
    "int8": {"agreement": 0.90, "max_abs_diff": 0.5, "top1_drop": 1.0},
}
"""What each precision may do to the answers. fp32 may do nothing; int8 may move uncertain ones."""

_STEP_OF = {"onnx-fp32": "onnx-step", "xnnpack-fp32": "xnnpack-step"}


@dataclass(frozen=True)
class Source:
    """What is exported.

    Args:
        name: of the bundle.
        recogniser: in evaluation mode, float32.
        card: its model card, "" when it has none.
        training: what its training recorded (dataset, digest, split, seed), empty when unknown.
        ranges: what an earlier calibration of these weights found, for int8 without recordings.
        knowledge: where its classes lie in the embedding; a bundle without it learns no actions on the device.
        certainty: what validation data said about its probabilities, empty when unknown.
        segmenter: how its training clips move and pause, empty when unknown.
    """

    name: str
    recogniser: Recogniser
    card: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    ranges: Ranges | None = None
    knowledge: Knowledge | None = None
    certainty: dict[str, Any] = field(default_factory=dict)
    segmenter: dict[str, Any] = field(default_factory=dict)

    @property
    def learned_from_synthetic_motion(self) -> bool:
        """Whether generated motion is this recogniser's own kind of data."""
        if self.training:
            return self.training.get("dataset") == synthetic.DATASET
        return set(self.recogniser.config.labels) <= set(synthetic.actions())


def build(source: Source, out: Path, *, target: str, kinds: Sequence[str], programs: Sequence[str] = (),
          calibration: Windows | None = None, precisions: Sequence[str] = (), notes: Sequence[str] = (),
          replay: tuple[Store, Iterable[int]] | None = None, needs: dict[str, str] | None = None, profile: str = "",
          progress: Callable[[str], None] = lambda what: None) -> Bundle:
    """Write a bundle; ``out`` appears whole, or not at all.

    Args:
        source: the recogniser.
        out: the folder to make; an older bundle there is replaced.
        target: the target's name, for the manifest.
        kinds: names of :data:`KINDS`, the preferred one first. A causal recogniser gets the step form of the fp32 ones too.
        programs: of ours that travel along (``build_engine.py``).
        calibration: recorded clips of the training part, for int8 and as golden inputs. Without them int8 uses the
            ranges that travel with the weights; a recogniser that learned from generated motion is calibrated with such
            motion; any other gets no int8.
        precisions: only these; asking for one makes failing to provide it an error.
        notes, needs: the target's, for the card.
        replay: the recordings that the recogniser learned from, and its training part of them: with these the bundle gets what
            a device trains the last layers with.
        profile: the device's profile, for the manifest.
        progress: told what is being made.

    Raises:
        LabelMismatch: calibration clips of actions that the recogniser does not know.
        ExportError: an artifact cannot be made, or strays too far from the recogniser's own answers.
        OSError: the disk is full; nothing is left behind.
    """
    maker = _Maker(source, calibration)
    wanted = [kind for kind in kinds if not precisions or KINDS[kind].precision in precisions]
    if not wanted:
        offered = sorted({KINDS[kind].precision for kind in kinds})
        raise ExportError(f"the target {target!r} has no artifact in {', '.join(precisions)}",
                          expected="one of " + ", ".join(offered))
    if maker.step is not None:
        wanted += [_STEP_OF[kind] for kind in wanted if kind in _STEP_OF]
    entries: list[Entry] = []
    omitted: list[dict[str, str]] = []
    with atomic_folder(out, marker=MANIFEST) as folder:
        progress("reference")
        maker.write_reference(folder)
        for name in wanted:
            progress(name)
            try:
                entries.append(maker.write(folder, name))
            except ExportError as error:
                precision = KINDS[name].precision
                if name != "coreml-fp32" and (precision == "fp32" or precision in precisions):
                    raise
                (folder / KINDS[name].file).unlink(missing_ok=True)
                omitted.append({"artifact": name, "reason": str(error)})
        entries.append(Entry("checkpoint/model.safetensors", "safetensors", "fp32", ("torch",), TOLERANCE["fp32"]))
        maker.write_ranges(folder)
        for program in programs:
            shutil.copyfile(Path(__file__).parent / PROGRAMS[program], folder / program)
        if replay is not None:
            progress("latent replay")
            maker.write_latent_replay(folder, *replay)
        content = maker.content(target, profile, omitted)
        (folder / "LICENSE").write_text(_license(), encoding="utf-8")
        (folder / "MODEL_CARD.md").write_text(card.render(content, entries, source.card, notes, needs or {}), "utf-8")
        progress("manifest")
        seal(folder, content, entries)
    return Bundle.open(out)


class _Maker:
    """Makes artifacts of one recogniser, each traced and calibrated once."""

    def __init__(self, source: Source, calibration: Windows | None) -> None:
        config = source.recogniser.config
        if calibration is not None:
            _check_labels(calibration, config.labels, source.name)
        self.source = source
        self.graph = DeployableGraph(source.recogniser).eval()
        self.step = StepGraph(source.recogniser).eval() if getattr(config, "causal", False) else None
        self.window = Window(config.persons, config.source_frames, config.rate_hz, config.hop)
        self.metadata = {
            "name": source.name, "version": edgeskel.__version__, "labels": list(config.labels),
            "topology": config.topology.to_dict(), "persons": config.persons, "frames": config.source_frames,
            "rate_hz": float(config.rate_hz), "hop": config.hop,
        }
        self.weights = weights_digest(source.recogniser)
        self.ranges: dict[str, Any] = {}
        self.recorded = source.ranges if source.ranges is not None and source.ranges.weights == self.weights else None
        if calibration is None and self.recorded is None and source.learned_from_synthetic_motion:
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
        self.source.recogniser.save_pretrained(folder / "checkpoint")
        if self.source.knowledge is not None:
            self.source.knowledge.save(folder / "checkpoint" / EMBEDDING)
        windows = self.golden_windows
        answers = [self._torch(*pair) for pair in windows.pairs()]
        probabilities, embedding = (np.concatenate([answer[i] for answer in answers]) for i in (0, 1))
        if not (np.isfinite(probabilities).all() and np.isfinite(embedding).all()):
            raise ExportError(f"{self.source.name} answers the golden inputs with NaN", remedy="train it again")
        self.golden = Golden(windows.joints, windows.confidence, probabilities, embedding)
        write_golden(folder, self.golden, windows.labels)

    def write(self, folder: Path, name: str) -> Entry:
        """Make one artifact and prove it on the golden inputs."""
        kind = KINDS[name]
        content, details = self._make(name)
        (folder / kind.file).write_bytes(content)
        if kind.form != "clip":
            details["form"] = kind.form
        details["measured"] = self._prove(folder / kind.file, kind, len(content))
        return Entry(kind.file, kind.format, kind.precision, kind.engines, TOLERANCE[kind.precision], details)

    def _make(self, name: str) -> tuple[bytes, dict[str, Any]]:
        if name.startswith("onnx"):
            return self._make_onnx(name)
        from export import executorch

        if name == "coreml-fp32":
            lowered = executorch.lower_coreml(self.graph, self.metadata)
        elif name == "xnnpack-fp32":
            lowered = executorch.lower_xnnpack(export_program(self.graph), self.metadata)
        elif name == "xnnpack-step":
            assert self.step is not None
            lowered = executorch.lower_xnnpack(export_program(self.step), {**self.metadata, "step": self._step_form()})
        else:
            lowered = executorch.lower_xnnpack(self._quantized(), self.metadata)
        details: dict[str, Any] = {"undelegated": lowered.undelegated, "delegates": lowered.delegates}
        if name == "coreml-fp32":
            details["note"] = "made here, but only Apple's systems run it: not verified"
        return lowered.content, details

    def _make_onnx(self, name: str) -> tuple[bytes, dict[str, Any]]:
        from export import half, onnx, qdq

        if name == "onnx-step":
            assert self.step is not None
            model = onnx.export_step(self.step, {**self.metadata, "step": self._step_form()})
            return model.SerializeToString(), {"opset": onnx.OPSET, "nodes": len(model.graph.node)}
        if self._network is None:
            self._network = onnx.export_onnx(self.graph, self.metadata)
        network = self._network
        if name == "onnx-fp16":
            model = half.to_half(network)
        elif name == "onnx-int8":
            model = qdq.to_int8(network, self._activation_ranges(network))
        else:
            model = network.model
        return model.SerializeToString(), {"opset": onnx.OPSET, "nodes": len(model.graph.node)}

    def _step_form(self) -> dict[str, Any]:
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
        with quiet():
            from edgeskel.compression.quantization import quantize

            # With recorded scales any plausible window will do: it only builds the graph that they are put into.
            clips = self._clips() if recorded is None else self.golden_windows.take([0])
            quantized = quantize(self.graph, clips.pairs())
            if recorded is not None:
                apply_scales(quantized, recorded)
            self.ranges["xnnpack"] = read_scales(quantized)
            with torch.no_grad():
                return torch.export.export(quantized, self.graph.example(), strict=False)

    def write_ranges(self, folder: Path) -> None:
        """What calibration found, beside the weights in the bundle."""
        if self.ranges:
            found = Ranges(self.weights, self._calibrated_with() or {}, **self.ranges)
            (folder / "checkpoint" / RANGES).write_text(found.to_json(), encoding="utf-8")

    def _calibrated_with(self) -> dict[str, Any] | None:
        calibration = self.calibration
        if calibration is not None:
            return {"origin": calibration.origin, "clips": len(calibration), "digest": calibration.digest,
                    "data_digest": calibration.data_digest, "sources": list(calibration.sources)}
        return None if self.recorded is None else self.recorded.calibration

    def _clips(self) -> Windows:
        if self.calibration is None:
            raise ExportError("int8 needs recorded clips to calibrate with, and none were given",
                              remedy="give --calibration STORE (its training part is used, never its test part)")
        return self.calibration

    def _prove(self, path: Path, kind: Kind, size: int) -> list[dict[str, Any]]:
        """Run the golden inputs on every engine present. Raises ``ExportError`` when the answers stray."""
        measured = []
        for name in kind.engines:
            if name not in engines.ENGINES or engines.get(name).available() is not None:
                continue
            if name == "tensorrt":
                continue  # an engine is built on the device, not while exporting
            engine: Any = engines.get(name)(path, {"labels": self.metadata["labels"]}, 1)
            if kind.form == "step":
                engine = Stepper(engine, step_form(self._step_form()), len(self.source.recogniser.config.topology.joints))
            details = {"tolerance": TOLERANCE[kind.precision], "bytes": size}
            artifact = Artifact(kind.file, kind.format, kind.precision, kind.engines, details)
            measured.append(self._measure(artifact, name, engine))
        return measured

    def _measure(self, artifact: Artifact, name: str, engine: Any) -> dict[str, Any]:
        """Run the golden inputs on one engine. Raises ``ExportError`` when the answers stray."""
        answers = run_windows(engine, self.golden.joints, self.golden.confidence)
        outcome = compare(artifact, name, "golden", answers, self.golden.probabilities)
        if not outcome.passed:
            raise ExportError(describe(outcome), expected=f"{artifact.precision} within {TOLERANCE[artifact.precision]}",
                              remedy="calibrate with clips of the recogniser's own data, or leave this precision out")
        return {"engine": name, "windows": outcome.windows, "agreement": outcome.agreement,
                "max_abs_diff": outcome.max_abs_diff, "median_ms": round(outcome.median_ms, 3),
                "threads": 1, "machine": platform.processor() or platform.machine()}

    def write_latent_replay(self, folder: Path, store: Store, clips: Iterable[int]) -> None:
        """Trunk, tail and latents to replay, proved like an artifact; they are none, since no app runs them as one."""
        from export.latent import FOLDER, SPARE, write_latent_replay

        replayed = write_latent_replay(self.source.recogniser, folder / FOLDER, store, clips)
        size = sum(file.stat().st_size for file in (folder / FOLDER).iterdir())
        entry = {"folder": FOLDER, "bytes": size, "replayed": replayed, "room": SPARE, "tolerance": TOLERANCE["fp32"]}
        if LatentReplay.available() is None:
            entry["measured"] = [self._measure(latent_artifact(entry), NAME, LatentReplay(folder / FOLDER))]
        self.latent = entry

    def _torch(self, joints: Any, confidence: Any) -> tuple[Any, Any]:
        with torch.inference_mode():
            embedding = self.source.recogniser.embed(torch.from_numpy(joints), torch.from_numpy(confidence))
            probabilities = torch.softmax(self.source.recogniser.classifier(embedding), dim=-1)
        return probabilities.numpy(), embedding.numpy()

    def content(self, target: str, profile: str, omitted: list[dict[str, str]]) -> Content:
        config = self.source.recogniser.config
        more: dict[str, Any] = {
            **({"profile": profile} if profile else {}),
            "created": _created(),
            "budget": {"p95_ms": round(1e3 * config.hop / config.rate_hz, 1)},  # the time between two recognitions
            "recogniser": self.source.recogniser.name,
            "parameters": count_parameters(self.source.recogniser),
            "omitted": omitted,
            "tools": _tools(),
            "license": {"program": "Apache-2.0", "weights": "see MODEL_CARD.md: the licence of the data they learned from"},
            "data": {
                "training": {key: self.source.training[key] for key in ("dataset", "data_digest", "split", "seed")
                             if key in self.source.training},
                "golden": {"origin": self.golden_windows.origin, "sources": list(self.golden_windows.sources)},
                "calibration": self._calibrated_with(),
            },
        }
        if self.step is not None:
            more["step"] = self._step_form()
        if self.latent:
            more[LATENT] = self.latent
        if self.source.certainty:
            more["certainty"] = self.source.certainty
        if self.source.segmenter:
            more["segmenter"] = self.source.segmenter
        width = int(self.golden.embedding.shape[1])
        return Content(self.source.name, edgeskel.__version__, target, config.topology, tuple(config.labels), self.window,
                       width, more)


def _check_labels(calibration: Windows, known: Sequence[str], name: str) -> None:
    """Clips of other actions have other ranges. Unlabelled ones are the user's own, and his to answer for."""
    unknown = sorted(set(calibration.labels) - set(known) - {""})
    if unknown:
        raise LabelMismatch(f"calibration clips ({calibration.origin}) of {', '.join(map(repr, unknown[:5]))}"
                            f"{', ...' if len(unknown) > 5 else ''}, which {name} does not know",
                            expected="clips of its own actions: " + ", ".join(known[:5]) + (", ..." if len(known) > 5 else ""),
                            remedy="give a store of the data set that it was trained with; recordings of your own with other "
                                   "names are taken when they are imported without labels")


def _tools() -> dict[str, str]:
    """Versions of what made the artifacts."""
    found = {"python": platform.python_version()}
    for name in ("edgeskel", "torch", "numpy", "onnx", "onnxsim", "onnxruntime", "onnxscript", "executorch", "torchao",
                 "coremltools"):
        try:
            found[name] = distributions.version(name)
        except distributions.PackageNotFoundError:
            continue
    return found


def _created() -> str:
    """When this bundle was made, in UTC: by it a device tells an older release. SOURCE_DATE_EPOCH, where it is set."""
    moment = float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="seconds")


def _license() -> str:
    """The program's licence, from the installed package or the repository."""
    try:
        text = distributions.distribution("edgeskel").read_text("licenses/LICENSE")
    except distributions.PackageNotFoundError:
        text = None
    beside = Path(__file__).resolve().parent.parent / "LICENSE"
    return text or (beside.read_text("utf-8") if beside.is_file() else "Apache License 2.0\n")


def safe_name(text: str) -> str:
    """A bundle's name from a path or a model's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "model"
