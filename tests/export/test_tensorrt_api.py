"""Every TensorRT name that we write, against the real bindings of three versions."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PROGRAM = ROOT / "export" / "tensorrt.py"
ENGINE = ROOT / "edgeskel" / "runtime" / "engines" / "tensorrt.py"
VERSIONS = {"10.3.0": 10, "10.13.3": 10, "11.4.0": 11}

# What a variable of those two files holds, so that methods are checked as well as names.
HOLDS = {"builder": "Builder", "network": "INetworkDefinition", "parser": "OnnxParser", "config": "IBuilderConfig",
         "timings": "ITimingCache", "engine": "ICudaEngine", "_engine": "ICudaEngine", "_context": "IExecutionContext",
         "_runtime": "Runtime"}
# Used only behind a question for the version; the value says which majors have them.
GUARDED = {"BuilderFlag.FP16": {10}, "BuilderFlag.INT8": {10}, "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": {10}}
FUNCTIONS = ("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
             "createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getBuilderPluginRegistry",
             "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins")


def written_names(path: Path) -> dict[str, set[str]]:
    """Dotted name -> keywords it is called with, for everything reached from ``trt`` or a variable of HOLDS."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        call = node if isinstance(node, ast.Call) else None
        name = _dotted(call.func if call else node)
        if name:
            found.setdefault(name, set()).update(keyword.arg or "" for keyword in (call.keywords if call else ()))
    # `trt.A.B` also walks past `trt.A`: both are real names, nothing to drop.
    return found


def _dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or not parts:
        return ""
    if node.id == "trt":
        return "" if parts[0].startswith("__") else ".".join(parts)
    if node.id == "self" and len(parts) == 2 and parts[0] in HOLDS:
        return f"{HOLDS[parts[0]]}.{parts[1]}"
    return f"{HOLDS[node.id]}.{parts[0]}" if node.id in HOLDS and len(parts) == 1 else ""


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Libraries that the bindings are linked to, in which every function returns null."""
    folder = tmp_path_factory.mktemp("stubs")
    source = folder / "stub.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    for major in sorted(set(VERSIONS.values())):
        for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
            name = f"lib{library}.so.{major}"
            subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source)], check=True)
    return folder


@pytest.fixture(params=VERSIONS, scope="module")
def probed(request: pytest.FixtureRequest, stubs: Path) -> tuple[int, dict[str, Any]]:
    bindings = Path(sys.prefix) / "trt" / request.param
    if not bindings.is_dir():
        message = f"no TensorRT {request.param} bindings in {bindings}: run make tensorrt-bindings"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    names = sorted(written_names(PROGRAM) | written_names(ENGINE))
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("tensorrt_probe.py")), str(bindings), str(PROGRAM)],
                          input=json.dumps(names), env={**os.environ, "LD_LIBRARY_PATH": str(stubs)},
                          capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"].startswith(request.param.rpartition(".")[0])
    return VERSIONS[request.param], found


def test_the_walk_sees_what_is_written() -> None:
    program = written_names(PROGRAM)
    assert {"Builder", "OnnxParser", "Builder.build_serialized_network", "BuilderFlag.INT8", "OnnxParser.num_errors",
            "IBuilderConfig.set_timing_cache"} <= set(program)
    assert program["IBuilderConfig.set_timing_cache"] == {"ignore_mismatch"}
    assert "IExecutionContext.execute_async_v3" in written_names(ENGINE)


def test_every_name_exists(probed: tuple[int, dict[str, Any]]) -> None:
    major, found = probed
    missing = {name for name, doc in found["docs"].items() if doc is None}
    assert missing == {name for name, majors in GUARDED.items() if major not in majors}


def test_every_keyword_is_in_the_signature(probed: tuple[int, dict[str, Any]]) -> None:
    for name, keywords in {**written_names(PROGRAM), **written_names(ENGINE)}.items():
        for keyword in keywords:
            assert f"{keyword}:" in found_doc(probed, name), f"{name}({keyword}=...)"


def found_doc(probed: tuple[int, dict[str, Any]], name: str) -> str:
    return probed[1]["docs"][name] or ""


def test_guards_hold_where_the_names_are_gone(probed: tuple[int, dict[str, Any]]) -> None:
    major, found = probed
    # EXPLICIT_BATCH was bit 0 and STRONGLY_TYPED bit 1; with 11 the first is gone and the second is bit 0.
    assert found["flags"] == ({"strong": 3, "weak": 1} if major == 10 else {"strong": 1, "weak": 0})
    assert found["last_error"] == "no memory"  # our logger is one that the bindings accept
