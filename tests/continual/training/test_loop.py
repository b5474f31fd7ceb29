"""The loop on real clips: it measures what it says, stops and goes on, and leaves a recogniser that others can use."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.cli.main import main
from edgeskel.continual.training.buffer import clip_bytes
from edgeskel.continual.training.config import ContinualConfig
from edgeskel.continual.training.loop import figures, learn, windows
from edgeskel.continual.training.protocols import sequence
from edgeskel.data import Store, split
from edgeskel.errors import CorruptFile, UsageError
from edgeskel.models import from_pretrained
from edgeskel.training import record


@pytest.fixture
def config(utd_store: Store, tmp_path: Path) -> ContinualConfig:
    """CHARON on the first two tasks of Split UTD-MHAD, two epochs each."""
    return ContinualConfig(data=utd_store.path, out=tmp_path / "out", tasks=2, settings=("epochs=2", "probe_epochs=2"),
                           threads=1)


def test_final_accuracy_and_forgetting_are_those_of_the_matrix() -> None:
    found = figures([[90.0], [80.0, 70.0], [85.0, 40.0, 100.0]])
    assert found == {"final_accuracy": 75.0, "forgetting": ((90 - 85) + (70 - 40)) / 2}
    assert figures([[50.0, 60.0]]) == {"final_accuracy": 55.0, "forgetting": 0.0}


def test_an_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(config: ContinualConfig, tmp_path: Path) -> None:
    whole = learn(config)
    assert whole.resumed_at == 0

    def stop(done: int, tasks: int, share: float) -> None:
        if done == 1:
            raise KeyboardInterrupt

    stopped = replace(config, out=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        learn(stopped, stop)
    assert (stopped.out / "training/last.ckpt").is_file() and not (stopped.out / "run.json").exists()
    again = learn(stopped)
    assert again.resumed_at == 1
    assert again.run["accuracies"] == whole.run["accuracies"]
    first, second = ((folder / "model.safetensors").read_bytes() for folder in (config.out, stopped.out))
    assert first == second
    assert not (stopped.out / "training/last.ckpt").exists()
    # What is finished is not learned again, and nothing else is written over it.
    assert learn(config, stop).run == whole.run
    with pytest.raises(UsageError, match="seed was 0 and is now 1"):
        learn(replace(config, seed=1))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="something else"):
        learn(replace(config, out=tmp_path / "other"))


def test_what_is_written_is_a_recogniser_that_knows_its_split(config: ContinualConfig, utd_store: Store) -> None:
    run = learn(config).run
    model = from_pretrained(config.out)
    steps = sequence(utd_store, tasks=2)
    assert model.config.labels == steps.labels == utd_store.labels[:6]
    last = []
    for task in steps.tasks:
        held = windows(utd_store, task.evaluation, steps, model).all()
        answers = model(held.joints, held.confidence).argmax(1)
        last.append(100 * float((answers == held.labels).float().mean()))
    assert last == pytest.approx(run["accuracies"][-1])
    trained = record.Training.of(record.read(config.out))
    assert trained is not None and trained.knows(utd_store)
    assert np.array_equal(trained.split(utd_store).test, split(utd_store).test)


def test_a_damaged_state_is_named_and_restart_begins_anew(config: ContinualConfig) -> None:
    def stop(done: int, tasks: int, share: float) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(config, stop)
    state = config.out / "training/last.ckpt"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 0xFF
    state.write_bytes(bytes(content))
    with pytest.raises(CorruptFile, match="--restart"):
        learn(config)
    assert learn(replace(config, restart=True)).resumed_at == 0


def test_the_buffer_of_the_default_budget_holds_a_quarter_of_the_clips_at_most(config: ContinualConfig) -> None:
    run = learn(config).run
    clips, budget = run["clips"]["train"], run["continual"]["budget"]
    assert budget == math.ceil(clips / 16) * clip_bytes(1, 64, 20)
    assert run["figures"]["bytes"] <= budget


def test_the_command_prints_one_object(utd_store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["continual", "--data", str(utd_store.path), "--out", str(tmp_path / "out"), "--method", "er-ace", "--tasks", "2",
               "--settings", "epochs=1", "--validation", "0.25", "--json", "--threads", "1"]
    assert main(command) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["method"] == "er-ace" and told["measured_on"] == "validation"
    assert {"final_accuracy", "forgetting", "bytes", "ms_per_step", "peak_step_bytes"} <= told.keys()
    assert told["tasks"] == [["swipe_left", "swipe_right", "wave"], ["clap", "throw", "arm_cross"]]
    assert main([*command[:6], "derpp", *command[7:]]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "der++" in error["expected"]
