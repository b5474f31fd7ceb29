"""Model to artifact: the deployable graph, its formats, verification and the bundle.

    import export, targets

    bundle = export.export_bundle("edge-demo", "bundle", targets.get("jetson"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from export.exporting import export_bundle

__all__ = ["export_bundle"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("export.exporting"), name)  # needs torch; a device has other modules of this package alone


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
