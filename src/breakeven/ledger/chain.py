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


def link_event(before: str, v: Sequence[Any], counted: int | None) -> str:
    """`link` of an event's values in the order of EVENT_FIELDS, and of `counted` where it is set: most rows, and all
    of schema 1, have none. Spelled out, because it is most of what the writer computes for an event.
    """
    b = _BETWEEN
    text = (
        f"{before}{b}{v[0]}{b}{v[1]}{b}{v[2]}{b}{v[3]}{b}{v[4]}{b}{v[5]}{b}{v[6]}{b}{v[7]}"
        f"{b}{v[8]}{b}{v[9]}{b}{v[10]}{b}{v[11]}{b}{v[12]}{b}{v[13]}"
    )
    if counted is not None:
        text = f"{text}{b}{counted}"
    return hashlib.sha256(text.encode()).hexdigest()
