"""``edgeskel targets``: the devices that a bundle can be made for, and what is planned for each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tyro

from edgeskel.cli.report import Command, Report

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMAND"]


@dataclass(frozen=True)
class Targets:
    """List the kinds of device and the devices, or show one.

    A profile only plans: version tables found in the world disagree, and a probe on the device decides. Your own are
    TOML files, given by path or laid into the folder that the list names.
    """

    name: tyro.conf.Positional[str | None] = None
    """Show this one: a name of the list, or a profile's file."""


def show(config: Targets) -> Report:
    """Read the table."""
    import targets

    if config.name is None:
        folder = targets.user_folder()
        rows = [_row(targets.get(name)) for name in targets.names()]
        return Report({"targets": rows, "folder": folder}, text=lambda out: _draw_list(out, rows, str(folder)))
    profile = targets.get(config.name)
    data = _row(profile) | {"releases": [dataclasses.asdict(release) for release in profile.systems]}
    return Report(data, text=lambda out: _draw(out, data))


def _row(profile: Any) -> dict[str, Any]:
    row = {field.name: getattr(profile, field.name) for field in dataclasses.fields(profile) if field.name != "known"}
    return row | {"packages": dict(profile.packages)}


def _draw_list(out: Console, rows: list[dict[str, Any]], folder: str) -> None:
    from edgeskel.console import new_table

    table = new_table("name", "target", "what", "artifacts")
    for row in rows:
        table.add_row(row["name"], row["target"], row["purpose"], " ".join(row["artifacts"]))
    out.print(table)
    out.print(f"more of one: edgeskel targets NAME; your own: {folder}/NAME.toml")


def _draw(out: Console, data: dict[str, Any]) -> None:
    def line(name: str, text: str) -> None:
        if text:
            out.print(f"{name:<13}{text}")

    line("name", data["name"])
    line("what", data["purpose"])
    line("target", data["target"])
    line("artifacts", ", ".join(data["artifacts"]))
    line("to export", f"pip install 'edgeskel[{data['extra']}]'")
    for package, how in data["packages"].items():
        line("needs", f"{package}: {how}")
    line("processor", data["architecture"])
    line("memory", ", ".join(f"{size:g} GB" for size in data["memory_gb"]))
    line("GPU", data["compute_capability"] and f"compute capability {data['compute_capability']}")
    line("power modes", ", ".join(data["power_modes"]))
    for release in data["releases"]:
        versions = ", ".join(f"{what} {release[key]}" for key, what in
                             (("l4t", "L4T"), ("cuda", "CUDA"), ("tensorrt", "TensorRT"), ("python", "Python"))
                             if release[key])
        line("system", f"{release['system']}: {versions}")
    for note in data["notes"]:
        line("note", note)
    out.print("planned with, not measured: the device itself decides", style="dim")


COMMAND = Command(Targets, show)
