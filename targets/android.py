"""Android phones and boards: ExecuTorch with XNNPACK on the processor."""

from targets.profile import Profile

__all__ = ["PROFILE"]

PROFILE = Profile(
    name="android",
    purpose="Android, ExecuTorch with XNNPACK",
    artifacts=("xnnpack-int8", "xnnpack-fp32"),
    extra="export-mobile",
    packages={"org.pytorch:executorch-android": "Maven, the version that the manifest names under tools"},
    notes=("A .pte file runs on the ExecuTorch release that wrote it and the next minor one.",),
)
