"""A small real bundle without any training: mean joint position -> softmax, as an ONNX graph of five nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeskel import topologies
from edgeskel.runtime.bundle import file_digest
from export.bundle import write_manifest

PERSONS, FRAMES, RATE, HOP = 2, 32, 30.0, 4
LABELS = ("left", "up", "front")  # the class is the axis along which the body stands farthest


def write_graph(path: Path, joints: int) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    float_type = TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Unsqueeze", ["confidence", "last"], ["weight"]),
            helper.make_node("Mul", ["joints", "weight"], ["seen"]),
            helper.make_node("ReduceMean", ["seen"], ["embedding"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Softmax", ["embedding"], ["probabilities"], axis=-1),
        ],
        "tiny",
        [
            helper.make_tensor_value_info("joints", float_type, [1, PERSONS, FRAMES, joints, 3]),
            helper.make_tensor_value_info("confidence", float_type, [1, PERSONS, FRAMES, joints]),
        ],
        [
            helper.make_tensor_value_info("probabilities", float_type, [1, 3]),
            helper.make_tensor_value_info("embedding", float_type, [1, 3]),
        ],
        [numpy_helper.from_array(np.array([4], np.int64), "last")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def seal(folder: Path, **changes: Any) -> None:
    """Write the manifest of what lies in ``folder``."""
    topology = topologies.get("kinect-v1")
    files = {path.name: file_digest(path) for path in folder.iterdir() if path.suffix != ".sha256" and path.name != "manifest.json"}
    manifest: dict[str, Any] = {
        "schema": 2,
        "name": "tiny",
        "target": "host",
        "topology": topology.to_dict(),
        "labels": list(LABELS),
        "window": {"persons": PERSONS, "frames": FRAMES, "rate_hz": RATE, "hop": HOP},
        "artifacts": [
            {"file": "model.onnx", "format": "onnx", "precision": "fp32", "engines": ["tensorrt", "onnxruntime"]}
        ],
        "files": files,
        **changes,
    }
    write_manifest(folder, manifest)


def write_bundle(folder: Path) -> None:
    folder.mkdir()
    write_graph(folder / "model.onnx", 20)
    rng = np.random.default_rng(0)
    joints = rng.normal(size=(4, PERSONS, FRAMES, 20, 3)).astype(np.float32)
    embedding = joints.mean(axis=(1, 2, 3))
    powers = np.exp(embedding)
    np.savez(
        folder / "golden.npz",
        joints=joints,
        confidence=np.ones(joints.shape[:-1], np.float32),
        probabilities=powers / powers.sum(1, keepdims=True),
        embedding=embedding,
    )
    seal(folder)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of one ONNX artifact; each test may spoil its own."""
    write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


class CountingEngine:
    """Answers with what it was asked: the mean of the seen joints, and the windows are kept."""

    name = "counting"

    def __init__(self) -> None:
        self.windows: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, joints: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.windows.append((joints, confidence))
        mean = (joints * confidence[..., None]).sum((0, 1, 2, 3)) / max(confidence.sum(), 1)
        powers = np.exp(mean)
        return powers / powers.sum(), mean


@pytest.fixture
def make_session() -> Callable[..., Any]:
    """``make_session(persons=1, frames=32)``: a session with an engine that records its windows."""

    def make(persons: int = 1, frames: int = FRAMES, hop: int = HOP, topology: str = "kinect-v1") -> Any:
        from edgeskel.runtime import Session, Window

        return Session(CountingEngine(), topologies.get(topology), LABELS, Window(persons, frames, RATE, hop))

    return make
