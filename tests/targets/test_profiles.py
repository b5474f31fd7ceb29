"""Profiles are found by name or file, ask only for what there is, and say which file, field and value is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import targets
from edgeskel.cli.main import main
from edgeskel.errors import EdgeskelError, UnknownChoice
from targets.page import PAGE, page
from targets.profile import parse


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of profiles, empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "edgeskel" / "targets"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("name", targets.built_in())
def test_a_profile_is_complete(name: str) -> None:
    profile = targets.get(name)
    assert profile.name == name and profile.purpose and profile.packages
    assert profile.target in ("android", "host", "ios", "jetson")
    assert any("fp32" in kind for kind in profile.artifacts)
    assert profile.target != "jetson" or (profile.systems and profile.programs == ("build_engine.py",))
    assert all(release.source for release in profile.systems)


def test_each_jetson_is_planned_with_the_jetpacks_that_run_on_it() -> None:
    seen = {name: [release.tensorrt.split(",")[0] for release in targets.get(name).systems]
            for name in ("jetson-orin-nano", "jetson-agx-orin", "jetson-thor")}
    assert seen == {"jetson-orin-nano": ["10.3.0.30", "10.16.2.10"],
                    "jetson-agx-orin": ["10.3.0.30", "10.16.2.10", "11.4.1"],
                    "jetson-thor": ["10.13.3.9", "10.16.2.10", "11.4.1"]}
    assert targets.get("jetson-orin-nx").compute_capability == "8.7"
    assert targets.get("jetson-thor").compute_capability == "11.0"


def test_an_unknown_target_lists_the_known() -> None:
    with pytest.raises(UnknownChoice, match=r"android, android-arm64, host, .*'android'"):
        targets.get("androd")


def test_the_page_is_what_the_profiles_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m targets.page"


def test_a_users_profile_is_found_by_name_and_by_path(own_folder: Path, tmp_path: Path) -> None:
    text = 'extends = "jetson-orin-nano"\npurpose = "Kiosk"\nartifacts = ["onnx-fp16", "onnx-fp32"]\nnotes = ["Hall 3."]\n'
    (own_folder / "kiosk.toml").write_text(text)
    (tmp_path / "other.toml").write_text('extends = "kiosk"\nmemory_gb = [8]\n')
    kiosk, other = targets.get("kiosk"), targets.get(str(tmp_path / "other.toml"))
    assert "kiosk" in targets.names()
    assert (kiosk.target, kiosk.artifacts, kiosk.compute_capability) == ("jetson", ("onnx-fp16", "onnx-fp32"), "8.7")
    assert kiosk.notes == (*targets.get("jetson").notes, "Hall 3.")
    assert (other.name, other.purpose, other.memory_gb) == ("other", "Kiosk", (8,))


@pytest.mark.parametrize(("text", "says"), [
    ('extends = "jetson"\nmemory_gb = ["8"]', r"bad\.toml: field 'memory_gb' = \['8'\]"),
    ('extends = "jetson"\nmemory_gb = [true]', r"memory_gb"),
    ('extends = "jetson"\nartefacts = ["onnx-fp32"]', r"bad\.toml: field 'artefacts'.*did you mean 'artifacts'"),
    ('extends = "jetson"\nartifacts = ["onnx-fp32", "onnx-fp32"]', r"artifacts.*once"),
    ('extends = "jetson"\nartifacts = ["onnx-fp33"]', r"artifact in .*bad\.toml: 'onnx-fp33'.*onnx-fp32"),
    ('extends = "jetson"\nreleases = ["jetpack-5"]', r"release in .*bad\.toml: 'jetpack-5'.*jetpack-6"),
    ('extends = "jetson"\n[release.mine]\ntensorrt = "10"', r"bad\.toml: no field 'release\.mine\.system'"),
    ('extends = "jetson"\n[release.mine]\nsystem = "x"\ntensort = "10"', r"'release\.mine\.tensort' = '10'"),
    ('extends = "jetsn"', r"unknown target 'jetsn'.*did you mean 'jetson'"),
    ('purpose = "x"', r"bad\.toml: no field 'artifacts'.*extends"),
    ('purpose = "x"\nartifacts = ["onnx-fp32"]\nextra = "nothing"', r"extra in .*'nothing'"),
    ('purpose = ', r"bad\.toml: .*TOML"),
])
def test_a_wrong_profile_is_named(own_folder: Path, text: str, says: str) -> None:
    path = own_folder / "bad.toml"
    path.write_text(text)
    with pytest.raises(EdgeskelError, match=f"(?s){says}"):
        targets.get(str(path))


def test_a_circle_of_profiles_is_refused(own_folder: Path) -> None:
    (own_folder / "one.toml").write_text('extends = "two"')
    (own_folder / "two.toml").write_text('extends = "one"')
    with pytest.raises(EdgeskelError, match="two.toml: field 'extends' = 'one'.*one -> two -> one"):
        targets.get("one")


def test_a_built_in_name_cannot_be_taken(own_folder: Path) -> None:
    (own_folder / "jetson.toml").write_text('extends = "host"')
    with pytest.raises(EdgeskelError, match="jetson.toml: 'jetson' is the name of a built-in profile"):
        targets.names()


_VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                       lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3))
_KEYS = st.sampled_from(["extends", "purpose", "artifacts", "extra", "packages", "memory_gb", "releases", "release", "notes"])


@given(st.dictionaries(_KEYS | st.text(max_size=8), _VALUES, max_size=5))
def test_no_content_of_a_file_is_a_crash(data: dict[str, object]) -> None:
    try:
        profile = parse(data, "mine", "mine.toml", targets.get)
    except EdgeskelError:
        return
    assert profile.artifacts and profile.purpose and profile.extra


def test_the_command_lists_and_shows(capsys: pytest.CaptureFixture[str], own_folder: Path) -> None:
    (own_folder / "kiosk.toml").write_text('extends = "raspberry-pi-5"\npurpose = "Kiosk"\n')
    assert main(["targets", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in listed["targets"]} == set(targets.names()) and listed["folder"] == str(own_folder)
    assert main(["targets", "jetson-thor", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["target"] == "jetson" and shown["releases"][0]["tensorrt"] == "10.13.3.9"
    assert main(["targets", "kiosk"]) == 0
    assert "Kiosk" in capsys.readouterr().out
    assert main(["targets", "nowhere", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "UnknownChoice"
