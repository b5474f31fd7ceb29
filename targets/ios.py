"""iPhone and iPad: ExecuTorch with XNNPACK, and Core ML where its converter runs."""

from targets.profile import Profile

__all__ = ["PROFILE"]

PROFILE = Profile(
    name="ios",
    purpose="iOS, ExecuTorch with XNNPACK and Core ML",
    artifacts=("xnnpack-int8", "xnnpack-fp32", "coreml-fp32"),
    extra="export-mobile",
    packages={"executorch": "Swift package, the branch swiftpm-VERSION of the version that the manifest names under tools"},
    notes=("The Core ML artifact can be made on Linux but run only by Apple's systems: it is not verified here.",),
)
