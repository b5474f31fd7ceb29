"""Targets are found by name and ask only for artifacts that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

import targets
from edgeskel.errors import UnknownChoice
from edgeskel.extras import wanted


@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_profile_is_complete(name: str) -> None:
    from export.build import KINDS

    profile = targets.get(name)
    assert profile.name == name and profile.purpose and profile.packages
    assert set(profile.artifacts) <= set(KINDS) and any("fp32" in kind for kind in profile.artifacts)
    assert profile.extra == "all" or profile.extra in wanted()


def test_every_file_is_listed() -> None:
    files = {path.stem for path in Path(targets.__file__).parent.glob("*.py")} - {"__init__", "profile"}
    assert files == set(targets.TARGETS)


def test_an_unknown_target_lists_the_known() -> None:
    with pytest.raises(UnknownChoice, match=r"android, host, ios, jetson.*'android'"):
        targets.get("androd")
