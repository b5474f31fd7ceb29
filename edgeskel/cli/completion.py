"""``edgeskel completion SHELL``: a script that completes verbs, their second words, flags, choices and files.

tyro writes the script, from one type that joins the configurations of all verbs. What its scripts lack is put right here: a
description of several lines would be offered as several words, names for a positional are not offered, and files are not
completed where one stands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from dataclasses import dataclass
from inspect import getdoc
from typing import Annotated, Any, Literal, Union

import tyro

from edgeskel.cli.report import Command, Report

__all__ = ["COMMAND", "script"]

PROGRAM = "edgeskel"
_FUNCTION = f"_tyro_{PROGRAM}"

# What follows tyro's script. Each falls back to the names of files where there is no flag or word to offer.
_BASH = f"""
_{PROGRAM}() {{
  {_FUNCTION} "$@"
  if [[ ${{#COMPREPLY[@]}} -eq 1 && -z ${{COMPREPLY[0]}} ]]; then COMPREPLY=(); fi
}}
complete -o default -o bashdefault -F _{PROGRAM} {PROGRAM}
"""
_ZSH = f"""
_{PROGRAM}() {{
  {_FUNCTION} "$@" && return
  _files
}}
if [[ "${{funcstack[1]}}" == "_{PROGRAM}" ]]; then _{PROGRAM} "$@"; else compdef _{PROGRAM} {PROGRAM}; fi
"""
_FISH = f"""
complete --command {PROGRAM} --force-files --condition \\
    'test -n "$(commandline -ct)"; and not string match -q -- "-*" (commandline -opc)[-1] (commandline -ct)'
"""
# What follows the specification in the Python that every script holds; without a double quote, a dollar or a backslash, which fish
# would read. To tyro's walk through the words a name is a second word that takes the same flags.
_OFFER = """
for words, names in {choices}.items():
    node = COMPLETION_SPEC
    for word in words:
        node = node['subcommands'][word]
    alike = {{name: {{**node, 'subcommands': {{}}, 'description': name}} for name in names}}
    node['subcommands'] = {{**node['subcommands'], **alike}}
"""
_ENDINGS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@dataclass(frozen=True)
class Completion:
    """Print the script with which your shell completes edgeskel's commands, flags and files.

    bash: edgeskel completion bash > ~/.local/share/bash-completion/completions/edgeskel
    zsh: edgeskel completion zsh > ~/.zfunc/_edgeskel, with fpath+=~/.zfunc before compinit in ~/.zshrc
    fish: edgeskel completion fish > ~/.config/fish/completions/edgeskel.fish
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """Which shell."""


def completion(config: Completion) -> Report:
    """Write the script."""
    text = script(config.shell)
    return Report({"shell": config.shell, "script": text}, lambda out: out.print(text, soft_wrap=True))


def script(shell: str) -> str:
    """The whole script for ``shell`` (bash, zsh or fish)."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(_everything(), prog=PROGRAM, args=["--tyro-print-completion", shell])
    lines = text.getvalue().rstrip().splitlines()
    start = next(number for number, line in enumerate(lines) if "COMPLETION_SPEC = " in line)
    lines[start : start + 1] = [_one_line_each(lines[start]), *_OFFER.format(choices=_names()).splitlines()]
    if lines[-1] == f'{_FUNCTION} "$@"':  # zsh's, which is called below
        lines.pop()
    return "\n".join(lines) + "\n" + _ENDINGS[shell]


def _names() -> dict[tuple[str, ...], list[str]]:
    """Command -> the names that its positional knows; where it takes a path too, the shell completes files besides."""
    from edgeskel.cli.models import shipped
    from edgeskel.data.importers import importers
    from targets import names

    models = list(shipped())
    return {
        ("completion",): list(_ENDINGS),
        ("data", "import"): list(importers()),
        ("targets",): list(names()),
        **{(verb,): models for verb in ("compress", "evaluate", "export")},
    }


def _one_line_each(specification: str) -> str:
    """Without the ends of line in its texts, which stand there as ``\\n`` (in fish ``\\\\n``)."""
    return re.sub(r"\\+n\s*", " ", specification)


def _everything() -> Any:
    """One type whose subcommands are the verbs, and theirs the second words."""
    from edgeskel.cli.main import VERBS, commands

    return _choice([_subcommand(verb, purpose, _verb(commands(verb))) for verb, (_, purpose) in VERBS.items()])


def _verb(choices: dict[str, Command]) -> Any:
    words = [_subcommand(name, (getdoc(command.config) or "").partition("\n")[0], _call(command.config))
             for name, command in choices.items() if name]
    if not words:
        return _call(choices[""].config)
    if "" in choices:
        return _call(choices[""].config, _choice(words))
    return dataclasses.make_dataclass("Words", [("word", Annotated[_choice(words), tyro.conf.arg(name="")])])


def _call(config: type, words: Any = None) -> Any:
    from edgeskel.cli.config import call_of

    call = call_of(config)
    if words is None:
        return call
    word = ("word", Annotated[words, tyro.conf.arg(name="")])
    return dataclasses.make_dataclass("Call", [word], bases=(call,), kw_only=True)


def _subcommand(name: str, about: str, kind: Any) -> Any:
    kind.__doc__ = about  # the class was made here; its docstring is what the shell shows beside the word
    return Annotated[kind, tyro.conf.subcommand(name=name, description=about, prefix_name=False)]


def _choice(options: list[Any]) -> Any:
    return Union[tuple(options) + (Annotated[None, tyro.conf.Suppress],)]  # noqa: UP007 (made of a list; one alone is no union)


COMMAND = Command(Completion, completion)
