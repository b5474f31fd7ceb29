"""Whose releases a device takes: public keys in one file, checked by the device's own OpenSSH.

``ssh-keygen -Y verify`` (OpenSSH 8.1 and later, so Ubuntu 20.04 and Debian 11) checks an Ed25519 signature in the SSHSIG
format. Every device that is reached over OpenSSH has it, it is maintained with the system, and it needs no package:
``openssl`` is absent from minimal systems, a compiled wheel would be another thing to install, and a signature check of
our own would be cryptography of our own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgeskel.errors import DeviceError
from edgeskel.files import atomic_write, read_regular
from edgeskel.printable import printable

__all__ = ["NAMESPACE", "Signers", "add", "check", "fingerprint", "fingerprints", "read", "remove"]

NAMESPACE = "edgeskel-release"
_FILE = 1 << 20  # bytes that the file of trusted keys may have
_DAMAGED = "# damaged: "
_LINE = re.compile(rf'\S+ (?P<options>\S*namespaces="{NAMESPACE}"\S*) (?P<key>.*)')
_KEY = re.compile(r"ssh-ed25519 (?P<blob>[A-Za-z0-9+/]+=*)(?: (?P<comment>[^\r\n]*))?")


def fingerprint(public: str) -> str:
    """``SHA256:...`` of an OpenSSH public key line, as ``ssh-keygen -l`` prints it.

    Raises:
        DeviceError: not an Ed25519 public key.
    """
    match = _KEY.fullmatch(public.strip())
    try:
        blob = base64.b64decode(match["blob"], validate=True) if match else b""
    except binascii.Error:
        blob = b""
    if not blob.startswith(b"\0\0\0\x0bssh-ed25519\0\0\0 ") or len(blob) != 51:
        raise DeviceError(
            f"{printable(public.strip(), 40)!r} is no Ed25519 public key",
            expected="a line 'ssh-ed25519 AAAA...'",
            remedy="make a key with: edgeskel keys create",
        )
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


@dataclass(frozen=True)
class Signers:
    """The file of trusted keys, line by line.

    Args:
        keys: fingerprint -> public key line, of every line that is whole.
        lines: fingerprint -> the whole line, with whatever options it was given by hand.
        damaged: number of a line that is no key's -> what stands there.
    """

    keys: dict[str, str]
    lines: dict[str, str]
    damaged: dict[int, str]

    @property
    def complaints(self) -> list[str]:
        """One line for each damaged one."""
        return [f"line {number} is no trusted key: {text!r}" for number, text in self.damaged.items()]


def read(signers: Path) -> Signers:
    """Trusted keys. A line that the disk or a hand has damaged costs that one key, not the others.

    Raises:
        DeviceError: the file cannot be read, or is no file.
    """
    try:
        content = read_regular(signers, _FILE)
    except FileNotFoundError:
        return Signers({}, {}, {})
    except OSError as error:
        raise DeviceError(
            f"{signers}: {error.strerror}", expected="the file of trusted keys", remedy="look at it on the device"
        ) from error
    found = Signers({}, {}, {})
    for number, line in enumerate(content.decode("utf-8", errors="replace").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.rstrip("\r"))
        try:
            if match is None:
                raise DeviceError("no line of a trusted key")
            mark = fingerprint(match["key"])
        except DeviceError:
            found.damaged[number] = printable(line, 60)
        else:
            found.keys[mark], found.lines[mark] = match["key"].strip(), line.rstrip("\r")
    return found


def fingerprints(signers: Path) -> dict[str, str]:
    """Trusted keys: fingerprint -> public key line.

    Raises:
        DeviceError: there are lines, and none of them is a key's any more: that is not a device that trusts nobody yet.
    """
    found = read(signers)
    if found.damaged and not found.keys:
        raise DeviceError(
            f"{signers}: {'; '.join(found.complaints[:3])}",
            expected="at least one trusted key that is whole",
            remedy="name a key yourself: edgeskel keys trust HOST KEY.pub",
        )
    return found.keys


def add(signers: Path, public: str) -> str:
    """Trust a key from now on; its fingerprint. Raises ``DeviceError`` where it is no key."""
    mark, found = fingerprint(public), read(signers)
    found.lines[mark] = f'{NAMESPACE} namespaces="{NAMESPACE}" {public.strip()}'
    _write(signers, found)
    return mark


def remove(signers: Path, mark: str) -> None:
    """Trust a key no longer.

    Raises:
        DeviceError: it was not trusted, or is the last one: a device that trusts nobody takes whoever comes first.
    """
    found = read(signers)
    if mark not in found.keys:
        raise DeviceError(f"{printable(mark, 60)} is not trusted here", expected="one of " + (", ".join(found.keys) or "none"))
    if len(found.keys) == 1:
        raise DeviceError(f"{mark} is the only key that this device trusts", remedy="trust another one first")
    del found.lines[mark]
    _write(signers, found)


def _write(signers: Path, found: Signers) -> None:
    """Whole lines as they were, damaged ones as remarks, so that they can be looked at and are in nobody's way."""
    lines = [*found.lines.values(), *(_DAMAGED + text for text in found.damaged.values())]
    with atomic_write(signers) as file:
        file.write("".join(line + "\n" for line in lines).encode())


def check(signers: Path, content: bytes, signature: bytes) -> str:
    """The fingerprint of the trusted key that signed ``content``.

    Raises:
        DeviceError: signed by another key, altered since, or there is no ssh-keygen.
    """
    program = shutil.which("ssh-keygen")
    if program is None:
        raise DeviceError(
            "no ssh-keygen here",
            expected="OpenSSH's ssh-keygen, which checks signatures",
            remedy="sudo apt install openssh-client",
        )
    found = read(signers)
    keys = found.keys
    with tempfile.TemporaryDirectory(prefix="edgeskel-") as folder:
        armour, whole = Path(folder) / "signature", Path(folder) / "signers"
        armour.write_bytes(signature)
        whole.write_text("".join(line + "\n" for line in found.lines.values()), "utf-8")
        done = subprocess.run(
            [program, "-Y", "verify", "-f", str(whole), "-I", NAMESPACE, "-n", NAMESPACE, "-s", str(armour)],
            input=content,
            capture_output=True,
            check=False,
        )
    said = (done.stdout + done.stderr).decode(errors="replace")
    marks = [mark for mark in keys if mark in said]
    if done.returncode == 0 and marks:
        return marks[0]
    reason = printable(" ".join(said.split()), 300) or f"exit status {done.returncode}"
    raise DeviceError(
        "; ".join([f"the release's signature is refused ({reason})", *found.complaints[:3]]),
        expected="a signature by one of " + (", ".join(keys) or "no key: none is trusted yet"),
        remedy="sign with a trusted key (--key FILE), or trust this one: edgeskel keys trust HOST KEY.pub",
    )
