"""Whatever happens in whatever order, a device has a release to run that was good, or one on trial."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.errors import DeviceError
from targets.device.state import EMPTY, State

EVENTS = st.lists(
    st.tuples(st.sampled_from(["begin", "succeed", "fail", "give back", "fall back", "started"]), st.sampled_from("abcd")),
    max_size=30,
)


def apply(state: State, event: str, release: str) -> State:
    if event == "begin":
        if state.trial is not None and state.trial.failed:  # a return is brought to its end first
            state = state.complete_rollback("now")
        return state.begin(release, 60.0, "flashed", "now")
    if event == "succeed":
        return state.succeed({"created": "", "program": "1"}, "watched", "now")
    if event == "fail":
        return state.fail("it crashed")
    if event == "give back":
        return state.complete_rollback("now")
    if event == "started":
        return state.started()
    return state.fall_back("a byte", "now") if state.fallback is not None else state  # the guard asks only then


@given(EVENTS)
def test_what_runs_was_good_or_is_on_trial(events: list[tuple[str, str]]) -> None:
    state, good = EMPTY, set()
    for event, release in events:
        before = state
        state = apply(state, event, release)
        if event == "succeed" and before.trial is not None and not before.trial.failed:
            good.add(before.current)
        assert (state.phase == "trial") == (state.trial is not None)
        assert state.phase != "empty" or state.current is None
        if state.phase == "good":
            assert state.current in good
        if state.trial is not None:
            assert state.trial.return_to is None or state.trial.return_to in good
            assert state.trial.return_to != state.trial.release
            assert state.current == (state.trial.return_to if state.trial.failed else state.trial.release)
        assert state.previous != state.current or state.current is None or state.trial is not None
        assert {name for name in (state.current, state.previous, state.fallback) if name} <= state.retained
        assert State.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_trial_that_is_given_up_for_another_returns_to_what_was_good() -> None:
    state = EMPTY.begin("a", 60, "", "").succeed({}, "", "").begin("b", 60, "", "").begin("c", 60, "", "")
    assert state.fail("crashed").complete_rollback("").current == "a"


def test_watching_again_is_counted() -> None:
    state = EMPTY.begin("a", 60, "", "").begin("a", 60, "", "")
    assert (
        state.trial is not None
        and state.trial.watches == 2
        and state.last is not None
        and state.last.name == "watched again"
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["schema", "phase", "current", "previous", "trial", "last", "newest", "x"]),
                inner,
                max_size=7,
            )
        ),
        max_leaves=10,
    )
)
def test_a_damaged_state_is_named(content: object) -> None:
    if not isinstance(content, dict):
        return
    try:
        State.from_json(content)
    except DeviceError as error:
        assert "state.json" in error.seen


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(DeviceError, match="schema 9"):
        State.from_json({**EMPTY.to_json(), "schema": 9})
