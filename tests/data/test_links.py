"""Folders and files that are symbolic links, at any level, and stores that are written through one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeskel.data import Store, import_dataset
from edgeskel.data.importers.finding import find
from edgeskel.errors import DataError
from tests.data.test_bvh import written
from tests.data.test_bvh_dialects import rig
from tests.data.test_generic import gym


def test_linked_class_folders_and_files_are_followed(tmp_path: Path) -> None:
    place = written(tmp_path / "elsewhere" / "deep" / "a.bvh", rig()).parent
    folder = tmp_path / "set"
    (folder / "kick").mkdir(parents=True)
    (folder / "wave").symlink_to(place)
    (folder / "kick" / "b.bvh").symlink_to(place / "a.bvh")
    (tmp_path / "linked").symlink_to(folder)
    report = import_dataset("bvh", tmp_path / "linked", tmp_path / "store", unit="cm")
    assert report.labels == {"kick": 1, "wave": 1}


def test_loops_end_and_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    written(tmp_path / "set" / "wave" / "a.bvh", rig())
    (tmp_path / "set" / "wave" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "wave" / "self").symlink_to(tmp_path / "set" / "wave")
    (tmp_path / "set" / "wave" / "lost.bvh").symlink_to(tmp_path / "nowhere.bvh")
    report = import_dataset("bvh", tmp_path / "set", tmp_path / "store", unit="cm")
    assert report.clips == 1 and [source for source, _ in report.refused] == ["wave/lost.bvh"]


def test_two_links_to_one_folder_are_two_classes(tmp_path: Path) -> None:
    written(tmp_path / "one" / "a.bvh", rig())
    (tmp_path / "set").mkdir()
    for name in ("wave", "greet"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "one")
    assert len(find(tmp_path / "set", "**/*.bvh", "BVH")) == 2


def test_own_recordings_behind_links(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym")
    shutil.move(folder / "squat", tmp_path / "away")
    (folder / "squat").symlink_to(tmp_path / "away")
    (folder / "squat" / "gone_3.csv").symlink_to(tmp_path / "nowhere")
    report = import_dataset("generic", folder, tmp_path / "store")
    assert report.clips == 3 and [source for source, _ in report.refused] == ["squat/gone_3.csv"]


def test_a_store_is_written_through_a_link_which_stays(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym")
    real = tmp_path / "disk" / "real.store"
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(real)
    for _ in range(2):  # where it leads nowhere yet, and where a store is
        import_dataset("generic", folder, tmp_path / "link")
        assert (tmp_path / "link").is_symlink() and len(Store.open(real)) == 3
        assert [path.name for path in (tmp_path / "disk").iterdir()] == ["real.store"]


def test_a_folder_without_recordings_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \*\*/\*.bvh"):
        find(tmp_path / "empty", "**/*.bvh", "BVH files")
