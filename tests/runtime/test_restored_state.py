"""A saved state that is whole and says something impossible is refused at the door, and never fails later."""

from __future__ import annotations

import copy
import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeskel.errors import CorruptFile, UsageError
from edgeskel.runtime.snapshot import pack, unpack
from edgeskel.skeleton import Frame
from tests.runtime.test_live import MOVES, pair, play, session, shifted

TWO = [Frame(a.time, np.concatenate(pair(a, b, 0)), np.concatenate([a.confidence, b.confidence]))
       for a, b in zip(MOVES, shifted(MOVES, 0.0, metres=2.0), strict=True)]
STRANGE: list[Any] = [
    None, True, -1, 7, 1 << 70, -0.5, 1e300, -1e300, 1.7e18, float("nan"), float("inf"), "x", "", [], (), {}, [None], (1.0,),
    {"a": 1}, np.zeros(3, np.float32), np.zeros((0, 20, 3), np.float32), np.full((1, 20, 3), np.nan, np.float32),
    np.zeros((1, 19, 3), np.float32), np.array("text"), np.array(1 + 2j),
    Frame(1.0, np.zeros((1, 20, 3), np.float32), np.full((1, 20), 2.0, np.float32)),
    Frame(float("nan"), np.zeros((1, 20, 3), np.float32), np.ones((1, 20), np.float32)),
]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Path of every value inside, containers too."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with ``new`` at ``path``."""
    if not path:
        return copy.deepcopy(new)
    key, *rest = path
    if isinstance(value, dict):
        return {name: changed(item, tuple(rest), new) if name == key else item for name, item in value.items()}
    return type(value)(changed(item, tuple(rest), new) if index == key else item for index, item in enumerate(value))


def saved(mode: str, at: int) -> Any:
    live = session(mode)
    for frame in TWO[:at]:
        live.step(frame)
    return unpack(live.save())


STATES = {(mode, at): saved(mode, at) for mode in ("streaming", "sliding-window") for at in (1, 50, 75)}


@pytest.mark.parametrize("mode", ["streaming", "sliding-window"])
@given(data=st.data())
@settings(max_examples=250)
def test_a_crafted_state_is_refused_or_harmless(mode: str, data: st.DataObject) -> None:
    state = STATES[mode, data.draw(st.sampled_from([1, 50, 75]))]
    path = data.draw(st.sampled_from(list(leaves(state))))
    new = data.draw(st.sampled_from(STRANGE))
    live = session(mode)
    before = live.save()
    try:
        live.restore(pack(changed(state, path, new)))
    except (CorruptFile, UsageError):
        assert live.save() == before
        return
    for frame in TWO[76:86]:
        live.step(frame)
    live.finish()
    live.restore(live.save())


@pytest.mark.parametrize("mode", ["streaming", "sliding-window"])
@pytest.mark.parametrize(("path", "new"), [
    (("live", "all", "now"), 1.7e9), (("live", "all", "arrivals", "last"), 1e10), (("live", "all", "tracks", "next"), 0),
    (("live", "persons", 0, "resampler", "_count"), 10), (("live", "persons", 0, "resampler", "_start"), -1e6),
    (("live", "persons", 0, "resampler", "_start"), -0.9),
    (("live", "persons", 0, "segmenter", "_frames"), []), (("live", "persons", 0, "segmenter", "_began"), 900.0),
    (("live", "persons", 0, "naming", "_leader"), 3), (("live", "persons", 0, "naming", "label"), "juggle"),
    (("live", "persons"), {5: {}}), (("live", "persons", 0), {}), (("live",), None), (("session", "labels"), np.zeros(3)),
])
def test_fields_that_contradict_each_other_are_refused(mode: str, path: tuple[Any, ...], new: Any) -> None:
    with pytest.raises((CorruptFile, UsageError), match="state"):
        session(mode).restore(pack(changed(STATES[mode, 75], path, new)))


def test_the_message_names_the_field_and_what_it_should_be() -> None:
    with pytest.raises(CorruptFile, match=r"person 1\.naming\._agreed is str 'twice'.*a whole number"):
        session().restore(pack(changed(STATES["streaming", 75], ("live", "persons", 1, "naming", "_agreed"), "twice")))


def test_a_state_that_unpacks_to_more_than_any_session_is_refused_unread() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file, file.open("text.npy", "w") as entry:
        for _ in range(300):
            entry.write(bytes(1 << 20))
    with pytest.raises(CorruptFile, match="when unpacked"):
        session().restore(content.getvalue())


@pytest.mark.parametrize("at", [1, 50, 75, 130])
def test_two_persons_go_on_as_if_nothing_had_been(at: int) -> None:
    live = session()
    for frame in TWO[:at]:
        live.step(frame)
    again = session()
    again.restore(live.save())
    assert play(again, TWO[at:]) == play(live, TWO[at:])
