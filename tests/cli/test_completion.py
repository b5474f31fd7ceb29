"""Shell completion, by real shells: what TAB makes of a line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import targets
from edgeskel.cli.main import VERBS, commands, main
from edgeskel.data.importers import importers
from edgeskel.models import shipped
from tests.cli.shells import Shell

SHELLS = ("bash", "zsh", "fish")


def _needs(shell: str) -> None:
    if shutil.which(shell) is None:
        message = f"needs {shell}: apt-get install {shell}"
        if shell == "bash" or os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.fixture
def script(once: Callable[..., Path]) -> Callable[[str], Path]:
    """The script of a shell, as the command line prints it into a file."""

    def write(shell: str, path: Path) -> None:
        with path.open("w") as file:
            subprocess.run([sys.executable, "-m", "edgeskel", "completion", shell], stdout=file, check=True)

    return lambda shell: once(f"completion-{shell}", lambda path: write(shell, path))


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_verbs_second_words_flags_and_files(
    shell: str, script: Callable[[str], Path], tmp_path: Path
) -> None:
    _needs(shell)
    (tmp_path / "moves.store").mkdir()
    with Shell(shell, script(shell), tmp_path) as terminal:
        terminal.type("echo READY$((1 + 1))\n" if shell != "fish" else "echo READY(math 1 + 1)\n")
        terminal.until("READY2")
        terminal.type("edgeskel devi\tsca\t--sec\t3\n")
        assert terminal.until("GOT<(.*)>")[1] == "devices scan --seconds 3"
        terminal.type("edgeskel compress edge-demo --method pl\t--out mo\t\n")
        assert terminal.until("GOT<(.*)>")[1].rstrip("/ ") == "compress edge-demo --method plain --out moves.store"
        terminal.type("edgeskel data insp\tmov\t\n")
        assert terminal.until("GOT<(.*)>")[1].rstrip("/ ") == "data inspect moves.store"
        terminal.type("edgeskel data import utk\tmov\t\n")
        assert terminal.until("GOT<(.*)>")[1].rstrip("/ ") == "data import utkinect moves.store"
        terminal.type("edgeskel export edge-utd-mhad-l\t--out mo\t\n")
        assert terminal.until("GOT<(.*)>")[1].rstrip("/ ") == "export edge-utd-mhad-live --out moves.store"


COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_edgeskel
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _candidates(script: Path, *words: str) -> list[str]:
    done = subprocess.run(["bash", "-c", COMPLETE, "bash", str(script), *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def test_every_command_of_every_verb_is_offered(script: Callable[[str], Path]) -> None:
    """One word for each candidate: no piece of a description among them."""
    bash = script("bash")
    assert set(_candidates(bash, "edgeskel", "")) == {*VERBS, "-h", "--help"}
    for verb in VERBS:
        offered = _candidates(bash, "edgeskel", verb, "")
        assert {name for name in commands(verb) if name} <= set(offered)
        assert not [word for word in offered if " " in word]
    assert {"--seconds", "--json"} <= set(_candidates(bash, "edgeskel", "devices", "scan", "--"))


def test_names_that_a_positional_knows_are_offered(script: Callable[[str], Path]) -> None:
    bash = script("bash")
    offered = {words: {word for word in _candidates(bash, "edgeskel", *words.split(), "") if word[:1] not in ("", "-")}
               for words in ("completion", "data import", "targets", "export", "evaluate", "compress", "verify")}
    assert offered["completion"] == set(SHELLS) and offered["data import"] == set(importers()) and not offered["verify"]
    assert offered["targets"] == set(targets.names())
    assert offered["export"] == offered["evaluate"] == offered["compress"] == set(shipped()) and len(shipped()) > 3
    assert "--precision" in _candidates(bash, "edgeskel", "export", "edge-demo", "--pre")
    assert _candidates(bash, "edgeskel", "export", "edge-demo", "edge") == [""]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_that_the_shell_reads(shell: str, script: Callable[[str], Path]) -> None:
    _needs(shell)
    subprocess.run([shell, "-n", str(script(shell))], check=True)


def test_an_unknown_shell_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh", "--json"]) == 2
    assert "bash" in capfd.readouterr().out


def test_python_dash_m_is_the_same_command_line() -> None:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-m", "edgeskel", "--version"], capture_output=True, text=True, check=True,
                          env=environment)
    assert done.stdout.startswith("edgeskel ")
