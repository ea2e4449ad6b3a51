"""Does the ledger hold? Every chain is walked, every total compared with its events, every document with the audit."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.artifacts import fingerprint
from breakeven.ledger import chain, clock, schema
from breakeven.ledger.audit import verify_audit
from breakeven.ledger.invoices import invoices


def verify(connection: Connection, ledger: str, against: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`{holds, events, audit, writers, broken: [{where, position, what}]}`; what broke first in each chain.

    `against`: heads that were kept elsewhere (`{ledger, heads}`), which must still be in these chains.
    """
    broken: list[dict[str, Any]] = []
    heads, count, sums = _walk(connection, ledger, broken)
    line, lines = verify_audit(connection)
    if line is not None:
        broken.append({"where": "audit", "position": line["position"], "what": "does not follow from the line before"})
    else:
        broken.extend(_anchors(connection, heads))
    broken.extend(_totals(connection, sums))
    broken.extend(_documents(connection))
    if against is not None:
        broken.extend(_kept_heads(connection, ledger, against))
    return {
        "holds": not broken,
        "ledger": ledger,
        "events": count,
        "audit": lines,
        "writers": len(heads),
        "broken": broken,
        "heads": {writer: {"seq": seq, "hash": digest} for writer, (seq, digest) in heads.items()},
    }


def _walk(
    connection: Connection, ledger: str, broken: list[dict[str, Any]]
) -> tuple[dict[str, tuple[int, str]], int, Any]:
    heads: dict[str, tuple[int, str]] = {}
    lost: set[str] = set()
    sums: dict[tuple[Any, ...], int] = defaultdict(int)
    count = 0
    rows = connection.execute(
        sa.select(schema.events).order_by(schema.events.c.position).execution_options(yield_per=5000)
    ).mappings()
    for row in rows:
        count += 1
        writer = row["writer"]
        seq, before = heads.get(writer) or (0, chain.genesis(ledger, writer))
        linked = chain.link_event(before, [row[name] for name in chain.EVENT_FIELDS], row["counted"])
        if writer not in lost and (row["seq"] != seq + 1 or linked != row["hash"]):
            broken.append(
                {
                    "where": f"writer {writer}",
                    "position": row["position"],
                    "what": "does not follow from the event before",
                }
            )
            lost.add(writer)
        heads[writer] = (row["seq"], row["hash"])
        counted = row["time"] if row["counted"] is None else row["counted"]
        hour = counted - counted % clock.HOUR
        for meter, quantity in json.loads(row["quantities"]).items():
            sums[row["customer"], hour, row["key"], row["release"], row["plan"], meter] += quantity
    return heads, count, sums


def _anchors(connection: Connection, heads: dict[str, tuple[int, str]]) -> list[dict[str, Any]]:
    """The last anchor of every writer must still be in its chain: this sees a tail that was cut off."""
    broken = []
    query = sa.select(schema.audit).where(schema.audit.c.action == "chain.anchor").order_by(schema.audit.c.position)
    last = {row["subject"]: json.loads(row["detail"]) for row in connection.execute(query).mappings()}
    for writer, anchor in last.items():
        events = schema.events.c
        found = connection.execute(
            sa.select(events.hash)
            .where(events.writer == writer, events.seq == anchor["seq"])
            .order_by(events.position.desc())
            .limit(1)
        ).scalar()
        if found != anchor["hash"]:
            broken.append(
                {
                    "where": f"writer {writer}",
                    "position": heads.get(writer, (0, ""))[0],
                    "what": f"event {anchor['seq']} of the last anchor is missing or changed",
                }
            )
    return broken


def _kept_heads(connection: Connection, ledger: str, against: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Heads that were kept elsewhere: who rewrote a whole chain, anchors and all, is seen by these."""
    if against["ledger"] not in (None, ledger):
        return [{"where": "ledger", "position": None, "what": f"the heads are of another ledger, {against['ledger']}"}]
    events = schema.events.c
    broken = []
    for writer, head in against["heads"].items():
        here = sa.and_(events.writer == writer, events.seq == head["seq"], events.hash == head["hash"])
        if head["seq"] and connection.execute(sa.select(events.seq).where(here)).first() is None:
            broken.append(
                {
                    "where": f"writer {writer}",
                    "position": None,
                    "what": f"event {head['seq']} of the heads kept elsewhere is missing or changed",
                }
            )
    return broken


def _totals(connection: Connection, sums: Any) -> list[dict[str, Any]]:
    names = ("customer", "hour", "key", "release", "plan", "meter")
    kept = {
        tuple(row[name] for name in names): row["quantity"]
        for row in connection.execute(sa.select(schema.totals)).mappings()
    }
    differing = [cell for cell in sums.keys() | kept.keys() if sums.get(cell, 0) != kept.get(cell, 0)]
    return [
        {
            "where": "totals",
            "position": None,
            "what": f"{dict(zip(names, cell, strict=True))}: {kept.get(cell, 0)} kept, "
            f"{sums.get(cell, 0)} by the events",
        }
        for cell in sorted(differing)[:20]
    ]


def _documents(connection: Connection) -> list[dict[str, Any]]:
    """Issued documents that are not what the audit log says was issued, and those that are no longer there."""
    line, row = schema.audit.c, invoices.c
    query = sa.select(line.subject, line.detail).where(line.action.in_(("invoice.issue", "credit_note.issue")))
    issued = {found.subject: json.loads(found.detail)["hash"] for found in connection.execute(query)}
    broken = []
    kept = sa.select(row.number, row.document).order_by(row.number).execution_options(yield_per=500)
    for found in connection.execute(kept):
        body = json.loads(found.document)
        said = fingerprint({name: value for name, value in body.items() if name != "hash"})
        if issued.pop(found.number, None) != said:
            what = "is not what the audit log says was issued"
            broken.append({"where": f"document {found.number}", "position": None, "what": what})
    gone = [{"where": f"document {number}", "position": None, "what": "was issued and is missing"} for number in issued]
    return [*broken, *sorted(gone, key=lambda item: str(item["where"]))]
