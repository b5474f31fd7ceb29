"""``edgeskel doctor``: what is installed, what is missing and how to get it, which engines run here.

Everything is found out by reading metadata and files; no optional package is imported except by an engine that is asked
whether it can run.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgeskel
from edgeskel.cli.report import Command, Report
from edgeskel.extras import wanted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["COMMAND"]

# Where TensorRT's library lies: JetPack and Debian packages, tar installs, this Python's wheels.
_LIBRARY_FOLDERS = (
    "/usr/lib/aarch64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/local/tensorrt/lib", "/opt/tensorrt/lib",
)


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, which extras are missing, and which engines run on this machine."""

    datasets: Path | None = None
    """Folder with recordings, one folder per data set; by default what EDGESKEL_DATASETS names."""


def doctor(config: Doctor) -> Report:
    """Look around and report; nothing is changed."""
    extras = {name or "base": _extra(name, packages) for name, packages in wanted().items()}
    data: dict[str, Any] = {
        "edgeskel": edgeskel.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "device": _device(),
        "extras": extras,
        "engines": _engines(),
        "datasets": _datasets(config.datasets),
    }
    data["problems"] = _problems(data, config.datasets)
    return Report(data, text=lambda console: _draw(console, data), ok=not data["problems"])


def _problems(data: dict[str, Any], datasets: Path | None) -> list[str]:
    """Why edgeskel cannot do its work here; an extra that nobody installed is no problem."""
    found = []
    base = data["extras"].get("base")
    if base is not None and not base["complete"]:
        found.append(f"a package that everything needs is missing or of another version: {base['install']}")
    if not any(engine["runs"] for engine in data["engines"].values()):
        found.append("no engine runs here, so nothing can be recognised; enough is: pip install onnxruntime (on a Jetson, "
                     "TensorRT of JetPack)")
    if datasets is not None and not datasets.is_dir():
        found.append(f"{datasets} is not a folder of data sets")
    return found


def _extra(name: str, packages: dict[str, str]) -> dict[str, Any]:
    found = {}
    for package, bounds in sorted(packages.items()):
        version = _version(package)
        found[package] = {"installed": version, "wanted": bounds, "ok": version is not None and fits(version, bounds)}
    complete = all(entry["ok"] for entry in found.values())
    install = "pip install edgeskel" if name == "" else f"pip install 'edgeskel[{name}]'"
    return {"complete": complete, "packages": found, "install": "" if complete else install}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def fits(version: str, bounds: str) -> bool:
    """Whether ``version`` lies within ``bounds`` (``">=2.13,<2.14"``), by release numbers alone."""
    have = _release(version)
    for bound in filter(None, (part.strip() for part in bounds.split(","))):
        match = re.match(r"(>=|<=|==|!=|<|>)\s*(.+)", bound)
        if match is None:
            continue
        limit = _release(match[2])
        width = max(len(have), len(limit))
        a, b = have + (0,) * (width - len(have)), limit + (0,) * (width - len(limit))
        if not {">=": a >= b, "<=": a <= b, "==": a == b, "!=": a != b, "<": a < b, ">": a > b}[match[1]]:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else (0,)


def _engines() -> dict[str, dict[str, Any]]:
    from edgeskel.runtime import engines

    return {name: {"runs": why is None, "why_not": why or ""} for name, why in engines.available().items()}


def _device() -> dict[str, Any]:
    """What kind of machine this is, by the files that its makers leave."""
    model = Path("/proc/device-tree/model")
    release = Path("/etc/nv_tegra_release")
    driver = Path("/proc/driver/nvidia/version")
    found = re.search(r"Module\s+(\d+[\d.]*)", driver.read_text()) if driver.is_file() else None
    return {
        "model": model.read_text().rstrip("\0\n") if model.is_file() else "",
        "l4t": _l4t(release.read_text()) if release.is_file() else "",
        "jetpack": _debian_version("nvidia-jetpack"),
        "nvidia_driver": found[1] if found else "",
        "tensorrt_libraries": _tensorrt_libraries(),
    }


def _l4t(text: str) -> str:
    """``R36.4.0`` from NVIDIA's ``# R36 (release), REVISION: 4.0, GCID: ...``."""
    match = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", text)
    return f"R{match[1]}.{match[2]}" if match else ""


def _debian_version(package: str) -> str:
    status = Path("/var/lib/dpkg/status")
    if not status.is_file():
        return ""
    entry = rf"^Package: {re.escape(package)}\n(?:.+\n)*?Version: (\S+)"
    match = re.search(entry, status.read_text(errors="replace"), re.MULTILINE)
    return match[1] if match else ""


def _tensorrt_libraries() -> list[str]:
    folders = [*map(Path, _LIBRARY_FOLDERS), *(Path(entry) / "tensorrt_libs" for entry in sys.path if entry)]
    return sorted({str(file) for folder in folders for file in folder.glob("libnvinfer.so*")})


def _datasets(folder: Path | None) -> dict[str, Any]:
    named = os.environ.get("EDGESKEL_DATASETS")
    place = folder or (Path(named) if named else None)
    found = sorted(entry.name for entry in place.glob("*/") if entry.is_dir()) if place else []
    return {"folder": str(place or ""), "found": found}


def _draw(console: Console, data: dict[str, Any]) -> None:
    from rich.text import Text

    from edgeskel.console import new_table

    console.print(f"edgeskel {data['edgeskel']}, Python {data['python']}, {data['platform']}, {data['cores']} cores")
    for name, value in data["device"].items():
        if value:
            console.print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    table = new_table("extra", "state", "packages")
    for name, extra in data["extras"].items():
        packages = Text(", ").join(_package(package, entry) for package, entry in extra["packages"].items())
        table.add_row(name, _state(extra["complete"], "complete", "missing"), packages)
    console.print(table)
    for extra in data["extras"].values():
        if not extra["complete"]:
            console.print(f"  to have it: {extra['install']}", soft_wrap=True)
    console.print()
    table = new_table("engine", "runs here", "why not")
    for name, engine in data["engines"].items():
        table.add_row(name, _state(engine["runs"], "yes", "no"), engine["why_not"])
    console.print(table)
    console.print()
    place = data["datasets"]
    console.print(f"data sets in {place['folder']}: {', '.join(place['found']) or 'none'}" if place["folder"]
                  else "data sets: EDGESKEL_DATASETS is not set")
    for problem in data["problems"]:
        console.print(f"problem: {problem}", style="red", soft_wrap=True)


def _state(good: bool, yes: str, no: str) -> Text:
    from rich.text import Text

    return Text(yes, style="green") if good else Text(no, style="yellow")


def _package(name: str, entry: dict[str, Any]) -> Text:
    from rich.text import Text

    if entry["ok"]:
        return Text(f"{name} {entry['installed']}")
    have = f" (have {entry['installed']})" if entry["installed"] else ""
    return Text(name + entry["wanted"] + have, style="yellow")


COMMAND = Command(Doctor, doctor)
