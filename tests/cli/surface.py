"""The command line as one text: every verb, every flag with type and default.

``python -m tests.cli.surface`` writes it to surface.txt; a test compares, so that no flag appears or goes unnoticed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from edgeskel.cli.main import VERBS, commands

SURFACE = Path(__file__).with_name("surface.txt")


def lines() -> Iterator[str]:
    for verb in VERBS:
        for name, command in commands(verb).items():
            yield f"edgeskel {verb} {name}".rstrip()
            for flag in _flags(command.config):
                yield f"    {flag}"


def _flags(config: Any, prefix: str = "") -> Iterator[str]:
    plain, annotated = get_type_hints(config), get_type_hints(config, include_extras=True)
    for field in dataclasses.fields(config):
        hint = plain[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _flags(hint, f"{prefix}{field.name}.")
            continue
        markers = get_args(annotated[field.name])[1:]
        renamed = next((marker.name for marker in markers if isinstance(getattr(marker, "name", None), str)), field.name)
        name = (prefix + renamed).replace("_", "-")
        positional = any("POSITIONAL" in repr(marker).upper() for marker in markers)
        text = hint.__name__ if isinstance(hint, type) else str(hint)
        for module in ("typing.", "pathlib.", "collections.abc.", "_local."):
            text = text.replace(module, "")
        yield f"{name.upper() if positional else '--' + name}: {text}{_default(field)}"


def _default(field: Any) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {field.default!s}" if isinstance(field.default, Path) else f" = {field.default!r}"
    if field.default_factory is not dataclasses.MISSING:
        return f" = {field.default_factory()!r}"
    return ""


if __name__ == "__main__":
    SURFACE.write_text("\n".join(lines()) + "\n")
