"""Billing periods: calendar months in UTC, a customer's own. A closed one never changes again.

What comes for a closed month counts in the first one that is open, and its row says both when it happened (`time`) and
when it counts (`counted`). So an invoice can be drawn again and is the same, and nothing that was used is lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import InputError, Place, UsageError
from breakeven.ledger import clock, schema
from breakeven.ledger.audit import write_audit

if TYPE_CHECKING:
    from breakeven.ledger.events import Charge

CLOCKS_APART = 600_000_000  # how far two processes' clocks may differ, in microseconds
AHEAD = 300_000_000  # how far in the future an event from elsewhere may lie: its clock may be ahead of ours
_LOCK = 0x62726B70  # held shared by who may write into a former month, alone by who closes one
_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def read_period(text: str) -> str:
    """A month as `2026-11`; UsageError for anything else."""
    if _PERIOD.fullmatch(text) is None or not "1970-01" <= text < "9999-12":
        raise UsageError("month-form", found=text[:40])
    return text


def close_period(connection: Connection, customer: str, period: str, *, reference: str, actor: str) -> bool:
    """Closes a customer's month in the caller's transaction, so that an invoice and the end of its month are one act.

    `customer` is an id. False: it was closed before, which stays as it was. UsageError: the month is not over.
    """
    _, end = clock.month_bounds(read_period(period))
    if clock.now() < end:
        raise UsageError("month-not-over", month=period, ends=clock.text(end))
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    cell = schema.closed_periods.c
    here = sa.and_(cell.customer == customer, cell.period == period)
    if connection.execute(sa.select(cell.time).where(here)).first() is not None:
        return False
    row = {"customer": customer, "period": period, "time": clock.now(), "reference": reference}
    connection.execute(sa.insert(schema.closed_periods), row)
    write_audit(connection, actor, "month.close", customer, {"month": period, "reference": reference})
    return True


def closed_of(connection: Connection, customers: Sequence[str]) -> set[tuple[str, str]]:
    """(customer, month) of every closed month of some customers."""
    cell = schema.closed_periods.c
    found: set[tuple[str, str]] = set()
    for start in range(0, len(customers), 500):
        query = sa.select(cell.customer, cell.period).where(cell.customer.in_(customers[start : start + 500]))
        found.update((row.customer, row.period) for row in connection.execute(query))
    return found


def closed_rows(connection: Connection, customer: str | None = None) -> list[dict[str, Any]]:
    """The closed months, oldest first: customer, month, closed, reference."""
    cell = schema.closed_periods.c
    query = sa.select(schema.closed_periods).order_by(cell.period, cell.customer)
    if customer is not None:
        query = query.where(cell.customer == customer)
    return [
        {
            "customer": row["customer"],
            "month": row["period"],
            "closed": clock.text(row["time"]),
            "reference": row["reference"],
        }
        for row in connection.execute(query).mappings()
    ]


def late_of(charges: list[Charge]) -> list[Charge]:
    """Those of some charges that may belong to a closed month.

    Costs a comparison a charge: a month is closed only when it is over by every clock.
    """
    start, _ = clock.month_bounds(clock.month(clock.now() + CLOCKS_APART))
    return [charge for charge in charges if charge.time < start and (charge.counted or 0) < start]


def place_late(connection: Connection, charges: list[Charge]) -> None:
    """Sets `counted` of those charges whose month is closed: the first moment that is open, now as a rule."""
    late = late_of(charges)
    if not late:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_LOCK)))
    closed = closed_of(connection, sorted({charge.customer for charge in late}))
    for charge in late:
        moment = charge.time if charge.counted is None else charge.counted
        if (charge.customer, clock.month(moment)) in closed:
            charge.counted = _open_from(charge.customer, closed)


def _open_from(customer: str, closed: set[tuple[str, str]]) -> int:
    """Now; later only where a clock that went back makes this month a closed one."""
    moment = clock.now()
    while (customer, clock.month(moment)) in closed:
        moment = clock.month_bounds(clock.month(moment))[1]
    return moment


def check_not_ahead(moment: int, *, now: int, field: str = "time") -> None:
    """InputError `event-future` for a time that has not come: it would count in a month that is not yet."""
    if moment > now + AHEAD:
        raise InputError("event-future", at=Place(field=field), found=clock.text(moment), now=clock.text(now))
