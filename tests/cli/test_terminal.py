"""Skeletons in braille."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeskel import topologies
from edgeskel.cli.terminal import COLOURS, Canvas, skeleton
from edgeskel.data import synthetic
from edgeskel.data.view import View
from edgeskel.skeleton import Clip

KINECT = topologies.get("kinect-v1")


@pytest.fixture(scope="module")
def clip() -> Clip:
    return synthetic.clip("raise arms", synthetic.SyntheticBody(), synthetic.Style(), np.random.default_rng(0),
                          camera=synthetic.Camera(noise=0.0), sensors=())


def drawn(clip: Clip, frame: int, columns: int = 40, rows: int = 16) -> str:
    view = View.of(clip.joints[:, :1], clip.confidence[:, :1], KINECT)
    return skeleton(clip.joints[:, frame], clip.confidence[:, frame], KINECT, view, columns, rows).plain


def dots(text: str) -> int:
    return sum((ord(c) - 0x2800).bit_count() for c in text if c != "\n")


def test_each_dot_is_its_own() -> None:
    canvas = Canvas(2, 1)
    for x in range(4):
        for y in range(4):
            canvas.dot(x, y, "red")
    assert canvas.lines() == ["⣿⣿"]


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_dots_outside_are_not_drawn(x: int, y: int) -> None:
    canvas = Canvas(3, 2)
    canvas.dot(x, y, "red")
    assert dots("".join(canvas.lines())) == int(0 <= x < 6 and 0 <= y < 8)


def test_the_picture_has_the_size_asked_for(clip: Clip) -> None:
    lines = drawn(clip, 0, 33, 12).split("\n")
    assert len(lines) == 12 and {len(line) for line in lines} == {33}
    assert dots("".join(lines)) > 80


def test_raised_arms_are_higher_than_hanging_ones(clip: Clip) -> None:
    def top(frame: int) -> int:
        return next(row for row, line in enumerate(drawn(clip, frame).split("\n")) if dots(line))

    assert top(clip.frames // 2) < top(0)


def test_the_picture_stands_still_while_the_body_does(clip: Clip) -> None:
    feet = [drawn(clip, frame).split("\n")[-4:] for frame in (0, clip.frames // 4)]
    assert feet[0] == feet[1] or abs(dots("".join(feet[0])) - dots("".join(feet[1]))) < 6


def test_sides_have_their_colours(clip: Clip) -> None:
    view = View.of(clip.joints[:, :1], clip.confidence[:, :1], KINECT)
    text = skeleton(clip.joints[:, 0], clip.confidence[:, 0], KINECT, view, 40, 16)
    assert set(COLOURS.values()) <= {str(span.style) for span in text.spans}


def test_nobody_is_an_empty_picture(clip: Clip) -> None:
    view = View.of(clip.joints[:, :1], clip.confidence[:, :1], KINECT)
    text = skeleton(clip.joints[:, 0], np.zeros_like(clip.confidence[:, 0]), KINECT, view, 10, 4)
    assert dots(text.plain) == 0 and text.plain.count("\n") == 3


def test_somebody_who_walks_off_stays_in_the_picture(clip: Clip) -> None:
    view = View.of(clip.joints[:, :1], clip.confidence[:, :1], KINECT)
    away = clip.joints[:, 0] + np.array([30.0, 0.0, 0.0], np.float32)
    assert dots(skeleton(away, clip.confidence[:, 0], KINECT, view, 40, 16).plain) > 80
