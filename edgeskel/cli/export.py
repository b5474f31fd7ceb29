"""``edgeskel export``: a bundle for a target."""

from __future__ import annotations

from dataclasses import dataclass
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
    from export.library_output import suppress_library_output

    profile = targets.get(config.target)  # before anything slow: a wrong name is told at once
    if config.latent_replay and config.calibration is None:
        raise UsageError("--latent-replay without --calibration",
                         expected="--calibration STORE: recordings that the model learned from",
                         remedy="some of each action are replayed while the device learns")
    wanted = ("torch", "safetensors",
              *(("onnx", "onnxscript", "onnxsim", "onnxruntime") if _any(profile.artifacts, "onnx") else ()),
              *(("executorch", "torchao") if config.latent_replay or _any(profile.artifacts, "xnnpack") else ()))
    with suppress_library_output():
        for package in wanted:
            require(package, f"exporting for {profile.name}", profile.extra)

    from edgeskel.models import folder_of
    from export.exporting import export_bundle
    from export.trained_model import safe_name

    out = config.out
    if out is None:
        out = Path(f"{safe_name(folder_of(config.model).resolve().name)}-{profile.name}")
    with console.status("exporting") as status:
        bundle = export_bundle(config.model, out, profile, calibration=config.calibration, protocol=config.protocol,
                               fold=config.fold, latent_replay=config.latent_replay, precisions=config.precision,
                               progress=lambda what: status.update(f"exporting {what}"))
    data = {"bundle": str(bundle.path), "name": bundle.name, "target": bundle.target,
            "artifacts": [artifact.details for artifact in bundle.artifacts], "omitted": bundle.manifest["omitted"],
            "latent_replay": bundle.manifest.get("latent_replay"),
            "next": f"edgeskel verify {bundle.path}"}
    return Report(data, text=lambda out: _draw(out, data))


def _any(kinds: tuple[str, ...], prefix: str) -> bool:
    return any(kind.startswith(prefix) for kind in kinds)


def _draw(out: Console, data: dict[str, Any]) -> None:
    from edgeskel.console import new_table

    table = new_table("artifact", "precision", "kB", "engine", "agree", "diff", "ms", right=("kB", "agree", "diff", "ms"))
    for artifact in data["artifacts"]:
        for row in artifact.get("measured") or [{}]:
            table.add_row(artifact["file"].partition("/")[0], artifact["precision"], f"{artifact['bytes'] / 1e3:.0f}",
                          *((row["engine"], f"{100 * row['agreement']:.1f} %", f"{row['max_abs_diff']:.1e}",
                             f"{row['median_ms']:.2f}") if row else ("-",) * 4))
    out.print(data["bundle"])
    out.print(table)
    if deeper := data["latent_replay"]:
        out.print(f"{deeper['folder']}/: latent replay, {deeper['bytes'] / 1e3:.0f} kB, {deeper['replayed']} recordings replayed")
    for left_out in data["omitted"]:
        out.print(f"left out: {left_out['artifact']}: {left_out['reason']}")
    out.print(f"next: {data['next']}")


COMMAND = Command(Export, export)
