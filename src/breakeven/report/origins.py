"""Where every number comes from: the mark beside it, the sentence on hover, the line in the appendix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from breakeven.quantity import Quantity
from breakeven.report import numbers
from breakeven.report.blocks import Entry, Report
from breakeven.report.words import Words

MARKS = {"measured": "m", "declared": "d", "quoted": "q", "assumed": "a"}


def counted(value: float | None, unit: str = "rows") -> Quantity | None:
    """A whole number that the program counted; None stays None."""
    return None if value is None else Quantity(float(value), unit, "measured", method="counted")


def measured(
    value: float | None, unit: str, *, method: str | None = None, hardware: str | None = None
) -> Quantity | None:
    """A number an artifact states without more words about it; None stays None."""
    return None if value is None else Quantity(float(value), unit, "measured", method=method, hardware=hardware)


def quantity(data: Any) -> Quantity | None:
    """Quantity JSON as a Quantity; anything that is not one, or has no value, is None."""
    if not isinstance(data, Mapping) or not isinstance(data.get("value"), (int, float)) or "unit" not in data:
        return None
    return Quantity.from_json(data)


def registered(report: Report, lineage: Mapping[str, Mapping[str, Any]], words: Words) -> Report:
    """The report with its appendix: one entry for every quantity that stands in it."""
    entries: list[Entry] = []
    seen: set[int] = set()
    for where, step, cell in report.cells():
        if cell.quantity is None or id(cell) in seen:
            continue
        seen.add(id(cell))
        made = (lineage.get(step or "") or {}).get("created")
        when = cell.quantity.as_of or (made if cell.quantity.origin == "measured" else None)
        artifact = cell.quantity.source or (f"artifacts/{step}" if step else None)
        unit = words.unit(numbers.unit(cell.quantity))
        shown = f"{cell.line} {unit}" if unit and not cell.text.endswith(unit) else cell.line
        entries.append(Entry(len(entries) + 1, where, shown, cell.quantity, when, artifact))
    return replace(report, entries=tuple(entries))


def places(report: Report) -> dict[int, Entry]:
    """The appendix entry of every cell that holds a quantity, by the cell's identity; same order as `registered`."""
    cells = []
    seen: set[int] = set()
    for _, _, cell in report.cells():
        if cell.quantity is not None and id(cell) not in seen:
            seen.add(id(cell))
            cells.append(cell)
    return {id(cell): entry for cell, entry in zip(cells, report.entries, strict=True)}


def details(entry: Entry, words: Words) -> list[tuple[str, str]]:
    """What is known of a number's origin, as (name, text); nothing is said of what is not known."""
    held = entry.quantity
    found = [
        (words("origin"), words.term(held.origin)),
        (words("when"), numbers.moment(entry.when)),
        (words("hardware"), held.hardware),
        (words("artifact"), entry.artifact),
        ("n", None if held.n is None else numbers.count(held.n)),
        (words("method"), words.method(held.method)),
    ]
    if held.low is not None or held.high is not None:
        found.append((words("interval"), numbers.percent(held.interval)))
    if held.inputs:
        found.append(
            (
                words("inputs"),
                ", ".join(f"{words.term(name)}: {words.term(origin)}" for name, origin in held.inputs.items()),
            )
        )
    return [(name, text) for name, text in found if text]


def hover(entry: Entry, words: Words) -> str:
    """One line for a tooltip: the number in full, its origin and all that is known of it."""
    origin, *rest = details(entry, words)
    parts = [entry.shown, origin[1], *(f"{name}: {text}" for name, text in rest)]
    return " · ".join(parts)
