"""Nobody but root, or the user who installs, can change what they run: every way to try is refused and named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeskel.errors import DeviceError, UsageError
from targets.device import launch, owner_checks
from targets.device.layout import Install, Layout
from targets.device.ownership import untrusted
from targets.flash import signing
from targets.flash.packing import tool_bytes
from tests.targets.box import Box
from tests.targets.conftest import settled
from tests.targets.waiting import LIMIT_S, until

Run = Callable[..., dict[str, Any]]
STRANGER = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to another user: run the tests as root")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder of whoever runs the tests, below which others have no rights. Like every test's it is below the sticky /tmp."""
    tmp_path.chmod(0o755)
    yield tmp_path


def seen(path: Path) -> str | None:
    return untrusted(str(path), os.getuid(), sticky=True)


def test_what_is_ones_own_is_trusted_and_what_is_absent_too(place: Path) -> None:
    (place / "prefix/bin").mkdir(parents=True)
    assert seen(place / "prefix/bin") is None and seen(place / "prefix/later/still") is None
    assert untrusted("/usr/bin/env", 0) is None


@needs_root
@pytest.mark.parametrize("part", ["", "data", "data/prefix", "data/prefix/bin", "data/prefix/bin/tool"])
def test_a_part_of_somebody_elses_is_named(place: Path, part: str) -> None:
    tool = place / "data/prefix/bin/tool"
    tool.parent.mkdir(parents=True)
    tool.touch()
    os.chown(place / part, STRANGER, STRANGER)
    why = seen(tool)
    assert why is not None and str(place / part) in why and "belongs to" in why
    assert untrusted(str(tool), STRANGER, sticky=True) is None  # his own, for him


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o1777])
def test_a_folder_that_everybody_writes_in_is_named(place: Path, mode: int) -> None:
    (place / "open/prefix").mkdir(parents=True)
    (place / "open").chmod(mode)
    why = untrusted(str(place / "open/prefix"), os.getuid())
    assert why is not None and "everybody can write" in why


def test_the_temporary_folder_is_no_place_for_an_install_that_starts_at_boot(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "prefix")
    for scope in ("system", "user"):
        with pytest.raises(DeviceError, match="everybody can write in /tmp"):
            owner_checks.require_owned(layout, scope)
    owner_checks.require_owned(layout, "none")


@needs_root
def test_a_group_may_write_only_where_nobody_is_in_it(place: Path) -> None:
    (place / "shared").mkdir()
    (place / "shared").chmod(0o775)
    assert seen(place / "shared") is None  # of root's own group
    os.chown(place / "shared", 0, STRANGER)
    assert "others than its owner" in str(seen(place / "shared"))


@needs_root
def test_an_access_list_that_names_another_user_is_noticed(place: Path) -> None:
    (place / "listed").mkdir()
    listed = b"\x02\0\0\0" + b"".join(  # version 2; tag, permissions, id: its owner, another user, group, mask, others
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + name.to_bytes(4, "little")
        for tag, bits, name in ((1, 7, 2**32 - 1), (2, 7, STRANGER), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 5, 2**32 - 1))
    )
    try:
        os.setxattr(place / "listed", "system.posix_acl_access", listed)
    except OSError as error:
        pytest.skip(f"no access lists on this file system ({error}): set TMPDIR to a folder on ext4")
    assert "others than its owner" in str(seen(place / "listed"))


@needs_root
def test_a_link_leads_where_its_owner_says(place: Path) -> None:
    for name in ("real", "theirs"):
        (place / name / "prefix").mkdir(parents=True)
    os.chown(place / "theirs", STRANGER, STRANGER)
    (place / "good").symlink_to("real")
    (place / "absolute").symlink_to(place / "real")
    (place / "up").symlink_to("real/../real")
    for name in ("good", "absolute", "up"):
        assert seen(place / name / "prefix") is None
    (place / "bad").symlink_to(place / "theirs")
    assert str(place / "theirs") in str(seen(place / "bad/prefix"))
    os.chown(place / "good", STRANGER, STRANGER, follow_symlinks=False)
    assert str(place / "good") in str(seen(place / "good/prefix"))
    (place / "loop").symlink_to("loop")
    assert "too many links" in str(seen(place / "loop/prefix"))


@pytest.fixture
def installed(place: Path) -> Layout:
    """A prefix with a program in it, of scope none."""
    layout = Layout(place / "data" / "prefix")
    layout.prefix.mkdir(parents=True)
    layout.write_install(Install("none", "", str(layout.prefix / "run"), sys.executable))
    layout.tool.parent.mkdir()
    layout.tool.write_bytes(tool_bytes())
    return layout


def told(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@needs_root
def test_a_program_that_a_user_has_put_there_is_not_run(installed: Layout, place: Path) -> None:
    status = ("status", "--prefix", str(installed.prefix))
    assert told(launch.command(sys.executable, str(installed.tool), *status))["result"]["phase"] == "empty"
    trap = place / "data/prefix/bin"
    for owner in (place / "data", installed.prefix, trap):
        os.chown(owner, STRANGER, STRANGER)
        trap.rename(place / "away")  # as that user can
        trap.mkdir()
        os.chown(trap, STRANGER, STRANGER)
        (trap / "edgeskel-device").write_text(f"open({str(place / 'root-was-here')!r}, 'w')")
        error = told(launch.command(sys.executable, str(installed.tool), *status))["error"]
        assert "belongs to" in error["seen"] and "chown" in error["remedy"] and not (place / "root-was-here").exists()
        (trap / "edgeskel-device").unlink()
        trap.rmdir()
        (place / "away").rename(trap)
        os.chown(owner, 0, 0)


@needs_root
@pytest.mark.parametrize("name", ["trust/allowed_signers", "state.json", "install.json", "staging", "releases", "choices", "bin"])
def test_no_verb_believes_what_another_user_can_write(installed: Layout, name: str) -> None:
    path = installed.prefix / name
    if not path.exists():
        path.write_text("{}")
    direct = [sys.executable, "-I", "-B", str(installed.tool), "trust", "--prefix", str(installed.prefix)]
    assert "result" in told(direct)
    os.chown(path, STRANGER, STRANGER)
    assert f"{path} belongs to" in told(direct)["error"]["seen"]
    os.chown(path, 0, 0)
    path.chmod(0o777)
    assert f"everybody can write in {path}" in told(direct)["error"]["seen"]
    path.chmod(0o755)
    path.rename(path.with_name("away"))
    path.symlink_to(path.with_name("away"))
    expected = "neither a file nor a folder" if name != "install.json" else "everybody can write in /tmp"  # of no scope then
    assert expected in told(direct)["error"]["seen"]


@needs_root
def test_units_of_roots_start_no_interpreter_of_somebody_elses(place: Path) -> None:
    python = place / "python3"
    python.write_text("")
    os.chown(python, STRANGER, STRANGER)
    with pytest.raises(DeviceError, match="would run the interpreter"):
        owner_checks.require_interpreter(str(python))


@needs_root
def test_a_private_key_that_somebody_else_could_exchange_is_refused(place: Path) -> None:
    key = signing.create(place / "keys" / "release_key")
    assert signing.load(place / "keys" / "release_key").public == key.public
    (place / "keys").chmod(0o777)
    with pytest.raises(UsageError, match="everybody can write in"):
        signing.load(place / "keys" / "release_key")


def test_locks_are_for_their_owner_alone(installed: Layout) -> None:
    old = installed.prefix / ".switch.lock"
    old.touch()
    old.chmod(0o644)
    with installed.lock("switch"), installed.lock("state"):
        assert installed.is_locked("switch")
        modes = [(installed.prefix / f".{name}.lock").stat().st_mode & 0o777 for name in ("switch", "state")]
    assert modes == [0o600, 0o600]


def test_a_prefix_of_an_ordinary_user_is_refused_on_a_real_system(flash: Run, ask: Run, box: Box) -> None:
    box.run("install -d -o dev -g dev /srv/data /srv/data/edgeskel; install -d -m 1777 /srv/open; ln -s /srv/data /opt/theirs")
    for prefix, why in (
        ("/srv/data/edgeskel", "/srv/data belongs to dev"),
        ("/srv/data/below/it", "/srv/data belongs to dev"),
        ("/home/dev/edgeskel", "/home/dev belongs to dev"),
        ("/srv/open/edgeskel", "everybody can write in /srv/open"),
        ("/tmp/edgeskel", "everybody can write in /tmp"),
        ("/opt/theirs/edgeskel", "/srv/data belongs to dev"),
    ):
        error = flash("--prefix", prefix, "--scope", "system", status=1)["error"]
        assert why in error["seen"] and "belongs to root" in error["expected"] and "another --prefix" in error["remedy"], error
    assert not box.run("find /srv/data/edgeskel /srv/open -mindepth 1").stdout


def test_an_install_whose_place_is_given_away_later_runs_nothing_of_it(flash: Run, ask: Run, box: Box) -> None:
    """The owner changes after the flash; the user exchanges the program and waits for a boot, the watch or a status."""
    box.run("mkdir -p /srv/box")
    made = flash("--prefix", "/srv/box/edgeskel")
    strangers = box.run("find /srv/box/edgeskel ! -user root ! -path '*/engines*'").stdout
    assert made["kept"] and not strangers
    box.run("chown dev /srv/box")
    box.run(
        "su dev -c 'mv /srv/box/edgeskel /srv/box/old; cp -r /srv/box/old /srv/box/edgeskel;"
        ' echo "open(chr(47) + \\"root-was-here\\", \\"w\\")" > /srv/box/edgeskel/bin/edgeskel-device\' 2>/dev/null; true'
    )
    assert box.run("grep -c root-was-here /srv/box/edgeskel/bin/edgeskel-device").stdout == "1\n"
    box.run("systemctl restart edgeskel; systemctl start edgeskel-settle", check=False)
    error = ask("status", "--prefix", "/srv/box/edgeskel", status=1)["error"]
    assert "/srv/box belongs to dev" in error["seen"]
    box.cut_power()
    box.boot()
    # It has no table of users in its own file system, so it knows a number.
    journal = "journalctl --boot --unit edgeskel --output cat"
    until(lambda: box.run(journal).stdout, lambda said: "/srv/box belongs to user 1000" in said)
    assert not (box.root / "root-was-here").exists()
    box.run("rm -rf /srv/box/edgeskel; mv /srv/box/old /srv/box/edgeskel; chown root /srv/box; systemctl restart edgeskel")

    def there(verb: str, **options: Any) -> dict[str, Any]:
        return ask(verb, "--prefix", "/srv/box/edgeskel", **options)

    assert settled(there)["running"] == made["release"]
    there("uninstall")
