"""Any Linux box: ONNX Runtime or ExecuTorch on the processor."""

from targets.profile import Profile

__all__ = ["PROFILE"]

PROFILE = Profile(
    name="host",
    purpose="Linux on a processor, ONNX Runtime and ExecuTorch",
    artifacts=("onnx-fp32", "xnnpack-fp32", "xnnpack-int8", "onnx-int8"),
    extra="all",
    packages={"onnxruntime": "pip install onnxruntime", "executorch": "pip install executorch torch, instead of onnxruntime"},
)
