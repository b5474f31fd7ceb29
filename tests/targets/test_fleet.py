"""A fleet is flashed by an Ansible role: a canary, then waves, and no further after a failure; Mender gets the same states."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.targets.waiting import LIMIT_S, until

FLEET = ROOT / "targets" / "fleet"
HOSTS = ("one", "two", "three", "four", "five", "six")
FLASH = importlib.util.find_spec("edgeskel.cli.flash")


def _absent(message: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def playbook() -> Path:
    """``ansible-playbook``, of an environment of its own: it is a tool, and no part of what edgeskel needs."""
    places = (os.environ.get("EDGESKEL_ANSIBLE", ""), str(ROOT / ".venv" / "ansible" / "bin"))
    for place in places:
        if place and (Path(place) / "ansible-playbook").is_file():
            return Path(place) / "ansible-playbook"
    found = shutil.which("ansible-playbook")
    if found is None:
        _absent("no ansible-playbook: run make ansible, or set EDGESKEL_ANSIBLE to the folder that holds it")
    return Path(str(found))


@pytest.fixture
def fleet(playbook: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``fleet(book, hosts, **variables)``: run a playbook over an inventory."""

    def run(book: str, hosts: dict[str, dict[str, Any]], **variables: Any) -> subprocess.CompletedProcess[str]:
        inventory = tmp_path / "inventory.json"
        inventory.write_text(json.dumps({"edgeskel": {"hosts": hosts}}), encoding="utf-8")
        environment = {**os.environ, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"), "ANSIBLE_HOME": str(tmp_path / "home"),
                       "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_FORKS": "4",
                       "LC_ALL": "C.UTF-8"}
        return subprocess.run([playbook, "-i", inventory, FLEET / "ansible" / book, "-e", json.dumps(variables)],
                              env=environment, capture_output=True, text=True, check=False, timeout=900)

    return run


class Stand:
    """A program that answers as ``edgeskel flash`` does: 0 or 1 and one JSON object; it fails for the hosts of ``bad``."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "edgeskel.py"
        self.calls = folder / "calls"
        self.calls.mkdir()
        self.bad = folder / "bad"
        self.bad.mkdir()
        self.program.write_text(textwrap.dedent(f"""
            import json, pathlib, sys, time
            words = sys.argv[1:]
            host = next(word for word in words[1:] if word not in ("status", "rollback"))
            call = pathlib.Path({str(self.calls)!r}) / host.replace("/", "-")
            call.write_text(json.dumps({{"words": words, "at": time.monotonic()}}))
            if (pathlib.Path({str(self.bad)!r}) / host).exists():
                print(json.dumps({{"error": {{"message": "golden inputs disagree; expected 12 of 12"}}}}))
                sys.exit(1)
            print(json.dumps({{"host": host, "release": "r2", "current": "r2", "reason": "60 s of health"}}))
        """), encoding="utf-8")

    def called(self) -> dict[str, dict[str, Any]]:
        return {path.name: json.loads(path.read_text()) for path in self.calls.iterdir()}


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def _variables(stand: Stand, **more: Any) -> dict[str, Any]:
    return {"edgeskel_command": [sys.executable, str(stand.program)], "edgeskel_bundle": "BUNDLE",
            "edgeskel_waves": [1, 2, "100%"], **more}


def test_the_canary_comes_first_and_then_the_waves(fleet: Any, stand: Stand) -> None:
    done = fleet("flash.yml", {host: {} for host in HOSTS} | {"two": {"edgeskel_host": "ssh://me@there:2222"}},
                 **_variables(stand, edgeskel_options=["--watch", "5"]))
    assert done.returncode == 0, done.stdout
    seen = stand.called()
    assert set(seen) == {"one", "ssh:--me@there:2222", "three", "four", "five", "six"}
    assert seen["one"]["words"] == ["flash", "one", "BUNDLE", "--watch", "5", "--json"]
    waves = [{"one"}, {"three"}, {"four", "five", "six"}]
    for earlier, later in zip(waves, waves[1:], strict=False):
        assert max(seen[host]["at"] for host in earlier) < min(seen[host]["at"] for host in later)
    assert "one: r2, 60 s of health" in done.stdout


def test_nothing_follows_a_canary_that_fails(fleet: Any, stand: Stand) -> None:
    (stand.bad / "one").touch()
    done = fleet("flash.yml", {host: {} for host in HOSTS}, **_variables(stand))
    assert done.returncode != 0 and set(stand.called()) == {"one"}
    assert "one: golden inputs disagree; expected 12 of 12" in done.stdout


def test_a_wave_that_fails_is_the_last(fleet: Any, stand: Stand) -> None:
    (stand.bad / "three").touch()
    done = fleet("flash.yml", {host: {} for host in HOSTS}, **_variables(stand))
    assert done.returncode != 0 and set(stand.called()) == {"one", "two", "three"}


def test_the_fleet_is_asked_and_sent_back(fleet: Any, stand: Stand) -> None:
    assert fleet("status.yml", {"one": {}, "two": {}}, **_variables(stand)).returncode == 0
    assert stand.called()["two"]["words"] == ["flash", "status", "two", "--json"]
    assert fleet("rollback.yml", {"one": {}, "two": {}}, **_variables(stand)).returncode == 0
    assert stand.called()["two"]["words"] == ["flash", "rollback", "two", "--json"]


def test_a_flash_without_a_bundle_is_refused(fleet: Any, stand: Stand) -> None:
    done = fleet("flash.yml", {"one": {}}, edgeskel_command=[sys.executable, str(stand.program)])
    assert done.returncode != 0 and "edgeskel_bundle=BUNDLE" in done.stdout and not stand.called()


@pytest.fixture
def sshds(tmp_path: Path) -> Iterator[Path]:
    """Three sshd on loopback and an SSH configuration that names them; each is one device of the fleet."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if sshd is None:
        _absent("no sshd: apt-get install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own, where no service has made it
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True)
    (tmp_path / "authorized").write_text((tmp_path / "user.pub").read_text())
    lines, servers = [], []
    for name in ("one", "two", "three"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = tmp_path / f"sshd-{name}"
        config.write_text(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\nUsePAM no\n"
                          f"AuthorizedKeysFile {tmp_path}/authorized\nStrictModes no\nPermitRootLogin yes\nMaxStartups 50\n")
        with (tmp_path / f"sshd-{name}.log").open("wb") as log:
            servers.append(subprocess.Popen([str(sshd), "-D", "-e", "-f", config], stdout=log, stderr=log))
        lines.append(f"Host {name}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {tmp_path}/user\n IdentitiesOnly yes\n"
                     f" StrictHostKeyChecking accept-new\n UserKnownHostsFile {tmp_path}/known\n HostKeyAlias {name}\n")
    config = tmp_path / "ssh_config"
    config.write_text("".join(lines), encoding="utf-8")
    try:
        for name in ("one", "two", "three"):
            _reach(config, name)
        yield config
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def _reach(config: Path, name: str) -> None:
    until(lambda: subprocess.run(["ssh", "-F", config, "-o", f"ConnectTimeout={LIMIT_S:.0f}", name, "true"], capture_output=True),
          lambda done: done.returncode == 0)


@pytest.mark.skipif(FLASH is None, reason="needs edgeskel flash")
def test_real_devices_are_flashed_until_one_fails(
    fleet: Any, sshds: Path, tmp_path: Path, host_bundle: Path, key_path: Path
) -> None:
    def options(prefix: Path) -> list[str]:
        return ["--ssh-config", str(sshds), "--scope", "none", "--prefix", str(prefix), "--watch", "2", "--key", str(key_path)]

    (tmp_path / "in-the-way").write_text("a file where a folder should be made")
    prefixes = {"one": tmp_path / "p1", "two": tmp_path / "in-the-way" / "p2", "three": tmp_path / "p3"}
    hosts = {name: {"edgeskel_options": options(prefix)} for name, prefix in prefixes.items()}
    variables = {"edgeskel_command": ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "edgeskel.cli.main"],
                 "edgeskel_waves": [1, 1, 1]}
    done = fleet("flash.yml", hosts, edgeskel_bundle=str(host_bundle), **variables)
    assert done.returncode != 0, done.stdout
    assert "one: small-" in done.stdout and "two: " in done.stdout and not (tmp_path / "p3").exists(), done.stdout
    asking = ["--ssh-config", str(sshds), "--prefix", str(tmp_path / "p1")]
    seen = fleet("status.yml", {"one": {"edgeskel_options": asking}}, **variables)
    subprocess.run([*variables["edgeskel_command"], "flash", "uninstall", "one", *asking], check=True, capture_output=True)
    assert seen.returncode == 0 and "one: small-" in seen.stdout, seen.stdout


MENDER = FLEET / "mender" / "edgeskel"


class Device:
    """A prefix with an ``edgeskel-device`` that keeps which release is current in a file and fails where told."""

    def __init__(self, folder: Path) -> None:
        self.prefix, self.folder = folder / "prefix", folder
        (self.prefix / "bin").mkdir(parents=True)
        (folder / "files").mkdir()
        program = self.prefix / "bin" / "edgeskel-device"
        program.write_text(textwrap.dedent(f"""\
            #!{sys.executable}
            import json, pathlib, sys
            verb, home = sys.argv[1], pathlib.Path({str(folder)!r})
            with (home / "calls").open("a") as calls: calls.write(" ".join(sys.argv[1:]) + "\\n")
            state = json.loads((home / "state").read_text())
            if verb == "install":
                content = (pathlib.Path(sys.argv[2]) / "release.json").read_text()
                if "bad" in content:
                    print(json.dumps({{"error": {{"seen": "golden inputs disagree"}}}})); sys.exit(1)
                state = {{"current": content, "previous": state["current"]}}
            if verb == "verify" and state["current"] == "broken": sys.exit(1)
            if verb == "follow": state = {{"current": sys.argv[2], "previous": state["current"], "kept": True}}
            if verb == "rollback": print(json.dumps({{"result": {{"release": state["previous"], "since": "then"}}}})); sys.exit(0)
            (home / "state").write_text(json.dumps(state))
            print(json.dumps({{"say": "..."}})); print(json.dumps({{"result": state}}))
        """), encoding="utf-8")
        program.chmod(0o755)
        (folder / "state").write_text('{"current": "old", "previous": null}')

    def artifact(self, content: str, name: str = "release.json") -> None:
        source = self.folder / "content"
        source.write_text(content)
        with tarfile.open(self.folder / "files" / "release.tar", "w") as archive:
            archive.add(source, arcname=name)

    def mender(self, state: str, install: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, MENDER, state, self.folder], capture_output=True, text=True, check=False,
                              env={**os.environ, "EDGESKEL_PREFIX": str(self.prefix), "EDGESKEL_INSTALL": install})

    @property
    def current(self) -> str:
        return str(json.loads((self.folder / "state").read_text())["current"])


@pytest.fixture
def mendered(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_mender_installs_commits_and_takes_back(mendered: Device) -> None:
    mendered.artifact("new")
    assert mendered.mender("SupportsRollback").stdout == "Yes\n"
    assert mendered.mender("NeedsArtifactReboot").stdout == "No\n"
    for state in ("ArtifactInstall", "ArtifactCommit", "Cleanup"):
        assert mendered.mender(state).returncode == 0, state
    assert mendered.current == "new"
    assert mendered.mender("ArtifactRollback").returncode == 0 and mendered.current == "old"
    assert mendered.mender("ArtifactRollback").returncode == 0 and mendered.current == "old"  # asked twice, done once


def test_mender_is_told_of_an_install_that_went_back_by_itself(mendered: Device) -> None:
    mendered.artifact("bad")
    done = mendered.mender("ArtifactInstall")
    assert done.returncode == 1 and "golden inputs disagree" in done.stderr and done.stdout == ""
    assert mendered.mender("ArtifactRollback").returncode == 0 and mendered.current == "old"
    assert "rollback" not in (mendered.folder / "calls").read_text()


def test_mender_is_told_of_a_release_that_does_not_verify(mendered: Device) -> None:
    mendered.artifact("broken")
    assert mendered.mender("ArtifactInstall").returncode == 0
    assert mendered.mender("ArtifactCommit").returncode == 1


@pytest.fixture
def first(tmp_path: Path, made: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``first(install, spoil)``: a first install, on a device without edgeskel, of a signed release that was spoilt."""

    def run(install: str, spoil: Callable[[Path], object] = lambda release: None) -> subprocess.CompletedProcess[str]:
        device = Device(tmp_path)
        shutil.rmtree(device.prefix)
        release = Path(shutil.copytree(made, tmp_path / "signed"))
        spoil(release)
        with tarfile.open(tmp_path / "files" / "release.tar", "w") as archive:
            archive.add(release, arcname=".")
        return device.mender("ArtifactInstall", install)

    return run


def _print_only(release: Path) -> None:
    (release / "edgeskel-device").write_text("import sys; print('RAN', file=sys.stderr)")


@pytest.mark.parametrize(("install", "spoil", "says"), [
    ("--watch 2", None, "no key of this device is named"),
    ("--trust {tmp}/tmp/release/KEY.pub", None, "outside the artifact"),
    ("--trust /absent.pub", None, "FileNotFoundError"),
    ("--trust {other}", None, "signature is refused"),
    ("--trust {key}", None, "edgeskel-device is not what was signed"),
    ("--trust={key}", lambda release: (release / "release.json").write_text("{}"), "signature is refused"),
    ("--trust {key}", lambda release: (release / "release.json.sig").unlink(), "signature is refused"),
])
def test_nothing_out_of_an_artifact_runs_before_its_signature_is_checked(
    first: Any, key_path: Path, other_key_path: Path, tmp_path: Path, install: str, spoil: Any, says: str
) -> None:
    words = install.format(tmp=tmp_path, key=key_path.with_suffix(".pub"), other=other_key_path.with_suffix(".pub"))

    def change(release: Path) -> None:
        _print_only(release)
        if spoil is not None:
            spoil(release)

    done = first(words, change)
    assert done.returncode == 1 and says in done.stderr and "RAN" not in done.stderr


def test_a_first_install_by_a_key_of_the_device_goes_on(first: Any, key_path: Path) -> None:
    done = first(f"--trust {key_path.with_suffix('.pub')} --scope none --watch 2")
    assert done.returncode == 0, done.stderr


def test_an_archive_that_leaves_its_folder_is_refused(mendered: Device) -> None:
    mendered.artifact("new", "../outside")
    done = mendered.mender("ArtifactInstall")
    assert done.returncode == 1 and "expected plain files" in done.stderr and mendered.current == "old"


def test_an_artifact_without_its_archive_is_refused(mendered: Device) -> None:
    assert "0 archives" in mendered.mender("ArtifactInstall").stderr
