"""The store at NTU-120's size: what it costs in memory, and how long a clip takes to read.

114,480 clips of 25 joints with NTU's mix of lengths and persons, generated, written and read in random order, each in
a process of its own. Resident memory is the kernel's high-water mark of that process (VmHWM), with everything counted:
Python, numpy, the index, and those pages of the mapped files that the process holds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._bench import CACHE, main
from edgeskel import topologies
from edgeskel.data import Store, StoreWriter
from edgeskel.skeleton import Clip

CLIPS, QUICK_CLIPS = 114_480, 6_000
READS, QUICK_READS = 40_000, 12_000
MEAN_FRAMES, TWO_PERSONS = 82, 0.2  # about NTU-120's
BYTES_PER_JOINT = 16  # three coordinates and a confidence


def measure(quick: bool) -> dict[str, Any]:
    """Write and read a store as large as NTU-120; report memory and times."""
    clips, reads = (QUICK_CLIPS, QUICK_READS) if quick else (CLIPS, READS)
    needed = int(clips * MEAN_FRAMES * 25 * BYTES_PER_JOINT * (1 + TWO_PERSONS) * 1.1)
    CACHE.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(CACHE).free
    if free < needed:
        sys.exit(f"{CACHE} has {free / 2**30:.1f} GB free; this needs {needed / 2**30:.1f} GB. "
                 "Free some space, or run with --quick.")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        wrote = _child("write", folder, clips)
        read = _child("read", folder, reads)
    peak = max(wrote["writer_peak_rss_mb"], read["reader_peak_rss_mb"])
    return {"clips": clips, "peak_rss_gb": round(peak / 1024, 3), **wrote, **read}


def _child(what: str, folder: str, count: int) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "benchmarks.store", what, folder, str(count)], check=True,
                          stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _generated(count: int) -> Iterator[Clip]:
    """Clips that differ from each other, made fast: windows of one long random walk."""
    random = np.random.default_rng(0)
    walk = np.cumsum(random.normal(scale=0.01, size=(2, 4000, 25, 3)), axis=1).astype(np.float32)
    lengths = np.clip(random.gamma(6, MEAN_FRAMES / 6, count), 30, 300).astype(int)
    starts = random.integers(0, 4000 - 300, count)
    persons = 1 + (random.random(count) < TWO_PERSONS)
    time_ = np.arange(300) / 30
    for i in range(count):
        frames, start, people = int(lengths[i]), int(starts[i]), int(persons[i])
        yield Clip(walk[:people, start:start + frames] + np.float32(i * 1e-4),
                   np.ones((people, frames, 25), np.float32), time_[:frames], label=f"A{i % 120 + 1:03d}",
                   subject=str(i % 106 + 1), view=str(i % 3 + 1),
                   source=f"S{i % 32 + 1:03d}C{i % 3 + 1:03d}P{i % 106 + 1:03d}R001A{i % 120 + 1:03d}_{i}.skeleton")


def _write(folder: str, count: int) -> dict[str, Any]:
    start = time.perf_counter()
    with StoreWriter(Path(folder) / "store", dataset="ntu", topology=topologies.get("kinect-v2"),
                     labels=[f"A{action:03d}" for action in range(1, 121)], rate_hz=30) as writer:
        for clip in _generated(count):
            writer.add(clip)
    size = sum(file.stat().st_size for file in (Path(folder) / "store").iterdir())
    return {"store_gb": round(size / 2**30, 2), "write_s": round(time.perf_counter() - start, 1),
            "writer_peak_rss_mb": _peak_rss_mb()}


def _read(folder: str, count: int) -> dict[str, Any]:
    start = time.perf_counter()
    store = Store.open(Path(folder) / "store")
    opened = time.perf_counter() - start
    before = _peak_rss_mb()
    order = np.random.default_rng(1).integers(0, len(store), count)
    times = np.empty(count)
    read = 0
    for at, i in enumerate(order.tolist()):
        start = time.perf_counter()
        clip = store[i]
        times[at] = time.perf_counter() - start
        read += clip.joints.nbytes + clip.confidence.nbytes
    peak = _peak_rss_mb()
    return {"open_ms": round(opened * 1e3, 1), "reader_peak_rss_mb": peak,
            "reading_adds_rss_mb": round(peak - before, 1), "read_gb": round(read / 2**30, 2),
            "clip_read_median_us": round(float(np.median(times)) * 1e6, 1),
            "clip_read_p99_us": round(float(np.quantile(times, 0.99)) * 1e6, 1)}


def _peak_rss_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024, 1)


if __name__ == "__main__":
    if sys.argv[1:2] in (["write"], ["read"]):
        step = _write if sys.argv[1] == "write" else _read
        sys.stdout.write(json.dumps(step(sys.argv[2], int(sys.argv[3]))))
    else:
        main("store", measure, seeds=(0, 1))
