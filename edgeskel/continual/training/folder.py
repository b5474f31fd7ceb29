"""The folder of a class-incremental training: what lies there, whether it is the same run, and where it stopped."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgeskel.continual.training.config import ContinualConfig
from edgeskel.continual.training.protocols import Sequence
from edgeskel.data import Store
from edgeskel.errors import UsageError
from edgeskel.files import atomic_write
from edgeskel.training import record
from edgeskel.training.trainer import load_state

__all__ = ["STATE", "found", "identity", "save"]

STATE = Path("training", "state.ckpt")
"""Where the state of an unfinished run lies in its folder."""


def identity(config: ContinualConfig, store: Store, steps: Sequence, settings: dict[str, Any], model: dict[str, Any],
              budget: int) -> dict[str, Any]:
    """What makes two runs the same; plain values, under the names that ``evaluate`` looks for in a run.json."""
    told = {
        "recogniser": "edge",
        "dataset": store.dataset,
        "data_digest": store.digest,
        "protocol": steps.split.protocol,
        "fold": steps.split.fold,
        "split": steps.split.name,
        "clips": {"train": sum(len(task.train) for task in steps.tasks),
                  steps.part: sum(len(task.evaluation) for task in steps.tasks)},
        "seed": config.seed,
        "continual": {"method": config.method, "protocol": steps.name, "order": config.order, "measured_on": steps.part,
                      "tasks": [[steps.labels[place] for place in task.classes] for task in steps.tasks],
                      "budget": budget, "settings": settings, "model": model},
    }
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def found(config: ContinualConfig, wanted: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """(run, None) where it is finished, (None, state) where it can go on, else (None, None)."""
    out = config.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file", expected="a folder, or a path that does not exist yet")
    result, state = out / "run.json", out / STATE
    ours = state.is_file() or (result.is_file() and "continual" in _read_run(result))
    if not ours and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} holds something else", expected="a new folder, or one of this command",
                         remedy="choose another folder or remove this one")
    if config.restart:
        result.unlink(missing_ok=True)
        state.unlink(missing_ok=True)
        return None, None
    if result.is_file():
        run = _read_run(result)
        _same(config, run, wanted)
        return run, None
    if state.is_file():
        begun = load_state(state)
        _same(config, begun["edgeskel_run"], wanted)
        return None, begun
    return None, None


def _read_run(path: Path) -> dict[str, Any]:
    return record.read(path.parent, remedy="pass --restart, or delete it")


def _same(config: ContinualConfig, told: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        rows: dict[str, Any] = {}
        for name, value in values.items():
            rows |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        return rows

    here, there = flat(wanted), flat({name: told.get(name) for name in wanted})
    other = [name for name in here if there.get(name) != here[name]]
    if other:
        raise UsageError(f"{config.out} holds another run: its {other[0]} is {there.get(other[0])!r}, not {here[other[0]]!r}",
                         expected="the same command", remedy="choose another --out, or pass --restart")


def save(out: Path, state: dict[str, Any]) -> None:
    """Write the state after a task, whole or not at all."""
    content = io.BytesIO()  # so that what the disk refuses is an OSError and not an error inside torch's writer
    torch.save(state, content)
    with atomic_write(out / STATE) as file:
        file.write(content.getbuffer())
