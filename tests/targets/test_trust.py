"""Signatures that ``cryptography`` makes are those that OpenSSH checks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeskel.errors import DeviceError, UsageError
from targets.device import trust
from targets.flash import signing

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="run: apt-get install openssh-client")


@pytest.fixture
def key(tmp_path: Path) -> signing.Key:
    return signing.create(tmp_path / "home" / "release_key")


@pytest.fixture
def signers(tmp_path: Path, key: signing.Key) -> Path:
    path = tmp_path / "allowed_signers"
    trust.add(path, key.public)
    return path


@pytest.mark.parametrize("content", [b"", b"a", b"release\n" * 100_000, bytes(range(256))])
def test_openssh_takes_the_signature(key: signing.Key, signers: Path, content: bytes) -> None:
    signature = key.sign(content)
    assert trust.check(signers, content, signature) == key.fingerprint and signature == key.sign(content)


def test_anything_else_is_refused(key: signing.Key, signers: Path, tmp_path: Path) -> None:
    signature = key.sign(b"release")
    stranger = signing.create(tmp_path / "stranger")
    for content, wrong in (
        (b"releasE", signature),
        (b"release", stranger.sign(b"release")),
        (b"release", b""),
        (b"release", signature[:-40]),
        (b"release", signature.replace(b"SSH", b"SSL")),
    ):
        with pytest.raises(DeviceError, match="signature is refused"):
            trust.check(signers, content, wrong)
    with pytest.raises(DeviceError, match="signature is refused"):
        trust.check(tmp_path / "nobody", b"release", signature)


def test_a_signature_for_another_purpose_is_refused(key: signing.Key, signers: Path, tmp_path: Path) -> None:
    message = tmp_path / "mail"
    message.write_bytes(b"release")
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", str(tmp_path / "home/release_key"), "-n", "file", str(message)],
        check=True,
        capture_output=True,
    )
    with pytest.raises(DeviceError, match="signature is refused"):
        trust.check(signers, b"release", message.with_suffix(".sig").read_bytes())
    message.with_suffix(".sig").unlink()
    # OpenSSH's own signature with our key and purpose is the one that we make.
    subprocess.run(
        [
            "ssh-keygen",
            "-q",
            "-Y",
            "sign",
            "-f",
            str(tmp_path / "home/release_key"),
            "-n",
            trust.NAMESPACE,
            str(message),
        ],
        check=True,
        capture_output=True,
    )
    assert message.with_suffix(".sig").read_bytes().split() == key.sign(b"release").split()


def test_keys_are_openssh_keys(key: signing.Key, tmp_path: Path) -> None:
    path = tmp_path / "home" / "release_key"
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{path}.pub"], check=True, capture_output=True, text=True
    ).stdout
    assert key.fingerprint in listed and os.stat(path).st_mode & 0o777 == 0o600
    derived = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], check=True, capture_output=True, text=True).stdout
    assert derived.split()[:2] == key.public.split()[:2]
    assert signing.load(path).public == key.public == signing.public_line(path)


def test_keys_that_cannot_be_used_are_named(key: signing.Key, tmp_path: Path) -> None:
    path = tmp_path / "home" / "release_key"
    with pytest.raises(UsageError, match="exists"):
        signing.create(path)
    with pytest.raises(UsageError, match="edgeskel keys create"):
        signing.load(tmp_path / "absent")
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        signing.load(path)
    rsa = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(rsa)], check=True)
    with pytest.raises(UsageError, match="Ed25519"):
        signing.load(rsa)
    with pytest.raises(DeviceError, match="no Ed25519 public key"):
        trust.fingerprint(rsa.with_suffix(".pub").read_text())
    with pytest.raises(DeviceError, match="no Ed25519 public key"):
        trust.add(
            tmp_path / "signers", "ssh-ed25519 AAAA\nedgeskel-release ssh-ed25519 BBBB"
        )  # no second line is smuggled in


def test_a_locked_key_is_named(key: signing.Key, tmp_path: Path) -> None:
    path = tmp_path / "home" / "release_key"
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(path)], check=True, capture_output=True
    )
    with pytest.raises(UsageError, match="has a passphrase"):
        signing.load(path)


def test_a_key_that_is_removed_is_trusted_no_longer(key: signing.Key, signers: Path, tmp_path: Path) -> None:
    other = signing.create(tmp_path / "other")
    assert trust.add(signers, other.public) == other.fingerprint and set(trust.fingerprints(signers)) == {
        key.fingerprint,
        other.fingerprint,
    }
    trust.remove(signers, key.fingerprint)
    with pytest.raises(DeviceError, match="refused"):
        trust.check(signers, b"x", key.sign(b"x"))
    with pytest.raises(DeviceError, match="only key"):
        trust.remove(signers, other.fingerprint)
    with pytest.raises(DeviceError, match="not trusted"):
        trust.remove(signers, key.fingerprint)


DAMAGE = {
    "cut": lambda line: line[: len(line) // 2],
    "another letter": lambda line: line.replace(b"ssh-ed25519 AAAA", b"ssh-ed25519 AAAB"),
    "zeros": lambda line: b"\0" * len(line),
    "no text": lambda line: line.replace(b"ssh", b"\xff\xfe\x80"),
    "steers a terminal": lambda line: b"\x1b[2J\x1b]0;owned\x07" + line[:20],
    "another kind": lambda line: line.replace(b"ssh-ed25519", b"ssh-rsa"),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_bad_line_costs_one_key(key: signing.Key, tmp_path: Path, how: str, which: int) -> None:
    keys = [key, signing.create(tmp_path / "b"), signing.create(tmp_path / "c")]
    signers = tmp_path / "allowed_signers"
    for one in keys:
        trust.add(signers, one.public)
    lines = signers.read_bytes().splitlines()
    lines[which] = DAMAGE[how](lines[which])
    signers.write_bytes(b"\n".join(lines) + b"\n")
    found = trust.read(signers)
    good = [one for one in keys if one is not keys[which]]
    assert set(found.keys) == {one.fingerprint for one in good} and list(found.damaged) == [which + 1]
    assert found.complaints[0].startswith(f"line {which + 1} ") and found.complaints[0].isprintable()
    for one in good:
        assert trust.check(signers, b"release", one.sign(b"release")) == one.fingerprint
    with pytest.raises(DeviceError, match=rf"refused .*line {which + 1} is no trusted key"):
        trust.check(signers, b"release", keys[which].sign(b"release"))
    trust.add(signers, keys[which].public)  # every command goes on, and mends it
    assert set(trust.fingerprints(signers)) == {one.fingerprint for one in keys} and not trust.read(signers).damaged
    trust.remove(signers, good[0].fingerprint)
    assert good[0].fingerprint not in trust.fingerprints(signers)


def test_a_file_without_a_whole_key_is_not_a_device_that_trusts_nobody_yet(key: signing.Key, tmp_path: Path) -> None:
    """Else whoever comes first after the damage would be trusted."""
    signers = tmp_path / "allowed_signers"
    signers.write_bytes(b"\0" * 200)
    with pytest.raises(DeviceError, match="line 1 is no trusted key") as caught:
        trust.fingerprints(signers)
    assert "keys trust" in caught.value.remedy
    assert trust.add(signers, key.public) == key.fingerprint and list(trust.fingerprints(signers)) == [key.fingerprint]


def test_what_a_hand_wrote_into_the_file_still_holds(key: signing.Key, signers: Path, tmp_path: Path) -> None:
    line = signers.read_text().replace("namespaces=", 'valid-before="20200101",namespaces=')
    signers.write_text("# ours\n\n" + line + "broken\n")
    assert list(trust.fingerprints(signers)) == [key.fingerprint]
    with pytest.raises(DeviceError, match="refused"):  # ssh-keygen is asked with the line as it stands
        trust.check(signers, b"release", key.sign(b"release"))


def test_a_pipe_in_the_place_of_the_file_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "allowed_signers")
    with pytest.raises(DeviceError, match="no regular file"):
        trust.fingerprints(tmp_path / "allowed_signers")
