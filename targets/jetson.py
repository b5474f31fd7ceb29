"""NVIDIA Jetson (Orin with JetPack 6 and 7, Thor with JetPack 7): TensorRT, its engine built on the device."""

from targets.profile import Profile

__all__ = ["PROFILE"]

PROFILE = Profile(
    name="jetson",
    purpose="NVIDIA Jetson, TensorRT 10.3 to 11",
    artifacts=("onnx-fp16", "onnx-int8", "onnx-fp32"),
    extra="export-jetson",
    packages={
        "tensorrt": "part of JetPack; make the environment with: python3 -m venv --system-site-packages",
        "numpy": "part of JetPack",
    },
    programs=("build_engine.py",),
    notes=(
        "An engine is bound to the board and the exact TensorRT version: python3 build_engine.py makes it on the device.",
        "Int8 is often slower than fp16 on small graphs: measure both on the board with edgeskel bench.",
    ),
)
