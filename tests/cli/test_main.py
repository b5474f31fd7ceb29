"""What a user meets on the command line: speed, exit codes, one JSON object, readable errors, a frozen surface."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
import tyro

from edgeskel.cli import main as frame
from edgeskel.cli.report import Command, Report
from edgeskel.errors import CorruptFile
from tests.cli import surface


@dataclass(frozen=True)
class Optimiser:
    """How weights move."""

    rate: float = 0.1


@dataclass(frozen=True)
class Config:
    """Do a thing."""

    model: Annotated[str, tyro.conf.Positional]
    data: Path
    optimiser: Optimiser = field(default_factory=Optimiser)
    kind: Literal["small", "large"] = "small"
    seeds: tuple[int, ...] = (0,)
    fast: bool = False
    name: str | None = None


def _verb(monkeypatch: pytest.MonkeyPatch, function: Any, config: type = Config) -> None:
    monkeypatch.setitem(frame.VERBS, "thing", ("tests.cli.thing", "do a thing"))
    monkeypatch.setitem(sys.modules, "tests.cli.thing", SimpleNamespace(COMMAND=Command(config, function)))


def _echo(config: Config) -> Report:
    print("a library that prints")
    os.system("echo a child that prints")
    return Report({"config": config, "nothing": float("nan")})


def _json(capfd: pytest.CaptureFixture[str]) -> Any:
    out = capfd.readouterr().out
    assert out.count("\n") == 1, out
    return json.loads(out)


def test_help_loads_nothing_but_the_standard_library() -> None:
    """What makes it fast; ``benchmarks.startup`` has the figures."""
    program = """import sys
before = set(sys.modules)
from edgeskel.cli.main import main
main(["--help"])
print(*set(sys.modules) - before, file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert loaded - sys.stdlib_module_names == {"edgeskel"}


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in frame.VERBS)


@pytest.mark.parametrize("words", [[], ["data"]])
def test_nothing_to_do_is_a_usage_error(words: list[str]) -> None:
    assert frame.main(words) == 2


def test_surface_is_frozen() -> None:
    now = "\n".join(surface.lines()) + "\n"
    assert now == surface.SURFACE.read_text(), "the command line changed; if on purpose: python -m tests.cli.surface"


@pytest.mark.parametrize("verb", frame.VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main([verb, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: edgeskel {verb}")
    for name in frame.commands(verb):
        if name:
            assert frame.main([verb, name, "--help"]) == 0
    for command in frame.commands(verb).values():
        assert command.config.__doc__ and not command.config.__doc__.startswith(command.config.__name__ + "(")


@pytest.mark.parametrize("verb", frame.VERBS)
def test_wrong_flag_in_every_verb_is_one_json_error(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    for name in frame.commands(verb):
        words = [verb, *([name] if name else []), "--no-such-flag", "--json"]
        assert frame.main(words) == 2
        assert _json(capfd)["error"]["type"] == "UsageError"


def test_json_is_all_there_is_on_stdout(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    _verb(monkeypatch, _echo)
    assert frame.main(["thing", "edge", "--data", "store", "--optimiser.rate", "0.5", "--json"]) == 0
    data = _json(capfd)
    assert data["config"]["optimiser"] == {"rate": 0.5}
    assert data["config"]["data"] == "store"
    assert data["nothing"] is None


def test_file_and_command_line_set_the_same_fields(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _verb(monkeypatch, _echo)
    file = tmp_path / "run.toml"
    file.write_text('model = "edge"\ndata = "store"\nseeds = [1, 2]\nfast = true\n[optimiser]\nrate = 1\n')
    assert frame.main(["thing", "--config", str(file), "--seeds", "3", "--json"]) == 0
    config = _json(capfd)["config"]
    assert config == {"model": "edge", "data": "store", "optimiser": {"rate": 1.0}, "kind": "small", "seeds": [3],
                      "fast": True, "name": None}


def test_the_file_sets_json_and_quiet_and_the_command_line_goes_over_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _verb(monkeypatch, _echo)
    file = tmp_path / "run.toml"
    file.write_text('model = "edge"\ndata = "store"\njson = true\nquiet = true\n')
    assert frame.main(["thing", "--config", str(file)]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["config"]["model"] == "edge" and captured.err == ""
    assert frame.main(["thing", "--config", str(file), "--no-json", "--no-quiet"]) == 0
    captured = capfd.readouterr()
    assert "config: " in captured.out and "a library that prints" in captured.out
    file.write_text("json = 1\n")
    assert frame.main(["thing", "--config", str(file)]) == 2
    assert "bool" in capfd.readouterr().err


def test_quiet_leaves_nothing_on_stderr_but_errors(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def noisy(config: Config) -> Report:
        logging.getLogger("lib").warning("a library that warns")
        os.write(2, b"C++ that prints\n")
        os.system("echo a child that prints >&2")
        if config.fast:
            raise CorruptFile("a.mat", "it ends early")
        return Report({"fine": True})

    _verb(monkeypatch, noisy)
    assert frame.main(["thing", "edge", "--data", "store"]) == 0
    assert "C++ that prints" in capfd.readouterr().err
    assert frame.main(["thing", "edge", "--data", "store", "--quiet"]) == 0
    assert capfd.readouterr().err == ""
    assert frame.main(["thing", "edge", "--data", "store", "--quiet", "--fast"]) == 1
    assert capfd.readouterr().err == "error: a.mat: it ends early\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('dta = "store"', "data"),
        ("jsn = true", "did you mean 'json'"),
        ("[optimiser]\nspeed = 1", "rate"),
        ('kind = "medium"', "large, small"),
        ('seeds = "1"', "tuple[int, ...]"),
        ("fast = 1", "bool"),
        ("optimiser = 3", "[optimiser]"),
        ("name = 3", "str"),
        ("data = ", "not a TOML file"),
    ],
)
def test_wrong_file_says_what_would_be_right(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _verb(monkeypatch, _echo)
    file = tmp_path / "run.toml"
    file.write_text(text)
    assert frame.main(["thing", "edge", "--data", "store", f"--config={file}", "--json"]) in (1, 2)
    assert said in _json(capfd)["error"]["message"]


def test_missing_config_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _verb(monkeypatch, _echo)
    assert frame.main(["thing", "--config", "nowhere.toml"]) == 2
    assert "nowhere.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (CorruptFile("a.mat", "it ends after 12 bytes", remedy="copy it again"), 1, "ends after 12 bytes"),
        (OSError(28, "No space left on device", "out.npz"), 1, "out.npz: No space left on device"),
        (FileNotFoundError(2, "No such file or directory", "in.npz"), 1, "in.npz"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ModuleNotFoundError("No module named 'executorch'", name="executorch"), 2, "edgeskel[export-mobile]"),
        (ZeroDivisionError("division by zero"), 1, "division by zero"),
    ],
)
def test_errors(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(config: Config) -> Report:
        raise error

    _verb(monkeypatch, fail)
    assert frame.main(["thing", "edge", "--data", "store", "--json"]) == status
    assert said in _json(capfd)["error"]["message"]
    assert frame.main(["thing", "edge", "--data", "store"]) == status
    captured = capfd.readouterr()
    assert captured.out == "" and said in captured.err


def test_report_that_is_not_ok_fails(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    _verb(monkeypatch, lambda config: Report({"agreement": 0.5}, ok=False))
    assert frame.main(["thing", "edge", "--data", "store", "--json"]) == 1
    assert _json(capfd) == {"agreement": 0.5}


def test_terminated_program_unwinds(tmp_path: Path) -> None:
    """SIGTERM in the middle of writing leaves neither the target nor a temporary file."""
    code = f"""
import os, signal, sys
from types import SimpleNamespace
from dataclasses import dataclass
from edgeskel.cli import main as frame
from edgeskel.cli.report import Command
from edgeskel.files import atomic_folder
@dataclass
class Config: "Config of the test."
def write(config):
    with atomic_folder({str(tmp_path / "out")!r}) as folder:
        (folder / "half").write_text("x")
        os.kill(os.getpid(), signal.SIGTERM)
frame.VERBS["thing"] = ("thing", "")
sys.modules["thing"] = SimpleNamespace(COMMAND=Command(Config, write))
sys.exit(frame.main(["thing", "--json"]))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 143
    assert json.loads(done.stdout)["error"]["seen"] == "terminated"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["--help", "doctor"])
def test_closed_pipe_is_no_traceback(words: str) -> None:
    command = f"{sys.executable} -m edgeskel.cli.main {words} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
