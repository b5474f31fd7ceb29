"""The error of the host time of readings over a modelled Bluetooth link."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.clock import Clock
from firmware_bridge.samples import Reading

Float64 = NDArray[np.float64]

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


def fast(ppm: float) -> Callable[[Float64], Float64]:
    return lambda true: np.asarray(true * (1 + ppm * 1e-6), dtype=np.float64)


def wander(true: Float64) -> Float64:
    """A clock 40 ppm fast that wanders by 10 ppm within five minutes, as a warming crystal does."""
    period = 300 / (2 * np.pi)
    return np.asarray(true * (1 + 40e-6) + 10e-6 * period * (1 - np.cos(true / period)), dtype=np.float64)
