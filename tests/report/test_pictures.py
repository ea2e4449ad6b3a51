"""Drawings hold for the plainest and the oddest values."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.quantity import Quantity
from breakeven.report import chart, pictures

WORDS = dict.fromkeys(("title", "description", "x", "y", "pays", "said", "true", "rows"), "words <&>") | {
    "tip": "{said} {share} {n}"
}
AMOUNTS = st.floats(-1e9, 1e9, allow_nan=False)


def money(value: float, spread: float | None = None) -> Quantity:
    low, high = (None, None) if spread is None else (value - spread, value + spread)
    return Quantity(value, "USD/1000 answers", "measured", low, high)


def parsed(svg: str) -> ElementTree.Element:
    """The drawing as XML; no coordinate is infinite or not a number, and all lie near the frame."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        for name in ("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "width", "height"):
            if name in element.attrib:
                assert math.isfinite(float(element.attrib[name]))
                assert -60 <= float(element.attrib[name]) <= 1200
        assert not re.search("nan|inf", element.attrib.get("d", "") + element.attrib.get("points", ""))
    return root


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, st.floats(0, 1e6)), min_size=1, max_size=6), st.none() | st.floats(0, 1e6))
def test_the_frontier_draws_any_amounts(points, price):
    drawn = [pictures.Point(f"c{i}", money(x), money(y, spread), i) for i, (x, y, spread) in enumerate(points)]
    root = parsed(pictures.frontier("f", drawn, None if price is None else money(price), WORDS, "USD"))
    marks = [element for element in root.iter() if "mark" in element.attrib.get("class", "").split()]
    assert len(marks) == len(points)


@given(st.lists(st.tuples(AMOUNTS, st.floats(0, 1e3)), min_size=1, max_size=8), st.booleans(), st.none() | AMOUNTS)
def test_dots_draw_any_values(values, log, limit):
    rows = [(f"c{i}", i, money(value, spread)) for i, (value, spread) in enumerate(values)]
    parsed(pictures.dots("d", rows, WORDS, limit=limit, log=log))


@pytest.mark.parametrize("size", [1, 2, 12, 40])
def test_a_matrix_of_any_size(size):
    heads = [f"class number {i}" for i in range(size)]
    root = parsed(pictures.confusion("c", [*heads, "refused"], [(head, [0] * (size + 1)) for head in heads], WORDS))
    assert len([element for element in root.iter() if "heat" in element.attrib.get("class", "")]) == size * (size + 1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_one_bin_of_one_row_is_drawn(share):
    parsed(
        pictures.reliability("r", [{"from": 0.9, "to": 1.0, "n": 1, "confidence": 0.95, "accuracy": share}], WORDS, 0)
    )


@given(st.floats(0, 1), st.integers(1, 100_000))
def test_wilson_bounds_hold_the_share(share, n):
    low, high = pictures.wilson(share, n)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


@given(st.lists(AMOUNTS, min_size=1, max_size=50))
def test_lines_draw_any_values(values):
    line = pictures.Line("c", list(range(len(values))), values, 0, [v - 1 for v in values], [v + 1 for v in values])
    parsed(pictures.lines("l", [line], WORDS, zero=True))


@given(AMOUNTS, AMOUNTS, st.integers(2, 8))
def test_ticks_lie_inside_and_are_few(one, other, about):
    low, high = min(one, other), max(one, other)
    ticks = chart.Scale(low, high, 0, 100).ticks(about)
    slack = (high - low) * 1e-6 + 1e-9
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    assert len(ticks) <= about * 2.6 + 2


@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e6))
def test_log_ticks_lie_inside(low, ratio):
    scale = chart.Scale(low, low * ratio, 0, 100, log=True)
    assert all(low * 0.999 <= tick <= low * ratio * 1.001 for tick in scale.ticks())


def test_labels_do_not_lie_over_each_other():
    placer = chart.Placer(0, 400)
    spots = [placer.place(100, 100, "candidate") for _ in range(4)]
    assert len({(x, y) for x, y, _ in spots}) == 4


def test_a_long_name_is_cut_and_wide_letters_count_double():
    assert chart.shortened("候选模型候选模型", 60) == "候选模型…"
    assert chart.width_of("模") > chart.width_of("m")


def test_lineage_draws_every_step_and_need():
    columns = [[("collect", "ab" * 32, "fresh")], [("train/a", "", "missing"), ("train/b", "cd" * 32, "stale")]]
    root = parsed(
        pictures.lineage("g", columns, {"train/a": ["collect"], "train/b": ["collect", "train/a", "gone"]}, WORDS)
    )
    classes = [element.attrib.get("class", "") for element in root.iter()]
    assert classes.count("flow") == 3
    assert sorted(name for name in classes if name.startswith("box")) == ["box fresh", "box missing", "box stale"]


@given(AMOUNTS, st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=8))
def test_a_tornado_of_any_swings(base, ends):
    bars = [(f"driver {place}", low, high) for place, (low, high) in enumerate(ends)]
    root = parsed(pictures.swings("t", base, bars, WORDS | {"low": "p10", "high": "p90"}, label=str))
    swings = [element for element in root.iter() if "swing" in element.attrib.get("class", "")]
    assert len(swings) == 2 * len(bars) + 2
