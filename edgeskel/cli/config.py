"""One configuration, two ways in: a TOML file and the command line set the same dataclass fields.

The file gives defaults; the command line goes over them. A nested dataclass is a table of the file.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from inspect import getdoc
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from edgeskel.errors import CorruptFile, UnknownChoice, UsageError

__all__ = ["Output", "call_of", "output_of", "parse"]


@dataclasses.dataclass(frozen=True)
class Output:
    """The same for every verb."""

    json: bool = False
    """Print one JSON object on stdout instead of text."""
    quiet: bool = False
    """No progress and no log on stderr; errors still appear."""
    config: Path | None = None
    """TOML file that sets the same fields; the command line goes over it."""


RENAMED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "way": ("mode", {"frame": "streaming", "window": "sliding-window"}),
}
"""Fields as the version before called them -> today's name, and today's words for their values. Read for one version more."""

_OF_OUTPUT = ("json", "quiet")  # a file that named another file would be read for what it does not say


def output_of(arguments: Sequence[str]) -> Output:
    """How results are to be shown, by the flags and, under them, the file: known before the rest is parsed.

    Raises:
        UsageError, CorruptFile: the file cannot be read, or its ``json`` or ``quiet`` is not true or false.
    """
    file = _config_file(arguments)
    table = {} if file is None else _read(file)
    given = {name: _convert(table[name], bool, f"{name} in {file}") for name in _OF_OUTPUT if name in table}
    for argument in arguments:
        name = argument.removeprefix("--").removeprefix("no-")
        if name in _OF_OUTPUT and argument in (f"--{name}", f"--no-{name}"):
            given[name] = argument == f"--{name}"
    return Output(**given)


def parse(config: type, arguments: Sequence[str], *, program: str) -> Any:
    """``config`` filled from ``arguments`` and, under them, from the file that ``--config`` names.

    Raises:
        UnknownChoice: the file sets a field that ``config`` has not; the message lists the fields.
        UsageError: a value in the file has the wrong type.
        SystemExit: help was asked for (0), or the arguments are wrong (2); the text has been printed.
    """
    import tyro

    from edgeskel.console import no_color

    names = {field.name for field in dataclasses.fields(config)}
    arguments = _renamed_flags(arguments, names)
    tyro._experimental_options["ansi_codes"] = not no_color()  # what tyro documents for it; it knows no NO_COLOR
    call = call_of(config)
    given: dict[str, Any] = {}
    file = _config_file(arguments)
    if file is not None:
        table = {name: value for name, value in _read(file).items() if name not in _OF_OUTPUT}
        table = dict(_renamed(name, value, str(file), names) for name, value in table.items())
        given["default"] = call(_fill(config, table, str(file), tyro.MISSING, also=_OF_OUTPUT), Output())
    markers = (tyro.conf.PositionalMetavarFromFieldName,)
    return tyro.cli(call, args=list(arguments), prog=program, description=getdoc(config), config=markers, **given).command


def _renamed_flags(arguments: Sequence[str], names: Collection[str]) -> list[str]:
    """``arguments`` with today's flags in place of those of the version before."""
    today: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and name in RENAMED:
            value = value if equals else next(rest, "")
            name, value = _renamed(name, value, "the command", names)
            today += [f"--{name}", value]
        else:
            today.append(argument)
    return today


def _renamed(name: str, value: Any, where: str, names: Collection[str]) -> tuple[str, Any]:
    """A field of ``where`` and its value by today's words; a change is said on stderr."""
    if name not in RENAMED or name in names or RENAMED[name][0] not in names:
        return name, value
    new, words = RENAMED[name]
    today = words.get(value, value) if isinstance(value, str) else value
    print(f"{name} = {value} in {where} is {new} = {today} now; the old words are read for one version more", file=sys.stderr)
    return new, today


def call_of(config: type) -> type:
    """``config`` and what every verb takes, as one dataclass with the fields ``command`` and ``output``."""
    import tyro

    return dataclasses.make_dataclass(
        "Call",
        [
            ("command", Annotated[config, tyro.conf.arg(name="")]),
            ("output", Annotated[Output, tyro.conf.arg(name="")], dataclasses.field(default_factory=Output)),
        ],
    )


def _config_file(arguments: Sequence[str]) -> Path | None:
    """The value of ``--config``: needed before the parser runs, because it gives the parser's defaults."""
    for position, argument in enumerate(arguments):
        if argument == "--config" and position + 1 < len(arguments):
            return Path(arguments[position + 1])
        if argument.startswith("--config="):
            return Path(argument.partition("=")[2])
    return None


def _read(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CorruptFile(path, f"not a TOML file: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from error


def _fill(config: type, table: Mapping[str, Any], where: str, missing: object, also: Sequence[str] = ()) -> Any:
    """An instance of ``config`` with what ``table`` sets; fields without any value hold ``missing``.

    ``also`` are names that the file may set and that have been taken out of ``table`` already.
    """
    fields = {field.name: field for field in dataclasses.fields(config)}
    hints = get_type_hints(config)
    names = {name.replace("-", "_"): name for name in table}
    for name, written in names.items():
        if name not in fields:
            raise UnknownChoice(f"field in {where}", written, (*fields, *also))
    # Not through __init__: a class may check its fields there, and some are still missing. The parser calls it later.
    instance: Any = object.__new__(config)
    for name, field in fields.items():
        hint = hints[name]
        nested = dataclasses.is_dataclass(hint)
        if name in names and nested:
            value = _fill(hint, _table(table[names[name]], where, name), f"{where} [{name}]", missing)
        elif name in names:
            value = _convert(table[names[name]], hint, f"{name} in {where}")
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            value = _fill(hint, {}, where, missing) if nested else missing
        object.__setattr__(instance, name, value)
    return instance


def _table(value: object, where: str, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{name} in {where} is {value!r}", expected=f"a table: [{name}]")
    return value


def _convert(value: Any, hint: Any, where: str) -> Any:
    """``value`` as TOML gives it, as the type ``hint``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _convert(value, arguments[0], where)
    if origin in (Union, types.UnionType):
        for option in arguments:
            try:
                return _convert(value, option, where)
            except UsageError:
                continue
        raise UsageError(f"{where} is {value!r}", expected=_name(hint))
    if origin is Literal:
        if value in arguments:
            return value
        raise UnknownChoice(f"value of {where}", str(value), map(str, arguments))
    if origin in (tuple, list) and isinstance(value, list):
        return _sequence(value, origin, arguments, where)
    if origin is not None:
        raise UsageError(f"{where} is {value!r}", expected=_name(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        if value in hint.__members__:
            return hint[value]
        raise UnknownChoice(f"value of {where}", str(value), hint.__members__)
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise UsageError(f"{where} is {value!r}", expected=_name(hint))


def _sequence(value: list[Any], origin: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if origin is not tuple or arguments[-1:] == (Ellipsis,):
        items = [_convert(item, arguments[0], where) for item in value]
        return items if origin is list else tuple(items)
    if len(value) != len(arguments):
        raise UsageError(f"{where} has {len(value)} values", expected=f"{len(arguments)}")
    return tuple(_convert(item, hint, where) for item, hint in zip(value, arguments, strict=True))


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and get_origin(hint) is None else str(hint).replace("typing.", "")
