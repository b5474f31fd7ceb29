#!/usr/bin/env python3
"""Builds the TensorRT engine of a bundle, on the device that will run it.

    python3 build_engine.py [--precision fp16|int8|fp32] [--cache FOLDER] [--typing auto|strong|weak]

It needs Python 3.10 and the ``tensorrt`` bindings that JetPack brings, nothing else; it travels in every bundle for a
Jetson. TensorRT 10.3 (JetPack 6), 10.13 and 10.16 (JetPack 7) and 11 are served from the same ONNX files:

* precision stands in the graph (Cast for fp16, QuantizeLinear for int8), and the network is built strongly typed;
* where a TensorRT 10 refuses that, it is built weakly typed with builder flags: fp16 from the fp32 graph. TensorRT 11
  has no such flags. The report beside the engine says which way was taken.

An engine belongs to one board and one TensorRT version: its file name holds the ONNX digest, the TensorRT version, the
compute capability, the L4T release and the precision, and it is built anew when one of them changes. It appears whole
or not at all; a timing cache beside it makes the next build shorter.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["BuildAttempt", "BuildError", "attempts", "compute_capability", "creation_flags", "engine_for", "l4t_release",
           "main", "make_logger"]

ONNX = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
WORKSPACE = 1 << 30  # bytes; these graphs need far less, and a Jetson shares its memory with everything else


class BuildError(RuntimeError):
    """No engine could be built; the message says what TensorRT answered."""


class BuildAttempt(NamedTuple):
    """How to build an engine: ``typing`` is strong or weak, ``flags`` are builder flags of a weak build."""

    typing: str
    onnx: Path
    flags: tuple[str, ...]


def main() -> int:
    """Parse the command line, build, print where the engine is."""
    here = Path(__file__).resolve().parent
    usage = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    usage.add_argument("--precision", choices=sorted(ONNX), default="fp16")
    usage.add_argument("--cache", type=Path, default=here / "engines", help="where engines are kept")
    usage.add_argument("--typing", choices=("auto", "strong", "weak"), default="auto")
    options = usage.parse_args()
    try:
        path = engine_for(here / ONNX[options.precision], options.precision, options.cache, options.typing, log=print)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(path)
    return 0


def engine_for(onnx: Path, precision: str, folder: Path, typing: str = "auto", log: Any = None) -> Path:
    """The engine of ``onnx`` for this device: from the cache, or built into it.

    Args:
        onnx: the artifact; the fp32 graph is looked for beside it.
        precision: fp32, fp16 or int8.
        folder: the cache; made if missing.
        typing: strong, weak, or auto: strong first, weak where TensorRT 10 refuses.
        log: called with a line of text now and then.

    Raises:
        BuildError: there is no TensorRT here, the bundle was altered, or TensorRT builds it in no way.
    """
    try:
        import tensorrt as trt
    except ImportError as error:
        raise BuildError(f"TensorRT's Python bindings do not load here ({error}); on a Jetson: sudo apt install nvidia-jetpack, "
                         "and make the environment with --system-site-packages") from error

    _check_digest(onnx)
    facts = {"onnx": _digest(onnx), "tensorrt": str(trt.__version__), "sm": compute_capability(), "l4t": l4t_release(),
             "precision": precision, "typing": typing}
    stem = "{}-trt{}-sm{}-l4t{}-{}-{}".format(facts["onnx"][:12], facts["tensorrt"], facts["sm"], facts["l4t"], precision, typing)
    path = folder / f"{stem}.engine"
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / f".{stem}.lock"):  # two programs that start at once build once
        if _is_whole(path):
            return path
        return _build(trt, onnx, precision, typing, path, facts, log or (lambda line: None))


def _build(trt: Any, onnx: Path, precision: str, typing: str, path: Path, facts: dict[str, str], log: Any) -> Path:
    logger = make_logger(trt)
    failures = []
    for attempt in attempts(onnx, precision, typing, _version(trt)):
        log(f"building {attempt.onnx.name}, {attempt.typing}ly typed{''.join(' ' + flag for flag in attempt.flags)}")
        start = time.monotonic()
        try:
            plan = _serialized(trt, logger, attempt, path.parent / f"timing-trt{facts['tensorrt']}-sm{facts['sm']}.cache")
        except BuildError as error:
            failures.append(f"{attempt.typing} typing: {error}")
            continue
        report = {**facts, "built_from": attempt.onnx.name, "built_from_sha256": _digest(attempt.onnx), "typing": attempt.typing,
                  "flags": list(attempt.flags), "seconds": round(time.monotonic() - start, 1), "bytes": len(plan),
                  "engine_sha256": hashlib.sha256(plan).hexdigest(), "refused": failures}
        _write(path.with_suffix(".log"), "\n".join(logger.lines).encode())
        _write(path.with_suffix(".json"), (json.dumps(report, indent=1) + "\n").encode())
        _write(path, plan)  # last: where it is, the rest is
        return path
    raise BuildError(f"TensorRT {facts['tensorrt']} builds no {precision} engine of {onnx.name}: " + "; ".join(failures))


def attempts(onnx: Path, precision: str, typing: str, version: tuple[int, int]) -> list[BuildAttempt]:
    """How to build, the preferred attempt first.

    An fp32 graph has nothing to type strongly that would differ, so it is the same either way.
    """
    weak = {
        "fp32": BuildAttempt("weak", onnx, ()),
        "fp16": BuildAttempt("weak", onnx.with_name(ONNX["fp32"]), ("FP16",)),
        "int8": BuildAttempt("weak", onnx, ("INT8", "FP16")),
    }[precision]
    found = [BuildAttempt("strong", onnx, ())]
    if version[0] < 11 and weak.onnx.is_file():
        found.append(weak)
    chosen = [attempt for attempt in found if typing in ("auto", attempt.typing)]
    if not chosen:
        raise BuildError(f"TensorRT {version[0]} has no weak typing" if version[0] >= 11 else f"{weak.onnx} is missing")
    return chosen


def _serialized(trt: Any, logger: Any, attempt: BuildAttempt, timing: Path) -> bytes:
    builder = trt.Builder(logger)
    network = builder.create_network(creation_flags(trt, attempt.typing))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(attempt.onnx.read_bytes()):
        raise BuildError("; ".join(str(parser.get_error(index)) for index in range(parser.num_errors)) or "the parser refuses it")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    if attempt.flags:  # only ever on TensorRT 10: see attempts()
        config.set_flag(trt.BuilderFlag.FP16)
        if "INT8" in attempt.flags:
            config.set_flag(trt.BuilderFlag.INT8)
    timings = config.create_timing_cache(timing.read_bytes() if timing.is_file() else b"")
    config.set_timing_cache(timings, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BuildError(logger.last_error() or "the builder gives up without a reason; see the log")
    _write(timing, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def creation_flags(trt: Any, typing: str) -> int:
    """Flags of a network that is typed strongly or weakly."""
    flags = 0
    if typing == "strong":
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    if _version(trt)[0] < 11:  # TensorRT 11 knows nothing but explicit batches
        flags |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    return flags


def _version(trt: Any) -> tuple[int, int]:
    major, minor = str(trt.__version__).split(".")[:2]
    return int(major), int(minor)


def make_logger(trt: Any) -> Any:
    """A logger for TensorRT."""
    class Logger(trt.ILogger):  # type: ignore[misc]
        """Keeps what TensorRT says, for the file beside the engine."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[str] = []
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(message)
            if severity != trt.ILogger.VERBOSE:
                self.lines.append(f"{severity}: {message}")

        def last_error(self) -> str:
            return self.errors[-1] if self.errors else ""

    return Logger()


def compute_capability() -> str:
    """Of the first GPU: ``"87"`` on Orin, ``"110"`` on Thor.

    Raises:
        BuildError: no CUDA driver, or no device.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise BuildError(f"no CUDA driver here ({error}); on a Jetson it is part of JetPack") from error
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    calls: tuple[Callable[[], int], ...] = (
        lambda: cuda.cuInit(0),
        lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device),  # COMPUTE_CAPABILITY_MAJOR
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device),  # COMPUTE_CAPABILITY_MINOR
    )
    for call in calls:
        if code := call():
            raise BuildError(f"the CUDA driver answers error {code}: no usable GPU")
    return f"{major.value}{minor.value}"


def l4t_release(path: Path = Path("/etc/nv_tegra_release")) -> str:
    """``"36.4.3"`` from ``# R36 (release), REVISION: 4.3, ...``; ``"none"`` where this is no Jetson."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "none"
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text)
    return f"{found[1]}.{found[2]}" if found else "unknown"


def _check_digest(onnx: Path) -> None:
    """Every ONNX file must be what the manifest beside it says."""
    manifest = onnx.parent / "manifest.json"
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        expected = {name: files[name] for name in {onnx.name, ONNX["fp32"]} if name in files}
        altered = [name for name, digest in expected.items() if _digest(onnx.with_name(name)) != digest]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(f"{manifest}: unreadable ({error!r}); copy the bundle again") from error
    if altered:
        raise BuildError(f"{', '.join(altered)} is not what {manifest} lists; copy the bundle again")
    if onnx.name not in expected:
        there = [precision for precision, name in ONNX.items() if name in files]
        raise BuildError(f"this bundle holds no {onnx.name}; give " + (f"--precision {' or '.join(there)}" if there else
                                                                       "one that was exported for a Jetson"))


def _is_whole(path: Path) -> bool:
    """Whether the cached engine is the one its report describes."""
    try:
        report = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return bool(report["engine_sha256"] == _digest(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: temporary name, fsync, rename."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
