"""The store keeps what it is given, shows damage, and appears whole or not at all."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.data import Store, StoreWriter
from edgeskel.errors import CorruptFile, DataError, InvalidClip, TopologyMismatch, UnknownChoice, UsageError
from edgeskel.skeleton import Clip
from tests.data.conftest import make_clip, make_inertial

Write = Callable[..., Store]
SHAPES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.booleans()), min_size=1, max_size=6)


def same(a: Clip, b: Clip) -> bool:
    return (a.digest == b.digest and np.array_equal(a.time, b.time) and a.label == b.label and a.subject == b.subject
            and a.view == b.view and a.source == b.source)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes=SHAPES)
def test_clips_of_any_size_come_back_as_they_went_in(write: Write, shapes: list[tuple[int, int, bool]]) -> None:
    clips = [make_clip(frames, persons, seed=i, label="ab"[i % 2], subject=f"subject é {i}", view=str(i),
                       source=f"{i}/x", inertial=make_inertial(oriented=bool(i % 3)) if sensors else None)
             for i, (persons, frames, sensors) in enumerate(shapes)]
    store = write(clips)
    assert len(store) == len(clips)
    for clip, back in zip(clips, store, strict=True):
        assert same(clip, back)
        assert (clip.inertial is None) == (back.inertial is None)
        if clip.inertial is not None and back.inertial is not None:
            assert clip.inertial.segments == back.inertial.segments
            for field in ("time", "accelerometer", "gyroscope", "orientation"):
                assert np.array_equal(getattr(clip.inertial, field), getattr(back.inertial, field))  # None equals None
    store.verify()


def test_a_clip_is_a_copy_of_its_own(write: Write) -> None:
    store = write([make_clip(label="a")])
    store[0].joints[:] = 7
    assert same(store[0], make_clip(label="a"))


def test_missing_positions_that_are_not_numbers_are_stored_as_zero(write: Write) -> None:
    clip = make_clip()
    clip.joints[clip.confidence == 0] = np.nan
    back = write([clip])[0]
    assert np.isfinite(back.joints).all()
    assert np.array_equal(back.confidence, clip.confidence)


def test_a_store_travels_to_worker_processes_by_its_path(write: Write) -> None:
    store = write([make_clip(label="a"), make_clip(3, label="b")])
    assert len(pickle.dumps(store)) < 1000
    assert same(pickle.loads(pickle.dumps(store))[-1], store[1])


def test_the_digest_follows_contents_and_labels(write: Write) -> None:
    digests = {write([make_clip(seed=0, label="a")], name="1").digest,
               write([make_clip(seed=1, label="a")], name="2").digest,
               write([make_clip(seed=0, label="b")], name="3").digest,
               write([make_clip(seed=0, label="a")], labels=("a", "c"), name="4").digest}
    assert len(digests) == 4
    assert write([make_clip(seed=0, label="a")], name="5").digest in digests


def test_memory_of_read_pages_is_given_back(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeskel.data.store.RELEASE_AFTER", 10_000)
    clips = [make_clip(40, seed=i) for i in range(20)]
    store = write(clips)
    for _ in range(3):
        assert all(same(clip, back) for clip, back in zip(clips, store, strict=True))


def test_joints_of_another_layout_are_refused(write: Write) -> None:
    with pytest.raises(TopologyMismatch, match="20 joints.*15 of sbu-15"):
        write([make_clip(joints=20)])


def test_an_unknown_label_is_refused_and_an_empty_one_taken(write: Write) -> None:
    with pytest.raises(UnknownChoice, match="unknown label.*one of a, b"):
        write([make_clip(label="c")])
    assert write([make_clip()])[0].label == ""


def test_signals_that_do_not_fit_together_are_refused(write: Write) -> None:
    sensors = make_inertial()
    with pytest.raises(InvalidClip, match=r"gyroscope of shape \(2, 6, 3\).*\(2, 7, 3\)"):
        write([make_clip(inertial=replace(sensors, gyroscope=sensors.gyroscope[:, 1:]))])
    with pytest.raises(InvalidClip, match="commas"):
        write([make_clip(inertial=replace(sensors, segments=("left,right", "b")))])


def test_a_store_without_clips_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no clip"):
        write([])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"),
                                     RuntimeError("anything")])
def test_nothing_is_left_when_writing_ends_early(tmp_path: Path, failure: BaseException) -> None:
    with pytest.raises(type(failure)):
        with StoreWriter(tmp_path / "store", dataset="x", topology=topologies.get("sbu-15"), labels=(),
                         rate_hz=30) as writer:
            writer.add(make_clip())
            raise failure
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_old_store(write: Write, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    old = write([make_clip(label="a")])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write([make_clip(9, label="b")])
    assert same(Store.open(tmp_path / "store")[0], old[0])
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_folder_that_is_no_store_is_left_alone(write: Write, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write([make_clip()])
    assert (tmp_path / "store" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["store.json", "index.npy", "joints.bin", "confidence.bin", "time.bin",
                                  "inertial.bin"])
@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_file_that_is_gone_or_cut_short_is_named(write: Write, tmp_path: Path, name: str, damage: str) -> None:
    write([make_clip(inertial=make_inertial())])
    file = tmp_path / "store" / name
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CorruptFile):
        Store.open(tmp_path / "store")


def test_altered_bytes_are_found_by_verify(write: Write, tmp_path: Path) -> None:
    store = write([make_clip(inertial=make_inertial())])
    for name in ("joints.bin", "time.bin", "inertial.bin"):
        file = tmp_path / "store" / name
        original = file.read_bytes()
        file.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        with pytest.raises(CorruptFile, match="digest"):
            store.verify()
        file.write_bytes(original)
    store.verify()


def test_another_schema_and_an_empty_folder_are_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(CorruptFile, match="no readable store.json"):
        Store.open(tmp_path)
    write([make_clip()])
    header = tmp_path / "store" / "store.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "schema": 99}))
    with pytest.raises(CorruptFile, match="schema 99"):
        Store.open(tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(CorruptFile):
        Store.open(tmp_path / "store")


def altered(store: Store, **fields: Any) -> Path:
    """The store with other fields in store.json."""
    header = json.loads((store.path / "store.json").read_text())
    (store.path / "store.json").write_text(json.dumps({**header, **fields}))
    return store.path


@pytest.mark.parametrize(("fields", "says"), [
    ({"labels": ["a"]}, "2 classes in index.npy; expected the 1 labels"),
    ({"labels": [1, 2]}, "labels"),
    ({"clips": 3}, "2 clips in index.npy; expected 3"),
    ({"topology": {"name": "x", "joints": ["a", "b"], "parents": [-1, -1]}}, "2 roots"),
    ({"topology": topologies.get("kinect-v1").to_dict()}, "end behind joints.bin"),
    ({"rate_hz": "fast"}, "fast"),
])
def test_a_header_that_does_not_fit_the_clips_is_refused(write: Write, fields: dict[str, Any], says: str) -> None:
    store = write([make_clip(label="a"), make_clip(label="b", seed=1)])
    with pytest.raises(CorruptFile, match=says):
        Store.open(altered(store, **fields))


def test_a_garbled_index_is_refused_whatever_its_header_parses_to(write: Write) -> None:
    store = write([make_clip(label="a"), make_clip(label="b", seed=1)])
    file = store.path / "index.npy"
    whole = file.read_bytes()
    header_end = whole.index(b"\n")
    random = np.random.default_rng(0)
    for at in range(8, header_end, 3):
        file.write_bytes(whole[:at] + random.bytes(3) + whole[at + 3:])
        with pytest.raises(CorruptFile):
            Store.open(store.path)
    for text in (b"(((", b'"""', b"\\", b"{'descr': "):  # an open bracket ends the tokeniser, not the parser
        file.write_bytes(whole[:10] + text.ljust(header_end - 10) + whole[header_end:])
        with pytest.raises(CorruptFile, match=r"index\.npy"):
            Store.open(store.path)
