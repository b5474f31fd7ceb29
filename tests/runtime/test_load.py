"""``load`` takes the best engine present, and needs numpy and that engine only."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from edgeskel import runtime
from edgeskel.errors import EngineError, UnknownChoice, UsageError
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Bundle

from .conftest import seal


def test_a_loaded_bundle_answers_as_its_golden_file(bundle: Path) -> None:
    session = runtime.load(bundle, engine="onnxruntime", threads=1)
    golden = Bundle.open(bundle).golden
    for index in range(len(golden)):
        recognition = session.recognise(golden.joints[index], golden.confidence[index])
        np.testing.assert_allclose(recognition.probabilities, golden.probabilities[index], atol=1e-6)
        np.testing.assert_allclose(recognition.embedding, golden.embedding[index], atol=1e-6)
        assert recognition.label == session.labels[int(golden.probabilities[index].argmax())]


def test_the_first_declared_engine_that_runs_here_is_chosen(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Bundle.open(bundle)
    monkeypatch.setattr(engines.get("tensorrt"), "available", staticmethod(lambda: "no GPU"))
    assert runtime.choose(opened)[1] == "onnxruntime"
    monkeypatch.setattr(engines.get("tensorrt"), "available", staticmethod(lambda: None))
    assert runtime.choose(opened)[1] == "tensorrt"


def test_onnx_runtime_is_given_fp32_before_what_is_no_faster_there(bundle: Path) -> None:
    """A Jetson's bundle lists fp16 and int8 first, for TensorRT."""
    manifest = Bundle.open(bundle).manifest
    (fp32,) = manifest["artifacts"]
    others = [{**fp32, "file": f"model.{name}.onnx", "precision": name} for name in ("fp16", "int8")]
    for entry in others:
        shutil.copyfile(bundle / "model.onnx", bundle / entry["file"])
    seal(bundle, artifacts=[*others, fp32])
    opened = Bundle.open(bundle)
    artifact, engine = runtime.choose(opened, "onnxruntime")
    assert (artifact.file, engine) == ("model.onnx", "onnxruntime")
    assert "model.onnx and not model.fp16.onnx" in runtime.load(bundle, engine="onnxruntime").remark
    asked = runtime.load(bundle, engine="onnxruntime", precision="int8")
    assert "computed in float32" in asked.remark and "no faster" in asked.remark
    seal(bundle, artifacts=[fp32, *others])
    assert runtime.load(bundle, engine="onnxruntime").remark == ""


def test_why_nothing_runs_is_said_engine_by_engine(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.get("tensorrt"), "available", staticmethod(lambda: "no GPU"))
    monkeypatch.setattr(engines.get("onnxruntime"), "available", staticmethod(lambda: "run: pip install onnxruntime"))
    with pytest.raises(EngineError, match="tensorrt: no GPU; onnxruntime: run: pip install onnxruntime"):
        runtime.load(bundle)


def test_wrong_choices_are_refused_with_the_valid_ones(bundle: Path) -> None:
    with pytest.raises(UnknownChoice, match="executorch, onnxruntime, tensorrt, torch"):
        runtime.load(bundle, engine="onnx")
    with pytest.raises(UnknownChoice, match="fp32"):
        runtime.load(bundle, precision="int4")
    with pytest.raises(EngineError, match=r"model\.onnx on onnxruntime"):
        runtime.load(bundle, engine="executorch")


def test_an_artifact_that_its_engine_cannot_read_is_named(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"not a graph")
    seal(bundle)
    with pytest.raises(EngineError, match=r"model\.onnx.*refuses"):
        runtime.load(bundle, engine="onnxruntime")


def test_running_needs_numpy_and_the_engine_only(bundle: Path) -> None:
    program = """
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in BLOCKED:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        BLOCKED = {"torch", "onnx", "executorch", "tensorrt", "scipy", "lightning", "rich", "tyro", "safetensors"}
        sys.meta_path.insert(0, Blocked())
        import numpy as np
        import edgeskel.runtime

        session = edgeskel.runtime.load(sys.argv[1], engine="onnxruntime", threads=1)
        print(session.recognise(np.ones((1, 9, 20, 3), np.float32)).label)
        foreign = {name.partition(".")[0] for name in sys.modules} & BLOCKED
        assert not foreign, foreign
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(bundle)], capture_output=True, text=True, timeout=240
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() in ("left", "up", "front")


def test_every_engine_says_whether_it_runs_here() -> None:
    for name, why in engines.available().items():
        assert why is None or len(why) > 10, name


def test_a_tensorrt_artifact_without_its_building_program_is_refused(bundle: Path) -> None:
    from edgeskel.errors import BundleError
    from edgeskel.runtime.engines.tensorrt import built_engine

    opened = Bundle.open(bundle)
    with pytest.raises(BundleError, match="build_engine.py"):
        built_engine(bundle / "model.onnx", opened.manifest)
    (bundle / "build_engine.py").write_text("raise SystemExit('never executed')")  # not listed: not ours to run
    with pytest.raises(BundleError, match="build_engine.py"):
        built_engine(bundle / "model.onnx", opened.manifest)


def test_the_building_program_is_given_artifact_precision_and_cache(bundle: Path) -> None:
    from edgeskel.runtime.engines.tensorrt import built_engine

    (bundle / "build_engine.py").write_text(
        "class BuildError(Exception): ...\n"
        "def engine_for(onnx, precision, cache):\n"
        "    if cache.is_dir():\n"
        "        raise BuildError('no memory')\n"
        "    return cache / f'{onnx.stem}-{precision}.engine'\n"
    )
    seal(bundle)
    manifest = Bundle.open(bundle).manifest
    assert built_engine(bundle / "model.onnx", manifest) == bundle / "engines" / "model-fp32.engine"
    (bundle / "engines").mkdir()
    with pytest.raises(EngineError, match="no memory.*build_engine.py"):
        built_engine(bundle / "model.onnx", manifest)


BROKEN = "raise ImportError('numpy.core.multiarray failed to import')\n"


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An onnxruntime that is there to be found and fails when it is imported, as after an update of numpy."""
    (tmp_path / "packages" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "packages" / "onnxruntime" / "__init__.py").write_text(BROKEN)
    for name in [name for name in sys.modules if name.partition(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return "the package onnxruntime is installed but does not load (ImportError: numpy.core.multiarray failed to import)"


def test_an_engine_that_does_not_import_is_not_present(broken: str) -> None:
    why = engines.get("onnxruntime").available()
    assert why is not None and why.startswith(broken) and "--force-reinstall" in why


def test_another_engine_is_taken_in_the_place_of_a_broken_one(
    broken: str, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines.get("tensorrt"), "available", staticmethod(lambda: "no GPU"))
    with pytest.raises(EngineError, match="does not load"):
        runtime.load(bundle)
    artifacts = [{"file": "model.onnx", "format": "onnx", "precision": "fp32", "engines": ["onnxruntime", "torch"]}]
    seal(bundle, artifacts=artifacts)
    monkeypatch.setattr(engines.get("torch"), "available", staticmethod(lambda: None))
    assert runtime.choose(Bundle.open(bundle))[1] == "torch"


@pytest.mark.parametrize("threads", [0, -2])
def test_fewer_threads_than_one_are_refused(bundle: Path, threads: int) -> None:
    with pytest.raises(UsageError, match=f"{threads} threads"):
        runtime.load(bundle, threads=threads)
