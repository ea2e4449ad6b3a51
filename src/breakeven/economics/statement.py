"""An itemised statement: what every single event added to the metered fees of a period, exact and unrounded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from breakeven.economics.fees import Charge, Free, PerUnit, RevenueShare
from breakeven.economics.invoice import Customer, count_events, cut
from breakeven.economics.money import Rational, exactly, fraction
from breakeven.economics.plans import Plan
from breakeven.economics.proration import Period
from breakeven.economics.rating import Stretch, Usage, charge


class Item(NamedTuple):
    """One event and its own amount in major units; a plan's flat fees and commitments belong to no event."""

    time: datetime
    id: str
    meter: str
    quantity: Rational
    amount: Rational


def itemise(events: Iterable[Any], plan: Plan, customer: Customer, period: Period) -> list[Item]:
    """The events that the invoice of the period bills, in the order of time and id, each with what it adds.

    Where the price depends on what came before (tiers, packages, included units), an event costs what the fee rises by
    when it comes; so the amounts of a meter add up to its fees less what they charge without any use.
    """
    with exactly():
        stretches, trial_end = cut(plan, customer, period)
        kept: list[list[Any]] = [[] for _ in stretches]
        count_events(events, period, stretches, trial_end, keep=kept)
        return [item for stretch, rows in zip(stretches, kept, strict=True) for item in _priced(stretch, rows)]


def _priced(stretch: Stretch, rows: list[Any]) -> list[Item]:
    fees: dict[str, list[Charge]] = {}
    for fee in stretch.plan.fees:
        meter = getattr(fee, "meter", None)
        if meter is not None and not isinstance(fee, Free):
            fees.setdefault(meter, []).append(fee)
    flat = {meter: price for meter, found in fees.items() if (price := _flat_price(found)) is not None}
    rows.sort()  # by time, id and meter; no two events share all three
    if flat.keys() == fees.keys():
        zero = Decimal(0)
        return [Item(t, name, meter, count, flat.get(meter, zero) * count) for t, name, meter, count in rows]
    return _marginal(stretch, rows, fees)


def _flat_price(fees: list[Charge]) -> Decimal | None:
    """The price of a unit where it is the same for every unit."""
    total = Decimal(0)
    for fee in fees:
        if isinstance(fee, PerUnit) and not fee.included and not fee.minimum:
            total += fee.unit_price
        elif isinstance(fee, RevenueShare):
            total += fee.rate
        else:
            return None
    return total


def _marginal(stretch: Stretch, rows: list[Any], fees: dict[str, list[Charge]]) -> list[Item]:
    running = Stretch(stretch.period, stretch.part, stretch.paid, stretch.plan, Usage(fees))
    before: dict[str, Fraction] = {meter: _sum(found, running) for meter, found in fees.items()}
    items = []
    for event in rows:
        running.usage.add(*event)
        after = _sum(fees.get(event[2], []), running)
        time, name, meter, quantity = event
        items.append(Item(time, name, meter, quantity, after - before.get(meter, Fraction(0))))
        before[meter] = after
    return items


def _sum(fees: list[Charge], stretch: Stretch) -> Fraction:
    return sum((fraction(charge(fee, stretch).amount) for fee in fees), Fraction(0))
