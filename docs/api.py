"""Builds the API reference: ``python docs/api.py build/api``, one page for each public module, made by pdoc from the docstrings.

A reference that leads nowhere is an error: a role in a docstring (a class, a function, a module in backquotes) whose target does
not exist, or a link in a docstring to something that is not there. Exits 1 and names the places.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = ("edgeskel", "export", "firmware_bridge", "targets")
ROLE = re.compile(r":(?:class|func|meth|attr|data|exc|mod):`~?\.?([\w.]+)(?:\(\))?`")
LINK = re.compile(r'href="(?![a-z]+:|\$)([^"#]*)#?([^"]*)"')
ANCHOR = re.compile(r'id="([^"]+)"')
DOCSTRING = re.compile(r'<div class="docstring">(.*?)</div>', re.S)  # the rest of a page is pdoc's own


def public_modules() -> Iterator[ModuleType]:
    """Every module whose name has no leading underscore, imported."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not any(part.startswith("_") for part in found.name.split(".")):
                yield importlib.import_module(found.name)


def unresolved(module: ModuleType) -> Iterator[str]:
    """Roles in the module's docstrings, and in its source beside constants, whose target does not exist."""
    source = inspect.getsource(module)
    for number, line in enumerate(source.splitlines(), 1):
        for target in ROLE.findall(line):
            if not resolves(target, module):
                yield f"{module.__name__.replace('.', '/')}, line {number}: {target} is nowhere"


def resolves(target: str, module: ModuleType) -> bool:
    """Whether a name means something in a module: one of its own, an attribute of one of its classes, or a full path."""
    parts = target.split(".")
    if _reach(module, parts) or any(_reach(one, parts) for one in vars(module).values() if inspect.isclass(one)):
        return True
    for length in range(len(parts), 0, -1):
        for name in (".".join(parts[:length]), f"{module.__name__.rpartition('.')[0]}.{'.'.join(parts[:length])}"):
            try:
                return _reach(importlib.import_module(name), parts[length:])
            except ImportError:
                continue
    return any(_imported_for_types(module, parts))


def _imported_for_types(module: ModuleType, parts: list[str]) -> Iterator[bool]:
    """Names that a module imports for its annotations only."""
    for name, where in re.findall(r"^    from ([\w.]+) import ([^\n(]+)", inspect.getsource(module), re.M):
        if parts[0] in re.split(r"[,\s]+", where):
            yield _reach(getattr(importlib.import_module(name), parts[0]), parts[1:])


def _reach(start: Any, parts: list[str]) -> bool:
    for part in parts:
        if inspect.isclass(start) and (part in getattr(start, "__annotations__", {})
                                       or re.search(rf"\bself\.{part}\b", _source(start))):  # type: ignore[arg-type]  # classes are hashable
            return True
        if not hasattr(start, part):
            return False
        start = getattr(start, part)
    return True


@functools.cache
def _source(of: Any) -> str:
    try:
        return inspect.getsource(of)
    except (OSError, TypeError):
        return ""


def dead_links(folder: Path) -> Iterator[str]:
    """Links between the pages that lead to no page, or to no place on it."""
    pages = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.html")}
    anchors = {name: {unescape(found) for found in ANCHOR.findall(text)} for name, text in pages.items()}
    for name, text in sorted(pages.items()):
        for target, place in sorted({link for docstring in DOCSTRING.findall(text) for link in LINK.findall(docstring)}):
            page = (folder / name).parent.joinpath(target).resolve() if target else folder.resolve() / name
            known = page.relative_to(folder.resolve()).as_posix() if page.is_relative_to(folder.resolve()) else ""
            if target and not page.exists():
                yield f"{name}: {target} is not there"
            elif place and known in anchors and unescape(place).partition(".")[0] not in anchors[known]:  # members may be inherited
                yield f"{name}: {target}#{place} is not there"


def main(out: Path) -> int:
    """Build into ``out``; the exit status."""
    import pdoc

    sys.path.insert(0, str(Path(__file__).parent.parent))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = list(public_modules())
        pdoc.render.configure(docformat="google", show_source=False, footer_text="")
        pdoc.pdoc(*(module.__name__ for module in modules), output_directory=out)
    faults = [fault for module in modules for fault in unresolved(module)] + list(dead_links(out))
    print(*faults, sep="\n", end="\n" if faults else "")
    print(f"{len(modules)} modules in {out}, {len(faults)} references that lead nowhere")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
