"""``edgeskel export``: a bundle for a target."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from edgeskel.cli.report import Command, Report, console
from edgeskel.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMAND"]


@dataclass(frozen=True)
class Export:
    """Write a bundle: artifacts, golden inputs and manifest for one kind of device."""

    model: tyro.conf.Positional[str] = "edge-demo"
    """A shipped model's name (edgeskel models) or a checkpoint folder."""
    target: str = "host"
    """Kind of device, device, or a profile's TOML file; edgeskel targets lists them."""
    out: Path | None = None
    """The bundle's folder; MODEL-TARGET in the current folder by default. An older bundle there is replaced."""
    calibration: Path | None = None
    """Store of recorded clips for int8, and for learning on the device where the checkpoint has no embedding.npz; its
    training part is used, never its test part."""
    protocol: str | None = None
    """Which split of the calibration store; the one of the model's training by default, else the dataset's own."""
    fold: int | None = None
    """Which fold of it; that of the model's training by default."""
    latent_replay: bool = False
    """Add what a device needs to train the last layers itself, by ExecuTorch (edgeskel learn --deeper); needs
    --calibration, the store that the model learned from."""
    precision: tuple[Literal["fp32", "fp16", "int8"], ...] = ()
    """Only these; all that the target takes by default."""


def export(config: Export) -> Report:
    """Load, make, prove, write."""
    import targets
    from edgeskel.extras import require
    from export.quiet import quiet

    profile = targets.get(config.target)  # before anything slow: a wrong name is told at once
    if config.latent_replay and config.calibration is None:
        raise UsageError("--latent-replay without --calibration",
                         expected="--calibration STORE: recordings that the model learned from",
                         remedy="some of each action are replayed while the device learns")
    wanted = ("torch", "safetensors",
              *(("onnx", "onnxscript", "onnxsim", "onnxruntime") if _any(profile.artifacts, "onnx") else ()),
              *(("executorch", "torchao") if config.latent_replay or _any(profile.artifacts, "xnnpack") else ()))
    with quiet():
        for package in wanted:
            require(package, f"exporting for {profile.name}", profile.extra)

    from edgeskel import models
    from edgeskel.continual.device import Knowledge, knowledge
    from edgeskel.continual.embedding import describe
    from edgeskel.data import Store
    from edgeskel.models.base import WEIGHTS
    from edgeskel.runtime.bundle import Window
    from edgeskel.training import record
    from export import build
    from export.ranges import Ranges
    from export.windows import calibration_windows

    recogniser = models.from_pretrained(config.model)
    folder = Path(config.model) if (Path(config.model) / "config.json").is_file() else WEIGHTS / config.model
    card = folder / "README.md"
    source = build.Source(build.safe_name(folder.resolve().name), recogniser,
                          card.read_text("utf-8") if card.is_file() else "", record.read(folder), Ranges.read(folder),
                          Knowledge.load(folder / knowledge.FILE) if (folder / knowledge.FILE).is_file() else None,
                          _certainty(folder), _segmenter(folder))
    settings = recogniser.config
    windows = replay = None
    if config.calibration is not None:
        window = Window(settings.persons, settings.source_frames, settings.rate_hz, settings.hop)
        store = Store.open(config.calibration)
        trained = record.Training.of(source.training)
        parts = record.parts_for(trained, store, config.protocol, config.fold)
        record.check_split(trained, store, parts, model=config.model)
        windows = calibration_windows(store, parts, settings.topology, window, build.CALIBRATION)
        replay = (store, parts.train) if config.latent_replay else None
        if source.knowledge is None:
            source = replace(source, knowledge=describe(recogniser, store, parts.train))
    out = config.out if config.out is not None else Path(f"{source.name}-{profile.name}")
    with console.status("exporting") as status:
        bundle = build.build(source, out, target=profile.target, profile=profile.name, kinds=profile.artifacts,
                             programs=profile.programs, calibration=windows, precisions=config.precision, notes=profile.notes,
                             replay=replay, needs=dict(profile.packages), progress=lambda what: status.update(f"exporting {what}"))
    data = {"bundle": str(bundle.path), "name": bundle.name, "target": bundle.target,
            "artifacts": [artifact.details for artifact in bundle.artifacts], "omitted": bundle.manifest["omitted"],
            "latent_replay": bundle.manifest.get("latent_replay"),
            "next": f"edgeskel verify {bundle.path}"}
    return Report(data, text=lambda out: _draw(out, data))


def _segmenter(folder: Path) -> dict[str, Any]:
    """How the training clips move and pause, for the manifest; empty where nothing was learned of it."""
    from edgeskel.runtime.segmentation import SEGMENTER, read_segmenter, segmenter_entry

    found = read_segmenter(folder)
    return dict(segmenter_entry(found)) if (folder / SEGMENTER).is_file() else {}


def _certainty(folder: Path) -> dict[str, Any]:
    """What validation data said about the probabilities, for the manifest; empty where nothing is known."""
    from edgeskel.runtime.bundle import CERTAINTY, read_certainty

    read_certainty(folder)  # refuses what is damaged
    path = folder / CERTAINTY
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def _any(kinds: tuple[str, ...], prefix: str) -> bool:
    return any(kind.startswith(prefix) for kind in kinds)


def _draw(out: Console, data: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in ("artifact", "precision", "kB", "engine", "agree", "diff", "ms"):
        table.add_column(name, no_wrap=True, justify="left" if name in ("artifact", "precision", "engine") else "right")
    for artifact in data["artifacts"]:
        for row in artifact.get("measured") or [{}]:
            table.add_row(artifact["file"].partition("/")[0], artifact["precision"], f"{artifact['bytes'] / 1e3:.0f}",
                          *((row["engine"], f"{100 * row['agreement']:.1f} %", f"{row['max_abs_diff']:.1e}",
                             f"{row['median_ms']:.2f}") if row else ("-",) * 4))
    out.print(data["bundle"], highlight=False, markup=False)
    out.print(table)
    if deeper := data["latent_replay"]:
        out.print(f"{deeper['folder']}/: latent replay, {deeper['bytes'] / 1e3:.0f} kB, {deeper['replayed']} recordings replayed",
                  highlight=False, markup=False)
    for left_out in data["omitted"]:
        out.print(f"left out: {left_out['artifact']}: {left_out['reason']}", highlight=False, markup=False)
    out.print(f"next: {data['next']}", highlight=False, markup=False)


COMMAND = Command(Export, export)
