"""Files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edgeskel.errors import UsageError
from edgeskel.files import atomic_folder, atomic_write

INTERRUPTIONS = [KeyboardInterrupt(), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ValueError("a bug")]


@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=lambda error: type(error).__name__)
def test_interrupted_write_keeps_the_old_file(tmp_path: Path, interruption: BaseException) -> None:
    target = tmp_path / "figures.json"
    target.write_text("old")
    with pytest.raises(type(interruption)), atomic_write(target) as file:
        file.write(b"half of the n")
        raise interruption
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("interruption", INTERRUPTIONS, ids=lambda error: type(error).__name__)
def test_interrupted_folder_leaves_nothing(tmp_path: Path, interruption: BaseException) -> None:
    with pytest.raises(type(interruption)), atomic_folder(tmp_path / "bundle") as folder:
        (folder / "model.onnx").write_bytes(b"half")
        raise interruption
    assert list(tmp_path.iterdir()) == []


def test_full_disk_while_syncing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic_write(tmp_path / "a") as file:
        file.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_write_makes_parents_and_a_readable_file(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.bin"
    with atomic_write(target) as file:
        file.write(b"x")
        assert not target.exists()
    assert target.read_bytes() == b"x"
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_folder_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    with atomic_folder(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("x")
        assert not target.exists()
    assert (target / "inner" / "file").read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


def test_folder_that_is_not_ours_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"), atomic_folder(tmp_path, marker="manifest.json"):
        pytest.fail("the block must not run")
    assert (tmp_path / "thesis.tex").exists()


def test_folder_of_the_same_kind_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "manifest.json").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_folder(target, marker="manifest.json") as folder:
        (folder / "manifest.json").write_text("new")
        raise KeyboardInterrupt
    assert (target / "manifest.json").read_text() == "old"
    with atomic_folder(target, marker="manifest.json") as folder:
        (folder / "manifest.json").write_text("new")
    assert (target / "manifest.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(UsageError, match="is a file"), atomic_folder(tmp_path / "out"):
        pytest.fail("the block must not run")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    with pytest.raises(UsageError, match="reports is a folder"), atomic_write(tmp_path / "reports") as file:
        file.write(b"x")
    assert list(tmp_path.iterdir()) == [tmp_path / "reports"]
