"""Where the joints go in the course of a window, in the body's own frame: what can be compared without a network.

A network keeps what tells its own classes apart, and lets go of what may tell new ones apart; where it learned little, that is
most. The places of the joints themselves are untouched by any training. They are taken as the network takes them
(:class:`edgeskel.transforms.Streams`): the seen span stretched, the pelvis of the first person at its origin, turned about the
vertical to face the camera, in trunk lengths.

Axes: N windows, M persons, S frames of the window, P points in time, V joints, G = M·P·V·3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Float32, Topology

__all__ = ["POINTS", "trajectory"]

POINTS = 8
"""Points in time. 4 and 16 tell actions apart nearly as well, on the training people of five data sets."""
_STEPS = 4
"""Steps between two points, over which places are averaged."""
_HARDLY = 1e-4
"""Weight of all other joints where the hips give the body's place, so that one seen without them has one, too."""
_SEEN = 1e-3
"""Share of a point's time in which a joint must be seen, or it counts as missing."""


def trajectory(joints: Float32, confidence: Float32, topology: Topology) -> Float32:
    """The trajectory of one window.

    Args:
        joints: (M, S, V, 3) metres, of any span; 0 where missing.
        confidence: (M, S, V) in 0..1.
        topology: of the joints.

    Returns:
        (G,): joints about the pelvis and, in the root joint's place, the pelvis's way, in trunk lengths; 0 where one is missing.
    """
    persons, _, size, _ = joints.shape
    seen = np.flatnonzero((confidence > 0).any(axis=(0, 2)))
    if not len(seen):
        return np.zeros(persons * POINTS * size * 3, np.float32)
    joints, confidence = (values[:, seen[0] : seen[-1] + 1] for values in (joints, confidence))
    weights = _weights(joints.shape[1])
    known = np.einsum("ps,msv->mpv", weights, confidence.astype(np.float64))  # (M, P, V)
    moments = np.einsum("ps,msvc->mpvc", weights, joints * confidence[..., None].astype(np.float64))
    turn, origin, length = _frame(moments[0].mean(0), known[0].mean(0), topology)
    places = (moments / np.maximum(known, 1e-6)[..., None] - origin) @ turn.T / length  # (M, P, V, 3)
    hips = _points(topology)[3] * known  # (M, P, V)
    pelvis = (hips[..., None] * places).sum(2) / np.maximum(hips.sum(2), 1e-9)[..., None]  # (M, P, 3)
    moved = places - pelvis[:, :, None]
    moved[:, :, topology.root] = pelvis
    return np.where((known > _SEEN)[..., None], moved, 0).astype(np.float32).reshape(-1)


def _weights(frames: int) -> NDArray[np.float64]:
    """(P, S) how much each of the frames counts at each point: triangles about places that lie evenly over them."""
    steps = POINTS * _STEPS
    places = np.linspace(0, frames - 1, steps)[:, None]
    reach = max((frames - 1) / (steps - 1), 1.0)
    kernel = np.maximum(1 - np.abs(places - np.arange(frames)) / reach, 0)
    kernel /= kernel.sum(1, keepdims=True)
    mean: NDArray[np.float64] = kernel.reshape(POINTS, _STEPS, frames).mean(1)
    return mean


def _points(topology: Topology) -> NDArray[np.float64]:
    """(4, V) left side, right side, top and centre of the trunk, as weights of joints."""
    def of(*names: str) -> NDArray[np.float64]:
        found = [topology.index(name) for name in names if name in topology.joints]
        weights = np.zeros(len(topology.joints))
        weights[found] = 1 / max(len(found), 1)
        return weights

    return np.stack([of("left_hip", "left_shoulder"), of("right_hip", "right_shoulder"),
                     of("neck", "left_shoulder", "right_shoulder"), of("pelvis", "left_hip", "right_hip") + _HARDLY])


def _frame(moments: NDArray[np.float64], known: NDArray[np.float64],
           topology: Topology) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """(3, 3) turn, (3,) origin and trunk length of a body, from its mean places times coverage (V, 3) and its coverage (V,)."""
    weights = _points(topology)
    share = weights @ known  # (4,)
    left, right, top, centre = weights @ moments / np.maximum(share, 1e-9)[:, None]
    # What stands in where a direction was never seen: facing the camera, an adult's trunk.
    across = left - right if share[0] > 0 and share[1] > 0 else np.array([0.3, 0, 0])
    length = float(np.linalg.norm(top - centre)) if share[2] > 0 else 0.5
    x, z = across[0], across[2]
    level = max(float(np.hypot(x, z)), 1e-6)
    turn = np.array([[x, 0, z], [0, level, 0], [-z, 0, x]]) / level
    return turn, centre, max(length, 1e-3)
