"""The documents cannot rot: their code runs, their links lead somewhere, their commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeskel.cli.main import VERBS, commands
from tests.cli.surface import _flags

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
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


def _commands(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Indented lines that start with ``edgeskel``, without comments and continued over backslashes."""
    text = document.read_text().replace("\\\n", " ")
    for line in re.findall(r"^(?: {4,}|\$ )(edgeskel [a-z].*)$", text, re.MULTILINE):
        words = shlex.split(line, comments=True)[1:]
        if words and words[0] in VERBS:
            yield line, [word for word in words if word not in ("|", "·")]
