"""``edgeskel devices calibrate``."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from edgeskel.cli.report import Report, console
from edgeskel.errors import DeviceError, UsageError

__all__ = ["Calibrate", "calibrate"]


@dataclass(frozen=True)
class Calibrate:
    """Find out how the sensors sit: hold a pose, then do one movement for each group of sensors, and follow what is printed.

    No key has to be pressed: that the pose was held and a movement done is seen. A sensor on the wrong limb is noticed.
    """

    session: tyro.conf.Positional[Path]
    """TOML file that says what is worn."""
    pose: str = "n-pose"
    """n-pose (arms hang) or t-pose (arms out sideways, palms down)."""
    movement: tuple[str, ...] | None = None
    """Movements, in order. By default what the worn sensors need, each side alone, so that left and right cannot be mistaken."""
    common_heading: bool = False
    """All sensors share a heading (compass, or reset side by side): one movement then tells for all, or --facing."""
    facing: float | None = None
    """With --common-heading: which way the wearer faces in the pose, degrees about up from the sensors' z axis; by a compass 0 is
    south, 90 east, 180 north. No movement is then asked for unless it is named."""
    replay: str | None = None
    """A recording (walk.mcap) in which the wearer did these steps in this order, instead of the devices."""
    out: Path | None = None
    """Where to write the calibration. By default where the session file says."""


def calibrate(config: Calibrate) -> Report:
    """Guide through the steps and write the calibration."""
    if config.facing is not None and not config.common_heading:
        raise UsageError(f"--facing {config.facing:g} without --common-heading",
                         expected="both: a facing tells something only of sensors that share a heading")
    if config.facing is not None and not math.isfinite(config.facing):
        raise UsageError(f"--facing {config.facing:g}", expected="degrees")
    from firmware_bridge.calibration_guide import CalibrationGuide, movements_for
    from firmware_bridge.feed import Feed, LiveFeed
    from firmware_bridge.recorded_feed import RecordedFeed
    from firmware_bridge.wearable import feed_of
    from firmware_bridge.wearable_config import WearableConfig
    from firmware_bridge.wearable_pipeline import WearablePipeline

    session = WearableConfig.load(config.session)
    feed: Feed = feed_of(session, camera=False) if config.replay is None else RecordedFeed(
        config.replay.removeprefix("replay:"), {device.address: device for device in session.devices}, camera=False, speed=0)
    pipeline = WearablePipeline(session)
    fusion = pipeline.fusion
    movements = config.movement
    if movements is None:
        movements = () if config.facing is not None else movements_for(
            fusion.segments, common_heading=config.common_heading, pose=config.pose)
    live = isinstance(feed, LiveFeed)
    facing = None if config.facing is None else math.radians(config.facing)
    guide = CalibrationGuide(fusion, config.pose, movements, common_heading=config.common_heading, world_facing=facing,
                  **({} if live else {"patience_s": math.inf}))
    begin, waiting_told = time.monotonic(), 0.0
    with feed:
        for now_ns, items in feed:
            for item in items:
                pipeline.take(item)
            fusion.frames(now_ns)
            pipeline.pending_notices.extend(pipeline.notices.health(feed.health))
            while pipeline.pending_notices:
                console.print(pipeline.pending_notices.popleft(), style="yellow", soft_wrap=True)
            for step in guide.look(now_ns / 1e9):
                mark = "  ok: " if step.done else f"{step.number}/{step.of}  "
                console.print(mark + step.text, style="green" if step.done else "bold")
            if guide.calibration is not None:
                break
            if live and time.monotonic() - max(begin, waiting_told) > 5.0 and guide.waiting_for:
                waiting_told = time.monotonic()
                console.print(f"  waiting: {guide.waiting_for}", style="dim")
    if fusion.refused:
        raise DeviceError("; ".join(str(error) for error in fusion.refused.values()), expected="readings of every sensor",
                          remedy="correct it and calibrate again")
    made = guide.finish()
    out = config.out or session.calibration
    made.save(out)
    judged = {sensor.segment: fusion.judgements[name] for name, sensor in fusion.sensors.items()}
    sensors = {segment: {"by": by, "heading_deg": math.degrees(made.heading[segment]), "gyroscope": judged[segment]}
               for segment, by in made.by.items()}
    data = {"calibration": out, "pose": config.pose, "held": guide.held, "movements": guide.moved, "sensors": sensors}
    return Report(data, lambda final: final.print(f"{out}: {len(sensors)} sensors", soft_wrap=True))
