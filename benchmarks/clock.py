"""How well the bridge knows when a reading was measured, over a modelled Bluetooth link.

The link is a model, not a radio: a packet waits for the next connection event, all packets that wait go out in it in
order, and an event fails with the packet error rate, which holds everything up until the next one. A fixed
millisecond is added for the stack; no one-way method can see it, so that it is part of the error reported here.

Inertial sensors sample by an oscillator of their own, within a per cent of the nominal rate, and the node's clock
stamps what they deliver. ``locked`` is the worst case beside it: samples at exactly two thirds of the connection
interval by the node's crystal. The least delay then creeps through 5 ms over minutes, and no one-way method sees it
move.

Figures are over the seconds after the first thirty of ten minutes; ``relock_s`` is how long after a reboot the error
stays above the 4 ms that the 99th percentile may have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._bench import main
from tests.firmware_bridge.clock_errors import Float64, errors_ms, fast, wander

__all__ = ["measure"]

SEEDS, QUICK_SEEDS = range(5), range(2)
SECONDS, QUICK_SECONDS = 600.0, 300.0


def measure(quick: bool) -> dict[str, Any]:
    """Error of the host time of readings over a modelled Bluetooth link."""
    seeds, seconds = (QUICK_SEEDS, QUICK_SECONDS) if quick else (SEEDS, SECONDS)
    cases: dict[str, tuple[Callable[[Float64], Float64], float, float, float]] = {
        "clock": (fast(40), 0.015, 0.10, 0.01),
        "plus_100ppm": (fast(100), 0.015, 0.10, 0.01),
        "minus_100ppm": (fast(-100), 0.015, 0.10, 0.01),
        "wander": (wander, 0.015, 0.10, 0.01),
        "good_link": (fast(40), 0.0075, 0.02, 0.01),
        "bad_link": (fast(40), 0.050, 0.30, 0.01),
        "locked": (fast(40), 0.015, 0.10, 0.0),
    }
    figures: dict[str, Any] = {}
    for name, (device, interval, rate, oscillator) in cases.items():
        runs = [errors_ms(device, interval=interval, error_rate=rate, seconds=seconds, seed=seed,
                          oscillator=oscillator) for seed in seeds]
        settled = [error[true > 30] for true, error in runs]
        figures |= {f"{name}_bias_ms": float(np.mean([e.mean() for e in settled])),
                    f"{name}_sd_ms": float(np.mean([e.std() for e in settled])),
                    f"{name}_p99_ms": float(np.mean([np.percentile(np.abs(e), 99) for e in settled]))}
    relock = []
    for seed in seeds:
        true, error = errors_ms(fast(100), interval=0.015, error_rate=0.1, seconds=150, seed=seed,
                                reboot_at=90.0)
        late = true[(true > 90) & (np.abs(error) > 4)]
        relock.append(float(late.max() - 91) if len(late) else 0.0)
    figures["relock_s"] = max(relock)
    return figures


if __name__ == "__main__":
    main("clock", measure, seeds=tuple(SEEDS))
