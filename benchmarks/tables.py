"""``python -m benchmarks.tables``: docs/benchmarks.md and the README's table, from benchmarks/results/*.json.

Nothing in either is typed by hand; a test compares them with the results.
"""

from __future__ import annotations

import ast
import json
import operator
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._bench import RESULTS, ROOT
from edgeskel.files import atomic_write

__all__ = ["TARGETS", "Target", "page", "readme"]

PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- results: python -m benchmarks.tables -->", "<!-- end of results -->"

_SUMMARY = ("what", "target", "measured", "met")
_RELATIONS = {"at least": operator.ge, "at most": operator.le, "under": operator.lt}


@dataclass(frozen=True)
class Target:
    """What a figure must reach, in the words of the tables."""

    benchmark: str
    figure: str
    what: str
    relation: str
    bound: float
    unit: str = ""
    difference: bool = False
    """Whether it compares two things: then a figure smaller than its spread is a tie."""

    def verdict(self, value: float, spread: float | None) -> str:
        """Yes, no, or a tie: neither of two was better, however the sign fell."""
        if self.difference and self.bound == 0 and spread is not None and abs(value) < spread:
            return "a tie"
        return "yes" if self.met(value) else "**no**"

    @property
    def text(self) -> str:
        return f"{self.relation} {_number(self.bound)}{self.unit}"

    def met(self, value: float) -> bool:
        reached: bool = _RELATIONS[self.relation](value, self.bound)
        return reached


MAIN = (
    Target("accuracy", "utd_top1", "UTD-MHAD cross-subject, skeleton only, top-1", "at least", 97.0, " %"),
    Target("accuracy", "ucla_top1", "N-UCLA cross-view, one `edge` model, top-1", "at least", 95.0, " %"),
    Target("compression", "hyperformer_params_saved", "`hyperformer`, SVD: parameters saved", "at least", 45, " %"),
    Target("compression", "hyperformer_top1_drop", "`hyperformer`, SVD: top-1 lost, points", "at most", 0.5, difference=True),
    Target("latency", "edge_over_hyperformer", "`edge` latency over `hyperformer`, one core", "at most", 0.1),
    Target("accuracy", "edge_minus_hyperformer_top1", "`edge` against `hyperformer`, top-1, points", "at least", -1.0,
           difference=True),
    Target("size", "edge_params", "`edge`: parameters", "at most", 500_000),
    Target("size", "edge_mmac", "`edge`: MMAC, one person, 64 frames", "at most", 100),
    Target("size", "int8_bytes_ratio", "`edge` low rank + int8: file smaller than fp32, times", "at least", 6),
    Target("size", "int8_top1_drop", "`edge` low rank + int8: top-1 lost, points", "at most", 1.0),
    Target("latency", "int8_over_fp32", "int8 latency over fp32 (XNNPACK, one core)", "at most", 0.8),
    Target("parity", "onnx_fp32_agreement", "ONNX fp32 against torch: same predictions", "at least", 1.0),
    Target("parity", "onnx_fp32_max_abs_diff", "ONNX fp32 against torch: largest difference", "at most", 1e-4),
    Target("parity", "pte_fp32_agreement", "ExecuTorch fp32 against torch: same predictions", "at least", 1.0),
    Target("parity", "pte_fp32_max_abs_diff", "ExecuTorch fp32 against torch: largest difference", "at most", 1e-4),
    Target("demo", "synthetic_minutes", "`make demo`, embedded data, two cores, installed", "under", 8, " min"),
    Target("demo", "utd_minutes", "`make demo DATA=.../utd-mhad`, two cores, installed", "under", 40, " min"),
    Target("learning", "new_top1", "five new actions, five demonstrations each, 22 old: new ones, top-1", "at least", 85, " %"),
    Target("learning", "old_top1_drop", "the same: old ones, top-1 lost, points", "at most", 2),
    Target("learning", "learn_ms", "one demonstration learned, beyond the forward pass", "under", 50, " ms"),
    Target("learning", "learner_bytes", "the learner with 60 classes: bytes", "under", 1_000_000),
    Target("pipeline", "data_fraction_of_step", "data pipeline, share of a training step", "under", 0.1),
    Target("deploy", "flash_s", "`edgeskel flash`, a device from nothing, over sshd, 10 s of watch included", "under", 60, " s"),
    Target("deploy", "broken", "200 random faults of a flash, and one at every step: devices without a release", "at most", 0),
    Target("deploy", "restart_to_first_recognition_s", "service restart to first recognition, host target", "under", 3, " s"),
    Target("deploy", "device_rss_mb", "device process with `edge`, ONNX Runtime: resident memory", "under", 150, " MB"),
    Target("deploy", "install_mb", "device install beyond numpy and the engine", "under", 60, " MB"),
    Target("streaming", "operations_ratio", "steps against the clip form at every frame: operations, times fewer", "at least", 40),
    Target("streaming", "latency_ratio", "steps against the clip form at every frame: time, times less", "at least", 25),
    Target("streaming", "latency_ratio_edge", "steps against `edge-utd-mhad` at every frame: time, times less", "at least", 25),
    Target("streaming", "median_ms", "live: time per frame, one core, median", "under", 0.5, " ms"),
    Target("streaming", "p99_ms", "live: time per frame, one core, p99", "under", 2.0, " ms"),
    Target("streaming", "step_equals_clip_max_abs_diff", "step equals clip on every engine: largest difference", "at most", 1e-4),
    Target("streaming", "causal_top1_drop", "causal form against `edge-utd-mhad`, top-1 lost, points", "at most", 1.0),
    Target("streaming", "day_events_equal", "a day of three persons at 30 Hz: events as in its first minute", "at least", 1),
    Target("streaming", "day_memory_growth_mb", "the same: growth of memory", "under", 5, " MB"),
    Target("continual", "charon_minus_der_utd", "CHARON against DER++, equal bytes, Split UTD-MHAD: points", "at least", 0,
           difference=True),
    Target("continual", "charon_minus_der_ucla", "CHARON against DER++, equal bytes, Split N-UCLA: points", "at least", 0,
           difference=True),
    Target("continual", "masking_time_ratio", "a step of CHARON, a third masked over nothing masked: time", "under", 1),
    Target("continual", "masking_memory_ratio", "a step of CHARON, a third masked over nothing masked: memory", "under", 1),
    Target("store", "peak_rss_gb", "store of 114,480 NTU-sized clips: resident memory", "under", 1.0, " GB"),
)

SENSORS = (
    Target("bridge", "serial_17x400_lost", "serial, 17 sensors x 400 Hz: readings lost", "at most", 0),
    Target("bridge", "ble_17x100_lost", "BLE (fake org.bluez), 17 x 100 Hz: readings lost", "at most", 0),
    Target("bridge", "bumble_17x100_lost", "BLE (bumble, 10 % errors in the air), 17 x 100 Hz: readings lost", "at most", 0),
    Target("bridge", "latency_p99_ms", "callback to frame, 17 x 100 Hz, 99th percentile", "under", 2, " ms"),
    Target("bridge", "client_cpu_fraction", "processor, 17 x 100 Hz with VQF: share of a core", "under", 0.1),
    Target("bridge", "reconnect_p95_s", "one device is back: until it streams, 95th percentile", "under", 1, " s"),
    Target("bridge", "reconnect_17_s", "17 devices are back at once: until all stream", "under", 3, " s"),
    Target("bridge", "stall_s", "the daemon hangs: until it is noticed, beyond one period", "at most", 0.5, " s"),
    Target("bridge", "daemon_return_s", "the daemon is back after SIGKILL: until all stream", "under", 5, " s"),
    Target("bridge", "serial_reopen_p95_s", "serial, after a power cycle: until it streams, 95th percentile", "under", 0.2, " s"),
    Target("bridge", "resync_frames_per_error", "frames lost for an isolated error", "at most", 1),
    Target("bridge", "resync_frames_per_burst", "frames lost for a burst", "at most", 2),
    Target("codecs", "node_false_accepts", "own frame: accepted in 60 MB of noise", "at most", 0),
    Target("codecs", "witmotion_false_accepts", "WitMotion (weak checksum): accepted in 20 MB of noise", "at most", 1),
    Target("codecs", "bno08x_false_accepts", "BNO08x (weak checksum): accepted in 20 MB of noise", "at most", 1),
    Target("codecs", "exceptions", "10^6 damaged packets to each codec: exceptions", "at most", 0),
    Target("codecs", "slowest_us_per_packet", "the slowest codec, a damaged packet", "under", 20, " µs"),
    Target("clock", "clock_sd_ms", "time of a reading, 15 ms / 10 % errors: standard deviation", "under", 2, " ms"),
    Target("clock", "clock_p99_ms", "time of a reading, 15 ms / 10 % errors: 99th percentile", "under", 4, " ms"),
    Target("clock", "plus_100ppm_p99_ms", "the same, 100 ppm fast", "under", 4, " ms"),
    Target("clock", "minus_100ppm_p99_ms", "the same, 100 ppm slow", "under", 4, " ms"),
    Target("fusion", "offset_error_ms", "delay of the camera, found", "at most", 5, " ms"),
    Target("orientation", "nine_axis_rmse_deg", "BROAD, six trials, 9-axis, total", "at most", 3.1, "°"),
    Target("orientation", "six_axis_inclination_rmse_deg", "BROAD, six trials, 6-axis, inclination", "at most", 0.9, "°"),
    Target("fusion", "knee_rmse_deg", "knee of a walk against Vicon", "under", 6, "°"),
    Target("fusion", "hip_rmse_deg", "hip of a walk against Vicon", "under", 6, "°"),
    Target("fusion", "occluded_gain", "30 % hidden: fused better than either alone by", "at least", 0.3),
    Target("bridge", "soak_growth_mb", "an hour of 17 x 100 Hz: growth of memory", "under", 5, " MB"),
    Target("bridge", "soak_leaked", "an hour of 17 x 100 Hz: tasks and descriptors leaked", "at most", 0),
)

FIELD = (
    Target("field", "jitter_tilt_deg", "2 to 10 ms of jitter at 100 Hz: greatest tilt beyond VQF's", "at most", 0.2, "°"),
    Target("field", "mounting_faults_refused", "gyroscope axes swapped, negated, mis-scaled: refused in 30 s", "at least", 0.95),
    Target("field", "good_refused", "good sensors refused", "at most", 0),
    Target("field", "device_learning_new", "new actions, five data sets, five demonstrations: found by clip", "at least", 80, " %"),
    Target("field", "device_learning_live", "the same, live", "at least", 75, " %"),
    Target("field", "device_learning_old_drop", "the same: old actions lost, points", "at most", 2),
    Target("startup", "help_over_python", "`edgeskel --help` over a bare interpreter: time", "under", 2.5),
    Target("startup", "import_over_python", "`import edgeskel` over a bare interpreter: time", "under", 1.5),
)

HEADLINES = ("utd_top1", "ucla_top1", "edge_over_hyperformer", "int8_bytes_ratio", "int8_over_fp32", "median_ms",
             "device_learning_new", "flash_s")
"""What the README shows."""
TARGETS = {"From recordings to a device": MAIN, "From sensors to a skeleton": SENSORS, "As users have it": FIELD}
"""What was asked, by subject."""


def results(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Benchmark -> its kept record."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def page(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Generated by `python -m benchmarks.tables` from `benchmarks/results/*.json`; `make bench` measures all anew.",
        "Accuracies are in percent. Nothing was chosen on a test split: recipes and their epochs were fixed beforehand,",
        "with single-seed trials on held-out training subjects and views as a guide; ranks were set by size.",
        "A difference that is smaller than its spread over seeds (behind ±) is a tie: neither is better.",
        "",
        "## Against what was asked",
    ]
    for subject, targets in TARGETS.items():
        lines += ["", f"**{subject}**", "", *_table(_SUMMARY, _summary(kept, targets))]
    for name, record in kept.items():
        lines += ["", f"## {name}", "", *_section(name, record)]
    return "\n".join(lines) + "\n"


def readme(kept: Mapping[str, Mapping[str, Any]], text: str) -> str:
    """``text`` of the README with the block between the markers made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    every = {target.figure: target for group in TARGETS.values() for target in group}
    shown = [every[figure] for figure in HEADLINES]
    rows = [row for row in _summary(kept, shown) if row[2] != "not measured"]
    return "\n".join([head + BEGIN, *_table(_SUMMARY, rows), END]) + tail


def _summary(kept: Mapping[str, Mapping[str, Any]], targets: Iterable[Target]) -> Iterator[tuple[str, ...]]:
    for target in targets:
        figures = kept.get(target.benchmark, {}).get("figures", {})
        value = figures.get(target.figure)
        if value is None:
            yield target.what, target.text, "not measured", ""
            continue
        spread = figures.get(f"{target.figure}_std")
        measured = _number(value) + (f" ± {_number(spread)}" if spread is not None else "") + target.unit
        yield target.what, target.text, measured, target.verdict(value, spread)


def _section(name: str, record: Mapping[str, Any]) -> Iterator[str]:
    source = Path(__file__).with_name(f"{name}.py")
    doc = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) if source.is_file() else None
    if doc:
        yield from (doc.partition("\n\n")[0], "")
    figures = dict(record["figures"])
    tables = figures.pop("tables", {})
    targets = {target.figure: target for group in TARGETS.values() for target in group if target.benchmark == name}
    yield from _table(
        ("figure", "value", "target"),
        ((f"`{figure}`", _cell(value), targets[figure].text if figure in targets else "")
         for figure, value in _flat(figures)),
    )
    for title, rows in tables.items():
        if rows:
            columns = list(rows[0])
            yield from ("", f"**{title}**", "")
            yield from _table(columns, ([_cell(row.get(column)) for column in columns] for row in rows))
    machine = record["machine"]
    seeds = f", seeds {', '.join(map(str, record['seeds']))}" if record["seeds"] else ""
    versions = ", ".join(f"{package} {version}" for package, version in machine["versions"].items())
    yield from ("", f"`{record['command']}` at `{record['commit']}` on {record['date'][:10]}{seeds}, "
                    f"{record['seconds']:.0f} s; {machine['cpu']}, {machine['cores']} cores, "
                    f"{machine['memory_gb']} GB, {machine['os']}, Python {machine['python']}; {versions}.")


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for figure, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{figure}.")
        else:
            yield prefix + figure, value


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = list(columns)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _cell(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "" if value is None else str(value)
    return _number(value)


def _number(value: float) -> str:
    """Four digits that count, thousands apart, no trailing zeros."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.1e}" if abs(value) < 1e-3 else f"{value:,.4g}"


def main() -> int:
    """Write the two files."""
    kept = results()
    with atomic_write(PAGE) as file:
        file.write(page(kept).encode())
    text = readme(kept, README.read_text(encoding="utf-8"))
    with atomic_write(README) as file:
        file.write(text.encode())
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)} and the table in {README.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
