"""Which artifact of a bundle is run here, on which engine, and why not another one."""

from __future__ import annotations

from edgeskel.errors import EngineError, UnknownChoice
from edgeskel.runtime import engines
from edgeskel.runtime.bundle import Artifact, Bundle

__all__ = ["choose", "remark"]

_FULL = "fp32"


def choose(bundle: Bundle, engine: str | None = None, precision: str | None = None, form: str = "clip") -> tuple[Artifact, str]:
    """The artifact of that form to run and the engine to run it with.

    TensorRT goes first where it runs, because nothing else there uses the GPU. Otherwise the bundle's order decides: its
    artifacts, and each artifact's engines, are listed by what was measured on their target. Only ONNX Runtime takes fp32
    first: int8 is computed in float32 there, and fp16 with casts around most operators; both are less exact and no faster.

    Args:
        bundle: opened.
        engine: one of ``engines.ENGINES``; None takes the best one present.
        precision: fp32, fp16 or int8; None leaves it to the order above.
        form: ``clip`` or ``step``.

    Raises:
        UnknownChoice: no such engine, or a precision that the bundle has not.
        EngineError: no engine here runs it; the message says why each one does not.
    """
    if engine is not None:
        engines.get(engine)  # an unknown name is refused with the list
    precisions = {artifact.precision for artifact in bundle.artifacts}
    if precision is not None and precision not in precisions:
        raise UnknownChoice(f"precision in {bundle.path}", precision, precisions)
    pairs = [
        (artifact, name)
        for artifact in bundle.artifacts
        for name in artifact.engines
        if artifact.form == form and name in engines.ENGINES and engine in (None, name) and precision in (None, artifact.precision)
    ]
    pairs.sort(key=lambda pair: (pair[1] != "tensorrt", pair[1] == "onnxruntime" and pair[0].precision != _FULL))
    refused: dict[str, str] = {}
    for artifact, name in pairs:
        if name not in refused:
            why = engines.get(name).available()
            if why is None:
                return artifact, name
            refused[name] = why
    wanted = " ".join(filter(None, (precision, "artifact for", engine or "any engine")))
    raise EngineError(
        f"{bundle.path}: no {wanted} runs here",
        expected="one of " + ", ".join(sorted({f"{a.file} on {name}" for a in bundle.artifacts for name in a.engines})),
        remedy="; ".join(f"{name}: {why}" for name, why in refused.items()),
    )


def remark(bundle: Bundle, artifact: Artifact, engine: str) -> str:
    """What somebody who expected the bundle's first precision, or a faster one, should know of this choice; "" if nothing."""
    if engine != "onnxruntime":
        return ""
    if artifact.precision == "int8":
        return (f"{artifact.file}: computed in float32, because ONNX Runtime's int8 kernels are wrong on some processors; "
                "as exact as int8 is, and no faster than fp32")
    first = next((other for other in bundle.artifacts if engine in other.engines and other.form == artifact.form), artifact)
    if artifact.precision != _FULL or first is artifact:
        return ""
    return f"{artifact.file} and not {first.file}, which is less exact and no faster with ONNX Runtime on a processor"
