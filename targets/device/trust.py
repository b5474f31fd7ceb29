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
from pathlib import Path

from edgeskel.errors import DeviceError
from edgeskel.files import atomic_write

__all__ = ["NAMESPACE", "add", "check", "fingerprint", "fingerprints", "remove"]

NAMESPACE = "edgeskel-release"
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
            f"{public.strip()[:40]!r} is no Ed25519 public key",
            expected="a line 'ssh-ed25519 AAAA...'",
            remedy="make a key with: edgeskel keys create",
        )
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def fingerprints(signers: Path) -> dict[str, str]:
    """Trusted keys: fingerprint -> public key line."""
    try:
        lines = signers.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    keys = [line.partition(f'namespaces="{NAMESPACE}" ')[2] for line in lines]
    return {fingerprint(key): key for key in keys if key}


def add(signers: Path, public: str) -> str:
    """Trust a key from now on; its fingerprint."""
    keys = {**fingerprints(signers), fingerprint(public): public.strip()}
    _write(signers, list(keys.values()))
    return fingerprint(public)


def remove(signers: Path, mark: str) -> None:
    """Trust a key no longer.

    Raises:
        DeviceError: it was not trusted, or is the last one: a device that trusts nobody takes whoever comes first.
    """
    keys = fingerprints(signers)
    if mark not in keys:
        raise DeviceError(f"{mark} is not trusted here", expected="one of " + (", ".join(keys) or "none"))
    if len(keys) == 1:
        raise DeviceError(f"{mark} is the only key that this device trusts", remedy="trust another one first")
    del keys[mark]
    _write(signers, list(keys.values()))


def _write(signers: Path, keys: list[str]) -> None:
    lines = [f'{NAMESPACE} namespaces="{NAMESPACE}" {key}\n' for key in keys]
    with atomic_write(signers) as file:
        file.write("".join(lines).encode())


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
    keys = fingerprints(signers)
    with tempfile.NamedTemporaryFile(prefix="edgeskel-", suffix=".sig") as file:
        file.write(signature)
        file.flush()
        done = subprocess.run(
            [program, "-Y", "verify", "-f", str(signers), "-I", NAMESPACE, "-n", NAMESPACE, "-s", file.name],
            input=content,
            capture_output=True,
            check=False,
        )
    said = (done.stdout + done.stderr).decode(errors="replace")
    marks = [mark for mark in keys if mark in said]
    if done.returncode == 0 and marks:
        return marks[0]
    reason = " ".join(said.split()) or f"exit status {done.returncode}"
    raise DeviceError(
        f"the release's signature is refused ({reason})",
        expected="a signature by one of " + (", ".join(keys) or "no key: none is trusted yet"),
        remedy="sign with a trusted key (--key FILE), or trust this one: edgeskel keys trust HOST KEY.pub",
    )
