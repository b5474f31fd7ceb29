"""A person made of named joints, for every layout: standing, arms a little apart, in metres.

Axes: V joints.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeskel.skeleton import Frame, Topology

# Where joints are on a person 1.75 m tall who looks along +z with y up: a person's left is +x. Taken by the longest
# name that a joint's ends with.
_PLACES = {
    "pelvis": (0.0, 0.95, 0.0),
    "spine_low": (0.0, 1.05, 0.0),
    "spine": (0.0, 1.15, 0.0),
    "chest": (0.0, 1.35, 0.0),
    "neck": (0.0, 1.5, 0.0),
    "head": (0.0, 1.65, 0.02),
    "nose": (0.0, 1.63, 0.1),
    "eye": (0.03, 1.66, 0.08),
    "ear": (0.08, 1.64, 0.0),
    "collar": (0.08, 1.42, 0.0),
    "shoulder": (0.2, 1.42, 0.0),
    "elbow": (0.3, 1.15, 0.0),
    "wrist": (0.38, 0.9, 0.05),
    "hand": (0.4, 0.82, 0.06),
    "hip": (0.1, 0.92, 0.0),
    "knee": (0.12, 0.5, 0.02),
    "ankle": (0.12, 0.08, 0.0),
    "heel": (0.12, 0.03, -0.05),
    "foot": (0.13, 0.03, 0.15),
    "toe": (0.13, 0.02, 0.18),
}


def body(topology: Topology, *, faces_camera: bool = True, at: tuple[float, float, float] = (0.0, -1.0, 3.0)) -> NDArray:
    """(V, 3) our axes. A person who faces the camera looks along -z, so that the left hand has the smaller x."""
    places = np.empty((len(topology.joints), 3))
    for index, joint in enumerate(topology.joints):
        side = -1.0 if joint.startswith("right_") else 1.0 if joint.startswith("left_") else 0.0
        name = joint.removeprefix("left_").removeprefix("right_")
        known = [key for key in _PLACES if key in name]
        finger = any(word in name for word in ("hand", "thumb", "index", "middle", "ring", "pinky"))
        key = "hand" if finger else max(known, key=len) if known else "nose"
        x, y, z = _PLACES[key]
        places[index] = (side * x, y, z)
        if finger or not known:  # no two joints in one spot
            places[index] += 0.002 * (index % 11)
    if faces_camera:
        places[:, [0, 2]] *= -1  # half a turn about the vertical
    return places + at


def standing(topology: Topology, time: float = 0.0, persons: int = 1, *, faces_camera: bool = True) -> Frame:
    """Persons beside each other, all joints certain."""
    joints = np.stack(
        [body(topology, faces_camera=faces_camera, at=(0.9 * person, -1.0, 3.0)) for person in range(persons)]
    )
    return Frame(time, joints.astype(np.float32), np.ones(joints.shape[:2], np.float32))
