"""Ed25519 keys and signatures in OpenSSH's own forms, made with ``cryptography``.

Keys are OpenSSH key files; a signature is an SSHSIG (OpenSSH, PROTOCOL.sshsig), so that the ``ssh-keygen`` of any device
checks it and needs nothing of ours for that.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskel.errors import UsageError
from edgeskel.extras import require
from edgeskel.files import atomic_write, read_regular
from targets.device.ownership import untrusted
from targets.device.trust import NAMESPACE, fingerprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Key", "create", "default_path", "load", "public_line"]

_MAGIC = b"SSHSIG"
_HASH = b"sha512"
_LIMIT = 64 << 10  # bytes of a key's file


def default_path() -> Path:
    """Where the key lies that signs when none is named."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "edgeskel" / "release_key"


class Key:
    """A private key that signs releases.

    Args:
        private: Ed25519.
        comment: behind the public key, for people.
    """

    def __init__(self, private: Ed25519PrivateKey, comment: str = "") -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        self._private = private
        self._raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public: str = " ".join(filter(None, ("ssh-ed25519", base64.b64encode(self._blob()).decode(), comment)))
        self.fingerprint: str = fingerprint(self.public)

    def _blob(self) -> bytes:
        return _string(b"ssh-ed25519") + _string(self._raw)

    def sign(self, content: bytes) -> bytes:
        """The armored SSHSIG of ``content`` in our namespace. Ed25519 is deterministic: the same content, the same bytes."""
        digest = hashlib.new(_HASH.decode(), content).digest()
        signed = _MAGIC + _string(NAMESPACE.encode()) + _string(b"") + _string(_HASH) + _string(digest)
        signature = _string(b"ssh-ed25519") + _string(self._private.sign(signed))
        blob = (
            _MAGIC
            + struct.pack(">I", 1)
            + _string(self._blob())
            + _string(NAMESPACE.encode())
            + _string(b"")
            + _string(_HASH)
            + _string(signature)
        )
        text = base64.b64encode(blob).decode()
        lines = [text[start : start + 70] for start in range(0, len(text), 70)]
        return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]).encode()


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def create(path: Path) -> Key:
    """Make a key: ``path`` for its owner alone, ``path.pub`` for the devices.

    Raises:
        UsageError: there is one already.
        MissingExtra: ``cryptography`` is not installed.
    """
    if path.exists():
        raise UsageError(
            f"{path} exists", expected="a path without a key", remedy="use it, or move it away: devices trust it"
        )
    ed25519: Any = require("cryptography.hazmat.primitives.asymmetric.ed25519", "signing a release", "flash")
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = ed25519.Ed25519PrivateKey.generate()
    key = Key(private, f"edgeskel {getuser()}@{os.uname().nodename}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mask = os.umask(0o077)
    try:
        with atomic_write(path) as file:
            file.write(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    finally:
        os.umask(mask)
    with atomic_write(path.with_name(path.name + ".pub")) as file:
        file.write(f"{key.public}\n".encode())
    return key


def load(path: Path) -> Key:
    """Read a private key.

    Raises:
        UsageError: absent, readable by others or theirs to exchange, of another kind, or locked with a passphrase.
        MissingExtra: ``cryptography`` is not installed.
    """
    serialization: Any = require("cryptography.hazmat.primitives.serialization", "signing a release", "flash")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        content = read_regular(path, _LIMIT, follow=True)
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", expected="a private key", remedy=f"make one: edgeskel keys create {path}"
        ) from error
    if mode & 0o077:
        raise UsageError(
            f"{path} can be read by others", expected="a key for its owner alone", remedy=f"chmod 600 {path}"
        )
    # Who could exchange the key would have the devices that trust the next flash trust his.
    if hasattr(os, "O_PATH") and (why := untrusted(str(path), os.getuid(), sticky=True)):
        raise UsageError(
            f"{path}: {why}",
            expected="a key that nobody else can exchange",
            remedy="make one: edgeskel keys create, or move this one to a folder of your own",
        )
    try:
        private = serialization.load_ssh_private_key(content, None)
    except TypeError as error:
        raise UsageError(
            f"{path} has a passphrase",
            expected="a key of its own for releases, without one",
            remedy="make one: edgeskel keys create",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path} is no private key in OpenSSH's form ({error})",
            expected="an Ed25519 key",
            remedy="make one: edgeskel keys create",
        ) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(
            f"{path} holds a {type(private).__name__}",
            expected="an Ed25519 key",
            remedy="make one: edgeskel keys create",
        )
    public = path.with_name(path.name + ".pub")
    comment = _text(public).strip().split(" ", 2)[2:] if public.is_file() else []
    return Key(private, comment[0] if comment else "")


def _text(path: Path) -> str:
    return read_regular(path, _LIMIT, follow=True).decode("utf-8", errors="replace")


def public_line(path: Path) -> str:
    """The public key in ``path``, or of the private key there. Raises ``UsageError`` when it is none, or absent."""
    for candidate in (path, path.with_name(path.name + ".pub")):
        if candidate.is_file() and (text := _text(candidate).strip()).startswith("ssh-"):
            fingerprint(text)
            return text
    return load(path).public
