"""The business section and its picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from breakeven.report import numbers
from breakeven.report.blocks import Block, Cell, Facts, Picture, Table
from breakeven.report.origins import quantity
from breakeven.report.sections.cells import cell
from breakeven.report.words import Words

if TYPE_CHECKING:
    from breakeven.project import Snapshot

STEP = "business"


def blocks(snapshot: Snapshot, words: Words) -> Iterator[Block]:
    """Every candidate's plan side by side, what would have to change, and what to measure next."""
    plan = snapshot.business
    if plan is None:
        return
    found: Mapping[str, Mapping[str, Any]] = plan.get("candidates") or {}
    names = list(
        dict.fromkeys(
            key for item in found.values() for key in item if any(quantity(other.get(key)) for other in found.values())
        )
    )
    if names:
        rows = [[Cell(words.term(name)), *(cell(item.get(name)) for item in found.values())] for name in names]
        yield Table(words("plan"), [words("figure"), *found], rows, step=STEP)
    declared = [(words.term(key), Cell(quantity=held)) for key, value in plan.items() if (held := quantity(value))]
    if declared:
        yield Facts(words("plan-inputs"), declared, step=STEP)


def volumes(snapshot: Snapshot, words: Words) -> Iterator[Table]:
    """From which monthly volume each candidate breaks even, by the verdict."""
    rows = []
    for name, found in ((snapshot.verdict or {}).get("candidates") or {}).items():
        intervals = found.get("break_even_answers")
        if isinstance(intervals, list):
            rows.append([Cell(name), Cell(spans(intervals, words))])
    if rows:
        yield Table(
            words("break-even-volume"),
            [words("candidate"), words("pays-between")],
            rows,
            step="evaluate/verdict",
            note=words("break-even-note"),
        )


def spans(intervals: Sequence[Sequence[float | None]], words: Words) -> str:
    """Intervals of volume as words: `from 12,300`, `12,300 to 15,000 and from 18,200`; none is said."""
    said = []
    for low, high in intervals:
        start = numbers.count(low)
        said.append(words("from", low=start) if high is None else words("from-to", low=start, high=numbers.count(high)))
    return words("and").join(said) if said else words("at-no-volume")


def picture(snapshot: Snapshot, words: Words) -> list[Picture]:
    """Cumulative cash as a fan over the months, for the chosen candidate or every one that has a path."""
    return []
