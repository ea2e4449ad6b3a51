"""Quotas and spend caps that hold under concurrency: reserved at admission, settled at the end, given back on
failure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
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
Settlement = tuple[Admission, Mapping[str, int]]  # what was reserved, what was used of it


class Balances(Protocol):
    """Where used and reserved quantities of a customer's month are kept."""

    def reserve(self, customer: str, period: str, wanted: Mapping[str, int], limits: Mapping[str, int]) -> None:
        """Reserves all of `wanted` or nothing; Refused when a limit would be passed."""

    def settle(self, pairs: Sequence[Settlement]) -> None:
        """Turns reservations into use, all of them together."""

    def adjust(self, customer: str, period: str, used: Mapping[str, int]) -> None:
        """Adds what was used without a reservation (an import), or was not used after all (a correction)."""


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

    def settle(self, pairs: Sequence[Settlement]) -> None:
        """See Balances."""
        with self._lock:
            for admission, used in pairs:
                place = (admission.customer, admission.period)
                reserved, total = self._reserved[place], self._used[place]
                for meter, quantity in admission.reserved.items():
                    reserved[meter] -= quantity
                for meter, quantity in used.items():
                    total[meter] = total.get(meter, 0) + quantity

    def adjust(self, customer: str, period: str, used: Mapping[str, int]) -> None:
        """See Balances."""
        with self._lock:
            total = self._used.get((customer, period))
            if total is None:  # read from the ledger when it is first asked for
                return
            for meter, quantity in used.items():
                total[meter] = total.get(meter, 0) + quantity


_CELL = schema.balances.c
_SETTLE = (
    sa.update(schema.balances)
    .where(_CELL.customer == sa.bindparam("c"), _CELL.period == sa.bindparam("p"), _CELL.meter == sa.bindparam("m"))
    .values(reserved=_CELL.reserved - sa.bindparam("r"), used=_CELL.used + sa.bindparam("u"))
)


class SharedBalances:
    """For a ledger that several processes write: a row a customer, month and meter, changed under its lock.

    A process that is killed between the two leaves its reservation reserved until the month ends: too little may be
    granted then, never too much.
    """

    def __init__(self, engine: Engine, load: Callable[[str, str], dict[str, int]]) -> None:
        self._engine = engine
        self._load = load

    def reserve(self, customer: str, period: str, wanted: Mapping[str, int], limits: Mapping[str, int]) -> None:
        """See Balances."""
        if not self._grant(customer, period, wanted, limits):
            self._create(customer, period, wanted)
            self._grant(customer, period, wanted, limits)

    def _grant(self, customer: str, period: str, wanted: Mapping[str, int], limits: Mapping[str, int]) -> bool:
        """All or nothing; False where the month has no rows yet."""
        cell = schema.balances.c
        taken = cell.used + cell.reserved
        with self._engine.begin() as connection:
            for meter in sorted(wanted):  # in one order everywhere, so that no two can wait in a circle
                here = sa.and_(cell.customer == customer, cell.period == period, cell.meter == meter)
                granted = connection.execute(
                    sa.update(schema.balances)
                    .where(here, taken + wanted[meter] <= limits[meter])
                    .values(reserved=cell.reserved + wanted[meter])
                )
                if granted.rowcount:
                    continue
                held = connection.execute(sa.select(taken).where(here)).scalar()
                connection.rollback()
                if held is None:
                    return False
                raise refusal(meter, limits[meter], int(held), period)
        return True

    def _create(self, customer: str, period: str, wanted: Mapping[str, int]) -> None:
        from breakeven.ledger.events import insert

        used = self._load(customer, period)
        rows = [
            {"customer": customer, "period": period, "meter": meter, "used": used.get(meter, 0), "reserved": 0}
            for meter in sorted(wanted)
        ]
        with self._engine.begin() as connection:
            connection.execute(insert(connection, schema.balances).on_conflict_do_nothing(), rows)

    def settle(self, pairs: Sequence[Settlement]) -> None:
        """See Balances."""
        sums: dict[tuple[str, str, str], list[int]] = {}
        for admission, used in pairs:
            for meter, quantity in admission.reserved.items():
                change = sums.setdefault((admission.customer, admission.period, meter), [0, 0])
                change[0] += quantity
                change[1] += used.get(meter, 0)
        rows = [
            {"c": customer, "p": period, "m": meter, "r": reserved, "u": used}
            for (customer, period, meter), (reserved, used) in sorted(sums.items())  # as `reserve`, in one order
        ]
        if rows:
            with self._engine.begin() as connection:
                connection.execute(_SETTLE, rows)

    def adjust(self, customer: str, period: str, used: Mapping[str, int]) -> None:
        """See Balances."""
        cell = schema.balances.c
        with self._engine.begin() as connection:
            for meter in sorted(used):
                connection.execute(
                    sa.update(schema.balances)
                    .where(cell.customer == customer, cell.period == period, cell.meter == meter)
                    .values(used=cell.used + used[meter])
                )
