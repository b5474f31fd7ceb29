"""The clock of a user's own recordings: its unit, and stamps that stand still.

Axes: T frames.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeskel.data.notes import Notes
from edgeskel.errors import CorruptFile, InvalidClip
from edgeskel.skeleton import Float64

__all__ = ["UNITS", "later", "seconds"]

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Of one step of a clock, seconds; ``frames`` counts frames of ``frame_rate``."""

NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "frames": "frame numbers"}
FITS, CLOSE = 5.0, 1.5  # a clock fits a frame rate when its median step is the rate's period within this factor
SLOWEST_HZ = 2.0  # recordings of fewer frames a second show no actions: their clock counts something else
MOST_STOPPED = 0.25  # of the frames may repeat a stamp; more, and the clock is too coarse


def seconds(stamps: Float64, unit: str, rate_hz: float, file: Path, notes: Notes, source: str) -> Float64:
    """Stamps as seconds.

    Args:
        stamps: (T,) as the file has them.
        unit: a key of ``UNITS``, ``"frames"``, or "" where nobody said: then seconds if these fit the frame rate, else
            the one unit that does.
        rate_hz: the stated frame rate; 0 where there is none.
        file: for the message.
        notes, source: where to say what the clock was taken for.

    Raises:
        CorruptFile: no unit fits, or frame numbers without a frame rate.
    """
    if not np.isfinite(stamps).all():
        raise CorruptFile(file, f"{int((~np.isfinite(stamps)).sum())} of {len(stamps)} time stamps are no numbers",
                          expected="a number in each row")
    steps = np.diff(stamps)
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    if not unit:
        unit = _unit(step, stamps - stamps[0], rate_hz, file) if step else "s"
        if unit != "s":
            notes.add(f"the time counts {NAMES[unit]}, as frame_rate = {rate_hz:g} says (time_unit says otherwise)", source,
                      f"{step:g} from frame to frame")
    if unit == "frames" and not rate_hz:
        raise CorruptFile(file, "time in frame numbers, and no frame_rate", expected="frame_rate = HZ in dataset.toml")
    return stamps / rate_hz if unit == "frames" else stamps * UNITS[unit]


def _unit(step: float, stamps: Float64, rate_hz: float, file: Path) -> str:
    remedy = f"say what it counts in dataset.toml: time_unit = one of {', '.join((*UNITS, 'frames'))}"
    if step <= 1 / SLOWEST_HZ:
        return "s"
    if not rate_hz:
        raise CorruptFile(file, f"time stamps {step:g} apart, and nothing says what they count",
                          expected=f"seconds, {1 / SLOWEST_HZ:g} apart at most", remedy=remedy)
    whole = bool((stamps == np.round(stamps)).all())
    apart = {unit: abs(np.log(step * size * rate_hz)) for unit, size in UNITS.items()}
    best = min(apart, key=lambda unit: apart[unit])
    if whole and step <= 3 and apart[best] > np.log(CLOSE):  # every frame, or every second or third one was recorded
        return "frames"
    if apart[best] <= np.log(FITS):
        return best
    if whole and step <= 10:
        return "frames"
    raise CorruptFile(file, f"time stamps {step:g} apart do not fit frame_rate = {rate_hz:g} in any unit",
                      expected=f"about {1 / rate_hz:.4g} s, or as many ms, us or ns, or frame numbers", remedy=remedy)


def later(time: Float64, file: str, notes: Notes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(T,) which frames are later than all before them, as a live session takes them.

    Raises:
        InvalidClip: more than a quarter are not.
    """
    before = np.concatenate([[-np.inf], np.maximum.accumulate(time)[:-1]])
    kept = time > before
    stopped = int((~kept).sum())
    if stopped > MOST_STOPPED * len(time):
        raise InvalidClip(f"{file}: time does not increase in {stopped} of {len(time)} frames",
                          expected="strictly increasing time, or a few repeated stamps",
                          remedy="leave out the time and state frame_rate, if the clock is too coarse")
    if stopped:
        notes.add("frames that are not later than the one before are left out", file, f"{stopped} of {len(time)}")
    return np.asarray(kept)
