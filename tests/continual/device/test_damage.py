"""Damage to a file of learned actions: every bit is noticed, what is damaged has a name, and the rest is not lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel.continual.device import ClassStatistics, Demonstration, DemonstrationStore
from edgeskel.continual.device.learned_file import backup_of, connect
from edgeskel.continual.device.repair import repair
from edgeskel.errors import CorruptFile, UsageError
from edgeskel.skeleton import Clip
from tests.continual.device.conftest import OLD, World

Said = tuple[list[tuple[str, str, bytes, str]], list[tuple[int, str, bool]]]


def said(memory: DemonstrationStore) -> Said:
    """Everything that a user can see of it, and the learner be given."""
    learned = [(label, one.digest, one.embedding.tobytes(), one.source) for label, one in memory.demonstrations()]
    return learned, [(change.number, change.what, change.undone) for change in memory.history()]


@pytest.fixture
def path(tmp_path: Path, knowledge: ClassStatistics, world: World) -> Path:
    """A file with a past: three labels, one renamed, one removed, one change undone; one demonstration with its joints."""
    path = tmp_path / "learned.sqlite"
    clip = Clip(np.random.default_rng(0).normal(size=(1, 20, 20, 3)).astype(np.float32), np.ones((1, 20, 20), np.float32),
                np.arange(20) / 30)
    with DemonstrationStore.open(path, knowledge) as memory:
        for number in range(3):
            memory.learn("pour water", world.demonstration(OLD, f"pour {number}"))
            memory.learn("wipe table", world.demonstration(OLD + 1, f"wipe {number}"))
        memory.learn("stir", Demonstration(world.draw(OLD + 2, 1)[0], clip.digest, 2.0, "küche.npz", clip))
        memory.rename("wipe table", "wipe the table")
        memory.forget("stir")
        memory.undo()
    return path


def opened(path: Path, knowledge: ClassStatistics) -> Said | None:
    """What a file says; None where it is refused by name. Nothing else may come out."""
    try:
        with DemonstrationStore.open(path, knowledge) as memory:
            return said(memory)
    except CorruptFile as error:
        assert str(path) in error.seen and error.expected and "edgeskel" in error.remedy
        return None


def flipped(whole: bytes, at: int, bit: int) -> bytes:
    return whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]


def places(whole: bytes) -> list[int]:
    """Where labels, names, the history and the model's own labels stand."""
    texts = (b"pour water", b"wipe the table", b"wipe table", b"stir", "küche.npz".encode(), b"pour 1", b"wipe 2", b"digest of",
             b"learn ", b"rename ", b"old 3", b"model_labels", b"width")
    found = set()
    for text in texts:
        at = whole.find(text)
        while at >= 0:
            found.update(range(at, at + len(text)))
            at = whole.find(text, at + 1)
    return sorted(found)


def test_a_flipped_bit_of_a_text_never_changes_what_is_learned(path: Path, knowledge: ClassStatistics) -> None:
    whole = path.read_bytes()
    true = opened(path, knowledge)
    spots = places(whole)
    assert len(spots) > 200
    refused = 0
    for number, at in enumerate(spots):
        path.write_bytes(flipped(whole, at, number % 8))
        now = opened(path, knowledge)
        assert now is None or now == true, (at, number % 8)
        refused += now is None
    assert refused > 0.9 * len(spots)


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_bit_anywhere_is_noticed_or_means_nothing(path: Path, knowledge: ClassStatistics, data: st.DataObject) -> None:
    whole, true = path.read_bytes(), opened(path, knowledge)
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(flipped(whole, at, bit))
    try:
        assert opened(path, knowledge) in (None, true)
    finally:
        path.write_bytes(whole)


def test_every_number_that_is_stored_is_sealed(path: Path, knowledge: ClassStatistics) -> None:
    whole = path.read_bytes()
    for statement in (
        "UPDATE about SET value = '3' WHERE key = 'now'",
        "UPDATE change SET number = 30 WHERE number = 9",
        "UPDATE change SET time = time + 1",
        "UPDATE hold SET since = 1 WHERE since = 2",
        "UPDATE hold SET until = NULL",
        "UPDATE hold SET demonstration = 1 WHERE demonstration = 2",
        "UPDATE demonstration SET seconds = 2.5",
        "UPDATE demonstration SET joints = NULL",
        "UPDATE demonstration SET embedding = zeroblob(64)",
        "DELETE FROM hold WHERE rowid = 4",
        "DELETE FROM change",
        "INSERT INTO hold VALUES (1, 'never shown', 1, NULL)",
        "DELETE FROM seal WHERE relation = 'change'",
        "DROP TABLE seal",
        "CREATE TRIGGER evil AFTER INSERT ON hold BEGIN DELETE FROM change; END",
    ):
        path.write_bytes(whole)
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()
        assert opened(path, knowledge) is None, statement


def test_a_file_that_was_cut_anywhere_is_refused(path: Path, knowledge: ClassStatistics) -> None:
    whole = path.read_bytes()
    page = int.from_bytes(whole[16:18], "big")
    cuts = [0, 1, 15, 16, 99, 100, 511, 512, *range(page, len(whole), page), *range(page - 1, len(whole), page)]
    for size in cuts:
        path.write_bytes(whole[:size])
        assert opened(path, knowledge) is None, size
        assert path.read_bytes() == whole[:size]


def test_what_is_damaged_has_a_name_and_the_rest_is_kept(path: Path, knowledge: ClassStatistics) -> None:
    whole = path.read_bytes()
    at = whole.find(b"digest of pour 1")
    path.write_bytes(flipped(whole, at + 15, 1))
    with pytest.raises(CorruptFile, match=r"demonstration '3, pour 1'") as caught:
        DemonstrationStore.open(path, knowledge)
    assert "labels repair --backup" in caught.value.remedy and "labels repair --learned" in caught.value.remedy
    done = repair(path)
    assert "pour 1" in done.lost[0] and done.damaged is not None and done.damaged.read_bytes() != whole
    with DemonstrationStore.open(path, knowledge) as memory:
        assert {one.label: one.demonstrations for one in memory.learned()} == {"pour water": 2, "wipe the table": 3, "stir": 1}
        assert len(memory.history()) == 9 and memory.redo() == "remove stir"  # the past, too
        assert memory.undo() == "remove stir"
        memory.undo()
        assert "wipe table" in {one.label for one in memory.learned()}


def test_the_copy_is_the_last_whole_state(path: Path, knowledge: ClassStatistics) -> None:
    true = opened(path, knowledge)
    path.write_bytes(b"")
    done = repair(path, backup=True)
    assert done.from_backup and done.damaged is not None and opened(path, knowledge) == true
    path.unlink()
    assert repair(path, backup=True).from_backup and opened(path, knowledge) == true
    assert repair(path).lost == () and repair(path).damaged is None  # nothing is the matter with it
    copy = backup_of(path)
    copy.write_bytes(flipped(copy.read_bytes(), copy.read_bytes().find(b"pour 2"), 0))
    path.write_bytes(b"")
    with pytest.raises(CorruptFile, match="backup"):
        repair(path, backup=True)
    with pytest.raises(CorruptFile, match="vouched"):
        repair(path)
    copy.unlink()
    with pytest.raises(UsageError, match="no copy"):
        repair(path, backup=True)


@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_repair_keeps_only_what_is_true(path: Path, knowledge: ClassStatistics, data: st.DataObject) -> None:
    whole, before = path.read_bytes(), opened(path, knowledge)
    assert before is not None
    at, size = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.sampled_from((1, 16, 4096)))
    broken = whole[:at] + bytes(255 - byte for byte in whole[at : at + size]) + whole[at + size :]
    path.write_bytes(broken)
    try:
        repair(path)
    except (CorruptFile, UsageError):
        assert path.read_bytes() == broken
    else:
        with DemonstrationStore.open(path, knowledge) as memory:
            learned, _ = said(memory)
        assert set(learned) <= set(before[0])
    finally:
        path.write_bytes(whole)


def test_a_change_gives_damage_no_seal(path: Path, knowledge: ClassStatistics, world: World) -> None:
    """A bit that turns while the file is open: the next change finds it, and does not vouch for it."""
    with DemonstrationStore.open(path, knowledge) as memory:
        with sqlite3.connect(path) as other:
            other.execute("UPDATE hold SET label = 'pour watfr' WHERE label = 'pour water'")
        other.close()
        with pytest.raises(CorruptFile, match="pour watfr"):
            memory.learn("stir", world.demonstration(OLD + 2, "another"))
    with pytest.raises(CorruptFile, match="pour watfr"):
        DemonstrationStore.open(path, knowledge)
    repair(path, backup=True)
    with DemonstrationStore.open(path, knowledge) as memory:
        assert {one.label for one in memory.learned()} == {"pour water", "wipe the table", "stir"}


def unsealed(path: Path) -> None:
    """As version 0.1 wrote it."""
    connection = connect(path)
    connection.execute("DROP TABLE seal")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    backup_of(path).unlink(missing_ok=True)


def test_a_file_of_an_earlier_version_opens_and_is_sealed_by_its_first_change(
    path: Path, knowledge: ClassStatistics, world: World
) -> None:
    true = opened(path, knowledge)
    unsealed(path)
    before = path.read_bytes()
    assert opened(path, knowledge) == true and path.read_bytes() == before
    with DemonstrationStore.open(path, knowledge) as memory:
        memory.learn("stir", world.demonstration(OLD + 2, "one more"))
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, whole.find(b"pour water"), 0))
    assert opened(path, knowledge) is None and backup_of(path).is_file()


def test_damage_to_a_file_of_an_earlier_version_is_no_traceback(path: Path, knowledge: ClassStatistics) -> None:
    unsealed(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for at in [*places(whole)[::4], *map(int, rng.integers(0, len(whole), 100))]:
        path.write_bytes(flipped(whole, at, int(rng.integers(8))))
        try:
            with DemonstrationStore.open(path, knowledge) as memory:
                said(memory)
        except Exception as error:
            assert type(error).__module__ == "edgeskel.errors", repr(error)


def test_what_was_erased_is_not_in_the_copy(path: Path, knowledge: ClassStatistics) -> None:
    with DemonstrationStore.open(path, knowledge) as memory:
        memory.forget("stir")
        assert "küche.npz".encode() in backup_of(path).read_bytes()
        memory.erase()
        memory.drop_joints()
    for file in path.parent.iterdir():
        assert "küche.npz".encode() not in file.read_bytes(), file


def test_a_full_disk_for_the_copy_does_not_cost_the_demonstration(path: Path, knowledge: ClassStatistics, world: World) -> None:
    backup_of(path).unlink()
    backup_of(path).mkdir()  # nothing can take its place
    with DemonstrationStore.open(path, knowledge) as memory:
        memory.learn("stir", world.demonstration(OLD + 2, "one more"))
        assert {one.label: one.demonstrations for one in memory.learned()}["stir"] == 2
    assert not list(path.parent.glob(".*.tmp*"))
