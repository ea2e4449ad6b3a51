"""Labelled rows out of the project's ledger: kept inputs of customers who consented, with their words on the answers.

Each row carries its origin, so that whoever is erased from the ledger is missing from the next table, and can be found
in older ones: `erased_rows`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.data.cases import columns_of, names_of

if TYPE_CHECKING:
    import polars as pl

    from breakeven.ledger.subjects import Erased

ORIGIN, CUSTOMER, REQUEST, TIME = "origin", "origin_customer", "origin_request", "origin_time"
FEEDBACK = "feedback"
COUNTED = ("cases", "labelled", "without_feedback", "without_label", "without_input", "other_fields")


@dataclass
class Labelled:
    """Rows as columns of text, and how many cases gave none and why; the counts of `cases` add up."""

    rows: list[dict[str, str | None]]
    counts: dict[str, int]
    digest: str = field(default="")


def labelled(root: Path, roles: Mapping[str, Any], *, unit: str | None = None) -> Labelled:
    """All labelled rows of the project's ledger; none where there is no ledger yet. `unit`: the field of
    `process.split.by`, which a customer's rows fill with the customer where no input does.
    """
    counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
    rows = [row for case in _kept(root) if (row := _row(case, roles, unit, counts)) is not None]
    rows.sort(key=lambda row: (row[TIME] or "", row[REQUEST] or ""))  # older first: the first of two equals stays
    counts["labelled"] = len(rows)
    said = json.dumps(rows, sort_keys=True, ensure_ascii=False).encode()
    return Labelled(rows, dict(counts), hashlib.sha256(said).hexdigest())


def read_ledger(
    root: Path, roles: Mapping[str, Any], *, unit: str | None = None
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """(table, what the card says of it). The table has its columns even where it has no row."""
    import polars as pl

    found = labelled(root, roles, unit=unit)
    names = _columns(roles, unit)
    frame = pl.DataFrame(
        {name: [row.get(name) for row in found.rows] for name in names}, schema=dict.fromkeys(names, pl.String)
    )
    size = sum(len(value or "") for row in found.rows for value in row.values())
    return frame, {"sha256": found.digest, "bytes": size, "ledger": found.counts}


def _kept(root: Path) -> Iterator[dict[str, Any]]:
    from breakeven.errors import BreakevenError
    from breakeven.ledger.book import ledger_place
    from breakeven.ledger.commands import kept_inputs

    try:
        yield from kept_inputs(ledger_place(root))
    except BreakevenError as error:
        if error.code != "ledger-missing":
            raise


def _columns(roles: Mapping[str, Any], unit: str | None) -> list[str]:
    """The fields that a request can fill, and the origin."""
    made = [*names_of(roles, "inputs"), *names_of(roles, "target"), *names_of(roles, "id"), *names_of(roles, "time")]
    made += [unit] if unit is not None else []
    return list(dict.fromkeys([*made, *columns_of(roles), ORIGIN, CUSTOMER, REQUEST, TIME]))


def _row(
    case: Mapping[str, Any], roles: Mapping[str, Any], unit: str | None, counts: Counter[str]
) -> dict[str, str | None] | None:
    """A case as a row of the table, or None with the reason counted."""
    counts["cases"] += 1
    words = case["feedback"]
    if not words:
        counts["without_feedback"] += 1
        return None
    label = label_of(words, case["output"])
    if label is None:
        counts["without_label"] += 1
        return None
    if case["input"] is None:
        counts["without_input"] += 1
        return None
    inputs = _inputs(case["input"], names_of(roles, "inputs"), columns_of(roles))
    if inputs is None:
        counts["other_fields"] += 1
        return None
    customer = customer_hash(case["customer"])
    origin = {ORIGIN: FEEDBACK, CUSTOMER: customer, REQUEST: case["event"], TIME: case["time"]}
    row: dict[str, str | None] = dict.fromkeys(names_of(roles, "time"), case["time"])
    row |= dict.fromkeys(names_of(roles, "id"), f"{case['event']}-{case['item']}")
    row |= {unit: customer} if unit is not None else {}
    return {**row, **inputs, **dict.fromkeys(names_of(roles, "target"), label), **origin}


def label_of(words: Sequence[Mapping[str, Any]], output: Any) -> str | None:
    """The right answer by a customer's own words, oldest first: the last word that names one or confirms the answer
    given. `correct: false` alone takes back what was said before, and names none.
    """
    answered = output.get("label") if isinstance(output, Mapping) else output
    found: str | None = None
    for word in words:
        if word.get("label") is not None:
            found = str(word["label"])
        elif word.get("correct") is True:
            found = None if answered is None else str(answered)
        elif word.get("correct") is False:
            found = None
    return found


def _inputs(payload: Any, names: Sequence[str], known: Sequence[str]) -> dict[str, str | None] | None:
    """A request's input as fields of the table; None where it has other fields than the table."""
    if isinstance(payload, str):
        return {**dict.fromkeys(names), names[0]: payload}
    if isinstance(payload, Mapping) and payload and set(payload) <= set(known):
        return {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in payload.items()}
    return None


def customer_hash(customer: str) -> str:
    """20 hex digits that stand for a customer's id in tables that leave the ledger."""
    return hashlib.blake2b(customer.encode(), digest_size=10, person=b"origin").hexdigest()


def erased_rows(customers: Iterable[str | None], requests: Iterable[str | None], erased: Erased) -> list[bool]:
    """For rows by their origin columns: whether the ledger has since been told to forget them."""
    gone = {customer_hash(customer) for customer in erased.customers}
    return [
        (customer is not None and customer in gone) or (request is not None and request in erased.events)
        for customer, request in zip(customers, requests, strict=True)
    ]
