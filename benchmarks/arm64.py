"""Does the host bundle answer on aarch64 as it does here? In an emulated Debian, with that processor's own wheels.

Debian for arm64 is made once under ``~/.cache/edgeskel/arm64`` (``debootstrap``, a few minutes), run by ``qemu-user-static``, and
given what a device has: Python, numpy and ONNX Runtime. There it opens the bundle of ``edge-demo`` through
``edgeskel.runtime``, with every digest checked, and answers the golden inputs. Emulation proves answers; it says nothing about
speed. Needs root and ``apt-get install qemu-user-static debootstrap binfmt-support``.

Figures: the share of golden windows with the same prediction (1 is all of them) and the largest difference of a probability,
for ONNX fp32 and int8. ``--quick`` runs fp32 only, on every second window.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._bench import ROOT, main

MODEL = "edge-demo"
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
ENGINE = "onnxruntime==1.20.1"  # 1.31.1 crashes inside qemu-user 7.2
NUMPY = "numpy==2.2.6"
# Outside the repository, where linters would find the Python of a whole system.
SYSTEM = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeskel" / "arm64"
PACKAGES = "opt/edgeskel"
EMULATOR = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
TOOLS = {"debootstrap": "debootstrap", "qemu-aarch64-static": "qemu-user-static", "update-binfmts": "binfmt-support"}

# Runs there: numpy, ONNX Runtime and edgeskel.runtime, as on a device.
_THERE = """
import json, platform, sys
import numpy as np, onnxruntime
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Bundle

bundle, step, answers = Bundle.open("/mnt/bundle"), int(sys.argv[1]), {}
for artifact in bundle.artifacts:
    if artifact.format == "onnx" and artifact.precision in sys.argv[2:]:
        engine = engines.get("onnxruntime")(bundle.file(artifact.file), bundle.manifest, 1)
        answers[artifact.precision] = np.stack([
            engine(joints[None], confidence[None])[0]
            for joints, confidence in zip(bundle.golden.joints[::step], bundle.golden.confidence[::step])])
np.savez("/mnt/answers.npz", **answers)
print(json.dumps({"machine": platform.machine(), "python": platform.python_version(), "numpy": np.__version__,
                  "onnxruntime": onnxruntime.__version__}))
"""


# /proc and /sys, which the engine reads for the processor's features, and the shared folder as /mnt.
_ENTER = """
root=$1; mount --bind /proc "$root/proc"; mount --bind /sys "$root/sys"; mount --bind "$2" "$root/mnt"; shift 2
exec chroot "$root" "$@"
"""


def measure(quick: bool) -> dict[str, Any]:
    """Agreement of emulated aarch64 with this machine."""
    import numpy as np

    from edgeskel import models
    from edgeskel.runtime import engines
    from export import build

    _check_machine()
    system = _system()
    precisions = ("fp32",) if quick else ("fp32", "int8")
    step = 2 if quick else 1
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder)
        bundle = build.build(build.Source(MODEL, models.from_pretrained(MODEL)), shared / "bundle", target="host",
                             kinds=[f"onnx-{precision}" for precision in precisions])
        shutil.copytree(ROOT / "edgeskel", shared / "edgeskel", ignore=shutil.ignore_patterns("weights", "__pycache__"))
        (shared / "there.py").write_text(_THERE, encoding="utf-8")
        said = _alone(_ENTER, str(system), str(shared), "env", f"PYTHONPATH=/mnt:/{PACKAGES}", "OMP_NUM_THREADS=1",
                      "python3", "/mnt/there.py", str(step), *precisions)
        golden = bundle.golden
        figures: dict[str, Any] = {"windows": len(golden.joints[::step])}
        with np.load(shared / "answers.npz", allow_pickle=False) as there:
            for artifact in bundle.artifacts:
                if artifact.precision not in there or artifact.format != "onnx":
                    continue
                engine = engines.get("onnxruntime")(bundle.file(artifact.file), bundle.manifest, 1)
                here = np.stack([engine(joints[None], confidence[None])[0] for joints, confidence
                                 in zip(golden.joints[::step], golden.confidence[::step], strict=True)])
                answers = there[artifact.precision]
                same = answers.argmax(axis=1) == here.argmax(axis=1)
                figures[f"onnx_{artifact.precision}_agreement"] = float(same.mean())
                figures[f"onnx_{artifact.precision}_max_abs_diff"] = float(np.abs(answers - here).max())
    figures["tables"] = {"emulated": [json.loads(said.splitlines()[-1]) | {"emulator": _emulator()}]}
    return figures


def _check_machine() -> None:
    """Say what is missing before anything is made."""
    absent = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if absent:
        sys.exit(f"run: apt-get install {' '.join(absent)}")
    if os.geteuid():
        sys.exit("debootstrap and chroot need root: run this with sudo")
    if not EMULATOR.parent.joinpath("register").exists():
        _run("mount", "-t", "binfmt_misc", "binfmt_misc", str(EMULATOR.parent))
    if not EMULATOR.exists():
        _run("update-binfmts", "--enable", "qemu-aarch64")


def _system() -> Path:
    """The root folder of an arm64 Debian with Python, numpy and ONNX Runtime, made once."""
    system = SYSTEM
    if not (system / PACKAGES / "ready").is_file():
        shutil.rmtree(system, ignore_errors=True)  # of an interrupted run
        system.parent.mkdir(parents=True, exist_ok=True)
        _alone('exec debootstrap --arch=arm64 --variant=minbase --include=python3 "$@"', SUITE, str(system), MIRROR)
        # Laid out from here: the same files as pip's there, which would take minutes of emulation.
        _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(system / PACKAGES), "--no-deps",
             "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp",
             *(f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 27, 28)), "--platform=manylinux2014_aarch64",
             ENGINE, NUMPY)
        (system / PACKAGES / "ready").touch()
    return system


def _alone(script: str, *words: str) -> str:
    """A shell script whose mounts are seen by nobody else and end with it, however it ends."""
    return _run("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *words)


def _emulator() -> str:
    return _run("qemu-aarch64-static", "--version").splitlines()[0]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:120]} ended with {done.returncode}:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main("arm64", measure)
