"""Who owns the company through the plan: the declared table, the rounds that close in a scenario, and the exit.

Money of a round reaches the cash simulation; its shares stand here. For every combination of rounds that some scenario
closes the table is solved exactly once, and its exit is a curve that is read for all those scenarios together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from breakeven.economics.cap_events import Event, IssueConvertible, PricedRound
from breakeven.economics.cap_sections import PricedTerms, SafeTerms
from breakeven.economics.captable import CapTable, State
from breakeven.economics.exits import ExitCurves, exit_curves
from breakeven.economics.normal import Floats, floats
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sections import Funding
from breakeven.economics.simulation import QUANTILES, Run
from breakeven.economics.vesting import add_months
from breakeven.errors import UsageError
from breakeven.quantity import Origin, Quantity

POINTS = 41


@dataclass(frozen=True)
class Step:
    """The table after one day of events: fractions of everything, fully diluted, by holder (the free pool: `pool`)."""

    event: str
    date: date
    holders: Mapping[str, float]
    planned: bool

    def as_json(self) -> dict[str, Any]:
        """As plan.json carries it."""
        shown = {"event": self.event, "date": self.date.isoformat(), "holders": dict(self.holders)}
        return {**shown, "planned": self.planned}


@dataclass(frozen=True)
class Ownership:
    """The table of a plan and what it does at the end. founders_payout, founders_share: [scenarios], NaN where there
    is no exit; None where the plan declares none."""

    plan: BusinessPlan
    founders: tuple[str, ...]
    steps: tuple[Step, ...]
    chances: Mapping[str, float]
    exit_day: date
    values: Floats
    payouts: Mapping[str, Floats]
    founders_payout: Floats | None
    founders_share: Floats | None
    origin: Origin = "assumed"

    def payout(self) -> Quantity | None:
        """What the founders get, over all scenarios; nothing where the company is ruined."""
        return _quantity(self.founders_payout, self.plan.currency, self.origin)

    def share(self) -> Quantity | None:
        """The founders' part of the exit, over the scenarios that have one."""
        return _quantity(self.founders_share, "share", self.origin)

    def as_json(self) -> dict[str, Any]:
        """As plan.json carries it."""
        numbers = {"founders_share": self.share(), "founders_payout": self.payout()}
        return {
            "founders": list(self.founders),
            "steps": [step.as_json() for step in self.steps],
            "rounds": dict(self.chances),
            "exit": {
                "date": self.exit_day.isoformat(),
                "values": self.values.tolist(),
                "payout": {name: paid.tolist() for name, paid in self.payouts.items()},
                **{name: None if number is None else number.as_json() for name, number in numbers.items()},
            },
        }


def _quantity(values: Floats | None, unit: str, origin: Origin) -> Quantity | None:
    known = None if values is None else values[np.isfinite(values)]
    if known is None or not len(known):
        return None
    low, high = (float(q) for q in np.quantile(known, [QUANTILES[0], QUANTILES[2]]))
    number = Quantity(float(known.mean()), unit, origin, interval=0.8, n=len(known))
    number = replace(number, method="mean and p10 to p90 of the scenarios")
    return replace(number, low=low, high=high) if high > low else number


def of_run(made: Run, table: CapTable | None = None, *, origin: Origin = "assumed") -> Ownership | None:
    """The ownership of a simulated plan; `table`: what was read of the declared files. None without a cap table."""
    plan, settings = made.plan, made.plan.cap_table
    if settings is None:
        return None
    if settings.ocf is not None and table is None:
        raise UsageError("cap-table-unread", files=settings.ocf)
    before = settings.table() if table is None else table
    ahead = Planned(plan, before)
    holders = settings.founders or ahead.common_holders()
    unknown = set(holders) - set(before.state().by_holder())
    if unknown:
        raise UsageError("founders-unknown", found=sorted(unknown), allowed=sorted(before.state().by_holder()))
    paid, share = ahead.exits(made, holders)
    usual = int(made.base_outcomes.get("rounds_closed", 0.0))
    curves = ahead.curves(usual)
    values = np.linspace(0.0, _reach(made, ahead.table(usual).state()), POINTS)
    names = tuple(dict.fromkeys(curves.holders))
    return Ownership(
        plan,
        holders,
        tuple(_steps(before.events, False) + _steps(ahead.events(usual), True, before)),
        ahead.chances(made),
        ahead.day(plan.months + 1),
        values,
        {name: curves.at(values, (name,)) for name in names},
        paid,
        share,
        origin,
    )


class Planned:
    """The rounds of a plan that state their terms, and the table with any of them."""

    def __init__(self, plan: BusinessPlan, before: CapTable) -> None:
        self.plan, self.before = plan, before
        last = before.events[-1].date if before.events else date(1970, 1, 1)
        declared = plan.cap_table.start if plan.cap_table is not None else None
        self.start = declared or last

    def day(self, month: int) -> date:
        """The first day of a month of the plan; of month 0: the start."""
        return add_months(self.start, max(0, month - 1))

    def common_holders(self) -> tuple[str, ...]:
        """Everybody who holds common shares before the plan."""
        held = self.before.state().holdings.values()
        return tuple(dict.fromkeys(each.holder for each in held if each.stock_class == "common"))

    def events(self, closed: int) -> tuple[Event, ...]:
        """What the rounds add that close: bit n of `closed` is the plan's n-th round with terms."""
        chosen = [item for place, item in enumerate(with_terms(self.plan)) if closed >> place & 1]
        return tuple(self._event(item) for item in sorted(chosen, key=lambda item: item.month))

    def _event(self, item: Funding) -> Event:
        on, amount, terms = self.day(item.month), Decimal(repr(item.amount.mean)), item.terms
        if isinstance(terms, PricedTerms):
            return terms.round(item.name, amount, on)
        if isinstance(terms, SafeTerms):
            return IssueConvertible(on, terms.safe(item.name, amount, on))
        return IssueConvertible(on, terms.note(item.name, amount, on))  # type: ignore[union-attr]  # the third kind

    def table(self, closed: int) -> CapTable:
        """The whole table where these rounds close."""
        return self.before.add(*self.events(closed))

    def curves(self, closed: int) -> ExitCurves:
        """Everybody's payout at the end of the plan, where these rounds close."""
        return exit_curves(*self.table(closed).state().exit_claims(self.day(self.plan.months + 1)))

    def chances(self, made: Run) -> dict[str, float]:
        """The part of the scenarios in which each round closes."""
        closed = made.outcomes.get("rounds_closed", np.zeros(1)).astype(int)
        return {item.name: float(np.mean(closed >> n & 1)) for n, item in enumerate(with_terms(self.plan))}

    def exits(self, made: Run, founders: tuple[str, ...]) -> tuple[Floats | None, Floats | None]:
        """(the founders' payout, their share) in every scenario."""
        if "exit_value" not in made.outcomes:
            return None, None
        values = made.outcomes["exit_value"]
        closed = made.outcomes.get("rounds_closed", np.zeros(len(values))).astype(int)
        paid = np.zeros(len(values))
        for pattern in np.unique(closed):
            rows = closed == pattern
            paid[rows] = self.curves(int(pattern)).at(values[rows], founders)
        return paid, floats(np.where(values > 0.0, paid / np.maximum(values, 1e-12), np.nan))


def with_terms(plan: BusinessPlan) -> list[Funding]:
    """The rounds that say what is given for the money, in the order of the file."""
    return [item for item in plan.funding if item.terms is not None]


def _reach(made: Run, state: State) -> float:
    """How far the picture of the exit goes: beyond nine scenarios in ten, and beyond what was ever paid in."""
    values = made.outcomes.get("exit_value")
    seen = 0.0 if values is None else 1.25 * float(np.quantile(values, 0.9))
    return max(seen, 5.0 * float(state.raised), 1.0)


def _steps(events: tuple[Event, ...], planned: bool, before: CapTable | None = None) -> list[Step]:
    """One step a day."""
    table, steps = before or CapTable(), []
    for place, event in enumerate(events):
        table = CapTable((*table.events, event))
        if place + 1 < len(events) and events[place + 1].date == event.date and not planned:
            continue
        rows = table.state().by_holder()
        total = sum(rows.values(), Fraction(0))
        same_day = [each for each in events if each.date == event.date] if not planned else [event]
        shares = {name: float(held / total) for name, held in rows.items() if held} if total else {}
        steps.append(Step(", ".join(dict.fromkeys(map(_label, same_day))), event.date, shares, planned))
    return steps


def _label(event: Event) -> str:
    if isinstance(event, PricedRound):
        return event.stock_class.id
    if isinstance(event, IssueConvertible):
        return event.security.id
    return {"Issue": "shares", "ReservePool": "pool"}.get(type(event).__name__, type(event).__name__.lower())
