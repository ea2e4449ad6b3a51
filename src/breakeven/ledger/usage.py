"""Reading usage: sums by customer and meter, and single events, over any stretch of time.

A stretch is of the moments when events count. That is when they happened, but for those whose month was closed before
they came; so usage, events, exports and invoices of a stretch always add up to the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.ledger import clock, schema
from breakeven.ledger.plans import PricePlan

Cell = tuple[str, str, str, str, str]  # customer, key, release, plan, meter


def usage_rows(
    connection: Connection, customer: str | None, start: int | None, end: int | None, plans: Callable[[str], PricePlan]
) -> list[dict[str, Any]]:
    """One row per customer, key, release, plan and meter in [start, end): quantity, events, price (exact,
    unrounded).
    """
    sums: dict[Cell, list[int]] = {}
    for cell, quantity, count in _parts(connection, customer, start, end):
        found = sums.setdefault(cell, [0, 0])
        found[0] += quantity
        found[1] += count
    names = {row.id: row.name for row in connection.execute(sa.select(schema.customers.c.id, schema.customers.c.name))}
    rows = []
    for (owner, key, release, plan, meter), (quantity, count) in sorted(sums.items()):
        terms = plans(plan)
        rows.append(
            {
                "customer": owner,
                "name": names.get(owner),
                "key": key,
                "model": release,
                "plan": plan,
                "meter": meter,
                "quantity": quantity,
                "events": count,
                "price": terms.price({meter: quantity}),
                "currency": terms.currency if terms.rates else None,
            }
        )
    return rows


def _parts(
    connection: Connection, customer: str | None, start: int | None, end: int | None
) -> Iterator[tuple[Cell, int, int]]:
    """Whole hours from the totals, the ragged ends from the events themselves."""
    first = None if start is None else -(-start // clock.HOUR) * clock.HOUR
    last = None if end is None else end // clock.HOUR * clock.HOUR
    if first is not None and last is not None and first > last:
        yield from _from_events(connection, customer, start or 0, end or 0)
        return
    yield from _from_totals(connection, customer, first, last)
    if start is not None and first is not None and start < first:
        yield from _from_events(connection, customer, start, first)
    if end is not None and last is not None and last < end:
        yield from _from_events(connection, customer, last, end)


def _from_totals(
    connection: Connection, customer: str | None, start: int | None, end: int | None
) -> Iterator[tuple[Cell, int, int]]:
    totals = schema.totals.c
    cell = (totals.customer, totals.key, totals.release, totals.plan, totals.meter)
    query = sa.select(*cell, sa.func.sum(totals.quantity), sa.func.sum(totals.events)).group_by(*cell)
    for column, bound, after in ((totals.hour, start, True), (totals.hour, end, False)):
        if bound is not None:
            query = query.where(column >= bound if after else column < bound)
    if customer is not None:
        query = query.where(totals.customer == customer)
    for row in connection.execute(query):
        yield (row[0], row[1], row[2], row[3], row[4]), int(row[5]), int(row[6])


def _within(start: int | None, end: int | None) -> sa.ColumnElement[bool]:
    """Events that count in [start, end); late ones by an index of their own, because they are few."""
    events = schema.events.c
    sides = []
    for column, condition in ((events.time, events.counted.is_(None)), (events.counted, events.counted.is_not(None))):
        bounds: list[sa.ColumnElement[bool]] = [condition]
        if start is not None:
            bounds.append(column >= start)
        if end is not None:
            bounds.append(column < end)
        sides.append(sa.and_(*bounds))
    return sa.or_(*sides)


def _from_events(connection: Connection, customer: str | None, start: int, end: int) -> Iterator[tuple[Cell, int, int]]:
    events = schema.events.c
    query = sa.select(events.customer, events.key, events.release, events.plan, events.quantities, events.kind)
    query = query.where(_within(start, end))
    if customer is not None:
        query = query.where(events.customer == customer)
    for row in connection.execute(query):
        for meter, quantity in json.loads(row[4]).items():
            yield (row[0], row[1], row[2], row[3], meter), int(quantity), int(row[5] == "usage")


def first_time(connection: Connection, customer: str) -> int | None:
    """When a customer's first event happened. By way of the totals, which are found by customer at once."""
    totals, events = schema.totals.c, schema.events.c
    query = sa.select(sa.func.min(totals.hour)).where(totals.customer == customer)
    hour = connection.execute(query).scalar()
    if hour is None:
        return None
    first = sa.select(sa.func.min(events.time)).where(events.customer == customer)
    found = (
        connection.execute(first.where(events.time >= hour, events.time < hour + clock.HOUR)).scalar(),
        connection.execute(first.where(events.counted.is_not(None))).scalar(),  # late: it happened before it counted
    )
    return min((moment for moment in found if moment is not None), default=None)


def added(connection: Connection, customer: str, start: int, end: int) -> tuple[int, int]:
    """(events by meter, corrections) of a customer that count in whole hours [start, end): both only ever grow."""
    totals, events = schema.totals.c, schema.events.c
    query = sa.select(sa.func.coalesce(sa.func.sum(totals.events), 0))
    query = query.where(totals.customer == customer, totals.hour >= start, totals.hour < end)
    about = sa.select(sa.func.count()).select_from(schema.events).where(events.about != "")  # the index's condition
    about = about.where(events.customer == customer, _within(start, end))
    return int(connection.execute(query).scalar_one()), int(connection.execute(about).scalar_one())


def event_rows(
    connection: Connection,
    customer: str | None,
    start: int | None,
    end: int | None,
    *,
    after: int = 0,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Single events that count in [start, end). Oldest first; with `limit`, in the ledger's own order, `after` a
    position. `counted` and `time` differ in those that came late.
    """
    events = schema.events.c
    query = sa.select(schema.events)
    query = query.order_by(events.time, events.position) if limit is None else query.order_by(events.position)
    if limit is not None:
        query = query.where(events.position > after).limit(limit)
    if start is not None or end is not None:
        query = query.where(_within(start, end))
    if customer is not None:
        query = query.where(events.customer == customer)
    return [event_json(row) for row in connection.execute(query).mappings()]


def event_json(row: Any) -> dict[str, Any]:
    """A row of the events as readers get it."""
    return {
        "position": row["position"],
        "id": row["id"],
        "source": row["source"],
        "kind": row["kind"],
        "about": row["about"] or None,
        "time": clock.text(row["time"]),
        "counted": clock.text(row["time"] if row["counted"] is None else row["counted"]),
        "late": row["counted"] is not None,
        "customer": row["customer"],
        "key": row["key"],
        "model": row["release"],
        "plan": row["plan"],
        "quantities": json.loads(row["quantities"]),
        "answers": row["answers"],
    }
