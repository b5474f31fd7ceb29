"""Makes a release: a folder of what a device runs, its descriptor, and the signature over that.

The same bundle, program, engine and settings give the same bytes, and so the same release: flashing twice changes nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import edgeskel
from edgeskel.errors import UsageError
from edgeskel.files import atomic_folder
from edgeskel.runtime.bundle import Bundle
from targets.device.release import DESCRIPTOR, SCHEMA, SIGNATURE, TOOL, Release
from targets.flash import wheels as packages
from targets.flash.signing import Key

__all__ = ["ReleaseSettings", "pack", "program_files", "tool_bytes"]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every entry in the tool: its bytes depend on its content alone
_SHEBANG = b"#!/usr/bin/env python3\n"

# What the service needs of ours, by package folder. Nothing that imports more than numpy and the engine is among it, and nothing
# that trains: a service recognises. tests/targets/travels.txt lists every file.
_EDGESKEL = (
    "__init__.py",
    "errors.py",
    "files.py",
    "extras.py",
    "coordinates.py",
    "geometry.py",
    "notebook.py",
    "plugins.py",
    "printable.py",
    "skeleton.py",
    "values.py",
    "window.py",
    "runtime",
    "topologies",
)
_BRIDGE_LEFT_OUT = ("firmware", "testing")

_PROGRAM = '''"""The service of a release."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "packages"))  # behind the system's own numpy

from targets.service.main import main

sys.exit(main())
'''
_PACKAGE = '"""Part of edgeskel."""\n'


@dataclass(frozen=True)
class ReleaseSettings:
    """How a release recognises.

    Args:
        source: the address of its frames; ``golden:`` is the bundle's own golden windows.
        threshold: calibrated probability under which an action is unknown; None is the bundle's own.
        precision: only this one; None lets the device measure.
        threads: processor threads of the engine; None leaves it to the engine.
        budget_ms: what a recognition may take (p95); None is the bundle's budget.
    """

    source: str = "golden:"
    threshold: float | None = None
    precision: str | None = None
    threads: int | None = 1
    budget_ms: float | None = None


def pack(
    bundle: Bundle,
    out: Path,
    key: Key,
    settings: ReleaseSettings,
    *,
    wheels: Sequence[Path] = (),
    machine: str = "",
    python: str = "",
    files: Sequence[Path] = (),
    program: Mapping[str, bytes] | None = None,
) -> Release:
    """Write the release into ``out``; it appears whole or not at all.

    Args:
        bundle: opened, so every digest of it is checked.
        out: the folder; an older release there is replaced.
        key: signs.
        wheels: what the device lacks; ``machine`` and ``python`` say what they are built for.
        files: what the source reads, by name under ``files/``, the folder that the service starts in.
        program: of the service, path -> content; ours by default.

    Raises:
        UsageError: two files of one name, or something that is not a file.
        OSError: the disk is full; nothing is left behind.
    """
    contents: dict[str, bytes] = {TOOL: tool_bytes()}
    contents.update({f"program/{name}": content for name, content in (program or program_files()).items()})
    for wheel in wheels:
        contents.update({f"packages/{name}": content for name, content in packages.contents(wheel).items()})
    for path in files:
        if not path.is_file():
            raise UsageError(f"--files {path}: no such file", expected="a file that the source reads")
        if f"files/{path.name}" in contents:
            raise UsageError(f"--files names two files {path.name}", expected="a name once")
        contents[f"files/{path.name}"] = path.read_bytes()
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    for name in bundle.content:
        content = (bundle.path / name).read_bytes()
        listed[f"bundle/{name}"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    facts = {
        "schema": SCHEMA,
        "name": _name(bundle.name),
        "bundle": bundle.digest,
        "created": str(bundle.manifest.get("created", "")),
        "program": edgeskel.__version__,
        "target": bundle.target,
        "machine": machine if wheels else "",
        "python": python if wheels else "",
        "settings": asdict(settings),
        "files": dict(sorted(listed.items())),
    }
    descriptor = (json.dumps(facts, indent=1) + "\n").encode()
    release = Release.parse(descriptor)
    with atomic_folder(out, marker=DESCRIPTOR) as folder:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / TOOL).chmod(0o755)
        for name in bundle.content:
            (folder / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / "bundle" / name)
        (folder / SIGNATURE).write_bytes(key.sign(descriptor))
        (folder / DESCRIPTOR).write_bytes(descriptor)
    return release


def _name(text: str) -> str:
    kept = "".join(
        letter if letter.isalnum() and letter.isascii() or letter in "._-" else "-" for letter in text
    ).strip("-._")
    return kept[:64] or "bundle"


def program_files() -> dict[str, bytes]:
    """The service's program: path -> content."""
    found = {"__main__.py": _PROGRAM.encode(), "targets/__init__.py": _PACKAGE.encode()}
    found.update(_sources("edgeskel", _EDGESKEL))
    found.update(_sources("firmware_bridge", _all_but("firmware_bridge", _BRIDGE_LEFT_OUT)))
    found.update(_sources("targets", ("service",)))
    return found


def tool_bytes() -> bytes:
    """``edgeskel-device``: one file that Python runs, the same bytes for the same content."""
    files = {
        "__main__.py": b"import sys\n\nfrom targets.device.main import main\n\nsys.exit(main())\n",
        "targets/__init__.py": _PACKAGE.encode(),
    }
    files.update(_sources("edgeskel", ("__init__.py", "errors.py", "files.py", "printable.py")))
    files.update(_sources("targets", ("device",)))
    buffer = io.BytesIO()
    buffer.write(_SHEBANG)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return buffer.getvalue()


def _folder(package: str) -> Path:
    """Found, not imported: ``targets`` knows no sensor, it only sends that room's files along."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def _all_but(package: str, left_out: Iterable[str]) -> list[str]:
    entries = [entry for entry in _folder(package).iterdir() if entry.is_dir() or entry.suffix == ".py"]
    return sorted(entry.name for entry in entries if entry.name not in left_out)


def _sources(package: str, entries: Iterable[str]) -> dict[str, bytes]:
    """Path -> content of the package's own files below these entries."""
    root, found = _folder(package), {}
    for entry in entries:
        place = root / entry
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in (".py", ".json", ".toml") and "__pycache__" not in path.parts:
                found[f"{package}/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    return found
