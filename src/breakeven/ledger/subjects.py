"""What is known of a customer, or of one person among a customer's requests: exported, and erased.

The chain holds ids, quantities and times, and stays as it is. Everything that a person wrote or was told lies in the
private part, in tables with a `customer` column: whatever table a later version adds there is exported and erased as
well. What must be kept by law (issued invoices) is told, not erased.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import EnvironmentFault, InputError, Place
from breakeven.ledger import clock, schema
from breakeven.ledger.audit import ERASED, write_audit
from breakeven.ledger.keys import customer_id
from breakeven.ledger.store import Stores, private_path
from breakeven.ledger.writer import Between

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger

_NOT_SHOWN = {"keys": ("salt", "hash")}  # secrets, even hashed, are nobody's data
_IN_PAGES = ("events", "totals")  # the events are read page by page; totals only repeat them
_PATIENCE = 5.0  # seconds that readers may hold the write-ahead log
_OLDER = sa.text(  # transactions that still see rows as they were before ours
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND age(backend_xmin) > age(CAST(CAST(:mine AS text) AS xid))"
)


@dataclass(frozen=True)
class Selection:
    """A person among a customer's requests: by the ids of answers, or by a text (an address) that they contain.
    `lines`: ids of lines of batch files, of which not all were charged.
    """

    events: tuple[str, ...] = ()
    containing: str | None = None
    lines: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether all of the customer is meant."""
        return not self.events and not self.lines and self.containing is None


@dataclass(frozen=True)
class Erased:
    """What must be gone from copies too: whole customers, and single requests. `position`: ask after it next time."""

    customers: frozenset[str]
    events: frozenset[str]
    position: int

    def holds(self, customer: str, event: str) -> bool:
        """Whether a row of this customer and request must be dropped."""
        return customer in self.customers or event in self.events


def subjects(ledger: Ledger, after: int = 0) -> Erased:
    """What was erased after a position. Whoever keeps copies (a snapshot of feedback and inputs) drops these rows."""
    cell = schema.erasures.c
    with ledger.stores.reading.connect() as connection:
        query = sa.select(schema.erasures).where(cell.position > after).order_by(cell.position)
        rows = connection.execute(query).all()
    return Erased(
        frozenset(row.customer for row in rows if not row.event),
        frozenset(row.event for row in rows if row.event),
        rows[-1].position if rows else after,
    )


def _private_tables() -> list[sa.Table]:
    return [table for table in schema.private.sorted_tables if "customer" in table.c]


def export(ledger: Ledger, customer: str, selection: Selection | None = None) -> list[dict[str, Any]]:
    """Every row about a customer (id or name) but the usage events: `{"table": ..., column: value}`."""
    chosen = selection or Selection()
    rows: list[dict[str, Any]] = []
    with ledger.stores.reading.connect() as connection, ledger.stores.private_reading.connect() as private:
        owner = customer_id(connection, customer)
        if not chosen.everything:
            events = _chosen(connection, private, owner, chosen)
            return [row for table in _private_tables() for row in _rows(private, table, owner)
                    if _event_of(connection, table, row) in events]  # fmt: skip
        me = connection.execute(sa.select(schema.customers).where(schema.customers.c.id == owner)).mappings().one()
        rows.append({"table": "customers", **_plain(me)})
        for table in schema.public.sorted_tables:
            if "customer" in table.c and table.name not in _IN_PAGES:
                rows += _rows(connection, table, owner)
        for table in _private_tables():
            rows += _rows(private, table, owner)
        rows += [{"table": "audit", **_plain(row)} for row in _audit_of(connection, owner)]
    return rows


def _rows(connection: Connection, table: sa.Table, customer: str) -> list[dict[str, Any]]:
    hidden = _NOT_SHOWN.get(table.name, ())
    found = connection.execute(sa.select(table).where(table.c.customer == customer)).mappings()
    return [{"table": table.name, **{name: value for name, value in _plain(row).items() if name not in hidden}}
            for row in found]  # fmt: skip


def _plain(row: Any) -> dict[str, Any]:
    return {
        name: value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else
        value if isinstance(value, (str, int, type(None))) else str(value)
        for name, value in row.items()
    }  # fmt: skip


def _audit_of(connection: Connection, customer: str) -> list[Any]:
    """Audit lines that speak of a customer, by subject or in their detail."""
    line = schema.audit.c
    about = sa.or_(line.subject == customer, line.detail.contains(customer, autoescape=True))
    return list(connection.execute(sa.select(schema.audit).where(about).order_by(line.position)).mappings())


def _event_of(connection: Connection, table: sa.Table, row: dict[str, Any]) -> str:
    """The request that a private row belongs to; a kept answer names it through its Idempotency-Key."""
    if "event" in row:
        return str(row["event"])
    if table.name != schema.answers.name:
        return ""
    key = schema.idempotency.c
    return connection.execute(sa.select(key.event).where(key.id == row["id"])).scalar() or ""


def _chosen(connection: Connection, private: Connection, customer: str, selection: Selection) -> set[str]:
    """Ids of the requests that are meant; each must be this customer's."""
    found: set[str] = set()
    for event in selection.events:
        if not _is_of(connection, event, customer):
            raise InputError("request-not-found", at=Place(field="request"), id=event[:64])
        found.add(event)
    found |= {event for event in selection.lines if _is_of(connection, event, customer)}
    if selection.containing is not None:
        if not selection.containing.strip():
            raise InputError("erase-text", at=Place(field="containing"))
        for table in _private_tables():
            for row in _rows(private, table, customer):
                if _says(row, selection.containing):
                    found.add(_event_of(connection, table, row))
    return found - {""}


def _is_of(connection: Connection, event: str, customer: str) -> bool:
    query = sa.select(schema.events.c.id).where(schema.events.c.id == event, schema.events.c.customer == customer)
    return connection.execute(query).first() is not None


def _says(row: dict[str, Any], text: str) -> bool:
    return any(contains(str(value), text) for value in row.values())


def contains(value: str, text: str) -> bool:
    """Whether a value contains a text, in any case, also where JSON has escaped it."""
    forms = {form.casefold() for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])}
    folded = value.casefold()
    return any(form in folded for form in forms)


def erase(ledger: Ledger, customer: str, selection: Selection | None = None, *, actor: str = "local") -> dict[str, Any]:
    """Erases a customer (id or name), or what belongs to some of their requests, so that no byte of it is left.

    Result: `{customer, erased: {table: rows}, requests, events, lines, copies}`; `events` are the ids of those
    requests, `copies` older copies of the files, which still hold it and which somebody must delete. Doing it again
    finishes what was cut off.
    """
    chosen = selection or Selection()
    work = _erase_all if chosen.everything else _erase_requests
    found: dict[str, Any] = ledger.change(
        lambda connection, private: work(connection, private(), customer_id(connection, customer), chosen, actor)
    )
    ledger.customers.forget()
    ledger.keys.forget()
    ledger.writer.wait(Between(purge))
    path = ledger.stores.path
    halves = (path, private_path(path)) if path is not None else ()
    return {
        **found,
        "copies": sorted(str(copy) for half in halves for copy in half.parent.glob(half.name + ".before-*")),
    }


def _erase_all(
    connection: Connection, private: Connection, customer: str, _selection: Selection, actor: str
) -> dict[str, Any]:
    erased = {}
    for table in _private_tables():
        erased[table.name] = private.execute(sa.delete(table).where(table.c.customer == customer)).rowcount
    me, moment = schema.customers.c, clock.now()
    name = connection.execute(sa.select(me.name).where(me.id == customer)).scalar_one()
    lines = _redact(connection, customer, name)
    connection.execute(
        sa.update(schema.customers).where(me.id == customer).values(name=f"erased {customer}", erased=moment)
    )
    key = schema.keys.c
    connection.execute(sa.update(schema.keys).where(key.customer == customer).values(name=""))
    connection.execute(
        sa.update(schema.keys).where(key.customer == customer, key.revoked.is_(None)).values(revoked=moment)
    )
    connection.execute(sa.insert(schema.erasures), {"time": moment, "customer": customer, "event": ""})
    write_audit(connection, actor, "customer.erase", customer, {"rows": erased, "lines": lines})
    return {"customer": customer, "erased": erased, "requests": None, "events": [], "lines": len(lines)}


def _redact(connection: Connection, customer: str, name: str) -> list[int]:
    """Takes a name out of audit lines that an older version wrote; the line that says so names their positions."""
    escaped = json.dumps(name, ensure_ascii=False)[1:-1]
    found = [row["position"] for row in _audit_of(connection, customer) if escaped in row["detail"]]
    for position in found:
        connection.execute(sa.update(schema.audit).where(schema.audit.c.position == position).values(detail=ERASED))
    return found


def _erase_requests(
    connection: Connection, private: Connection, customer: str, selection: Selection, actor: str
) -> dict[str, Any]:
    events = _chosen(connection, private, customer, selection)
    erased = {}
    for table in _private_tables():
        rows = [row for row in _rows(private, table, customer) if _event_of(connection, table, row) in events]
        names = [column.name for column in table.primary_key]
        for row in rows:
            here = sa.and_(*(table.c[name] == row[name] for name in names))
            private.execute(sa.delete(table).where(here))
        erased[table.name] = len(rows)
    moment = clock.now()
    for event in sorted(events):
        connection.execute(sa.insert(schema.erasures), {"time": moment, "customer": customer, "event": event})
    write_audit(connection, actor, "request.erase", customer, {"rows": erased, "requests": len(events)})
    return {"customer": customer, "erased": erased, "requests": len(events), "events": sorted(events), "lines": 0}


def purge(stores: Stores) -> None:
    """Takes what was deleted out of the files: free pages, page ends, the write-ahead log. On the writer's thread.

    PostgreSQL writes the tables anew; what its own log and copies of it hold goes as these turn over.
    """
    if not stores.sqlite:
        _purge_postgresql(stores)
        return
    for engine in (stores.private_writing, stores.writing):
        held = engine.raw_connection()
        try:
            cursor = held.cursor()
            cursor.execute("VACUUM")
            for _ in _attempts():
                if cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                    break
            else:
                raise EnvironmentFault("erase-unfinished")
            cursor.close()
        finally:
            held.close()


def _purge_postgresql(stores: Stores) -> None:
    """A plain VACUUM leaves bytes in pages and in indexes; so does a full one while somebody still sees older rows."""
    names = [f'"{schema.PRIVATE}"."{table.name}"' for table in _private_tables()] + ["customers", "keys", "audit"]
    with stores.writing.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = connection.exec_driver_sql("SELECT pg_current_xact_id()::xid::text").scalar_one()
        if not any(connection.execute(_OLDER, {"mine": mine}).scalar_one() == 0 for _ in _attempts()):
            raise EnvironmentFault("erase-unfinished")
        try:
            connection.exec_driver_sql(f"SET lock_timeout = {round(_PATIENCE * 1000)}")
            for name in names:
                connection.exec_driver_sql(f"VACUUM FULL {name}")
        except sa.exc.OperationalError as error:
            raise EnvironmentFault("erase-unfinished") from error
        finally:
            connection.exec_driver_sql("RESET lock_timeout")


def _attempts() -> Iterator[int]:
    """A reader that is still at work holds the log; it is waited for."""
    end, number = time.monotonic() + _PATIENCE, 0
    while time.monotonic() < end:
        yield number
        number += 1
        time.sleep(0.05)


def lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Rows as JSON Lines."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n"
