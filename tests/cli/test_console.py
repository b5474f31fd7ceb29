"""What is printed is what is meant: no letter of it is replaced, cut or folded, on terminals and in pipes."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel.cli.devices.scan import _draw as draw_scan
from edgeskel.cli.main import main
from edgeskel.console import Progress, new_table, open_console
from firmware_bridge.scanning import OnAir, OnWire, Scan

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "ble:D4:22:CD:00:AB:01?protocol=dot"
LABELS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Mn", "Me", "Cf"]), min_size=1)


def terminal(width: int = 80) -> tuple[Any, io.StringIO]:
    paper = io.StringIO()
    return open_console(file=paper, force_terminal=True, width=width, color_system=None), paper


def on_terminal(*words: str, **environment: str) -> str:
    """What a command prints on a terminal of 80 columns, escapes included."""
    ours, theirs = pty.openpty()
    settings = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    if "NO_COLOR" not in environment:
        settings.pop("NO_COLOR", None)
    program = subprocess.Popen([sys.executable, "-m", "edgeskel", *words], stdin=theirs, stdout=theirs, stderr=theirs,
                               env=settings, cwd=ROOT)
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so at the end of a pseudo-terminal
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    program.wait()
    return text.decode().replace("\r\n", "\n")


def piped(*words: str) -> str:
    settings = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    done = subprocess.run([sys.executable, "-m", "edgeskel", *words], capture_output=True, text=True, env=settings, cwd=ROOT,
                          check=False)
    return done.stdout + done.stderr


def test_an_address_is_printed_as_it_is(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Its ``:CD:`` and ``:AB:`` are the names of emoji."""
    words = ("devices", "enrol", "ble:D4:22:CD:00:AB:01", "--enrolled", str(tmp_path / "list.toml"))
    assert main([*words]) == 0
    captured = capfd.readouterr()
    assert "ble:D4:22:CD:00:AB:01" in captured.out and "ble:D4:22:CD:00:AB:01 is enrolled" in captured.err
    assert main(["devices", "enrol", ADDRESS.replace("dot", "nonesuch")]) == 2
    assert "nonesuch" in capfd.readouterr().err


@given(LABELS)
def test_no_text_is_markup(label: str) -> None:
    for text in (label, f"[red]{label}[/red]", f":cd:{label}:"):
        console, paper = terminal(width=10_000)
        console.print(text, soft_wrap=True)
        table = new_table("[bold]label", ":cd:")
        table.add_row(text, "1")
        console.print(table)
        line, heading, row = paper.getvalue().splitlines()
        assert line == text and row.startswith(text) and heading.split() == ["[bold]label", ":cd:"]


@given(st.lists(st.lists(st.text("abcdefgh", min_size=1, max_size=70), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_table_on_80_columns_loses_no_letter(rows: list[list[str]]) -> None:
    console, paper = terminal()
    table = new_table("A", "B", "C")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    assert max(map(len, paper.getvalue().splitlines())) <= 80
    assert sorted(re.findall("[a-h]", paper.getvalue())) == sorted("".join(map("".join, rows)))


def test_without_a_terminal_nothing_is_folded() -> None:
    paper = io.StringIO()
    console = open_console(file=paper)
    long = " ".join(["word"] * 400)
    table = new_table("A", "B")
    table.add_row(long, "end")
    console.print(long)
    console.print(table)
    console.rule("heading")
    assert [line.rstrip() for line in paper.getvalue().splitlines()] == [
        long, "A" + " " * (len(long) + 1) + "B", f"{long}  end", "heading"]


def test_a_scan_shows_whole_addresses_on_80_columns() -> None:
    long = "serial:/dev/serial/by-id/usb-Espressif_USB_JTAG_serial_debug_unit_F4:12:FA:CD:00:01-if00?protocol=node"
    found = Scan([OnWire(long, "a board", "serial:F4:12:FA:CD:00:01", "node")],
                 [OnAir(ADDRESS, "Movella DOT", "ble:D4:22:CD:00:AB:01", "dot", -60)])
    console, paper = terminal()
    draw_scan(console, found)
    assert {long, ADDRESS} <= set(paper.getvalue().splitlines())
    assert "  ble:D4:22:CD:00:AB:01, Movella DOT, dot, -60 dBm, not enrolled" in paper.getvalue().splitlines()


@pytest.mark.parametrize("words", [("doctor",), ("models",), ("targets",)])
def test_tables_fit_80_columns_and_hold_what_a_pipe_gets(words: tuple[str, ...]) -> None:
    on_screen = on_terminal(*words, NO_COLOR="1")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", on_screen)
    assert all(len(line) <= 80 or "pip install" in line for line in plain.splitlines())  # which is to be copied whole
    assert sorted("".join(plain.split())) == sorted("".join(piped(*words).split()))


def test_a_public_key_is_one_line_in_a_pipe_and_on_a_terminal(tmp_path: Path) -> None:
    key = tmp_path / "a folder with a rather long name, so that lines are long" / "release"
    assert main(["keys", "create", str(key), "--quiet"]) == 0
    public = Path(f"{key}.pub").read_text().strip()
    assert public in piped("keys", "show", str(key)) and len(public) > 80
    assert public in on_terminal("keys", "show", str(key))


@pytest.mark.parametrize("words", [("run", "--help"), ("run", "--nonesuch"), ("nonesuch",), ("doctor",)])
def test_no_color_is_obeyed(words: tuple[str, ...]) -> None:
    colour = r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;\d+)*m"
    assert not re.search(colour, on_terminal(*words, NO_COLOR="1"))
    assert "\x1b" not in piped(*words)
    if words[-1] in ("--help", "--nonesuch"):
        assert "\x1b" in on_terminal(*words)
        assert "\x1b" not in on_terminal(*words, NO_COLOR="1")


def test_positional_arguments_are_named_in_help(capfd: pytest.CaptureFixture[str]) -> None:
    for words, name in ((("run",), "SOURCE"), (("data", "import"), "DATASET PATH"), (("devices", "record"), "ADDRESS"),
                        (("flash",), "HOST BUNDLE")):
        assert main([*words, "--help"]) == 0
        assert name in capfd.readouterr().out.partition("\n")[0]


def test_a_line_of_progress_comes_again_and_again_without_a_terminal() -> None:
    twice = threading.Event()

    class Lines(io.StringIO):
        def write(self, text: str) -> int:
            written = super().write(text)
            if self.getvalue().count("\n") >= 2:
                twice.set()
            return written

    paper = Lines()
    with Progress(open_console(file=paper), line_s=0.01) as progress:
        task = progress.add_task("measuring [a:cd:b]", total=100)
        progress.advance(task, 30)
        assert twice.wait(60)
        assert progress.lines()[0].startswith("measuring [a:cd:b]: 30 of 100, 0:00:")
        progress.advance(task, 70)
        assert progress.lines() == []
    assert paper.getvalue().startswith("measuring [a:cd:b]: ") and "\x1b" not in paper.getvalue()


def test_a_quiet_console_shows_no_progress() -> None:
    paper = io.StringIO()
    console = open_console(file=paper)
    console.quiet = True
    with Progress(console, line_s=0.001) as progress:
        progress.advance(progress.add_task("measuring", total=2))
    assert paper.getvalue() == ""


def test_every_console_is_made_in_one_place() -> None:
    """A console made elsewhere would turn ``:CD:`` into a disc again."""
    for package in ("edgeskel", "export", "firmware_bridge", "targets"):
        for file in (ROOT / package).rglob("*.py"):
            if file != ROOT / "edgeskel" / "console.py":
                found = re.findall(r"\bConsole\(|\bTable\((?!\.)|rich\.progress|from_markup", file.read_text("utf-8"))
                assert not found, f"{file}: {found}"
