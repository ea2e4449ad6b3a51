"""Quotas and spend caps that hold under concurrency: reserved at admission, settled at the end, given back on
failure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from breakeven.errors import Refused
from breakeven.ledger import clock, schema
from breakeven.ledger.customers import Terms
from breakeven.ledger.plans import DECIMALS, PricePlan

SPEND = "spend"  # the cap's row among the meters, in units of 10^-12 of the currency: whole numbers, exact


@dataclass(frozen=True)
class Admission:
    """What a request reserved. Give it to `settle` with what was used, or to `release`."""

    customer: str
    period: str
    reserved: Mapping[str, int]


NOTHING: Mapping[str, int] = {}


class Balances(Protocol):
    """Where used and reserved quantities of a customer's month are kept."""

    def reserve(self, customer: str, period: str, wanted: Mapping[str, int], limits: Mapping[str, int]) -> None:
        """Reserves all of `wanted` or nothing; Refused when a limit would be passed."""

    def settle(self, admission: Admission, used: Mapping[str, int]) -> None:
        """Turns a reservation into use."""


def limits_of(terms: Terms) -> dict[str, int]:
    """The limits of some terms by meter, the cap in whole units."""
    limits = dict(terms.quotas)
    if terms.spend_cap is not None:
        limits[SPEND] = int(terms.spend_cap.scaleb(DECIMALS))
    return limits


def counted(quantities: Mapping[str, int], limits: Mapping[str, int], plan: PricePlan) -> dict[str, int]:
    """Those of the quantities that a limit speaks of, spend included."""
    wanted = {meter: quantity for meter, quantity in quantities.items() if meter in limits and meter != SPEND}
    if SPEND in limits:
        wanted[SPEND] = int(plan.amount(quantities).scaleb(DECIMALS))
    return wanted


def used_in(engine: Engine, customer: str, period: str, plans: Callable[[str], PricePlan]) -> dict[str, int]:
    """What the ledger's totals say a customer used in a month, spend included."""
    start, end = clock.month_bounds(period)
    totals = schema.totals.c
    query = (
        sa.select(totals.plan, totals.meter, sa.func.sum(totals.quantity))
        .where(totals.customer == customer, totals.hour >= start, totals.hour < end)
        .group_by(totals.plan, totals.meter)
    )
    used: dict[str, int] = {SPEND: 0}
    with engine.connect() as connection:
        for plan, meter, quantity in connection.execute(query):
            used[meter] = used.get(meter, 0) + int(quantity)
            used[SPEND] += int(plans(plan).amount({meter: int(quantity)}).scaleb(DECIMALS))
    return used


def refusal(meter: str, limit: int, used: int, period: str) -> Refused:
    """The error for a limit that is reached; says when it opens again."""
    _, end = clock.month_bounds(period)
    code = "spend-cap-reached" if meter == SPEND else "quota-exhausted"
    return Refused(
        code,
        meter=meter,
        limit=limit,
        used=used,
        resets=clock.text(end),
        retry_after=max(1, (end - clock.now()) // 1_000_000),
    )


class MemoryBalances:
    """For a ledger that this process owns: counted in memory, read from the totals once a customer and month."""

    def __init__(self, load: Callable[[str, str], dict[str, int]]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], dict[str, int]] = {}
        self._reserved: dict[tuple[str, str], dict[str, int]] = {}

    def reserve(self, customer: str, period: str, wanted: Mapping[str, int], limits: Mapping[str, int]) -> None:
        """See Balances."""
        place = (customer, period)
        with self._lock:
            if place not in self._used:
                self._used[place] = self._load(customer, period)
            used, reserved = self._used[place], self._reserved.setdefault(place, {})
            for meter, quantity in wanted.items():
                taken = used.get(meter, 0) + reserved.get(meter, 0)
                if taken + quantity > limits[meter]:
                    raise refusal(meter, limits[meter], taken, period)
            for meter, quantity in wanted.items():
                reserved[meter] = reserved.get(meter, 0) + quantity

    def settle(self, admission: Admission, used: Mapping[str, int]) -> None:
        """See Balances."""
        place = (admission.customer, admission.period)
        with self._lock:
            reserved, total = self._reserved[place], self._used[place]
            for meter, quantity in admission.reserved.items():
                reserved[meter] -= quantity
            for meter, quantity in used.items():
                total[meter] = total.get(meter, 0) + quantity
