"""The tables, in two databases: what is append-only and chained, and what must be erasable.

Times are whole microseconds since 1970 in UTC. Quantities are integers inside canonical JSON. Nothing here holds money:
an event names the price plan's version, and the price is computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA = 4
PRIVATE = "private"  # a schema on PostgreSQL, a file of its own on SQLite

# SQLite gives a row its number only for INTEGER PRIMARY KEY; PostgreSQL needs the eight-byte type.
_Position = BigInteger().with_variant(Integer, "sqlite")

public = MetaData()
private = MetaData(schema=PRIVATE)


# What people wrote or are called. PostgreSQL keeps no samples of it for its planner: those outlive an erasure.
UNSAMPLED = {
    "customers": ("name",),
    "keys": ("name",),
    "audit": ("detail",),
    "answers": ("body",),
    "feedback": ("value",),
    "inputs": ("payload", "output"),
    "notes": ("text",),
    "buyers": ("body",),
}


def _where(condition: str) -> Mapping[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _facts(metadata: MetaData) -> Table:
    return Table("facts", metadata, Column("name", String(40), primary_key=True), Column("value", Text, nullable=False))


facts = _facts(public)
private_facts = _facts(private)

customers = Table(
    "customers",
    public,
    Column("id", String(40), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
    Column("terms", Text, nullable=False),  # JSON: quotas, spend_cap, rate
    Column("erased", BigInteger),  # when the name was erased
)

keys = Table(
    "keys",
    public,
    Column("id", String(16), primary_key=True),
    Column("customer", String(40), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("salt", String(32), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("last4", String(4), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("not_before", BigInteger),
    Column("expires", BigInteger),
    Column("revoked", BigInteger),
    Column("replaces", String(16)),  # the key that this one takes over from
)

plans = Table(
    "plans",
    public,
    Column("version", String(64), primary_key=True),
    Column("body", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
)

events = Table(
    "events",
    public,
    Column("position", _Position, primary_key=True, autoincrement=True),
    Column("writer", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("id", String(64), nullable=False),
    Column("source", String(200), nullable=False),
    Column("kind", String(12), nullable=False),  # usage | correction
    Column("about", String(64), nullable=False),  # the event a correction speaks of, else ""
    Column("time", BigInteger, nullable=False),
    Column("customer", String(40), nullable=False),
    Column("key", String(16), nullable=False),
    Column("release", String(120), nullable=False),
    Column("plan", String(64), nullable=False),
    Column("quantities", Text, nullable=False),
    Column("answers", BigInteger, nullable=False),
    Column("request", String(64), nullable=False),  # keyed hash of the request body, else ""
    Column("hash", String(64), nullable=False),
    Column("counted", BigInteger),  # when it counts, where that is not `time`: its month was closed before it came
    UniqueConstraint("id", "source", name="events_id_source"),  # so that an id alone finds its event
    # SQLite writes whole every page that a commit touches: by time the last few, by customer one for each customer.
    Index("events_time_customer", "time", "customer").ddl_if(dialect="sqlite"),
    Index("events_customer_time", "customer", "time").ddl_if(dialect="postgresql"),
    # Few rows have either, so the indexes stay small and cost the writer nothing.
    Index("events_counted", "counted", **_where("counted IS NOT NULL")),
    Index("events_about", "about", **_where("about <> ''")),
)

# Sums by whole hour, kept in the event's own transaction so that a year of usage is read in milliseconds.
totals = Table(
    "totals",
    public,
    Column("customer", String(40), primary_key=True),
    Column("hour", BigInteger, primary_key=True),
    Column("key", String(16), primary_key=True),
    Column("release", String(120), primary_key=True),
    Column("plan", String(64), primary_key=True),
    Column("meter", String(60), primary_key=True),
    Column("quantity", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
)

# What a customer has used and reserved in a period, for limits that several processes must keep together.
balances = Table(
    "balances",
    public,
    Column("customer", String(40), primary_key=True),
    Column("period", String(7), primary_key=True),
    Column("meter", String(60), primary_key=True),
    Column("used", Numeric(38, 0), nullable=False),
    Column("reserved", Numeric(38, 0), nullable=False),
)

idempotency = Table(
    "idempotency",
    public,
    Column("id", String(64), primary_key=True),  # keyed hash of customer and Idempotency-Key
    Column("customer", String(40), nullable=False),
    Column("event", String(64), nullable=False),
    Column("request", String(64), nullable=False),
    Column("time", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    public,
    Column("position", _Position, primary_key=True, autoincrement=True),
    Column("time", BigInteger, nullable=False),
    Column("actor", String(120), nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)

# Months of a customer that are billed: nothing counts there any more.
closed_periods = Table(
    "closed_periods",
    public,
    Column("customer", String(40), primary_key=True),
    Column("period", String(7), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("reference", String(200), nullable=False),  # why: an invoice's number
)

# What was erased, by ids: whoever keeps copies (snapshots of data) drops these too.
erasures = Table(
    "erasures",
    public,
    Column("position", _Position, primary_key=True, autoincrement=True),
    Column("time", BigInteger, nullable=False),
    Column("customer", String(40), nullable=False),
    Column("event", String(64), nullable=False),  # "": everything of the customer
)

answers = Table(
    "answers",
    private,
    Column("id", String(64), primary_key=True),  # as idempotency.id
    Column("customer", String(40), nullable=False, index=True),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)

feedback = Table(
    "feedback",
    private,
    Column("position", _Position, primary_key=True, autoincrement=True),
    Column("event", String(64), nullable=False),
    Column("customer", String(40), nullable=False, index=True),
    Column("item", Integer),  # which answer of the request, None for all of it
    Column("value", Text, nullable=False),  # JSON: correct, label, rating, comment
    Column("time", BigInteger, nullable=False),
)

inputs = Table(
    "inputs",
    private,
    Column("event", String(64), primary_key=True),
    Column("item", Integer, primary_key=True),
    Column("customer", String(40), nullable=False, index=True),
    Column("payload", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)

# Why an event was corrected, in a person's words.
notes = Table(
    "notes",
    private,
    Column("event", String(64), primary_key=True),
    Column("customer", String(40), nullable=False, index=True),
    Column("text", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
)
