"""Counted months for `breakeven actuals`: use by customer and month out of the ledger, or a table of history."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.errors import BreakevenError, DataError, UsageError

if TYPE_CHECKING:
    from breakeven.economics.actuals import Counted
    from breakeven.economics.plan import BusinessPlan

Month = tuple[int, int]
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


def from_table(root: Path, table: str, plan: BusinessPlan, start: str | None) -> tuple[Counted, list[str]]:
    """(the counted months of a table, their labels). Its `month` column, where there is one, only labels them."""
    from breakeven.economics.actuals import of_rows
    from breakeven.stages.declared_files import rows

    read = rows(root, table)
    opening = sum(part.customers.start.mean for part in plan.parts().values())
    try:
        counted = of_rows(read, opening)
    except BreakevenError as error:
        raise error.located(file=table) from None
    if start is not None:
        first = number(month_of(start))
        return counted, [label(first + place) for place in range(counted.months)]
    return counted, [str(row.get("month", place)) for place, row in enumerate(read, 1)]


def from_ledger(
    place: str, plan: BusinessPlan, *, start: str | None, lapse: int, today: datetime.date
) -> tuple[Counted, list[str]]:
    """(the complete months of the ledger, their labels); month 1 is `start`, else the first month with use."""
    from breakeven.economics.actuals import count, revenue

    last = number((today.year, today.month)) - 1
    used = _used(place, last)
    if not used:
        raise DataError("actuals-none", month=label(last))
    first = number(month_of(start)) if start is not None else min(month for _, month in used)
    if first > last:
        raise UsageError("actuals-future", start=label(first), last=label(last))
    numbered = {(customer, month - first + 1): quantities for (customer, month), quantities in used.items()}
    months = last - first + 1
    counted = replace(count(numbered, months, lapse=lapse), revenue=revenue(plan, numbered, months))
    return counted, [label(first + place) for place in range(months)]


def _used(place: str, last: int) -> dict[tuple[str, int], dict[str, float]]:
    """Units by meter of each customer in each month up to the last complete one, from the first customer's on."""
    from breakeven.ledger import commands

    customers = commands.customers_list(place)
    if not customers:
        return {}
    created = min(datetime.datetime.fromisoformat(row["created"]) for row in customers)
    found: dict[tuple[str, int], dict[str, float]] = {}
    for month in range(max(number((created.year, created.month)), last - MOST_MONTHS), last + 1):
        for row in commands.usage(place, start=f"{label(month)}-01", end=f"{label(month + 1)}-01"):
            sums = found.setdefault((row["customer"], month), {})
            sums[row["meter"]] = sums.get(row["meter"], 0.0) + float(row["quantity"])
    return found


def as_json(counted: Counted, labels: list[str], compared: Mapping[str, Any]) -> dict[str, Any]:
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
    return {"months": labels, "opening": counted.opening, "streams": streams, "meters": meters}
