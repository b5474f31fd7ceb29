"""Covariances in half their size and 16 bits, in units of a spread, as they lie beside a model's weights.

Axes: N rows, D width.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Float32

__all__ = ["packed", "root", "scatter", "unpacked"]


def scatter(apart: Float32, count: int | None = None) -> NDArray[np.float64]:
    """(D, D) mean of the outer products of (N, D) rows, over ``count`` instead of N where it is given."""
    exact = apart.astype(np.float64)
    covariance: NDArray[np.float64] = exact.T @ exact / (len(exact) if count is None else count)
    return covariance


def root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D, D) whose product with its transpose is the covariance, also where rounding to 16 bits has left it directions of less than
    no spread; those have none then."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), np.float64)
    except np.linalg.LinAlgError:
        spreads, directions = np.linalg.eigh(covariance)
        return np.asarray(directions * np.sqrt(np.maximum(spreads, 0)), np.float64)


def packed(covariance: NDArray[np.float64], spread: float) -> NDArray[np.float16] | None:
    """(D·(D+1)/2,) its lower triangle in units of ``spread``; None where that does not fit into 16 bits: the spread is one of
    copies of a clip, which say nothing to measure by."""
    triangle = covariance[_below(len(covariance))] / spread
    return None if np.abs(triangle).max() > np.finfo(np.float16).max else triangle.astype("<f2")


def unpacked(triangle: NDArray[np.float16], width: int, spread: float) -> Float32:
    """(D, D) of what :func:`packed` gave."""
    covariance = np.zeros((width, width), np.float32)
    covariance[_below(width)] = triangle.astype(np.float32) * np.float32(spread)
    return covariance + np.tril(covariance, -1).T


@cache
def _below(width: int) -> NDArray[np.bool_]:
    """(D, D) the lower triangle; indices of it take longer to make than all that is done with them."""
    return np.tri(width, dtype=bool)
