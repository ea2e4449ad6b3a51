"""Events of a cap table as `business.cap_table.events` declares them: the inverse of `cap_sections`.

What was imported (Open Cap Format) can so be written into breakeven.yaml, read and changed by hand. Only what an import
makes has a form here; a priced round comes as the class and the shares that it issued.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    Transfer,
)
from breakeven.economics.money import Rational, fraction, plain
from breakeven.economics.securities import Note
from breakeven.economics.vesting import Vesting


def declared(event: Event) -> dict[str, Any]:
    """One event as a mapping for breakeven.yaml; what stands at its default is left out."""
    kind, about = _FORMS[type(event)](event)
    stated = {name: value for name, value in about.items() if value is not None}
    return {"kind": kind, "date": event.date.isoformat(), **stated}


def _number(value: Rational | str | None) -> str | None:
    """An exact number as text, which no reader rounds; None for nothing and for 0."""
    return None if value is None or not fraction(value) else plain(fraction(value))


def _class(event: AddClass) -> tuple[str, dict[str, Any]]:
    each = event.stock_class
    about: dict[str, Any] = {"name": each.id, "preferred": None if each.preferred else False}
    about["multiple"] = None if fraction(each.multiple) == 1 else plain(fraction(each.multiple))
    about |= {"seniority": each.seniority or None, "participates": each.participates or None}
    about["participation_cap"] = _number(each.participation_cap)
    about["protection"] = None if each.protection == "none" else each.protection
    return "class", about


def _issue(event: Issue) -> tuple[str, dict[str, Any]]:
    about = {"id": event.id, "holder": event.holder, "shares": event.shares, "price": _number(event.price)}
    about["stock_class"] = None if event.stock_class == "common" else event.stock_class
    about |= {"vesting": _vesting(event.vesting), "paid": None if event.raises else False}
    return "issue", about


def _pool(event: ReservePool) -> tuple[str, dict[str, Any]]:
    return "pool", {"shares": event.shares}


def _grant(event: Grant) -> tuple[str, dict[str, Any]]:
    about = {"id": event.id, "holder": event.holder, "shares": event.shares, "strike": _number(event.strike)}
    return "grant", {**about, "vesting": _vesting(event.vesting)}


def _vesting(vesting: Vesting | None) -> dict[str, Any] | None:
    if vesting is None:
        return None
    about: dict[str, Any] = {"start": vesting.start.isoformat(), "months": vesting.months, "cliff": vesting.cliff}
    return {**about, "every": vesting.every, "allocation": vesting.allocation}


def _exercise(event: Exercise) -> tuple[str, dict[str, Any]]:
    about: dict[str, Any] = {"id": event.id, "security": event.grant, "shares": event.shares}
    return "exercise", {**about, "stock_class": None if event.stock_class == "common" else event.stock_class}


def _transfer(event: Transfer) -> tuple[str, dict[str, Any]]:
    return "transfer", {"id": event.id, "security": event.security, "to": event.to, "shares": event.shares}


def _cancel(event: Cancel) -> tuple[str, dict[str, Any]]:
    return "cancel", {"security": event.security, "shares": event.shares}


def _split(event: Split) -> tuple[str, dict[str, Any]]:
    return "split", {"numerator": event.numerator, "denominator": event.denominator}


def _convertible(event: IssueConvertible) -> tuple[str, dict[str, Any]]:
    security = event.security
    about: dict[str, Any] = {"id": security.id, "investor": security.holder or None, "cap": _number(security.cap)}
    about |= {"discount": _number(security.discount), "pro_rata": security.pro_rata or None}
    about["paid"] = None if event.raises else False
    if isinstance(security, Note):
        about |= {"amount": _number(security.principal), "maturity": security.maturity.isoformat()}
        about |= {"rate": _number(security.rate), "day_count": security.day_count}
        return "note", about
    return "safe", {**about, "amount": _number(security.amount), "money": security.money, "mfn": security.mfn or None}


_FORMS: Mapping[type, Callable[[Any], tuple[str, dict[str, Any]]]] = {
    AddClass: _class,
    Issue: _issue,
    ReservePool: _pool,
    Grant: _grant,
    Exercise: _exercise,
    Transfer: _transfer,
    Cancel: _cancel,
    Split: _split,
    IssueConvertible: _convertible,
}
