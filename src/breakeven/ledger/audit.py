"""The audit log: who changed what, chained so that no line can change or leave unseen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.ledger import chain, clock, schema

ERASED = '{"erased":true}'  # the detail of a line whose words were erased; a later line names its position
_LOCK = 0x62726B76  # one writer of the audit chain at a time on PostgreSQL; on SQLite there is only one


def write_audit(connection: Connection, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
    """Adds a line in the caller's transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    last = connection.execute(sa.select(schema.audit.c.hash).order_by(schema.audit.c.position.desc()).limit(1)).scalar()
    row = {
        "time": clock.now(),
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail": json.dumps(dict(detail), sort_keys=True, ensure_ascii=False),
    }
    row["hash"] = chain.link(last or _genesis(connection), [row[name] for name in chain.AUDIT_FIELDS])
    connection.execute(sa.insert(schema.audit), row)


def _genesis(connection: Connection) -> str:
    ledger = connection.execute(sa.select(schema.facts.c.value).where(schema.facts.c.name == "ledger")).scalar_one()
    return chain.genesis(ledger, "audit")


def verify_audit(connection: Connection) -> tuple[Any, int]:
    """(first line that does not follow, or None; lines read). A line whose words were erased is taken for what it says
    it was, if a later line of the chain says that it was erased.
    """
    rows = connection.execute(
        sa.select(schema.audit).order_by(schema.audit.c.position).execution_options(yield_per=5000)
    ).mappings()
    before, count = _genesis(connection), 0
    erased: dict[int, Any] = {}
    for row in rows:
        if row["detail"] == ERASED:
            erased[row["position"]] = row
        elif chain.link(before, [row[name] for name in chain.AUDIT_FIELDS]) != row["hash"]:
            return row, count
        elif row["action"] == "customer.erase":
            for position in json.loads(row["detail"])["lines"]:
                erased.pop(position, None)
        before = row["hash"]
        count += 1
    return next(iter(erased.values()), None), count


def audit_rows(connection: Connection, limit: int = 1000) -> list[dict[str, Any]]:
    """The newest lines, newest first."""
    rows = connection.execute(sa.select(schema.audit).order_by(schema.audit.c.position.desc()).limit(limit)).mappings()
    return [
        {
            "time": clock.text(row["time"]),
            "actor": row["actor"],
            "action": row["action"],
            "subject": row["subject"],
            "detail": json.loads(row["detail"]),
            "hash": row["hash"],
        }
        for row in rows
    ]
