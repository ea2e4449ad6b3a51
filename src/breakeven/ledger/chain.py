"""Hash chains: every row's hash covers the row and the hash before it, so that no row can change or leave unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

EVENT_FIELDS = ("writer", "seq", "id", "source", "kind", "about", "time", "customer", "key", "release", "plan",
                "quantities", "answers", "request")
AUDIT_FIELDS = ("time", "actor", "action", "subject", "detail")

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def genesis(ledger_id: str, writer: str) -> str:
    """The hash that stands before a chain's first row."""
    return hashlib.sha256(f"breakeven ledger {ledger_id} writer {writer}".encode()).hexdigest()


def link(before: str, row: Mapping[str, Any], fields: tuple[str, ...]) -> str:
    """The hash (hex) of a row that follows `before`."""
    return hashlib.sha256((before + _encode([row[name] for name in fields])).encode()).hexdigest()


def broken_at(rows: Iterable[Mapping[str, Any]], before: str, fields: tuple[str, ...]) -> tuple[Mapping[str, Any] | None, int, str]:
    """(first row whose hash does not follow, None if all do; rows read; last good hash)."""
    count = 0
    for row in rows:
        if link(before, row, fields) != row["hash"]:
            return row, count, before
        before = row["hash"]
        count += 1
    return None, count, before
