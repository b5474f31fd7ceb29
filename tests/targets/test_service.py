"""The program of a release: which artifact it chooses, what it refuses, how the service watches itself."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeskel.errors import EngineError, VerificationFailed
from edgeskel.runtime import UNKNOWN, engines
from edgeskel.runtime.bundle import Bundle
from export.bundle import write_manifest
from targets.flash import packing, signing
from targets.service import prove, serve, sources
from targets.service.health import ServiceHealth, notify
from tests.targets.waiting import LIMIT_S, until


@pytest.fixture(scope="module")
def bundle(host_bundle: Path) -> Bundle:
    return Bundle.open(host_bundle)


class Clock:
    """Stands still but for what takes time by a script."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """Answers the golden windows as told: so late, by its clock, and so wrong."""

    def __init__(self, bundle: Bundle, clock: Clock, late_s: float = 0.0, wrong: float = 0.0) -> None:
        self._golden, self._clock, self._late, self.wrong = bundle.golden, clock, late_s, wrong

    name = "onnxruntime"

    @staticmethod
    def available() -> str | None:
        return None

    def __call__(self, joints: Any, confidence: Any) -> tuple[Any, Any]:
        self._clock.now += self._late
        index = next(i for i in range(len(self._golden)) if np.array_equal(self._golden.joints[i], joints[0]))
        return self._golden.probabilities[index] + np.float32(self.wrong), self._golden.embedding[index]


def scripted(monkeypatch: pytest.MonkeyPatch, bundle: Bundle, **answers: dict[str, float]) -> Clock:
    """``fp32=...`` and ``int8=...``: how that artifact's engine answers. The clock by which it takes its time."""
    clock = Clock()
    names = {"model.onnx": "fp32", "model.int8.onnx": "int8"}
    monkeypatch.setattr(
        engines,
        "get",
        lambda name: (
            SimpleNamespace(available=lambda: "not here")
            if name != "onnxruntime"
            else _Made(lambda path: Scripted(bundle, clock, **answers[names[path.name]]))
        ),
    )
    return clock


class _Made:
    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, path: Path, manifest: Any, threads: Any) -> Any:
        return self._make(path)

    @staticmethod
    def available() -> None:
        return None


@pytest.mark.parametrize(
    ("fp32", "int8", "chosen"),
    [
        ({"late_s": 0.003}, {"late_s": 0.001}, "int8"),
        ({"late_s": 0.001}, {"late_s": 0.003}, "fp32"),
        ({"late_s": 0.002}, {"late_s": 0.002}, "fp32"),  # no gain, no int8
        ({"late_s": 0.003}, {"late_s": 0.001, "wrong": 0.9}, "fp32"),  # fast and wrong
        ({"late_s": 0.003, "wrong": 0.9}, {"late_s": 0.001}, "int8"),
    ],
)
def test_int8_is_used_only_where_it_is_faster_and_right(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, fp32: dict[str, float], int8: dict[str, float], chosen: str
) -> None:
    clock = scripted(monkeypatch, bundle, fp32=fp32, int8=int8)
    assert prove.prove(bundle, {}, clock=clock)["chosen"]["precision"] == chosen


def test_a_user_decides_otherwise(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = scripted(monkeypatch, bundle, fp32={}, int8={"late_s": 0.002})
    found = prove.prove(bundle, {"precision": "int8"}, clock=clock)
    assert found["chosen"]["precision"] == "int8" and len(found["candidates"]) == 1


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ({"wrong": 0.2}, "largest difference 2.00e-01"),
        ({"wrong": float("nan")}, "NaN"),
        ({"late_s": 0.02}, "p95"),
    ],
)
def test_wrong_or_late_answers_are_refused(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, fault: dict[str, float], seen: str
) -> None:
    clock = scripted(monkeypatch, bundle, fp32=fault, int8={**fault, "wrong": 4.5 * fault.get("wrong", 0.0)})
    with pytest.raises(VerificationFailed, match=seen):
        prove.prove(bundle, {"budget_ms": 5.0}, clock=clock)


def test_the_budget_is_the_time_between_two_recognitions(bundle: Bundle) -> None:
    found = prove.prove(bundle, {"threads": 1})
    assert found["budget_ms"] == pytest.approx(1e3 * bundle.window.hop / bundle.window.rate_hz, abs=0.1)
    assert bundle.manifest["budget"]["p95_ms"] == pytest.approx(found["budget_ms"], abs=0.1)
    row = found["candidates"][0]
    assert row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"] and found["chosen"]["engine"] == "onnxruntime"


def test_an_engine_that_starts_to_answer_wrongly_ends_the_service(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    health = ServiceHealth("small-0", "golden:", {"artifact": "model.onnx", "engine": "onnxruntime", "precision": "fp32"})
    engine = Scripted(bundle, Clock())
    checked = serve.MonitoredEngine(engine, bundle.artifacts[0], bundle, health, check_every_s=0.0)
    for _ in range(3):
        checked.check_when_due()
    assert health.counts.checks == 3 and health.counts.recognitions == 0
    checked(bundle.golden.joints[:1], bundle.golden.confidence[:1])
    assert health.counts.recognitions == 1
    for wrong in (0.01, float("nan")):
        engine.wrong = wrong
        with pytest.raises(VerificationFailed, match="wrongly"):
            checked.check_when_due()


def test_golden_windows_as_a_source(bundle: Bundle) -> None:
    with sources.open_address("golden:?speed=0", bundle) as source:
        frames = [frame for _, frame in zip(range(40), source, strict=False)]
    assert source.topology == bundle.topology
    assert all(
        b.time - a.time == pytest.approx(1 / bundle.window.rate_hz) for a, b in zip(frames, frames[1:], strict=False)
    )
    assert all(frame.confidence.any() for frame in frames)


def test_a_source_that_fails_is_opened_again(bundle: Bundle) -> None:
    said: list[str] = []
    opened = iter([EngineError("unplugged"), None])

    def open_address(address: str, bundle: Bundle) -> Any:
        if (error := next(opened, None)) is not None:
            raise error
        return sources.open_address("golden:?speed=0", bundle)

    source = sources.ReconnectingSource("camera:x", bundle, said.append, opener=open_address, pauses_s=(0.0, 0.0))
    assert source.next(LIMIT_S) is None and source.next(LIMIT_S) is not None  # a fresh start, then frames
    assert any("unplugged; opening it again" in line for line in said) and said[-1] == "open"


def test_messages_to_the_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notify("READY=1")  # nobody listens: nothing happens
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("WATCHDOG=1")
        assert supervisor.recv(64) == b"WATCHDOG=1"


def test_after_an_upgrade_of_tensorrt_the_engine_is_built_anew(
    tmp_path: Path, host_bundle: Path, key_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins for TensorRT's bindings, which note what they are asked: no engine is built here, only asked for."""
    from edgeskel.runtime.engines import tensorrt as engine
    from export import tensorrt as program
    from tests.export.test_build_engine import BUILDS, fake_tensorrt

    bundle = jetson_bundle(host_bundle, tmp_path / "jetson")
    monkeypatch.setenv("EDGESKEL_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setattr(engine.TensorRTEngine, "available", staticmethod(lambda: None))
    monkeypatch.setattr(program, "compute_capability", lambda: "87")
    monkeypatch.setattr(program, "l4t_release", lambda: "36.4.3")
    monkeypatch.setattr(engine, "module_from_spec", lambda spec: program)
    monkeypatch.setattr(
        engine,
        "spec_from_file_location",
        lambda *args: SimpleNamespace(loader=SimpleNamespace(exec_module=lambda m: None)),
    )
    BUILDS.clear()
    names = []
    for version in ("10.3.0", "10.3.0", "10.13.3"):
        monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt(version))
        built = prove.build(bundle)
        names.append(built["built"][0]["engine"])
    assert len(BUILDS) == 4 and names[0] == names[1] != names[2]  # fp32 and int8, twice; the second time from the cache
    assert "-trt10.13.3-sm87-l4t36.4.3-fp32-" in names[2] and (tmp_path / "engines" / names[0]).is_file()
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt("11.4.0", refuses_all=True))
    with pytest.raises(EngineError, match="no implementation"):
        prove.build(bundle)


def jetson_bundle(host_bundle: Path, out: Path) -> Bundle:
    from edgeskel.runtime.bundle import file_digest
    from tests.conftest import ROOT

    shutil.copytree(host_bundle, out)
    shutil.copyfile(ROOT / "export" / "tensorrt.py", out / "build_engine.py")
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    manifest["target"] = "jetson"
    for entry in manifest["artifacts"]:
        if entry["format"] == "onnx":
            entry["engines"] = ["tensorrt", "onnxruntime"]
    manifest["files"]["build_engine.py"] = file_digest(out / "build_engine.py")
    write_manifest(out, manifest)
    return Bundle.open(out)


def test_while_it_builds_the_service_asks_for_time(
    tmp_path: Path, bundle: Bundle, key_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, heard = [], tmp_path / "heard"

    def notify(message: str) -> None:
        said.append(message)
        heard.touch()

    monkeypatch.setattr(serve, "notify", notify)
    slow = tmp_path / "program.py"  # ends once the supervisor was told
    slow.write_text(
        f"import json, os, time\nwhile not os.path.exists({str(heard)!r}): time.sleep(0.01)\n"
        "print(json.dumps({'result': {}}))\n"
    )
    monkeypatch.setattr(sys, "argv", [str(slow)])
    release: Any = SimpleNamespace(path=tmp_path)
    serve.rebuild_engine(release, alive_every_s=0.05)
    assert "EXTEND_TIMEOUT_USEC" in said[0] and "WATCHDOG=1" in said[0]
    slow.write_text(
        "import json\nprint(json.dumps({'error': {'seen': 'no memory', 'expected': '', 'remedy': ''}}))\nraise SystemExit(1)\n"
    )
    with pytest.raises(Exception, match="no memory"):
        serve.rebuild_engine(release)


@contextmanager
def served(bundle: Path, key_path: Path, tmp_path: Path, settings: packing.ReleaseSettings) -> Iterator[Any]:
    """The service of a release as a process, and ``health()``: what it says of itself, {} before that."""
    packing.pack(Bundle.open(bundle), tmp_path / "release", signing.load(key_path), settings)
    (tmp_path / "run").mkdir()
    choice = tmp_path / "choice.json"
    choice.write_text(
        json.dumps({"choice": {"chosen": {"artifact": "model.onnx", "engine": "onnxruntime", "precision": "fp32"}}})
    )
    program, release = tmp_path / "release/program", tmp_path / "release"
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", program, "serve", "--release", release, "--choice", choice],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "run")},
    )

    def health() -> dict[str, Any]:
        assert process.poll() is None, process.communicate()
        try:
            said: dict[str, Any] = json.loads((tmp_path / "run/health.json").read_text())
        except FileNotFoundError:
            return {}
        return said

    try:
        yield process, health
    finally:
        process.kill()
        process.communicate()


def awaited(health: Callable[[], dict[str, Any]], done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return until(health, lambda said: said and done(said))


def test_a_terminated_service_ends_well(host_bundle: Path, key_path: Path, tmp_path: Path) -> None:
    with served(host_bundle, key_path, tmp_path, packing.ReleaseSettings("golden:?speed=0")) as (process, health):
        said = awaited(health, lambda said: said["recognitions"] > 20)
        process.terminate()
        _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0 and not errors
    assert said["rss_mb"] < 150 and said["frames"] > 20 and said["first_recognition_s"] > 0


@pytest.mark.parametrize(
    ("certainty", "threshold", "unknown"),
    [
        ({"temperature": 1.0, "threshold": 0.99}, None, True),  # an untrained recogniser is never so sure
        ({"temperature": 1.0, "threshold": 0.1}, None, False),  # of six classes the likeliest has more
        ({"temperature": 10.0, "threshold": 0.3}, None, True),  # 0.9 becomes less, at this temperature
        ({"temperature": 1.0, "threshold": 0.99}, 0.0, False),  # what the user says goes first
    ],
)
def test_what_is_not_certain_enough_is_unknown(
    certainty: dict[str, float],
    threshold: float | None,
    unknown: bool,
    host_bundle: Path,
    key_path: Path,
    tmp_path: Path,
) -> None:
    bundle = Path(shutil.copytree(host_bundle, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    manifest["certainty"] = certainty
    write_manifest(bundle, manifest)
    settings = packing.ReleaseSettings("golden:?speed=0", threshold=threshold)
    with served(bundle, key_path, tmp_path, settings) as (process, health):
        said = awaited(health, lambda said: said["actions"] + said["unknown"] > 2)
        process.terminate()
        output, _ = process.communicate(timeout=LIMIT_S)
    events = [json.loads(line)["event"] for line in output.splitlines()]
    labels = {event["label"] for event in events if event["kind"] == "ended"}
    if unknown:
        assert said["actions"] == 0 and labels == {UNKNOWN}
        assert max(event["confidence"] for event in events) < certainty["threshold"]
    else:
        assert said["unknown"] == 0 and labels <= set(manifest["labels"])
