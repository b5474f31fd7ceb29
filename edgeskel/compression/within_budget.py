"""What a search within a budget found, as data and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeskel.compression.allocation import Allocation
from edgeskel.compression.costs import Quantity, unit
from edgeskel.extras import require

__all__ = ["WithinBudget"]


@dataclass(frozen=True)
class WithinBudget:
    """What a budget came to.

    Args:
        quantity: what was short.
        most: how much of it there was.
        whole: the recogniser as it was.
        best: what was chosen.
        uniform: the same share of the full rank for every layer, within the same budget.
        front: both at other budgets.
        judges: which clips judged.
    """

    quantity: Quantity
    most: float
    whole: Allocation
    best: Allocation
    uniform: Allocation
    front: Sequence[tuple[Allocation, Allocation]]
    judges: str

    @property
    def chosen(self) -> str:
        """How the rank was chosen, as the end of a sentence."""
        return f"for at most {self.most:,.6g} {unit(self.quantity)}, by the loss of {self.judges}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""

        def told(one: Allocation) -> dict[str, Any]:
            return {"cost": one.cost, "loss": one.loss, "top1": one.top1}

        return {"quantity": self.quantity, "most": self.most, "judged_by": self.judges, "whole": told(self.whole),
                "best": {**told(self.best), "layers": {name: vars(choice) for name, choice in self.best.choices.items()}},
                "uniform": told(self.uniform), "front": [{"best": told(best), "uniform": told(same)} for best, same in self.front]}

    def draw(self, path: Path) -> None:
        """The front as a picture: what the clips lose over what it costs."""
        figure = require("matplotlib.figure", "the picture of the front", "viz").Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        for label, at in (("by sensitivity", 0), ("uniform rank", 1)):
            points = sorted((pair[at].cost, pair[at].loss) for pair in self.front)
            axes.plot(*zip(*points, strict=True), marker="o", label=label)
        axes.plot(self.best.cost, self.best.loss, marker="*", markersize=14, linestyle="none", label="chosen")
        axes.axhline(self.whole.loss, linestyle=":", color="grey", label="uncompressed")
        axes.set_xscale("log")
        axes.set_xlabel(unit(self.quantity))
        axes.set_ylabel("cross-entropy")
        axes.set_title(f"judged by {self.judges}", fontsize="medium")
        axes.legend()
        figure.savefig(path, dpi=120)
