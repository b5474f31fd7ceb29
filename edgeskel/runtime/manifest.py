"""The manifest of a bundle, and the digest by which an altered one is known.

``manifest.sha256`` beside ``manifest.json`` holds the SHA-256 of its bytes, as ``sha256sum`` writes and checks it. So whoever
reads a bundle, in whatever language, needs no more than a hash and a JSON reader. Bundles of schema 1 have no such file: their
manifest holds, in its field ``digest``, the SHA-256 of what it says, however it is indented or ordered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeskel.errors import BundleError
from edgeskel.files import read_regular
from edgeskel.printable import printable

__all__ = ["AGAIN", "MANIFEST", "SCHEMA", "SEAL", "content_digest", "read_manifest", "seal_of"]

MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
"""Beside it: the digest of its bytes."""
SCHEMA = 2
"""What is written; 1 is read too."""
AGAIN = "copy the bundle again or export anew"
_LIMIT, _SEAL_LIMIT = 16 << 20, 4096  # bytes


def seal_of(content: bytes) -> str:
    """What ``manifest.sha256`` says beside a manifest of these bytes."""
    return f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n"


def content_digest(manifest: Mapping[str, Any]) -> str:
    """The digest of a manifest of schema 1: SHA-256 of what it says (its field ``digest`` aside)."""
    content = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """The manifest of a bundle, and its digest.

    Raises:
        BundleError: there is none, it is unreadable, of another schema, or altered.
    """
    path = folder / MANIFEST
    try:
        content = read_regular(path, _LIMIT, follow=True)
        manifest = json.loads(content.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(f"{folder} holds no {MANIFEST}", expected="the folder of a bundle",
                          remedy="make one with: edgeskel export MODEL --target host --out DIR") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: unreadable ({error})", expected="a manifest in JSON", remedy=AGAIN) from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
    if schema not in (1, SCHEMA) or isinstance(schema, bool):
        raise BundleError(f"{path}: schema {printable(repr(schema), 40)}", expected=f"schema {SCHEMA} or 1",
                          remedy="export anew with this version of edgeskel, or install the version that wrote it")
    if schema == 1:
        return manifest, _checked_content(manifest, path)
    return manifest, _checked_bytes(content, folder)


def _checked_bytes(content: bytes, folder: Path) -> str:
    digest = hashlib.sha256(content).hexdigest()
    try:
        seal = read_regular(folder / SEAL, _SEAL_LIMIT, follow=True)
    except OSError as error:
        raise BundleError(f"{folder / SEAL}: {error.strerror or error}", expected=f"the digest of {MANIFEST} beside it",
                          remedy=AGAIN) from error
    if seal != seal_of(content).encode():
        said = printable(seal[:12].decode("utf-8", "replace"), 60)
        raise BundleError(f"{folder / MANIFEST}: its SHA-256 is {digest[:12]}…",
                          expected=f"{said}…, the digest that {SEAL} says: an unaltered manifest", remedy=AGAIN)
    return digest


def _checked_content(manifest: Mapping[str, Any], path: Path) -> str:
    try:
        digest = content_digest(manifest)
    except RecursionError as error:
        raise BundleError(f"{path}: nested too deep", expected="a manifest in JSON", remedy=AGAIN) from error
    if manifest.get("digest") != digest:
        raise BundleError(f"{path}: its content does not match its own digest", expected="an unaltered manifest", remedy=AGAIN)
    return digest
