"""The body that wears the sensors: its segments, where a sensor sits on them, how they move, which way they face.

    segments      which segments there are, how long, and what is assumed of those without a sensor
    kinematics    orientations of segments -> positions of joints, feet on the floor
    calibration   from a pose and a movement: how each sensor sits on its segment
    heading       which way each sensor's world faces, and slow correction of its drift

Axes of every segment, in the standing pose with hanging arms (N-pose): x to the body's left, y up, z ahead.
"""

from firmware_bridge.body.calibration import MOVEMENTS, POSES, Calibration, calibrate, check_limbs
from firmware_bridge.body.heading import HeadingEstimator
from firmware_bridge.body.kinematics import FloorContact, Skeleton
from firmware_bridge.body.segments import SEGMENTS, BodyDimensions, infer
from firmware_bridge.track import Track

__all__ = ["MOVEMENTS", "POSES", "SEGMENTS", "BodyDimensions", "Calibration", "FloorContact", "HeadingEstimator", "Skeleton",
           "Track", "calibrate",
           "check_limbs", "infer"]
