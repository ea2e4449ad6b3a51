"""Cap-table events as Open Cap Format transactions, one after another, and what the format cannot carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from breakeven.economics.cap_events import (
    AddClass,
    Cancel,
    Event,
    Exercise,
    Grant,
    Issue,
    IssueConvertible,
    PricedRound,
    Promise,
    ReservePool,
    Split,
    StockClass,
    Transfer,
)
from breakeven.economics.captable import State, apply
from breakeven.economics.money import Rational, fraction, plain, to_places
from breakeven.economics.proration import DayCount
from breakeven.economics.securities import Convertible, Safe
from breakeven.economics.vesting import Vesting

PLAN = "option-pool"
DAY_COUNTS: dict[DayCount, str] = {"ACT/365": "ACTUAL_365", "30/360": "30_360"}
_PLACES = 10


def number(value: Rational | str) -> str:
    """A number as the format writes it: decimal text with at most ten decimals."""
    return plain(to_places(fraction(value), _PLACES))


@dataclass
class Writer:
    """Folds the events and writes each as transactions."""

    currency: str
    state: State = field(default_factory=State)
    holders: set[str] = field(default_factory=set)
    plans: list[dict[str, Any]] = field(default_factory=list)
    terms: dict[str, dict[str, Any]] = field(default_factory=dict)
    transactions: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    reserved: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def event(self, event: Event) -> None:
        """Applies one event and writes what it comes to."""
        before = replace(
            self.state,
            holdings=dict(self.state.holdings),
            grants=dict(self.state.grants),
            promises=dict(self.state.promises),
            convertibles=dict(self.state.convertibles),
        )
        apply(self.state, event)
        _WRITE[type(event)](self, event, before)

    def add(self, when: date, kind: str, security: str | None = None, **more: Any) -> None:
        """One transaction."""
        row = {"object_type": f"TX_{kind}", "id": f"tx-{len(self.transactions) + 1}", "date": when.isoformat()}
        if security is not None:
            row["security_id"] = security
        self.transactions.append({**row, **more})

    def money(self, amount: Rational | str) -> dict[str, str]:
        """An amount with its currency, to ten decimals."""
        exact = fraction(amount)
        if to_places(exact, _PLACES) != exact:
            self.left_out.append(f"the digits of {exact} beyond {_PLACES} decimals")
        return {"amount": number(exact), "currency": self.currency}

    def issued(self, holder: str) -> dict[str, Any]:
        """What every issuance has."""
        self.holders.add(holder)
        number = len(self.transactions) + 1
        return {"custom_id": f"no-{number}", "stakeholder_id": holder, "security_law_exemptions": []}

    def stock(self, when: date, name: str, vesting: Vesting | None = None) -> None:
        """The issue of a certificate as it stands now."""
        held = self.state.holdings[name]
        terms = {"vesting_terms_id": self.vesting(vesting)} if vesting else {}
        self.add(
            when,
            "STOCK_ISSUANCE",
            self.names.get(name, name),
            **self.issued(held.holder),
            **terms,
            stock_class_id=held.stock_class,
            share_price=self.money(held.price),
            quantity=str(held.shares),
            stock_legend_ids=[],
        )
        if vesting:
            self.add(vesting.start, "VESTING_START", name, vesting_condition_id="start")

    def moved(self, when: date, name: str, kind: str, **more: Any) -> None:
        """Shares leave a certificate; what remains of it goes on under a new id, as the format wants it."""
        old = self.names.get(name, name)
        rest = name in self.state.holdings
        if rest:
            self.names[name] = more["balance_security_id"] = f"{old}'"
        self.add(when, kind, old, **more)
        if rest:
            self.stock(when, name)

    def vesting(self, vesting: Vesting) -> str:
        """The id of vesting terms, made once."""
        name = f"{vesting.months}m-every-{vesting.every}-cliff-{vesting.cliff}-{vesting.allocation.lower()}"
        if vesting.cliff % vesting.every:
            self.left_out.append(f"a cliff at month {vesting.cliff}, between two dates of vesting")
        count = vesting.months // vesting.every
        period = {
            "length": vesting.every,
            "type": "MONTHS",
            "occurrences": count,
            "day_of_month": "VESTING_START_DAY_OR_LAST_DAY_OF_MONTH",
            "cliff_installment": vesting.cliff // vesting.every,
        }
        start = {
            "id": "start",
            "quantity": "0",
            "trigger": {"type": "VESTING_START_DATE"},
            "next_condition_ids": ["rest"],
        }
        rest = {
            "id": "rest",
            "portion": {"numerator": "1", "denominator": str(count)},
            "next_condition_ids": [],
            "trigger": {"type": "VESTING_SCHEDULE_RELATIVE", "period": period, "relative_to_condition_id": "start"},
        }
        self.terms[name] = {
            "object_type": "VESTING_TERMS",
            "id": name,
            "name": name,
            "description": name,
            "allocation_type": vesting.allocation,
            "vesting_conditions": [start, rest],
        }
        return name


def _added_class(writer: Writer, event: AddClass, before: State) -> None:
    _class_terms(writer, event.stock_class)


def _class_terms(writer: Writer, each: StockClass) -> None:
    if each.protection != "none":
        writer.left_out.append(f"the {each.protection} anti-dilution of class {each.id}")


def _issue(writer: Writer, event: Issue, before: State) -> None:
    writer.stock(event.date, event.id, event.vesting)


def _reserve(writer: Writer, event: ReservePool, before: State) -> None:
    _grow(writer, event.date, event.shares)


def _grow(writer: Writer, when: date, shares: int) -> None:
    writer.reserved += shares
    if not writer.plans:
        writer.plans.append(
            {
                "object_type": "STOCK_PLAN",
                "id": PLAN,
                "plan_name": "Option pool",
                "stock_class_ids": ["common"],
                "initial_shares_reserved": str(writer.reserved),
                "default_cancellation_behavior": "RETURN_TO_POOL",
            }
        )
    elif shares:
        writer.add(when, "STOCK_PLAN_POOL_ADJUSTMENT", stock_plan_id=PLAN, shares_reserved=str(writer.reserved))


def _promised(writer: Writer, event: Promise, before: State) -> None:
    writer.left_out.append(f"{event.shares} options promised to {event.holder}; they stay in the pool")


def _granted(writer: Writer, event: Grant, before: State) -> None:
    terms = {"vesting_terms_id": writer.vesting(event.vesting)} if event.vesting else {}
    writer.add(
        event.date,
        "EQUITY_COMPENSATION_ISSUANCE",
        event.id,
        **writer.issued(event.holder),
        **terms,
        stock_plan_id=PLAN,
        stock_class_id="common",
        compensation_type="OPTION",
        quantity=str(event.shares),
        exercise_price=writer.money(event.strike),
        expiration_date=None,
        termination_exercise_windows=[],
    )
    if event.vesting:
        writer.add(event.vesting.start, "VESTING_START", event.id, vesting_condition_id="start")


def _exercised(writer: Writer, event: Exercise, before: State) -> None:
    writer.add(
        event.date,
        "EQUITY_COMPENSATION_EXERCISE",
        event.grant,
        quantity=str(event.shares),
        resulting_security_ids=[event.id],
    )
    writer.stock(event.date, event.id)


def _transferred(writer: Writer, event: Transfer, before: State) -> None:
    writer.moved(
        event.date, event.security, "STOCK_TRANSFER", quantity=str(event.shares), resulting_security_ids=[event.id]
    )
    writer.stock(event.date, event.id)


def _cancelled(writer: Writer, event: Cancel, before: State) -> None:
    name = event.security
    if name in before.holdings:
        held = before.holdings[name]
        shares = held.shares if event.shares is None else event.shares
        writer.moved(event.date, name, "STOCK_REPURCHASE", price=writer.money(held.price), quantity=str(shares))
    elif name in before.grants:
        shares = before.grants[name].shares if event.shares is None else event.shares
        writer.add(event.date, "EQUITY_COMPENSATION_CANCELLATION", name, quantity=str(shares), reason_text="lapsed")
    elif name in before.convertibles:
        security = before.convertibles[name]
        amount = security.amount if isinstance(security, Safe) else security.principal
        writer.add(event.date, "CONVERTIBLE_CANCELLATION", name, amount=writer.money(amount), reason_text="repaid")


def _split(writer: Writer, event: Split, before: State) -> None:
    ratio = {"numerator": str(event.numerator), "denominator": str(event.denominator)}
    for each in writer.state.classes:
        writer.add(event.date, "STOCK_CLASS_SPLIT", stock_class_id=each, split_ratio=ratio)
    writer.reserved = writer.reserved * event.numerator // event.denominator


def _convertible(writer: Writer, event: IssueConvertible, before: State) -> None:
    security = writer.state.convertibles[event.security.id]
    mechanism, kind = _mechanism(writer, security), "SAFE" if isinstance(security, Safe) else "NOTE"
    right = {
        "type": "CONVERTIBLE_CONVERSION_RIGHT",
        "conversion_mechanism": mechanism,
        "converts_to_future_round": True,
    }
    trigger = {
        "type": "AUTOMATIC_ON_CONDITION",
        "trigger_id": f"{security.id}-round",
        "trigger_condition": "equity financing",
        "conversion_right": right,
    }
    amount = security.amount if isinstance(security, Safe) else security.principal
    writer.add(
        event.date,
        "CONVERTIBLE_ISSUANCE",
        security.id,
        **writer.issued(security.holder or security.id),
        convertible_type=kind,
        investment_amount=writer.money(amount),
        conversion_triggers=[trigger],
        seniority=1,
        **({"pro_rata": "1"} if security.pro_rata else {}),
    )


def _mechanism(writer: Writer, security: Convertible) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    if fraction(security.discount):
        terms["conversion_discount"] = number(security.discount)
    if security.cap is not None:
        terms["conversion_valuation_cap"] = writer.money(security.cap)
    if isinstance(security, Safe):
        timing = "POST_MONEY" if security.money == "post" else "PRE_MONEY"
        return {"type": "SAFE_CONVERSION", "conversion_mfn": security.mfn, "conversion_timing": timing, **terms}
    if security.day_count not in DAY_COUNTS:
        writer.left_out.append(f"day count {security.day_count} of note {security.id}; written as ACT/365")
    if security.method != "percent_ownership":
        writer.left_out.append(f"the {security.method} method of note {security.id}")
    rate = {
        "rate": number(security.rate),
        "accrual_start_date": security.issued.isoformat(),
        "accrual_end_date": security.maturity.isoformat(),
    }
    return {
        "type": "CONVERTIBLE_NOTE_CONVERSION",
        "interest_rates": [rate],
        "interest_payout": "DEFERRED",
        "day_count_convention": DAY_COUNTS.get(security.day_count, "ACTUAL_365"),
        "compounding_type": "SIMPLE",
        "interest_accrual_period": "DAILY",
        **terms,
    }


def _round(writer: Writer, event: PricedRound, before: State) -> None:
    _class_terms(writer, event.stock_class)
    new = [name for name in writer.state.holdings if name not in before.holdings]
    for security in before.convertibles:
        result = [name for name in new if name == f"{security} > {event.stock_class.id}"]
        writer.add(
            event.date,
            "CONVERTIBLE_CONVERSION",
            security,
            reason_text="equity financing",
            trigger_id=f"{security}-round",
            resulting_security_ids=result,
        )
    for name in new:
        writer.stock(event.date, name)
    for name, held in before.holdings.items():
        if writer.state.holdings[name].ratio != held.ratio:
            writer.left_out.append(f"the conversion ratio {writer.state.holdings[name].ratio} of {name}")
    _grow(writer, event.date, writer.state.pool - before.pool)


_WRITE: dict[type, Callable[[Writer, Any, State], None]] = {
    AddClass: _added_class,
    Issue: _issue,
    ReservePool: _reserve,
    Promise: _promised,
    Grant: _granted,
    Exercise: _exercised,
    Cancel: _cancelled,
    Transfer: _transferred,
    Split: _split,
    IssueConvertible: _convertible,
    PricedRound: _round,
}
