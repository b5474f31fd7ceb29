"""Writes a bundle: a folder with artifacts, golden inputs and a manifest that vouches for every byte of them.

The reader is ``edgeskel.runtime.bundle``, which needs numpy only, and so does this file.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeskel.runtime.bundle import MANIFEST, SCHEMA, SEAL, Bundle, Golden, Window, file_digest
from edgeskel.runtime.manifest import seal_of
from edgeskel.skeleton import Topology

__all__ = ["Bundle", "ManifestContent", "ArtifactEntry", "seal", "write_golden", "write_manifest"]


@dataclass(frozen=True)
class ArtifactEntry:
    """One artifact, before it is in the folder.

    Args:
        file: its name in the bundle.
        format: onnx, pte or safetensors.
        precision: fp32, fp16 or int8.
        engines: those that run it, the preferred one first.
        tolerance: what ``verify`` allows: least ``agreement``, largest ``max_abs_diff`` and ``top1_drop`` in points.
        details: more for the manifest, such as operators outside the delegate and what was measured.
    """

    file: str
    format: str
    precision: str
    engines: tuple[str, ...]
    tolerance: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ManifestContent:
    """What a manifest says beside the files."""

    name: str
    version: str
    target: str
    topology: Topology
    labels: tuple[str, ...]
    window: Window
    width: int
    """D, of the embedding."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Recogniser, parameters, tools, data, licence, what was left out and why."""


def write_golden(folder: Path, golden: Golden, labels: tuple[str, ...]) -> None:
    """Write ``golden.npz``, without pickled objects."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, joints=golden.joints, confidence=golden.confidence, probabilities=golden.probabilities,
                        embedding=golden.embedding, labels=np.array(labels, dtype=np.str_))
    (folder / "golden.npz").write_bytes(buffer.getvalue())


def seal(folder: Path, content: ManifestContent, entries: list[ArtifactEntry]) -> Bundle:
    """Write the manifest over everything in ``folder`` and read the bundle back.

    Raises:
        BundleError: what was written does not read back.
        OSError: the disk is full.
    """
    window, size = content.window, len(content.topology.joints)
    shape = [1, window.persons, window.frames, size]
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "name": content.name,
        "version": content.version,
        "target": content.target,
        "topology": content.topology.to_dict(),
        "labels": list(content.labels),
        "window": {"persons": window.persons, "frames": window.frames, "rate_hz": window.rate_hz, "hop": window.hop},
        "inputs": [
            {"name": "joints", "shape": [*shape, 3], "unit": "metres, right-handed, y up; missing joints hold a number too"},
            {"name": "confidence", "shape": shape, "unit": "0 missing to 1 certain"},
        ],
        "outputs": [
            {"name": "probabilities", "shape": [1, len(content.labels)]},
            {"name": "embedding", "shape": [1, content.width]},
        ],
        "artifacts": [
            {
                "file": entry.file,
                "format": entry.format,
                "precision": entry.precision,
                "engines": list(entry.engines),
                "sha256": files[entry.file],
                "bytes": os.path.getsize(folder / entry.file),
                "tolerance": dict(entry.tolerance),
                **entry.details,
            }
            for entry in entries
        ],
        "files": files,
        **content.more,
    }
    write_manifest(folder, manifest)
    return Bundle.open(folder)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` and, beside it, the digest of its bytes."""
    content = (json.dumps(manifest, indent=1) + "\n").encode()
    (folder / MANIFEST).write_bytes(content)
    (folder / SEAL).write_text(seal_of(content), encoding="utf-8")
