"""Price plans as settings: what a customer is charged for, in which order it is computed, and how it is rounded.

A plan is data. `invoice` rates a period of events by it; `rate` tells the price of one request where that is known.
Rates are shares (0.013 is 1.3%), prices are per unit of a meter, tiers are inclusive at the top.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, PositiveInt, field_validator, model_validator

from breakeven.economics.fees import Charge, Fee, Flat, Free, OneOff, PerUnit, RevenueShare, Terms, Volume, label
from breakeven.economics.money import (
    MAX_PLACES,
    Amount,
    Currency,
    Rational,
    RoundingMode,
    Share,
    declared,
    exact,
    exactly,
    expected,
    plain,
)
from breakeven.errors import Finding

Step = Literal["minimum", "discounts", "coupons", "tax", "credits"]
ORDER: tuple[Step, ...] = ("minimum", "discounts", "coupons", "tax", "credits")


class Discount(Terms):
    """A `rate` off or an `amount` off, of all fees or the named ones, for the first `periods` (default always)."""

    name: str = Field("discount", description="Name on the invoice")
    rate: Share | None = Field(None, description="Share taken off, 0 to 1; either this or `amount`")
    amount: Amount | None = Field(
        None, description="Money taken off each invoice, at most what is there; either this or `rate`"
    )
    fees: tuple[str, ...] = Field((), description="Names of the fees it is taken off; default: all lines")
    periods: PositiveInt | None = Field(
        None, description="Number of the customer's first invoices it is for; default: all"
    )

    @model_validator(mode="after")
    def _one_of(self) -> Discount:
        if (self.rate is None) == (self.amount is None):
            raise expected("discount-one-of")
        return self


class Tax(Terms):
    """A tax on the sum of taxed fees; `inclusive` prices contain it already."""

    name: str = Field("tax", description="Name on the invoice")
    rate: Share = Field(description="Share of the taxed sum, before this tax; 0 to 1")
    inclusive: bool = Field(False, description="Whether the prices contain it already")


class Rounding(Terms):
    """How amounts become minor units: `line` rounds every line, `document` rounds only sums (lines still add up)."""

    mode: RoundingMode = Field(
        "half_up", description="How an amount becomes whole minor units; half_up takes ties away from zero"
    )
    per: Literal["line", "document"] = Field(
        "line", description="Round every line, or the running sum so that lines add up to it"
    )


BilledFee: TypeAlias = tuple[Charge, str, str, bool, str | None]
"""(fee, name, kind, taxed, meter)"""


def _billed(fees: tuple[Fee, ...]) -> tuple[BilledFee, ...]:
    return tuple((fee, label(fee), fee.kind, fee.taxed, getattr(fee, "meter", None)) for fee in fees)


class Plan(Terms):
    """A price plan, one version of it. Without fees it is free."""

    name: str = Field("standard", description="Name of the plan, as invoices state it")
    version: PositiveInt = Field(1, description="Version of the plan, as invoices state it")
    currency: Currency = Field("USD", description="Currency of all its money: an ISO 4217 code")
    fees: tuple[Fee, ...] = ()
    minimum: Amount = Field(Decimal(0), description="Money a period that the lines are raised to at least; prorated")
    trial_days: Annotated[int, Field(ge=0, le=36_500)] = Field(
        0, description="Days from the customer's start in which use, and what is prorated, is free"
    )
    discounts: tuple[Discount, ...] = ()
    coupons: tuple[Discount, ...] = ()
    taxes: tuple[Tax, ...] = ()
    rounding: Rounding = Rounding()
    order: tuple[Step, ...] = Field(ORDER, description="Steps after the fees, each once; credits stay last")
    prorate: Literal["seconds", "days", "30/360", "none"] = Field(
        "seconds", description="How a part of a period is measured; none: a part counts as the whole"
    )

    @property
    def billed(self) -> tuple[BilledFee, ...]:
        """Of each fee what a line says of it, read once and not for every customer."""
        fees, rows = self.billed_first
        return rows if fees is self.fees else _billed(self.fees)

    @cached_property
    def billed_first(self) -> tuple[tuple[Fee, ...], tuple[BilledFee, ...]]:
        """The fees and their rows at first reading; a copy with other fees carries it along and must not use it."""
        return self.fees, _billed(self.fees)

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        return _spelled_out(data)

    @field_validator("order")
    @classmethod
    def _each_once(cls, order: tuple[Step, ...]) -> tuple[Step, ...]:
        if sorted(order) != sorted(ORDER) or order[-1] != "credits":
            raise expected("order-steps", allowed=ORDER)
        return order

    @model_validator(mode="after")
    def _names(self) -> Plan:
        names = [label(fee) for fee in self.fees]
        if len(set(names)) != len(names):
            raise expected("fee-names", found=sorted({name for name in names if names.count(name) > 1}))
        unknown = {fee for off in (*self.discounts, *self.coupons) for fee in off.fees} - set(names)
        if unknown:
            raise expected("discount-fee", found=sorted(unknown), allowed=names)
        return self


_SHORT = re.compile(r"per_(?:(\d+|hundred|thousand|million)_)?([a-z][a-z_]*)")
_WORDS = {None: 1, "hundred": 100, "thousand": 1000, "million": 1000000}
_PERIODS = {"month": "period", "period": "period", "year": "year"}


def _spelled_out(data: Any) -> Any:
    """`{per_answer: 0.004}` and `free` written as a plan; anything else is left as it is."""
    if data == "free":
        return {"fees": ()}
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        return data
    short = {key: value for key, value in data.items() if _SHORT.fullmatch(key)}
    if not short:
        return data
    rest = {key: value for key, value in data.items() if key not in short}
    return {**rest, "fees": (*[_short_fee(key, value) for key, value in short.items()], *rest.get("fees", ()))}


def _short_fee(key: str, value: Any) -> dict[str, Any]:
    count, unit = _SHORT.fullmatch(key).groups()  # type: ignore[union-attr]  # only matching keys come here
    price = declared(value)
    if unit in _PERIODS and count is None:
        return {"kind": "flat", "name": key, "price": price, "every": _PERIODS[unit]}
    if unit == "seat" and count is None:
        return {"kind": "seats", "price": price}
    meter = unit if unit.endswith("s") else unit + "s"
    return {"kind": "per_unit", "meter": meter, "price": price, "per": _WORDS.get(count) or int(count)}


def rate(plan: Plan, usage: Mapping[str, Rational | str]) -> Decimal | None:
    """The list price of one request's usage, exact, before commitment, discounts and tax.

    None: not known until the invoice, because a fee depends on what else the period brings (tiers, packages, included
    units).
    """
    price = Decimal(0)
    with exactly():
        for meter, quantity in usage.items():
            number = exact(quantity, field=meter)
            for fee in plan.fees:
                if getattr(fee, "meter", None) != meter or isinstance(fee, Free):
                    continue
                unit = _known_price(fee)
                if unit is None:
                    return None
                price += unit * number
    return price


def _known_price(fee: Charge) -> Decimal | None:
    if isinstance(fee, PerUnit) and not fee.included and not fee.minimum:
        return fee.unit_price
    return fee.rate if isinstance(fee, RevenueShare) else None


def price_text(plan: Plan, usage: Mapping[str, Rational | str]) -> str | None:
    """`rate` as exact decimal text without an exponent, None where it is not known until the invoice."""
    price = rate(plan, usage)
    return None if price is None else plain(price)


def steady(plan: Plan, billed: int | None = None) -> Plan:
    """The plan as it bills a customer's month: no trial, nothing once, yearly fees by twelfths.

    `billed`: how many invoices the customer had before; discounts that end by then are gone (None: all that end).
    """
    fees: list[Fee] = []
    for fee in plan.fees:
        if isinstance(fee, Flat) and fee.every == "year":
            fees.append(fee.model_copy(update={"every": "period", "price": round(fee.price / 12, MAX_PLACES)}))
        elif not isinstance(fee, OneOff):
            fees.append(fee)
    offs = {name: _running(getattr(plan, name), billed) for name in ("discounts", "coupons")}
    return plan.model_copy(update={"fees": tuple(fees), "trial_days": 0, **offs})


def _running(offs: tuple[Discount, ...], billed: int | None) -> tuple[Discount, ...]:
    """Those a customer still has after so many invoices."""
    return tuple(off for off in offs if off.periods is None or (billed is not None and billed < off.periods))


def introductory(plan: Plan) -> tuple[int, ...]:
    """After how many invoices some discount or coupon of the plan ends, rising; empty where all of them stay."""
    return tuple(sorted({off.periods for off in (*plan.discounts, *plan.coupons) if off.periods is not None}))


def plan_findings(plan: Plan, meters: Collection[str] | None = None) -> list[Finding]:
    """What a reader of a plan should know: a total that falls at a tier's edge; a fee on none of the `meters`."""
    found = [
        Finding("price-falls-at-edge", "warning", "business", label(fee), {"fee": label(fee), "edge": plain(edge)})
        for fee in plan.fees
        if isinstance(fee, Volume)
        for edge in _falling_edges(fee)
    ]
    for fee in plan.fees:
        meter = getattr(fee, "meter", None)
        if meters is not None and meter is not None and meter not in meters:
            fields = {"fee": label(fee), "meter": meter, "allowed": sorted(meters)}
            found.append(Finding("plan-meter-unknown", "warning", "business", label(fee), fields))
    return found


def _falling_edges(fee: Volume) -> list[Decimal]:
    edges = []
    for lower, upper in zip(fee.tiers, fee.tiers[1:], strict=False):
        edge = lower.up_to or Decimal(0)
        if edge * upper.price + upper.flat < edge * lower.price + lower.flat:
            edges.append(edge)
    return edges
