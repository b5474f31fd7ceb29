"""A sweep searches what it is told, is shared by processes, and goes on after an interruption."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from edgeskel.cli.main import main
from edgeskel.errors import UsageError
from edgeskel.training import module
from edgeskel.training.sweep import SearchRange, parse_space, sweep, write

SPACE = ("learning_rate=0.0001..0.02:log", "sampler=shuffle|balanced", "batch_size=8..16")


def test_a_search_space_is_read() -> None:
    assert parse_space(SPACE) == {
        "learning_rate": SearchRange(0.0001, 0.02, log=True), "sampler": SearchRange(choices=("shuffle", "balanced")),
        "batch_size": SearchRange(8, 16)}


@pytest.mark.parametrize("told", ["epochs", "epochs=3", "epochs=5..2", "noise=0..1:log", "noise=0..1:lin", "noise=a..b",
                                  "noise=0..inf", "=1..2", "noise=true..false"])
def test_a_search_that_makes_no_sense_is_refused(told: str) -> None:
    with pytest.raises(UsageError):
        parse_space([told])


def test_the_same_search_goes_on_where_it_was_stopped(config, tmp_path, monkeypatch) -> None:
    told = config(validation="subject:7", epochs=2)
    space = parse_space(SPACE)
    with pytest.raises(UsageError, match="validation"):
        sweep(config(), space, trials=1)
    step = module.TrainingModule.training_step
    shown: list[int] = []

    def interrupted(self, batch, index):
        shown.append(self.current_epoch)
        if self.current_epoch == 1 and len(list(told.out.glob("trial-*"))) == 2:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.TrainingModule, "training_step", interrupted)
        sweep(told, space, trials=3)
    begun = sorted(path.name for path in told.out.glob("trial-*"))
    assert len(begun) == 2

    resumed: list[int] = []

    def watched(self, batch, index):
        resumed.append(self.current_epoch)
        return step(self, batch, index)

    monkeypatch.setattr(module.TrainingModule, "training_step", watched)
    tried = sweep(told, space, trials=3)
    assert resumed[0] == 1, "the training under way went on"
    assert len(tried) == 3 and set(begun) <= {path.name for path in told.out.glob("trial-*")}
    values = [one.value for one in tried]
    assert values == sorted(values, reverse=True)
    for one in tried:
        run = json.loads((one.folder / "seed-0" / "run.json").read_text())
        assert run["validation"]["top1"] == one.value
        assert run["recipe"]["optimizer"]["learning_rate"] == float(one.settings["learning_rate"])
        assert run["recipe"]["sampler"] == one.settings["sampler"]
    write(told.out, tried, "top1")
    assert (told.out / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert len(json.loads((told.out / "sweep.json").read_text())["trials"]) == 3
    with pytest.raises(UsageError, match="another sweep: seeds was 1"):
        sweep(told, space, trials=3, seeds=2)
    with pytest.raises(UsageError, match="set and searched"):
        sweep(replace(told, settings=(*told.settings, "batch_size=8")), space, trials=3)


def test_what_another_process_trains_stays_with_it(config, monkeypatch) -> None:
    told, space = config(validation="subject:7", epochs=1), parse_space(["learning_rate=0.001..0.02"])
    step, inner = module.TrainingModule.training_step, []

    def meanwhile(self, batch, index):
        if not inner:
            inner.append(None)
            inner.extend(sweep(told, space, trials=1))  # begins while the first one trains, and ends before it
        return step(self, batch, index)

    monkeypatch.setattr(module.TrainingModule, "training_step", meanwhile)
    assert len(sweep(told, space, trials=2)) == 2
    assert len(inner) == 2 and len(list(told.out.glob("trial-*/seed-0/run.json"))) == 2
    assert not list((told.out / "processes").iterdir())


@pytest.mark.parametrize(("changes", "trials", "seen"), [
    ({"fold": "all"}, 1, "all folds"), ({"restart": True}, 1, "restart"), ({}, 0, "trials is 0")])
def test_a_sweep_that_makes_no_sense_is_refused(config, changes, trials, seen) -> None:
    with pytest.raises(UsageError, match=seen):
        sweep(config(validation="subject:7", **changes), parse_space(SPACE), trials=trials)
    assert not config().out.exists()


def test_few_choices_may_be_drawn_again(config) -> None:
    tried = sweep(config(validation="subject:7", epochs=1), parse_space(["sampler=shuffle|balanced"]), trials=3)
    assert len(tried) == 3 and len({one.folder for one in tried}) == 3


def test_two_processes_share_a_search(six, config, tmp_path, capsys) -> None:
    told = config()
    words = ["sweep", "--data", str(six.path), "--out", str(tmp_path / "shared"), "--validation", "subject:7", "--epochs", "1",
             "--device", "cpu", "--threads", "1", "--method", "class-augmentation", "--trials", "4",
             "--search", "learning_rate=0.001..0.02:log", "--json", "--quiet",
             "--settings", *told.settings]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "edgeskel.cli.main", *words]
    other = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert main(words) == 0
    ours, theirs = json.loads(capsys.readouterr().out), json.loads(other.communicate()[0])
    assert other.returncode == 0
    trained = len(list((tmp_path / "shared").glob("trial-*/seed-0/run.json")))
    assert 4 <= trained <= 5 and {ours["trials"], theirs["trials"]} <= {4, 5}
    assert ours["best"] is not None and f"learning_rate={ours['settings']['learning_rate']}" in ours["train"]
    assert "--method class-augmentation --epochs 1" in ours["train"] and "--validation" not in ours["train"]
