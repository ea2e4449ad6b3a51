"""Issued documents: numbered without a gap, never changed, kept for as long as the law wants them.

A number is taken in the transaction that keeps its document and closes the customer's month, so a crash leaves either
all of it or nothing. What is known of a buyer for the next invoice is private and can be erased; what stands on an
issued invoice stays: it is a record that must be kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, UniqueConstraint
from sqlalchemy.engine import Connection

from breakeven.artifacts import canonical, fingerprint
from breakeven.errors import InputError, Refused
from breakeven.ledger import audit, clock, schema
from breakeven.ledger.audit import write_audit
from breakeven.ledger.events import insert
from breakeven.ledger.keys import customer_id
from breakeven.ledger.periods import close_period, closed_rows
from breakeven.ledger.usage import _within, added, first_time

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger

invoices = Table(
    "invoices",
    schema.public,
    Column("number", String(40), primary_key=True),
    Column("series", String(12), nullable=False),
    Column("year", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("kind", String(12), nullable=False),  # invoice | credit_note
    Column("customer", String(40), nullable=False, index=True),
    Column("period", String(7), nullable=False),
    Column("about", String(40), nullable=False, index=True),  # the invoice that a credit note is for, else ""
    Column("slot", String(160), nullable=False),  # what it is the one document for: a customer's month, a credit
    Column("document", Text, nullable=False),  # canonical JSON
    Column("hash", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("series", "year", "sequence", name="invoices_no_double"),
    UniqueConstraint("slot", name="invoices_slot"),
)

invoice_series = Table(
    "invoice_series",
    schema.public,
    Column("series", String(12), primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("last", Integer, nullable=False),
)

buyers = Table(
    "buyers",
    schema.private,
    Column("customer", String(40), primary_key=True),
    Column("body", Text, nullable=False),  # JSON: legal name, address, tax identifier
    Column("changed", BigInteger, nullable=False),
)

SUMMARY = ("number", "kind", "customer", "period", "about", "hash")


def account(ledger: Ledger, customer: str) -> dict[str, Any]:
    """What billing must know of a customer: id, name, since, buyer, documents so far, months that are closed."""
    with ledger.stores.reading.connect() as connection:
        found = customer_id(connection, customer)
        row = connection.execute(sa.select(schema.customers).where(schema.customers.c.id == found)).mappings().one()
        first = first_time(connection, found)
        billed, left = _billed(connection, found)
        closed = {item["month"]: item["reference"] for item in closed_rows(connection, found)}
    return {
        "id": found,
        "name": row["name"],
        "created": clock.text(min(row["created"], first or row["created"])),
        "buyer": _buyer(ledger, found),
        "billed": billed,
        "credits": left,
        "closed": closed,
    }


def _billed(connection: Connection, customer: str) -> tuple[int, dict[str, Any] | None]:
    """How many invoices a customer had, and the prepaid credits that the last one and the notes after it left."""
    mine = sa.and_(invoices.c.customer == customer, invoices.c.kind == "invoice")
    count = connection.execute(sa.select(sa.func.count()).select_from(invoices).where(mine)).scalar_one()
    last = connection.execute(
        sa.select(invoices.c.document, invoices.c.created)
        .where(mine)
        .order_by(invoices.c.created.desc(), invoices.c.sequence.desc())
    ).first()
    left = json.loads(last.document).get("credits_left") if last else None
    if last is None or left is None:
        return int(count), None
    about = sa.and_(invoices.c.customer == customer, invoices.c.kind == "credit_note")
    notes = connection.execute(sa.select(invoices.c.document).where(about, invoices.c.created >= last.created))
    changes = [json.loads(note).get("credits_change", {}).get("minor", 0) for note in notes.scalars()]
    minor = left["minor"] + sum(changes)
    places = len(left["amount"].partition(".")[2])
    amount = f"{Decimal(minor).scaleb(-places):.{places}f}"
    return int(count), {**left, "amount": amount, "minor": minor} if minor else None


def _buyer(ledger: Ledger, customer: str) -> dict[str, Any]:
    with ledger.stores.private_reading.connect() as connection:
        body = connection.execute(sa.select(buyers.c.body).where(buyers.c.customer == customer)).scalar()
    return dict(json.loads(body)) if body else {}


def set_buyer(ledger: Ledger, customer: str, body: dict[str, Any], actor: str = "local") -> dict[str, Any]:
    """Replaces what is known of a buyer; the audit log hears which parts, not what they say."""

    def change(connection: Connection, private: Callable[[], Connection]) -> dict[str, Any]:
        found = customer_id(connection, customer)
        half = private()
        half.execute(sa.delete(buyers).where(buyers.c.customer == found))
        if body:
            row = {"customer": found, "body": canonical(body), "changed": clock.now()}
            half.execute(sa.insert(buyers), row)
        write_audit(connection, actor, "buyer.set", found, {"parts": sorted(body)})
        return body

    kept: dict[str, Any] = ledger.change(change)
    return kept


def rates(ledger: Ledger, versions: list[str]) -> dict[str, dict[str, str]]:
    """The exact rates that events of some plan versions were shown, by meter; of an unknown version none."""
    return {
        version: {meter: format(rate, "f") for meter, rate in ledger.plan(version).rates.items()}
        for version in versions
    }


def issue(
    ledger: Ledger, body: dict[str, Any], slot: str, seen: dict[str, Any], actor: str = "local"
) -> dict[str, Any]:
    """Keeps a document under the next number of its series and year, and closes the month if it is an invoice.

    `seen`: what it was made from. Refused `invoice-moved` where that has changed since: make it anew. A slot that is
    taken gives the document that is there.
    """

    def change(connection: Connection, _private: Callable[[], Connection]) -> dict[str, Any]:
        if kept := _kept(connection, slot):
            return {**kept, "already": True}
        if body["kind"] == "invoice":
            closed = _close(connection, body, actor)
            if kept := _kept(connection, slot):  # the closing waited for another process, which was quicker
                return {**kept, "already": True}
            _check(connection, body, seen, closed=closed)
        else:
            _alone(connection)
            if _notes(connection, body["references"]["number"]) != seen["notes"]:
                raise Refused("invoice-moved", customer=body["customer"])
        return {**_keep(connection, body, slot, actor), "already": False}

    issued: dict[str, Any] = ledger.change(change)
    return issued


def _alone(connection: Connection) -> None:
    """One numbering at a time on PostgreSQL, by the lock of the audit log, which every numbering writes to."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(audit._LOCK)))


def _kept(connection: Connection, slot: str) -> dict[str, Any] | None:
    text = connection.execute(sa.select(invoices.c.document).where(invoices.c.slot == slot)).scalar()
    return dict(json.loads(text)) if text else None


def _close(connection: Connection, body: Mapping[str, Any], actor: str) -> bool:
    reference = f"invoice of {body['issued']}"
    return close_period(connection, body["customer_id"], body["month"], reference=reference, actor=actor)


def _check(connection: Connection, body: Mapping[str, Any], seen: Mapping[str, Any], *, closed: bool) -> None:
    """Makes sure that this closed the month, and that what was rated is all that counts in it."""
    customer, month = body["customer_id"], body["month"]
    if not closed:
        raise Refused("invoice-month-closed", customer=body["customer"], month=month)
    billed, left = _billed(connection, customer)
    moved = billed != seen["billed"] or left != seen.get("credits", left)
    if moved or counting(connection, customer, month) != seen["events"]:
        raise Refused("invoice-moved", customer=body["customer"])


def counting(connection: Connection, customer: str, month: str) -> list[int]:
    """[events of a customer that count in a month, by meter; corrections]: equal while nothing was added."""
    return list(added(connection, customer, *clock.month_bounds(month)))


def _notes(connection: Connection, number: str) -> int:
    query = sa.select(sa.func.count()).select_from(invoices).where(invoices.c.about == number)
    return int(connection.execute(query).scalar_one())


def _keep(connection: Connection, body: Mapping[str, Any], slot: str, actor: str) -> dict[str, Any]:
    series, year = body["series"], int(body["issued"][:4])
    sequence = _next(connection, series, year)
    number = f"{series}-{year}-{sequence:04d}"
    document = {**body, "number": number, "year": year, "sequence": sequence}
    document["hash"] = fingerprint(document)
    about = document["references"]["number"] if document["references"] else ""
    row = {
        "number": number, "series": series, "year": year, "sequence": sequence, "kind": document["kind"],
        "customer": document["customer_id"], "period": document["month"], "about": about, "slot": slot,
        "document": canonical(document), "hash": document["hash"], "created": clock.now(),
    }  # fmt: skip
    connection.execute(sa.insert(invoices), row)
    detail = {"hash": document["hash"], "total": document["total"]["amount"], "currency": document["currency"]}
    write_audit(connection, actor, f"{document['kind']}.issue", number, detail)
    return document


def _next(connection: Connection, series: str, year: int) -> int:
    """The next number of a series and year. Another process waits here until this transaction has ended."""
    here = sa.and_(invoice_series.c.series == series, invoice_series.c.year == year)
    first = {"series": series, "year": year, "last": 0}
    connection.execute(insert(connection, invoice_series).on_conflict_do_nothing(), first)
    last = connection.execute(sa.select(invoice_series.c.last).where(here).with_for_update()).scalar_one()
    connection.execute(sa.update(invoice_series).where(here).values(last=last + 1))
    return int(last) + 1


def listed(ledger: Ledger, customer: str | None = None, month: str | None = None) -> list[dict[str, Any]]:
    """Issued documents in the order of their numbers, without their lines."""
    query = sa.select(invoices).order_by(invoices.c.year, invoices.c.series, invoices.c.sequence)
    with ledger.stores.reading.connect() as connection:
        if customer is not None:
            query = query.where(invoices.c.customer == customer_id(connection, customer))
        if month is not None:
            query = query.where(invoices.c.period == month)
        rows = connection.execute(query).mappings().all()
    return [_summary(row) for row in rows]


def _summary(row: Any) -> dict[str, Any]:
    document = json.loads(row["document"])
    return {
        **{name: row[name] for name in SUMMARY},
        "name": document["buyer"]["name"],
        "issued": document["issued"],
        "due_date": document["due_date"],
        "currency": document["currency"],
        "total": document["total"]["amount"],
        "due": document["due"]["amount"],
    }


def get(ledger: Ledger, number: str) -> dict[str, Any]:
    """{document, notes}: a document as it was issued, and the credit notes about it."""
    with ledger.stores.reading.connect() as connection:
        text = connection.execute(sa.select(invoices.c.document).where(invoices.c.number == number)).scalar()
        if text is None:
            raise InputError("invoice-not-found", number=number[:60])
        about = sa.select(invoices.c.document).where(invoices.c.about == number).order_by(invoices.c.created)
        notes = [json.loads(row) for row in connection.execute(about).scalars()]
    return {"document": json.loads(text), "notes": notes}


def give_up(ledger: Ledger, customer: str, month: str, reason: str, actor: str = "local") -> dict[str, Any]:
    """Closes a month that will not be billed. False in `closed`: it was closed before."""
    found = ledger.customers.find(customer)
    closed = ledger.close_month(found, month, reference=f"void: {reason}"[:200], actor=actor)
    return {"customer": found, "month": month, "closed": closed}


def answers(ledger: Ledger, start: int, end: int) -> list[dict[str, Any]]:
    """Answers by customer and release that count in [start, end) microseconds."""
    events = schema.events.c
    query = sa.select(events.customer, events.release, sa.func.sum(events.answers)).where(_within(start, end))
    with ledger.stores.reading.connect() as connection:
        rows = connection.execute(query.group_by(events.customer, events.release)).all()
    return [{"customer": row[0], "release": row[1], "answers": int(row[2])} for row in sorted(map(tuple, rows))]


def seen_events(ledger: Ledger, customer: str, month: str) -> list[int]:
    """As `counting`, by the reading connection."""
    with ledger.stores.reading.connect() as connection:
        return counting(connection, customer, month)


COMMANDS: dict[str, Callable[..., Any]] = {
    "invoices.account": account,
    "invoices.buyer": set_buyer,
    "invoices.rates": rates,
    "invoices.issue": issue,
    "invoices.list": listed,
    "invoices.get": get,
    "invoices.void": give_up,
    "invoices.answers": answers,
    "invoices.seen": seen_events,
}
