"""``edgeskel doctor`` and the list of extras behind it."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel import extras
from edgeskel.cli import doctor
from edgeskel.cli.main import main
from edgeskel.errors import MissingExtra


def test_doctor_tells_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["extras"]["base"]["packages"]["numpy"]["installed"] == metadata.version("numpy")
    assert set(found["extras"]) >= {"base", "train", "export-jetson", "export-mobile", "sensors", "viz", "dev",
                                    "tensorrt"}
    assert set(found["engines"]) >= {"onnxruntime", "executorch", "tensorrt", "torch"}
    assert all(engine["runs"] or engine["why_not"] for engine in found["engines"].values())


def test_doctor_gives_the_command_for_a_missing_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "bleak":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert main(["doctor"]) == 0
    assert "pip install 'edgeskel[sensors]'" in " ".join(capsys.readouterr().out.split())


def test_doctor_finds_recordings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "utd-mhad").mkdir()
    assert main(["doctor", "--datasets", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"]["found"] == ["utd-mhad"]


def test_doctor_reads_nvidias_release_line() -> None:
    line = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8"
    assert doctor._l4t(line) == "R36.4.3"


@pytest.mark.parametrize(
    ("version", "bounds", "inside"),
    [("2.13.0+cpu", ">=2.13,<2.14", True), ("2.14", "<2.14,>=2.13", False), ("1.4.1", "<1.5,>=1.4", True),
     ("3.0", "", True), ("10.0", ">=9.9", True), ("1.0", "!=1.0.0", False)],
)
def test_bounds(version: str, bounds: str, inside: bool) -> None:
    assert doctor.fits(version, bounds) is inside


@given(st.lists(st.integers(0, 99), min_size=1, max_size=4), st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_bounds_order_like_numbers(a: list[int], b: list[int]) -> None:
    from packaging.version import Version

    left, right = ".".join(map(str, a)), ".".join(map(str, b))
    assert doctor.fits(left, f">={right}") is (Version(left) >= Version(right))


def test_require_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "serial", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edgeskel\[sensors\]'"):
        extras.require("serial", "a serial port")


def test_require_does_not_hide_other_faults() -> None:
    with pytest.raises(ModuleNotFoundError):
        extras.require("no_extra_brings_this", "nothing")
