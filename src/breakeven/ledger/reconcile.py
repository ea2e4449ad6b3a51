"""Does the ledger say the same as what else was written down? Against answers that were given, against issued
invoices, and the machine bill of a cloud.

Pure comparison: rows in, differences out, each with the ids that differ.
"""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from breakeven.artifacts import fingerprint, unreadable
from breakeven.errors import InputError, Place, UsageError
from breakeven.ledger import clock

Row = Mapping[str, Any]
SHOWN = 1000  # the most ids of one kind in a result; `count` says how many there are


def answers(file: Path) -> dict[str, dict[str, Any]]:
    """`{id: {quantities, time, line}}` of a log of answers; lines that speak of no answer are left out.

    A line is JSON with `id` and `usage` (as an answer has it, and the log of `serve --log json`) or `quantities`.
    InputError where a line is no JSON.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                    told = _told(value, number) if isinstance(value, dict) else None
                except (ValueError, KeyError, TypeError, RecursionError) as error:
                    at = Place(file=str(file), line=number)
                    raise InputError("import-json", at=at, reason=str(error)[:120] or type(error).__name__) from error
                if told is not None:
                    found.setdefault(str(value["id"]), told)  # an answer that was replayed stands there again
    except OSError as error:
        raise unreadable(file, error) from error
    except UnicodeDecodeError as error:
        raise InputError("import-file", at=Place(file=str(file)), form="jsonl", reason=str(error)) from error
    return found


def _told(value: Row, line: int) -> dict[str, Any] | None:
    if not isinstance(value.get("id"), str):
        return None
    if isinstance(value.get("usage"), list):
        quantities = {str(item["meter"]): int(item["quantity"]) for item in value["usage"]}
    elif isinstance(value.get("quantities"), dict):
        quantities = {str(meter): int(number) for meter, number in value["quantities"].items()}
    else:
        return None
    moment = clock.moment(value["time"], "time") if isinstance(value.get("time"), str) else None
    return {"quantities": quantities, "time": moment, "line": line}


def with_answers(events: Iterable[Row], given: Mapping[str, Row]) -> dict[str, Any]:
    """Compares events with answers. `not_charged`: answered, no event; `differs`: other quantities; `not_answered`:
    charged within the log's own stretch of time, no answer in it (its client had left, or the log was cut).
    """
    times = [told["time"] for told in given.values() if told["time"] is not None]
    charged: set[str] = set()
    differs, silent = [], []
    for row in events:
        if row["kind"] != "usage":
            continue
        told = given.get(row["id"])
        if told is not None:
            charged.add(row["id"])
            if told["quantities"] != row["quantities"]:
                differs.append(row["id"])
        elif times and min(times) <= (clock.moment(row["time"], "time") or 0) <= max(times):
            silent.append(row["id"])
    return _found(len(given), not_charged=sorted(given.keys() - charged), differs=differs, not_answered=silent)


def _found(compared: int, **kinds: list[str]) -> dict[str, Any]:
    return {
        "agrees": not any(kinds.values()),
        "compared": compared,
        "differences": {kind: {"count": len(ids), "ids": ids[:SHOWN]} for kind, ids in kinds.items()},
    }


def with_invoices(documents: Iterable[Row], usage: Mapping[tuple[str, str], Mapping[str, int]]) -> dict[str, Any]:
    """Compares issued invoices with what counts in their months: `usage` by (customer id, month), by meter.

    `changed`: a document that is not what was issued; `differs`: `NUMBER METER: billed, in the ledger`.
    """
    changed, differs, count = [], [], 0
    for document in documents:
        count += 1
        body = {name: value for name, value in document.items() if name != "hash"}
        if fingerprint(body) != document["hash"]:
            changed.append(str(document["number"]))
        if document["kind"] != "invoice":
            continue
        used = usage.get((document["customer_id"], document["month"]), {})
        billed = billed_quantities(document)
        for meter in sorted(used.keys() | billed.keys()):
            if Decimal(used.get(meter, 0)) != billed.get(meter, Decimal(0)):
                told = f"{billed.get(meter, Decimal(0)):f} billed, {used.get(meter, 0)} in the ledger"
                differs.append(f"{document['number']} {meter}: {told}")
    return _found(count, changed=changed, differs=differs)


def billed_quantities(document: Row) -> dict[str, Decimal]:
    """How much of each meter an invoice speaks of: billed, in a trial, without a price, or given back by a note.

    Several fees of one plan on one meter repeat its quantity; several plans in one month share it.
    """
    lines: dict[tuple[str, str], dict[str, Decimal]] = {}
    for line in document["lines"]:
        if line["meter"] is not None and line["quantity"] is not None:
            fees = lines.setdefault((line["meter"], str(line["plan"])), {})
            fees[line["name"]] = fees.get(line["name"], Decimal(0)) + Decimal(line["quantity"])
    sums: dict[str, Decimal] = {}
    for (meter, _), fees in lines.items():
        sums[meter] = sums.get(meter, Decimal(0)) + max(fees.values())
    for part in ("unpriced", "in_trial"):
        for meter, quantity in document[part].items():
            sums[meter] = sums.get(meter, Decimal(0)) + Decimal(quantity)
    for meter, quantity in document.get("given_back", {}).items():
        sums[meter] = sums.get(meter, Decimal(0)) - Decimal(quantity)
    return sums


@dataclass(frozen=True)
class Columns:
    """Which columns of a bill say what. `only`: (column, value) pairs that a row must have; `form`: how times are
    written where that is not ISO 8601 (as strptime); `currency`: (column, the code that every row must have).
    """

    time: str
    cost: str
    only: tuple[tuple[str, str], ...] = ()
    form: str | None = None
    currency: tuple[str, str] | None = None

    def names(self) -> set[str]:
        """Every column that is read."""
        return {self.time, self.cost, *(name for name, _ in self.only), *([self.currency[0]] if self.currency else [])}


def bill(file: Path, month: str, columns: Columns) -> dict[str, Any]:
    """What a cloud's bill (CSV) says a month cost: `{cost, rows, left_out}`, exact; credits are negative costs.

    A row belongs to the month in which its time begins, in UTC.
    """
    total, rows, left_out = Decimal(0), 0, 0
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = sorted(columns.names() - set(reader.fieldnames or ()))
            if missing:
                known = ", ".join(reader.fieldnames or ()) or "none"
                raise UsageError("bill-columns", at=Place(file=str(file)), missing=", ".join(missing), known=known)
            for row in reader:
                at = Place(file=str(file), line=reader.line_num)
                if any(row[name] != value for name, value in columns.only):
                    left_out += 1
                    continue
                if _month(row[columns.time], columns.form, at) != month:
                    left_out += 1
                    continue
                _in_currency(row, columns, at)
                total += _money(row[columns.cost], at)
                rows += 1
    except OSError as error:
        raise unreadable(file, error) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError("import-file", at=Place(file=str(file)), form="csv", reason=str(error)) from error
    return {"cost": total, "rows": rows, "left_out": left_out}


def _in_currency(row: Mapping[str, str], columns: Columns, at: Place) -> None:
    if columns.currency is not None and (row[columns.currency[0]] or "").strip() != columns.currency[1]:
        name, code = columns.currency
        raise InputError("bill-currency", at=at, column=name, found=str(row[name])[:20], currency=code)


def _month(text: str | None, form: str | None, at: Place) -> str:
    said = (text or "").strip().removesuffix(" UTC")  # as Google writes it
    try:
        if form is not None:
            try:
                return clock.month(clock.moment(datetime.datetime.strptime(said, form), "time") or 0)
            except ValueError:
                raise InputError("bill-time", found=said[:40], form=form) from None
        return clock.month(clock.moment(said, "time") or 0)
    except InputError as error:
        raise error.located(file=at.file, line=at.line) from None


def _money(text: str | None, at: Place) -> Decimal:
    try:
        value = Decimal((text or "").strip())
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise InputError("bill-cost", at=at, found=str(text)[:40])
    return value


def with_bill(billed: Decimal, customers: Iterable[Row], *, tolerance: float, expected: float | None) -> dict[str, Any]:
    """Compares a bill with what the answers cost as measured, and shares the bill among the customers by that cost.

    `customers`: `{name, revenue, at_volume_cost}`. `expected` replaces the sum of the measured costs.
    """
    rows = [dict(row) for row in customers]
    measured = sum(float(row["at_volume_cost"]) for row in rows)
    against = measured if expected is None else expected
    gap = abs(float(billed) - against)
    for row in rows:
        share = float(row["at_volume_cost"]) / measured if measured else 0.0
        row["share"] = share
        row["cost"] = float(billed) * share
        row["margin"] = None if row["revenue"] is None else float(row["revenue"]) - row["cost"]
    return {
        "agrees": gap <= tolerance * max(float(billed), against),
        "billed": str(billed),
        "measured": round(measured, 9),
        "expected": round(against, 9),
        "tolerance": tolerance,
        "customers": rows,
    }
