"""What a device lacks, as wheels for its Python and processor, fetched here and kept: its engine, first of all.

The device itself fetches nothing. The wheel comes through ``pip`` from wherever this workstation's pip takes its wheels,
and its files become part of the signed release.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from edgeskel.errors import DeviceError
from edgeskel.files import atomic_folder

__all__ = ["ENGINE", "TOML", "contents", "fetch"]

ENGINE, TOML = "onnxruntime", "tomli"
_WANTED = {ENGINE: "onnxruntime>=1.17", TOML: "tomli>=2"}  # 1.17 reads opset 17 and IR 9, which is what export writes
# Newest first: pip takes the newest version that has a wheel for any of them.
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
# Of the package only what runs graphs: these convert and optimise models, and import torch and onnx.
_LEFT_OUT = (
    "onnxruntime/transformers/",
    "onnxruntime/quantization/",
    "onnxruntime/tools/",
    "onnxruntime/datasets/",
    "onnxruntime/backend/",
)


def fetch(package: str, python: str, machine: str) -> Path:
    """The wheel of ``package`` for Python ``python`` ("3.10") on ``machine``; from the cache when it was fetched before.

    Raises:
        DeviceError: pip finds none.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeskel" / "wheels"
    cache = root / f"{package}-cp{python}-{machine}"
    if found := sorted(cache.glob("*.whl")):
        return found[-1]
    with atomic_folder(cache) as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--python-version",
            python,
            "--dest",
            str(folder),
            _WANTED[package],
        ]
        for platform in _PLATFORMS:
            command += ["--platform", f"{platform}_{machine}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not list(folder.glob("*.whl")):
            raise DeviceError(
                f"the device has no {package}, and pip finds no wheel for Python {python} on {machine}: "
                + " ".join(done.stderr.split())[-300:],
                expected=f"a wheel of {package}",
                remedy=f"give one with --wheel FILE, or install {package} on the device",
            )
    return sorted(cache.glob("*.whl"))[-1]


def contents(wheel: Path) -> dict[str, bytes]:
    """What of the wheel goes along, by path under ``packages/``.

    Raises:
        DeviceError: not a wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith(_LEFT_OUT)]
            if any(name.startswith("/") or ".." in name.split("/") for name in names):
                raise DeviceError(f"{wheel} holds a path outside itself", expected="a wheel")
            return {name: archive.read(name) for name in names}
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise DeviceError(f"{wheel}: not a wheel ({error})", expected="a wheel") from error
