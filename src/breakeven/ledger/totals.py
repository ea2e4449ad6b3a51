"""Sums of usage by whole hour, written in the transaction of the events themselves.

On SQLite one process owns the table and remembers where each sum stands: a commit then changes it by the number of its
row, without a look at the six columns of its key. Only rows that were committed are remembered.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from breakeven.ledger import clock
from breakeven.ledger.rows import ROWS, Into, Writing, insert_rows, is_sqlite, run

if TYPE_CHECKING:
    from breakeven.ledger.events import Charge

KEY = ("customer", "hour", "key", "release", "plan", "meter")
_COLUMNS = (*KEY, "quantity", "events")
_ADD = (
    f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET quantity = totals.quantity + excluded.quantity, "
    "events = totals.events + excluded.events"
)
_WHERE = f"RETURNING rowid, {', '.join(KEY)}"
_MOST = 200_000  # rows remembered: some 60 MB

Cell = tuple[Any, ...]  # the values of KEY


class Totals:
    """The sums as the one who writes them sees them."""

    def __init__(self) -> None:
        self._places: dict[Cell, int] = {}
        self._fresh: dict[Cell, int] = {}

    def add(self, connection: Writing, charges: Iterable[Charge], *, remember: bool = True) -> None:
        """Adds what was charged. `remember` False: in a savepoint, which may yet be taken back by itself."""
        if not is_sqlite(connection):
            insert_rows(connection, *part(charges))
            return
        sums = _sums(charges)
        places = self._places
        known = [(places[cell], added[0], added[1]) for cell, added in sums.items() if cell in places]
        self._change(connection, known)
        if len(known) < len(sums):
            rows = [(*cell, *amounts) for cell, amounts in sums.items() if cell not in places]
            # Of former hours nothing more is likely to come: what an import adds is not remembered.
            again = remember and max(row[1] for row in rows) > clock.now() - 2 * clock.HOUR
            found = insert_rows(connection, ("totals", _COLUMNS), rows, f"{_ADD} {_WHERE}" if again else _ADD)
            self._fresh.update((tuple(row[1:]), row[0]) for row in found)

    def committed(self) -> None:
        """The transaction is on the disk: its new rows stay where they are."""
        if self._fresh:
            if len(self._places) + len(self._fresh) > _MOST:
                self._places.clear()
            self._places.update(self._fresh)
            self._fresh = {}

    def rolled_back(self) -> None:
        """What the transaction added is not there."""
        self._fresh = {}

    def forget(self) -> None:
        """After VACUUM, which numbers rows anew."""
        self._places, self._fresh = {}, {}

    def _change(self, connection: Writing, known: list[tuple[int, int, int]]) -> None:
        for start in range(0, len(known), ROWS):
            part = known[start : start + ROWS]
            values = tuple(itertools.chain.from_iterable(part))
            _, changed = run(connection, _change_sql(len(part)), values)
            if changed != len(part):  # somebody else wrote: what is remembered is worth nothing
                self.forget()
                raise LookupError(f"{len(part) - changed} sums are not where they were")


def part(charges: Iterable[Charge]) -> tuple[Into, list[Any], str]:
    """What `insert_rows` takes to add the sums of some charges."""
    sums = _sums(charges)
    # In one order everywhere, so that two processes cannot wait for each other in a circle.
    return ("totals", _COLUMNS), [(*cell, *sums[cell]) for cell in sorted(sums)], _ADD


@functools.cache
def _change_sql(count: int) -> str:
    rows = ", ".join(["(?, ?, ?)"] * count)
    return (
        "UPDATE totals SET quantity = quantity + more.column2, events = events + more.column3 "  # noqa: S608
        f"FROM (VALUES {rows}) AS more WHERE totals.rowid = more.column1"
    )


def _sums(charges: Iterable[Charge]) -> dict[Cell, list[int]]:
    sums: dict[Cell, list[int]] = {}
    for charge in charges:
        moment = charge.time if charge.counted is None else charge.counted
        hour = moment - moment % clock.HOUR
        counts = 1 if charge.kind == "usage" else 0  # a correction is no request
        for meter, quantity in charge.quantities.items():
            cell = (charge.customer, hour, charge.key, charge.release, charge.plan, meter)
            found = sums.get(cell)
            if found is None:
                sums[cell] = [quantity, counts]
            else:
                found[0] += quantity
                found[1] += counts
    return sums
