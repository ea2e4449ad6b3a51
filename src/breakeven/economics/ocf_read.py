"""A cap table out of Open Cap Format files. What the table has no event for is named, never dropped in silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from breakeven.economics.cap_events import (
    AddClass,
    Cancel,
    Event,
    Exercise,
    Grant,
    Issue,
    IssueConvertible,
    ReservePool,
    Split,
    StockClass,
    Transfer,
)
from breakeven.economics.captable import CapTable, State, apply
from breakeven.economics.money import fraction
from breakeven.economics.ocf_transactions import DAY_COUNTS
from breakeven.economics.securities import Note, Safe
from breakeven.economics.vesting import Vesting
from breakeven.errors import BreakevenError, DataError, Place

_MAKES = (
    "STOCK_TRANSFER",
    "EQUITY_COMPENSATION_EXERCISE",
    "STOCK_REPURCHASE",
    "STOCK_CANCELLATION",
    "EQUITY_COMPENSATION_CANCELLATION",
)
_IGNORED = ("ACCEPTANCE", "VESTING_START", "RETURN_TO_POOL", "AUTHORIZED_SHARES_ADJUSTMENT", "CHANGE_EVENT")


@dataclass(frozen=True)
class OcfTable:
    """The table, what of the files it could not take, and the currencies of the amounts in them."""

    table: CapTable
    left_out: tuple[str, ...]
    currencies: tuple[str, ...] = ()


def read_ocf(files: Mapping[str, str]) -> OcfTable:
    """The table in a set of files (texts by name); raises DataError with the file and object that cannot be meant."""
    objects: dict[str, list[dict[str, Any]]] = {}
    for name, text in files.items():
        try:
            data = json.loads(text, parse_float=str)
            kind, items = data["file_type"], data.get("items", [])
            objects.setdefault(kind, []).extend(dict(item) for item in items)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DataError("ocf-file", at=Place(file=name), reason=str(error)[:200]) from None
    reader = _Reader(objects)
    reader.run()
    return OcfTable(CapTable(tuple(reader.events)), tuple(reader.left_out), tuple(sorted(_currencies(objects))))


def _currencies(node: Any) -> set[str]:
    """The codes beside every amount of money."""
    if isinstance(node, Mapping):
        own = {str(node["currency"])} if "amount" in node and "currency" in node else set()
        return own.union(*(_currencies(child) for child in node.values()))
    return set[str]().union(*(_currencies(child) for child in node)) if isinstance(node, list) else set()


class _Reader:
    """Turns objects into events, in the order of their dates."""

    def __init__(self, objects: Mapping[str, list[dict[str, Any]]]) -> None:
        self.classes = objects.get("OCF_STOCK_CLASSES_FILE", [])
        self.plans = objects.get("OCF_STOCK_PLANS_FILE", [])
        self.terms = {item.get("id"): item for item in objects.get("OCF_VESTING_TERMS_FILE", [])}
        self.holders = {
            item.get("id"): item.get("name", {}).get("legal_name") for item in objects.get("OCF_STAKEHOLDERS_FILE", [])
        }
        self.rows = sorted(objects.get("OCF_TRANSACTIONS_FILE", []), key=lambda row: str(row.get("date")))
        self.starts = {row.get("security_id"): row for row in self.rows if row.get("object_type") == "TX_VESTING_START"}
        self.issued = {
            row.get("security_id"): row for row in self.rows if str(row.get("object_type")).endswith("ISSUANCE")
        }
        self.state = State()
        self.events: list[Event] = []
        self.left_out: list[str] = []
        self.names: dict[str, str] = {}
        # Securities that came of another one raise no cash; those that our own event makes need no issue of their own.
        self.followers = {name for row in self.rows for name in _followers(row)}
        self.made = {name for row in self.rows if _kind(row) in _MAKES for name in _followers(row)}
        self.reserved: dict[str, Fraction] = {}
        self.splits: set[tuple[str, str]] = set()

    def run(self) -> None:
        """All of it."""
        for read, items in ((self.stock_class, self.classes), (self.plan, self.plans), (self.transaction, self.rows)):
            for item in items:
                try:
                    read(item)
                except (KeyError, TypeError, ValueError, IndexError, AttributeError, BreakevenError) as error:
                    reason = str(error) if isinstance(error, BreakevenError) else repr(error)
                    kind = item.get("object_type")
                    raise DataError("ocf-object", id=item.get("id"), kind=kind, reason=reason) from None

    @property
    def first(self) -> date:
        """The day of the first transaction: classes and plans are there from then on."""
        return _day(self.rows[0]["date"]) if self.rows else date(1970, 1, 1)

    def happened(self, event: Event) -> None:
        """Takes an event that fits what was before it."""
        apply(self.state, event)
        self.events.append(event)

    def stock_class(self, item: Mapping[str, Any]) -> None:
        """A class of shares; a class named common is there already."""
        preferred = item["class_type"] == "PREFERRED"
        cap = item.get("participation_cap_multiple")
        participates = cap is not None or "participates without a cap" in item.get("comments", [])
        if item["id"] != "common":
            self.happened(
                AddClass(
                    self.first,
                    StockClass(
                        item["id"],
                        preferred,
                        item.get("liquidation_preference_multiple", "1"),
                        int(Fraction(item["seniority"])),
                        participates,
                        cap,
                    ),
                )
            )

    def plan(self, item: Mapping[str, Any]) -> None:
        """An option plan's reserve; several plans become one pool."""
        self.reserved[item["id"]] = Fraction(item["initial_shares_reserved"])
        self.happened(ReservePool(self.first, _whole(item["initial_shares_reserved"])))

    def transaction(self, row: Mapping[str, Any]) -> None:
        """One transaction by its kind."""
        kind = _kind(row)
        if kind in _READ:
            _READ[kind](self, row)
        elif not kind.endswith(_IGNORED):
            self.left_out.append(f"{kind} {row['id']}")

    def name(self, security: str) -> str:
        """The id under which the table knows a security that went on under a new one."""
        return self.names.get(security, security)

    def holder(self, row: Mapping[str, Any]) -> str:
        """The name of an issuance's stakeholder."""
        return str(self.holders.get(row["stakeholder_id"]) or row["stakeholder_id"])

    def vesting(self, row: Mapping[str, Any]) -> Vesting | None:
        """Even monthly vesting with a cliff; anything else is left out, and then everything counts as vested."""
        if "vesting_terms_id" not in row:
            return None
        terms, start = self.terms[row["vesting_terms_id"]], self.starts.get(row["security_id"])
        periods = [condition["trigger"].get("period") for condition in terms["vesting_conditions"]]
        found = [period for period in periods if period]
        if len(found) != 1 or found[0]["type"] != "MONTHS" or len(periods) > 2 or start is None:
            self.left_out.append(f"the vesting terms {terms['id']} of {row['security_id']}")
            return None
        every, count = int(found[0]["length"]), int(found[0]["occurrences"])
        cliff = int(found[0].get("cliff_installment", 0)) * every
        return Vesting(_day(start["date"]), every * count, cliff, every, terms["allocation_type"])


def _followers(row: Mapping[str, Any]) -> list[str]:
    more = [row["balance_security_id"]] if "balance_security_id" in row else []
    return [*row.get("resulting_security_ids", []), *more]


def _kind(row: Mapping[str, Any]) -> str:
    return str(row.get("object_type")).removeprefix("TX_").replace("PLAN_SECURITY", "EQUITY_COMPENSATION")


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _whole(text: str) -> int:
    number = fraction(text)
    if number.denominator != 1:
        raise DataError("shares-number", found=text, most="any number")
    return int(number)


def _stock_issued(reader: _Reader, row: Mapping[str, Any]) -> None:
    name = row["security_id"]
    if name in reader.made:
        return
    reader.happened(
        Issue(
            _day(row["date"]),
            name,
            reader.holder(row),
            row["stock_class_id"],
            _whole(row["quantity"]),
            row["share_price"]["amount"],
            reader.vesting(row),
            name not in reader.followers,
        )
    )


def _options_issued(reader: _Reader, row: Mapping[str, Any]) -> None:
    if row["security_id"] in reader.made:
        return
    shares = _whole(row["quantity"])
    price = row.get("exercise_price") or row.get("base_price") or {"amount": "0"}
    reader.happened(
        Grant(_day(row["date"]), row["security_id"], reader.holder(row), shares, price["amount"], reader.vesting(row))
    )


def _exercised(reader: _Reader, row: Mapping[str, Any]) -> None:
    (result,) = row["resulting_security_ids"]
    reader.happened(
        Exercise(
            _day(row["date"]),
            result,
            reader.name(row["security_id"]),
            _whole(row["quantity"]),
            reader.issued[result]["stock_class_id"],
        )
    )


def _transferred(reader: _Reader, row: Mapping[str, Any]) -> None:
    security = reader.name(row["security_id"])
    for result in row["resulting_security_ids"]:
        issued = reader.issued[result]
        shares = _whole(issued["quantity"])
        reader.happened(Transfer(_day(row["date"]), result, security, reader.holder(issued), shares))
    _goes_on(reader, row, security)


def _goes_on(reader: _Reader, row: Mapping[str, Any], security: str) -> None:
    if "balance_security_id" in row:
        reader.names[row["balance_security_id"]] = security


def _taken(reader: _Reader, row: Mapping[str, Any]) -> None:
    security = reader.name(row["security_id"])
    reader.happened(Cancel(_day(row["date"]), security, _whole(row["quantity"]) if "quantity" in row else None))
    _goes_on(reader, row, security)


def _ended(reader: _Reader, row: Mapping[str, Any]) -> None:
    reader.happened(Cancel(_day(row["date"]), reader.name(row["security_id"])))


def _split(reader: _Reader, row: Mapping[str, Any]) -> None:
    """One split of everything; its rows for the other classes, on the same day, say the same."""
    ratio = row["split_ratio"]
    key = (row["date"], f"{ratio['numerator']}:{ratio['denominator']}")
    if key not in reader.splits:
        reader.splits.add(key)
        reader.happened(Split(_day(row["date"]), _whole(ratio["numerator"]), _whole(ratio["denominator"])))
        reader.reserved = {
            name: shares * Fraction(ratio["numerator"]) / Fraction(ratio["denominator"])
            for name, shares in reader.reserved.items()
        }


def _pool(reader: _Reader, row: Mapping[str, Any]) -> None:
    name, now = row["stock_plan_id"], Fraction(row["shares_reserved"])
    reader.happened(ReservePool(_day(row["date"]), int(now - reader.reserved[name])))
    reader.reserved[name] = now


def _convertible(reader: _Reader, row: Mapping[str, Any]) -> None:
    mechanism = row["conversion_triggers"][0]["conversion_right"]["conversion_mechanism"]
    when, name = _day(row["date"]), row["security_id"]
    cap = mechanism.get("conversion_valuation_cap", {}).get("amount")
    shared: dict[str, Any] = {
        "cap": cap,
        "discount": mechanism.get("conversion_discount") or "0",
        "issued": when,
        "pro_rata": bool(fraction(row.get("pro_rata", "0"))),
        "holder": reader.holder(row),
    }
    amount = row["investment_amount"]["amount"]
    security: Safe | Note
    if mechanism["type"] == "SAFE_CONVERSION":
        pre = mechanism.get("conversion_timing") == "PRE_MONEY"
        security = Safe(name, amount, money="pre" if pre else "post", mfn=mechanism["conversion_mfn"], **shared)
    elif mechanism["type"] == "CONVERTIBLE_NOTE_CONVERSION":
        interest = mechanism["interest_rates"][0] if mechanism["interest_rates"] else {"rate": "0"}
        count = {theirs: ours for ours, theirs in DAY_COUNTS.items()}[mechanism["day_count_convention"]]
        last, rate = _maturity(row, interest), interest["rate"] or "0"
        security = Note(name, amount, maturity=last, rate=rate, day_count=count, **shared)
        if mechanism["compounding_type"] != "SIMPLE":
            reader.left_out.append(f"the compounding of note {name}")
    else:
        reader.left_out.append(f"the {mechanism['type']} of convertible {name}")
        return
    reader.happened(IssueConvertible(when, security, name not in reader.followers))


def _maturity(row: Mapping[str, Any], interest: Mapping[str, Any]) -> date:
    """A note's last day: of its interest, or the trigger on a date."""
    dates = [interest.get("accrual_end_date"), *(trigger.get("trigger_date") for trigger in row["conversion_triggers"])]
    return _day(next(text for text in (*dates, "none") if text))


_READ: dict[str, Callable[[_Reader, Mapping[str, Any]], None]] = {
    "STOCK_ISSUANCE": _stock_issued,
    "EQUITY_COMPENSATION_ISSUANCE": _options_issued,
    "EQUITY_COMPENSATION_EXERCISE": _exercised,
    "STOCK_TRANSFER": _transferred,
    "STOCK_REPURCHASE": _taken,
    "STOCK_CANCELLATION": _taken,
    "STOCK_RETRACTION": _ended,
    "EQUITY_COMPENSATION_CANCELLATION": _taken,
    "EQUITY_COMPENSATION_RETRACTION": _ended,
    "CONVERTIBLE_CANCELLATION": _ended,
    "CONVERTIBLE_RETRACTION": _ended,
    "CONVERTIBLE_CONVERSION": _ended,
    "STOCK_CONVERSION": _ended,
    "STOCK_CLASS_SPLIT": _split,
    "STOCK_PLAN_POOL_ADJUSTMENT": _pool,
    "CONVERTIBLE_ISSUANCE": _convertible,
}
