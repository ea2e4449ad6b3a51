"""What really happened, month by month: counted from use, beside the plan's p10, p50 and p90.

Nobody signs off from a metered service: a customer counts from the first month with use, and as lost in the month after
the last one, once `lapse` months have passed without use. Where a plan has segments, each is counted apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from breakeven.economics.normal import Floats, floats
from breakeven.economics.paths import simulate_block
from breakeven.economics.plan import BusinessPlan, Part
from breakeven.economics.rates import Use, once_of, revenue_of, trial_of
from breakeven.economics.refitting import Compared, History
from breakeven.economics.sampling import Sampler
from breakeven.economics.simulation import row_quantiles, tables
from breakeven.errors import DataError

COMPARED = 8192
Used = Mapping[tuple[str, int], Mapping[str, float]]


@dataclass(frozen=True)
class Counted:
    """Counted months. new, lost, present: customers by month; meters: use by meter and month; revenue: money by month,
    before tax; each: what every present customer used of answers in the last month; stays: (months with us, whether
    gone) of every customer who came in these months."""

    opening: float
    new: tuple[float, ...]
    lost: tuple[float, ...]
    meters: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    revenue: tuple[float, ...] = ()
    each: tuple[float, ...] = ()
    stays: tuple[tuple[int, bool], ...] = ()
    cash: float | None = None

    @property
    def months(self) -> int:
        """How many were counted."""
        return len(self.new)

    def history(self) -> History:
        """As the plan is refitted to it."""
        return History(self.opening, self.new, self.lost, self.each, self.cash)

    def streams(self) -> dict[str, tuple[float, ...]]:
        """What the plan has a forecast of, by the name of its stream."""
        found = {"customers": tuple(self.history().present), "new_customers": self.new}
        found |= {"churned_customers": self.lost}
        found |= {name: row for name, row in {"answers": self.meters.get("answers", ())}.items() if row}
        return found | ({"revenue": self.revenue} if self.revenue else {})


@dataclass(frozen=True)
class CountedMonths:
    """The company's months and how they are called; of each segment too, where a plan has them."""

    counted: Counted
    labels: tuple[str, ...]
    segments: Mapping[str, Counted] = field(default_factory=dict)


def count(used: Used, months: int, *, lapse: int = 2) -> Counted:
    """Counts customers and use. `used`: units by meter of each customer in each month; month 1 is the plan's first,
    months before it (0, -1 ...) say who was there already, months after `months` only who is still there."""
    active: dict[str, list[int]] = {}
    for customer, month in used:
        active.setdefault(customer, []).append(month)
    spans = {name: (min(seen), max(seen)) for name, seen in active.items() if min(seen) <= months}
    ends = {name: last if months - last >= lapse else months for name, (_, last) in spans.items()}
    present = {name: end for name, end in ends.items() if end >= 1 or spans[name][0] >= 1}
    new, lost = np.zeros(months), np.zeros(months)
    for name, end in present.items():
        if spans[name][0] >= 1:
            new[spans[name][0] - 1] += 1
        if end < months:
            lost[end] += 1
    opening = sum(1 for name in present if spans[name][0] < 1)
    here = [name for name, end in present.items() if end == months]
    return Counted(
        float(opening),
        tuple(new.tolist()),
        tuple(lost.tolist()),
        _meters(used, months),
        (),
        tuple(float(used.get((name, months), {}).get("answers", 0.0)) for name in here),
        tuple((end - spans[name][0] + 1, end < months) for name, end in present.items() if spans[name][0] >= 1),
    )


def _meters(used: Used, months: int) -> dict[str, tuple[float, ...]]:
    sums: dict[str, Floats] = {}
    for (_, month), quantities in used.items():
        if 1 <= month <= months:
            for meter, quantity in quantities.items():
                sums.setdefault(meter, np.zeros(months))[month - 1] += float(quantity)
    return {meter: tuple(row.tolist()) for meter, row in sorted(sums.items())}


def revenue(plan: BusinessPlan, used: Used, months: int, *, prefix: str = "") -> tuple[float, ...]:
    """What the counted use of a segment comes to at its declared prices, before tax; empty where none is declared."""
    part = plan.parts().get(prefix)
    if part is None or part.price is None:
        return ()
    earned = np.zeros(months)
    first: dict[str, int] = {}
    for customer, month in used:
        first[customer] = min(month, first.get(customer, month))
    for (customer, month), quantities in used.items():
        if 1 <= month <= months:
            earned[month - 1] += _paid(part, quantities, age=month - first[customer])
    return tuple(earned.tolist())


def _paid(part: Part, quantities: Mapping[str, float], *, age: int) -> float:
    """One customer's month; `age`: how many months it has been there before."""
    price = part.price
    assert price is not None  # asked only where one is declared
    answers = float(quantities.get("answers", 0.0))
    if price.plan is not None:
        others = {meter: float(number) for meter, number in quantities.items() if meter != "answers"}
        sizes = {meter: use.per_event for meter, use in part.customers.meters.items() if use.per_event is not None}
        seats = 1 if part.customers.seats_each is None else round(part.customers.seats_each.mean)
        trial = dict(enumerate(trial_of(price.plan))).get(age, 0.0)
        recurring = revenue_of(price.plan, answers, Use(others, seats, sizes), billed=age)
        return (1.0 - trial) * recurring + (0.0 if age else once_of(price.plan))
    once = price.per_new_customer.mean if age == 0 and price.per_new_customer is not None else 0.0
    monthly = price.per_customer.mean if price.per_customer is not None else 0.0
    return once + monthly + (answers * price.per_answer.mean if price.per_answer is not None else 0.0)


def together(segments: Mapping[str, Counted]) -> Counted:
    """The company of all its segments: sums of their months; what is known of single customers stays with each."""
    parts = list(segments.values())
    names = dict.fromkeys(meter for part in parts for meter in part.meters)
    cash = next((part.cash for part in parts if part.cash is not None), None)
    return Counted(
        sum(part.opening for part in parts),
        _sum([part.new for part in parts]),
        _sum([part.lost for part in parts]),
        {meter: _sum([part.meters[meter] for part in parts if meter in part.meters]) for meter in names},
        _sum([part.revenue for part in parts]) if all(part.revenue for part in parts) else (),
        cash=cash,
    )


def _sum(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(np.sum([floats(row) for row in rows], axis=0).tolist())


def alone(plan: BusinessPlan, segment: str) -> BusinessPlan:
    """The plan with one of its segments only, on the same random numbers: what is forecast of it."""
    made = plan.model_copy(update={"segments": {segment: plan.segments[segment]}})
    left = {name for name, driver in made.drivers().items() if not driver.certain}
    return made.model_copy(update={"correlations": [pair for pair in plan.correlations if left.issuperset(pair[:2])]})


def beside(plan: BusinessPlan, counted: Counted, *, seed: int = 0) -> dict[str, list[Compared]]:
    """Each counted stream beside its forecast, the luck of few customers included."""
    streams = counted.streams()
    whole = plan
    for prefix, part in plan.parts().items():
        whole = whole.with_customers(prefix, part.customers.model_copy(update={"counting": "whole"}))
    sampler, priced = Sampler.of(whole, seed), tables(whole)
    kept: dict[str, list[Floats]] = {name: [] for name in streams}
    for inputs in sampler.blocks(min(COMPARED, plan.scenarios)):
        made = simulate_block(whole, inputs, priced).streams
        for name, rows in kept.items():
            rows.append(made[name])
    base = simulate_block(whole, sampler.base(), priced).streams
    found = {}
    for name, actual in streams.items():
        low, middle, high = row_quantiles(np.concatenate(kept[name], axis=1))
        found[name] = [
            Compared(place + 1, value, *(float(row[place]) for row in (base[name][:, 0], low, middle, high)))
            for place, value in enumerate(actual[: plan.months])
            if not math.isnan(value)
        ]
    return found


def of_rows(rows: Sequence[Mapping[str, Any]], opening: float) -> Counted:
    """Counted months from a table: `new` and `lost`, and where they are there `customers` (at the month's end),
    `answers` and other meters, `revenue` and `cash` (the last one counts). DataError names row and column."""
    if not rows:
        raise DataError("history-rows")
    for column in ("new", "lost"):
        if column not in rows[0]:
            raise DataError("history-column", column=column, found=list(rows[0]))
    read = {name: _column(rows, name) for name in rows[0] if name != "month"}
    start = read["customers"][0] - read["new"][0] + read["lost"][0] if "customers" in read else opening
    cash = read.get("cash", (math.nan,))[-1]
    known = ("new", "lost", "customers", "revenue", "cash")
    try:
        made = Counted(
            start, read["new"], read["lost"], {name: row for name, row in read.items() if name not in known},
            read.get("revenue", ()), cash=None if math.isnan(cash) else cash,
        )  # fmt: skip
        present = made.history().present
    except ValueError:
        raise DataError("history-negative") from None
    # Only sums are known, so the mean customer of each month stands for how use differs.
    pairs = zip(made.meters.get("answers", ()), present, strict=False)
    return replace(made, each=tuple(answers / there for answers, there in pairs if there > 0.0))


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[float, ...]:
    values = []
    for number, row in enumerate(rows, 1):
        try:
            values.append(float(row[name]))
        except (TypeError, ValueError):
            raise DataError("history-cell", column=name, row=number, found=str(row[name])[:40]) from None
        if not (values[-1] >= 0.0 or name == "cash") or math.isinf(values[-1]):
            raise DataError("history-cell", column=name, row=number, found=str(row[name])[:40])
    return tuple(floats(values).tolist())
