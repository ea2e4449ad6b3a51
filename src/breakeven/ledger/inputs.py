"""Inputs and outputs that customers let us keep: written by the server, read by drift and as new training data.

Consent and erasure are looked up in the transaction that writes, so nothing is kept once either has spoken. Rows end at
their own moment (`replay.sweep`), with their customer or request (`subjects.erase`), and with the consent (`withdraw`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.ledger import clock, schema
from breakeven.ledger.events import insert

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger

PAGE_ROWS = 500
PAGE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """One case of a request. `payload` and `output` are JSON; a payload of `null` was not to be kept."""

    event: str
    item: int
    customer: str
    payload: str
    output: str


def keep(ledger: Ledger, rows: list[Kept], *, expires: int) -> int:
    """Keeps what may be kept until `expires` (microseconds); how many rows. At most some hundreds: one transaction.

    A row that is there already stays as it is.
    """

    def change(connection: Connection, private: Callable[[], Connection]) -> int:
        allowed, erased = _consenting(connection, rows), _erased(connection, rows)
        found = [
            {**asdict(row), "expires": expires} for row in rows if row.customer in allowed and row.event not in erased
        ]
        if found:
            private().execute(insert(connection, schema.inputs).on_conflict_do_nothing(), found)
        return len(found)

    kept: int = ledger.change(change)
    return kept


def _consenting(connection: Connection, rows: list[Kept]) -> set[str]:
    """The customers among `rows` who are there and have consented."""
    me = schema.customers.c
    query = sa.select(me.id, me.terms).where(me.id.in_({row.customer for row in rows}), me.erased.is_(None))
    return {row.id for row in connection.execute(query) if json.loads(row.terms).get("consent", False)}


def _erased(connection: Connection, rows: list[Kept]) -> set[str]:
    query = sa.select(schema.erasures.c.event).where(schema.erasures.c.event.in_({row.event for row in rows}))
    return set(connection.execute(query).scalars())


def withdraw(connection: Connection, private: Connection, customer: str) -> int:
    """Erases what was kept of a customer who no longer consents; how many rows. Keepers of copies hear of it as of
    any erasure, request by request.
    """
    mine = schema.inputs.c.customer == customer
    events = private.execute(sa.select(schema.inputs.c.event).where(mine).distinct()).scalars().all()
    if events:
        moment = clock.now()
        connection.execute(
            sa.insert(schema.erasures),
            [{"time": moment, "customer": customer, "event": event} for event in sorted(events)],
        )
    return private.execute(sa.delete(schema.inputs).where(mine)).rowcount


def page(
    ledger: Ledger, customer: str | None = None, since: str | None = None, after: list[Any] | None = None
) -> dict[str, Any]:
    """Kept cases in the order of their events, from behind `after` on: `{rows, after}`; `after` None: that was all.

    A row is `{event, item, customer, time, release, input, output, expires, feedback: [...]}`. `customer`: id or name.
    `since`: the first moment counted (ISO 8601).
    """
    owner = ledger.customers.find(customer) if customer is not None else None
    first = clock.moment(since, "since")
    with ledger.stores.private_reading.connect() as private:
        found = _read(private, owner, after)
        words = _feedback(private, {row["event"] for row in found})
    with ledger.stores.reading.connect() as connection:
        known = _events(connection, {row["event"] for row in found})
    rows = []
    for row in found:
        time, release = known.get(row["event"], (None, None))
        if time is None or (first is not None and time < first):
            continue
        said = [word for word in words.get(row["event"], []) if word["index"] in (None, row["item"])]
        rows.append({"event": row["event"], "item": row["item"], "customer": row["customer"],
                     "time": clock.text(time), "release": release, "input": json.loads(row["payload"]),
                     "output": json.loads(row["output"]), "expires": clock.text(row["expires"]),
                     "feedback": said})  # fmt: skip
    return {"rows": rows, "after": [found[-1]["event"], found[-1]["item"]] if found else None}


def _read(private: Connection, owner: str | None, after: list[Any] | None) -> list[dict[str, Any]]:
    """A page of rows that have not expired, bounded in number and in bytes."""
    cell = schema.inputs.c
    query = sa.select(schema.inputs).where(cell.expires > clock.now()).order_by(cell.event, cell.item).limit(PAGE_ROWS)
    if owner is not None:
        query = query.where(cell.customer == owner)
    if after is not None:
        query = query.where(sa.tuple_(cell.event, cell.item) > sa.tuple_(*after))
    found: list[dict[str, Any]] = []
    size = 0
    for row in private.execute(query).mappings():
        size += len(row["payload"]) + len(row["output"])
        if found and size > PAGE_BYTES:
            break
        found.append(dict(row))
    return found


def _feedback(private: Connection, events: set[str]) -> dict[str, list[dict[str, Any]]]:
    cell = schema.feedback.c
    words: dict[str, list[dict[str, Any]]] = {}
    for row in private.execute(sa.select(schema.feedback).where(cell.event.in_(events)).order_by(cell.position)):
        words.setdefault(row.event, []).append({"index": row.item, **json.loads(row.value)})
    return words


def _events(connection: Connection, events: set[str]) -> dict[str, tuple[int, str]]:
    cell = schema.events.c
    query = sa.select(cell.id, cell.time, cell.release).where(cell.id.in_(events), cell.kind == "usage")
    return {row.id: (row.time, row.release) for row in connection.execute(query)}


COMMANDS: dict[str, Callable[..., Any]] = {"inputs": page}
