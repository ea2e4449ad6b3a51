"""The page for everybody: headings in order, ink that can be read on its ground, no number without an origin."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

import pytest

from breakeven.report import html
from breakeven.report.compose import compose
from tests.report import example
from tests.report.test_html import Page

CSS = (files("breakeven.report") / "templates" / "report.css").read_text(encoding="utf-8")
TEXT = ("ink", "soft", "faint", "good", "bad", "unsure", "link", "m", "d", "q", "a")
NUMBER = re.compile(r"[<>~ +\u2212-]*[$€£¥₹₩]?\d[\d,]*(\.\d+)?([eE][+-]?\d+)?\s*(%|ms|s|/s|MB|GB|kB|min|h)?")


def palettes() -> list[dict[str, str]]:
    """The colours of the light page, of the dark one (what it does not name is the light one's) and of the print."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", block)) for block in blocks]
    return [found[0], *({**found[0], **other} for other in found[1:])]


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_words_and_lines_stand_out_from_their_ground(place):
    colours = palettes()[place]
    for name in TEXT:
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    assert contrast(colours["soft"], colours["panel"]) >= 4.5
    for index in range(8):
        assert contrast(colours[f"c{index}"], colours["paper"]) >= 3.0, f"c{index}"


@pytest.mark.parametrize("snapshot", [example.snapshot(), example.empty()], ids=["whole", "never run"])
def test_headings_go_down_one_level_at_a_time(snapshot):
    levels = [int(tag[1]) for tag, _ in Page(html.render(snapshot)).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_name_their_columns_and_rows_and_pictures_their_content():
    page = Page(html.render(example.snapshot()))
    scopes = {attrs.get("scope") for attrs in page.all("th")}
    assert scopes == {"col", "row"}
    assert len(page.all("svg")) == len(page.all("figure")) == len(page.all("desc"))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_number_stands_without_an_origin(language):
    report = compose(replace(example.snapshot(), language=language))
    bare = [
        (where, cell.text)
        for where, _, cell in report.cells()
        if cell.quantity is None and not cell.code and NUMBER.fullmatch(cell.text)
    ]
    months = [item for item in bare if item[0].endswith(("› month", "› 月"))]  # the name of a row
    assert [item for item in bare if item not in months] == []


def test_every_origin_is_said_on_hover_and_in_the_appendix():
    report = compose(example.snapshot())
    text = html.render(example.snapshot())
    for entry in report.entries:
        assert entry.quantity.origin in ("measured", "declared", "quoted", "assumed")
        assert f'id="n{entry.number}"' in text
        assert f'href="#n{entry.number}"' in text
