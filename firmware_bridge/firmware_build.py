"""Builds the reference firmware in ``firmware_bridge/firmware`` for a board, and its portable part for the host."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeskel.errors import EdgeskelError, UnknownChoice, UsageError
from edgeskel.files import atomic_write

__all__ = ["BOARDS", "Board", "Firmware", "build", "build_host_library", "need"]

SOURCES = Path(__file__).parent / "firmware"
CROSS = "arm-none-eabi-"
HIGHEST_RATE_HZ = 1000
MOST_SENSORS = 64


@dataclass(frozen=True)
class Board:
    """A board that the firmware is built for.

    Args:
        name: folder under ``firmware/boards``; QEMU's name of the machine is the same.
        boot_number_at: address of the byte that tells one start from another.
    """

    name: str
    boot_number_at: int


BOARDS = {
    board.name: board for board in (Board("lm3s6965evb", 0x2000FFF8), Board("mps2-an385", 0x203FFFF8))
}


@dataclass(frozen=True)
class Firmware:
    """A built program: its file and the bytes that it takes of flash and of RAM (without the stack)."""

    board: Board
    path: Path
    flash: int
    ram: int


def build(
    board: str, out: Path, *, sensors: int = 1, rate_hz: int = 100, identity: str | None = None,
    flags: Sequence[str] = (),
) -> Firmware:  # fmt: skip
    """Build the firmware as ``out/node-BOARD.elf``.

    Args:
        board: one of :data:`BOARDS`.
        out: folder; made if it is not there.
        sensors: sensors of the node, 1 to 64.
        rate_hz: instants per second before the host says otherwise, 1 to 1000.
        identity: the node's serial number; by default ``qemu-BOARD``.
        flags: further variables for ``make``.

    Raises:
        UnknownChoice: no such board.
        UsageError: a number out of range, or a tool is not installed; the message names the Debian package.
        EdgeskelError: the compiler failed; the message is what it said.
    """
    if board not in BOARDS:
        raise UnknownChoice("board", board, BOARDS)
    for name, value, most in (("sensors", sensors, MOST_SENSORS), ("rate", rate_hz, HIGHEST_RATE_HZ)):
        if not 1 <= value <= most:
            raise UsageError(f"{value} as the {name}", expected=f"1 to {most}")
    if identity is not None and not (identity.isascii() and identity.replace("-", "").isalnum() and len(identity) < 33):
        raise UsageError(f"{identity!r} as the identity", expected="at most 32 letters, digits and hyphens")
    compiler = need(f"{CROSS}gcc", "gcc-arm-none-eabi", "building the firmware")
    if _run([compiler, "--print-file-name=nano.specs"]) == "nano.specs":
        raise UsageError("newlib for ARM is not installed, which the firmware needs",
                         remedy="run: apt-get install --no-install-recommends libnewlib-arm-none-eabi")
    with TemporaryDirectory() as folder:
        variables = [f"BOARD={board}", f"SENSORS={sensors}", f"RATE={rate_hz}", f"CROSS={CROSS}", *flags]
        _make([*variables, *([f"IDENTITY={identity}"] if identity else [])], folder)
        built = Path(folder) / f"node-{board}.elf"
        text, data, bss = map(int, _run([f"{CROSS}size", str(built)]).splitlines()[1].split()[:3])
        path = out / built.name
        with atomic_write(path) as file:
            file.write(built.read_bytes())
    return Firmware(BOARDS[board], path, text + data, data + bss)


def build_host_library(out: Path, flags: Sequence[str] = ()) -> Path:
    """Build encoder and commands as a shared library for this machine, so that Python can call them.

    Raises:
        UsageError: a tool is not installed; the message names the Debian package.
        EdgeskelError: the compiler failed.
    """
    need("cc", "gcc", "building for this machine")
    _make(["host", *flags], str(out))
    return out / "libnode.so"


def need(tool: str, package: str, purpose: str) -> str:
    """Where ``tool`` is.

    Raises:
        UsageError: it is not installed.
    """
    path = shutil.which(tool)
    if path is None:
        raise UsageError(f"{purpose} needs {tool}, which is not installed",
                         remedy=f"run: apt-get install --no-install-recommends {package}")
    return path


def _make(arguments: Sequence[str], out: str) -> None:
    make = need("make", "make", "building the firmware")
    _run([make, "--silent", "-C", str(SOURCES), f"OUT={out}", *arguments])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgeskelError(f"{Path(command[0]).name} failed with status {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout.strip()
