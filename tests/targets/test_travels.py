"""What is sent to a device: a list that changes on purpose only, without training, and whole enough to run."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from targets.flash import packing
from tests.targets import travels

ENGINE_FILES = "edgeskel/runtime/engines/"
TRAINING = ("edgeskel/training", "edgeskel/continual", "edgeskel/compression", "edgeskel/models", "edgeskel/data", "edgeskel/cli",
            "export", "benchmarks", "tests")
HEAVY = {"torch", "torchvision", "torchao", "lightning", "tensorboard", "onnx", "onnxsim", "onnxscript", "executorch",
         "safetensors", "scipy", "optuna"}


def sent() -> dict[str, bytes]:
    """The program of a release and the device's tool, path -> content."""
    with zipfile.ZipFile(io.BytesIO(packing.tool_bytes())) as tool:
        return packing.program_files() | {f"tool/{name}": tool.read(name) for name in tool.namelist()}


def imported(content: bytes) -> set[str]:
    """Every package that a module imports, at its top or when it is used."""
    found = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_travels_that_is_not_listed() -> None:
    assert travels.LIST.read_text(encoding="utf-8") == travels.listed(), "on purpose? run: python -m tests.targets.travels"


def test_nothing_of_it_trains() -> None:
    assert not [name for name in sent() if name.removeprefix("tool/").startswith(TRAINING)]


def test_only_the_engines_ask_for_torch_and_its_kind() -> None:
    asking = {name: imported(content) & HEAVY for name, content in sent().items()
              if name.endswith(".py") and not name.startswith(ENGINE_FILES)}
    assert {name: packages for name, packages in asking.items() if packages} == {}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, unpacked as on a device."""
    folder = tmp_path_factory.mktemp("program")
    for name, content in packing.program_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_every_module_of_the_program_is_imported_where_nothing_else_is(program: Path) -> None:
    """Isolated, so that neither this checkout nor the heavy packages can fill a gap."""
    code = f"""
import importlib, pkgutil, sys
sys.path.insert(0, {str(program)!r})
for name in {sorted(HEAVY)!r}:
    sys.modules[name] = None
import edgeskel, firmware_bridge, targets.service
failed = []
for package in (edgeskel, firmware_bridge, targets.service):
    assert package.__file__.startswith({str(program)!r}), package.__file__
    for entry in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            importlib.import_module(entry.name)
        except Exception as error:
            failed.append(f"{{entry.name}}: {{error!r}}")
sys.exit("\\n".join(failed) or 0)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
