"""``edgeskel flash`` against a real sshd and a real systemd: what runs afterwards, and what it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeskel.errors import DeviceError
from edgeskel.runtime.bundle import Bundle
from targets.flash import flashing, packing, signing
from targets.flash.remote import Connection
from tests.conftest import ROOT
from tests.targets.box import Box
from tests.targets.conftest import command, settled
from tests.targets.waiting import until

Run = Callable[..., dict[str, Any]]


def faulty(box: Box, host_bundle: Path, key_path: Path, file: str, old: str, new: str) -> str:
    """Flash a release whose program was altered before it was signed; how the flash failed."""
    program = packing.program_files()
    text = program[file].decode()
    assert old in text
    program[file] = text.replace(old, new).encode()
    with pytest.MonkeyPatch.context() as patch, Connection("box", box.ssh_config) as connection:
        patch.setattr(flashing, "pack", lambda *args, **kw: packing.pack(*args, **{**kw, "program": program}))
        run = flashing.DeviceFlasher(
            connection, Bundle.open(host_bundle), flashing.FlashOptions(watch_s=8), lambda step, line: None
        )
        run.probe()
        run.stage(signing.load(key_path))
        run.build()
        with pytest.raises(DeviceError) as caught:
            run.prove()
            run.switch_and_watch()
    return str(caught.value)


def test_a_flash_runs_and_each_verb_tells_of_it(flash: Run, ask: Run, edgeskel: Run, box: Box) -> None:
    facts = flash("--dry-run")
    assert facts["fits"] and facts["scope"] == "system" and not (box.root / "opt/edgeskel").exists()
    first = flash()
    assert first["kept"] and "no restart" in first["reason"]
    found = ask("status")
    assert (
        found["running"] == found["current"] == first["release"]
        and found["previous"] is None
        and found["phase"] == "good"
    )
    assert found["health"]["frames"] > 0 and found["health"]["recognitions"] > 0 and found["service"]["restarts"] == 0
    assert flash()["release"] == first["release"]  # the same content is the same release
    second = flash("--threshold", 0.6)
    assert second["previous"] == first["release"]
    checked = ask("verify")
    assert checked["passed"] and checked["release"] == second["release"]
    back = ask("rollback", "--watch", 2)
    assert back["current"] == first["release"] and back["previous"] == second["release"]
    events = [json.loads(line)["event"] for line in ask("logs")["journal"]]
    assert events[-2:] == ["switched", "good"]
    trusted = edgeskel("keys", "list", "box", "--ssh-config", box.ssh_config)["trusted"]
    assert list(trusted) == found["trusted"]


def test_the_service_is_locked_in(good: str, box: Box) -> None:
    pid = box.run("systemctl show --property MainPID --value edgeskel").stdout.strip()
    assert box.run(f"ps -o user= -p {pid} 2>/dev/null || stat -c %U /proc/{pid}").stdout.strip() == "edgeskel"
    seen = f"/proc/{pid}/root"
    held = box.run(f"ls {seen} {seen}/etc {seen}/opt; cat /proc/{pid}/net/dev").stdout
    assert not {"home", "root", "srv", "boot", "passwd", "shadow", "ssh"} & set(held.split())
    assert [line.split(":")[0].strip() for line in held.splitlines() if "packets" not in line and ": " in line] == [
        "lo"
    ]
    denied = box.run("su -s /bin/sh edgeskel -c 'echo x > /opt/edgeskel/state.json'", check=False)
    assert denied.returncode and "Permission denied" in denied.stderr


def test_a_boot_brings_it_back(good: str, ask: Run, box: Box) -> None:
    box.cut_power()
    box.boot()
    assert settled(ask)["running"] == good


FAULTS = {
    "crashes": (
        "targets/service/serve.py",
        "        self._health.counts.frames += 1\n",
        "        self._health.counts.frames += 1\n        if self._health.counts.frames > 20:\n"
        "            raise RuntimeError('error: broken on purpose')\n",
        "broken on purpose",
    ),
    "does not start": (
        "__main__.py",
        "from targets.service.main import main",
        "import sys\nif 'serve' in sys.argv: sys.exit(5)\nfrom targets.service.main import main",
        "the service ended",
    ),
    "hangs": (
        "targets/service/serve.py",
        "        self._health.counts.frames += 1\n",
        "        self._health.counts.frames += 1\n        time.sleep(0 if self._health.counts.frames < 5 else 1000)\n",
        "hangs",
    ),
    "answers wrongly": (
        "targets/service/serve.py",
        "        self._health.counts.checks += 1\n",
        "        self._health.counts.checks += 1\n"
        "        inner = self._engine\n        self._engine = lambda j, c: (inner(j, c)[0][::-1], inner(j, c)[1])\n"
        "        self._check_every_s = 0.5\n",
        "wrongly",
    ),
    "recognises nothing": (
        "targets/service/serve.py",
        "        events = self._session.step(frame)\n",
        "        events: list[Event] = []\n        self._count_frame(frame)\n        self._health.counts.moving += 1\n",
        "no recognition",
    ),
    "holds whoever reads its health": (
        "targets/service/health.py",
        "        temporary.replace(self._path)\n",
        "        temporary.unlink()\n        if not self._path.exists():\n            os.mkfifo(self._path)\n",
        "has not said that it is ready",
    ),
    "disagrees with golden": (
        "edgeskel/runtime/engines/onnxruntime.py",
        "return probabilities[0]",
        "return probabilities[0][::-1]",
        "golden inputs",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_release_that_fails_gives_way_to_the_one_before(
    fault: str, good: str, ask: Run, box: Box, host_bundle: Path, key_path: Path
) -> None:
    file, old, new, expected = FAULTS[fault]
    why = faulty(box, host_bundle, key_path, file, old, new)
    assert expected in why
    found = settled(ask)
    assert found["running"] == good and found["whole"][good] is True
    if fault != "disagrees with golden":  # that one never came to run
        assert found["last"]["name"] == "returned" and expected in found["last"]["reason"]


def test_a_source_without_frames_fails_the_watch(good: str, flash: Run, ask: Run) -> None:
    error = flash("--source", "replay:absent.npz", status=1)["error"]
    assert "no frame came" in error["seen"] and "absent.npz" in error["seen"]
    assert settled(ask)["running"] == good


def test_refused_before_anything_runs(
    good: str,
    flash: Run,
    ask: Run,
    edgeskel: Run,
    box: Box,
    host_bundle: Path,
    other_key_path: Path,
    key_path: Path,
    tmp_path: Path,
) -> None:
    stranger = edgeskel(
        "flash",
        "box",
        host_bundle,
        "--ssh-config",
        box.ssh_config,
        "--key",
        other_key_path,
        "--threshold",
        0.7,
        status=1,
    )
    assert "signature is refused" in stranger["error"]["seen"] and "edgeskel keys trust" in stranger["error"]["remedy"]
    older = made_in(host_bundle, tmp_path / "older", "2025-01-01T00:00:00+00:00")
    assert "is older than what ran here" in flash(bundle=older, status=1)["error"]["seen"]
    assert settled(ask)["running"] == good
    told = flash("--allow-older", bundle=older)
    assert ask("status")["running"] == told["release"]
    assert (
        "is older" in flash("--threshold", 0.9, bundle=older, status=1)["error"]["seen"]
    )  # having run it does not lower the bar
    mark = edgeskel("keys", "trust", "box", other_key_path.with_suffix(".pub"), "--ssh-config", box.ssh_config)[
        "trusted"
    ]
    assert len(mark) == 2
    edgeskel(
        "flash",
        "box",
        host_bundle,
        "--ssh-config",
        box.ssh_config,
        "--key",
        other_key_path,
        "--threshold",
        0.7,
        "--watch",
        2,
    )
    theirs = edgeskel("keys", "show", other_key_path)["fingerprint"]
    assert theirs not in edgeskel("keys", "revoke", "box", theirs, "--ssh-config", box.ssh_config)["trusted"]
    ours = edgeskel("keys", "show", key_path)["fingerprint"]
    assert (
        "only key" in edgeskel("keys", "revoke", "box", ours, "--ssh-config", box.ssh_config, status=1)["error"]["seen"]
    )


def made_in(bundle: Path, out: Path, created: str) -> Path:
    """The same bundle with another date."""
    import shutil

    from export.bundle import write_manifest

    shutil.copytree(bundle, out)
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    manifest["created"] = created
    write_manifest(out, manifest)
    return out


def test_a_byte_that_turns_on_the_disk(flash: Run, ask: Run, box: Box) -> None:
    before, now = flash("--threshold", 0.41)["release"], flash("--threshold", 0.42)["release"]
    path = box.root / f"opt/edgeskel/releases/{now}/bundle/model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "model.onnx was altered" in ask("verify", status=1)["error"]["seen"]
    box.run("systemctl restart edgeskel")
    found = settled(ask)
    assert (
        found["running"] == before and found["last"]["name"] == "fell back" and "model.onnx was altered" in found["why"]
    )
    assert flash("--threshold", 0.42)["release"] == now  # flashing again mends it


def test_a_full_disk_is_named_and_hurts_nothing(good: str, flash: Run, ask: Run, box: Box) -> None:
    box.run("mkdir -p /small && mount -t tmpfs -o size=8m,mode=755 tmpfs /small")
    error = flash("--prefix", "/small/edgeskel", status=1)["error"]
    assert "MB are free at /small/edgeskel" in error["seen"] and not box.run("ls /small").stdout
    # Full while it comes in: what runs goes on, and a flash afterwards goes through.
    box.run(
        "cp -a /opt/edgeskel /root/kept && mount -t tmpfs -o size=120m tmpfs /opt/edgeskel && cp -a /root/kept/. /opt/edgeskel/"
    )
    try:
        box.run("systemctl restart edgeskel; head -c 200m /dev/zero > /opt/edgeskel/filler", check=False)
        box.run("fallocate -l 1m /opt/edgeskel/never", check=False)
        text = json.dumps(flash("--threshold", 0.77, status=1)["error"])
        assert "free" in text
        assert settled(ask)["running"] == good
        box.run("rm /opt/edgeskel/filler; rm -f /opt/edgeskel/never")
        assert flash("--threshold", 0.77)["kept"]
    finally:
        box.run("systemctl stop edgeskel; umount -l /opt/edgeskel; systemctl restart edgeskel")
    assert settled(ask)["running"] == good


@pytest.mark.parametrize(
    ("what", "step"),
    [
        *(("workstation", step) for step in flashing.STEPS),
        ("device", "stage"),
        ("device", "prove"),
        ("device", "watch"),
        ("power", "stage"),
        ("power", "switch"),
        ("power", "watch"),
    ],
)
def test_killed_at_every_step(
    step: str, what: str, good: str, ask: Run, box: Box, host_bundle: Path, key_path: Path
) -> None:
    before = settled(ask)["running"]
    threshold = 0.1 + len(step + what) / 100 + flashing.STEPS.index(step) / 1000
    process = subprocess.Popen(
        command(
            "flash",
            "box",
            host_bundle,
            "--ssh-config",
            box.ssh_config,
            "--key",
            key_path,
            "--watch",
            2,
            "--threshold",
            threshold,
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stderr is not None
    new = None
    for line in process.stderr:
        if "release small-" in line:
            new = "small-" + line.partition("release small-")[2][:12]
        if line.startswith(step):
            break
    if what == "power":
        box.cut_power()
    elif what == "device":
        box.run(
            "for p in $(grep -lzs '[e]dgeskel-device' /proc/[0-9]*/cmdline | grep -o '[0-9]*'); do kill -9 $p; done; true"
        )
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if what == "power":
        box.boot()
    found = settled(ask)
    assert found["running"] in {before, new} and found["whole"][found["running"]] is True and found["why"]
    until(lambda: settled(ask), lambda found: found["health"]["source_says"] == "open")  # it has just been started


def test_a_causal_model_is_recognised_frame_by_frame(flash: Run, ask: Run, live_bundle: Path) -> None:
    made = flash(bundle=live_bundle)
    assert made["proved"]["chosen"] == {
        "artifact": "model.step.onnx",
        "engine": "onnxruntime",
        "precision": "fp32",
        "mode": "streaming",
    }
    health = until(lambda: ask("status")["health"], lambda health: health["last_event"])
    assert health["mode"] == "streaming" and health["artifact"] == "model.step.onnx" and health["checks"] > 0
    assert health["moving"] // 4 <= health["recognitions"] <= health["frames"]  # a step is four frames
    assert health["last_event"] in [json.loads(line)["event"] for line in ask("logs")["service"] if '"event"' in line]
    checked = ask("verify")
    assert checked["release"] == made["release"] and "model.step.onnx" in checked["says"]


def test_uninstall_leaves_nothing(good: str, ask: Run, box: Box) -> None:
    ask("uninstall")
    assert (
        not (box.root / "opt/edgeskel").exists()
        and box.run("systemctl list-unit-files | grep -c edgeskel", check=False).stdout == "0\n"
    )
    assert "edgeskel" not in (box.root / "etc/passwd").read_text()
    assert "no edgeskel is installed" in ask("status", status=1)["error"]["seen"]


def test_a_user_without_rights_has_units_of_his_own(flash: Run, ask: Run, box: Box) -> None:
    assert "cannot become root" in flash("--scope", "system", host="boxdev", status=1)["error"]["seen"]
    made = flash(host="boxdev")
    assert made["scope"] == "user" and made["prefix"] == "/home/dev/.local/share/edgeskel"
    box.cut_power()
    box.boot()
    until(lambda: ask("status", host="boxdev"), lambda found: found["running"] == made["release"])
    box.run("loginctl disable-linger dev")
    assert "loses its services when it logs out" in flash(host="boxdev", status=1)["error"]["seen"]
    box.run("loginctl enable-linger dev")
    ask("uninstall", host="boxdev")
    assert not (box.root / "home/dev/.local/share/edgeskel").exists()
