"""Counted months for `breakeven actuals`: use by customer and month out of the ledger, or a table of history."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.errors import BreakevenError, DataError, Place, UsageError

if TYPE_CHECKING:
    from breakeven.economics.actuals import Counted, CountedMonths
    from breakeven.economics.plan import BusinessPlan

Month = tuple[int, int]
Used = dict[tuple[str, int], dict[str, float]]
MOST_MONTHS = 600


def month_of(text: str) -> Month:
    """(year, month) of `2026-01`."""
    try:
        day = datetime.date.fromisoformat(f"{text}-01")
    except ValueError:
        raise UsageError("actuals-month", found=text) from None
    return day.year, day.month


def number(month: Month) -> int:
    """Months since year 0, so that months can be counted."""
    return month[0] * 12 + month[1] - 1


def label(place: int) -> str:
    """The inverse, as text: `2026-01`."""
    return f"{place // 12:04d}-{place % 12 + 1:02d}"


def from_table(root: Path, table: str, plan: BusinessPlan, start: str | None) -> CountedMonths:
    """The counted months of a table. Its `month` column, where there is one, only labels them; a `segment` column says
    of which segment of the plan each row is."""
    from breakeven.economics.actuals import CountedMonths, of_rows, together
    from breakeven.stages.declared_files import rows

    read = rows(root, table)
    parts = _by_segment(read, plan, table)
    openings = {name: plan.segments[name].customers.start.mean for name in parts}
    whole = sum(part.customers.start.mean for part in plan.parts().values())
    try:
        segments = {name: of_rows(part, openings[name]) for name, part in parts.items()}
        counted = together(segments) if segments else of_rows(read, whole)
    except BreakevenError as error:
        raise error.located(file=table) from None
    titles = next(iter(parts.values()), read)
    if start is None:
        labels = [str(row.get("month", place)) for place, row in enumerate(titles, 1)]
    else:
        first = number(month_of(start))
        labels = [label(first + place) for place in range(counted.months)]
    return CountedMonths(counted, tuple(labels), segments)


def _by_segment(
    read: Sequence[Mapping[str, Any]], plan: BusinessPlan, table: str
) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each segment without the column that names it; empty where there is no such column."""
    if not plan.segments or not read or "segment" not in read[0]:
        return {}
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in plan.segments}
    for place, row in enumerate(read, 1):
        name = str(row["segment"])
        if name not in found:
            about = {"row": place, "found": name, "allowed": list(plan.segments)}
            raise DataError("actuals-segment-unknown", at=Place(file=table), **about)
        found[name].append({key: cell for key, cell in row.items() if key != "segment"})
    (first, rows), *others = found.items()
    for name, more in others:
        if len(more) != len(rows):
            about = {"segment": name, "found": len(more), "other": first, "months": len(rows)}
            raise DataError("actuals-segment-months", at=Place(file=table), **about)
    return found


def from_ledger(
    place: str,
    plan: BusinessPlan,
    *,
    start: str | None,
    lapse: int,
    today: datetime.date,
    segment_of: Mapping[str, str] | None = None,
) -> CountedMonths:
    """The complete months of the ledger; month 1 is `start`, else the first month with use. `segment_of`: the segment
    of every customer, by name or id."""
    from breakeven.economics.actuals import CountedMonths, count, revenue, together

    last = number((today.year, today.month)) - 1
    used, names = _used(place, last)
    if not used:
        raise DataError("actuals-none", month=label(last))
    first = number(month_of(start)) if start is not None else min(month for _, month in used)
    if first > last:
        raise UsageError("actuals-future", start=label(first), last=label(last))
    months = last - first + 1

    def counted(chosen: Used, prefix: str) -> Counted:
        numbered = {(customer, month - first + 1): quantities for (customer, month), quantities in chosen.items()}
        made = count(numbered, months, lapse=lapse)
        return replace(made, revenue=revenue(plan, numbered, months, prefix=prefix))

    labels = tuple(label(first + place) for place in range(months))
    if segment_of is None:
        return CountedMonths(counted(used, ""), labels)
    parts = {
        name: counted(chosen, f"segments.{name}.") for name, chosen in _split(used, names, plan, segment_of).items()
    }
    return CountedMonths(together(parts), labels, parts)


def _split(used: Used, names: Mapping[str, str], plan: BusinessPlan, segment_of: Mapping[str, str]) -> dict[str, Used]:
    """Use by segment; DataError where a customer with use is of none."""
    found: dict[str, Used] = {name: {} for name in plan.segments}
    nowhere: dict[str, None] = {}
    for (customer, month), quantities in used.items():
        name = segment_of.get(customer, segment_of.get(names.get(customer, customer)))
        if name is None:
            nowhere[names.get(customer, customer)] = None
        else:
            found[name][customer, month] = quantities
    if nowhere:
        raise DataError("actuals-segment-open", found=list(nowhere)[:20])
    return found


def segments_of(root: Path, table: str, plan: BusinessPlan) -> dict[str, str]:
    """The segment of each customer, out of a table with the columns `customer` (name or id) and `segment`."""
    from breakeven.stages.declared_files import rows

    if not plan.segments:
        raise UsageError("actuals-no-segments", file=table)
    read, found = rows(root, table), dict[str, str]()
    for column in ("customer", "segment"):
        if not read or column not in read[0]:
            about: dict[str, Any] = {"column": column, "found": list(read[0]) if read else []}
            raise DataError("actuals-segment-column", at=Place(file=table), **about)
    for place, row in enumerate(read, 1):
        customer, segment = str(row["customer"]), str(row["segment"])
        if segment not in plan.segments:
            about = {"row": place, "found": segment, "allowed": list(plan.segments)}
            raise DataError("actuals-segment-unknown", at=Place(file=table), **about)
        if found.setdefault(customer, segment) != segment:
            about = {"row": place, "customer": customer, "first": found[customer], "second": segment}
            raise DataError("actuals-segment-twice", at=Place(file=table), **about)
    return found


def _used(place: str, last: int) -> tuple[Used, dict[str, str]]:
    """(units by meter of each customer in each month from the first with use to the last complete one, their names)."""
    from breakeven.ledger import commands

    found: Used = {}
    names: dict[str, str] = {}
    for month in range(_first(place, last), last + 1):
        for row in commands.usage(place, start=f"{label(month)}-01", end=f"{label(month + 1)}-01"):
            names[row["customer"]] = str(row["name"] or row["customer"])
            sums = found.setdefault((row["customer"], month), {})
            sums[row["meter"]] = sums.get(row["meter"], 0.0) + float(row["quantity"])
    return found, names


def _first(place: str, last: int) -> int:
    """The first month with use, at most MOST_MONTHS back, found by halving: imported use may be older than any customer
    of the ledger, so their days of creation do not tell."""
    from breakeven.ledger import commands

    low, high = last - MOST_MONTHS + 1, last + 1
    while low < high:
        middle = (low + high) // 2
        if commands.usage(place, end=f"{label(middle + 1)}-01"):
            high = middle
        else:
            low = middle + 1
    return low


def as_json(counted: Counted, labels: Sequence[str], compared: Mapping[str, Any]) -> dict[str, Any]:
    """The counted months beside the plan's."""
    streams = {
        name: [
            {
                "month": row.month,
                "label": labels[row.month - 1],
                "actual": row.actual,
                "base": row.base,
                "p10": row.p10,
                "p50": row.p50,
                "p90": row.p90,
                "within": row.within,
            }
            for row in rows
        ]
        for name, rows in compared.items()
    }
    meters = {meter: list(row) for meter, row in counted.meters.items()}
    return {"months": list(labels), "opening": counted.opening, "streams": streams, "meters": meters}
