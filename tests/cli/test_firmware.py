"""``edgeskel firmware`` from the outside."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeskel.cli.main import main
from tests.firmware_bridge.test_serial import WAIT_S, Host


@pytest.fixture
def tools() -> None:
    packages = {"arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi", "qemu-system-arm": "qemu-system-arm"}
    absent = [package for tool, package in packages.items() if shutil.which(tool) is None]
    if absent:
        message = f"apt-get install --no-install-recommends {' '.join(absent)}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main(["firmware", *words, "--json"])
    return status, json.loads(capfd.readouterr().out)


def test_build_says_where_and_how_big(tools: None, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, data = run(capfd, "build", "--board", "mps2-an385", "--out", str(tmp_path / "made"), "--sensors", "6")
    assert status == 0
    assert Path(data["path"]).read_bytes()[:4] == b"\x7fELF"
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["node-mps2-an385.elf"]
    assert data["flash"] > 4096 and data["sensors"] == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("build", "--board", "uno"), "lm3s6965evb, mps2-an385"),
        (("build", "--sensors", "65"), "1 to 64"),
        (("build", "--rate", "0"), "1 to 1000"),
        (("simulate", "--seconds", "-1"), "a positive number"),
    ],
)
def test_wrong_usage(
    tools: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    words: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    status, data = run(capfd, *words)
    assert status == 2 and said in data["error"]["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("verb", "package"), [("build", "gcc-arm-none-eabi"), ("simulate", "qemu-system-arm")])
def test_a_missing_tool_names_its_package(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: str, package: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    status, data = run(capfd, verb)
    assert status == 2
    assert data["error"]["remedy"] == f"run: apt-get install --no-install-recommends {package}"


def simulate(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgeskel.cli.main", "firmware", "simulate", *words]
    # A shell that starts it in the background would have it ignore interrupts; a terminal does not.
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))  # fmt: skip


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_simulate_prints_an_address_that_can_be_opened_and_stays(tools: None, ending: signal.Signals) -> None:
    program = simulate("--sensors", "3", "--rate", "200", "--json")
    assert program.stdout is not None
    try:
        data = json.loads(program.stdout.readline())

        async def test() -> None:
            async with Host(data["address"]) as host:
                await host.until(lambda: len(host.readings) > 300)
                assert {reading.sensor for reading in host.readings} == {"0", "1", "2"}
                times = [r.device_us for r in host.readings if r.sensor == "2"]
                assert times[-1] - times[-2] == 5_000  # type: ignore[operator]
                assert host.codec.counts.bad == 0

        asyncio.run(test())
    finally:
        program.send_signal(ending)
        out, _ = program.communicate(timeout=WAIT_S)
    assert out == ""
    assert program.returncode == (0 if ending == signal.SIGINT else 143)
    assert not Path(data["port"]).parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(data["pid"], 0)


def test_simulate_ends_by_itself(tools: None) -> None:
    program = simulate("--seconds", "0.2", "--board", "mps2-an385")
    out, log = program.communicate(timeout=WAIT_S)
    assert program.returncode == 0
    assert out.startswith("serial:/") and out.count("\n") == 1
    assert "stopped after" in log
