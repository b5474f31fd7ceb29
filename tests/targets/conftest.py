"""Devices to flash: a booted box, and a folder of this machine; a small bundle that runs on both."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeskel.cli.main import main
from edgeskel.runtime.bundle import Bundle
from targets.device import trust
from targets.device.layout import Install, Layout
from targets.flash import packing, signing
from tests.targets.box import Box, missing
from tests.targets.waiting import until

if sys.platform != "linux":
    collect_ignore_glob = ["test_*"]


@pytest.fixture(scope="session")
def live_bundle(once: Callable[..., Path]) -> Path:
    """The shipped causal model for the host's ONNX Runtime: with a step form, and what it is certain of."""

    def make(out: Path) -> None:
        import targets
        from export import export_bundle

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", "1767225600")  # 2026-01-01, as the small one
            export_bundle("edge-utd-mhad-live", out, replace(targets.get("host"), artifacts=("onnx-fp32",)))

    return once("live-bundle", make)


@pytest.fixture(scope="session")
def key_path(once: Callable[..., Path]) -> Path:
    """A private key that signs releases."""
    return once("keys", lambda out: signing.create(out / "release_key")) / "release_key"


@pytest.fixture(scope="session")
def other_key_path(once: Callable[..., Path]) -> Path:
    """The key of somebody else."""
    return once("other-keys", lambda out: signing.create(out / "release_key")) / "release_key"


@pytest.fixture(scope="session")
def key(key_path: Path) -> signing.Key:
    """The key that signs."""
    return signing.load(key_path)


@pytest.fixture(scope="session")
def made(host_bundle: Path, key: signing.Key, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed release of the small bundle, without an engine."""
    out = tmp_path_factory.mktemp("made") / "release"
    packing.pack(Bundle.open(host_bundle), out, key, packing.ReleaseSettings())
    return out


@pytest.fixture
def layout(tmp_path: Path, key: signing.Key) -> Layout:
    """A prefix in a folder, which trusts the key."""
    place = Layout(tmp_path / "prefix")
    place.prefix.mkdir()
    place.write_install(Install("none", "", str(tmp_path / "run"), sys.executable))
    trust.add(place.signers, key.public)
    return place


@pytest.fixture(scope="module")
def bare_box() -> Iterator[Box]:
    """A booted system without an engine."""
    if why := missing():  # CI installs the tools, and may still not be root
        (pytest.fail if os.environ.get("CI") == "true" and os.geteuid() == 0 else pytest.skip)(why)
    with ExitStack() as stack:
        try:
            box = stack.enter_context(Box())
        except (subprocess.CalledProcessError, TimeoutError) as error:  # an overlay in a container, say
            pytest.skip(
                f"no system can be booted on this machine ({error}); run the tests as root of a virtual machine"
            )
        yield box


@pytest.fixture(scope="module")
def box(bare_box: Box) -> Box:
    """The same, with ONNX Runtime among its system packages, so that releases stay small."""
    from targets.flash import wheels

    wheel = wheels.fetch(wheels.ENGINE, "3.11", platform.machine())
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(bare_box.root / "usr/local/lib/python3.11/dist-packages")
    return bare_box


@pytest.fixture
def edgeskel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """``edgeskel(verb, ...)``: the object that ``--json`` prints; the error's fields under "error".

    In this process: an interpreter for each call would take longer than what most calls do.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*words: object, status: int | None = 0) -> dict[str, Any]:
        with redirect_stdout(io.StringIO()) as printed:
            ended = main([*map(str, words), "--json"])
        assert status is None or ended == status, printed.getvalue()
        answer: dict[str, Any] = json.loads(printed.getvalue())
        return answer

    return run


@pytest.fixture
def flash(
    edgeskel: Callable[..., dict[str, Any]], box: Box, host_bundle: Path, key_path: Path
) -> Callable[..., dict[str, Any]]:
    """``flash(*options)``: the small bundle onto the box."""

    def run(
        *options: object, host: str = "box", bundle: Path = host_bundle, status: int | None = 0, watch: float = 2
    ) -> dict[str, Any]:
        return edgeskel(
            "flash",
            host,
            bundle,
            "--ssh-config",
            box.ssh_config,
            "--key",
            key_path,
            "--watch",
            watch,
            *options,
            status=status,
        )

    return run


@pytest.fixture
def ask(edgeskel: Callable[..., dict[str, Any]], box: Box) -> Callable[..., dict[str, Any]]:
    """``ask(verb, *options)``: a verb about the box."""
    return lambda verb, *options, host="box", status=0: edgeskel(
        "flash", verb, host, "--ssh-config", box.ssh_config, *options, status=status
    )


@pytest.fixture
def good(flash: Callable[..., dict[str, Any]], ask: Callable[..., dict[str, Any]]) -> str:
    """The release that runs before a fault; flashed where none runs."""
    found = ask("status", status=None)
    if found.get("phase") == "good" and found["running"] and found["whole"][found["running"]] is True:
        return str(found["running"])
    return str(flash()["release"])


def settled(ask: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The box's status once no trial is going on and its service answers."""
    return until(lambda: ask("status", status=None), lambda found: found.get("trial", 1) is None and found["running"] is not None)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "edgeskel.cli.main", *map(str, words), "--json"]
