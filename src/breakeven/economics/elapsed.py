"""A plan seen from a later month: what is over falls away, what is still to come moves nearer.

Purchases, rounds and grants of the months that are over are in the account already; of a loan what is still owed stays.
A milestone that was met stands open no more, and what waited for one whose time is over never comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from breakeven.economics.drivers import Driver
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sections import Customers, Funding, Milestone, Segment
from breakeven.economics.vesting import add_months


def advance(plan: BusinessPlan, over: int, counted: Mapping[str, Sequence[float]] | None = None) -> BusinessPlan:
    """The plan without its first `over` months. `counted`: metrics of milestones as they were, by month."""
    met, open_ = _milestones(plan, over, counted or {})
    kept = {item.name for item in open_}

    def waits(item: Any) -> Any:
        return item.model_copy(update={"needs": None}) if item.needs in met else item

    def hoped(items: Sequence[Any]) -> list[Any]:
        return [waits(item) for item in items if item.needs is None or item.needs in met or item.needs in kept]

    costs = plan.costs
    training = costs.training if costs.training is not None and costs.training.every_months else None
    later = [item for item in hoped(costs.capital) if item.month > over]
    funding, owed = _funding(hoped(plan.funding), over)
    changed: dict[str, Any] = {
        "months": plan.months - over,
        "team": [_moved(item, over) for item in hoped(plan.team) if not _ended(item, over)],
        "milestones": [_nearer(item, over) for item in open_],
        "funding": funding,
        "customers": _customers(plan.customers, over),
        "segments": {name: _segment(segment, over) for name, segment in plan.segments.items()},
        "risks": [_rest(item, (plan.months - over) / plan.months) for item in plan.risks],
        "costs": costs.model_copy(
            update={
                "training": training,
                "capital": [item.model_copy(update={"month": item.month - over}) for item in later],
                "fixed": [_moved(item, over) for item in hoped(costs.fixed) if not _ended(item, over)],
            }
        ),
    }
    if plan.cash is not None and owed:
        changed["cash"] = Driver.of(plan.cash.mean - owed, plan.currency, plan.cash.origin)
    if plan.cap_table is not None and plan.cap_table.start is not None:
        start = add_months(plan.cap_table.start, over)
        changed["cap_table"] = plan.cap_table.model_copy(update={"start": start})
    made = plan.model_copy(update=changed)
    left = {name for name, driver in made.drivers().items() if not driver.certain}
    pairs = [pair for pair in plan.correlations if left.issuperset(pair[:2])]
    return made.model_copy(update={"correlations": pairs})


def _ended(item: Any, over: int) -> bool:
    return item.end is not None and item.end <= over


def _moved(item: Any, over: int) -> Any:
    end = None if item.end is None else item.end - over
    return item.model_copy(update={"start": max(1, item.start - over), "end": end})


def _nearer(item: Milestone, over: int) -> Milestone:
    return item if item.by is None else item.model_copy(update={"by": item.by - over})


def _customers(customers: Customers, over: int) -> Customers:
    channels = {name: _moved(item, over) for name, item in customers.channels.items() if not _ended(item, over)}
    month = (customers.first_month - 1 + over) % 12 + 1
    return customers.model_copy(update={"channels": channels, "first_month": month})


def _segment(segment: Segment, over: int) -> Segment:
    return segment.model_copy(update={"customers": _customers(segment.customers, over)})


def _rest(risk: Any, part: float) -> Any:
    return risk.model_copy(update={"likelihood": risk.likelihood.shifted(part)})


def _milestones(
    plan: BusinessPlan, over: int, counted: Mapping[str, Sequence[float]]
) -> tuple[set[str], list[Milestone]]:
    """(names of those that were met, those still open)."""
    met, open_ = set(), []
    for item in plan.milestones:
        seen = counted.get(item.metric, ())[: item.by]
        if any(value >= item.value.mean for value in seen):
            met.add(item.name)
        elif item.by is None or item.by > over:
            open_.append(item)
    return met, open_


def _funding(items: Sequence[Funding], over: int) -> tuple[list[Funding], float]:
    """(money to come, and loans as what is left of them; how much of the loans lies in the account already)."""
    kept, owed = [], 0.0
    for item in items:
        if item.month > over:
            kept.append(item.model_copy(update={"month": item.month - over}))
        elif item.kind == "loan" and item.month + item.months > over:
            left = _outstanding(item, over - item.month)
            owed += left
            rest = {"amount": Driver.of(left, origin=item.amount.origin), "month": 0, "closed": True}
            kept.append(item.model_copy(update={**rest, "months": item.month + item.months - over}))
    return kept, owed


def _outstanding(item: Funding, paid: int) -> float:
    """What is owed of an annuity after so many payments."""
    monthly = (1.0 + item.interest_per_year.mean) ** (1.0 / 12.0) - 1.0
    if monthly == 0.0:
        return item.amount.mean * (1.0 - paid / item.months)
    growth = (1.0 + monthly) ** item.months
    return float(item.amount.mean * (growth - (1.0 + monthly) ** paid) / (growth - 1.0))
