"""The report stands alone and says what was found."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from edgeskel.training import charts, report
from edgeskel.training.metrics import Metrics

HISTORY = [
    {"epoch": float(e), "loss": 3 / e, "learning_rate": 0.01 / e, "validation_loss": 4 / e, "validation_top1": 10.0 * e}
    for e in range(1, 6)
]
RUN = {"recogniser": "edge", "split": "x", "clips": {"train": 5}, "seed": 0, "history": HISTORY, "parameters": 12345}


@pytest.fixture
def metrics(six):
    truth = six.index["label"][:40].astype(np.int64)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(6), 40).astype(np.float32)
    return Metrics(six.labels, probabilities, truth, np.arange(40))


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.count = [], {}

    def handle_starttag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attributes:
            assert name not in ("src", "href", "srcset", "action", "data"), f"<{tag} {name}> would fetch {value}"
        if tag not in ("meta", "br", "link", "img", "hr", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(html):
    page = Page()
    page.feed(html)
    assert not page.open, "every tag is closed"
    return page


def test_it_needs_nothing_but_itself(metrics, six):
    html = report.render("edge on six", metrics, six, run=RUN)
    page = parse(html)
    assert {"link", "script", "img", "iframe"}.isdisjoint(page.count)
    addresses = set(re.findall(r"https?://[^\"' <]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in html and "@import" not in html
    assert page.count["svg"] == 3 + 8 + 2, "curves, worst clips, confusion and reliability"


def test_it_says_the_figures_and_the_worst_clips(metrics, six):
    html = report.render("edge on six", metrics, six, run=RUN)
    assert f"{metrics.top1:.1f}" in html and "12,345" in html
    worst = six[int(metrics.clips[metrics.worst(1)[0]])]
    assert worst.source in html


def test_names_cannot_break_the_page(six):
    labels = ('<b>"bold"&', *six.labels[1:])
    found = Metrics(labels, np.eye(6, dtype=np.float32), np.roll(np.arange(6), 1), np.arange(6))
    html = report.render("<title> & co", found, six)
    parse(html)
    assert "<b>&quot;" not in html and "<title> & co" not in html


def test_without_a_held_out_part_only_the_curves_are_shown(six):
    history = [{"epoch": 1.0, "loss": 1.0, "learning_rate": 0.1}]
    page = parse(report.render("edge", None, six, run={**RUN, "history": history}))
    assert page.count["svg"] == 2


def test_nothing_wrong_is_said_so(six):
    found = Metrics(six.labels, np.eye(6, dtype=np.float32), np.arange(6), np.arange(6))
    assert "Every clip was recognised." in report.render("edge", found, six)


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [1e-9, 2e-9], [3.2, float("nan"), 1.1], [99.5, 100.0]])
def test_curves_draw_any_values(values):
    svg = charts.curves({"x": [(epoch + 1, value) for epoch, value in enumerate(values)]})
    assert svg.startswith("<svg") and "nan" not in svg
    numbers = [float(value) for value in re.findall(r' c?y[12]?="([-\d.]+)"', svg)]
    assert all(0 <= value <= 210 for value in numbers)


def test_a_hundred_and_twenty_classes_fit():
    labels = [f"class {k}" for k in range(120)]
    parse(charts.confusion(np.eye(120, dtype=np.int64) * 3, labels))


@pytest.mark.parametrize("classes", [6, 31, 71, 120])
def test_the_confusion_matrix_can_be_read_whatever_the_number_of_classes(classes, six):
    """The names beside it stand a row apart and do not lie over each other; no rule of the page makes them larger."""
    labels = tuple(f"a class of number {number}" for number in range(classes))
    svg = charts.confusion(np.eye(classes, dtype=np.int64), labels)
    names = re.findall(r'<text[^>]*y="([\d.]+)"[^>]*style="font-size:(\d+)px"[^>]*>a class', svg)
    names = names or [(y, size) for y, size in re.findall(r'<text[^>]*?y="([\d.]+)"[^>]*?style="font-size:(\d+)px"', svg)]
    heights = sorted(float(y) for y, _ in names)
    assert len(heights) == classes
    assert min(np.diff(heights)) > int(names[0][1]) and int(names[0][1]) >= 9
    style = report.render("edge", Metrics(labels, np.eye(classes, dtype=np.float32), np.arange(classes), np.arange(classes)), six)
    assert "!important" not in style
