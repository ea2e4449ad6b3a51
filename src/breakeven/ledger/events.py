"""One usage event, and how a group of them enters the ledger inside one transaction."""

from __future__ import annotations

import functools
import itertools
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from breakeven.ledger import chain, clock, schema
from breakeven.ledger.periods import place_late
from breakeven.ledger.rows import Into, Writing, insert_rows
from breakeven.ledger.totals import Totals

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

    def values(self, writer: str, seq: int) -> tuple[Any, ...]:
        """The row in the order of `chain.EVENT_FIELDS`."""
        return (
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
        )


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


@dataclass
class Head:
    """Where a writer's chain stands."""

    writer: str
    seq: int
    hash: str


def append(
    connection: Connection, private: Any, charges: list[Charge], head: Head, *, totals: Totals, nested: bool = False
) -> tuple[set[str], Head]:
    """Writes what is new of `charges` and returns (ids that were already there, new head). Raises on a doubled
    (source, id). `nested`: in a savepoint.
    """
    doubled = _claim(connection, [charge for charge in charges if charge.idempotency])
    fresh = [charge for charge in charges if charge.id not in doubled] if doubled else charges
    place_late(connection, fresh)
    head = append_plain(connection, fresh, head, totals=totals, nested=nested)
    kept = [charge for charge in fresh if charge.idempotency and charge.body is not None]
    if kept:
        _keep_answers(private(), kept)
    return doubled, head


def existing(connection: Connection, charges: list[Charge]) -> set[str]:
    """Ids of those charges that the ledger already holds; asked after a commit whose outcome was not heard."""
    pairs = ((charge.source, charge.id) for charge in charges)
    return {row["id"] for row in held(connection, pairs, schema.events.c.id)}


def append_plain(
    connection: Writing, charges: list[Charge], head: Head, *, totals: Totals, nested: bool = False
) -> Head:
    """`append` of charges that have no Idempotency-Key and are not late; the new head."""
    into, head = part(charges, head)
    if charges:
        insert_rows(connection, *into)
        totals.add(connection, charges, remember=not nested)
    return head


def part(charges: list[Charge], head: Head) -> tuple[tuple[Into, list[Any], str], Head]:
    """What `insert_rows` takes to add some charges to a chain; its new head."""
    rows, head = _linked(charges, head)
    return (("events", _COLUMNS), rows, ""), head


def held(connection: Connection, pairs: Iterable[tuple[str, str]], *columns: sa.Column[Any]) -> Iterator[Any]:
    """The rows (some columns, else all) of those (source, id) that the ledger holds, by its index: SQLite walks the
    whole table to look for pairs.
    """
    by_source: dict[str, list[str]] = {}
    for source, event in pairs:
        by_source.setdefault(source, []).append(event)
    cell = schema.events.c
    for source, ids in by_source.items():
        for start in range(0, len(ids), 400):
            query = sa.select(*(columns or (schema.events,)))
            query = query.where(cell.id.in_(ids[start : start + 400]), cell.source == source)
            yield from connection.execute(query).mappings()


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
