"""What servers on this ledger count while a decision is in force: a row a process and decision, summed by who asks.

Servers share nothing but the database, so this is how one look sees them all, those that have ended too. Rows hold
names and counts only, and go after a while.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.ledger import clock, schema
from breakeven.ledger.events import insert

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger

KEPT_DAYS = 90
ALIVE_SECONDS = 15.0  # after its last word a server counts as gone

servers = sa.Table(
    "servers",
    schema.public,
    sa.Column("id", sa.String(80), primary_key=True),  # one process: host, pid, and what no other has
    sa.Column("decision", sa.BigInteger, primary_key=True),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.BigInteger),
    sa.Column("body", sa.Text, nullable=False),  # JSON: the status of a server
)


def new_name() -> str:
    """A name for this process that no other has had."""
    return f"{os.uname().nodename[:40]}-{os.getpid()}-{secrets.token_hex(4)}"


def report(ledger: Ledger, name: str, decision: int, body: dict[str, Any], *, ended: bool = False) -> None:
    """Writes what a server counted under a decision, in place of what it wrote before."""
    moment = clock.now()
    row = {"seen": moment, "ended": moment if ended else None, "body": json.dumps(body)}

    def change(connection: Connection, _private: Callable[[], Connection]) -> None:
        found = insert(connection, servers).values(id=name, decision=decision, **row)
        connection.execute(found.on_conflict_do_update(index_elements=["id", "decision"], set_=row))
        connection.execute(sa.delete(servers).where(servers.c.seen < moment - KEPT_DAYS * clock.DAY))

    ledger.change(change)


def rows(ledger: Ledger, decision: int | None = None) -> list[dict[str, Any]]:
    """What servers wrote, of one decision or of all, newest word first: `{id, decision, alive, **status}`."""
    moment, cell = clock.now(), servers.c
    query = sa.select(servers).order_by(cell.seen.desc(), cell.decision.desc(), cell.id)
    with ledger.stores.reading.connect() as connection:
        found = connection.execute(query if decision is None else query.where(cell.decision == decision)).all()
    oldest = moment - round(ALIVE_SECONDS * 1_000_000)
    return [{"id": row.id, "decision": row.decision, "alive": row.ended is None and row.seen >= oldest,
             **json.loads(row.body)} for row in found]  # fmt: skip


COMMANDS = {"servers": rows}
