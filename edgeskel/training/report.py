"""One HTML file that says how good a recogniser is and where it fails. It needs nothing but itself.

Axes: N clips, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeskel.data import Store, pictures
from edgeskel.extras import require
from edgeskel.skeleton import Clip
from edgeskel.training import charts
from edgeskel.training.metrics import Metrics

__all__ = ["render"]

WORST = 8


def render(
    title: str, metrics: Metrics | None, store: Store, *, run: Mapping[str, Any] | None = None, part: str = "test"
) -> str:
    """The report as HTML.

    Args:
        title: what was measured.
        metrics: the figures; None where nothing was held out, then only the curves are shown.
        store: where the clips come from.
        run: what ``run.json`` of the training holds, for the curves and the facts; what it lacks is not shown.
        part: which part of the split the figures are of.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    jinja2 = require("jinja2", "the HTML report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(Path(__file__).with_name("report.html.j2").read_text("utf-8"))
    safe = jinja2.utils.markupsafe.Markup  # our own drawings; every name in them is escaped where they are made
    figures = curves = worst = None
    if run is not None and run.get("history"):
        curves = {name: (safe(svg), legend) for name, (svg, legend) in _curves(run["history"]).items()}
    if metrics is not None:
        figures = [
            ("Top-1", metrics.top1, "first answer right"),
            ("Top-5", metrics.top5, "among the five likeliest"),
            ("Macro F1", metrics.macro_f1, "every class counts the same"),
            ("Calibration error", metrics.calibration_error, "certainty against accuracy; lower is better"),
        ]
        worst = [(safe(picture), facts) for picture, facts in _worst(metrics, store)]
    html: str = template.render(
        title=title,
        part=part,
        dataset=store.dataset,
        digest=store.digest,
        clips=len(metrics.truth) if metrics else 0,
        left_out=metrics.left_out if metrics else 0,
        figures=figures,
        curves=curves,
        worst=worst,
        per_class=sorted(metrics.per_class, key=lambda row: (row["f1"], row["label"])) if metrics else None,
        confusion=safe(charts.confusion(metrics.confusion, metrics.labels)) if metrics else None,
        reliability=safe(charts.reliability(metrics.probabilities, metrics.truth)) if metrics else None,
        facts=_facts(run) if run else {},
    )
    return html


def _curves(history: list[dict[str, float]]) -> dict[str, tuple[str, list[str]]]:
    def line(name: str) -> list[tuple[float, float]]:
        return [(row["epoch"], row[name]) for row in history if name in row]

    loss = {"training": line("loss")}
    if line("validation_loss"):
        loss["validation"] = line("validation_loss")
    shown = {"Loss": (charts.curves(loss), list(loss))}
    if line("validation_top1"):
        shown["Validation accuracy"] = (
            charts.curves({"validation": line("validation_top1")}, unit="%"),
            ["validation"],
        )
    shown["Learning rate"] = (charts.curves({"learning rate": line("learning_rate")}), ["learning rate"])
    return shown


def _worst(metrics: Metrics, store: Store) -> list[tuple[str, dict[str, str]]]:
    """The most wrong clips, drawn, with what was right and what was answered."""
    drawn = []
    for row in metrics.worst(WORST):
        if metrics.predicted[row] == metrics.truth[row]:
            break
        clip: Clip = store[int(metrics.clips[row])]
        right, answer = int(metrics.truth[row]), int(metrics.predicted[row])
        facts = {
            "right": metrics.labels[right],
            "answer": metrics.labels[answer],
            "certainty": f"{100 * metrics.probabilities[row, answer]:.0f} %",
            "given": f"{100 * metrics.probabilities[row, right]:.1f} %",
            "source": clip.source or f"clip {int(metrics.clips[row])}",
            "subject": clip.subject,
        }
        drawn.append((pictures.svg(clip, store.topology, frames=7, height=150, caption=""), facts))
    return drawn


def _facts(run: Mapping[str, Any]) -> dict[str, str]:
    shown: dict[str, tuple[str, Callable[[Any], str]]] = {
        "Recogniser": ("recogniser", str),
        "Split": ("split", str),
        "Learned from": ("clips", lambda clips: f"{clips['train']} clips"),
        "Seed": ("seed", str),
        "Epochs": ("history", lambda history: str(len(history))),
        "Parameters": ("parameters", lambda count: f"{count:,}"),
        "Versions": ("versions", lambda found: ", ".join(f"{name} {version}" for name, version in found.items())),
    }
    return {title: text(run[name]) for title, (name, text) in shown.items() if name in run}
