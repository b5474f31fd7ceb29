"""Does the host bundle answer on aarch64 as it does here? In an emulated Debian, with that processor's own wheels.

Debian for arm64 is made once under ``~/.cache/edgeskel/arm64`` (``debootstrap``, a few minutes), run by ``qemu-user-static`` as the
processor of a Raspberry Pi 5, and given what a device has: Python, and numpy, ONNX Runtime and ExecuTorch in the versions that are
installed here. There it opens the bundle of ``edge-demo`` through ``edgeskel.runtime``, with every digest checked, and answers the
golden inputs. Emulation proves answers; it says nothing about speed. Needs root and
``apt-get install qemu-user-static debootstrap binfmt-support``.

Figures: the share of golden windows with the same prediction (1 is all of them) and the largest difference of a probability,
for ONNX and ``.pte`` (XNNPACK), fp32 and int8. ``--quick`` runs ONNX fp32 only, on every second window.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks._bench import ROOT, main

MODEL = "edge-demo"
SUITE = "bookworm"
PROCESSOR = "cortex-a76"  # of a Raspberry Pi 5
# Outside the repository, where linters would find the Python of a whole system.
SYSTEM = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeskel" / "arm64"
# Folder in that system -> what pip puts there. ExecuTorch's Python bindings load torch, and torch's wheel for aarch64 is a CUDA
# build, which loads CUDA's libraries where there is no GPU, too: they come as its dependencies, 2.9 GB with it, 4.6 GB on disk.
PACKAGES = {"opt/edgeskel": ("numpy", "onnxruntime"), "opt/torch": ("torch",), "opt/executorch": ("executorch",)}
EMULATOR = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
TOOLS = {"debootstrap": "debootstrap", "qemu-aarch64-static": "qemu-user-static", "update-binfmts": "binfmt-support"}

# Runs there and here: numpy, the engines and edgeskel.runtime, as on a device.
_ANSWER = """
import json, platform, sys
from importlib.metadata import version
from pathlib import Path
import numpy as np
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Bundle

folder, name, step, known = Path(__file__).parent, sys.argv[1], int(sys.argv[2]), sys.argv[3:]
bundle, answers = Bundle.open(folder / "bundle"), {}
for artifact in bundle.artifacts:
    able = [engine for engine in artifact.engines if engine in known]
    if not able:
        continue
    run = engines.get(able[0])(bundle.file(artifact.file), bundle.manifest, 1)
    answers[artifact.format + "_" + artifact.precision] = np.stack([
        run(joints[None], confidence[None])[0]
        for joints, confidence in zip(bundle.golden.joints[::step], bundle.golden.confidence[::step])])
np.savez(folder / name, **answers)
print(json.dumps({"machine": platform.machine(), "python": platform.python_version(),
                  **{package: version(package) for package in ("numpy", *known)}}))
"""

# One for each processor. qemu-user shows this machine's /proc/cpuinfo, from which both engines want to know which Arm
# processor they are on; they crash where it speaks of another kind.
_CPUINFO = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""

# /proc and /sys, which the engines read for the processor's features, and the shared folder as /mnt.
_ENTER = """
root=$1; mount --bind /proc "$root/proc"; mount --bind /sys "$root/sys"; mount --bind "$2" "$root/mnt"
mount --bind "$2/cpuinfo" "$root/proc/cpuinfo"; shift 2
exec chroot "$root" "$@"
"""


def measure(quick: bool) -> dict[str, Any]:
    """Agreement of emulated aarch64 with this machine."""
    import numpy as np

    from edgeskel import models
    from export import build

    _check_machine()
    kinds, known, folders = ["onnx-fp32"], ["onnxruntime"], ["opt/edgeskel"]
    if not quick:
        kinds += ["onnx-int8", "xnnpack-fp32", "xnnpack-int8"]
        known, folders = [*known, "executorch"], list(PACKAGES)
    system = _system(folders)
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder)
        build.build(build.TrainedModel(MODEL, models.from_pretrained(MODEL)), shared / "bundle", target="host", kinds=kinds)
        shutil.copytree(ROOT / "edgeskel", shared / "edgeskel", ignore=shutil.ignore_patterns("weights", "__pycache__"))
        (shared / "answer.py").write_text(_ANSWER, encoding="utf-8")
        (shared / "cpuinfo").write_text("".join(_CPUINFO.format(number=number) for number in range(os.cpu_count() or 1)))
        arguments = (str(2 if quick else 1), *known)
        _run(sys.executable, str(shared / "answer.py"), "here.npz", *arguments)
        path = ":".join(["/mnt", *(f"/{folder}" for folder in folders)])
        said = _alone(_ENTER, str(system), str(shared), "env", f"PYTHONPATH={path}", "OMP_NUM_THREADS=1",
                      f"QEMU_CPU={PROCESSOR}", "python3", "/mnt/answer.py", "there.npz", *arguments)
        figures: dict[str, Any] = {}
        with np.load(shared / "here.npz", allow_pickle=False) as here, np.load(shared / "there.npz", allow_pickle=False) as there:
            for name in here:
                figures["windows"] = len(here[name])
                same = there[name].argmax(axis=1) == here[name].argmax(axis=1)
                figures[f"{name}_agreement"] = float(same.mean())
                figures[f"{name}_max_abs_diff"] = float(np.abs(there[name] - here[name]).max())
    figures["tables"] = {"emulated": [json.loads(said.splitlines()[-1]) | {"processor": PROCESSOR, "emulator": _emulator()}]}
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


def _system(folders: Sequence[str]) -> Path:
    """The root folder of an arm64 Debian with Python and, in ``folders``, what :data:`PACKAGES` says; each made once."""
    system = SYSTEM
    if not (system / "ready").is_file():
        shutil.rmtree(system, ignore_errors=True)  # of an interrupted run
        system.parent.mkdir(parents=True, exist_ok=True)
        _alone('exec debootstrap --arch=arm64 --variant=minbase --include=python3 "$@"', SUITE, str(system))
        (system / "ready").touch()
    for folder in folders:
        # A local label such as +cpu names a build for this processor.
        wanted = [f"{package}=={metadata.version(package).partition('+')[0]}" for package in PACKAGES[folder]]
        ready = system / folder / "ready"
        if ready.is_file() and ready.read_text().split() == wanted:
            continue
        shutil.rmtree(system / folder, ignore_errors=True)
        # Laid out from here: the same files as pip's there, which would take minutes of emulation.
        _run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(system / folder),
             *([] if folder == "opt/torch" else ["--no-deps"]),
             "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp",
             *(f"--platform=manylinux_2_{minor}_aarch64" for minor in range(17, 29)), "--platform=manylinux2014_aarch64",
             *wanted)
        ready.write_text("\n".join(wanted))
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
