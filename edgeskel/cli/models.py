"""``edgeskel models``: the recognisers that come with edgeskel, with the figures of their cards. Needs no torch."""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgeskel
from edgeskel.cli.report import Command, Report
from edgeskel.errors import CorruptFile, UnknownChoice

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["COMMAND", "shipped"]

WEIGHTS = Path(edgeskel.__file__).parent / "models" / "weights"


@dataclass(frozen=True)
class Models:
    """List the trained recognisers that come with edgeskel, or show the card of one."""

    name: str | None = None
    """Show this one's card."""


def models(config: Models) -> Report:
    """Read the folders of shipped weights."""
    found = shipped()
    if config.name is None:
        rows = [_describe(folder) for folder in found.values()]
        return Report({"models": rows}, text=lambda console: _draw(console, rows))
    if config.name not in found:
        raise UnknownChoice("shipped model", config.name, found)
    folder = found[config.name]
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    return Report({**_describe(folder), "card": text}, text=lambda console: _draw_card(console, text))


def shipped() -> dict[str, Path]:
    """Name -> folder."""
    return {folder.name: folder for folder in sorted(WEIGHTS.glob("*/")) if (folder / "config.json").is_file()}


def _describe(folder: Path) -> dict[str, Any]:
    weights = folder / "model.safetensors"
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return {
            "name": folder.name,
            "recogniser": config["recogniser"],
            "topology": config["topology"]["name"],
            "classes": len(config["labels"]),
            "labels": config["labels"],
            "persons": config["persons"],
            "parameters": _parameters(weights),
            "bytes": weights.stat().st_size,
            "figures": card_figures(folder / "README.md"),
        }
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise CorruptFile(folder, f"not a shipped model ({error!r})", remedy="install edgeskel again") from error


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of a BatchNorm: stored, but not learned


def _parameters(weights: Path) -> int:
    """Learned values in a safetensors file, from its header: a length (u64, little-endian), then JSON."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in header.items()
               if name != "__metadata__" and not name.endswith(_STATISTICS))


def card_figures(card: Path) -> dict[str, float]:
    """The figures of a card's ``Test part: top-1 97.21 %, ..., 430 clips.`` line by name; {} where there is none."""
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    line = re.search(r"^Test part: (.+)$", text, re.MULTILINE)
    if line is None:
        return {}
    shares = {name: float(value) for name, value in re.findall(r"([\w -]+?) (\d+(?:\.\d+)?) %", line[1])}
    clips = re.search(r"(\d+) clips", line[1])
    figures = {name.strip(" ,").replace("-", "").replace(" ", "_").lower(): value for name, value in shares.items()}
    return {**figures, **({"clips": int(clips[1])} if clips else {})}


def _draw(console: Console, rows: list[dict[str, Any]]) -> None:
    from edgeskel.console import new_table

    numbers = ("classes", "parameters", "kB", "test top-1")
    table = new_table("name", "recogniser", "topology", *numbers, right=numbers)
    for row in rows:
        top1 = row["figures"].get("top1")
        table.add_row(row["name"], row["recogniser"], row["topology"], str(row["classes"]), f"{row['parameters']:,}",
                      f"{row['bytes'] / 1000:.0f}", "-" if top1 is None else f"{top1:.2f} %")
    console.print(table)
    console.print("more of one, with its card: edgeskel models --name NAME")


def _draw_card(console: Console, text: str) -> None:
    from rich.markdown import Markdown

    console.print(Markdown(text) if console.is_terminal else text)


COMMAND = Command(Models, models)
