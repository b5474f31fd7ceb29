"""A Linux guest without a disk: Debian's kernel, this machine's root read-only over 9p, writes in memory.

What is built is a kernel and an initial RAM disk with busybox and the modules; QEMU starts in a second.
"""

from __future__ import annotations

import gzip
import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Timer

__all__ = ["Guest", "MissingTool", "build"]

TOOLS = {  # program -> Debian package
    "qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "modprobe": "kmod", "dpkg": "dpkg",
    "apt-get": "apt", "dbus-daemon": "dbus-daemon", "bluetoothd": "bluez"}
MODULES = (
    "virtio_pci", "9p", "9pnet_virtio", "overlay", "hci_vhci",
    # Of Bluetooth's own cryptography; the kernel would ask for them by name.
    "cmac", "ecb", "algif_hash", "algif_skcipher")
ACCELERATORS = {
    # Runs everywhere. The guest's clock counts its instructions, 10^9 a second: a host that is slow or busy makes tests long,
    # but no device late.
    "tcg": ("-accel", "tcg", "-cpu", "max", "-icount", "shift=0,sleep=on"),
    # Needs /dev/kvm and a host that lets its guests use it.
    "kvm": ("-accel", "kvm", "-cpu", "host", "-smp", "2")}
STATUS = "guest: status "
ELSEWHERE = "/usr/libexec/bluetooth:/usr/lib/bluetooth"
"""Where Debian and others put bluetoothd."""

_INIT = """#!/bin/busybox sh
export PATH=/bin
busybox mkdir -p /proc /sys /lower /upper /root
busybox mount -t proc proc /proc
for module in $(busybox cat /modules); do busybox insmod /$module; done
busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=524288,cache=loose host /lower || busybox poweroff -f
busybox mount -t tmpfs -o size=1g tmpfs /upper
busybox mkdir /upper/changes /upper/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/upper/changes,workdir=/upper/work overlay /root
cd /root
busybox mount -t devtmpfs dev dev
busybox mkdir -p dev/shm dev/pts
busybox mount -t tmpfs tmpfs dev/shm
busybox mount -t devpts devpts dev/pts
busybox mount -t proc proc proc
busybox mount -t sysfs sys sys
busybox mount -t tmpfs -o mode=1777 tmpfs run
busybox ip link set lo up
busybox rm -rf var/lib/bluetooth
busybox mkdir -p var/lib/bluetooth
busybox chroot /root /bin/sh -c '{command}'
status=$?
echo
echo "{status}$status"
busybox poweroff -f
"""


class MissingTool(Exception):
    """A program that the machine lacks; the message says how to get it."""


class Guest:
    """A built guest. See :func:`build`."""

    def __init__(self, folder: Path, release: str, modules: Sequence[Path]) -> None:
        self._folder, self._release, self._modules = folder, release, modules

    @property
    def kernel(self) -> str:
        """The kernel's release, as ``uname -r``."""
        return self._release

    def run(self, command: Sequence[str], *, at: Path, environment: dict[str, str], accelerator: str, limit_s: float,
            memory_mb: int = 2048) -> int | None:
        """Run a command of this machine in the guest, its output on ours; its exit status, None if the guest did not get there.

        Args:
            command: program and arguments.
            at: the folder that it runs in.
            environment: variables of the command.
            accelerator: of :data:`ACCELERATORS`.
            limit_s: the guest is switched off after so long.
            memory_mb: of the guest.
        """
        variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        line = f"cd {shlex.quote(str(at))} && env {variables} {shlex.join(command)}"
        disk = self._folder / "initrd.gz"
        disk.write_bytes(gzip.compress(_archive(self._files(line)), 1))
        qemu = subprocess.Popen(
            ["qemu-system-x86_64", *ACCELERATORS[accelerator], "-m", str(memory_mb),
             "-nographic", "-no-reboot", "-nic", "none",
             "-kernel", str(self._folder / "root" / "boot" / f"vmlinuz-{self._release}"),
             "-initrd", str(disk), "-append", "console=ttyS0 quiet loglevel=3 panic=-1 rdinit=/init",
             "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
        status = None
        switch = Timer(limit_s, qemu.kill)
        switch.start()
        try:
            assert qemu.stdout is not None
            for text in qemu.stdout:
                text = text.rstrip("\r\n")
                if text.startswith(STATUS):
                    status = int(text.removeprefix(STATUS))
                else:
                    print(text, flush=True)
        finally:
            switch.cancel()
            qemu.kill()
            qemu.wait()
        return status

    def _files(self, command: str) -> list[tuple[str, int, bytes]]:
        init = _INIT.format(command=command.replace("'", "'\\''"), status=STATUS)
        busybox = shutil.which("busybox")
        assert busybox is not None
        names = [module.name for module in self._modules]
        return [("bin", stat.S_IFDIR | 0o755, b""), ("dev", stat.S_IFDIR | 0o755, b""),
                ("bin/busybox", stat.S_IFREG | 0o755, Path(busybox).read_bytes()),
                ("init", stat.S_IFREG | 0o755, init.encode()), ("modules", stat.S_IFREG | 0o644, "\n".join(names).encode()),
                *((module.name, stat.S_IFREG | 0o644, module.read_bytes()) for module in self._modules)]


def build(folder: Path) -> Guest:
    """Fetch Debian's kernel into ``folder``, once, and find the modules that the guest needs.

    Raises:
        MissingTool: a program is not installed; all that are missing are named, with the command that installs them.
        CalledProcessError: the download or unpacking failed.
    """
    os.environ["PATH"] += f":{ELSEWHERE}:/usr/sbin:/sbin"
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        raise MissingTool(f"run: apt-get install --no-install-recommends {' '.join(missing)}")
    root = folder / "root"
    if not (root / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        told = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], check=True, capture_output=True, text=True).stdout
        package = next(word for word in told.split() if word.startswith("linux-image-") and word != "linux-image-amd64")
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
        subprocess.run(["dpkg", "-x", str(next(folder.glob("*.deb"))), str(root)], check=True)
        subprocess.run(["depmod", "-b", str(root), _release(root)], check=True)
        (root / "ready").touch()
    return Guest(folder, _release(root), list(_modules(root, _release(root))))


def _release(root: Path) -> str:
    return next((root / "lib" / "modules").iterdir()).name


def _modules(root: Path, release: str) -> Iterable[Path]:
    """The modules with what they need, in the order of loading."""
    seen: dict[Path, None] = {}
    for name in MODULES:
        told = subprocess.run(["modprobe", "-d", str(root), "-S", release, "--show-depends", name], check=True,
                              capture_output=True, text=True).stdout
        seen |= {Path(line.split()[1]): None for line in told.splitlines() if line.startswith("insmod")}
    return seen


def _archive(files: Iterable[tuple[str, int, bytes]]) -> bytes:
    """(name, mode, content) as the kernel wants a RAM disk: cpio, "newc" (Documentation/driver-api/early-userspace)."""
    whole = bytearray()
    for number, (name, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], start=1):
        head = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        whole += b"070701" + "".join(f"{value:08X}" for value in head).encode() + name.encode() + b"\0"
        whole += bytes(-len(whole) % 4) + content
        whole += bytes(-len(whole) % 4)
    return bytes(whole)
