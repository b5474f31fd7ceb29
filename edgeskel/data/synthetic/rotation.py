"""Unit quaternions in numpy: (..., 4) as w, x, y, z; a product rotates by its right factor first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["about", "conjugate", "exponential", "logarithm", "multiply", "rotate", "to_matrix"]

Float64 = NDArray[np.float64]


def exponential(vector: Float64) -> Float64:
    """(..., 3) rotation vector in radians -> (..., 4)."""
    angle = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.concatenate([np.cos(angle / 2), 0.5 * np.sinc(angle / (2 * np.pi)) * vector], axis=-1)


def logarithm(quaternion: Float64) -> Float64:
    """(..., 4) -> (..., 3) the shorter rotation vector, radians."""
    quaternion = np.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    sine = np.linalg.norm(quaternion[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., :1])
    scale = np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 2.0)
    return np.asarray(scale * quaternion[..., 1:], dtype=np.float64)


def multiply(first: Float64, second: Float64) -> Float64:
    """Hamilton product of (..., 4) and (..., 4)."""
    w, x, y, z = np.moveaxis(first, -1, 0)
    a, b, c, d = np.moveaxis(second, -1, 0)
    return np.stack([
        w * a - x * b - y * c - z * d, w * b + x * a + y * d - z * c, w * c - x * d + y * a + z * b,
        w * d + x * c - y * b + z * a
    ],
                    axis=-1)


def conjugate(quaternion: Float64) -> Float64:
    """The inverse rotation."""
    return np.asarray(quaternion * np.array([1.0, -1.0, -1.0, -1.0]), dtype=np.float64)


def rotate(quaternion: Float64, vector: Float64) -> Float64:
    """(..., 3) vectors turned by (..., 4)."""
    axis = quaternion[..., 1:]
    twice = 2.0 * _cross(axis, vector)
    return np.asarray(vector + quaternion[..., :1] * twice + _cross(axis, twice), dtype=np.float64)


def _cross(first: Float64, second: Float64) -> Float64:
    # np.cross spends most of its time on generality that is not needed here.
    a, b, c = first[..., 0], first[..., 1], first[..., 2]
    x, y, z = second[..., 0], second[..., 1], second[..., 2]
    return np.stack([b * z - c * y, c * x - a * z, a * y - b * x], axis=-1)


def about(axis: int, angle: Float64 | float) -> Float64:
    """Rotation by ``angle`` radians (...,) about coordinate axis 0, 1 or 2 -> (..., 4)."""
    half = np.asarray(angle, dtype=np.float64) / 2
    quaternion = np.zeros((*half.shape, 4))
    quaternion[..., 0] = np.cos(half)
    quaternion[..., 1 + axis] = np.sin(half)
    return quaternion


def to_matrix(quaternion: Float64) -> Float64:
    """(..., 4) -> (..., 3, 3)."""
    return np.stack([rotate(quaternion, np.broadcast_to(column, (*quaternion.shape[:-1], 3))) for column in np.eye(3)],
                    axis=-1)
