"""The train section: what each candidate took, and its curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from breakeven.report import pictures as draw
from breakeven.report.blocks import Block, Cell, Picture, Table
from breakeven.report.origins import measured
from breakeven.report.sections.cells import loose, machine_words, number, said
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

HEADS = ("model", "parameters", "weights", "licence", "seconds", "steps", "stopped")


def blocks(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """Every candidate's training: model, size, weights, time, why it stopped; curves where it had steps."""
    if not snapshot.train:
        return
    rows = [[Cell(name), *_row(name, record, words)] for name, record in snapshot.train.items()]
    yield Table(words("training"), [words("candidate"), *map(words, HEADS)], rows, note=words("training-note"))
    yield from _validation(snapshot, words)
    yield from _curves(snapshot, words)


def _row(name: str, record: Mapping[str, Any], words: Words) -> list[Cell]:
    base, improving = record.get("base") or {}, bool(record.get("still_improving"))
    stopped = words.term(f"stopped-{record['stopped']}") if record.get("stopped") else ""
    ended = words.joined(
        [part for part in (stopped, words("still-improving") if improving else "") if part], sentences=True
    )
    seconds = measured(record.get("seconds"), "s", hardware=machine_words(record.get("hardware"), words) or None)
    weights = f"{base.get('weights', '')} @ {str(base.get('revision') or '?')[:12]}" if base else ""
    cells = [
        said(record.get("model"), code=True),
        number(record.get("parameters"), "parameters"),
        Cell(weights, code=True),
        Cell(str(base.get("licence") or "")),
        Cell(quantity=seconds) if seconds else said(None),
        number(record.get("steps"), "steps"),
        Cell(ended, tone="unsure" if improving else ""),
    ]
    return [replace(one, step=f"train/{name}") for one in cells]


def _validation(snapshot: Snapshot, words: Words) -> Iterator[Table]:
    found: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in (record.get("validation") or {}).items() if loose(value, "").quantity}
        for name, record in snapshot.train.items()
    }
    names = list(dict.fromkeys(key for item in found.values() for key in item))
    if names:
        rows = [
            [Cell(words.term(name)), *(_of(candidate, item.get(name)) for candidate, item in found.items())]
            for name in names
        ]
        yield Table(words("validation"), [words("metric"), *found], rows, note=words("validation-note"))


def _of(candidate: str, value: Any) -> Cell:
    return replace(loose(value, ""), step=f"train/{candidate}")


def _curves(snapshot: Snapshot, words: Words) -> Iterator[Picture]:
    records = [
        (index, name, [row for row in record.get("history") or [] if isinstance(row, Mapping) and "step" in row])
        for index, (name, record) in enumerate(snapshot.train.items())
    ]
    figures = list(
        dict.fromkeys(
            key
            for _, _, history in records
            for row in history
            for key, value in row.items()
            if key not in ("step", "epoch", "seconds", "at") and isinstance(value, (int, float))
        )
    )
    for figure in figures[:4]:
        series = []
        for index, name, history in records:
            points = [
                (float(row["step"]), float(row[figure])) for row in history if isinstance(row.get(figure), (int, float))
            ]
            if len(points) > 1:
                series.append(draw.Line(name, [x for x, _ in points], [y for _, y in points], index))
        if series:
            term = words.term(figure)
            names = {
                "title": words("curve-title", figure=term),
                "description": words("curve-caption", figure=term),
                "x": words("curve-x"),
                "y": term,
            }
            drawn = draw.lines(f"curve-{figure}", series, names)
            table = Table(names["title"], [words("candidate"), words("curve-x"), term], _ends(series))
            yield Picture(f"curve-{figure}", names["title"], drawn, names["description"], table)


def _ends(series: list[draw.Line]) -> list[list[Cell]]:
    """First and last point of every line."""
    return [
        [Cell(line.name), replace(number(line.x[at], "steps"), step=f"train/{line.name}"), _of(line.name, line.y[at])]
        for line in series
        for at in (0, -1)
    ]
