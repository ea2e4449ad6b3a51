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

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

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


class Terms(BaseModel):
    """Settings that cannot be changed once read and take no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Charge(Terms):
    """What every fee has: a name on the document, and whether tax is due on it."""

    name: str | None = None
    taxed: bool = True


class Metered(Charge):
    """A fee on the units of one meter in the period; `included` units are free, `minimum` is charged at least."""

    meter: str = "answers"
    included: Amount = Decimal(0)
    minimum: Amount = Decimal(0)


class Free(Charge):
    """No price; the usage is shown on the invoice at zero."""

    kind: Literal["free"] = "free"
    meter: str = "answers"


class Flat(Charge):
    """A price each month or year, for the part of the period in which the customer had the plan."""

    kind: Literal["flat"] = "flat"
    price: Amount
    every: Literal["period", "year"] = "period"


class PerUnit(Metered):
    """`price` for `per` units, every unit alike, parts of a unit in proportion."""

    kind: Literal["per_unit"] = "per_unit"
    price: Amount
    per: Literal[1, 10, 100, 1000, 10000, 100000, 1000000, 1000000000] = 1

    @cached_property
    def unit_price(self) -> Decimal:
        """The exact price of one unit."""
        with exactly():
            return self.price / self.per


class PerMille(PerUnit):
    """Advertising: the price of a thousand impressions."""

    kind: Literal["per_mille"] = "per_mille"  # type: ignore[assignment]
    meter: str = "impressions"
    per: Literal[1, 10, 100, 1000, 10000, 100000, 1000000, 1000000000] = 1000


class Days(PerUnit):
    """Services by the day."""

    kind: Literal["days"] = "days"  # type: ignore[assignment]
    meter: str = "days"


class Tier(Terms):
    """Units above the tier before, up to and with `up_to` (none: no end): a price each, a flat fee on entering."""

    above: Amount | None = None
    up_to: Amount | None = None
    price: Amount = Decimal(0)
    flat: Amount = Decimal(0)


class Tiered(Metered):
    """A fee whose price depends on how many units the period had."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    flat_at_zero: bool = True

    @field_validator("tiers")
    @classmethod
    def _in_order(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        edge = Decimal(0)
        for position, tier in enumerate(tiers):
            if tier.above is not None and tier.above != edge:
                raise expected("tiers-overlap" if tier.above < edge else "tiers-gap", above=edge, tier=position + 1)
            if (tier.up_to is None) != (position == len(tiers) - 1):
                raise expected("tiers-open")
            if tier.up_to is not None and tier.up_to <= edge:
                raise expected("tiers-ascending", above=edge, tier=position + 1)
            edge = tier.up_to or edge
        return tiers


class Graduated(Tiered):
    """Each unit costs what its own tier says."""

    kind: Literal["graduated"] = "graduated"


class Volume(Tiered):
    """All units cost what the tier of the total says."""

    kind: Literal["volume"] = "volume"


class GraduatedPercentage(Tiered):
    """A meter of money: each part of the sum at the rate (`price`) of its tier."""

    kind: Literal["graduated_percentage"] = "graduated_percentage"

    @field_validator("tiers")
    @classmethod
    def _shares(cls, tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
        if any(tier.price > 1 for tier in tiers):
            raise expected("rate-not-share")
        return tiers


class Package(Metered):
    """`price` for each begun package of `size` units."""

    kind: Literal["package"] = "package"
    price: Amount
    size: Annotated[Amount, Field(gt=0)]


class Percentage(Charge):
    """A meter of money (payments): `rate` of each event's quantity plus `fixed` an event.

    The first `free_events` in time order are free of rate and fee. With `free_amount`, what is free of the rate is at
    most that much of their sum, and the fee is waived for those whose running total stays within it.
    """

    kind: Literal["percentage"] = "percentage"
    meter: str = "payments"
    rate: Share
    fixed: Amount = Decimal(0)
    free_events: Annotated[int, Field(ge=0)] | None = None
    free_amount: Amount | None = None


class RevenueShare(Charge):
    """A share of the revenue that the customer made with it, a meter of money."""

    kind: Literal["revenue_share"] = "revenue_share"
    meter: str = "revenue"
    rate: Share


class Seats(Charge):
    """A price a seat and period: prorated by time, or for the peak, or for those at the end."""

    kind: Literal["seats"] = "seats"
    price: Amount
    included: Annotated[int, Field(ge=0)] = 0
    minimum: Annotated[int, Field(ge=0)] = 0
    count: Literal["prorated", "peak", "end"] = "prorated"


class OneOff(Charge):
    """Hardware, a licence, a project: charged once, in the period in which the customer starts."""

    kind: Literal["one_off"] = "one_off"
    price: Amount


class Prepaid(Charge):
    """Credits bought each period: `price` is paid, `credits` (default the same) pay usage from now on.

    Buying credits is not taxed; what is paid with them is.
    """

    kind: Literal["prepaid"] = "prepaid"
    taxed: bool = False
    price: Amount
    credits: Amount | None = None


Fee: TypeAlias = Annotated[
    Free | Flat | PerUnit | PerMille | Days | Graduated | Volume | GraduatedPercentage | Package | Percentage
    | RevenueShare | Seats | OneOff | Prepaid,
    Field(discriminator="kind"),
]


class Discount(Terms):
    """A `rate` off or an `amount` off, of all fees or the named ones, for the first `periods` (default always)."""

    name: str = "discount"
    rate: Share | None = None
    amount: Amount | None = None
    fees: tuple[str, ...] = ()
    periods: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Discount:
        if (self.rate is None) == (self.amount is None):
            raise expected("discount-one-of")
        return self


class Tax(Terms):
    """A tax on the sum of taxed fees; `inclusive` prices contain it already."""

    name: str = "tax"
    rate: Share
    inclusive: bool = False


class Rounding(Terms):
    """How amounts become minor units: `line` rounds every line, `document` rounds only sums (lines still add up)."""

    mode: RoundingMode = "half_up"
    per: Literal["line", "document"] = "line"


class Plan(Terms):
    """A price plan, one version of it. Without fees it is free."""

    name: str = "standard"
    version: PositiveInt = 1
    currency: Currency = "USD"
    fees: tuple[Fee, ...] = ()
    minimum: Amount = Decimal(0)
    trial_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    discounts: tuple[Discount, ...] = ()
    coupons: tuple[Discount, ...] = ()
    taxes: tuple[Tax, ...] = ()
    rounding: Rounding = Rounding()
    order: tuple[Step, ...] = ORDER
    prorate: Literal["seconds", "days", "30/360", "none"] = "seconds"

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


def label(fee: Charge) -> str:
    """The name of a fee on a document: its own, else its meter or kind."""
    return fee.name or str(getattr(fee, "meter", None) or getattr(fee, "kind", "fee"))


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


def steady(plan: Plan) -> Plan:
    """The plan as it bills a customer long after the start: no trial, nothing once, yearly fees by twelfths."""
    fees: list[Fee] = []
    for fee in plan.fees:
        if isinstance(fee, Flat) and fee.every == "year":
            fees.append(fee.model_copy(update={"every": "period", "price": round(fee.price / 12, MAX_PLACES)}))
        elif not isinstance(fee, OneOff):
            fees.append(fee)
    offs = {name: tuple(off for off in getattr(plan, name) if not off.periods) for name in ("discounts", "coupons")}
    return plan.model_copy(update={"fees": tuple(fees), "trial_days": 0, **offs})


def plan_findings(plan: Plan, meters: Collection[str] | None = None) -> list[Finding]:
    """What a reader of a plan should know: a total that falls at a tier's edge; a fee on none of the `meters`."""
    found = [
        Finding("price-falls-at-edge", "warning", "business", label(fee), {"fee": label(fee), "edge": plain(edge)})
        for fee in plan.fees if isinstance(fee, Volume) for edge in _falling_edges(fee)
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
