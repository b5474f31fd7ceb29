"""What an import costs and needs: the device side works where torch and its kind are absent."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter

import grimp
import pytest

import edgeskel

HEAVY = ("torch", "torchvision", "torchao", "lightning", "tensorboard", "onnx", "onnxruntime", "onnxsim", "onnxscript",
         "executorch", "tensorrt", "coremltools", "scipy", "matplotlib", "bleak", "serial", "safetensors", "jinja2")

# The rooms that a device installs with numpy alone.
DEVICE_SIDE = ("edgeskel.errors", "edgeskel.skeleton", "edgeskel.files", "edgeskel.coordinates", "edgeskel.extras",
               "edgeskel.geometry", "edgeskel.window", "edgeskel.topologies",
               "edgeskel.data", "edgeskel.runtime", "edgeskel.continual.device",
               "edgeskel.embedding.statistics",
               "edgeskel.cli", "firmware_bridge", "targets",
               "export.bundle")
# A stand-in for bleak's backend is made of bleak's classes.
STAND_INS = ("firmware_bridge.testing.bumble_backend",)


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_edgeskel_needs_nothing() -> None:
    loaded = json.loads(_python("import edgeskel, json, sys; print(json.dumps(sorted(sys.modules)))"))
    assert not {"numpy", "rich", "tyro", *HEAVY} & set(loaded)


def test_device_side_imports_without_heavy_packages() -> None:
    """Every module of the device side is imported with those packages blocked, and says what failed if one does."""
    code = f"""
import importlib, pkgutil, sys
for name in {HEAVY!r}:
    sys.modules[name] = None
failed = []
def load(name):
    if name in {STAND_INS!r}:
        return
    try:
        module = importlib.import_module(name)
    except Exception as error:
        failed.append(f"{{name}}: {{error!r}}")
        return
    for entry in pkgutil.iter_modules(getattr(module, "__path__", ())):
        load(f"{{name}}.{{entry.name}}")
for name in {DEVICE_SIDE!r}:
    load(name)
sys.exit("\\n".join(failed) or 0)
"""
    _python(code)


@contextmanager
def _or_skip() -> Iterator[None]:
    """Skip, with the instruction, what a base install cannot import."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in HEAVY:
            raise
        pytest.skip(f"{error.name} is not installed: pip install 'edgeskel[all]'")


@pytest.mark.parametrize("name", edgeskel.__all__)
def test_public_names_resolve(name: str) -> None:
    with _or_skip():
        assert getattr(edgeskel, name) is not None
    assert name in dir(edgeskel)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = edgeskel.nothing


def _modules() -> list[str]:
    found = []
    for root in ("edgeskel", "export", "firmware_bridge", "targets"):
        package = importlib.import_module(root)
        found += [root, *(entry.name for entry in pkgutil.walk_packages(package.__path__, root + "."))]
    return sorted(found)


@pytest.mark.parametrize("name", _modules())
def test_all_is_complete(name: str) -> None:
    """``__all__`` names things that exist, and a module without it has nothing public of its own."""
    with _or_skip():
        module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is None:
        own = [key for key, value in vars(module).items()
               if not key.startswith("_") and callable(value) and getattr(value, "__module__", None) == name]
        assert not own, f"{name} defines {own} but has no __all__"
        return
    assert len(set(exported)) == len(exported)
    missing = [entry for entry in exported if not hasattr(module, entry)]
    assert name == "edgeskel" or not missing  # those of edgeskel itself are looked up when used: tested above


def _room(module: str) -> str:
    package, _, rest = module.partition(".")
    return f"{package}.{rest.partition('.')[0]}" if package == "edgeskel" and rest else package


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Inside functions neither, and no rooms do; what is imported for type checkers alone does not count."""
    ours = grimp.build_graph("edgeskel", "export", "firmware_bridge", "targets", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: ours.find_modules_directly_imported_by(module) for module in ours.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle
    rooms: dict[str, set[str]] = {}
    for module, imported in imports.items():
        rooms.setdefault(_room(module), set()).update(map(_room, imported))
    TopologicalSorter({room: imported - {room} for room, imported in rooms.items()}).prepare()
