"""Codecs under fire: damaged packets to every one of them, and noise to those that must find frames in a stream.

Damaged packets are made from what each codec's own encoder sends (``tests/firmware_bridge/codecs/packets.py``): bits flipped, bytes
replaced, lost and inserted, cut, lengthened, spliced, numbers made impossible, plain noise. Time is processor time of
``decode`` alone. Growth is what the codec keeps (its attributes and all they hold, after every thousand packets), less
what it kept after the undamaged packets.
"""

from __future__ import annotations

import random
import time
from itertools import islice
from typing import Any

from benchmarks._bench import main
from edgeskel.cli.report import console
from firmware_bridge.codecs import create
from firmware_bridge.samples import Chunk
from tests.firmware_bridge.codecs.packets import SPECIMENS, footprint, mutants, specimen

SEED = 0
BATCH = 1000
READ = 4096
"""Bytes of a piece of noise, as a serial port may hand them over."""
NOISE_MB = {"node": 60, "witmotion": 20, "bno08x": 20}


def fuzz(name: str, packets: int, seed: int = SEED) -> dict[str, Any]:
    """What ``packets`` damaged packets did to one codec."""
    healthy = specimen(name)
    codec = create(name.split()[0])
    for chunk in healthy.chunks:
        codec.decode(chunk)
    kept = most = footprint(codec)
    damaged = mutants(healthy.chunks, random.Random(f"{name} {seed}"))
    exceptions = readings = 0
    seconds = 0.0
    done = 0
    while done < packets:
        batch = list(islice(damaged, min(BATCH, packets - done)))
        done += len(batch)
        start = time.thread_time()
        for chunk in batch:
            try:
                readings += len(codec.decode(chunk))
            except Exception:  # whatever it is, a codec must not raise it: that is what is counted here
                exceptions += 1
        seconds += time.thread_time() - start
        most = max(most, footprint(codec))
    return {
        "protocol": name,
        "packets": done,
        "exceptions": exceptions,
        "us_per_packet": round(1e6 * seconds / done, 2),
        "growth_bytes": most - kept,
        "accepted": codec.counts.frames - len(healthy.chunks),
        "readings": readings,
    }


def false_accepts(name: str, megabytes: int, seed: int = SEED) -> int:
    """Frames that a codec finds in so much (10^6 bytes each) uniform noise."""
    codec = create(name)
    generator = random.Random(f"{name} {seed}")
    for _ in range(megabytes * 1_000_000 // READ):
        codec.decode(Chunk(generator.randbytes(READ), 0))
    return codec.counts.frames


def measure(quick: bool) -> dict[str, Any]:
    """Damaged packets and noise through every codec: exceptions, time per packet, growth, false accepts."""
    packets = 50_000 if quick else 1_000_000
    rows = []
    for name in SPECIMENS:
        rows.append(fuzz(name, packets))
        console.print(f"{name}: {rows[-1]}")
    figures: dict[str, Any] = {
        "packets_per_codec": packets,
        "exceptions": sum(row["exceptions"] for row in rows),
        "slowest_us_per_packet": max(row["us_per_packet"] for row in rows),
        "largest_growth_bytes": max(row["growth_bytes"] for row in rows),
    }
    for name, megabytes in NOISE_MB.items():
        megabytes = megabytes // 2 if quick else megabytes
        figures[f"{name}_noise_mb"] = megabytes
        figures[f"{name}_false_accepts"] = false_accepts(name, megabytes)
        console.print(f"{name}: {figures[f'{name}_false_accepts']} frames in {megabytes} MB of noise")
    return {**figures, "tables": {"damaged packets": rows}}


if __name__ == "__main__":
    main("codecs", measure, seeds=(SEED,))
