"""Corrections: an event is never changed; one that says the difference is appended to the chain.

A correction carries the time of the event it speaks of, so it counts in that event's month while the month is open,
and in the next open one after that. Its reason is a person's words and lies in the private part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import InputError, Place
from breakeven.ledger import clock, schema
from breakeven.ledger.audit import write_audit
from breakeven.ledger.events import Charge
from breakeven.ledger.usage import event_json
from breakeven.ledger.writer import Appending

KIND = "correction"
_LONGEST_REASON = 500
_LOCK = 0x62726B63  # one correction at a time on PostgreSQL, so that two of one event do not both say the difference


@dataclass(frozen=True)
class Correction:
    """What somebody wants an event to be. `quantities` by meter are the right ones, not differences; None: void."""

    event: str
    quantities: Mapping[str, int] | None
    reason: str
    source: str | None = None
    actor: str = "local"


def correct(
    connection: Connection, private: Callable[[], Connection], wish: Correction, appended: list[Charge]
) -> Appending | dict[str, Any]:
    """In the writer's transaction: the event that makes up the difference, or nothing where there is none.

    `appended` receives it. Result: `{id, event, source, quantities, changed}`.
    """
    reason = wish.reason.strip()
    if not reason or len(reason) > _LONGEST_REASON or not reason.isprintable():
        raise InputError("correction-reason", at=Place(field="reason"))
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    row = find(connection, wish.event, wish.source)
    if row["kind"] == KIND:
        raise InputError("event-is-correction", at=Place(field="event"), id=row["id"], about=row["about"])
    held = _net([row, *_corrections(connection, row)])
    wanted = dict.fromkeys(held, 0) if wish.quantities is None else {**held, **_checked(wish.quantities, held)}
    difference = {meter: wanted[meter] - held[meter] for meter in held if wanted[meter] != held[meter]}
    found = {"id": None, "event": row["id"], "source": row["source"], "quantities": wanted, "changed": False}
    if not difference:
        return found
    charge = Charge(
        row["customer"],
        difference,
        answers=0,
        source=row["source"],
        key=row["key"],
        release=row["release"],
        plan=row["plan"],
        time=row["time"],
        counted=row["counted"],
        kind=KIND,
        about=row["id"],
    )
    appended.append(charge)
    note = {"event": charge.id, "customer": charge.customer, "text": reason, "time": clock.now()}
    private().execute(sa.insert(schema.notes), note)
    action = "event.void" if wish.quantities is None else "event.correct"
    write_audit(connection, wish.actor, action, row["id"][:200], {"by": charge.id, "difference": difference})
    return Appending([charge], {**found, "id": charge.id, "changed": True})


def _checked(quantities: Mapping[str, Any], held: Mapping[str, int]) -> Mapping[str, int]:
    for meter, quantity in quantities.items():
        if meter not in held:
            raise InputError("correction-meter", at=Place(field=meter), allowed=sorted(held))
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 0:
            raise InputError("correction-quantity", at=Place(field=meter), found=quantity)
    return quantities


def find(connection: Connection, event: str, source: str | None) -> Any:
    """The row of an event by id, and by source where several have that id."""
    query = sa.select(schema.events).where(schema.events.c.id == event)
    if source is not None:
        query = query.where(schema.events.c.source == source)
    rows = connection.execute(query.limit(20)).mappings().all()
    if not rows:
        raise InputError("event-not-found", at=Place(field="event"), id=event[:64])
    if len(rows) > 1:
        sources = sorted(str(row["source"]) for row in rows)
        raise InputError("event-ambiguous", at=Place(field="event"), id=event[:64], sources=", ".join(sources))
    return rows[0]


def _corrections(connection: Connection, row: Mapping[str, Any]) -> list[Any]:
    events = schema.events.c
    # `<> ''` repeats the index's condition, without which it is not used.
    about = sa.and_(events.about == row["id"], events.about != "", events.source == row["source"])
    return list(connection.execute(sa.select(schema.events).where(about).order_by(events.position)).mappings())


def _net(rows: Sequence[Any]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        for meter, quantity in json.loads(row["quantities"]).items():
            sums[meter] = sums.get(meter, 0) + int(quantity)
    return sums


def history(connection: Connection, private: Connection, event: str, source: str | None) -> dict[str, Any]:
    """An event, its corrections with their reasons, and what is left of it: `{event, corrections, quantities}`."""
    row = find(connection, event, source)
    later = _corrections(connection, row)
    notes = schema.notes.c
    query = sa.select(notes.event, notes.text).where(notes.event.in_([item["id"] for item in later]))
    reasons = {item.event: item.text for item in private.execute(query)}
    return {
        "event": event_json(row),
        "corrections": [{**event_json(item), "reason": reasons.get(item["id"])} for item in later],
        "quantities": _net([row, *later]),
    }
