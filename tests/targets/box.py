"""A device to deploy to: a Debian with systemd and sshd, booted by systemd-nspawn in seconds, on a port of loopback.

Its system is made once by debootstrap and kept; each box lays its own changes over it, so that boxes are born clean,
keep what was written through a reboot or a cut of power, and leave nothing behind; where their owner was killed, the next box
removes them. Needs root, ``systemd-container`` and
``debootstrap``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

__all__ = ["Box", "missing", "system"]

_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "dbus-user-session",
    "libpam-systemd",
    "sudo",
    "openssh-server",
    "python3",
    "python3-numpy",
)
_SUITE = "bookworm"  # Python 3.11 and numpy 1.24
_READY_S = 240.0  # it takes five, and far longer where the machine has other work
_PLACE, _PREFIX, _OWNED = "/var/tmp", "edgeskel-box-", "owned.lock"


def missing() -> str | None:
    """Why no box can be made here and what to do; None when it can."""
    if os.geteuid():
        return "a box needs root: systemd-nspawn mounts and boots a system"
    absent = [
        package
        for program, package in (
            ("systemd-nspawn", "systemd-container"),
            ("debootstrap", "debootstrap"),
            ("ssh", "openssh-client"),
        )
        if shutil.which(program) is None
    ]
    return f"run: apt-get install --no-install-recommends {' '.join(absent)}" if absent else None


def system() -> Path:
    """The system under every box, made once: about a minute and 400 MB. It is kept in ``EDGESKEL_BOXES``."""
    home = Path(os.environ.get("EDGESKEL_BOXES") or "/var/tmp/edgeskel-boxes")
    home.mkdir(parents=True, exist_ok=True)
    root = home / f"{_SUITE}-1"
    with FileLock(f"{root}.lock"):
        if not root.is_dir():
            part = root.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            subprocess.run(
                ["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, str(part)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            part.rename(root)
    return root


class Box:
    """One booted system. A context manager; ``ssh_config`` names it ``box`` (root) and ``boxdev`` (a user without rights).

    Args:
        nice: of every process on it, so that a box that only grinds leaves the processor to the others.
    """

    def __init__(self, *, nice: int = 0) -> None:
        self._nice = nice
        _remove_orphans()
        self._home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_PLACE))
        self._owned = FileLock(self._home / _OWNED)  # until this process ends, however it ends
        self._owned.acquire()
        self.root = self._home / "root"
        self.port = _free_port()
        self.ssh_config = self._home / "ssh_config"
        self._process: subprocess.Popen[bytes] | None = None
        self._first: int | None = None  # its process 1, seen from here

    def __enter__(self) -> Box:
        try:
            self._lay_out()
            self.boot()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut_power()
        self._remove()

    def _lay_out(self) -> None:
        base = system()
        for name in ("upper", "work", "root"):
            (self._home / name).mkdir()
        subprocess.run(
            [
                "mount",
                "-t",
                "overlay",
                "edgeskel-box",
                "-o",
                f"lowerdir={base},upperdir={self._home / 'upper'},workdir={self._home / 'work'}",
                str(self.root),
            ],
            check=True,
        )
        key = self._home / "id"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        (self.root / "etc/ssh/sshd_config.d/box.conf").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nUseDNS no\nMaxStartups 100\n"
        )
        (self.root / "etc/hostname").write_text("box\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost box\n")
        subprocess.run(
            ["chroot", str(self.root), "useradd", "--create-home", "--shell", "/bin/bash", "dev"], check=True
        )
        (self.root / "var/lib/systemd/linger").mkdir(parents=True, exist_ok=True)
        (self.root / "var/lib/systemd/linger/dev").touch()
        owner = (self.root / "home/dev").stat()
        for home, uid in (("root", 0), ("home/dev", owner.st_uid)):
            folder = self.root / home / ".ssh"
            folder.mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(f"{key}.pub", folder / "authorized_keys")
            for path in (folder, folder / "authorized_keys"):
                os.chown(path, uid, owner.st_gid if uid else 0)
        host = (self.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
        known = self._home / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.port} {' '.join(host)}\n")
        self.ssh_config.write_text(
            "".join(
                f"Host {name}\n  HostName 127.0.0.1\n  Port {self.port}\n  User {user}\n"
                f"  IdentityFile {key}\n  IdentitiesOnly yes\n"
                f"  UserKnownHostsFile {known}\n  StrictHostKeyChecking yes\n"
                for name, user in (("box", "root"), ("boxdev", "dev"))
            )
        )

    def boot(self) -> None:
        """Start it and wait until it is up. Raises ``TimeoutError`` when it does not come up."""
        with (self._home / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [
                    "nice",
                    "-n",
                    str(self._nice),
                    "systemd-nspawn",
                    "--quiet",
                    "-D",
                    str(self.root),
                    "--register=no",
                    "--keep-unit",
                    "--boot",
                    f"--machine=box{self.port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until log-ins work. Raises ``TimeoutError``."""
        end = time.monotonic() + _READY_S
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            done = self.run("systemctl is-system-running --wait", check=False)
            if done.returncode in (0, 1) and done.stdout.strip() in ("running", "degraded"):
                return
            time.sleep(0.2)
        raise TimeoutError(f"the box did not boot: {(self._home / 'console.log').read_text(errors='replace')[-2000:]}")

    def run(self, command: str, user: str = "box", *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A shell command on the box."""
        return subprocess.run(
            ["ssh", "-F", str(self.ssh_config), "-o", "LogLevel=ERROR", user, command],
            capture_output=True,
            text=True,
            check=check,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )

    def nsenter(self, command: str) -> subprocess.CompletedProcess[str]:
        """A shell command on the box as root, from beside it: without its sshd, which faults may hit."""
        return subprocess.run(
            ["nsenter", "--target", str(self._init), "--all", "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )

    def read(self, path: str) -> str:
        """A file of the running box, its memory's (``/run``) too. Raises ``OSError``."""
        return Path(f"/proc/{self._init}/root{path}").read_text("utf-8", errors="replace")

    @property
    def _init(self) -> int:
        if self._process is not None and self._first is None:
            self._first = _init_of(self._process.pid)
        if self._first is None:
            raise ProcessLookupError("the box is off")
        return self._first

    def cut_power(self) -> None:
        """Everything on it ends at once, as when the plug is pulled; what was written stays."""
        if self._process is None:
            return
        _kill(self._process.pid)
        self._process.wait()
        self._process = self._first = None

    def _remove(self) -> None:
        self._owned.release()
        _remove(self._home)


def _remove(home: Path) -> None:
    """Unmount and delete what lies in a box's folder; its processes have ended."""
    root, end = home / "root", time.monotonic() + 10
    while subprocess.run(["umount", str(root)], capture_output=True, check=False).returncode and time.monotonic() < end:
        if not os.path.ismount(root):
            break
        time.sleep(0.2)
    if os.path.ismount(root):
        subprocess.run(["umount", "--lazy", str(root)], check=False)
    shutil.rmtree(home, ignore_errors=True)


def _remove_orphans() -> None:
    """Boxes whose owner was killed run on; nobody else ends them."""
    for owned in Path(_PLACE).glob(f"{_PREFIX}*/{_OWNED}"):
        with suppress(Timeout), FileLock(owned, timeout=0):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    if words[0].endswith(b"systemd-nspawn") and str(owned.parent / "root").encode() in words:
                        _kill(int(process.name))
            _remove(owned.parent)


def _kill(nspawn: int) -> None:
    """End a box's process 1, and with it all the others, and what booted it."""
    for pid in filter(None, (_init_of(nspawn), nspawn)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _init_of(nspawn: int) -> int | None:
    """Process 1 of the box, seen from here."""
    for entry in Path("/proc").glob("[0-9]*/status"):
        try:
            text = entry.read_text()
        except OSError:
            continue
        fields = dict(line.partition(":\t")[::2] for line in text.splitlines())
        if fields.get("PPid") == str(nspawn) and fields.get("NSpid", "").split()[-1:] == ["1"]:
            return int(entry.parent.name)
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
