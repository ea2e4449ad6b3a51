"""One usage event, and how a group of them enters the ledger inside one transaction."""

from __future__ import annotations

import functools
import itertools
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from breakeven.ledger import chain, clock, schema
from breakeven.ledger.periods import place_late

_INSERTS = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_RUN = secrets.token_hex(4)
_count = itertools.count()


def new_id() -> str:
    """An event id that grows with time, so that the unique index grows at its end. 28 hex digits."""
    return f"{time.time_ns() // 1_000_000:012x}{_RUN}{next(_count) & 0xFFFFFFFF:08x}"


@dataclass(slots=True)
class Charge:
    """What one request used: the ledger's row and, where the customer sent an Idempotency-Key, the answer to replay."""

    customer: str
    quantities: Mapping[str, int]
    answers: int = 1
    id: str = field(default_factory=new_id)
    source: str = "breakeven"
    key: str = ""
    release: str = ""
    plan: str = ""
    time: int = field(default_factory=clock.now)
    counted: int | None = None  # when it counts, where that is not `time`; set by the writer for a closed month
    kind: str = "usage"
    about: str = ""
    request: str = ""
    idempotency: str = ""
    status: int = 200
    body: bytes | None = None
    expires: int = 0

    def values(self, writer: str, seq: int) -> list[Any]:
        """The row in the order of `chain.EVENT_FIELDS`."""
        return [
            writer,
            seq,
            self.id,
            self.source,
            self.kind,
            self.about,
            self.time,
            self.customer,
            self.key,
            self.release,
            self.plan,
            quantities_text(self.quantities),
            self.answers,
            self.request,
        ]


def quantities_text(quantities: Mapping[str, int]) -> str:
    """Canonical JSON of quantities by meter."""
    if len(quantities) == 1:  # nearly every task; saves most of an encoder's work on the hot path
        ((meter, quantity),) = quantities.items()
        return f'{{"{meter}":{quantity}}}'
    return json.dumps(dict(sorted(quantities.items())), separators=(",", ":"))


def insert(connection: Connection, table: sa.Table) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT."""
    return _INSERTS[connection.dialect.name](table)


@functools.cache
def _replace(dialect: str, table: sa.Table, key: str) -> Any:
    """INSERT that replaces the other columns of a row with this key. Built once: building costs more than running."""
    statement: Any = _INSERTS[dialect](table)
    others = [column.name for column in table.columns if column.name != key]
    return statement.on_conflict_do_update(
        index_elements=[key], set_={name: statement.excluded[name] for name in others}
    )


_COLUMNS = (*chain.EVENT_FIELDS, "counted", "hash")
_NUMBERS = frozenset({"seq", "time", "answers", "counted", "hour", "quantity", "events"})


def _insert_rows(connection: Connection, into: tuple[str, tuple[str, ...]], rows: list[Any], rest: str = "") -> None:
    """The driver's own way for many rows: what SQLAlchemy adds per row costs more than the row does.

    SQLite: one prepared statement for all. PostgreSQL: one statement with an array a column, one round trip.
    """
    table, columns = into
    head = f"INSERT INTO {table} ({', '.join(columns)})"
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"{head} VALUES ({', '.join('?' * len(columns))}) {rest}", rows)
        return
    arrays = ", ".join("%s::bigint[]" if name in _NUMBERS else "%s::text[]" for name in columns)
    connection.exec_driver_sql(
        f"{head} SELECT * FROM unnest({arrays}) {rest}",  # noqa: S608  names of our own
        tuple(list(column) for column in zip(*rows, strict=True)),
    )


@dataclass
class Head:
    """Where a writer's chain stands."""

    writer: str
    seq: int
    hash: str


def append(connection: Connection, private: Any, charges: list[Charge], head: Head) -> tuple[set[str], Head]:
    """Writes what is new of `charges` and returns (ids that were already there, new head). Raises on a doubled
    (source, id).
    """
    doubled = _claim(connection, [charge for charge in charges if charge.idempotency])
    fresh = [charge for charge in charges if charge.id not in doubled] if doubled else charges
    place_late(connection, fresh)
    rows, head = _linked(fresh, head)
    if rows:
        _insert_rows(connection, ("events", _COLUMNS), rows)
        _add_totals(connection, fresh)
    kept = [charge for charge in fresh if charge.idempotency and charge.body is not None]
    if kept:
        _keep_answers(private(), kept)
    return doubled, head


def existing(connection: Connection, charges: list[Charge]) -> set[str]:
    """Ids of those charges that the ledger already holds; asked after a commit whose outcome was not heard."""
    found: set[str] = set()
    for start in range(0, len(charges), 400):
        part = charges[start : start + 400]
        pairs = sa.tuple_(schema.events.c.source, schema.events.c.id).in_([(item.source, item.id) for item in part])
        found.update(connection.execute(sa.select(schema.events.c.id).where(pairs)).scalars())
    return found


def _claim(connection: Connection, charges: list[Charge]) -> set[str]:
    if not charges:
        return set()
    first: dict[str, Charge] = {}
    for charge in charges:
        first.setdefault(charge.idempotency, charge)
    rows = [
        {
            "id": item.idempotency,
            "customer": item.customer,
            "event": item.id,
            "request": item.request,
            "time": item.time,
        }
        for item in first.values()
    ]
    statement = insert(connection, schema.idempotency).on_conflict_do_nothing().returning(schema.idempotency.c.event)
    won = set(connection.execute(statement, rows).scalars())
    return {charge.id for charge in charges if charge.id not in won}


def _linked(charges: list[Charge], head: Head) -> tuple[list[tuple[Any, ...]], Head]:
    rows: list[tuple[Any, ...]] = []
    seq, digest = head.seq, head.hash
    for charge in charges:
        seq += 1
        row = charge.values(head.writer, seq)
        counted = charge.counted
        digest = chain.link_event(digest, row, counted)
        rows.append((*row, counted, digest))
    return rows, Head(head.writer, seq, digest)


_TOTAL_KEY = ("customer", "hour", "key", "release", "plan", "meter")
_ADD_TOTALS = (
    f"ON CONFLICT ({', '.join(_TOTAL_KEY)}) DO UPDATE SET quantity = totals.quantity + excluded.quantity, "
    "events = totals.events + excluded.events"
)


def _add_totals(connection: Connection, charges: list[Charge]) -> None:
    sums: dict[tuple[Any, ...], list[int]] = {}
    for charge in charges:
        moment = charge.time if charge.counted is None else charge.counted
        hour = moment - moment % clock.HOUR
        for meter, quantity in charge.quantities.items():
            cell = sums.setdefault((charge.customer, hour, charge.key, charge.release, charge.plan, meter), [0, 0])
            cell[0] += quantity
            cell[1] += charge.kind == "usage"  # a correction is no request
    # In one order everywhere, so that two processes on PostgreSQL cannot wait for each other in a circle.
    rows = [(*cell, *sums[cell]) for cell in sorted(sums)]
    _insert_rows(connection, ("totals", (*_TOTAL_KEY, "quantity", "events")), rows, _ADD_TOTALS)


def _keep_answers(private: Connection, charges: list[Charge]) -> None:
    rows = [
        {
            "id": item.idempotency,
            "customer": item.customer,
            "status": item.status,
            "body": item.body,
            "expires": item.expires,
        }
        for item in charges
    ]
    private.execute(_replace(private.dialect.name, schema.answers, "id"), rows)
