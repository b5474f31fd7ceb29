"""Fixtures that every test may use.

Recordings are found through the environment variable ``EDGESKEL_DATASETS`` or beside the repository; a test that needs
them skips with the instruction, except under ``CI=true``, where missing recordings are a failure.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says something about this machine and what else it does, not about the code.
settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")

# What a shell starts in the background ignores interrupts, and so would every program that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _missing(message: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def datasets() -> Path:
    """The folder that holds one folder per data set (``utd-mhad``, ``nw-ucla``, ...)."""
    folder = Path(os.environ.get("EDGESKEL_DATASETS", ROOT.parent / "shared" / "datasets"))
    if not (folder / "utd-mhad").is_dir():
        _missing(f"no recordings in {folder}: set EDGESKEL_DATASETS to the folder that holds utd-mhad, nw-ucla, ...")
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for this run of the tests, the same for every xdist worker."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def once(shared_folder: Path) -> Callable[[str, Callable[[Path], object]], Path]:
    """``once(name, make)``: a path that the first worker to ask fills by ``make(path)``; the others wait for it."""
    from filelock import FileLock

    def path(name: str, make: Callable[[Path], object]) -> Path:
        target = shared_folder / name
        with FileLock(f"{target}.lock"):
            if not target.exists():
                make(target)
        return target

    return path


@pytest.fixture(scope="session")
def utd_store(datasets: Path, once: Callable[..., Path]) -> Any:
    """UTD-MHAD, imported once per run of the tests."""
    return _imported("utd-mhad", datasets, once)


@pytest.fixture(scope="session")
def ucla_store(datasets: Path, once: Callable[..., Path]) -> Any:
    """Northwestern-UCLA, imported once per run of the tests."""
    return _imported("nw-ucla", datasets, once)


def _imported(name: str, datasets: Path, once: Callable[..., Path]) -> Any:
    from edgeskel.data import Store, import_dataset

    return Store.open(once(f"{name}.store", lambda out: import_dataset(name, datasets / name, out)))


@pytest.fixture(scope="session")
def checkpoint(once: Callable[..., Path]) -> Path:
    """The checkpoint of a recogniser of a few thousand weights."""
    from tests.export.conftest import small_recogniser

    return once("small-checkpoint", lambda out: small_recogniser().save_pretrained(out))


@pytest.fixture(scope="session")
def bundle_folder(checkpoint: Path, once: Callable[..., Path]) -> Path:
    """One bundle of it with every artifact that this machine can run; tests that alter it copy it first."""

    def make(out: Path) -> None:
        from edgeskel import models
        from export import artifacts, build
        from tests.export.conftest import KINDS

        source = build.TrainedModel("small", models.from_pretrained(checkpoint))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(artifacts, "CALIBRATION", 16)
            build.build(source, out, target="host", kinds=KINDS, programs=("build_engine.py",), tensorrt=(10, 3))

    return once("small-bundle", make)


@pytest.fixture(scope="session")
def host_bundle(once: Callable[..., Path]) -> Path:
    """A bundle of the small recogniser for targets without TensorRT, in fp32 and int8."""

    def make(out: Path) -> None:
        from export import artifacts, build
        from tests.export.conftest import small_recogniser

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(artifacts, "CALIBRATION", 16)
            patch.setenv("SOURCE_DATE_EPOCH", "1767225600")  # 2026-01-01
            build.build(build.TrainedModel("small", small_recogniser()), out, target="host", kinds=("onnx-fp32", "onnx-int8"))

    return once("host-bundle", make)
