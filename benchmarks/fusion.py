"""The fused skeleton against the truth of synthetic motion, and knees and hips of a real walk against an optical
system.

**Paired truth.** People of random size, habit and hand perform; a depth camera with noise, dropouts, an unknown tilt and an unknown
delay films them, and seventeen inertial sensors with noise, biases and straps that sit askew measure the same motion. The whole
person is hidden from the camera for 30 % of the time, in runs of one to three seconds. Everything goes through what a live source
uses: VQF without a compass, calibration from an N-pose and movements that are as imperfect as people make them, and
:class:`firmware_bridge.fusion.Fusion`. Errors are the mean distance of joints, each skeleton placed by its own pelvis,
over all frames after the calibration, hidden ones included. Camera alone holds what it saw last. Sensors alone know
the stature, and which way the person faced in the N-pose.

``occluded_gain`` is 1 - fused / (the better of the two alone), over all frames; ``hidden_gain`` the same over the
hidden frames only.

**Walk.** One walk with Xsens sensors and a Vicon system (gaittoolbox's sample), through the same pipeline: mounting
from the first frame (the recording begins as the person sets off from standing) and from the swing of the walk
itself, then flexion of knee and hip against Vicon's joint centres and pelvis markers, with nothing shifted.
``from_pose`` figures count both from the first frame, ``model`` figures take the joint angles of Vicon's own model.
Orientations are the sensors' own, which were running before; ``vqf9`` and ``vqf6`` figures start VQF cold in the
first step, with and without the magnetometer. Without one, nothing in a walk tells which way the pelvis' sensor faces: the
calibration is told that all share a heading, which is then not so, and the hip pays for it.

No parameter of the bridge was set on either; they are round numbers from data sheets and anatomy, given where they
are defined.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._bench import main
from tests.datasets import datasets
from tests.firmware_bridge.fusion_errors import paired, walk

__all__ = ["measure"]

SEEDS, QUICK_SEEDS = range(6), range(2)
ACTIONS, QUICK_ACTIONS = 60, 16


def measure(quick: bool) -> dict[str, Any]:
    """Joint error of sensors, camera and both on synthetic truth; knee and hip angles of a real walk."""
    seeds, actions = (QUICK_SEEDS, QUICK_ACTIONS) if quick else (SEEDS, ACTIONS)
    people = [paired(seed, actions) for seed in seeds]
    figures: dict[str, Any] = {name: float(np.mean([person[name] for person in people])) for name in people[0]}
    figures["occluded_gain"] = 1 - figures["fused_mm"] / min(figures["imu_only_mm"], figures["camera_only_mm"])
    figures["hidden_gain"] = 1 - figures["fused_hidden_mm"] / min(figures["imu_only_hidden_mm"], figures["camera_only_hidden_mm"])
    folder = datasets() / "imu-vicon-gait" / "sample"
    figures |= walk(folder, "device")
    for name, mode in (("vqf9", "9-axis"), ("vqf6", "6-axis")):
        figures |= {f"{name}_{joint}_rmse_deg": walk(folder, mode)[f"{joint}_rmse_deg"] for joint in ("knee", "hip")}
    figures["tables"] = {"People": [{"seed": seed} | {name: round(float(value), 1) for name, value in person.items()}
                                    for seed, person in zip(seeds, people, strict=True)]}
    return figures


if __name__ == "__main__":
    main("fusion", measure, seeds=tuple(SEEDS))
