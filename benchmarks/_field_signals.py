"""Time stamps, losses and gaps as they are in the field, made in BROAD's recordings: what they cost the orientation.

Every case is put through :class:`~firmware_bridge.orientation.Orientation` (with :class:`~firmware_bridge.clock.Clock` where
there is no clock) and compared with VQF on the same readings, all there and at their true times. Axes: N readings.
"""

from __future__ import annotations

import numpy as np

from tests.firmware_bridge.signal_errors import (
    ALL,
    FAST,
    GAPS_S,
    QUICK,
    estimate,
    gap_errors_deg,
    greatest,
    jitter_errors_deg,
    motion,
    rms,
    tilt_deg,
)

__all__ = ["measure"]


def measure(quick: bool) -> dict[str, float]:
    """What jitter, losses and gaps cost.

    - ``jitter_tilt_deg``: tilt error beyond VQF's at the nominal rate, with device stamps that jitter by 2, 5 or 10 ms (standard
      deviation, normal) at 100 Hz: the greatest of any reading after the first two seconds, of all trials and seeds;
      ``jitter_tilt_rms_deg`` is the root mean square of the worst recording.
    - ``jitter_other_rate_tilt_deg``: root mean square of the worst, 10 ms at 104 Hz, no multiple of 5 Hz.
    - ``jitter_arrival_tilt_deg``: as the first, of a device without clock and counter whose readings arrive up to 10 ms late
      (uniform).
    - ``jitter_loss_tilt_deg``: root mean square of the worst, with device stamps that jitter by 5 ms and 2 % of the readings lost
      without a counter.
    - ``packets_tilt_deg``: as the first, of a device without clock and counter that puts eight readings into a packet.
    - ``gap_tilt_deg``: gaps of 0.05 to 0.25 s every 4 s, in motion of up to some hundreds of degrees/s: the greatest tilt error
      within half a second after a gap that was bridged without a word, beyond that before it. Gaps after which the heading was said
      to be lost and the tilt taken anew are not in it; ``gap_marked_share`` is how many they are, ``gap_marked_tilt_deg`` the mean
      error of theirs half a second to a second later.
    """
    seconds, trials, seeds = (20.0, QUICK, (0,)) if quick else (90.0, ALL, (0, 1, 2))
    recorded = [motion(trial, 100.0, seconds) for trial in trials]
    jitter = [jitter_errors_deg(one, jitter_s, seed) for one in recorded for seed in seeds for jitter_s in (0.002, 0.005, 0.01)]
    other = [jitter_errors_deg(motion(trial, 104.0, seconds), 0.01, seed) for trial in FAST for seed in seeds]
    arrival = [jitter_errors_deg(one, 0.01, seed, arrival=True) for one in recorded for seed in seeds]
    loss = [jitter_errors_deg(one, 0.005, seed, loss=0.02) for one in recorded for seed in seeds]
    figures = {"jitter_tilt_deg": greatest(jitter), "jitter_tilt_rms_deg": max(map(rms, jitter)),
               "jitter_other_rate_tilt_deg": max(map(rms, other)), "jitter_arrival_tilt_deg": greatest(arrival),
               "jitter_loss_tilt_deg": max(map(rms, loss))}
    packets = []
    for one in recorded:
        stamps = (np.arange(len(one.time)) // 8 + 1) * 8 / one.rate_hz
        found, whose, _ = estimate(one, stamps, range(len(one.time)), arrival=True)
        packets.append(tilt_deg(found, one.reference[whose])[one.time[whose] >= 2])
    bridged: list[float] = []
    marked: list[float] = []
    shares: list[float] = []
    for seed, gap_s in enumerate(GAPS_S):
        for one in recorded:
            gaps, after, share = gap_errors_deg(one, gap_s, 4.0, seed)
            bridged += gaps.tolist()
            marked += after.tolist()
            shares.append(share)
    return {**figures, "packets_tilt_deg": greatest(packets),
            "gap_tilt_deg": max(bridged), "gap_marked_share": float(np.mean(shares)),
            "gap_marked_tilt_deg": float(np.mean(marked))}
