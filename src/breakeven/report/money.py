"""The forms that draw a business: a waterfall of unit economics, owners step by step, payouts against an exit.

Each takes plain values and words and gives one SVG. Shares and payouts are tinted, never filled, so that ink stays
readable on every colour; names stand beside or inside their marks, so that no meaning hangs on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report.chart import SERIES, Canvas, Frame, Label, Scale, shortened, spanning, spread, width_of

RIGHT = 472.0
ROW = 27.0
LINE = 18.0  # between rows of a legend
THIN = 0.004  # shares below this are not drawn


@dataclass(frozen=True)
class Bar:
    """A row of a waterfall: a total from zero, or a change that starts where the row before it ended."""

    name: str
    amount: Quantity
    kind: Literal["total", "change"] = "change"


@dataclass(frozen=True)
class Stack:
    """A row of shares by name; `planned` has not happened yet."""

    name: str
    under: str
    shares: Mapping[str, float]
    planned: bool = False


@dataclass(frozen=True)
class Paid:
    """What a holder is paid at each exit value; `index` is the holder's colour."""

    name: str
    amounts: Sequence[float]
    index: int


def compact(sign: Label, units: Sequence[tuple[float, str]]) -> Label:
    """Tick labels in thousands and millions: `units` are (size, letter), largest first; `sign` writes the rest."""

    def label(value: float) -> str:
        for size, letter in units:
            if abs(value) >= size:
                return sign(float(f"{value / size:.3g}")) + letter
        return sign(value)

    return label


def waterfall(key: str, bars: Sequence[Bar], words: Mapping[str, str], label: Label) -> str:
    """Amounts as rows from the top: totals from zero, changes between them; whiskers bound totals."""
    spans, figures = _spans(bars), _figures(bars)
    left = min(190.0, 14 + max((width_of(bar.name) for bar in bars), default=0))
    right = RIGHT - 12 - max((width_of(text) for text in figures), default=0)
    bottom = 10 + ROW * len(bars)
    canvas = Canvas(key, words["title"], words["description"], height=bottom + 44)
    ends = [end for span in spans for end in span] + [end for bar in bars for end in _whisker(bar)]
    scale = spanning(ends, left, right, zero=True)
    _ruled(canvas, scale, (4, bottom), label)
    canvas.text(right, bottom + 36, words["x"], "name end")
    for place, (bar, (start, end), text) in enumerate(zip(bars, spans, figures, strict=True)):
        top, strong = 10 + ROW * place, " strong" if bar.kind == "total" else ""
        low, high = sorted((scale(start), scale(end)))
        canvas.text(left - 10, top + 15, shortened(bar.name, left - 12), f"label end{strong}")
        style = "step total" if bar.kind == "total" else "step gain" if end > start else "step loss"
        canvas.rect(low, top + 2, max(high - low, 1.0), ROW - 8, style, tip=f"{bar.name}: {numbers.full(bar.amount)}")
        for bound in _whisker(bar):
            canvas.line(scale(bound), top + 6, scale(bound), top + ROW - 10, "whisker")
        if len(_whisker(bar)) == 2:
            across = [scale(bound) for bound in _whisker(bar)]
            canvas.line(across[0], top + ROW / 2 - 2, across[1], top + ROW / 2 - 2, "whisker")
        if place + 1 < len(bars):
            canvas.line(scale(end), top + ROW - 6, scale(end), top + ROW + 2, "axis")
        canvas.text(RIGHT, top + 15, text.replace("-", "\u2212"), f"end{strong}")
    canvas.line(scale(0), 4, scale(0), bottom, "axis")
    return canvas.svg()


def _spans(bars: Sequence[Bar]) -> list[tuple[float, float]]:
    """From where to where each bar goes."""
    found, at = [], 0.0
    for bar in bars:
        start = 0.0 if bar.kind == "total" else at
        at = start + bar.amount.value
        found.append((start, at))
    return found


def _figures(bars: Sequence[Bar]) -> list[str]:
    """The amounts, all with the digits that suit the largest; what they would show as nothing is less than one step."""
    largest = max((abs(bar.amount.value) for bar in bars), default=0.0)
    places = 0 if largest >= 1000 or largest == 0 else max(2, 2 - math.floor(math.log10(largest)))
    step, found = 10.0**-places, []
    for bar in bars:
        code, _ = numbers.currency_of(bar.amount.unit)
        small = 0 < abs(bar.amount.value) < step / 2
        text = numbers.plain(step if small else bar.amount.value, places)
        shown = text if code is None else numbers.with_sign(text, code)
        found.append(f"< {shown}" if small else shown)
    return found


def _whisker(bar: Bar) -> tuple[float, ...]:
    low, high = bar.amount.low, bar.amount.high
    known = bar.kind == "total" and low is not None and high is not None and math.isfinite(high - low)
    return (low, high) if known else ()  # type: ignore[return-value]  # both are numbers where known


def _ruled(canvas: Canvas, scale: Scale, across: tuple[float, float], label: Label) -> None:
    """Vertical grid lines with labels, as many as fit side by side."""
    ticks = scale.ticks(4)
    room = max((width_of(label(value), 12) for value in ticks), default=1) + 10
    keep = max(1, math.ceil(len(ticks) * room / max(abs(scale.end - scale.start), 1)))
    for place, value in enumerate(ticks):
        canvas.line(scale(value), across[0], scale(value), across[1], "grid")
        if place % keep == 0:
            canvas.text(scale(value), across[1] + 17, label(value), "tick mid")


def stacks(key: str, rows: Sequence[Stack], holders: Sequence[str], words: Mapping[str, str]) -> str:
    """One bar of shares a row, a name and a line under it at its left, the holders' colours in a legend above."""
    names = [part for row in rows for part in (row.name, row.under)]
    left = min(170.0, 14 + max((width_of(name) for name in names), default=0))
    places, top = _legend(holders, RIGHT)
    canvas = Canvas(key, words["title"], words["description"], height=top + 40 * len(rows) + 44)
    for index, (holder, (x, y)) in enumerate(zip(holders, places, strict=True)):
        canvas.rect(x, y - 9, 10, 10, f"share s{index % SERIES}")
        canvas.text(x + 15, y, shortened(holder, RIGHT - x - 16), "tick")
    scale = Scale(0.0, 1.0, left, RIGHT - 12)
    bottom = top + 40 * len(rows)
    _ruled(canvas, scale, (top, bottom), numbers.percent)
    canvas.text(RIGHT, bottom + 36, words["x"], "name end")
    for place, row in enumerate(rows):
        at = top + 40 * place + 4
        canvas.text(left - 10, at + 13, shortened(row.name, left - 12), "label end")
        canvas.text(left - 10, at + 27, shortened(row.under, left - 12), "tick end")
        _stack(canvas, row, holders, scale, at)
    return canvas.svg()


def _stack(canvas: Canvas, row: Stack, holders: Sequence[str], scale: Scale, top: float) -> None:
    at = 0.0
    for index, holder in enumerate(holders):
        share = row.shares.get(holder, 0.0)
        if share < THIN:
            at += share
            continue
        start, width = scale(at), scale(at + share) - scale(at)
        text, style = numbers.percent(share), f"share s{index % SERIES}{' planned' if row.planned else ''}"
        canvas.rect(start, top, width, 31, style, tip=f"{row.name}, {holder}: {text}")
        if width > width_of(text) + 4:
            canvas.text(start + width / 2, top + 20, text, "mid tick ink")
        at += share


def _legend(names: Sequence[str], right: float) -> tuple[list[tuple[float, float]], float]:
    """Where the marks of a legend stand, in rows, and how far down it reaches."""
    places, x, y = [], 4.0, 12.0
    for name in names:
        wide = min(width_of(name, 12) + 34, right - 4)
        if x > 4 and x + wide > right:
            x, y = 4.0, y + LINE
        places.append((x, y))
        x += wide
    return places, y + 14


def payouts(
    key: str,
    values: Sequence[float],
    paid: Sequence[Paid],
    words: Mapping[str, str],
    label: Label,
) -> str:
    """Who is paid what at each exit value: areas one above the other, named at their right end."""
    canvas = Canvas(key, words["title"], words["description"], height=320)
    room = min(140.0, 14 + max((width_of(holder.name) for holder in paid), default=0))
    tops, at = [], [0.0] * len(values)
    for holder in paid:
        at = [low + high for low, high in zip(at, holder.amounts, strict=True)]
        tops.append(at)
    far = max(values) if max(values) > min(values) else min(values) + 1
    tall = max((max(row) for row in tops), default=1.0) or 1.0
    frame = Frame(canvas, Scale(min(values), far, 66, 476 - room), Scale(0.0, tall * 1.04, 272, 32))
    frame.axes(words["x"], words["y"], x_label=label, y_label=label, x_ticks=frame.x.ticks(4))
    low, middles = [0.0] * len(values), []
    for holder, row in zip(paid, tops, strict=True):
        upper = [(frame.x(x), frame.y(y)) for x, y in zip(values, row, strict=True)]
        lower = [(frame.x(x), frame.y(y)) for x, y in zip(values, low, strict=True)]
        canvas.path([*upper, *reversed(lower)], f"share s{holder.index % SERIES}", closed=True)
        middles.append((frame.y((row[-1] + low[-1]) / 2) + 4, holder))
        low = row
    middles.sort(key=lambda middle: middle[0])
    for base, (_, holder) in zip(_held([at for at, _ in middles], 276), middles, strict=True):
        canvas.text(frame.x.end + 6, base, shortened(holder.name, room - 8), f"series s{holder.index % SERIES}")
    return canvas.svg()


def _held(places: Sequence[float], lowest: float) -> list[float]:
    """Ascending places 15 apart, moved up together where the last would fall below `lowest`."""
    held = spread(places, 15)
    for place in reversed(range(len(held))):
        limit = lowest if place == len(held) - 1 else held[place + 1] - 15
        held[place] = min(held[place], limit)
    return held
