"""The program that builds engines on a Jetson, driven with a stand-in for the bindings (no TensorRT runs here)."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT

BUILDS: list[tuple[int, tuple[str, ...], int]] = []


def fake_tensorrt(version: str, *, refuses_strong: bool = False, refuses_all: bool = False) -> ModuleType:
    """Bindings that note how they are asked and answer with bytes."""
    trt = ModuleType("tensorrt")
    flags: list[str] = []

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    class Network:
        def __init__(self, creation: int) -> None:
            self.creation = creation

    class Parser:
        num_errors = 0

        def __init__(self, network: Network, logger: Any) -> None:
            self.network = network

        def parse(self, content: bytes) -> bool:
            self.network.size = len(content)
            return True

    class Config:
        def set_memory_pool_limit(self, pool: int, size: int) -> None: ...

        def set_flag(self, flag: str) -> None:
            flags.append(flag)

        def create_timing_cache(self, content: bytes) -> Any:
            return SimpleNamespace(serialize=lambda: b"timings")

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> None:
            self.cache = cache

        def get_timing_cache(self) -> Any:
            return self.cache

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger
            flags.clear()

        def create_network(self, creation: int) -> Network:
            return Network(creation)

        def create_builder_config(self) -> Config:
            return Config()

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            BUILDS.append((network.creation, tuple(flags), network.size))
            strong = network.creation & trt.strong
            if refuses_all or (refuses_strong and strong):
                self.logger.log(ILogger.ERROR, "no implementation for a node")
                return None
            return b"engine for " + version.encode()

    old = int(version.split(".")[0]) < 11
    trt.strong = 2 if old else 1
    trt.__version__ = version
    trt.ILogger, trt.Builder, trt.OnnxParser = ILogger, Builder, Parser
    trt.MemoryPoolType = SimpleNamespace(WORKSPACE=0)
    creation = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1} if old else {"STRONGLY_TYPED": 0}
    trt.NetworkDefinitionCreationFlag = SimpleNamespace(**creation)
    trt.BuilderFlag = SimpleNamespace(**({"FP16": "FP16", "INT8": "INT8"} if old else {}))
    return trt


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("build_engine", ROOT / "export" / "tensorrt.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "compute_capability", lambda: "87")
    monkeypatch.setattr(module, "l4t_release", lambda: "36.4.3")
    BUILDS.clear()
    return module


@pytest.fixture
def device(bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))


def build(program: ModuleType, device: Path, precision: str, trt: ModuleType, monkeypatch: pytest.MonkeyPatch,
          typing: str = "auto") -> Path:
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    return Path(program.engine_for(device / program.ONNX[precision], precision, device / "engines", typing))


def test_a_precision_that_the_bundle_lacks_names_those_it_has(
    program: ModuleType, device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((device / "manifest.json").read_text("utf-8"))
    del manifest["files"]["model.int8.onnx"]
    (device / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    (device / "model.int8.onnx").unlink()
    with pytest.raises(program.BuildError, match=r"holds no model\.int8\.onnx; give --precision fp32 or fp16"):
        build(program, device, "int8", fake_tensorrt("10.13.3"), monkeypatch)


def test_the_cache_is_keyed_by_all_that_matters(program: ModuleType, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(program, device, "fp16", fake_tensorrt("10.13.3"), monkeypatch)
    assert first.name.endswith("-trt10.13.3-sm87-l4t36.4.3-fp16-auto.engine") and first.read_bytes() == b"engine for 10.13.3"
    assert build(program, device, "fp16", fake_tensorrt("10.13.3"), monkeypatch) == first and len(BUILDS) == 1  # from the cache
    assert build(program, device, "fp16", fake_tensorrt("11.4.0"), monkeypatch) != first and len(BUILDS) == 2
    monkeypatch.setattr(program, "l4t_release", lambda: "36.5.0")
    build(program, device, "fp16", fake_tensorrt("10.13.3"), monkeypatch)
    assert len(BUILDS) == 3
    report = json.loads(first.with_suffix(".json").read_text("utf-8"))
    assert report["typing"] == "strong" and report["sm"] == "87" and report["built_from"] == "model.fp16.onnx"
    first.write_bytes(b"half an eng")  # damaged: built anew
    monkeypatch.setattr(program, "l4t_release", lambda: "36.4.3")
    assert build(program, device, "fp16", fake_tensorrt("10.13.3"), monkeypatch).read_bytes() == b"engine for 10.13.3"


@pytest.mark.parametrize(("precision", "onnx", "flags"), [
    ("fp16", "model.onnx", ["FP16"]), ("int8", "model.int8.onnx", ["INT8", "FP16"]),
])
def test_where_strong_typing_is_refused_tensorrt_10_builds_weakly(
    program: ModuleType, device: Path, monkeypatch: pytest.MonkeyPatch, precision: str, onnx: str, flags: list[str]
) -> None:
    path = build(program, device, precision, fake_tensorrt("10.3.0", refuses_strong=True), monkeypatch)
    report = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert (report["typing"], report["built_from"], report["flags"]) == ("weak", onnx, flags)
    assert "no implementation" in report["refused"][0] and "no implementation" in path.with_suffix(".log").read_text("utf-8")
    assert BUILDS[0][:2] == (3, ()) and BUILDS[1][0] == 1 and set(BUILDS[1][1]) == set(flags)
    assert BUILDS[1][2] == (device / onnx).stat().st_size


def test_tensorrt_11_is_never_asked_for_flags(program: ModuleType, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(program.BuildError, match="no implementation"):
        build(program, device, "int8", fake_tensorrt("11.4.0", refuses_all=True), monkeypatch)
    assert BUILDS == [(1, (), (device / "model.int8.onnx").stat().st_size)]
    with pytest.raises(program.BuildError, match="no weak typing"):
        build(program, device, "int8", fake_tensorrt("11.4.0"), monkeypatch, "weak")
    assert not [path for path in (device / "engines").iterdir() if path.suffix in (".engine", ".json", ".tmp")]


def test_an_altered_graph_is_not_built(program: ModuleType, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = device / "model.fp16.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(program.BuildError, match="copy the bundle again"):
        build(program, device, "fp16", fake_tensorrt("10.3.0"), monkeypatch)


def test_an_interrupt_leaves_no_engine(program: ModuleType, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = fake_tensorrt("10.3.0")

    def stop(self: object, network: object, config: object) -> bytes:
        raise KeyboardInterrupt

    trt.Builder.build_serialized_network = stop
    with pytest.raises(KeyboardInterrupt):
        build(program, device, "fp16", trt, monkeypatch)
    assert [path.name for path in (device / "engines").iterdir() if not path.name.endswith(".lock")] == []


def test_l4t_is_read_from_the_release_file(program: ModuleType, tmp_path: Path) -> None:
    fresh = {}
    exec((ROOT / "export" / "tensorrt.py").read_text("utf-8").replace('if __name__ == "__main__":', "if False:"), fresh)
    path = tmp_path / "nv_tegra_release"
    path.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n")
    assert fresh["l4t_release"](path) == "36.4.3"
    path.write_text("something else")
    assert fresh["l4t_release"](path) == "unknown" and fresh["l4t_release"](tmp_path / "absent") == "none"


def test_the_program_stands_alone(device: Path) -> None:
    import ast

    tree = ast.parse((device / "build_engine.py").read_text("utf-8"))
    imported = {alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names) | {"tensorrt"}
