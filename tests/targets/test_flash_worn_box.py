"""``edgeskel flash`` on a box that years and people have changed: what still runs, and what is said about the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.targets.box import Box
from tests.targets.conftest import settled
from tests.targets.test_flash_box import FAULTS, faulty

Run = Callable[..., dict[str, Any]]


def test_a_shell_that_makes_private_files(flash: Run, ask: Run, box: Box) -> None:
    """``umask 077``, as hardened systems set it: the service's own user still reads its release."""
    box.run("echo 'umask 077' > /root/.bashrc")
    try:
        made = flash()
    finally:
        box.run("rm /root/.bashrc")
    assert settled(ask)["running"] == made["release"]


def test_a_prefix_that_the_services_user_cannot_reach(flash: Run, box: Box) -> None:
    error = flash("--prefix", "/root/edgeskel", status=1)["error"]
    assert "/root is closed to the service's own user" in error["seen"] and "chmod o+x /root" in error["remedy"]
    assert not (box.root / "root/edgeskel").exists()


def test_a_disk_that_has_become_read_only(good: str, flash: Run, ask: Run, box: Box) -> None:
    """As flash memory does when it wears out: the release runs on, through a restart too, and nothing else is promised."""
    box.run("mount --bind /opt/edgeskel /opt/edgeskel && mount -o remount,ro,bind /opt/edgeskel")
    try:
        assert "/opt/edgeskel cannot be written" in flash("--threshold", 0.43, status=1)["error"]["seen"]
        error = ask("verify", status=1)["error"]
        assert "Read-only file system" in error["seen"] and "remount it for writing" in error["remedy"]
        box.run("systemctl restart edgeskel")
        assert settled(ask)["running"] == good
    finally:
        box.run("systemctl stop edgeskel; umount /opt/edgeskel; systemctl start edgeskel")


def test_the_record_of_what_runs_is_damaged(flash: Run, ask: Run, box: Box) -> None:
    before, now = flash("--threshold", 0.44)["release"], flash("--threshold", 0.45)["release"]
    (box.root / "opt/edgeskel/state.json").write_bytes(bytes(64))
    box.run("systemctl restart edgeskel")
    found = settled(ask)
    assert (found["running"], found["previous"]) == (now, before) and "watched for 2 s" in found["why"]
    assert ask("rollback", "--watch", 2)["current"] == before


def test_the_services_user_is_gone(good: str, flash: Run, ask: Run, box: Box) -> None:
    box.run("systemctl stop edgeskel; userdel edgeskel; groupadd edgeskel; systemctl start edgeskel", check=False)
    found = ask("status")
    assert found["running"] is None and "its user edgeskel is gone: flash again" in found["why"]
    assert "the service's user edgeskel is gone" in ask("verify", status=1)["error"]["seen"]
    made = flash("--threshold", 0.46)
    assert settled(ask)["running"] == made["release"]


def test_without_a_journal_a_failure_still_gives_way(
    good: str, ask: Run, box: Box, host_bundle: Path, key_path: Path
) -> None:
    box.run("mv /usr/bin/journalctl /usr/bin/journalctl.away")
    try:
        assert "the service ended" in faulty(box, host_bundle, key_path, *FAULTS["crashes"][:3])
        found = settled(ask)
        assert found["running"] == good and found["last"]["name"] == "returned"
        found = ask("logs")
        assert found["service"] == [] and found["journal"]
    finally:
        box.run("mv /usr/bin/journalctl.away /usr/bin/journalctl")


def test_a_prefix_on_another_disk(flash: Run, ask: Run, box: Box) -> None:
    """A link to it, or a mount point: both are the user's own, and outlive an uninstall."""
    ask("uninstall", status=None)
    box.run("mkdir /data && ln -s /data /opt/edgeskel")
    made = flash()
    assert settled(ask)["running"] == made["release"] and ask("uninstall")["removed"] == "/opt/edgeskel"
    assert box.run("readlink /opt/edgeskel; ls -A /data").stdout == "/data\n"
    box.run("rm /opt/edgeskel && mkdir /opt/edgeskel && mount -t tmpfs tmpfs /opt/edgeskel")
    flash()
    assert ask("uninstall")["removed"] == "/opt/edgeskel"
    assert box.run("ls -A /opt/edgeskel && umount /opt/edgeskel && rmdir /opt/edgeskel").stdout == ""
