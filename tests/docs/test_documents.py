"""The documents cannot rot: their code runs, their links lead somewhere, their commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from edgeskel.cli.config import parse
from edgeskel.cli.main import VERBS, commands
from edgeskel.data.importers.common import ImportOptions
from edgeskel.data.importers.generic import recordings
from edgeskel.errors import EdgeskelError
from edgeskel.topologies import parse as parse_topology
from tests.cli.surface import _flags

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")),
             *sorted((ROOT / "targets").rglob("*.md"))]
EVERYWHERE = {"--json", "--quiet", "--config", "--help"}


def test_readme_example_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 22, "the README promises a short example"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    right, total = map(int, re.search(r"(\d+) of (\d+) clips", done.stdout).groups())
    assert right >= 0.8 * total
    assert " s: " in done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not re.match(r"https?:", link):
            assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    for line, words in _commands(document):
        verb, *rest = words
        assert verb in VERBS, line
        choices = commands(verb)
        command = choices[rest.pop(0)] if rest and rest[0] in choices else choices[""]
        flags = {flag.partition(":")[0] for flag in _flags(command.config)} | EVERYWHERE
        for word in rest:
            if word.startswith("--"):
                assert word.partition("=")[0] in flags, f"{line}: {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_understood(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line of a document is taken by the parser: its values have the right type, and nothing that is needed is missing."""
    for line, words in _commands(document):
        verb, *rest = words
        choices = commands(verb)
        command = choices[rest.pop(0)] if rest and rest[0] in choices else choices[""]
        try:
            parse(command.config, rest, program=f"edgeskel {verb}")
        except (SystemExit, EdgeskelError) as error:
            pytest.fail(f"{line}\n{error}\n{capsys.readouterr().err}", pytrace=False)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_sentences_exist(document: Path) -> None:
    """`edgeskel VERB WORD --flag` within a sentence: the verb, its second word and the flags."""
    for text in re.findall(r"`edgeskel ([a-z][^`\n]*)`", document.read_text()):
        verb, *rest = text.split()
        assert verb in VERBS, text
        if "|" in rest or not rest:
            assert not rest or {word for word in rest if word.isalpha()} <= _words_of(verb), text
            continue
        choices = commands(verb)
        command = choices.get(rest[0]) or choices.get("")
        assert command is not None, text
        flags = {flag.partition(":")[0] for flag in _flags(command.config)} | EVERYWHERE
        for word in rest:
            if re.match(r"--[a-z]", word):
                assert word.partition("=")[0].rstrip(",.") in flags, f"{text}: {word}"


def _words_of(verb: str) -> set[str]:
    """Second words of a verb, and the values of its first positional."""
    words = set(commands(verb))
    for command in commands(verb).values():
        words |= {value for hint in get_type_hints(command.config).values() for value in get_args(hint) if isinstance(value, str)}
    return words


def _commands(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Indented lines that start with ``edgeskel``, without comments and continued over backslashes."""
    text = document.read_text().replace("\\\n", " ")
    for line in re.findall(r"^(?: {4,}|\$ )(edgeskel [a-z].*)$", text, re.MULTILINE):
        words = shlex.split(line, comments=True)[1:]
        if words and words[0] in VERBS:
            yield line, [word for word in words if word not in ("|", "·")]


@pytest.mark.parametrize("number", range(5))
def test_descriptions_of_recordings_can_be_read(number: int, tmp_path: Path) -> None:
    """Every dataset.toml of docs/recordings.md describes files that are there."""
    blocks = [block for block in re.findall(r"```toml\n(.*?)```", (ROOT / "docs/recordings.md").read_text(), re.DOTALL)
              if "units" in block]
    assert len(blocks) == 5
    (tmp_path / "dataset.toml").write_text(blocks[number])
    for file in ("squat/anna_front_1.csv", "squat/2_front_1.csv", "squat/4_front_1.csv", "squat/anna_1.csv", "squat/anna_1.txt",
                 "monday/take-7.csv", "monday/take-8.csv"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    if "{view}" not in blocks[number]:
        for file in tmp_path.glob("squat/*_front_1.csv"):
            file.unlink()
    else:
        (tmp_path / "squat/anna_1.csv").unlink()
    labels = recordings(tmp_path, ImportOptions()).labels
    assert labels == (("lunge", "squat") if "[[clip]]" in blocks[number] else ("squat", "lunge") if number == 0 else ("squat",))


def test_the_layout_of_the_documents_can_be_read() -> None:
    (block,) = [block for block in re.findall(r"```toml\n(.*?)```", (ROOT / "docs/recordings.md").read_text(), re.DOTALL)
                if "joints = [" in block]
    layout = parse_topology(block, "docs/recordings.md")
    assert layout.joints[3:] == ("left_shoulder", "right_shoulder") and layout.pairs == ((3, 4),)
