"""The pictures of the verdict: frontier, ladder, confusion, calibration, latency, capacity; each with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report import pictures as draw
from breakeven.report.blocks import Block, Cell, Picture, Table
from breakeven.report.origins import quantity
from breakeven.report.sections.cells import candidates, judged, number, shown_candidate
from breakeven.report.sections.quality import SPEED, STEP, figures
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot


def blocks(snapshot: Snapshot, words: Words) -> list[Block]:
    """Ladder, confusion, calibration, latency and capacity, each where its numbers exist."""
    found = [
        _ladder(snapshot, words),
        _confusion(snapshot, words),
        _calibration(snapshot, words),
        *(_speeds(snapshot, words)),
    ]
    return [picture for picture in found if picture is not None]


def frontier(snapshot: Snapshot, words: Words) -> Picture | None:
    """Value against cost, every candidate with its intervals; None where nothing was judged."""
    verdict = snapshot.verdict or {}
    points = [
        draw.Point(name, cost, value, index, name == verdict.get("chosen"))
        for index, (name, item) in enumerate(candidates(snapshot).items())
        if (cost := quantity(item.get("at_volume_per_1000"))) and (value := quantity(item.get("value_per_1000")))
    ]
    if not points:
        return None
    price = _price(verdict)
    caption = words("frontier-caption-price", price=words.amount(price)) if price else words("frontier-caption")
    names = {
        "title": words("frontier-title"),
        "description": caption,
        "x": words("frontier-x"),
        "y": words("frontier-y"),
        "pays": words("frontier-pays") if price else words("frontier-pays-no-price"),
    }
    drawn = draw.frontier("frontier", points, price, names, verdict.get("currency"))
    rows = [[Cell(point.name), Cell(quantity=point.x), Cell(quantity=point.y)] for point in points]
    heads = [words("candidate"), names["x"], names["y"]]
    return Picture("frontier", names["title"], drawn, caption, Table(names["title"], heads, rows, step=STEP))


def _price(verdict: Mapping[str, Any]) -> Quantity | None:
    """The declared price per 1,000 answers, whatever unit it was stored in."""
    price = quantity((verdict.get("price") or {}).get("declared"))
    if price is None or "1000" in price.unit.replace(",", ""):
        return price
    code, _ = numbers.currency_of(price.unit)
    return price.scaled(1000, f"{code}/1000 answers") if code else None


def _ladder(snapshot: Snapshot, words: Words) -> Picture | None:
    rows = [
        (name, index, held)
        for index, (name, item) in enumerate(candidates(snapshot).items())
        if (held := quantity(item.get("metric")))
    ]
    if not rows:
        return None
    metric = words.term(str((snapshot.verdict or {}).get("metric")))
    caption = words("ladder-caption", metric=metric)
    names = {"title": words("ladder-title", metric=metric), "description": caption, "x": metric}
    return Picture(
        "ladder",
        names["title"],
        draw.dots("ladder", rows, names, limit=_limit(snapshot, str((snapshot.verdict or {}).get("metric")))),
        caption,
        _named(rows, names, words, STEP),
    )


def _named(rows: Sequence[tuple[str, int, Quantity]], names: Mapping[str, str], words: Words, step: str) -> Table:
    """A number a candidate, as drawn."""
    cells = [[Cell(name), Cell(quantity=held)] for name, _, held in rows]
    return Table(names["title"], [words("candidate"), names["x"]], cells, step=step)


def _limit(snapshot: Snapshot, gate: str) -> float | None:
    for item in candidates(snapshot).values():
        for found in item.get("gates") or []:
            if found.get("gate") == gate and found.get("limit") is not None:
                limit = quantity(found["limit"])
                return limit.value if limit else float(found["limit"])
    return None


def _confusion(snapshot: Snapshot, words: Words) -> Picture | None:
    name = shown_candidate(snapshot)
    found = (candidates(snapshot)[name] if name else {}).get("pictures") or {}
    classes, counts = found.get("classes"), found.get("confusion")
    if not name or not classes or not counts or len(classes) > 40:
        return None
    heads = [str(label) for label in classes]
    if len(counts[0]) > len(heads):
        refused = any(row[-1] for row in counts)
        heads = [*heads, words("refused")] if refused else heads
        counts = counts if refused else [row[:-1] for row in counts]
    caption = words("confusion-caption", candidate=name)
    names = {
        "title": words("confusion-title", candidate=name),
        "description": caption,
        "said": words("said"),
        "true": words("true"),
    }
    rows = [(str(label), row) for label, row in zip(classes, counts, strict=False)]
    cells = [[Cell(label), *(number(value) for value in row)] for label, row in rows]
    table = Table(names["title"], [f"{names['true']} / {names['said']}", *heads], cells, step=STEP)
    return Picture("confusion", names["title"], draw.confusion("confusion", heads, rows, names), caption, table)


def _calibration(snapshot: Snapshot, words: Words) -> Picture | None:
    name = shown_candidate(snapshot)
    found = (candidates(snapshot)[name] if name else {}).get("pictures") or {}
    bins = [item for item in found.get("reliability") or [] if item.get("n")]
    if not name or not bins:
        return None
    names = {
        "title": words("calibration-title", candidate=name),
        "description": words("calibration-caption"),
        "rows": words("rows"),
        "x": words("calibration-x"),
        "y": words("calibration-y"),
        "tip": words("calibration-tip", said="{said}", share="{share}", n="{n}"),
    }
    index = list(candidates(snapshot)).index(name)
    drawn = draw.reliability("calibration", bins, names, index)
    cells = [[_share(item["confidence"]), _share(item["accuracy"]), number(item["n"])] for item in bins]
    table = Table(names["title"], [names["x"], names["y"], names["rows"]], cells, step=STEP)
    return Picture("calibration", names["title"], drawn, names["description"], table)


def _share(share: float) -> Cell:
    return judged(share, numbers.percent(share), "measured")


def _speeds(snapshot: Snapshot, words: Words) -> Iterator[Picture]:
    found = figures(snapshot)
    for key, name in (("latency", "latency_ms_p95"), ("capacity", "capacity_per_second")):
        rows = [(candidate, index, item[name]) for index, (candidate, item) in enumerate(found.items()) if name in item]
        if not rows:
            continue
        ranges = {
            candidate: (item["latency_ms_p50"].value, item["latency_ms_p99"].value)
            for candidate, item in found.items()
            if key == "latency" and "latency_ms_p50" in item and "latency_ms_p99" in item
        }
        names = {"title": words(f"{key}-title"), "description": words(f"{key}-caption"), "x": words(f"{key}-x")}
        drawn = draw.dots(key, rows, names, limit=_limit(snapshot, name), log=True, whiskers=ranges)
        yield Picture(key, names["title"], drawn, names["description"], _named(rows, names, words, SPEED))
