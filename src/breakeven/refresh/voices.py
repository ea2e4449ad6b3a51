"""Whose labels a refresh learns from: one customer who gives most of the new rows decides what the new world is.

Wrong labels on inputs that nobody sent before look like knowledge, on the fresh test rows too, which that customer
labelled as well. What others say of inputs like these is the one witness against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from breakeven.data.ledger_source import CUSTOMER, customer_hash
from breakeven.errors import Finding

MOST = 0.5  # of the new rows: above, they are one customer's word
FEWEST = 10  # new rows, below which nobody decides anything


@dataclass(frozen=True)
class Voice:
    """One customer's part in the new rows. `customer`: the hash that stands in the tables."""

    customer: str
    rows: int
    of: int

    def finding(self, customers: Sequence[str]) -> Finding:
        """What a reader should know; `customers`: ids, among which theirs is looked for."""
        known = next((one for one in customers if customer_hash(one) == self.customer), self.customer)
        about = {"customer": known, "rows": self.rows, "of": self.of, "percent": f"{100 * self.rows / self.of:.3g}"}
        return Finding("refresh-one-customer", "warning", "refresh", known, about)


def loudest(rows: Path, sides: Mapping[str, str]) -> Voice | None:
    """The customer from whom most of the rows come that the champion does not know; None: nobody."""
    import polars as pl

    if CUSTOMER not in pl.read_parquet_schema(rows):
        return None
    frame = pl.read_parquet(rows, columns=["_id", CUSTOMER])
    fresh = frame.filter(~pl.col("_id").is_in(list(sides)))
    counts = fresh[CUSTOMER].drop_nulls().value_counts(sort=True)
    if counts.height == 0:
        return None
    customer, count = counts.row(0)
    return Voice(customer, count, fresh.height) if count >= FEWEST and count > MOST * fresh.height else None


def of_others(rows: Path, ids: Sequence[str], places: Sequence[int], voice: Voice) -> list[int]:
    """Those of some cases that are not this customer's."""
    import polars as pl

    frame = pl.read_parquet(rows, columns=["_id", CUSTOMER])
    theirs = set(frame.filter(pl.col(CUSTOMER) == voice.customer)["_id"].to_list())
    return [place for place in places if ids[place] not in theirs]
