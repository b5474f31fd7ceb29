"""The file of what was learned: kills, full disks, damage, undoing, privacy."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel.continual.device import ClassStatistics, Demonstration, DemonstrationStore
from edgeskel.errors import CorruptFile, DataError, EdgeskelError, InvalidClip, ModelError, UnknownChoice, UsageError
from edgeskel.skeleton import Clip
from tests.conftest import ROOT
from tests.continual.device.conftest import OLD, WIDTH, World


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "learned.sqlite"


def counts(memory: DemonstrationStore) -> dict[str, int]:
    return {one.label: one.demonstrations for one in memory.learned()}


def filled(path: Path, knowledge: ClassStatistics, world: World) -> None:
    with DemonstrationStore.open(path, knowledge) as memory:
        for number in range(3):
            memory.learn("pour water", world.demonstration(OLD, f"pour {number}"))
            memory.learn("wipe table", world.demonstration(OLD + 1, f"wipe {number}"))


def test_what_is_learned_is_there_again(path: Path, knowledge: ClassStatistics, world: World) -> None:
    filled(path, knowledge, world)
    with DemonstrationStore.open(path, knowledge) as memory:
        assert counts(memory) == {"pour water": 3, "wipe table": 3}
        learner = memory.learner()
    right = [learner.labels[int(answer)] == "pour water" for answer in learner.predict(world.draw(OLD, 50)).argmax(-1)]
    assert np.mean(right) > 0.8


def test_every_state_can_be_returned_to(path: Path, knowledge: ClassStatistics, world: World) -> None:
    some = world.draw(OLD, 20)
    with DemonstrationStore.open(path, knowledge) as memory:
        states = [(counts(memory), memory.learner().predict(some))]

        def note() -> None:
            states.append((counts(memory), memory.learner().predict(some)))

        for number in range(2):
            memory.learn("pour water", world.demonstration(OLD, f"pour {number}"))
            note()
        memory.learn("wipe", world.demonstration(OLD + 1, "wipe"))
        note()
        memory.rename("pour water", "pour tea")
        note()
        memory.forget("wipe")
        note()
        for seen, answers in reversed(states[:-1]):
            memory.undo()
            assert counts(memory) == seen
            assert np.array_equal(memory.learner().predict(some), answers)
        with pytest.raises(UsageError, match="nothing to undo"):
            memory.undo()
        for seen, answers in states[1:]:
            memory.redo()
            assert counts(memory) == seen
            assert np.array_equal(memory.learner().predict(some), answers)
        with pytest.raises(UsageError, match="nothing to redo"):
            memory.redo()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["learn", "forget", "rename", "undo", "redo"]), st.integers(0, 2),
                          st.integers(0, 2)), max_size=14))
def test_any_sequence_of_changes_agrees_with_a_list_of_states(
        tmp_path_factory: pytest.TempPathFactory, knowledge: ClassStatistics, world: World,
        steps: list[tuple[str, int, int]]) -> None:
    names = ("a", "b", "c")
    states: list[dict[str, int]] = [{}]
    now = 0
    with DemonstrationStore.open(tmp_path_factory.mktemp("memory") / "learned.sqlite", knowledge) as memory:
        for number, (step, first, second) in enumerate(steps):
            before = states[now]
            after: dict[str, int] | None = dict(before)
            try:
                if step == "learn":
                    memory.learn(names[first], world.demonstration(OLD + first, f"take {number}"))
                    after = {**before, names[first]: before.get(names[first], 0) + 1}
                elif step == "forget":
                    memory.forget(names[first])
                    after = {name: count for name, count in before.items() if name != names[first]}
                elif step == "rename":
                    memory.rename(names[first], names[second])
                    after = {(names[second] if name == names[first] else name): count for name, count in before.items()}
                else:
                    getattr(memory, step)()
                    now += -1 if step == "undo" else 1
                    after = None
            except UsageError:
                assert counts(memory) == before
                continue
            if after is not None:
                states[now + 1 :] = [after]
                now += 1
            assert counts(memory) == states[now]


_LEARNING = """
import sys
import numpy as np
from edgeskel.continual.device import ClassStatistics, Demonstration, DemonstrationStore
knowledge = ClassStatistics.load(sys.argv[1])
rng = np.random.default_rng()
memory = DemonstrationStore.open(sys.argv[2], knowledge)
number = sum(one.demonstrations for one in memory.learned())
while True:
    label = f"action {number // 10}"
    joints = rng.bytes(20_000)
    name = f"{number} {joints[:8].hex()}"
    memory.learn(label, Demonstration(rng.normal(size=knowledge.width).astype(np.float32), name, 2.0, joints.hex()))
    number += 1
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_loses_at_most_the_demonstration_in_hand(path: Path, knowledge: ClassStatistics) -> None:
    knowledge.save(path.with_name("embedding.npz"))
    rng = np.random.default_rng(5)
    confirmed = 0
    for _ in range(8):
        learning = subprocess.Popen([sys.executable, "-c", _LEARNING, str(path.with_name("embedding.npz")), str(path)],
                                    stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert learning.stdout is not None
        for _ in range(int(rng.integers(1, 12))):
            confirmed = int(learning.stdout.readline())
        try:
            learning.wait(float(rng.uniform(0, 0.03)))  # into the middle of some later one
        except subprocess.TimeoutExpired:
            learning.kill()
        rest = learning.communicate()[0].split()
        confirmed = int(rest[-1]) if rest else confirmed
        with DemonstrationStore.open(path, knowledge) as memory:
            kept = sum(counts(memory).values())
            assert confirmed <= kept <= confirmed + 1
            assert len(list(memory.demonstrations())) == kept
            assert len(memory.history()) == kept
    assert confirmed > 8


def test_a_full_disk_changes_nothing_and_is_named(path: Path, knowledge: ClassStatistics, world: World) -> None:
    filled(path, knowledge, world)
    large = Clip(np.random.default_rng(0).normal(size=(1, 400, 20, 3)).astype(np.float32), np.ones((1, 400, 20), np.float32),
                 np.arange(400) / 30)
    with DemonstrationStore.open(path, knowledge) as memory:
        pages = memory._connection.execute("PRAGMA page_count").fetchone()[0]
        memory._connection.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite's own way to meet a full disk
        with pytest.raises(DataError, match="disk is full"):
            memory.learn("large", Demonstration(world.draw(OLD, 1)[0], "large", 13.0, clip=large))
        assert counts(memory) == {"pour water": 3, "wipe table": 3}
        memory.learn("pour water", world.demonstration(OLD, "small"))
    with DemonstrationStore.open(path, knowledge) as memory:
        assert counts(memory) == {"pour water": 4, "wipe table": 3}


def test_a_damaged_file_is_refused_or_still_true(path: Path, knowledge: ClassStatistics, world: World) -> None:
    filled(path, knowledge, world)
    with DemonstrationStore.open(path, knowledge) as memory:
        true = {(label, one.digest): one.embedding.tobytes() for label, one in memory.demonstrations()}
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        broken = bytearray(whole)
        if rng.random() < 0.2:
            broken = broken[: int(rng.integers(1, len(whole)))]
        else:
            at = int(rng.integers(len(whole)))
            broken[at : at + 16] = rng.bytes(16)
        path.write_bytes(bytes(broken))
        try:
            with DemonstrationStore.open(path, knowledge) as memory:
                for label, one in memory.demonstrations():
                    if (label, one.digest) in true:
                        assert one.embedding.tobytes() == true[label, one.digest]
                memory.learner()
        except (CorruptFile, ModelError, UsageError, InvalidClip):
            refused += 1
            assert path.read_bytes() == bytes(broken)
    assert refused > 10


@pytest.mark.parametrize("content", [b"", b"no database at all, but longer than a header of SQLite would be" * 40])
def test_a_file_of_something_else(path: Path, knowledge: ClassStatistics, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CorruptFile, match="--learned"):
        DemonstrationStore.open(path, knowledge)
    assert path.read_bytes() == content
    with sqlite3.connect(path.with_name("other.sqlite")) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    with pytest.raises(CorruptFile, match="something else"):
        DemonstrationStore.open(path.with_name("other.sqlite"), knowledge)


def test_another_model(path: Path, knowledge: ClassStatistics, world: World) -> None:
    filled(path, knowledge, world)
    seen = np.concatenate([world.draw(index, 10) for index in range(OLD)])
    with pytest.raises(ModelError, match="another model"):
        DemonstrationStore.open(path, ClassStatistics.measure(seen, np.repeat(np.arange(OLD), 10), knowledge.labels))
    with DemonstrationStore.open(path) as memory:  # names can be looked at without the model
        assert counts(memory) == {"pour water": 3, "wipe table": 3}
    with pytest.raises(UsageError, match="edgeskel learn"):
        DemonstrationStore.open(path.with_name("absent.sqlite"))


def test_what_is_refused(path: Path, knowledge: ClassStatistics, world: World) -> None:
    with DemonstrationStore.open(path, knowledge) as memory:
        memory.learn("pour water", world.demonstration(OLD, "one"))
        for name in ("old 2", "", " padded", "two\nlines"):
            with pytest.raises(UsageError):
                memory.learn(name, world.demonstration(OLD, "two"))
            with pytest.raises(UsageError):
                memory.rename("pour water", name)
        with pytest.raises(InvalidClip, match="'pour water' already"):
            memory.learn("wipe", world.demonstration(OLD, "one"))
        with pytest.raises(UnknownChoice, match="pour water"):
            memory.forget("pour watr")
        memory.learn("wipe", world.demonstration(OLD, "three"))
        with pytest.raises(UsageError, match="learned already"):
            memory.rename("wipe", "pour water")
        for number in range(9):
            memory.learn("pour water", world.demonstration(OLD, f"more {number}"))
        with pytest.raises(UsageError, match="at most 10"):
            memory.learn("pour water", world.demonstration(OLD, "eleventh"))
        with pytest.raises(InvalidClip, match="finite"):
            memory.learn("wipe", Demonstration(np.zeros(WIDTH + 2, np.float32), "wide", 2.0))
        assert counts(memory) == {"pour water": 10, "wipe": 1}


def test_erasing_leaves_nothing_of_the_past_in_the_file(path: Path, knowledge: ClassStatistics, world: World) -> None:
    secret = Demonstration(world.draw(OLD, 1)[0], "digest", 2.0, "film-of-somebody.npz")
    with DemonstrationStore.open(path, knowledge) as memory:
        memory.learn("secret gesture", secret)
        memory.learn("pour water", world.demonstration(OLD, "pour"))
        memory.forget("secret gesture")
        assert b"film-of-somebody" in path.read_bytes()
        assert memory.erase() == 1
        assert counts(memory) == {"pour water": 1}
        with pytest.raises(UsageError):
            memory.undo()
    content = path.read_bytes()
    assert b"film-of-somebody" not in content and b"secret gesture" not in content
    assert secret.embedding.tobytes() not in content


def test_two_programs_at_once(path: Path, knowledge: ClassStatistics, world: World) -> None:
    with DemonstrationStore.open(path, knowledge) as one, DemonstrationStore.open(path, knowledge) as other:
        one.learn("pour water", world.demonstration(OLD, "one"))
        other.learn("pour water", world.demonstration(OLD, "two"))
        assert counts(one) == counts(other) == {"pour water": 2}
        other._connection.execute("PRAGMA busy_timeout = 1")
        one._connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(EdgeskelError, match="another program"):
            other.learn("pour water", world.demonstration(OLD, "three"))
        one._connection.execute("ROLLBACK")
