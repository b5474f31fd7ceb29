"""From a recogniser to a bundle: every artifact that a target wants, and the manifest over all of it."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from importlib import metadata as distributions
from pathlib import Path
from typing import Any

import edgeskel
from edgeskel.continual.device.latent_replay import ENTRY as LATENT
from edgeskel.data import Store
from edgeskel.errors import ExportError, UnknownChoice
from edgeskel.files import atomic_folder
from edgeskel.models import count_parameters
from edgeskel.runtime.bundle import MANIFEST, Bundle
from edgeskel.training import record
from export import model_card
from export.artifact_kinds import KINDS, PROGRAMS, ArtifactKind
from export.artifacts import CALIBRATION, TOLERANCE, ArtifactMaker
from export.bundle import ArtifactEntry, ManifestContent, seal
from export.trained_model import TrainedModel, safe_name
from export.windows import WindowSet

__all__ = ["CALIBRATION", "KINDS", "ArtifactKind", "TrainedModel", "build", "safe_name"]

_STEP_OF = {"onnx-fp32": "onnx-step", "xnnpack-fp32": "xnnpack-step"}


def build(model: TrainedModel, out: Path, *, target: str, kinds: Sequence[str], programs: Sequence[str] = (),
          calibration: WindowSet | None = None, precisions: Sequence[str] = (), notes: Sequence[str] = (),
          replay: tuple[Store, Iterable[int]] | None = None, needs: dict[str, str] | None = None, profile: str = "",
          tensorrt: tuple[int, int] | None = None, progress: Callable[[str], None] = lambda what: None) -> Bundle:
    """Write a bundle; ``out`` appears whole, or not at all.

    Args:
        model: the recogniser.
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
        tensorrt: the oldest TensorRT of the target (major, minor), which must take every ONNX file. None where the target has
            none: the files then keep to no limits of TensorRT, and int8 has weights of 7 bits, right on any processor.
        progress: told what is being made.

    Returns:
        The bundle, opened.

    Raises:
        UnknownChoice: a name in ``kinds`` or ``programs`` that is none of ours.
        LabelMismatch: calibration clips of actions that the recogniser does not know.
        ExportError: an artifact cannot be made, or strays too far from the recogniser's own answers.
        OSError: the disk is full; nothing is left behind.
    """
    for what, names, known in (("kind of artifact", kinds, list(KINDS)), ("program", programs, list(PROGRAMS))):
        for name in names:
            if name not in known:
                raise UnknownChoice(what, name, known)
    maker = ArtifactMaker(model, calibration, tensorrt)
    wanted = [kind for kind in kinds if not precisions or KINDS[kind].precision in precisions]
    if not wanted:
        offered = sorted({KINDS[kind].precision for kind in kinds})
        raise ExportError(f"the target {target!r} has no artifact in {', '.join(precisions)}",
                          expected="one of " + ", ".join(offered))
    if maker.step is None and (steps := [name for name in wanted if KINDS[name].form == "step"]):
        raise ExportError(f"{', '.join(steps)} of {model.name}, which is not causal",
                          expected="a causal recogniser, or other kinds")
    if maker.step is not None:
        wanted += [_STEP_OF[kind] for kind in wanted if kind in _STEP_OF]
    entries: list[ArtifactEntry] = []
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
        entries.append(ArtifactEntry("checkpoint/model.safetensors", "safetensors", "fp32", ("torch",), TOLERANCE["fp32"]))
        maker.write_ranges(folder)
        for program in programs:
            shutil.copyfile(Path(__file__).parent / PROGRAMS[program], folder / program)
        if replay is not None:
            progress("latent replay")
            maker.write_latent_replay(folder, *replay)
        content = _content(maker, target, profile, omitted)
        (folder / "LICENSE").write_text(_license(), encoding="utf-8")
        (folder / "MODEL_CARD.md").write_text(model_card.render(content, entries, model.card, notes, needs or {}), "utf-8")
        progress("manifest")
        seal(folder, content, entries)
    return Bundle.open(out)


def _content(maker: ArtifactMaker, target: str, profile: str, omitted: list[dict[str, str]]) -> ManifestContent:
    config = maker.model.recogniser.config
    more: dict[str, Any] = {
        **({"profile": profile} if profile else {}),
        "created": _created(),
        "budget": {"p95_ms": round(1e3 * config.hop / config.rate_hz, 1)},  # the time between two recognitions
        "recogniser": maker.model.recogniser.name,
        "parameters": count_parameters(maker.model.recogniser),
        "omitted": omitted,
        "tools": _tools(),
        "license": {"program": "Apache-2.0", "weights": "see MODEL_CARD.md: the licence of the data they learned from"},
        "data": {
            "training": {key: maker.model.training[key] for key in record.IN_BUNDLE if key in maker.model.training},
            "golden": {"origin": maker.golden_windows.origin, "sources": list(maker.golden_windows.sources)},
            "calibration": maker.calibrated_with(),
        },
    }
    if maker.step is not None:
        more["step"] = maker.step_entry()
    if maker.latent:
        more[LATENT] = maker.latent
    if maker.model.probability_calibration:
        more["certainty"] = maker.model.probability_calibration
    if maker.model.segmenter:
        more["segmenter"] = maker.model.segmenter
    width = int(maker.golden.embedding.shape[1])
    return ManifestContent(maker.model.name, edgeskel.__version__, target, config.topology, tuple(config.labels), maker.window,
                   width, more)


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
