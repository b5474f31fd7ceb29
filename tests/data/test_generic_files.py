"""What users' own files hold: clocks, columns, flat poses, ambiguous paths, and sensors beside skeletons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.data import ImportReport, Store, import_dataset, split
from edgeskel.data.importers.generic_paths import found
from edgeskel.errors import CorruptFile, DataError, EdgeskelError, InvalidClip, UnknownChoice
from edgeskel.skeleton import Clip
from tests.data.test_generic import TOML, gym, points, write_csv

Array = np.ndarray[Any, Any]
COCO = topologies.get("coco-17")
MEDIAPIPE = topologies.get("mediapipe-33")


def one(folder: Path, toml: str, columns: dict[str, list[Any]] | None = None, frames: int = 30,
        **options: Any) -> tuple[Clip, ImportReport]:
    """Import one CSV file with these columns beside the joints."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(toml)
    write_csv(folder / "squat" / "anna_0.csv", points(frames), columns)
    report = import_dataset("generic", folder, folder / "store", strict=True, **options)
    return Store.open(folder / "store")[0], report


RATE_30 = TOML.replace("frame_rate = 25", "frame_rate = 30")


@settings(max_examples=12, deadline=None)
@given(unit=st.sampled_from([("ms", 1e3), ("us", 1e6), ("ns", 1e9), ("frames", 30), ("s", 1)]),
       rate=st.sampled_from([15.0, 25.0, 30.0, 60.0]), start=st.sampled_from([0.0, 1000.0]), said=st.booleans())
def test_the_clock_counts_what_fits_the_frame_rate_or_what_is_said(tmp_path_factory: pytest.TempPathFactory, unit: Any,
                                                                    rate: float, start: float, said: bool) -> None:
    name, size = unit
    actual = 30.0 if name == "frames" else rate
    stamps = [round((start + i / actual) * size, 0 if name != "s" else 6) for i in range(30)]
    toml = RATE_30.replace("units", f'time_unit = "{name}"\nunits', 1) if said else RATE_30
    clip, report = one(tmp_path_factory.mktemp("clock"), toml, {"time": stamps})
    np.testing.assert_allclose(np.diff(clip.time), 1 / actual, atol=1.1e-3)
    assert any("the time counts" in note.text for note in report.notes) == (not said and name != "s")


@pytest.mark.parametrize(("stamps", "toml", "says"), [
    ([33 * i for i in range(30)], TOML.replace("frame_rate = 25\n", ""), "time stamps 33 apart, and nothing says"),
    ([700 * i for i in range(30)], RATE_30, "do not fit frame_rate = 30 in any unit"),
    ([0, 1, "x", *range(3, 30)], RATE_30, "line 4, column time"),
    ([0, 1, "", *range(3, 30)], RATE_30, "1 of 30 time stamps are no numbers"),
    ([i for i in range(30)], TOML.replace("frame_rate = 25", 'time_unit = "frames"'), "no frame_rate"),
])
def test_a_clock_that_nobody_can_read_is_refused(tmp_path: Path, stamps: list[Any], toml: str, says: str) -> None:
    with pytest.raises(CorruptFile, match=says):
        one(tmp_path / "set", toml, {"time": stamps})
    with pytest.raises(UnknownChoice, match="did you mean 'ms'"):
        one(tmp_path / "set", TOML.replace("units", 'time_unit = "msec"\nunits', 1), {"time": stamps})


def test_a_few_repeated_stamps_are_left_out_as_live(tmp_path: Path) -> None:
    stamps = [i / 25 for i in range(30)]
    stamps[7] = stamps[6]
    stamps[20] = stamps[18]
    clip, report = one(tmp_path / "set", TOML, {"time": stamps})
    assert clip.frames == 28 and ("2 of 30",) in [note.details for note in report.notes]
    with pytest.raises(InvalidClip, match="does not increase in 15 of 30 frames"):
        one(tmp_path / "coarse", TOML, {"time": [i // 2 for i in range(30)]}, bodies="all")


def test_recordings_of_different_rates_in_one_store_are_named(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym", RATE_30)
    for file, rate in (("squat/anna_0", 120), ("squat/ben_1", 30), ("lunge/anna_2", 29)):
        write_csv(folder / f"{file}.csv", points(30), {"time": [round(i / rate, 5) for i in range(30)]})
    report = import_dataset("generic", folder, tmp_path / "store")
    (note,) = [note.text for note in report.notes if "different rates" in note.text]
    assert "2 clips at about 29" in note and "1 clips at about 120 Hz (such as squat/anna_0.csv)" in note


def test_columns_that_nobody_names_are_not_looked_at(tmp_path: Path) -> None:
    clip, _ = one(tmp_path / "set", TOML, {"note": ["so", "la"] * 15, "x": ["-1.#IND"] * 30, "when": ["12:00"] * 30})
    assert clip.frames == 30


@pytest.mark.parametrize("word", ["-1.#IND", "1.#QNAN", "nan", "-nan(ind)", "NA", "null", ""])
def test_what_programs_write_for_no_number_is_no_number(tmp_path: Path, word: str) -> None:
    values = points(30).astype(object)
    values[3, 2, 0] = word
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "dataset.toml").write_text(TOML)
    write_csv(folder / "squat" / "anna_0.csv", values)
    with pytest.raises(InvalidClip, match="1 of 450 joints, in 1 of 30 frames, are NaN"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)
    import_dataset("generic", folder, tmp_path / "store", missing_nan=True)
    assert np.argwhere(Store.open(tmp_path / "store")[0].confidence == 0).tolist() == [[0, 3, 2]]


def test_letters_of_columns_may_differ_in_case(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    file = folder / "squat" / "anna_0.csv"
    values = points(30)
    write_csv(file, values)
    text = file.read_text()
    header = text.splitlines()[0]
    for changed in (header.upper(), header.replace("_x", "_X").replace("_y", "_Y").replace("_z", "_Z")):
        file.write_text(text.replace(header, changed))
        (folder / "dataset.toml").write_text(TOML)
        import_dataset("generic", folder, tmp_path / "store")
        np.testing.assert_allclose(Store.open(tmp_path / "store")[0].joints[0, :, 0, 1], -values[:, 0, 1] / 1000, rtol=1e-6)
    file.write_text(text.replace("head_x", "HEAD_X").replace("neck_x", "Head_X"))
    with pytest.raises(CorruptFile, match="HEAD_X and Head_X differ from head_x only in case"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)


def test_files_without_a_header(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    file = folder / "squat" / "anna_0.csv"
    values = points(30)
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(",".join(map(str, [i / 25, *np.insert(row, 3, 0.5, axis=1).ravel()]))
                              for i, row in enumerate(values)) + "\n")
    (folder / "dataset.toml").write_text(TOML)
    with pytest.raises(CorruptFile, match=r"no header: its first line is 0.0, .*\[csv\] columns"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)
    columns = '[csv]\nconfidence = "{joint}_c"\ncolumns = ["time", "{joint}_x", "{joint}_y", "{joint}_z", "{joint}_c"]\n'
    (folder / "dataset.toml").write_text(TOML + columns)
    import_dataset("generic", folder, tmp_path / "store")
    clip = Store.open(tmp_path / "store")[0]
    assert clip.frames == 30 and (clip.confidence == 0.5).all()
    np.testing.assert_allclose(clip.joints[0, :, :, 2], values[:, :, 2] / 1000, rtol=1e-6)
    (folder / "dataset.toml").write_text(TOML + columns.replace('"time", ', ""))
    with pytest.raises(CorruptFile, match=r"line 1 has 61 fields; expected 60, as \[csv\] columns"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)


@pytest.mark.parametrize(("units", "metres"), [('"inch"', 0.0254), ("0.05", 0.05), ("2", 2.0)])
def test_units(tmp_path: Path, units: str, metres: float) -> None:
    clip, _ = one(tmp_path / "set", TOML.replace('"mm"', units))
    np.testing.assert_allclose(clip.joints[0, :, :, 2], points(30)[:, :, 2] * metres, rtol=1e-6)
    with pytest.raises(CorruptFile, match="units = -2"):
        one(tmp_path / "set", TOML.replace('"mm"', "-2"))


def test_an_import_shows_how_a_path_was_read_and_the_classes(tmp_path: Path) -> None:
    report = import_dataset("generic", gym(tmp_path / "gym"), tmp_path / "store")
    assert report.labels == {"lunge": 1, "squat": 2}
    assert ("read as: label lunge, subject anna", ("lunge/anna_2.csv",)) in [(note.text, note.sources) for note in report.notes]


@pytest.mark.parametrize(("units", "says"), [('"m"', "people are 1"), ('"mm"', ""), ('"cm"', "people are 1")])
def test_people_of_impossible_size_are_named(tmp_path: Path, units: str, says: str) -> None:
    """Joints of a person of 1.7 m in millimetres."""
    folder = tmp_path / "gym"
    folder.mkdir()
    (folder / "dataset.toml").write_text(TOML.replace('"mm"', units))
    write_csv(folder / "squat" / "anna_0.csv", points() / 3)
    notes = import_dataset("generic", folder, tmp_path / "store").notes
    told = [note.text for note in notes if "the unit is likely wrong" in note.text]
    assert [text.startswith(says) for text in told] == ([True] if says else [])


@pytest.mark.parametrize("between", ["_", "-", ".", " ", "__"])
def test_a_path_that_fits_in_more_than_one_way_is_refused_with_both(tmp_path: Path, between: str) -> None:
    files = between.join(["{subject}", "{label}", "{*}"]) + ".csv"
    folder = tmp_path / "gym"
    for label in (f"arm{between}left", f"arm{between}right", "squat"):
        write_csv(folder / f"{between.join(['s1', label, '1'])}.csv", points())
    (folder / "dataset.toml").write_text(TOML.replace("{label}/{subject}_{*}.csv", files))
    with pytest.raises(DataError, match=f"label arm, subject s1; or label arm{between}left, subject s1"):
        import_dataset("generic", folder, tmp_path / "store")
    for toml in (TOML.replace("{label}/{subject}_{*}.csv", files).replace(
                     "name =", f'labels = ["squat", "arm{between}left", "arm{between}right"]\nname =', 1),
                 TOML.replace("{label}/{subject}_{*}.csv", files.replace("{subject}", "{subject:s[0-9]+}")
                              .replace("{*}", "{*:[0-9]+}"))):
        (folder / "dataset.toml").write_text(toml)
        report = import_dataset("generic", folder, tmp_path / "store")
        assert set(report.labels) == {f"arm{between}left", f"arm{between}right", "squat"}


@given(words=st.lists(st.text("ab1", min_size=1, max_size=3), min_size=3, max_size=3))
@settings(max_examples=20, deadline=None)
def test_a_path_is_read_as_it_was_made(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    folder = tmp_path_factory.mktemp("paths")
    (folder / words[0]).mkdir()
    (folder / words[0] / f"{words[1]}_x_{words[2]}.csv").touch()
    (item,) = found(folder, "{label}/{subject}_x_{view}.csv")
    assert [item.label, item.subject, item.view] == words


@pytest.mark.parametrize(("files", "error", "says"), [
    ("{label}{subject}.csv", DataError, "nothing stands between"),
    ("{label}/{subject:[}.csv", DataError, "no regular expression"),
    ("{label}/{person}.csv", UnknownChoice, "'person'"),
])
def test_patterns_that_cannot_be_read(tmp_path: Path, files: str, error: type[EdgeskelError], says: str) -> None:
    with pytest.raises(error, match=says):
        found(tmp_path, files)


def world(topology: Any, frames: int = 20) -> Array:
    """(T, V, 3) of a body in metres about the middle of its hips, y down as MediaPipe has it."""
    joints = np.random.default_rng(3).normal(scale=0.35, size=(frames, len(topology.joints), 3))
    hips = [topology.index("left_hip"), topology.index("right_hip")]
    return np.asarray(joints - joints[:, hips].mean(axis=1, keepdims=True))


def npz(folder: Path, joints: Array, topology: str) -> None:
    folder.mkdir(parents=True)
    (folder / "dataset.toml").write_text(f'topology = "{topology}"\nunits = "m"\naxes = "x right, y down, z forward"\n'
                                         'frame_rate = 30\nfiles = "{label}.npz"\n')
    np.savez(folder / "wave.npz", joints=joints)
    import_dataset("generic", folder, folder / "store", strict=True)


def pixels(topology: Any) -> Array:
    return np.asarray(world(topology) * 200 + [320, 240, 0])


@pytest.mark.parametrize(("joints", "topology", "says"), [
    (pixels(COCO)[..., :2], "coco-17", "two coordinates, 2-D poses"),
    (pixels(COCO) * [1, 1, 0], "coco-17", "z is 0 in every joint of every frame: flat, 2-D poses"),
    (pixels(COCO) * [1, 1, 0] + [0, 0, 1], "coco-17", "z is 1 in every joint"),
    (np.where([True, True, False], pixels(COCO), 0.8) + np.random.default_rng(1).random((20, 17, 1)) * [0, 0, 0.2], "coco-17",
     "pixels with a score, 2-D poses"),
    (world(MEDIAPIPE) * [0.3, 0.3, 0.5] + [0.5, 0.4, 0], "mediapipe-33", "picture landmarks, 2-D poses"),
    (world(COCO) * [0.3, 0.3, 0.5] + [0.3, 0.6, 0], "coco-17", "picture landmarks, 2-D poses"),
])
def test_flat_poses_are_named_as_such(tmp_path: Path, joints: Array, topology: str, says: str) -> None:
    with pytest.raises(CorruptFile, match=says):
        npz(tmp_path / "set", joints, topology)


def test_world_landmarks_and_poses_before_a_camera_are_taken(tmp_path: Path) -> None:
    npz(tmp_path / "a", world(MEDIAPIPE), "mediapipe-33")
    npz(tmp_path / "b", world(COCO) + [0.2, 0.1, 2.5], "coco-17")
    npz(tmp_path / "c", world(COCO) * 0.9 + [0.4, 0.4, 0.9], "coco-17")


def test_a_csv_file_without_third_coordinates_is_two_dimensional(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym")
    file = folder / "squat" / "anna_0.csv"
    lines = [line.split(",") for line in file.read_text().splitlines()]
    file.write_text("\n".join(",".join(field for at, field in enumerate(line) if at % 3 != 2) for line in lines))
    with pytest.raises(CorruptFile, match="no column head_z, .*: two coordinates, 2-D poses"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)


def test_json_of_pose_models_is_named_and_a_missing_description_too(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym", TOML.replace("{*}.csv", "{*}.json"))
    (folder / "squat" / "anna_0_keypoints.json").write_text("{}")
    with pytest.raises(CorruptFile, match="2-D poses; expected .csv, .txt or .npz"):
        import_dataset("generic", folder, tmp_path / "store")
    (folder / "dataset.toml").unlink()
    with pytest.raises(DataError, match=r"gym has no dataset.toml; .*docs/recordings.md"):
        import_dataset("generic", folder, tmp_path / "store")


def test_the_data_sets_own_test_subjects(tmp_path: Path) -> None:
    toml = TOML.replace("name =", 'test_subjects = ["ben"]\nname =', 1)
    import_dataset("generic", gym(tmp_path / "gym", toml), tmp_path / "store")
    parts = split(Store.open(tmp_path / "store"), validation=0)
    assert parts.protocol == "stated"
    assert Store.open(tmp_path / "store").texts("subject")[parts.test].tolist() == ["ben"]
    with pytest.raises(UnknownChoice, match="'bill'; expected one of anna, ben"):
        import_dataset("generic", gym(tmp_path / "gym", toml.replace('"ben"', '"bill"')), tmp_path / "store")
    with pytest.raises(CorruptFile, match="every subject"):
        import_dataset("generic", gym(tmp_path / "gym", toml.replace('"ben"', '"ben", "anna"')), tmp_path / "store")


def test_persons_says_how_many_act(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "dataset.toml").write_text('topology = "sbu-15"\nunits = "m"\naxes = "x left, y up, z forward"\npersons = 1\n'
                                         'frame_rate = 30\nfiles = "{label}.npz"\n')
    still = np.repeat(points(1), 40, axis=0) / 1000
    moving = still + np.sin(np.linspace(0, 6, 40))[:, None, None] * 0.3
    np.savez(folder / "wave.npz", joints=np.stack([still + 3 + moving * 0.02, moving + 0.5]))
    import_dataset("generic", folder, tmp_path / "store")
    (clip,) = Store.open(tmp_path / "store")
    np.testing.assert_allclose(clip.joints, moving[None] + 0.5, rtol=1e-5)


SENSORS = """
[sensors]
file = "{stem}_imu.csv"
segments = ["right_wrist"]
time = "t"
time_unit = "ms"
acceleration = "g"
rate = "deg/s"
orientation = "{segment}_q{axis}"
"""


def imu(file: Path, samples: int = 50, segment: str = "right_wrist") -> Array:
    values = np.random.default_rng(5).normal(size=(samples, 10)).round(4)
    header = ["t", *(f"{segment}_acc_{axis}" for axis in "xyz"), *(f"{segment}_gyr_{axis}" for axis in "xyz"),
              *(f"{segment}_q{axis}" for axis in "wxyz")]
    file.write_text("\n".join([",".join(header), *(",".join(map(str, [20 * i, *row])) for i, row in enumerate(values))]))
    return values


def test_worn_sensors_come_from_files_beside_the_recordings(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym", TOML.replace("{*}.csv", "{*:[0-9]}.csv") + SENSORS)
    values = imu(folder / "squat" / "anna_0_imu.csv")
    report = import_dataset("generic", folder, tmp_path / "store")
    clips = {clip.source: clip for clip in Store.open(tmp_path / "store")}
    worn = clips["squat/anna_0.csv"].inertial
    assert worn is not None and worn.segments == ("right_wrist",) and worn.time[:3].tolist() == [0, 0.02, 0.04]
    np.testing.assert_allclose(worn.accelerometer[0], values[:, :3] * 9.80665, rtol=1e-5)
    np.testing.assert_allclose(worn.gyroscope[0], np.deg2rad(values[:, 3:6]), rtol=1e-5)
    assert worn.orientation is not None
    np.testing.assert_allclose(worn.orientation[0], values[:, 6:], rtol=1e-5)
    assert clips["squat/ben_1.csv"].inertial is None
    (note,) = [note for note in report.notes if "no signals of worn sensors" in note.text]
    assert note.sources == ("lunge/anna_2.csv", "squat/ben_1.csv")


@pytest.mark.parametrize(("change", "error", "says"), [
    (('time = "t"', 'time = "seconds"'), CorruptFile, "no column 'seconds'"),
    (('time = "t"', ""), CorruptFile, "both or neither of time and sample_rate"),
    (("segments", "segment"), UnknownChoice, "did you mean 'segments'"),
    (('"g"', '"G"'), UnknownChoice, "acceleration"),
    (('["right_wrist"]', '["left_wrist"]'), CorruptFile, "no column 'left_wrist_acc_x'"),
    (('["right_wrist"]', '"right_wrist"'), CorruptFile, "segments = 'right_wrist'"),
    (("{stem}", "{name}"), CorruptFile, r"\{stem\}"),
])
def test_a_wrong_description_of_sensors_is_named(tmp_path: Path, change: tuple[str, str], error: type[EdgeskelError],
                                                 says: str) -> None:
    assert change[0] in SENSORS
    folder = gym(tmp_path / "gym", TOML.replace("{*}.csv", "{*:[0-9]}.csv") + SENSORS.replace(*change))
    imu(folder / "squat" / "anna_0_imu.csv")
    with pytest.raises(error, match=says):
        import_dataset("generic", folder, tmp_path / "store", strict=True)
