"""Rotations: against scipy's, and by what must hold of any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from edgeskel import geometry as g

ANGLES = st.floats(-3.1, 3.1)
VECTORS = st.lists(st.floats(-2, 2), min_size=3, max_size=3).map(np.array)
ROTATIONS = st.lists(st.floats(-1, 1), min_size=4, max_size=4).map(np.array).filter(
    lambda quaternion: np.linalg.norm(quaternion) > 0.1).map(g.normalise)


def scipys(quaternion: NDArray[np.float64]) -> Rotation:
    return Rotation.from_quat(np.roll(quaternion, -1, -1))


@given(ROTATIONS, ROTATIONS, VECTORS)
def test_products_turn_by_the_right_factor_first(first: NDArray[np.float64], second: NDArray[np.float64],
                                                 vector: NDArray[np.float64]) -> None:
    both = g.rotate(g.multiply(first, second), vector)
    np.testing.assert_allclose(both, g.rotate(first, g.rotate(second, vector)), atol=1e-12)
    np.testing.assert_allclose(both, (scipys(first) * scipys(second)).apply(vector), atol=1e-12)
    for product in (g.float_product(first, second), g.multiply_many(first, second)):
        np.testing.assert_allclose(product, g.multiply(first, second), atol=1e-15)
    np.testing.assert_allclose(g.rotate_many(first, vector), g.rotate(first, vector), atol=1e-14)


@given(ROTATIONS, VECTORS)
def test_the_conjugate_undoes_and_the_matrix_is_scipys(quaternion: NDArray[np.float64], vector: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(g.rotate(g.conjugate(quaternion), g.rotate(quaternion, vector)), vector, atol=1e-12)
    matrix = g.to_matrix(quaternion)
    np.testing.assert_allclose(matrix, scipys(quaternion).as_matrix(), atol=1e-12)
    again = g.from_axes(*matrix.T)
    assert abs(float(again @ quaternion)) == pytest.approx(1, abs=1e-9)


@given(ROTATIONS)
def test_rotation_vectors_there_and_back(quaternion: NDArray[np.float64]) -> None:
    vector = g.logarithm(quaternion)
    if np.linalg.norm(vector) < np.pi - 1e-6:  # half a turn is one either way
        np.testing.assert_allclose(vector, scipys(quaternion).as_rotvec(), atol=1e-7)
    assert abs(float(g.exponential(vector) @ quaternion)) == pytest.approx(1, abs=1e-12)


@given(st.sampled_from([0, 1, 2]), ANGLES)
def test_turns_about_an_axis(axis: int, angle: float) -> None:
    wanted = Rotation.from_euler("xyz"[axis], angle).as_matrix()
    np.testing.assert_allclose(g.to_matrix(g.about(axis, angle)), wanted, atol=1e-12)
    np.testing.assert_allclose(g.float_about(axis, angle), g.about(axis, angle), atol=1e-15)
    if axis == 1:
        assert float(g.wrap(g.heading(g.about_up(angle)))) == pytest.approx(angle, abs=1e-9)


@given(ROTATIONS, ROTATIONS, st.floats(0, 1))
def test_on_the_way_from_one_to_another(first: NDArray[np.float64], second: NDArray[np.float64], share: float) -> None:
    apart = float((scipys(first).inv() * scipys(second)).magnitude())
    if apart > 3.1:  # either way is as short
        return
    there = g.slerp(first, second, np.array(share))
    assert float((scipys(first).inv() * scipys(there)).magnitude()) == pytest.approx(share * apart, abs=1e-6)
    assert float((scipys(there).inv() * scipys(second)).magnitude()) == pytest.approx((1 - share) * apart, abs=1e-6)


@given(VECTORS, VECTORS)
def test_the_smallest_turn_between_two_directions(first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    sizes = np.linalg.norm(first), np.linalg.norm(second)
    if min(sizes) < 1e-3:
        return
    np.testing.assert_allclose(g.rotate(g.between(first, second), first) / sizes[0], second / sizes[1], atol=1e-6)


def test_a_mean_does_not_mind_signs() -> None:
    turns = np.stack([g.about(2, angle) for angle in (-0.2, 0.0, 0.2)]) * np.array([[1.0], [-1.0], [1.0]])
    np.testing.assert_allclose(g.average(turns), [1, 0, 0, 0], atol=1e-12)
