"""What a recogniser's configuration may hold: each check names the field, its value and what would be right.

A configuration comes from a file or from the command line, so a field may hold anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgeskel.errors import UsageError
from edgeskel.skeleton import Topology

__all__ = ["check_common", "check_positive", "check_share", "check_whole", "check_wholes"]


def check_common(config: Any) -> None:
    """The fields that all recognisers share (:class:`edgeskel.models.encoder.RecogniserConfig`). Raises ``UsageError``."""
    if not isinstance(config.topology, Topology):
        raise UsageError(f"topology = {config.topology!r}", expected="a joint layout")
    _check_names("labels", config.labels, least=0)
    _check_names("streams", config.streams)
    _check_names("floating", config.floating, least=0)
    for field in ("persons", "source_frames", "frames", "hop"):
        check_whole(field, getattr(config, field))
    check_positive("rate_hz", config.rate_hz)
    if not isinstance(config.low_rank, Mapping) or not all(_is_whole(rank, 1) for rank in config.low_rank.values()):
        raise UsageError(f"low_rank = {config.low_rank!r}", expected="the rank of each layer by name, at least 1")


def check_whole(field: str, value: object, least: int = 1) -> None:
    """A whole number from ``least`` on. Raises ``UsageError``."""
    if not _is_whole(value, least):
        raise UsageError(f"{field} = {value!r}", expected=f"a whole number, at least {least}")


def check_wholes(field: str, values: object, least: int = 1) -> None:
    """A list of such numbers. Raises ``UsageError``."""
    if not isinstance(values, (tuple, list)) or not all(_is_whole(value, least) for value in values):
        raise UsageError(f"{field} = {values!r}", expected=f"whole numbers, each at least {least}")


def check_positive(field: str, value: object) -> None:
    """A finite number above 0. Raises ``UsageError``."""
    if not _is_number(value) or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise UsageError(f"{field} = {value!r}", expected="a finite number above 0")


def check_share(field: str, value: object) -> None:
    """A share that is not the whole. Raises ``UsageError``."""
    if not _is_number(value) or not 0 <= float(value) < 1:  # type: ignore[arg-type]  # also false for NaN
        raise UsageError(f"{field} = {value!r}", expected="a share from 0 up to but not including 1")


def _check_names(field: str, values: Sequence[object], least: int = 1) -> None:
    names = list(values) if isinstance(values, (tuple, list)) else None
    if names is None or len(names) < least or not all(isinstance(name, str) and name for name in names) \
            or len(set(names)) < len(names):
        raise UsageError(f"{field} = {values!r}", expected="names, each once" + (f", at least {least}" if least else ""))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
