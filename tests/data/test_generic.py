"""A user's own recordings: what dataset.toml can say, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.coordinates import OURS, axes_matrix
from edgeskel.data import Store, import_dataset
from edgeskel.errors import CorruptFile, DataError, EdgeskelError, InvalidClip, UnknownChoice, UsageError

TOPOLOGY = topologies.get("sbu-15")
JOINTS = len(TOPOLOGY.joints)
TOML = """
name = "my-gym"
topology = "sbu-15"
units = "mm"
axes = "x right, y down, z forward"
frame_rate = 25
files = "{label}/{subject}_{*}.csv"
"""


def points(frames: int = 4, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(seed).normal(scale=1000, size=(frames, JOINTS, 3)).round(3)


def write_csv(path: Path, values: np.ndarray, extra: dict[str, list[Any]] | None = None,  # type: ignore[type-arg]
              names: tuple[str, ...] = TOPOLOGY.joints) -> None:
    extra = extra or {}
    header = [*extra, *(f"{joint}_{axis}" for joint in names for axis in "xyz")]
    rows = [[*(column[i] for column in extra.values()), *values[i].reshape(-1)] for i in range(len(values))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")


def gym(folder: Path, toml: str = TOML) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(toml)
    for i, (label, subject) in enumerate([("squat", "anna"), ("squat", "ben"), ("lunge", "anna")]):
        write_csv(folder / label / f"{subject}_{i}.csv", points(seed=i))
    return folder


def test_csv_with_units_axes_labels_and_subjects(tmp_path: Path) -> None:
    report = import_dataset("generic", gym(tmp_path / "gym"), tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert (report.clips, store.dataset, store.labels, store.rate_hz) == (3, "my-gym", ("lunge", "squat"), 25)
    clip = next(clip for clip in store if clip.source == "squat/ben_1.csv")
    assert (clip.label, clip.subject) == ("squat", "ben")
    # right -> -x, down -> -y, forward -> z, millimetres -> metres
    np.testing.assert_allclose(clip.joints[0], points(seed=1) * [-0.001, -0.001, 0.001], rtol=1e-5)
    np.testing.assert_allclose(clip.time, np.arange(4) / 25)


def test_npz_one_by_one_with_confidence_time_and_an_own_layout(tmp_path: Path) -> None:
    folder = tmp_path / "rig"
    folder.mkdir()
    (folder / "rig.toml").write_text(
        'name = "rig"\njoints = [{ joint = "pelvis" }, { joint = "neck", parent = "pelvis" }]')
    joints = np.arange(2 * 3 * 2 * 3, dtype=float).reshape(2, 3, 2, 3)
    confidence = np.array([1, 0.5, 0])[None, :, None] * np.ones((2, 3, 2))
    np.savez(folder / "a.npz", joints=joints, confidence=confidence, time=[0, 0.1, 0.25])
    np.savez(folder / "b.npz", joints=joints[0], time=[5, 5.1, 5.2])
    (folder / "dataset.toml").write_text("""
topology = "rig.toml"
units = "m"
axes = "x forward, y left, z up"
labels = ["wave", "bow"]
[[clip]]
file = "a.npz"
label = "bow"
[[clip]]
file = "b.npz"
label = "wave"
subject = "1"
view = "left"
""")
    import_dataset("generic", folder, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert (store.dataset, store.labels, store.rate_hz) == ("rig", ("wave", "bow"), 8.0)
    assert store[0].joints.shape == (2, 3, 2, 3) and np.array_equal(store[0].confidence, confidence)
    np.testing.assert_allclose(store[0].joints[1, 0, 0], joints[1, 0, 0][[1, 2, 0]])  # left, up, forward
    assert (store[1].view, store[1].time.tolist()) == ("left", [5, 5.1, 5.2])


def test_several_persons_their_own_column_names_and_confidence(tmp_path: Path) -> None:
    toml = TOML.replace("frame_rate = 25\n", "").replace("{label}/{subject}_{*}.csv", "{label}.csv") + """
[csv]
delimiter = ";"
joint = "{joint}.{axis}"
confidence = "{joint}.c"
time = "t"
person = "who"
"""
    folder = tmp_path / "gym"
    folder.mkdir()
    (folder / "dataset.toml").write_text(toml)
    columns = [f"{alias}.{axis}" for alias in TOPOLOGY.aliases for axis in "xyzc"]  # the maker's own names
    rows = [(0.0, "ann", 1), (0.0, "bob", 2), (0.1, "bob", 3), (0.2, "ann", 4)]
    lines = [";".join(["who", "t", *columns])]
    lines += [";".join([who, str(t), *[str(v) for _ in TOPOLOGY.joints for v in (value, 0, 0, 0.5)]])
              for t, who, value in rows]
    (folder / "hug.csv").write_text("\n".join(lines))
    import_dataset("generic", folder, tmp_path / "store")
    clip = Store.open(tmp_path / "store")[0]
    assert clip.joints.shape == (2, 3, JOINTS, 3) and clip.label == "hug"
    assert clip.confidence[:, :, 0].tolist() == [[0.5, 0, 0.5], [0.5, 0.5, 0]]
    np.testing.assert_allclose(clip.joints[:, :, 0, 0], [[-0.001, 0, -0.004], [-0.002, -0.003, 0]], atol=1e-9)


def test_an_empty_field_and_nan_are_refused_with_counts_or_missing(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym")
    values = points().astype(object)
    values[1, 2] = ""
    values[3, 0, 1] = "nan"
    values[3, 1, 1] = "-inf"
    write_csv(folder / "squat" / "anna_0.csv", values)
    with pytest.raises(InvalidClip, match=r"squat/anna_0.csv: 3 of 60 joints, in 2 of 4 frames.*--missing-nan"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)
    assert not (tmp_path / "store").exists()
    import_dataset("generic", folder, tmp_path / "store", missing_nan=True)
    clip = next(clip for clip in Store.open(tmp_path / "store") if clip.source == "squat/anna_0.csv")
    assert np.argwhere(clip.confidence == 0).tolist() == [[0, 1, 2], [0, 3, 0], [0, 3, 1]]
    assert np.isfinite(clip.joints).all()


def test_a_single_frame_is_a_clip_and_none_is_not(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym")
    write_csv(folder / "squat" / "anna_0.csv", points(1))
    assert import_dataset("generic", folder, tmp_path / "store").clips == 3
    write_csv(folder / "squat" / "anna_0.csv", points(0))
    with pytest.raises(CorruptFile, match="anna_0.csv: no row below the header"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)


@pytest.mark.parametrize(("change", "error", "says"), [
    (('topology = "sbu-15"', 'topology = "sbu-16"'), UnknownChoice, "did you mean 'sbu-15'"),
    (('topology = "sbu-15"', 'topology = "kinect-v1"'), CorruptFile, "columns of kinect-v1 are missing: pelvis_x"),
    (('topology = "sbu-15"', 'topology = "own.toml"'), CorruptFile, "own.toml"),
    (('units = "mm"', 'units = "feet"'), UnknownChoice, "one of centimeter, cm, foot, ft"),
    (('units = "mm"\n', ""), CorruptFile, "no units"),
    (("frame_rate = 25\n", ""), CorruptFile, "frame_rate"),
    (("frame_rate = 25", "frame_rate = -1"), CorruptFile, "frame_rate -1"),
    (("frame_rate = 25", 'frame_rate = "25"'), CorruptFile, "expected int or float"),
    (("frame_rate = 25", "frame_rat = 25"), UnknownChoice, "did you mean 'frame_rate'"),
    (('name = "my-gym"', 'labels = ["squats", "lunge"]'), UnknownChoice, "did you mean 'squats'"),
    (("y down", "y up"), UsageError, 'left-handed.*handedness = "left"'),
    (("y down", "y right"), UsageError, "along one line"),
    (("y down", "y below"), UsageError, "direction 'below'"),
    (("y down, z forward", "y down"), UsageError, "three directions"),
    (("files = ", "files = 3 #"), CorruptFile, "files = 3"),
    (("{label}/{subject}", "{label}/{person}"), UnknownChoice, "'person'"),
    (("{label}/{subject}", "{label}/{label}"), DataError, "twice"),
    (("_{*}.csv", "_{*}.tsv"), DataError, "no file"),
    (("files = ", "file = "), UnknownChoice, "did you mean 'files'"),
    (('name = "my-gym"', "name = my-gym"), CorruptFile, "dataset.toml"),
    (('name = "my-gym"', "labels = [1, 2]"), CorruptFile, "in quotes"),
    (('name = "my-gym"', 'labels = ["squat", "lunge", "squat"]'), CorruptFile, "once"),
    (("{label}/{subject}", "/{label}/{subject}"), DataError, "below the folder"),
    (("{label}/{subject}", "../{label}/{subject}"), DataError, "below the folder"),
    (("{*}.csv\"", '{*}.csv"\n[csv]\njoint = "{foo}"'), CorruptFile, r"\{joint\} and \{axis\}"),
    (("{*}.csv\"", '{*}.csv"\n[csv]\njoint = "{"'), CorruptFile, r"\[csv\] joint = '\{'"),
    (("{*}.csv\"", '{*}.csv"\n[csv]\njoint = "{joint.x}_{axis}"'), CorruptFile, "joint"),
    (("{*}.csv\"", '{*}.csv"\n[csv]\nconfidence = "c"'), CorruptFile, r"\{joint\}"),
    (("{*}.csv\"", '{*}.csv"\n[csv]\ndelimiter = ", "'), CorruptFile, "one character"),
    (("{*}.csv\"", '{*}.csv"\n[csv]\ndelimiter = 3'), CorruptFile, "one character"),
    (("{*}.csv\"", '{*}.csv"\n[csv]\ntime = "seconds"'), CorruptFile, "no column 'seconds'"),
])
def test_a_wrong_description_says_what_is_wrong(tmp_path: Path, change: tuple[str, str], error: type[EdgeskelError],
                                                says: str) -> None:
    assert change[0] in TOML
    folder = gym(tmp_path / "gym", TOML.replace(*change))
    with pytest.raises(error, match=says):
        import_dataset("generic", folder, tmp_path / "store", strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["gym"]


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda text: text[:-30], "the file may be cut short"),
    (lambda text: text.replace("neck_x", "nek_x"), "missing: neck_x"),
    (lambda text: text.replace(text.split("\n")[2].split(",")[5], "five"), "line 3, column neck_z"),
    (lambda text: text.encode("utf-16"), "UnicodeDecodeError"),
    (lambda text: "", "nothing in it"),
])
def test_a_broken_csv_is_named_with_its_line(tmp_path: Path, spoil: Any, says: str) -> None:
    folder = gym(tmp_path / "gym")
    file = folder / "squat" / "ben_1.csv"
    spoiled = spoil(file.read_text())
    file.write_bytes(spoiled if isinstance(spoiled, bytes) else spoiled.encode())
    with pytest.raises(CorruptFile, match=says) as caught:
        import_dataset("generic", folder, tmp_path / "store", strict=True)
    assert "ben_1.csv" in str(caught.value)


@pytest.mark.parametrize(("arrays", "says"), [
    ({"joints": np.zeros((4, 14, 3))}, r"joints of shape \(4, 14, 3\).*15"),
    ({"joints": np.zeros((0, 15, 3))}, "joints of shape"),
    ({"points": np.zeros((4, 15, 3))}, "no joints"),
    ({"joints": np.zeros((4, 15, 3)), "time": np.zeros(3)}, "time of shape"),
    ({"joints": np.zeros((4, 15, 3)), "confidence": np.zeros((4, 14))}, "confidence of shape"),
    ({"joints": np.array([["a"]])}, "joints of type"),
    ({"joints": np.array([object()])}, "allow_pickle"),
])
def test_a_broken_npz_is_named(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    folder = tmp_path / "gym"
    folder.mkdir()
    (folder / "dataset.toml").write_text(TOML.replace("{label}/{subject}_{*}.csv", "{label}.npz"))
    np.savez(folder / "squat.npz", **arrays)
    with pytest.raises(CorruptFile, match=says):
        import_dataset("generic", folder, tmp_path / "store", strict=True)
    (folder / "squat.npz").write_bytes((folder / "squat.npz").read_bytes()[:100])
    with pytest.raises(CorruptFile, match="squat.npz"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)


def test_time_that_stands_still_and_confidence_above_one_are_refused(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym")
    write_csv(folder / "squat" / "anna_0.csv", points(), {"time": [0, 0.1, 0.1, 0.1]})
    with pytest.raises(InvalidClip, match="squat/anna_0.csv: time does not increase in 2 of 4 frames"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)


@given(order=st.permutations("xyz"), left=st.sampled_from(["left", "right"]), up=st.sampled_from(["up", "down"]),
       forward=st.sampled_from(["forward", "backward"]))
def test_axes_send_each_direction_to_ours(order: list[str], left: str, up: str, forward: str) -> None:
    words = dict(zip(order, (left, up, forward), strict=True))
    description = ", ".join(f"{axis} {words[axis]}" for axis in "xyz")
    try:
        matrix, handed = axes_matrix(description), "right"
    except UsageError as error:
        assert "left-handed" in str(error)
        matrix, handed = axes_matrix(description, "left"), "left"
    for i, axis in enumerate("xyz"):
        assert matrix[:, i].tolist() == list(OURS[words[axis]])
    assert np.linalg.det(matrix) == pytest.approx(1 if handed == "right" else -1)
    with pytest.raises(UsageError):
        axes_matrix(description, "left" if handed == "right" else "right")


def test_every_word_of_a_long_path_is_matched(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym", TOML.replace("{label}/{subject}_{*}.csv", "{label}/{subject}_{view}.csv"))
    import_dataset("generic", folder, tmp_path / "store")
    found = {(clip.subject, clip.view) for clip in Store.open(tmp_path / "store")}
    assert found == {("anna", "0"), ("ben", "1"), ("anna", "2")}


def test_a_listed_file_stays_below_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    write_csv(outside, points())
    for place in (str(outside), "../outside.csv"):
        toml = TOML.replace('files = "{label}/{subject}_{*}.csv"', f'[[clip]]\nfile = "{place}"\nlabel = "squat"')
        with pytest.raises(DataError, match="a file below its folder"):
            import_dataset("generic", gym(tmp_path / "gym", toml), tmp_path / "store")


def test_the_rate_is_that_of_the_first_file_that_can_be_read(tmp_path: Path) -> None:
    folder = gym(tmp_path / "gym", TOML.replace("frame_rate = 25\n", ""))
    for name in ("squat/anna_0", "squat/ben_1", "lunge/anna_2"):
        write_csv(folder / f"{name}.csv", points(), {"time": [0, 0.1, 0.2, 0.3]})
    (folder / "lunge" / "anna_2.csv").write_text("nothing")  # the first in order
    report = import_dataset("generic", folder, tmp_path / "store")
    assert report.clips == 2 and [source for source, _ in report.refused] == ["lunge/anna_2.csv"]
    assert Store.open(tmp_path / "store").rate_hz == 10
    with pytest.raises(CorruptFile, match="anna_2"):
        import_dataset("generic", folder, tmp_path / "store", strict=True)
