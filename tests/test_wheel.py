"""What is given away: data files that code reads are in the wheel, tests and documents in the source distribution."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("edgeskel", "export", "firmware_bridge", "targets")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what git knows in ``source``, so that no leftovers are picked up."""
    folder = tmp_path_factory.mktemp("built")
    for name in _tracked():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(folder: Path) -> list[str]:
    """Names in the wheel."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*command, str(folder), str(folder / "source")], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built).namelist()


def _tracked() -> Iterator[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout: clone the repository to run this test")
    yield from (name for name in done.stdout.splitlines() if (ROOT / name).is_file())


def test_the_source_distribution_holds_all_that_git_knows(folder: Path) -> None:
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=folder / "source", check=True, capture_output=True)
    (built,) = folder.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = sorted(set(_tracked()) - names)
    assert not missing, f"add to MANIFEST.in: {missing}"
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "shared"))]


def test_every_file_of_the_packages_is_in_the_wheel(wheel: list[str]) -> None:
    ours = [name for name in _tracked() if name.startswith(tuple(f"{package}/" for package in PACKAGES))]
    missing = sorted(set(ours) - set(wheel))
    assert not missing, f"add to [tool.setuptools.package-data]: {missing}"


def test_nothing_else_is_in_the_wheel(wheel: list[str]) -> None:
    others = {name.split("/")[0] for name in wheel} - set(PACKAGES)
    assert all(name.endswith(".dist-info") for name in others)
