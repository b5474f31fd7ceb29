"""Damaged copies of the real recordings: named, with nothing half-written."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel.data import Store, StoreWriter, import_dataset
from edgeskel.errors import CorruptFile, DataError, InvalidClip, UnknownChoice, UsageError

Copy = Callable[..., Path]


@pytest.fixture
def copy(datasets: Path, tmp_path: Path) -> Copy:
    """``copy("utd-mhad", "Skeleton/a1_s1_t1_skeleton.mat", ...)``: a folder with just these files."""

    def folder(dataset: str, *files: str) -> Path:
        for file in files:
            target = tmp_path / "set" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(datasets / dataset / file, target)  # without the read-only mode
        return tmp_path / "set"

    return folder


UTD = ("Skeleton/a1_s1_t1_skeleton.mat", "Inertial/a1_s1_t1_inertial.mat", "Skeleton/a27_s2_t1_skeleton.mat")
UCLA = ("all_sqe/a01_s01_e00_v01.json", "all_sqe/a12_s01_e00_v01.json")
SBU = ("s01s02/01/001/skeleton_pos.txt", "s01s02/08/001/skeleton_pos.txt")
UTK = ("joints/joints_s01_e01.txt", "joints/actionLabel.txt")


def refused(name: str, folder: Path, error: type[DataError], says: str, **options: Any) -> None:
    with pytest.raises(error, match=says):
        import_dataset(name, folder, folder.parent / "store", strict=True, **options)
    assert [path.name for path in folder.parent.iterdir()] == ["set"], "something half-written was left"


def test_whole_files_are_taken(copy: Copy, tmp_path: Path) -> None:
    assert import_dataset("utd-mhad", copy("utd-mhad", *UTD), tmp_path / "store").clips == 2
    clips = list(Store.open(tmp_path / "store"))
    assert clips[0].inertial is not None and clips[1].inertial is None  # the second has no inertial file here
    # A store is replaced by the next one.
    assert import_dataset("utd-mhad", copy("utd-mhad", UTD[0]), tmp_path / "store").clips == 2


def test_any_import_can_be_brought_into_another_layout(copy: Copy, tmp_path: Path) -> None:
    folder = copy("utd-mhad", UTD[0])
    import_dataset("utd-mhad", folder, tmp_path / "own")
    import_dataset("utd-mhad", folder, tmp_path / "store", topology="imu-17")
    own, store = Store.open(tmp_path / "own"), Store.open(tmp_path / "store")
    assert store.topology.name == "imu-17"
    knee = own[0].joints[:, :, own.topology.index("left_knee")]
    assert np.array_equal(store[0].joints[:, :, store.topology.index("left_knee")], knee)
    with pytest.raises(UnknownChoice, match="unknown topology"):
        import_dataset("utd-mhad", folder, tmp_path / "store", topology="imu-18")


@pytest.mark.parametrize("cut", [0, 1, 100, 128, 140, 500, 3000])
def test_a_mat_file_cut_short(copy: Copy, cut: int) -> None:
    folder = copy("utd-mhad", *UTD)
    file = folder / UTD[0]
    file.write_bytes(file.read_bytes()[:cut])
    refused("utd-mhad", folder, CorruptFile, "a1_s1_t1_skeleton.mat")


def test_random_bytes_in_a_mat_file_are_refused_or_change_nothing_but_numbers(copy: Copy) -> None:
    folder = copy("utd-mhad", UTD[0])
    file = folder / UTD[0]
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    for at in random.integers(128, len(whole), 60):
        file.write_bytes(whole[:at] + random.bytes(4) + whole[at + 4:])
        try:
            import_dataset("utd-mhad", folder, folder.parent / "store")
            shutil.rmtree(folder.parent / "store")
        except DataError as error:
            assert "a1_s1_t1" in str(error)


@pytest.mark.parametrize(("variable", "shape", "says"), [
    ("d_skel", (25, 3, 10), r"shape \(25, 3, 10\).*\(20, 3, n\)"),
    ("d_skel", (20, 3, 0), "shape"),
    ("d_skeleton", (20, 3, 10), "no numbers named d_skel"),
])
def test_another_array_in_a_mat_file(copy: Copy, variable: str, shape: tuple[int, ...], says: str) -> None:
    from scipy.io import savemat

    folder = copy("utd-mhad", UTD[0])
    savemat(folder / UTD[0], {variable: np.zeros(shape)})
    refused("utd-mhad", folder, CorruptFile, says)


def test_nan_in_a_mat_file(copy: Copy, tmp_path: Path) -> None:
    from scipy.io import savemat

    folder = copy("utd-mhad", UTD[0])
    joints = np.ones((20, 3, 10))
    joints[3, :, 4] = np.nan  # the file's fourth joint is the hip centre, our pelvis
    joints[3, 1, 5] = np.inf
    savemat(folder / UTD[0], {"d_skel": joints})
    refused("utd-mhad", folder, InvalidClip, "2 of 200 joints, in 2 of 10 frames, are NaN or infinite")
    import_dataset("utd-mhad", folder, tmp_path / "store", missing_nan=True)
    confidence = Store.open(tmp_path / "store")[0].confidence
    assert np.argwhere(confidence == 0).tolist() == [[0, 4, 0], [0, 5, 0]]


@pytest.mark.parametrize(("contents", "says"), [
    (b"", "JSONDecodeError"), (b'{"skeletons": [[[1, 2', "JSONDecodeError"), (b"[]", "TypeError"), (b"{}", "KeyError"),
    (b"\xff\xfe\x00", "UnicodeDecodeError"), (b'{"skeletons": [[[1, 2, 3]]]}', r"shape \(1, 1, 3\)"),
    (b'{"skeletons": []}', "shape"), (b'{"skeletons": [[[1, 2], [1]]]}', "ValueError"),
    (b'{"skeletons": "none"}', "ValueError"),
])
def test_a_broken_json_file(copy: Copy, contents: bytes, says: str) -> None:
    folder = copy("nw-ucla", *UCLA)
    (folder / UCLA[0]).write_bytes(contents)
    refused("nw-ucla", folder, CorruptFile, f"a01_s01_e00_v01.json.*{says}")


def test_nan_in_a_json_file(copy: Copy) -> None:
    folder = copy("nw-ucla", *UCLA)
    data = json.loads((folder / UCLA[0]).read_text())
    data["skeletons"][2][5][1] = float("nan")
    (folder / UCLA[0]).write_text(json.dumps(data))
    refused("nw-ucla", folder, InvalidClip, "1 of .* joints, in 1 of .*--missing-nan")


@pytest.mark.parametrize(("dataset", "name", "files", "broken"), [
    ("utd-mhad", "utd-mhad", UTD, "Skeleton/a28_s1_t1_skeleton.mat"),
    ("nw-ucla", "nw-ucla", UCLA, "all_sqe/a07_s01_e00_v01.json"),
    ("sbu-interaction", "sbu", SBU, "s01s02/09/001/skeleton_pos.txt"),
])
def test_a_file_of_an_action_that_does_not_exist(copy: Copy, dataset: str, name: str, files: tuple[str, ...],
                                                 broken: str) -> None:
    folder = copy(dataset, *files)
    (folder / broken).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(folder / files[0], folder / broken)
    refused(name, folder, CorruptFile, "expected")


@pytest.mark.parametrize(("change", "error", "says"), [
    (lambda text: text[:1000], CorruptFile, "line 2 has .* numbers; expected rows of 91"),
    (lambda text: text.replace("0.", "O.", 1), CorruptFile, "line 1: could not convert"),
    (lambda text: text.splitlines()[0] + "\n" + text, CorruptFile, "do not increase"),
    (lambda text: "", CorruptFile, "no row"),
    (lambda text: re.sub(r",[^,]+,[^,]+", ",nan,-inf", text, count=1), InvalidClip, "1 of .* NaN or infinite"),
])
def test_a_broken_text_table(copy: Copy, change: Callable[[str], str], error: type[DataError], says: str) -> None:
    folder = copy("sbu-interaction", *SBU)
    (folder / SBU[0]).write_text(change((folder / SBU[0]).read_text()))
    refused("sbu", folder, error, says)


def test_utkinect_without_ranges_or_with_broken_ones(copy: Copy) -> None:
    folder = copy("utkinect-action3d", *UTK)
    ranges = folder / UTK[1]
    first = ranges.read_text().splitlines()[:11]
    ranges.write_text("\n".join([*first, "s01_e02"]))  # the other sequences are not here
    assert import_dataset("utkinect", folder, folder.parent / "store").clips == 10  # without actionLabel_modified.txt
    shutil.rmtree(folder.parent / "store")
    ranges.write_text("\n".join([*first, "jump: 10 20"]))
    refused("utkinect", folder, CorruptFile, "line 12: 'jump: 10 20'")
    ranges.write_text("s01_e01\nwalk: 99999 99999\n")
    refused("utkinect", folder, DataError, "no clip.*no frame between 99999 and 99999")
    for word in ("²", "1²", "9" * 5000, "٣"):
        ranges.write_text(f"s01_e01\nwalk: 10 {word}\n", "utf-8")
        refused("utkinect", folder, DataError, "no clip.*its frame range is 10 to")
    ranges.unlink()
    refused("utkinect", folder, DataError, "actionLabel")


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("when", ["reading", "writing"])
def test_an_interrupt_or_a_full_disk_leaves_no_half_store(copy: Copy, failure: BaseException, when: str,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copy("utd-mhad", *UTD)

    def progress(recordings: Any, total: int) -> Iterator[Any]:
        for number, recording in enumerate(recordings):
            if number == 1 and when == "reading":
                raise failure
            yield recording

    def fail(*_: object) -> None:
        raise failure

    if when == "writing":
        monkeypatch.setattr(StoreWriter, "add", fail)
    with pytest.raises(type(failure)):
        import_dataset("utd-mhad", folder, folder.parent / "store", progress=progress)
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


def test_a_wrong_folder_dataset_or_place(copy: Copy, tmp_path: Path) -> None:
    folder = copy("utd-mhad", *UTD)
    with pytest.raises(UnknownChoice, match="did you mean 'utd-mhad'"):
        import_dataset("utd_mhad", folder, tmp_path / "store")
    with pytest.raises(DataError, match="is not a folder"):
        import_dataset("utd-mhad", tmp_path / "absent", tmp_path / "store")
    with pytest.raises(DataError, match="holds no all_sqe"):
        import_dataset("nw-ucla", folder, tmp_path / "store")
    with pytest.raises(UsageError, match="not empty"):
        import_dataset("utd-mhad", folder, folder)  # never over the recordings
    assert (folder / UTD[0]).is_file()


@pytest.mark.parametrize(("dataset", "name", "files", "spoil"), [
    ("utd-mhad", "utd-mhad", UTD, lambda whole: whole[:500]),
    ("nw-ucla", "nw-ucla", UCLA, lambda whole: re.sub(rb"\[\[\[[^,]+", b"[[[NaN", whole, count=1)),
    ("sbu-interaction", "sbu", SBU, lambda whole: whole[:1000]),
])
def test_the_others_are_taken_and_the_damaged_one_is_listed(copy: Copy, tmp_path: Path, dataset: str, name: str,
                                                            files: tuple[str, ...], spoil: Callable[[bytes], bytes]) -> None:
    folder = copy(dataset, *files)
    whole = (folder / files[0]).read_bytes()
    (folder / files[0]).write_bytes(spoil(whole))
    assert spoil(whole) != whole
    report = import_dataset(name, folder, tmp_path / "store")
    ((source, reason),) = report.refused
    assert (report.clips, source) == (1, files[0])
    assert str(tmp_path) not in reason and not reason.startswith(source) and "expected" in reason
    assert Store.open(tmp_path / "store").refused == report.refused


def test_nothing_left_to_take_is_an_error(copy: Copy, tmp_path: Path) -> None:
    folder = copy("sbu-interaction", *SBU)
    for file in SBU:
        (folder / file).write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"no clip for the store.*s01s02/01.*line 1 has 3 numbers.*s01s02/08"):
        import_dataset("sbu", folder, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_options_of_other_formats_are_refused(copy: Copy, tmp_path: Path) -> None:
    folder = copy("utd-mhad", *UTD)
    for options in ({"unit": "parsec"}, {"label": "zz"}):
        with pytest.raises(UsageError, match="utd-mhad.*leave out --"):
            import_dataset("utd-mhad", folder, tmp_path / "store", **options)
