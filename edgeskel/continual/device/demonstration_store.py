"""What was learned on a device, in one SQLite file.

Every change is one transaction that the disk has confirmed before the call returns, so a kill or a power cut at any
moment loses at most the demonstration in hand. Every state that ever was can be returned to: rows are not deleted but
end, at the number of the change that ended them. Every row has a checksum (``sealing``), and the last whole state a copy beside
the file (``learned.sqlite.backup``).

    about           what the file is: the model's digest and labels, and the number of the change that holds now
    change          number, what it was, when
    demonstration   embedding (and coordinates of the trajectory), digest, source, seconds, and the joints where they are kept
    hold            demonstration, label, from which change on, until which (NULL: still)

Undoing sets the number back; the next change then replaces what was undone. :meth:`DemonstrationStore.erase` makes the past go.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeskel.continual.device.demonstration import Demonstration, packed, unpacked
from edgeskel.continual.device.history import Change, Learned
from edgeskel.continual.device.learned_file import (
    check,
    check_length,
    connect,
    drop_backup,
    explained,
    keep_backup,
    make,
    remedy,
    transaction,
)
from edgeskel.continual.device.learner import DEFAULT, Learner, create
from edgeskel.embedding.statistics import ClassStatistics
from edgeskel.embedding.trajectories import MOST as MOST_COORDINATES
from edgeskel.errors import CorruptFile, InvalidClip, ModelError, UnknownChoice, UsageError

__all__ = ["MOST", "Change", "Learned", "DemonstrationStore"]

MOST = 10
"""Demonstrations of one label."""
_NOW = "since <= :now AND (until IS NULL OR until > :now)"


class DemonstrationStore:
    """An open file; close it, or use it as a context. Open it with :meth:`open`.

    Attributes:
        path: the file.
        knowledge: of the model in use; None where the file was opened without one.
        model: digest of the model's knowledge.
        model_labels: what the model recognises itself.
        width: D.
    """

    model: str
    model_labels: tuple[str, ...]
    width: int

    path: Path
    knowledge: ClassStatistics | None

    def __init__(
        self, path: Path, connection: sqlite3.Connection, knowledge: ClassStatistics | None, *, backup: bool = True
    ) -> None:
        self.path, self.knowledge = path, knowledge
        self._connection, self._backup = connection, backup

    @classmethod
    def open(cls, path: str | Path, knowledge: ClassStatistics | None = None, *, begin: bool = True,
             like: DemonstrationStore | None = None, backup: bool = True) -> DemonstrationStore:
        """Open a file, or begin one.

        Args:
            path: the file.
            knowledge: of the model in use; None reads and changes what there is without a model.
            begin: whether one is begun for that model where there is none.
            like: without a model, one is begun for that of this other file.
            backup: whether each change is copied aside.

        Raises:
            UsageError: there is none, and none is to be begun.
            CorruptFile: it is damaged, and the message names what and what to do; something else; or of a later version. It is
                left as it is.
            ModelError: it was learned on another model's embeddings.
            DataError: it cannot be read or written, or another program is writing it.
        """
        path = Path(path)
        if not path.exists():
            make(path, _beginning(path, knowledge if begin else None, like if begin else None))
        with explained(path):
            check_length(path)
            connection = connect(path)
        try:
            memory = cls(path, connection, knowledge, backup=backup)
            memory._prepare()
        except BaseException:
            connection.close()
            raise
        return memory

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def __enter__(self) -> DemonstrationStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # Changes.

    def learn(self, label: str, demonstration: Demonstration) -> None:
        """Keep one demonstration of ``label``; when this returns, it is on the disk.

        Raises:
            UsageError: no name, one that the recogniser has itself, or ten demonstrations already.
            InvalidClip: this very recording is there already, or the embedding is not the model's.
            DataError: the disk is full, and nothing has changed.
        """
        self.check_name(label)
        seen = self._seen(demonstration)
        with self._change(f"learn {label}") as now:
            here = self._labels_of(demonstration.digest, now)
            if here:
                raise InvalidClip(f"{demonstration.source or 'this recording'} is a demonstration of {here[0]!r} already",
                                expected="another performance", remedy="perform the action once more")
            count = next((one.demonstrations for one in self._learned(now) if one.label == label), 0)
            if count >= MOST:
                raise UsageError(f"{label!r} has {count} demonstrations", expected=f"at most {MOST}",
                                 remedy=f"edgeskel labels remove {label!r} to start it anew")
            self._hold(label, demonstration, seen, now)

    def forget(self, label: str) -> None:
        """End a label. Raises ``UnknownChoice`` if it was not learned."""
        with self._change(f"remove {label}") as now:
            self._check_learned(label, now)
            self._connection.execute(f"UPDATE hold SET until = :next WHERE label = :label AND {_NOW}",
                                     {"next": now + 1, "now": now, "label": label})

    def rename(self, label: str, name: str) -> None:
        """Give a learned label another name.

        Raises:
            UnknownChoice: it was not learned.
            UsageError: the name is taken, by a learned label or by the recogniser itself, or empty.
        """
        self.check_name(name)
        with self._change(f"rename {label} to {name}") as now:
            self._check_learned(label, now)
            if any(one.label == name for one in self._learned(now)):
                raise UsageError(f"{name!r} is learned already", expected="a new name",
                                 remedy=f"remove it first: edgeskel labels remove {name!r}")
            self._connection.execute("INSERT INTO hold (demonstration, label, since) SELECT demonstration, :name, :next "
                                     f"FROM hold WHERE label = :label AND {_NOW} ORDER BY rowid",
                                     {"next": now + 1, "now": now, "label": label, "name": name})
            self._connection.execute(f"UPDATE hold SET until = :next WHERE label = :label AND {_NOW}",
                                     {"next": now + 1, "now": now, "label": label})

    def take(self, what: str, demonstrations: Sequence[tuple[str, Demonstration]], instead: Sequence[str] = ()) -> None:
        """Keep many demonstrations as one change.

        Args:
            what: the change, for the history.
            demonstrations: (label, demonstration) each; none of these recordings may be here already but under a label
                of ``instead``.
            instead: digests of demonstrations that end.

        Raises:
            UsageError, InvalidClip: as :meth:`learn`.
            DataError: the disk is full, and nothing has changed.
        """
        for label, _ in demonstrations:
            self.check_name(label)
        seen = [self._seen(demonstration) for _, demonstration in demonstrations]
        with self._change(what) as now:
            self._connection.executemany(
                f"UPDATE hold SET until = :next WHERE {_NOW} AND demonstration = "
                "(SELECT id FROM demonstration WHERE digest = :digest)",
                [{"next": now + 1, "now": now, "digest": digest} for digest in instead])
            for (label, demonstration), values in zip(demonstrations, seen, strict=True):
                self._hold(label, demonstration, values, now)
            crowded = [one.label for one in self._learned(now + 1) if one.demonstrations > MOST]
            if crowded:
                raise UsageError(f"{', '.join(crowded)} would have more than {MOST} demonstrations",
                                 remedy="keep one side's: --conflict mine or theirs")

    def undo(self) -> str:
        """Return to the state before the last change; what that was. Raises ``UsageError`` at the beginning."""
        return self._move(0, -1, "undo")

    def redo(self) -> str:
        """Do again what was undone; what that was. Raises ``UsageError`` where nothing was undone."""
        return self._move(1, 1, "redo")

    def drop_joints(self) -> int:
        """Erase the joints of every demonstration for good, also in the past; of how many there were some."""
        with transaction(self.path, self._connection, backup=False):
            count = self._connection.execute("UPDATE demonstration SET joints = NULL WHERE joints IS NOT NULL").rowcount
        self._compact()
        return int(count)

    def erase(self) -> int:
        """Erase for good whatever does not belong to the present state; how many demonstrations that were."""
        with transaction(self.path, self._connection, backup=False):
            now = {"now": self.now}
            self._connection.execute(f"DELETE FROM hold WHERE NOT ({_NOW})", now)
            self._connection.execute("UPDATE hold SET since = 0, until = NULL")
            self._connection.execute("DELETE FROM change")
            count = self._drop_unheld()
            self._set_now(0)
        self._compact()
        return count

    # What holds now.

    @property
    def now(self) -> int:
        """Number of the change whose state holds."""
        return int(self._about("now"))

    def learned(self) -> list[Learned]:
        """The labels, in the order in which they were learned."""
        with explained(self.path):
            return self._learned(self.now)

    def history(self) -> list[Change]:
        """All changes, the oldest first, and those that were undone behind them."""
        with explained(self.path):
            now = self.now
            rows = self._connection.execute("SELECT number, what, time FROM change ORDER BY number").fetchall()
        return [Change(number, what, when, number > now) for number, what, when in rows]

    def demonstrations(self) -> Iterator[tuple[str, Demonstration]]:
        """(label, demonstration), in the order in which they were learned.

        Raises:
            CorruptFile: an embedding is not what was stored.
        """
        with explained(self.path):
            rows = self._connection.execute(
                "SELECT label, digest, embedding, checksum, seconds, source, joints FROM hold JOIN demonstration "
                f"ON id = demonstration WHERE {_NOW} ORDER BY hold.rowid", {"now": self.now}).fetchall()
        for label, digest, embedding, checksum, seconds, source, joints in rows:
            if (not isinstance(embedding, bytes) or hashlib.sha256(embedding).hexdigest() != checksum
                    or len(embedding) % 4 or len(embedding) // 4 not in self._widths()):
                raise CorruptFile(self.path, f"a demonstration of {label!r} is not what was stored",
                                  expected="an embedding with its own checksum", remedy=remedy(self.path))
            clip = None if joints is None else unpacked(joints, label, source or digest[:12])
            yield label, Demonstration(np.frombuffer(embedding, "<f4").copy(), digest, seconds, source, clip)

    def learner(self, name: str = DEFAULT) -> Learner:
        """A learner that has learned all of it, in order; the file must have been opened with the model's knowledge.

        Raises:
            UnknownChoice: no such learner.
            CorruptFile: as :meth:`demonstrations`.
        """
        assert self.knowledge is not None
        learner = create(name, self.knowledge)
        for label, demonstration in self.demonstrations():
            learner.learn(demonstration.embedding, label)
        return learner

    def check_name(self, label: str) -> None:
        """Refuse a name that no learned action can have. Raises ``UsageError``: it is empty, or the model's own."""
        if not label.strip() or label != label.strip() or any(ord(letter) < 32 for letter in label):
            raise UsageError(f"the name {label!r}", expected="some letters, without blanks around them")
        if label in self.model_labels:
            raise UsageError(f"the recogniser knows {label!r} itself", expected="the name of a new action",
                             remedy=f"choose another, such as {'my ' + label!r}")

    # Inside.

    def _prepare(self) -> None:
        with explained(self.path):
            self._connection.execute("BEGIN")  # all of it is of one moment, whoever writes meanwhile
            try:
                check(self.path, self._connection)
                self.model, self.width = self._about("model"), int(self._about("width"))
                self.model_labels = tuple(map(str, json.loads(self._about("model_labels"))))
                if self.width < 1 or self.now < 0:
                    raise ValueError(f"width {self.width}, change {self.now}")
            except (ValueError, TypeError, RecursionError) as error:
                raise CorruptFile(self.path, f"what it says of its model is unreadable ({error})",
                                  expected="learned actions", remedy=remedy(self.path)) from error
            finally:
                self._connection.execute("ROLLBACK")
        if self.knowledge is not None and self.model != self.knowledge.digest:
            raise ModelError(f"{self.path} was learned on another model ({self.model[:12]})",
                             expected=f"the model in use ({self.knowledge.digest[:12]})",
                             remedy=f"where its joints were kept: edgeskel labels import {self.path} --learned NEW_FILE")

    @contextmanager
    def _change(self, what: str) -> Iterator[int]:
        """A transaction that makes change number ``now + 1``; yields ``now``."""
        with transaction(self.path, self._connection, backup=self._backup):
            now = self.now
            values = {"now": now}
            self._connection.execute("DELETE FROM hold WHERE since > :now", values)  # what was undone is replaced
            self._connection.execute("UPDATE hold SET until = NULL WHERE until > :now", values)
            self._connection.execute("DELETE FROM change WHERE number > :now", values)
            self._drop_unheld()
            yield now
            self._connection.execute("INSERT INTO change VALUES (?, ?, ?)", (now + 1, what, time.time()))
            self._set_now(now + 1)

    def _seen(self, demonstration: Demonstration) -> bytes:
        """What is stored of an embedding and a trajectory. Raises ``InvalidClip``: they are not the model's."""
        values = demonstration.embedding
        if self.knowledge is not None and values.shape == (self.width,):
            values = self.knowledge.seen(values, demonstration.trajectory)
        if values.ndim != 1 or len(values) not in self._widths() or not np.isfinite(values).all():
            raise InvalidClip(f"an embedding of shape {values.shape}",
                              expected=f"{self.width} finite values, as this model gives them")
        return np.ascontiguousarray(values, "<f4").tobytes()

    def _widths(self) -> Container[int]:
        """How many values a demonstration may have: with the coordinates of its trajectory, or without."""
        if self.knowledge is None:
            return range(self.width, self.width + MOST_COORDINATES + 1)
        more = self.knowledge.trajectories
        return (self.width,) if more is None else (self.width, self.width + more.width)

    def _hold(self, label: str, demonstration: Demonstration, embedding: bytes, now: int) -> None:
        joints = None if demonstration.clip is None else packed(demonstration.clip)
        self._connection.execute(
            "INSERT INTO demonstration (digest, embedding, checksum, seconds, source, joints) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (digest) DO UPDATE SET joints = coalesce(joints, excluded.joints)",
            (demonstration.digest, embedding, hashlib.sha256(embedding).hexdigest(), demonstration.seconds,
             demonstration.source, joints))
        self._connection.execute("INSERT INTO hold (demonstration, label, since) SELECT id, ?, ? FROM demonstration "
                                 "WHERE digest = ?", (label, now + 1, demonstration.digest))

    def _move(self, ahead: int, step: int, verb: str) -> str:
        with transaction(self.path, self._connection, backup=self._backup):
            now = self.now
            found = self._connection.execute("SELECT what FROM change WHERE number = ?", (now + ahead,)).fetchone()
            if found is None:
                raise UsageError(f"nothing to {verb} in {self.path}")
            self._set_now(now + step)
        return str(found[0])

    def _learned(self, now: int) -> list[Learned]:
        rows = self._connection.execute(
            "SELECT label, count(*), count(joints) FROM hold JOIN demonstration ON id = demonstration "
            f"WHERE {_NOW} GROUP BY label ORDER BY min(hold.rowid)", {"now": now}).fetchall()
        return [Learned(*row) for row in rows]

    def _labels_of(self, digest: str, now: int) -> list[str]:
        rows = self._connection.execute("SELECT label FROM hold JOIN demonstration ON id = demonstration "
                                        f"WHERE digest = :digest AND {_NOW}", {"digest": digest, "now": now})
        return [row[0] for row in rows]

    def _drop_unheld(self) -> int:
        return self._connection.execute(
            "DELETE FROM demonstration WHERE id NOT IN (SELECT demonstration FROM hold)").rowcount

    def _compact(self) -> None:
        """What was erased is gone from the file and from its copy."""
        with explained(self.path):
            self._connection.execute("VACUUM")
        drop_backup(self.path)
        if self._backup:
            keep_backup(self.path, self._connection)

    def _about(self, key: str) -> str:
        found = self._connection.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise CorruptFile(self.path, f"{key} is missing in it", expected="learned actions", remedy=remedy(self.path))
        return str(found[0])

    def _set_now(self, number: int) -> None:
        self._connection.execute("UPDATE about SET value = ? WHERE key = 'now'", (str(number),))

    def _check_learned(self, label: str, now: int) -> None:
        learned = [one.label for one in self._learned(now)]
        if label not in learned:
            raise UnknownChoice("learned label", label, learned)


def _beginning(path: Path, knowledge: ClassStatistics | None, like: DemonstrationStore | None) -> dict[str, str]:
    """What a new file is about."""
    if knowledge is not None:
        model, labels, width = knowledge.digest, knowledge.labels, knowledge.width
    elif like is not None:
        model, labels, width = like.model, like.model_labels, like.width
    else:
        raise UsageError(f"no learned actions in {path}", remedy='learn one: edgeskel learn "NAME" --from SOURCE')
    return {"model": model, "model_labels": json.dumps(labels), "width": str(width), "now": "0"}
