"""The NTU .skeleton reader, on files made to the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.data import Store, import_dataset
from edgeskel.data.importers.ntu import read_skeleton
from edgeskel.errors import CorruptFile, DataError

Frames = list[dict[str, np.ndarray]]  # type: ignore[type-arg]  # per frame: body id -> (25, 4) x, y, z, state


def write(path: Path, frames: Frames) -> Path:
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for identity, joints in bodies.items():
            lines += [f"{identity} 0 1 1 1 1 0 0.1 -0.2 2", "25"]
            lines += [f"{x!r} {y!r} {z!r} 250.1 200.2 900.3 500.4 -0.2 0.1 0.9 0.05 {int(state)}"
                      for x, y, z, state in joints.tolist()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def body(seed: int) -> np.ndarray:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(size=(25, 3)), random.integers(0, 3, (25, 1))], axis=1)


@settings(max_examples=30)
@given(present=st.lists(st.sets(st.sampled_from(["72057594037931101", "72057594037931102", "7"])), min_size=1,
                        max_size=6), seed=st.integers(0, 1000))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, present: list[set[str]], seed: int) -> None:
    frames: Frames = [{identity: body(seed + 10 * t + i) for i, identity in enumerate(sorted(ids))}
                      for t, ids in enumerate(present)]
    file = write(tmp_path_factory.mktemp("ntu") / "a.skeleton", frames)
    joints, confidence = read_skeleton(file)
    people = list(dict.fromkeys(identity for frame in frames for identity in frame))
    assert joints.shape == (len(people), len(frames), 25, 3)
    for person, identity in enumerate(people):
        for t, frame in enumerate(frames):
            if identity in frame:
                assert np.array_equal(joints[person, t], frame[identity][:, :3].astype(np.float32))
                assert np.array_equal(confidence[person, t], frame[identity][:, 3].astype(np.float32) / 2)
            else:
                assert not confidence[person, t].any()  # missing, not zeros that look seen


def dataset(folder: Path) -> Path:
    files = folder / "nturgb+d_skeletons"
    write(files / "S001C002P001R001A001.skeleton", [{"1": body(1)}, {}, {"1": body(2), "2": body(3)}])
    write(files / "S001C001P003R001A060.skeleton", [{"1": body(4)}])
    write(files / "S001C003P002R001A050.skeleton", [{}, {}])
    return folder


def test_an_import_keeps_empty_frames_and_reports_empty_files(tmp_path: Path) -> None:
    report = import_dataset("ntu", dataset(tmp_path / "ntu"), tmp_path / "store")
    assert report.refused == (("nturgb+d_skeletons/S001C003P002R001A050.skeleton", "no body in any frame"),)
    store = Store.open(tmp_path / "store")
    assert len(store) == 2 and store.topology.name == "kinect-v2"
    clip = store[1]
    assert (clip.label, clip.subject, clip.view) == ("A001", "1", "2")
    assert clip.joints.shape == (1, 3, 25, 3)  # the second body is there in one frame only
    assert not clip.confidence[:, 1].any()
    assert set(np.unique(clip.confidence)) <= {0.0, 0.5, 1.0}


def test_a_file_cut_anywhere_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "ntu")
    file = folder / "nturgb+d_skeletons/S001C002P001R001A001.skeleton"
    whole = file.read_text()
    for share in np.linspace(0, 0.99, 23):
        # At a space or line end, so that no shorter number is taken for a whole one.
        cut = max(whole.rfind(" ", 0, int(share * len(whole))), 0)
        file.write_text(whole[:cut])
        with pytest.raises(CorruptFile, match="S001C002P001R001A001"):
            import_dataset("ntu", folder, tmp_path / "store", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["ntu"]


@pytest.mark.parametrize(("change", "says"), [
    (("\n25\n", "\n24\n"), "a body of 24 joints"),
        (("0.9 0.05 1\n", "0.9 0.05 7\n"), "tracking state 7"),
    (("3\n1\n", "4\n1\n"), "ends inside"),
    (("3\n1\n", "2\n1\n"), "after the last frame"),
    (("3\n1\n", "-3\n1\n"), "'-3' as the number of frames"),
    (("3\n1\n", "3" * 5000 + "\n1\n"), "'33333333333333333333' as the number of frames"),
    (("3\n1\n", "3\n²\n"), "UnicodeDecodeError"),
])
def test_contents_that_break_the_format_are_named(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    file = dataset(tmp_path) / "nturgb+d_skeletons/S001C002P001R001A001.skeleton"
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change, 1), "utf-8")
    with pytest.raises(CorruptFile, match=says):
        read_skeleton(file)


def test_a_part_of_the_data_set_has_the_labels_that_it_shows(tmp_path: Path) -> None:
    """What is left out is said; a class without a clip could not be learned, and would end the training before its start."""
    report = import_dataset("ntu", dataset(tmp_path / "ntu"), tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert store.labels == ("A001", "A060") and [clip.label for clip in store] == ["A060", "A001"]
    assert report.labels == {"A001": 1, "A060": 1}
    (note,) = [note for note in report.notes if "a part of the data set" in note.text]
    assert "no clip of A002, A003" in note.text and "these 58" in note.text


def test_names_that_are_not_ntu_and_folders_without_files(tmp_path: Path) -> None:
    write(tmp_path / "ntu" / "walk.skeleton", [{"1": body(0)}])
    with pytest.raises(CorruptFile, match="SsssCccc"):
        import_dataset("ntu", tmp_path / "ntu", tmp_path / "store", strict=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no"):
        import_dataset("ntu", tmp_path / "empty", tmp_path / "store")
