"""What the documents say was measured is what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import _bench, tables


def test_page_is_up_to_date() -> None:
    assert tables.PAGE.read_text() == tables.page(tables.results()), "run: python -m benchmarks.tables"


def test_readme_is_up_to_date() -> None:
    text = tables.README.read_text()
    assert text == tables.readme(tables.results(), text), "run: python -m benchmarks.tables"


def test_every_result_says_how_it_was_made() -> None:
    for name, record in tables.results().items():
        assert record["benchmark"] == name
        assert {"command", "commit", "machine", "seeds", "figures", "date", "seconds"} <= set(record)
        assert record["commit"]


def test_figures_that_miss_their_target_say_so() -> None:
    record = {"figures": {"int8_over_fp32": 0.9}, "command": "", "commit": "", "date": "2026-01-01", "seconds": 1,
              "seeds": [], "machine": _bench.machine()}
    page = tables.page({"latency": record})
    assert "| int8 latency over fp32 (XNNPACK, one core) | at most 0.8 | 0.9 | **no** |" in page


def test_a_difference_smaller_than_its_spread_is_called_a_tie() -> None:
    record = {"figures": {"charon_minus_der_utd": 1.0, "charon_minus_der_utd_std": 1.5}, "command": "", "commit": "",
              "date": "2026-01-01", "seconds": 1, "seeds": [], "machine": _bench.machine()}
    assert "| 1 ± 1.5 | a tie |" in tables.page({"continual": record})
    record["figures"] = {"charon_minus_der_utd": 2.0, "charon_minus_der_utd_std": 1.5}
    assert "| 2 ± 1.5 | yes |" in tables.page({"continual": record})


def test_the_readme_shows_eight_results_that_are_there() -> None:
    table = tables.README.read_text("utf-8").partition(tables.BEGIN)[2].partition(tables.END)[0]
    assert len(tables.HEADLINES) == 8 == len(table.strip().splitlines()) - 2


@pytest.mark.parametrize(("value", "text"), [(499_999, "499,999"), (97.0, "97"), (0.71234, "0.7123"),
                                               (3.2e-6, "3.2e-06")])
def test_numbers(value: float, text: str) -> None:
    assert tables._number(value) == text


def test_interleave_takes_turns() -> None:
    order: list[str] = []
    times = _bench.interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, warmup=1)
    assert order == ["a", "b", "a", "b", "a", "b", "a", "b"]
    assert [len(samples) for samples in times.values()] == [3, 3]


def test_quick_run_prints_one_object_and_keeps_nothing(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.argv = ['x', '--quick', '--json']\n"
        "from pathlib import Path\n"
        "from benchmarks import _bench\n"
        f"_bench.RESULTS = Path({str(tmp_path)!r})\n"
        "def measure(quick):\n    os.system('echo noise'); return {'quick': quick}\n"
        "_bench.main('x', measure)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_bench.ROOT)
    assert json.loads(done.stdout) == {"quick": True}
    assert list(tmp_path.iterdir()) == []
