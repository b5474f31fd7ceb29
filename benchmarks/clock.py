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
from numpy.typing import NDArray

from benchmarks._bench import main
from firmware_bridge.clock import Clock
from firmware_bridge.samples import Reading

Float64 = NDArray[np.float64]

SEEDS, QUICK_SEEDS = range(5), range(2)
SECONDS, QUICK_SECONDS = 600.0, 300.0
RATE_HZ = 100.0
STACK_S = 1e-3


def radio(sent: Float64, interval: float, error_rate: float, rng: np.random.Generator) -> Float64:
    """(K,) seconds at which packets handed to the radio at ``sent`` (K,) seconds, in order, arrive.

    Args:
        sent: increasing.
        interval: seconds between connection events.
        error_rate: share of events that fail.
        rng: for the events that fail and for where the events lie.
    """
    phase = rng.uniform(0, interval)
    events = int(np.ceil((sent[-1] - sent[0]) / interval)) + 200
    good = phase + sent[0] + interval * np.flatnonzero(rng.random(events) >= error_rate)
    return np.asarray(good[np.searchsorted(good, sent)] + STACK_S, dtype=np.float64)


def errors_ms(device: Callable[[Float64], Float64], *, interval: float, error_rate: float, seconds: float, seed: int,
              reboot_at: float | None = None, oscillator: float = 0.01) -> tuple[Float64, Float64]:
    """(K,) true seconds and (K,) milliseconds of error of one sensor at nominally 100 Hz.

    Args:
        device: true seconds -> seconds of the device's clock, increasing.
        interval, error_rate: of the radio, whose events follow the host's clock.
        seconds: how long.
        seed: of everything.
        reboot_at: when the device begins anew, if it does; it is silent for a second then.
        oscillator: the sensor's rate is off the nominal by up to this share.
    """
    rng = np.random.default_rng([7, seed])
    grid = np.arange(0.0, seconds, 0.1)
    period = (1 + rng.uniform(-oscillator, oscillator)) / RATE_HZ
    ticks = np.arange(0.01, float(device(grid)[-1]), period)
    true = np.interp(ticks, device(grid), grid)
    if reboot_at is not None:
        kept = (true < reboot_at) | (true >= reboot_at + 1)
        ticks, true = ticks[kept], true[kept]
        ticks[true >= reboot_at] -= reboot_at + 0.9
    arrived = radio(true, interval, error_rate, rng)
    clock = Clock(clock_bits=32)
    out = [clock.push(Reading(device_us=int(tick * 1e6)), int((1000 + at) * 1e9)).time
           for tick, at in zip(ticks, arrived, strict=True)]
    return true, (np.array(out) - 1000 - true) * 1e3


def _fast(ppm: float) -> Callable[[Float64], Float64]:
    return lambda true: np.asarray(true * (1 + ppm * 1e-6), dtype=np.float64)


def wander(true: Float64) -> Float64:
    """A clock 40 ppm fast that wanders by 10 ppm within five minutes, as a warming crystal does."""
    period = 300 / (2 * np.pi)
    return np.asarray(true * (1 + 40e-6) + 10e-6 * period * (1 - np.cos(true / period)), dtype=np.float64)


def measure(quick: bool) -> dict[str, Any]:
    """Error of the host time of readings over a modelled Bluetooth link."""
    seeds, seconds = (QUICK_SEEDS, QUICK_SECONDS) if quick else (SEEDS, SECONDS)
    cases: dict[str, tuple[Callable[[Float64], Float64], float, float, float]] = {
        "clock": (_fast(40), 0.015, 0.10, 0.01),
        "plus_100ppm": (_fast(100), 0.015, 0.10, 0.01),
        "minus_100ppm": (_fast(-100), 0.015, 0.10, 0.01),
        "wander": (wander, 0.015, 0.10, 0.01),
        "good_link": (_fast(40), 0.0075, 0.02, 0.01),
        "bad_link": (_fast(40), 0.050, 0.30, 0.01),
        "locked": (_fast(40), 0.015, 0.10, 0.0),
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
        true, error = errors_ms(_fast(100), interval=0.015, error_rate=0.1, seconds=150, seed=seed,
                                reboot_at=90.0)
        late = true[(true > 90) & (np.abs(error) > 4)]
        relock.append(float(late.max() - 91) if len(late) else 0.0)
    figures["relock_s"] = max(relock)
    return figures


if __name__ == "__main__":
    main("clock", measure, seeds=tuple(SEEDS))
