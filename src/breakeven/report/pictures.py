"""The forms the report draws: points with intervals, dots in rows, a matrix, a reliability diagram, lines and fans.

Each takes plain values and words and gives one SVG; none knows the Snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report.chart import (
    FONT,
    SERIES,
    Canvas,
    Frame,
    Label,
    Placer,
    Scale,
    shortened,
    spanning,
    spread,
    width_of,
)


@dataclass(frozen=True)
class Point:
    """A candidate in the plane of cost (x) and value (y)."""

    name: str
    x: Quantity
    y: Quantity
    index: int
    chosen: bool = False


@dataclass(frozen=True)
class Line:
    """A series over x; `low` and `high` bound it where known. `dash` tells it from lines that it lies upon."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    index: int
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    dash: int = 0


def money_label(code: str | None) -> Label:
    """Tick labels with a currency sign."""

    def label(value: float) -> str:
        text = numbers.tick(value) if code is None else numbers.with_sign(numbers.tick(value), code)
        return text.replace("-", "\u2212")

    return label


def frontier(
    key: str, points: Sequence[Point], price: Quantity | None, words: Mapping[str, str], code: str | None
) -> str:
    """Value against cost with error bars. Shaded: value > price > cost; without a price, value > cost."""
    canvas = Canvas(key, words["title"], words["description"], height=340)
    extra = [] if price is None else [price.value]
    costs = [bound for point in points for bound in _ends(point.x)]
    values = [bound for point in points for bound in _ends(point.y)]
    log = min(costs) > 0 and max([*costs, *extra]) / min(costs) > 30
    tall = spanning([*values, *extra], 290, 34, zero=True)
    tall = replace(tall, high=tall.high + 0.1 * (tall.high - tall.low))  # room for the words of the region
    frame = Frame(canvas, spanning([*costs, *extra], 62, 464, log=log), tall)
    _pays_region(frame, price)
    frame.axes(words["x"], words["y"], x_label=money_label(code), y_label=money_label(code))
    if price is not None:
        canvas.line(frame.x.start, frame.y(price.value), frame.x.end, frame.y(price.value), "rule")
        canvas.line(frame.x(price.value), frame.y.start, frame.x(price.value), frame.y.end, "rule")
    canvas.text(frame.x.start + 8, frame.y.end + 15, words["pays"], "region")
    placer = Placer(frame.x.start, frame.x.end)
    placer.keep(frame.x.start, frame.y.end, frame.x.start + 14 + width_of(words["pays"]), frame.y.end + 19)
    for point in points:
        placer.block(frame.x(point.x.value), frame.y(point.y.value))
        if point.x.low is not None and point.x.high is not None:
            at = frame.y(point.y.value)
            placer.keep(frame.x(point.x.low), at - 2, frame.x(point.x.high), at + 2)
    for point in points:
        frame.bars(
            point.x.value,
            point.y.value,
            point.index,
            across=(point.x.low, point.x.high),
            along=(point.y.low, point.y.high),
        )
    for point in points:
        x, y = frame.x(point.x.value), frame.y(point.y.value)
        canvas.mark(x, y, point.index, tip=f"{point.name}: {numbers.full(point.y)}; {numbers.full(point.x)}")
        left, base, style = placer.place(x, y, point.name)
        canvas.text(left, base, point.name, f"label {style} {'strong' if point.chosen else ''}")
    return canvas.svg()


def _pays_region(frame: Frame, price: Quantity | None) -> None:
    x, y = frame.x, frame.y
    if price is not None:
        frame.canvas.rect(x.start, y.end, x(price.value) - x.start, y(price.value) - y.end, "pays")
        return
    at = [x.low * (x.high / x.low) ** (i / 40) if x.log else x.low + (x.high - x.low) * i / 40 for i in range(41)]
    edge = [(x(value), y(value)) for value in at]
    frame.canvas.path([(x.start, y.end), *edge, (x.end, y.end)], "pays", closed=True)
    frame.canvas.path(edge, "rule")


def dots(
    key: str,
    rows: Sequence[tuple[str, int, Quantity]],
    words: Mapping[str, str],
    *,
    limit: float | None = None,
    log: bool = False,
    label: Label = numbers.tick,
    whiskers: Mapping[str, tuple[float, float]] | None = None,
) -> str:
    """One row a name: the value as a mark, its interval as a bar, a dashed limit; `whiskers` add a thin range."""
    left = min(150.0, 14 + max((width_of(name) for name, _, _ in rows), default=0))
    height = 62 + 30 * max(len(rows), 1)
    canvas = Canvas(key, words["title"], words["description"], height=height)
    ends = [bound for _, _, quantity in rows for bound in _ends(quantity)] + ([] if limit is None else [limit])
    ends += [end for pair in (whiskers or {}).values() for end in pair]
    log = log and min(ends, default=0) > 0 and max(ends) / min(ends) > 20
    scale = spanning(ends, left, 464, zero=not log and min(ends, default=0) >= 0 and max(ends, default=0) > 1, log=log)
    bottom = height - 44
    at = [8 + 30 * (place + 0.5) for place in range(len(rows))]
    for value in scale.ticks():
        canvas.line(scale(value), 8, scale(value), bottom, "grid")
        canvas.text(scale(value), bottom + 17, label(value), "tick mid")
    canvas.line(left, bottom, 464, bottom, "axis")
    canvas.text(464, bottom + 36, words["x"], "name end")
    if limit is not None:
        canvas.line(scale(limit), 8, scale(limit), bottom, "rule")
    for place, (name, index, quantity) in enumerate(rows):
        canvas.text(left - 10, at[place] + 4, shortened(name, left - 12), "label end")
        if whiskers and name in whiskers:
            low, high = whiskers[name]
            canvas.line(scale(low), at[place], scale(high), at[place], f"thin s{index % SERIES}")
        Frame(canvas, scale, Scale(0, 1, at[place], at[place])).bars(
            quantity.value, 0, index, across=(quantity.low, quantity.high)
        )
        canvas.mark(scale(quantity.value), at[place], index, tip=f"{name}: {numbers.full(quantity)}")
    return canvas.svg()


def confusion(
    key: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]], words: Mapping[str, str]
) -> str:
    """Counts of true (rows) against said (columns), shaded by the share of the row."""
    left = min(130.0, 34 + max(width_of(name) for name, _ in rows))
    cell = min((472 - left) / len(heads), 120.0)
    tall = min(cell, 56.0)
    canvas = Canvas(key, words["title"], words["description"], width=480, height=66 + tall * len(rows))
    canvas.text(left, 14, words["said"], "name")
    canvas.text(4, 42, words["true"], "name")
    size = FONT if cell > 34 else max(6.0, cell / 3.2)
    style = "mid tick" if cell > 34 else "mid tiny"
    for place, name in enumerate(heads):
        canvas.text(left + cell * (place + 0.5), 42, shortened(name, cell - 2, size), style)
    for down, (name, counts) in enumerate(rows):
        total, top = sum(counts), 50 + tall * down
        canvas.text(left - 8, top + tall / 2 + 4, shortened(name, left - 12), "tick end")
        for across, number in enumerate(counts):
            share = number / total if total else 0.0
            right = heads[across] == name
            tip = f"{name} → {heads[across]}: {numbers.count(number)} ({numbers.percent(share)})"
            canvas.rect(
                left + cell * across + 1,
                top + 1,
                cell - 2,
                tall - 2,
                "heat right" if right else "heat wrong",
                tip=tip,
                opacity=0.06 + 0.94 * share,
            )
            if cell > 24:
                ink = "ink-strong" if share > 0.55 else "ink-weak"
                canvas.text(left + cell * (across + 0.5), top + tall / 2 + 4, numbers.count(number), f"{style} {ink}")
    return canvas.svg()


def reliability(key: str, bins: Sequence[Mapping[str, Any]], words: Mapping[str, str], index: int) -> str:
    """Share right against stated confidence by bin, with 95% Wilson intervals; the bars below count the rows."""
    canvas = Canvas(key, words["title"], words["description"], height=340)
    low = min([float(item["confidence"]) for item in bins] + [0.5])
    frame = Frame(canvas, Scale(math.floor(low * 10) / 10, 1.0, 62, 464), Scale(0.0, 1.0, 248, 30))
    frame.axes(words["x"], words["y"], x_label=numbers.tick, y_label=numbers.tick)
    canvas.line(frame.x.start, frame.y(frame.x.low), frame.x.end, frame.y(1.0), "rule")
    most = max(int(item["n"]) for item in bins)
    for item in bins:
        n, share, said = int(item["n"]), float(item["accuracy"]), float(item["confidence"])
        frame.bars(said, share, index, along=wilson(share, n))
        canvas.mark(
            frame.x(said),
            frame.y(share),
            index,
            tip=words["tip"].format(said=numbers.percent(said), share=numbers.percent(share), n=numbers.count(n)),
        )
        left, right = frame.x(max(float(item["from"]), frame.x.low)), frame.x(float(item["to"]))
        tall = 34 * n / most
        canvas.rect(left + 1, 334 - tall, right - left - 2, tall, f"count s{index % SERIES}", tip=numbers.count(n))
    canvas.line(frame.x.start, 334, frame.x.end, 334, "axis")
    canvas.text(frame.x.start - 7, 330, words["rows"], "tick end")
    return canvas.svg()


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% score interval of a share out of `n`."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def lines(
    key: str,
    series: Sequence[Line],
    words: Mapping[str, str],
    *,
    y_label: Label = numbers.tick,
    x_label: Label = numbers.tick,
    zero: bool = False,
    span: tuple[float, float] | None = None,
    x_ticks: Sequence[float] | None = None,
) -> str:
    """Series over a shared axis, bounded series as fans, each named at its end; zero is drawn where it is in view.

    `span` fixes the vertical axis, as for shares.
    """
    canvas = Canvas(key, words["title"], words["description"], height=320)
    room = min(120.0, 14 + max((width_of(item.name) for item in series), default=0))
    every = [value for item in series for part in (item.y, item.low or (), item.high or ()) for value in part]
    x_values = [value for item in series for value in item.x]
    scale = Scale(min(x_values), max(x_values) if max(x_values) > min(x_values) else min(x_values) + 1, 66, 476 - room)
    frame = Frame(canvas, scale, Scale(*span, 272, 32) if span else spanning(every, 272, 32, zero=zero))
    frame.axes(words["x"], words["y"], x_label=x_label, y_label=y_label, x_ticks=x_ticks)
    if frame.y.low < 0 < frame.y.high:
        canvas.line(frame.x.start, frame.y(0), frame.x.end, frame.y(0), "axis")
    for item in series:
        if item.low is not None and item.high is not None:
            upper = [(frame.x(x), frame.y(y)) for x, y in zip(item.x, item.high, strict=True)]
            lower = [(frame.x(x), frame.y(y)) for x, y in zip(item.x, item.low, strict=True)]
            canvas.path([*upper, *reversed(lower)], f"fan s{item.index % SERIES}", closed=True)
    for item in series:
        at = [(frame.x(x), frame.y(y)) for x, y in zip(item.x, item.y, strict=True)]
        canvas.path(at, f"curve s{item.index % SERIES}" + (f" dash{item.dash}" if item.dash else ""))
        if len(at) == 1:
            canvas.mark(*at[0], item.index)
    ends = sorted(series, key=lambda item: -item.y[-1])
    for item, base in zip(ends, spread([frame.y(item.y[-1]) + 4 for item in ends], 15), strict=True):
        words_at = frame.x(item.x[-1]) + 6
        canvas.text(words_at, base, shortened(item.name, room - 8), f"series s{item.index % SERIES}")
    return canvas.svg()


def swings(
    key: str, base: float, bars: Sequence[tuple[str, float, float]], words: Mapping[str, str], *, label: Label
) -> str:
    """A tornado: an outcome with each input at its p10 and at its p90, (name, at p10, at p90), about the base case."""
    left = min(252.0, 14 + max((width_of(name) for name, _, _ in bars), default=0))
    bottom = 24 + 26 * len(bars)
    canvas = Canvas(key, words["title"], words["description"], height=bottom + 44)
    scale = spanning([base, *(end for _, low, high in bars for end in (low, high))], left, 464)
    for value in scale.ticks(4):
        canvas.line(scale(value), 20, scale(value), bottom, "grid")
        canvas.text(scale(value), bottom + 17, label(value), "tick mid")
    for place, (name, low, high) in enumerate(bars):
        top = 24 + 26 * place
        canvas.text(left - 10, top + 14, shortened(name, left - 12), "label end")
        for index, end in ((1, low), (0, high)):
            start, width = min(scale(base), scale(end)), abs(scale(end) - scale(base))
            canvas.rect(start, top + 2, width, 16, f"swing s{index}", tip=f"{name}: {label(end)}")
    canvas.line(scale(base), 16, scale(base), bottom, "axis")
    canvas.line(left, bottom, 464, bottom, "axis")
    canvas.text(464, bottom + 36, words["x"], "name end")
    for index, across, end_of in ((1, 0.0, "low"), (0, 62.0, "high")):
        canvas.rect(left + across, 2, 9, 9, f"swing s{index}")
        canvas.text(left + across + 13, 11, words[end_of], "tick")
    return canvas.svg()


def lineage(
    key: str,
    columns: Sequence[Sequence[tuple[str, str, str]]],
    needs: Mapping[str, Sequence[str]],
    words: Mapping[str, str],
) -> str:
    """Steps (name, fingerprint, state) as boxes in the columns of their stages, a curve from each need to its user."""
    wide, gap, tall, width = 138.0, 34.0, 40.0, 0.0
    width = len(columns) * wide + (len(columns) - 1) * gap
    rows = max((len(column) for column in columns), default=1)
    canvas = Canvas(key, words["title"], words["description"], width=width, height=rows * (tall + 12) + 4)
    place: dict[str, tuple[float, float]] = {}
    for across, column in enumerate(columns):
        top = (rows - len(column)) * (tall + 12) / 2 + 2
        for down, (name, _, _) in enumerate(column):
            place[name] = (across * (wide + gap), top + down * (tall + 12))
    for name, sources in needs.items():
        for source in sources:
            if name in place and source in place:
                _flow(canvas, place[source], place[name], (wide, tall))
    for column in columns:
        for name, digest, state in column:
            x, y = place[name]
            canvas.rect(x + 0.5, y, wide - 1, tall, f"box {state}", tip=f"{name}: {digest} ({state})")
            canvas.text(x + 9, y + 17, shortened(name, wide - 14, 11.5), "small strong")
            canvas.text(x + 9, y + 32, digest[:12] or "…", "small code")
    return canvas.svg()


def _flow(canvas: Canvas, source: tuple[float, float], target: tuple[float, float], box: tuple[float, float]) -> None:
    x1, y1, x2, y2 = source[0] + box[0], source[1] + box[1] / 2, target[0], target[1] + box[1] / 2
    if target[0] == source[0]:  # within one stage: round the right-hand side
        x2, bend, back = target[0] + box[0], 16.0, 16.0
    else:
        bend = (x2 - x1) / 2 if x2 - x1 < 80 else 30.0
        back = -bend
    curve = f"M{x1:.1f} {y1:.1f} C{x1 + bend:.1f} {y1:.1f} {x2 + back:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    canvas.parts.append(f'<path d="{curve}" class="flow"/>')


def _ends(quantity: Quantity) -> list[float]:
    return [
        bound for bound in (quantity.value, quantity.low, quantity.high) if bound is not None and math.isfinite(bound)
    ]
