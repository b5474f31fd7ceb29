"""``edgeskel flash`` against a plain sshd of this machine: no systemd, and every bad answer of a connection."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.targets.waiting import until

Run = Callable[..., dict[str, Any]]
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass
class Loopback:
    config: Path
    home: Path
    port: int


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """An sshd whose ``python3`` is this interpreter, and whose home is a folder of its own."""
    if SSHD is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("run: apt-get install openssh-server")
    home = tmp_path_factory.mktemp("sshd")
    (home / "bin").mkdir()
    (home / "bin/python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (home / "bin/python3").chmod(0o755)
    for name in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True)
    shutil.copyfile(home / "id.pub", home / "authorized_keys")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized_keys\n"
        f"StrictModes no\nUsePAM no\n"
        f"PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv PATH={home}/bin:/usr/bin:/bin HOME={home} XDG_DATA_HOME={home}/data\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with (home / "sshd.log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(home / "sshd_config")], stdout=log, stderr=log)
    public = " ".join((home / "host.pub").read_text().split()[:2])
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    (home / "none").write_text("")
    wrong = " ".join((home / "id.pub").read_text().split()[:2])
    (home / "wrong_hosts").write_text(f"[127.0.0.1]:{port} {wrong}\n")
    (home / "config").write_text(
        "".join(
            f"Host {name}\n  HostName {address}\n  Port {port}\n  IdentityFile {home}/{identity}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {home}/{hosts}\n  StrictHostKeyChecking yes\n  ConnectTimeout 60\n"
            for name, address, identity, hosts in (
                ("here", "127.0.0.1", "id", "known_hosts"),
                ("stranger", "127.0.0.1", "host", "known_hosts"),
                ("new", "127.0.0.1", "id", "none"),
                ("changed", "127.0.0.1", "id", "wrong_hosts"),
                ("nowhere", "no-such-host.invalid", "id", "known_hosts"),
            )
        )
    )
    until(lambda: listens(port))
    yield Loopback(home / "config", home, port)
    server.terminate()
    server.wait()


@pytest.fixture
def flash(edgeskel: Run, loopback: Loopback, host_bundle: Path, key_path: Path) -> Run:
    def run(*options: object, host: str = "here", bundle: Path = host_bundle, status: int | None = 0) -> dict[str, Any]:
        return edgeskel(
            "flash",
            host,
            bundle,
            "--ssh-config",
            loopback.config,
            "--key",
            key_path,
            "--watch",
            2,
            *options,
            status=status,
        )

    return run


@pytest.mark.parametrize(
    ("host", "seen", "remedy"),
    [
        ("nowhere", "no name that this network knows", "check the name"),
        ("changed", "another host key", "ssh-keygen -R"),
        ("new", "host key is not known", "compare the fingerprint"),
        ("stranger", "does not let this user in", "try by hand"),
    ],
)
def test_what_keeps_us_out_is_named(flash: Run, host: str, seen: str, remedy: str) -> None:
    error = flash(host=host, status=1)["error"]
    assert seen in error["seen"] and remedy in error["remedy"]


def test_a_port_without_a_server(flash: Run, loopback: Loopback) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert "no SSH server does" in flash(host=f"ssh://127.0.0.1:{port}", status=1)["error"]["seen"]


def test_a_bundle_for_a_phone_is_refused_before_anything_changes(
    flash: Run, loopback: Loopback, host_bundle: Path, tmp_path: Path
) -> None:
    from export.bundle import write_manifest

    for target, seen in (("android", "made for android"), ("jetson", "made for jetson")):
        other = Path(shutil.copytree(host_bundle, tmp_path / target))
        manifest = json.loads((other / "manifest.json").read_text("utf-8"))
        manifest["target"] = target
        write_manifest(other, manifest)
        assert seen in flash("--scope", "none", bundle=other, status=1)["error"]["seen"]
    assert not (loopback.home / "data").exists()


@pytest.mark.skipif(
    Path("/run/systemd/system").exists(), reason="systemd runs this machine: the sshd of a container shows this"
)
def test_without_systemd(flash: Run, edgeskel: Run, loopback: Loopback) -> None:
    error = flash("--scope", "user", status=1)["error"]
    assert "systemd does not run this device" in error["seen"] and "--scope none" in error["remedy"]
    assert not (loopback.home / "data").exists()


def test_scope_none_is_watched_as_a_child(flash: Run, edgeskel: Run, loopback: Loopback) -> None:
    made = flash("--scope", "none")
    assert made["kept"] and "recognitions out" in made["reason"]
    prefix = loopback.home / "data" / "edgeskel"
    silent = flash("--scope", "none", "--source", "replay:absent.npz", status=1)["error"]
    assert "no frame came" in silent["seen"]
    state = edgeskel("flash", "status", "here", "--prefix", prefix, "--ssh-config", loopback.config)
    assert (
        state["current"] == made["release"]
        and state["last"]["name"] == "returned"
        and state["service"]["manager"] == "none"
    )
    said, told, command = state["why"].partition("; no service was asked for (--scope none), and nobody has started: ")
    assert told and said.startswith("returned: no frame came") and state["running"] is None
    service = subprocess.Popen(  # as the sentence says, by whoever reads it
        shlex.split(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PATH": f"{loopback.home}/bin:{os.environ['PATH']}"},
    )
    try:
        state = until(
            lambda: edgeskel("flash", "status", "here", "--prefix", prefix, "--ssh-config", loopback.config),
            lambda state: state["running"] == made["release"] or service.poll() is not None,
        )
        assert service.poll() is None and "nobody has started" not in state["why"]
    finally:
        service.terminate()
        service.communicate()
    assert service.returncode == 0
    assert edgeskel("flash", "uninstall", "here", "--prefix", prefix, "--ssh-config", loopback.config)[
        "removed"
    ] == str(prefix)
    assert not prefix.exists()


def test_from_a_stick(edgeskel: Run, host_bundle: Path, key_path: Path, other_key_path: Path, tmp_path: Path) -> None:
    stick, prefix = tmp_path / "stick", tmp_path / "device"
    made = edgeskel("flash", host_bundle, "--to-dir", stick, "--key", key_path)
    assert "edgeskel-device install stick" in made["install"]

    def install(*options: object, status: int = 0) -> dict[str, Any]:
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-B",
                str(stick / "edgeskel-device"),
                "install",
                str(stick),
                "--prefix",
                str(prefix),
                "--scope",
                "none",
                "--watch",
                "2",
                *map(str, options),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == status, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    assert "trusts no key yet" in install(status=1)["error"]["seen"] and not prefix.exists()
    refused = install("--trust", other_key_path.with_suffix(".pub"), status=1)
    assert "signature is refused" in refused["error"]["seen"] and not prefix.exists()
    model = stick / "bundle" / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "not what was signed" in install("--trust", stick / "KEY.pub", status=1)["error"]["seen"]
    model.write_bytes(content)
    done = install()["result"]
    assert done["kept"] and done["release"] == made["release"]


def test_usage(edgeskel: Run, host_bundle: Path, tmp_path: Path) -> None:
    for words in (
        ("host",),
        ("host", host_bundle, "--to-dir", tmp_path / "x"),
        ("host", host_bundle, "--watch", 0),
        ("host", host_bundle, "--threshold", 2),
        ("host", host_bundle, "--prefix", "relative"),
        (host_bundle, "--to-dir", tmp_path / "x", "--machine", "aarch64"),
    ):
        assert edgeskel("flash", *words, status=2)["error"]["type"] == "UsageError"


def test_help_names_the_verbs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeskel.cli.main", "flash", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert "HOST BUNDLE" in done.stdout and "rollback" in done.stdout
