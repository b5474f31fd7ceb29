"""What the service's user, or a release, leaves where root and the workstation read: nothing hangs, lies or steers a terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeskel.errors import DeviceError
from edgeskel.printable import printable, printable_all
from targets.device import report, service, status, steps, untrusted_program
from targets.device.layout import Install, Layout
from targets.device.release import Release
from targets.device.state import EMPTY, State
from targets.flash.remote import Connection
from tests.targets.waiting import LIMIT_S, until

WHOLE: dict[str, Any] = {
    "release": "small-0", "beat": 5.0, "frames": 5, "moving": 5, "recognitions": 5, "source": "golden:", "source_says": "open",
    "rss_mb": 80.0, "pid": 7, "uptime_s": 3.0, "refused": {"nobody": 2}, "latency_ms": {"p50": 1.0, "p95": 2.0}, "actions": 1,
}


@pytest.fixture
def install(tmp_path: Path) -> Install:
    (tmp_path / "run").mkdir()
    return Install("system", "", str(tmp_path / "run"), sys.executable)


def write(install: Install, content: object) -> None:
    (Path(install.run) / "health.json").write_text(json.dumps(content))


def test_a_health_file_is_read_as_it_is(install: Install) -> None:
    write(install, WHOLE)
    said = status.health(install)
    assert said is not None and {key: said[key] for key in WHOLE} == WHOLE


@pytest.mark.parametrize(("way", "mode"), [("frame", "streaming"), ("window", "sliding-window")])
def test_a_service_of_an_earlier_release_is_understood(install: Install, way: str, mode: str) -> None:
    write(install, {**WHOLE, "way": way})
    said = status.health(install)
    assert said is not None and said["mode"] == mode


@pytest.mark.parametrize("kind", ["pipe", "link", "socket", "folder", "large", "deep", "no text"])
def test_something_else_in_its_place_has_said_nothing(install: Install, tmp_path: Path, kind: str) -> None:
    place = Path(install.run) / "health.json"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        (tmp_path / "elsewhere").write_text(json.dumps(WHOLE))
        place.symlink_to(tmp_path / "elsewhere")
    elif kind == "socket":
        os.mknod(place, 0o140600)
    elif kind == "folder":
        place.mkdir()
    elif kind == "large":
        with place.open("wb") as file:
            file.truncate(1 << 40)  # a terabyte, of holes
    elif kind == "deep":
        place.write_text("[" * 100_000)
    else:
        place.write_bytes(b"\xff\xfe\x00" * 9)
    assert status.health(install) is None


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_it_says_is_fit_to_be_judged_and_shown(install: Install, data: st.DataObject) -> None:
    values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.just("\x1b]0;owned\x07" * 200),
                       st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers() | st.text()))
    names = data.draw(st.lists(st.sampled_from(sorted({*WHOLE, "last_event", "artifact", "way", "strange"})), max_size=4))
    write(install, {**WHOLE, **{name: data.draw(values) for name in names}})
    said = status.health(install)
    if said is None:
        return
    assert time.clock_gettime(time.CLOCK_BOOTTIME) - said["beat"] < 1e16 and said["frames"] + said["recognitions"] >= 0
    assert f"{said['rss_mb']:.0f} {said['uptime_s']:.0f}" and all(isinstance(count, int) for count in said["refused"].values())
    assert printable_all(said) == said and len(json.dumps(said)) < 200_000


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    shown = printable(text)
    assert not any(ord(letter) < 32 and letter != "\t" or 0x7F <= ord(letter) < 0xA0 for letter in shown)
    assert not set(shown) & set("\u2028\u2029\u202e\u2066")
    shown.encode()  # no half of a character either
    if text.isprintable():
        assert shown == text


def test_names_of_every_script_stay_as_they_are() -> None:
    for text in ("Wasser gießen", "水を注ぐ", "می\u200cخواهم", "👩\u200d🔧", "a\tb"):
        assert printable(text) == text
    assert printable("\x1b[2Jdone\r\nfake\u202e") == "\\x1b[2Jdone\\r\\nfake\\u202e"


def test_journals_are_shown_without_their_control_characters(layout: Layout) -> None:
    layout.journal.write_bytes(b'{"event": "good"}\n\x1b]52;c;cm0gLXJm\x07 \xff\n')
    (layout.prefix / "service.log").write_bytes(b"\x1b[2J\x9b31m error\n")
    shown = report.journal(layout, 10)
    assert shown["journal"][1].startswith("\\x1b]52") and shown["service"] and all(
        line.isprintable() for line in (*shown["journal"], *shown["service"])
    )
    assert status.last_log_line(service.manager(layout, layout.install())).isprintable()
    layout.journal.unlink()
    os.mkfifo(layout.journal)
    assert report.journal(layout, 10)["journal"] == []


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Connection]:
    """``answering(b"...")``: a connection to a device that answers so, whatever it is asked."""

    def make(answer: bytes, errors: bytes = b"", status: int = 0) -> Connection:
        (tmp_path / "bin").mkdir(exist_ok=True)
        text = f"#!{sys.executable} -I\nimport os, sys\nos.write(1, {answer!r})\nos.write(2, {errors!r})\nsys.exit({status})\n"
        (tmp_path / "bin" / "ssh").write_text(text)
        (tmp_path / "bin" / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
        return Connection("box")

    return make


def test_the_workstation_shows_a_devices_words_escaped(answering: Callable[..., Connection]) -> None:
    said: list[str] = []
    lines = [{"say": "\x1b[1A\x1b[2Kswitch to good-1"}, {"result": {"why": "\x1b]0;x\x07", "\x9b": ["\u202e"]}}]
    text = b"banner \x1b[2J\n" + b"[" * 5000 + b"\n" + b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with answering(text) as connection:
        answer = connection.call(["status"], say=said.append)
    assert said == ["\\x1b[1A\\x1b[2Kswitch to good-1"]
    assert answer == {"why": "\\x1b]0;x\\x07", "\\x9b": ["\\u202e"]}


@pytest.mark.parametrize("answer", [b'{"error": "text"}', b'{"error": {"more": 1}}', b'{"result": 3}', b"[]", b"", b"\x1b[2J"])
def test_an_answer_of_another_form_is_an_error_of_the_device(answering: Callable[..., Connection], answer: bytes) -> None:
    with answering(answer, b"\x1b]0;owned\x07", 3) as connection, pytest.raises(DeviceError) as caught:
        connection.call(["status"])
    assert str(caught.value).isprintable()


PROGRAMS = {
    "is ended by a signal": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
    "answers with no object": ("print('{\"error\": \"text\"}')", "ended with status 0"),
    "answers with fields of its own": ("print('{\"error\": {\"seen\": 3, \"other\": 4}}')", "3"),
    "answers too deep": ("print('[' * 100000)", "ended with status 0"),
    "never stops writing": ("import sys\nwhile True: sys.stdout.write('x' * 65536)", "wrote more than 8 MB"),
    "leaves something behind": (
        "import os, time\nif os.fork() == 0: time.sleep(1000)\nraise SystemExit(3)", "ended with status 3"
    ),
    "steers a terminal": ("raise SystemExit('\\x1b]0;owned\\x07')", "\\x1b]0;owned"),
    "wants to be asked": ("input()", "EOFError"),
}


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_release_whose_program(layout: Layout, made: Path, how: str) -> None:
    text, expected = PROGRAMS[how]
    identity = Release.read(made).identity
    (layout.release(identity) / "program").mkdir(parents=True)
    (layout.release(identity) / "program" / "__main__.py").write_text(text)
    start = time.monotonic()
    with pytest.raises(DeviceError) as caught:
        steps.program(layout, identity, "prove", lambda line: None)
    assert expected in str(caught.value) and str(caught.value).isprintable() and time.monotonic() - start < LIMIT_S


def test_a_program_that_never_ends_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", "import time; time.sleep(1000)"]
    with pytest.raises(DeviceError, match="it took over"):
        untrusted_program.run(command, what="it", limit_s=0.5, cwd=str(tmp_path), env={}, owner={})


def test_a_program_has_no_terminal_and_leaves_nothing_running(tmp_path: Path) -> None:
    text = "import os, time\npid = os.fork()\nif pid == 0: time.sleep(1000)\nprint(pid, os.getsid(0) == os.getpid())"
    command = [sys.executable, "-I", "-c", text]
    ended = untrusted_program.run(command, what="it", limit_s=LIMIT_S, cwd=str(tmp_path), env={}, owner={})
    pid, leads = ended.output.split()
    assert leads == "True"  # of a session of its own
    words = Path(f"/proc/{pid}/cmdline")
    until(lambda: not words.exists() or not words.read_bytes())  # a zombie has none


STATE = State("trial", "a-1", "b-2").begin("c-3", 60.0, "flashed", "now").to_json()


@given(data=st.data())
def test_a_state_that_no_device_is_in_is_refused(data: st.DataObject) -> None:
    texts = st.sampled_from(["../../x", "/etc", "a\nb", "", "good"])
    values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
    content = json.loads(json.dumps(STATE))
    where = data.draw(st.sampled_from([content, content["trial"], content["last"]]))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(values)
    try:
        state = State.from_json(content)
    except DeviceError as error:
        assert error.seen.isprintable()
        return
    names = [state.current, state.previous, state.fallback, *(({state.trial.release}) if state.trial else ())]
    assert all(name is None or "/" not in name and not name.startswith(".") for name in names)
    assert state.trial is None or 0 < state.trial.watch_s <= 7 * 86400 and state.trial.starts >= 0
    assert State.from_json(EMPTY.to_json()) == EMPTY
