"""``edgeskel demo``: every step runs, a second run goes on where the first stopped, nothing is done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tyro

from edgeskel.cli import demo, main
from edgeskel.cli.report import Command, Report


@dataclass(frozen=True)
class Write:
    """Write a number."""

    number: tyro.conf.Positional[int]
    out: Path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Numbers written by a verb ``write`` that stands in for the real ones; 13 is interrupted, 7 disagrees, 11 crashes."""
    numbers: list[int] = []

    def write(config: Write) -> Report:
        numbers.append(config.number)
        if config.number == 13:
            raise KeyboardInterrupt
        if config.number == 11:
            raise RuntimeError("no such kernel")
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(str(config.number))
        return Report({"number": config.number, "disagreements": ["model.onnx disagrees"]}, ok=config.number != 7)

    monkeypatch.setitem(main.VERBS, "write", ("tests.cli.write", "write a number"))
    monkeypatch.setitem(__import__("sys").modules, "tests.cli.write", SimpleNamespace(COMMAND=Command(Write, write)))
    yield numbers


def _plan(monkeypatch: pytest.MonkeyPatch, *numbers: int, by_engines: bool = False) -> None:
    def steps(out: Path, config: Any) -> Iterator[demo.DemoStep]:
        for place, number in enumerate(numbers):
            file = out / f"{place}.txt"
            yield demo.DemoStep(f"Step {place}", ("write", str(number), "--out", str(file)), (file,), by_engines)

    monkeypatch.setattr(demo, "steps", steps)


def test_second_run_goes_on_where_the_first_stopped(
    ran: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _plan(monkeypatch, 1, 2, 13)
    assert main.main(["demo", "--out", str(tmp_path)]) == 130
    _plan(monkeypatch, 1, 2, 3)
    assert main.main(["demo", "--out", str(tmp_path)]) == 0
    assert ran == [1, 2, 13, 3]
    assert main.main(["demo", "--out", str(tmp_path)]) == 0
    assert ran == [1, 2, 13, 3]


def test_what_follows_a_changed_or_lost_step_is_done_again(
    ran: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _plan(monkeypatch, 1, 2, 3)
    main.main(["demo", "--out", str(tmp_path)])
    (tmp_path / "1.txt").unlink()
    main.main(["demo", "--out", str(tmp_path)])
    assert ran == [1, 2, 3, 2, 3]
    _plan(monkeypatch, 4, 2, 3)
    main.main(["demo", "--out", str(tmp_path)])
    assert ran == [1, 2, 3, 2, 3, 4, 2, 3]
    main.main(["demo", "--out", str(tmp_path), "--restart"])
    assert ran[8:] == [4, 2, 3]


def test_failed_step_ends_the_demo_and_is_named(
    ran: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _plan(monkeypatch, 1, 7, 3)
    assert main.main(["demo", "--out", str(tmp_path), "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert "Step 1" in error["seen"] and "edgeskel write 7" in error["remedy"]
    assert ran == [1, 7]


def test_an_engine_that_fails_here_does_not_end_the_demo(
    ran: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _plan(monkeypatch, 1, 7, 11, 3, by_engines=True)
    assert main.main(["demo", "--out", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert ran == [1, 7, 11, 3]
    assert [problem["problem"] for problem in report["problems"]] == ["model.onnx disagrees", "RuntimeError: no such kernel"]
    assert main.main(["demo", "--out", str(tmp_path)]) == 0  # what failed is tried again, with all that follows
    assert ran[4:] == [7, 11, 3]
    assert "edgeskel write 7" in capsys.readouterr().out


def test_each_command_is_shown_as_a_user_would_type_it(
    ran: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _plan(monkeypatch, 1)
    main.main(["demo", "--out", str(tmp_path)])
    assert f"$ edgeskel write 1 --out {tmp_path / '0.txt'}" in capsys.readouterr().out


def test_folder_of_recordings_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["demo", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "demo"), "--json"]) == 2
    assert "nowhere" in json.loads(capsys.readouterr().out)["error"]["seen"]


def test_whole_way_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """From nothing to live recognition through the real verbs, with little data and few epochs."""
    monkeypatch.chdir(tmp_path)
    assert main.main(["demo", "--quick", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    titles = [step["title"] for step in report["steps"]]
    assert report["problems"] == []
    assert titles[0] == "Generate motion" and titles[-1] == "Recognise them live"
    assert {"store", "model", "report.html", "small", "jetson", "android", "live.npz", "steps"} == {
        path.name for path in (tmp_path / "demo").iterdir()
    }
