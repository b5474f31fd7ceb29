"""Rotations as unit quaternions: (w, x, y, z), from an own frame (a sensor's, a bone's) into the world; a product turns by its
right factor first.

The world is right-handed with y up, so a heading is a turn about y. Arrays are (..., 4) in numpy. A product and a rotation are
there in the form that is fast for a few (numpy's calls are what these cost), for many, and for one of plain floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Float64", "about", "about_up", "average", "between", "conjugate", "exponential", "float_about", "float_product", "from_axes",
    "heading", "logarithm", "multiply", "multiply_many", "normalise", "rotate", "rotate_many", "slerp", "to_matrix", "wrap",
]

Float64 = NDArray[np.float64]
Floats = tuple[float, float, float, float]


# A product, and a rotation's matrix less the unit matrix, are sums of products of two components each. As tables they are
# one matrix product: numpy's calls are what a few quaternions cost.
_product = np.zeros((4, 4, 4))
for _first, _row in enumerate((((0, 1), (1, 1), (2, 1), (3, 1)), ((1, 1), (0, -1), (3, 1), (2, -1)),
                               ((2, 1), (3, -1), (0, -1), (1, 1)), ((3, 1), (2, 1), (1, -1), (0, -1)))):
    for _second, (_part, _sign) in enumerate(_row):
        _product[_first, _second, _part] = _sign
_PRODUCT = _product.reshape(16, 4)
_turn = np.zeros((4, 4, 3, 3))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _turn[0, 1 + _k, _i, _j], _turn[0, 1 + _k, _j, _i] = -2.0, 2.0
    _turn[1 + _i, 1 + _j, [_i, _j], [_j, _i]] = 2.0
    _turn[1 + _k, 1 + _k, [_i, _j], [_i, _j]] = -2.0
_TURN = _turn.reshape(16, 9)


def multiply(first: Float64, second: Float64) -> Float64:
    """Hamilton product of (..., 4) and (..., 4)."""
    pairs = first[..., :, None] * second[..., None, :]
    return np.asarray(pairs.reshape(*pairs.shape[:-2], 16) @ _PRODUCT, dtype=np.float64)


_INVERSE = np.array([1.0, -1.0, -1.0, -1.0])


def conjugate(quaternion: Float64) -> Float64:
    """(..., 4) the inverse rotation."""
    return np.asarray(quaternion * _INVERSE, dtype=np.float64)


def normalise(quaternion: Float64) -> Float64:
    """(..., 4) of length 1; the length must not be 0."""
    return np.asarray(quaternion / np.sqrt((quaternion * quaternion).sum(axis=-1, keepdims=True)), dtype=np.float64)


def rotate(quaternion: Float64, vector: Float64) -> Float64:
    """(..., 3) vectors turned by (..., 4)."""
    pairs = quaternion[..., :, None] * quaternion[..., None, :]
    turn = (pairs.reshape(*pairs.shape[:-2], 16) @ _TURN).reshape(*pairs.shape[:-2], 3, 3)
    return np.asarray(vector + (turn @ vector[..., None])[..., 0], dtype=np.float64)


def multiply_many(first: Float64, second: Float64) -> Float64:
    """As :func:`multiply`, component by component."""
    w, x, y, z = np.moveaxis(first, -1, 0)
    a, b, c, d = np.moveaxis(second, -1, 0)
    return np.stack([w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c, w * c - x * d + y * a + z * b,
                     w * d + x * c - y * b + z * a], axis=-1)


def rotate_many(quaternion: Float64, vector: Float64) -> Float64:
    """As :func:`rotate`, component by component."""
    axis = quaternion[..., 1:]
    twice = 2.0 * _cross(axis, vector)
    return np.asarray(vector + quaternion[..., :1] * twice + _cross(axis, twice), dtype=np.float64)


def _cross(first: Float64, second: Float64) -> Float64:
    # np.cross spends most of its time on generality that is not needed here.
    a, b, c = first[..., 0], first[..., 1], first[..., 2]
    x, y, z = second[..., 0], second[..., 1], second[..., 2]
    return np.stack([b * z - c * y, c * x - a * z, a * y - b * x], axis=-1)


def exponential(vector: Float64) -> Float64:
    """(..., 3) rotation vector in radians -> (..., 4)."""
    angle = np.sqrt((vector * vector).sum(axis=-1, keepdims=True))
    return np.concatenate([np.cos(angle / 2), 0.5 * np.sinc(angle / (2 * np.pi)) * vector], axis=-1)


def logarithm(quaternion: Float64) -> Float64:
    """(..., 4) -> (..., 3) the shorter rotation vector, radians."""
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    sine = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., :1])
    return np.asarray(np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0) * quaternion[..., 1:],
                      dtype=np.float64)


def slerp(first: Float64, second: Float64, share: Float64) -> Float64:
    """(..., 4) on the shorter arc from ``first`` (share 0) to ``second`` (share 1); share is (...,)."""
    dot = (first * second).sum(axis=-1)
    # Never zero, so that of two that are the same something is left to normalise; there the chord is the arc.
    half = np.maximum(np.arccos(np.minimum(np.abs(dot), 1.0)), 1e-8)
    turned = share * half
    mixed = np.sin(half - turned)[..., None] * first + np.copysign(np.sin(turned), dot)[..., None] * second
    return normalise(mixed)


def average(quaternions: Float64, weights: Float64 | None = None) -> Float64:
    """(K, 4) -> (4,) the mean rotation, whatever the signs: the largest eigenvector of the weighted sum of outer products.

    Source: Markley, Cheng, Crassidis and Oshman, "Averaging quaternions", J. Guidance Control Dynamics 30 (2007),
    10.2514/1.28949.
    """
    weighted = quaternions if weights is None else quaternions * weights[:, None]
    values, vectors = np.linalg.eigh(weighted.T @ quaternions)
    mean = vectors[:, np.argmax(values)]
    return np.asarray(mean if mean[0] >= 0 else -mean, dtype=np.float64)


def heading(quaternion: Float64) -> Float64:
    """(...,) radians: the turn about y in ``quaternion = about_up(heading) * tilt``, where tilt has no turn about y."""
    return np.asarray(2 * np.arctan2(quaternion[..., 2], quaternion[..., 0]), dtype=np.float64)


def about(axis: int, angle: Float64 | float) -> Float64:
    """(...,) radians about coordinate axis 0, 1 or 2 -> (..., 4)."""
    half = np.asarray(angle, dtype=np.float64) / 2
    quaternion = np.zeros((*half.shape, 4))
    quaternion[..., 0] = np.cos(half)
    quaternion[..., 1 + axis] = np.sin(half)
    return quaternion


def about_up(angle: Float64 | float) -> Float64:
    """(...,) radians about y -> (..., 4)."""
    return about(1, angle)


def to_matrix(quaternion: Float64) -> Float64:
    """(..., 4) -> (..., 3, 3)."""
    columns = [rotate(quaternion, np.broadcast_to(column, (*quaternion.shape[:-1], 3))) for column in np.eye(3)]
    return np.stack(columns, axis=-1)


def wrap(angle: Float64) -> Float64:
    """(...,) the same angle in -pi .. pi."""
    return np.asarray(angle - 2 * np.pi * np.round(angle / (2 * np.pi)), dtype=np.float64)


def between(first: Float64, second: Float64) -> Float64:
    """(..., 4) the smallest rotation that turns direction ``first`` (..., 3) into direction ``second`` (..., 3)."""
    a = first / np.linalg.norm(first, axis=-1, keepdims=True)
    b = second / np.linalg.norm(second, axis=-1, keepdims=True)
    a, b = np.broadcast_arrays(a, b)
    real = 1 + (a * b).sum(axis=-1, keepdims=True)
    # Opposite directions: half a turn about any axis across.
    across = np.cross(a, np.where(np.abs(a[..., :1]) < 0.9, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    opposite = real < 1e-12
    return normalise(np.concatenate([np.where(opposite, 0.0, real), np.where(opposite, across, np.cross(a, b))], -1))


def from_axes(x: Float64, y: Float64, z: Float64) -> Float64:
    """(4,) the rotation that carries the coordinate axes to three orthonormal right-handed vectors (3,)."""
    matrix = np.stack([x, y, z], axis=-1)
    # Of the four ways to divide, the one by the largest component: it never divides by next to nothing.
    trace = float(np.trace(matrix))
    squares = np.array([trace, *np.diagonal(matrix)])
    largest = int(np.argmax(squares))
    if largest == 0:
        quaternion = np.array([1 + trace, matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0],
                               matrix[1, 0] - matrix[0, 1]])
    else:
        i = largest - 1
        j, k = (i + 1) % 3, (i + 2) % 3
        quaternion = np.empty(4)
        quaternion[0] = matrix[k, j] - matrix[j, k]
        quaternion[1 + i] = 1 + 2 * matrix[i, i] - trace
        quaternion[1 + j] = matrix[j, i] + matrix[i, j]
        quaternion[1 + k] = matrix[k, i] + matrix[i, k]
    return np.asarray(quaternion / math.sqrt(float(quaternion @ quaternion)), dtype=np.float64)


def float_product(first: Sequence[float], second: Sequence[float]) -> Floats:
    """Hamilton product of two, of plain floats."""
    w, x, y, z = first
    a, b, c, d = second
    return (w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c, w * c - x * d + y * a + z * b,
            w * d + x * c - y * b + z * a)


def float_about(axis: int, angle: float) -> Floats:
    """A turn by ``angle`` radians about x (0), y (1) or z (2), of plain floats."""
    vector = [0.0, 0.0, 0.0]
    vector[axis] = math.sin(angle / 2)
    return math.cos(angle / 2), vector[0], vector[1], vector[2]
