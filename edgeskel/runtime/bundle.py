"""Reads a bundle: a folder with artifacts, golden inputs and the manifest that vouches for every byte of them.

Numpy and the standard library only, so that it runs on any device; ``export.bundle`` writes what this reads.

Axes: G golden windows, M persons, S frames of the window, V joints, K classes, D width of the embedding.
"""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from edgeskel.errors import BundleError, CorruptFile, EdgeskelError
from edgeskel.files import open_regular
from edgeskel.printable import printable
from edgeskel.runtime import ranges
from edgeskel.runtime.manifest import AGAIN, MANIFEST, SCHEMA, SEAL, read_manifest
from edgeskel.runtime.motion import SegmenterConfig
from edgeskel.runtime.segmentation import segmenter_of
from edgeskel.skeleton import Float32, Topology
from edgeskel.values import ByValue

__all__ = [
    "CERTAINTY", "MANIFEST", "SCHEMA", "SEAL", "Artifact", "Bundle", "ProbabilityCalibration", "Golden", "StepForm", "Window",
    "certainty_of", "file_digest", "read_certainty", "step_form",
]

CERTAINTY = "certainty.json"
"""File of a checkpoint folder: what validation data said about its probabilities."""
_NAME_LIMIT = 200  # letters of a label, a joint, a name


@dataclass(frozen=True)
class Window:
    """The fixed-size input of every artifact."""

    persons: int
    """M."""
    frames: int
    """S."""
    rate_hz: float
    """Frames per second of the window."""
    hop: int
    """Frames between two live recognitions."""


@dataclass(frozen=True)
class StepForm:
    """How the frame-by-frame artifacts of a causal recogniser are fed."""

    frames: int
    """n: frames of one step, at the window's rate."""
    look_ahead: int
    """Frames after the one that an answer stands for which the recogniser uses; 0 for a causal one."""
    delay: int
    """Steps by which an answer lags behind the clip form's."""
    states: tuple[tuple[int, ...], ...]
    """Shape of each tensor of the state. A fresh state is all zeros."""


@dataclass(frozen=True)
class ProbabilityCalibration:
    """What validation data said about the probabilities; the neutral values where there was none."""

    temperature: float = 1.0
    """Logits are divided by it: above 1 the recogniser was too sure of itself, below 1 too modest."""
    threshold: float = 0.5
    """Calibrated probability under which an action is unknown."""


@dataclass(frozen=True, eq=False, repr=False)
class Artifact(ByValue):
    """One exported file of the bundle."""

    file: str
    """Name inside the bundle."""
    format: str
    """onnx, pte, ..."""
    precision: str
    """fp32, fp16, int8."""
    engines: tuple[str, ...]
    """Engines that run it, the preferred one first."""
    details: Mapping[str, Any]
    """The manifest's whole entry: digest, bytes, tolerance, what was measured."""

    def __str__(self) -> str:
        """File, precision and engines."""
        return f"{self.file}, {self.precision}, for {', '.join(self.engines)}"

    @property
    def form(self) -> str:
        """``clip``: takes whole windows; ``step``: takes the next frames and the state."""
        return str(self.details.get("form", "clip"))


@dataclass(frozen=True, eq=False, repr=False)
class Golden(ByValue):
    """Recorded inputs and the reference's answers, to prove an engine on the device.

    Args:
        joints: (G, M, S, V, 3) metres.
        confidence: (G, M, S, V).
        probabilities: (G, K).
        embedding: (G, D).
    """

    joints: Float32
    confidence: Float32
    probabilities: Float32
    embedding: Float32

    def __len__(self) -> int:
        return len(self.joints)

    def __str__(self) -> str:
        """How many windows of which shape."""
        return f"{len(self)} windows {self.joints.shape[1:]}"


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal. Raises ``OSError`` where it is absent or something else than a file."""
    digest = hashlib.sha256()
    with open_regular(path, follow=True) as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False, repr=False)
class Bundle(ByValue):
    """An opened bundle: every file that its manifest lists is there, whole and unaltered."""

    path: Path
    manifest: Mapping[str, Any]
    digest: str
    """SHA-256 that its manifest was checked by: another one is another bundle."""
    name: str
    target: str
    topology: Topology
    labels: tuple[str, ...]
    window: Window
    artifacts: tuple[Artifact, ...]
    step: StepForm | None = None
    """How its step artifacts are fed; None where it has none."""
    certainty: ProbabilityCalibration = ProbabilityCalibration()
    segmenter: SegmenterConfig = SegmenterConfig()
    """How live frames are cut into actions, as its training clips taught."""

    def __str__(self) -> str:
        """Name, target and what is in it."""
        return (f"{self.name} for {self.target}: {len(self.artifacts)} artifacts, {len(self.labels)} labels, {self.topology.name}, "
                f"in {self.path}")

    def _repr_html_(self) -> str:
        """For a notebook: what is in it."""
        from edgeskel.notebook import table

        return table(f"{self.name} for {self.target}", {
            "folder": self.path, "labels": list(self.labels), "layout": self.topology.name,
            "window": f"{self.window.persons} x {self.window.frames} frames at {self.window.rate_hz:g} Hz",
            **{artifact.file: f"{artifact.precision}, for {', '.join(artifact.engines)}" for artifact in self.artifacts}})

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Read the manifest and check every digest before anything else is used.

        Raises:
            BundleError: not a bundle, another schema, a file missing or altered, or a manifest that lacks a field.
        """
        path = Path(path)
        manifest, digest = read_manifest(path)
        try:
            ranges.check_numbers(manifest, str(path / MANIFEST))
            _check_names(manifest, str(path / MANIFEST))
            _check_files(path, manifest["files"], manifest["artifacts"])
            window = manifest["window"]
            bundle = cls(
                path=path,
                manifest=manifest,
                digest=digest,
                name=str(manifest["name"]),
                target=str(manifest["target"]),
                topology=Topology.from_dict(manifest["topology"]),
                labels=tuple(map(str, manifest["labels"])),
                window=Window(
                    int(window["persons"]), int(window["frames"]), float(window["rate_hz"]), int(window["hop"])
                ),
                artifacts=tuple(
                    Artifact(
                        str(entry["file"]),
                        str(entry["format"]),
                        str(entry["precision"]),
                        tuple(map(str, entry["engines"])),
                        entry,
                    )
                    for entry in manifest["artifacts"]
                ),
                step=step_form(manifest["step"]) if "step" in manifest else None,
                certainty=certainty_of(manifest.get("certainty", {})),
                segmenter=segmenter_of(manifest.get("segmenter", {})),
            )
        except BundleError:
            raise
        except EdgeskelError as error:  # a topology that contradicts itself
            raise BundleError(f"{path / MANIFEST}: {error.seen}", expected=error.expected, remedy=AGAIN) from error
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
            raise BundleError(
                f"{path / MANIFEST}: incomplete or malformed ({type(error).__name__}: {printable(str(error), 200)})",
                expected=f"a manifest of schema {SCHEMA}",
                remedy=AGAIN,
            ) from error
        values = 3 * bundle.window.persons * bundle.window.frames * len(bundle.topology.joints)
        states = sum(math.prod(shape) for shape in bundle.step.states) if bundle.step is not None else 0
        ranges.check_size(values, states, str(path / MANIFEST))
        return bundle

    @property
    def content(self) -> tuple[str, ...]:
        """Every file of it, by name: the manifest, its digest and what the manifest lists."""
        seal = (SEAL,) if self.manifest["schema"] == SCHEMA else ()
        return (MANIFEST, *seal, *self.manifest["files"])

    def file(self, name: str) -> Path:
        """Path of a file that the manifest lists (and whose digest was checked).

        Raises:
            BundleError: the manifest does not list it.
        """
        if name not in self.manifest["files"]:
            raise BundleError(
                f"{self.path}: the manifest lists no file {name!r}",
                expected="one of " + ", ".join(sorted(self.manifest["files"])),
            )
        return self.path / name

    @cached_property
    def golden(self) -> Golden:
        """The recorded inputs and reference outputs.

        Raises:
            BundleError: ``golden.npz`` is not what it should be.
        """
        path = self.file("golden.npz")
        size = (self.window.persons, self.window.frames, len(self.topology.joints))
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                golden = Golden(
                    *(
                        np.ascontiguousarray(data[name], np.float32)
                        for name in ("joints", "confidence", "probabilities", "embedding")
                    )
                )
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            EOFError,
            AttributeError,
            NotImplementedError,
            RuntimeError,
            MemoryError,
            OverflowError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise BundleError(
                f"{path}: unreadable ({error})", expected="golden inputs and outputs", remedy=AGAIN
            ) from error
        if (
            golden.joints.shape[1:] != (*size, 3)
            or golden.confidence.shape[1:] != size
            or golden.probabilities.shape != (len(golden), len(self.labels))
        ):
            raise BundleError(
                f"{path}: joints {golden.joints.shape}, probabilities {golden.probabilities.shape}",
                expected=f"windows of {size} and {len(self.labels)} classes",
                remedy=AGAIN,
            )
        return golden


def step_form(entry: Mapping[str, Any]) -> StepForm:
    """The manifest's entry ``step``. Raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is not one."""
    shapes = tuple(tuple(int(size) for size in state["shape"]) for state in entry["states"])
    form = StepForm(int(entry["frames"]), int(entry["look_ahead"]), int(entry["delay"]), shapes)
    if form.frames < 1 or min(form.look_ahead, form.delay) < 0 or any(size < 1 for shape in shapes for size in shape):
        raise ValueError(f"a step of {form.frames} frames with states {shapes}")
    return form


def certainty_of(entry: Mapping[str, Any]) -> ProbabilityCalibration:
    """The manifest's entry ``certainty``, neutral where it is empty. Raises ``TypeError``, ``ValueError`` or
    ``OverflowError`` where it is none."""
    values = entry.get("temperature", 1.0), entry.get("threshold", 0.5)
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        raise TypeError(f"a temperature of {values[0]!r} and a threshold of {values[1]!r}")
    found = ProbabilityCalibration(*map(float, values))
    if not (0 < found.temperature < math.inf and 0 <= found.threshold <= 1):
        raise ValueError(f"a temperature of {found.temperature:g} and a threshold of {found.threshold:g}")
    return found


def read_certainty(folder: str | Path) -> ProbabilityCalibration:
    """``certainty.json`` of a checkpoint folder, neutral where there is none.

    Raises:
        CorruptFile: it is not what it should be.
    """
    path = Path(folder) / CERTAINTY
    if not path.is_file():
        return ProbabilityCalibration()
    try:
        return certainty_of(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise CorruptFile(path, f"unreadable ({error})", expected="temperature and threshold",
                          remedy="delete it to go without") from error


def _check_names(manifest: Mapping[str, Any], where: str) -> None:
    """Labels and joints are texts of some letters that can be written anywhere, and there are not too many of them."""
    for place, names, most in (("labels", manifest["labels"], ranges.LABELS),
                               ("topology.joints", manifest["topology"]["joints"], ranges.JOINTS)):
        if not isinstance(names, list) or not 1 <= len(names) <= most:
            seen = f"{len(names)} entries" if isinstance(names, list) else type(names).__name__
            raise BundleError(f"{where}: malformed: {place} is {seen}",
                              expected=f"a list of 1 to {most} names", remedy=AGAIN)
    for name in (manifest["name"], manifest["target"], *manifest["labels"], *manifest["topology"]["joints"]):
        if not isinstance(name, str) or not 1 <= len(name) <= _NAME_LIMIT or any("\ud800" <= letter <= "\udfff" for letter in name):
            raise BundleError(f"{where}: malformed: the name {printable(repr(name), 60)}",
                              expected=f"1 to {_NAME_LIMIT} letters", remedy=AGAIN)


def _check_files(folder: Path, files: Mapping[str, str], artifacts: list[Mapping[str, Any]]) -> None:
    """Every listed file is inside the folder, present and unaltered, and every artifact is listed."""
    for entry in artifacts:
        if entry["file"] not in files:
            raise BundleError(f"{folder / MANIFEST}: artifact {entry['file']} is not among its files", remedy=AGAIN)
    for name, expected in files.items():
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\\" in name:
            raise BundleError(f"{folder / MANIFEST}: file {name!r} lies outside the bundle", expected="a relative name")
        try:
            seen = file_digest(folder / name)
        except OSError as error:
            raise BundleError(
                f"{folder / printable(name, 100)}: {error.strerror}", expected="every file that the manifest lists", remedy=AGAIN
            ) from error
        if seen != expected:
            raise BundleError(
                f"{folder / name}: SHA-256 is {seen[:12]}…",
                expected=f"{str(expected)[:12]}… as the manifest says",
                remedy=AGAIN,
            )
