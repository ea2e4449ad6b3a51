"""Hash chains: every row's hash covers the row and the hash before it, so that no row can change or leave unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

EVENT_FIELDS = (
    "writer",
    "seq",
    "id",
    "source",
    "kind",
    "about",
    "time",
    "customer",
    "key",
    "release",
    "plan",
    "quantities",
    "answers",
    "request",
)
AUDIT_FIELDS = ("time", "actor", "action", "subject", "detail")

_BETWEEN = "\x1f"  # the unit separator; no field may hold it, which `plain` checks where fields come from outside


def genesis(ledger_id: str, writer: str) -> str:
    """The hash that stands before a chain's first row."""
    return hashlib.sha256(f"breakeven ledger {ledger_id} writer {writer}".encode()).hexdigest()


def plain(text: str) -> bool:
    """Whether a text may stand in a chained row: printable, so that no two rows can read alike."""
    return text.isprintable()


def link(before: str, values: Sequence[Any]) -> str:
    """The hash (hex) of a row's values, in the order of its fields, that follows `before`."""
    return hashlib.sha256((before + _BETWEEN + _BETWEEN.join(map(str, values))).encode()).hexdigest()


def event_values(row: Any) -> list[Any]:
    """What an event's hash covers. `counted` stands in it only where it is set: most rows, and all of schema 1, have
    none.
    """
    values = [row[name] for name in EVENT_FIELDS]
    return values if row["counted"] is None else [*values, row["counted"]]
