"""``edgeskel compress``: a smaller recogniser, and what that costs and saves."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from edgeskel.cli.report import Command, Report, console, jsonable

if TYPE_CHECKING:
    from rich.console import Console

    from edgeskel.compression.within_budget import WithinBudget
    from edgeskel.data import Split, Store
    from edgeskel.models import Recogniser
    from export.predictor import ArtifactPredictor
    from export.windows import WindowSet

__all__ = ["COMMAND"]

TABLE = "compression.json"
FRONT = "front.png"
"""What other budgets would give."""
SAVING = 0.5
"""Where nothing is held out on which it could be chosen."""
CALIBRATION = 64
ROUNDS = 40


@dataclass(frozen=True)
class Compress:
    """Factorise the layers of a trained recogniser, train it on if asked, and measure before and after.

    Without --budget, --saving, --energy and --ratio as many parameters are saved as lose at most --drop points on the validation
    part. Where the model was trained with all clips of its side, nothing is left to choose on: then half of them are. The split
    is the one of its training, where that is known and the store is of the same dataset.
    """

    model: tyro.conf.Positional[str]
    """A checkpoint folder or the name of a shipped model."""
    out: Path
    """The compressed checkpoint's folder; an older one there is replaced."""
    data: Path | None = None
    """Store: its training part steers the truncation, its validation and test parts are measured."""
    protocol: str | None = None
    """Named split; the one of the model's training by default, else the dataset's own."""
    fold: int | None = None
    """Which fold of the protocol; that of the model's training by default."""
    validation: str | None = None
    """Part of the training side that chooses the rank: a share of its subjects, subject:1,5, view:2 or 0 for none; what the
    model's training held out by default, and 0.2 where that is not known. The fine-tuning does not learn from it."""
    method: Literal["svd", "plain"] = "svd"
    """svd truncates by what recorded clips put into each layer; plain by the weights alone, and needs no data."""
    budget: str | None = None
    """At most so many parameters, macs, bytes or milliseconds of latency (on one core of this machine, in torch): parameters=40%,
    macs=2e7, bytes=300000, latency=2.5. Ranks, and with bytes the bits of each layer, go where the validation part loses least."""
    saving: float | None = None
    """Share of the parameters to save, 0 to 1, by ranks that lose the least energy."""
    energy: float | None = None
    """Share of each layer's energy to keep, 0 to 1."""
    ratio: float | None = None
    """Rank as a share of each layer's full rank, 0 to 1."""
    least: int = 1
    """Parameters that a layer must save to be factorised: a second operator costs time, too."""
    drop: float = 0.5
    """Points of validation accuracy that the chosen rank may lose before it is trained on."""
    fine_tune: int = 0
    """Epochs to train on afterwards, with distillation from the model itself."""
    int8: bool = False
    """Also measure both as .pte files, fp32 and int8 (calibrated with training clips)."""
    seed: int = 0
    """Of the fine-tuning."""
    threads: int | None = None
    """Processor threads for the fine-tuning; all by default. Latency is always measured on one."""
    restart: bool = False
    """Begin the fine-tuning anew where an unfinished one lies."""


def compress(config: Compress) -> Report:
    """Choose ranks, factorise, train on, measure, write."""
    from edgeskel import models
    from edgeskel.compression.allocation import keep_floating
    from edgeskel.compression.budget import budget
    from edgeskel.compression.low_rank import choose_ranks, covariances
    from edgeskel.compression.low_rank import compress as factorised
    from edgeskel.data import Store
    from edgeskel.files import atomic_folder
    from edgeskel.models import folder_of
    from edgeskel.runtime.segmentation import SEGMENTER
    from edgeskel.training import record

    _check(config)
    model = models.from_pretrained(config.model)
    source = folder_of(config.model)
    told = record.read(source)
    store = None if config.data is None else Store.open(config.data)
    parts = None if store is None else _parts(config, store, told)
    clips = None if store is None or parts is None else training_clips(model, store, parts)
    trained = record.Training.of(told)
    unseen = None if store is None or trained is None or not trained.knows(store) else True
    inputs = None
    if config.method == "svd" and clips is not None:
        with console.status("looking at recorded clips"):
            inputs = covariances(model, clips.pairs())
    tried: list[dict[str, Any]] = []
    saving, chosen = config.saving, "as asked"
    within: WithinBudget | None = None
    if config.budget is not None:
        assert store is not None and parts is not None and clips is not None
        within = _within(config, model, store, parts, clips, inputs)
        chosen = within.chosen
    elif not _rules(config):
        assert store is not None and parts is not None
        if len(parts.validation):
            saving, tried = _search(config, model, store, parts, inputs)
            chosen = "on the validation part"
        else:
            saving, chosen = SAVING, "fixed: the training held nothing out to choose on"
    ranks = within.best.ranks if within else choose_ranks(
        model, saving=saving, energy=config.energy, ratio=config.ratio, least=config.least, inputs=inputs)
    stages: dict[str, Recogniser] = {"before": model, "low rank": factorised(model, ranks, inputs)}
    if within:
        keep_floating(stages["low rank"], within.best)

    with atomic_folder(config.out, marker=TABLE) as folder:
        final = stages["low rank"]
        final.save_pretrained(folder)
        if (source / SEGMENTER).is_file():  # its actions move and pause as before
            (folder / SEGMENTER).write_bytes((source / SEGMENTER).read_bytes())
        if config.fine_tune:
            assert store is not None and parts is not None
            stages["fine-tuned"], told = _train_on(config, source, model, copy.deepcopy(final), store, parts)
            final = stages["fine-tuned"]
            final.save_pretrained(folder)
        rows = [{"stage": stage, **vars(budget(one)), **_accuracy(one, store, parts, clips)}
                for stage, one in stages.items()]
        calls: dict[str, Callable[[], object]] = {stage: _call(one, clips) for stage, one in stages.items()}
        if config.int8:
            assert clips is not None
            for stage, artifact in _artifacts({"before": model, "after": final}, clips).items():
                rows.append({"stage": stage, "bytes": artifact.bytes, **_accuracy(artifact, store, parts, clips)})
                calls[stage] = partial(artifact.engine, clips.joints[:1], clips.confidence[:1])
        for row, median in zip(rows, _latency(calls), strict=True):
            row["median_ms"] = median
        result = {"model": config.model, "out": config.out, "method": config.method, "energy": config.energy,
                  "saving": saving, "ratio": config.ratio, "chosen": chosen, "least": config.least, "split": parts and parts.name,
                  "unseen_in_training": unseen,
                  "fine_tune_epochs": config.fine_tune, "seed": config.seed,
                  "layers": len(ranks), "ranks": ranks, "tried": tried, "rows": rows,
                  "budget": within and within.to_dict()}
        if within:
            within.draw(folder / FRONT)
        _write(folder, result, told, source)
    shutil.rmtree(_work(config), ignore_errors=True)  # not before the result is in its place
    return Report(result, text=lambda out: _draw(out, result))


def _rules(config: Compress) -> list[object]:
    """What was asked about the ranks; empty where they are to be chosen."""
    return [rule for rule in (config.budget, config.saving, config.energy, config.ratio) if rule is not None]


def _check(config: Compress) -> None:
    from edgeskel.errors import UsageError

    if config.data is None:
        for asked, what in ((config.method == "svd", "--method svd"), (config.fine_tune > 0, "--fine-tune"),
                            (config.int8, "--int8"),
                            (config.budget is not None, "--budget"), (not _rules(config), "choosing a rank")):
            if asked:
                raise UsageError(f"{what} needs recorded clips", expected="--data STORE",
                                 remedy="or pass --method plain with --saving, --energy or --ratio")
    if len(_rules(config)) > 1:
        raise UsageError(f"{len(_rules(config))} rules for the ranks", expected="one of --budget, --saving, --energy and --ratio")
    if config.budget is not None:
        from edgeskel.compression.allocation import Limit
        from edgeskel.extras import require

        Limit.parse(config.budget)
        require("matplotlib.figure", "the picture of the front", "viz")
    if config.fine_tune and Path(config.out).resolve() == Path(config.model).resolve():
        raise UsageError(f"{config.out} is the model itself", remedy="choose another --out")


def _parts(config: Compress, store: Store, told: Mapping[str, Any]) -> Split:
    """The split, of which the model has seen neither the test part nor the validation part."""
    from edgeskel.training import record

    trained = record.Training.of(told)
    parts = record.parts_for(trained, store, config.protocol, config.fold, config.validation, otherwise="0.2")
    record.check_split(trained, store, parts, model=config.model)
    record.check_unseen(trained, store, parts.validation, model=config.model, part="validation")
    return parts


def training_clips(model: Recogniser, store: Store, parts: Split) -> WindowSet:
    from edgeskel.runtime.bundle import Window
    from export.windows import calibration_windows

    settings = model.config
    window = Window(settings.persons, settings.source_frames, settings.rate_hz, settings.hop)
    return calibration_windows(store, parts, settings.topology, window, CALIBRATION)


def _search(config: Compress, model: Recogniser, store: Store, parts: Split, inputs: Any) -> tuple[float, list[dict[str, Any]]]:
    from edgeskel.compression.search import largest_saving

    with console.status("validating") as status:
        return largest_saving(model, store, parts.validation, drop=config.drop, least=config.least, inputs=inputs,
                              trying=lambda saving: status.update(f"validating a saving of {saving:.0%}"))


def _within(config: Compress, model: Recogniser, store: Store, parts: Split, clips: WindowSet, inputs: Any) -> WithinBudget:
    """Choose ranks and bits within the budget."""
    import numpy as np

    from edgeskel.compression.allocation import Limit, RankSearch
    from edgeskel.compression.within_budget import WithinBudget

    assert config.budget is not None
    limit = Limit.parse(config.budget)
    judges, told = (parts.validation, "validation clips") if len(parts.validation) else (
        np.asarray(clips.indices), "training clips, for the training held nothing out")
    with console.status("validating") as status:
        search = RankSearch(model, store, judges, limit.quantity, least=config.least, inputs=inputs, trying=status.update)
        most = search.most(limit)
        return WithinBudget(limit.quantity, most, search.whole, search.best(most), search.uniform(most), search.front(), told)


def _work(config: Compress) -> Path:
    """Where the fine-tuning works: beside ``--out``, so that an interrupted one goes on where it was."""
    return config.out.with_name(f".{config.out.name}.fine-tuning")


def _train_on(config: Compress, source: Path, model: Recogniser, smaller: Recogniser, store: Store,
              parts: Split) -> tuple[Recogniser, dict[str, Any]]:
    """Fine-tune, or go on with it. The recogniser, and what its training recorded."""
    from edgeskel.compression.fine_tuning import fine_tune, recipe_of
    from edgeskel.training import TrainConfig

    how = TrainConfig(data=store.path, out=_work(config), protocol=parts.protocol, fold=parts.fold, validation=parts.held_out,
                      seed=config.seed, epochs=config.fine_tune, start=config.model, teachers=(config.model,),
                      threads=config.threads, restart=config.restart)
    trained = fine_tune(smaller, model, how, recipe=recipe_of(source), progress=not console.quiet)
    return trained.recogniser, trained.run


def _accuracy(predict: Any, store: Store | None, parts: Split | None, clips: WindowSet | None) -> dict[str, float]:
    """Top-1 on the test part and on what was held out from training; where nothing was, on some of the training clips."""
    from edgeskel.training import evaluate

    if store is None or parts is None or clips is None:
        return {}
    with console.status("measuring accuracy"):
        found = {f"{part}_top1": evaluate(predict, store, indices).top1
                 for part, indices in (("validation", parts.validation), ("test", parts.test)) if len(indices)}
        if not len(parts.validation):
            found["training_top1"] = evaluate(predict, store, clips.indices).top1
        return found


def _call(model: Recogniser, clips: WindowSet | None) -> Callable[[], object]:
    import torch

    config = model.config
    shape = (1, config.persons, config.source_frames, len(config.topology.joints))
    joints, confidence = torch.zeros(*shape, 3), torch.ones(shape)
    if clips is not None:
        joints, confidence = torch.from_numpy(clips.joints[:1]), torch.from_numpy(clips.confidence[:1])

    def once() -> object:
        with torch.inference_mode():
            return model(joints, confidence)

    return once


def _artifacts(stages: Mapping[str, Recogniser], clips: WindowSet) -> dict[str, ArtifactPredictor]:
    """Every stage as fp32 and int8 ``.pte``; the files are not kept (``edgeskel export`` makes them)."""
    import tempfile

    from export.predictor import xnnpack_artifacts

    made = {}
    for stage, model in stages.items():
        with console.status(f"exporting {stage}"), tempfile.TemporaryDirectory() as folder:
            for precision, artifact in xnnpack_artifacts(model, clips, Path(folder)).items():
                made[f"{stage}, .pte {precision}"] = artifact
    return made


def _latency(calls: Mapping[str, Callable[[], object]]) -> list[float]:
    """Median milliseconds of each call on one core, measured in turns."""
    import statistics
    import time

    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in calls}
    try:
        for turn in range(ROUNDS + 3):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                if turn >= 3:
                    times[name].append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return [1e3 * statistics.median(of_one) for of_one in times.values()]


def _write(folder: Path, result: dict[str, Any], run: dict[str, Any], source: Path) -> None:
    (folder / TABLE).write_text(json.dumps(jsonable(result), indent=1) + "\n", "utf-8")
    if run:
        from edgeskel.training.record import FILE

        run["parameters"] = next(row["parameters"] for row in reversed(result["rows"]) if "parameters" in row)
        kept = ("model", "method", "saving", "energy", "ratio", "least", "fine_tune_epochs", "seed")
        run["compression"] = {key: jsonable(result[key]) for key in kept}
        (folder / FILE).write_text(json.dumps(run, indent=1) + "\n", "utf-8")
    card = source / "README.md"
    lines = [card.read_text("utf-8").rstrip(), ""] if card.is_file() else []
    rows: Sequence[dict[str, Any]] = result["rows"]
    lines += ["## Compression", "", f"{result['layers']} layers in two factors, the rank {result['chosen']}; measured on"
              f" {result['split']}.{_doubt(result)}", "",
              f"| stage | parameters | MMAC | bytes | {_held_out(rows)} top-1 | test top-1 | ms, one core |",
              "|---|---:|---:|---:|---:|---:|---:|",
              *("| " + " | ".join(_cells(row)) + " |" for row in rows), ""]
    if result["budget"]:
        lines += [f"![what other budgets would give]({FRONT})", ""]
    (folder / "README.md").write_text("\n".join(lines), "utf-8")


def _held_out(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the first of the two columns of accuracy is measured on."""
    return "training clips" if any("training_top1" in row for row in rows) else "validation"


def _doubt(result: Mapping[str, Any]) -> str:
    """What the figures do not show: only of its own store is known which clips the model has seen."""
    if result["split"] is None or result["unseen_in_training"]:
        return ""
    return " Whether the model was trained with these clips is not known."


def _cells(row: Mapping[str, Any]) -> list[str]:
    def shown(key: str, form: str, scale: float = 1) -> str:
        return format(row[key] * scale, form) if key in row else "–"

    first = "training_top1" if "training_top1" in row else "validation_top1"
    return [row["stage"], shown("parameters", ",.0f"), shown("macs", ".1f", 1e-6), shown("bytes", ",.0f"),
            shown(first, ".2f"), shown("test_top1", ".2f"), shown("median_ms", ".2f")]


def _draw(out: Console, result: dict[str, Any]) -> None:
    from edgeskel.console import new_table

    out.print(f"{result['model']} → {result['out']}", soft_wrap=True)
    numbers = ("parameters", "MMAC", "bytes", _held_out(result["rows"]), "test", "ms, one core")
    table = new_table("stage", *numbers, right=numbers)
    for row in result["rows"]:
        table.add_row(*_cells(row))
    out.print(table)
    if result["split"]:
        out.print(f"top-1 in percent on {result['split']}.{_doubt(result)}")
    saving = "" if result["saving"] is None else f" (to save {result['saving']:.0%})"
    out.print(f"{result['layers']} layers in two factors; rank {result['chosen']}{saving}")


COMMAND = Command(Compress, compress)
