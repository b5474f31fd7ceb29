"""Orientation through the streaming pipeline on BROAD, by BROAD's own metric.

Laidig, Caruso, Cereatti and Seel, "BROAD: a benchmark for robust inertial orientation estimation", Data 6 (2021),
10.3390/data6070072. Root mean square, over the samples where the sensor moves and is tracked, of the angle between
estimated and optical orientation: all of it (total), its part about the vertical (heading), and the rest
(inclination). Readings are pushed one at a time, as a live sensor's are; no parameter was chosen on these recordings
(VQF is at its package's defaults).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._bench import main
from tests.datasets import datasets
from tests.firmware_bridge.broad import estimate, read_trial, rmse_deg

__all__ = ["measure"]


def measure(quick: bool) -> dict[str, Any]:
    """Orientation error on the six BROAD trials at hand, through the streaming pipeline; quick or not, all of them."""
    del quick  # a mean over some of the trials would be another figure, and all of them take seconds
    files = sorted((datasets() / "broad" / "data_mat").glob("*.mat"))
    rows: list[dict[str, Any]] = []
    for file in files:
        trial = read_trial(file)
        nine, cost = estimate(trial, "9-axis")
        six, _ = estimate(trial, "6-axis")
        nine_error, six_error = rmse_deg(nine, trial), rmse_deg(six, trial)
        rows.append({"trial": file.stem, "9-axis total": round(nine_error["total"], 2),
                     "9-axis heading": round(nine_error["heading"], 2),
                     "9-axis inclination": round(nine_error["inclination"], 2),
                     "6-axis inclination": round(six_error["inclination"], 2), "us per reading": round(cost * 1e6, 1)})
        rows[-1]["_"] = (nine_error["total"], six_error["inclination"], cost)
    totals, inclinations, costs = zip(*(row.pop("_") for row in rows), strict=True)
    return {"nine_axis_rmse_deg": float(np.mean(totals)), "six_axis_inclination_rmse_deg": float(np.mean(inclinations)),
            "microseconds_per_reading": float(np.mean(costs) * 1e6), "trials": len(rows), "tables": {"BROAD": rows}}


if __name__ == "__main__":
    main("orientation", measure)
