"""An invoice while it is written: its lines, and the steps after the fees in the order that the plan states.

Commitment, discounts, coupons, tax, credits. Where the plan changed within the period, each plan's own discounts are
taken off its own lines.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from breakeven.economics.fees import Prepaid
from breakeven.economics.money import Money, Rational, exponent, fraction, whole
from breakeven.economics.plans import Discount, Plan, Step
from breakeven.economics.rating import Stretch

if TYPE_CHECKING:
    from breakeven.economics.invoice import Customer


class Line(NamedTuple):
    """A line: `exact` is the amount before rounding in major units, `minor` the rounded one in minor units."""

    name: str
    kind: str
    minor: int
    exact: Rational
    taxed: bool = True
    meter: str | None = None
    quantity: Rational | None = None
    share: Fraction | None = None
    plan: str | None = None
    fees: tuple[str, ...] = ()  # of a discount: the fees that it is taken off; none: all


class Book:
    """The document while it is written: each line rounded, or (per document) each a step of the rounded sum."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lines: list[Line] = []
        self.taxes: list[Line] = []
        self.credits = self.credits_left = Money(0, plan.currency)
        self._scale = 10 ** exponent(plan.currency)
        self._exact = Fraction(0)
        self._minor = 0

    def add(self, line: Line, *, tax: bool = False) -> None:
        """Rounds a line and keeps it."""
        mode = self.plan.rounding.mode
        if self.plan.rounding.per == "line":
            minor = whole(line.exact * self._scale, mode)
        else:
            self._exact += fraction(line.exact)
            minor = whole(self._exact * self._scale, mode) - self._minor
            self._minor += minor
        # Written out, because `_replace` costs more than the rounding.
        rounded = Line(line[0], line[1], minor, line[3], line[4], line[5], line[6], line[7], line[8], line[9])
        (self.taxes if tax else self.lines).append(rounded)

    def base(
        self, *, taxed: bool | None = None, fees: tuple[str, ...] = (), plan: str | None = None
    ) -> Decimal | Fraction:
        """What later steps build on, in major units: the sum of some lines, rounded or exact as the plan rounds."""
        lines = self.lines if taxed is None else [line for line in self.lines if line.taxed == taxed]
        if fees or plan is not None:
            lines = [line for line in lines if (not fees or line.name in fees) and plan in (None, line.plan)]
        if self.plan.rounding.per == "line":
            return Decimal(sum(line.minor for line in lines)) / Decimal(self._scale)
        return sum((fraction(line.exact) for line in lines), Fraction(0))


def _minimum(book: Book, customer: Customer, stretches: list[Stretch]) -> None:
    """Raises the sum of the fees to the commitment, prorated over the plans of the period."""
    if not any(stretch.plan.minimum for stretch in stretches):
        return
    due = sum((Fraction(stretch.plan.minimum) * stretch.share for stretch in stretches), Fraction(0))
    missing = due - fraction(book.base())
    if missing > 0:
        names = plan_names(stretches)
        book.add(Line("minimum", "minimum", 0, missing, plan=names[-1] if len(set(names)) > 1 else None))


def _discounts(book: Book, customer: Customer, stretches: list[Stretch]) -> None:
    if not any(stretch.plan.discounts for stretch in stretches):
        return
    for plan, only, part in _plans(book, stretches):
        for discount in plan.discounts:
            _reduce(book, discount, customer.periods_billed, only=only, part=part)


def _coupons(book: Book, customer: Customer, stretches: list[Stretch]) -> None:
    held = any(stretch.plan.coupons for stretch in stretches)
    for plan, only, part in _plans(book, stretches) if held else ():
        for coupon in plan.coupons:
            _reduce(book, coupon, customer.periods_billed, kind="coupon", only=only, part=part)
    for coupon in customer.coupons:
        _reduce(book, coupon, customer.periods_billed, kind="coupon")


def version_of(plan: Plan) -> str:
    """How lines name the plan that they are of."""
    return f"{plan.name} {plan.version}"


def plan_names(stretches: list[Stretch]) -> list[str]:
    """How lines name the plan of each stretch; with its first day where two plans say the same of themselves."""
    names = [version_of(stretch.plan) for stretch in stretches]
    if len(names) < 2:  # nearly every invoice
        return names
    told = list(zip(names, stretches, strict=True))
    return [
        f"{name}, {each.part.start:%Y-%m-%d}" if any(name == n and each.plan != s.plan for n, s in told) else name
        for name, each in told
    ]


def _plans(book: Book, stretches: list[Stretch]) -> list[tuple[Plan, str | None, Fraction]]:
    """(plan, the lines that are its own, its part of the served time); one plan has all lines.

    Where the plan changed within the period each takes its own discounts off its own lines, an amount by its part.
    """
    names = plan_names(stretches)
    plans = {name: stretch.plan for name, stretch in zip(names, stretches, strict=True)}
    if len(plans) < 2:
        return [(book.plan, None, Fraction(1))]
    parts = dict.fromkeys(plans, Fraction(0))
    for name, stretch in zip(names, stretches, strict=True):
        parts[name] += stretch.period.share(stretch.part)
    served = sum(parts.values(), Fraction(0))
    return [(plan, name, parts[name] / served) for name, plan in plans.items()]


def _reduce(
    book: Book,
    off: Discount,
    billed: int,
    *,
    kind: str = "discount",
    only: str | None = None,
    part: Fraction = Fraction(1),
) -> None:
    """Takes a discount off taxed and untaxed lines in proportion, never below zero; after tax, off the total."""
    if off.periods is not None and billed >= off.periods:
        return
    parts = {taxed: fraction(book.base(taxed=taxed, fees=off.fees, plan=only)) for taxed in (True, False)}
    if book.taxes:
        taxes = sum((fraction(tax.exact) for tax in book.taxes), Fraction(0))
        parts = {False: sum(parts.values(), Fraction(0)) + taxes * part}
    whole_base = sum(parts.values(), Fraction(0))
    if whole_base <= 0:
        return
    amount = min(fraction(off.amount or 0) * part, whole_base)
    amount = amount if off.rate is None else whole_base * fraction(off.rate)
    for taxed, share in parts.items():
        if share:
            book.add(Line(off.name, kind, 0, -amount * share / whole_base, taxed, plan=only, fees=off.fees))


def _tax(book: Book, customer: Customer, stretches: list[Stretch]) -> None:
    """Taxes on the taxed sum; what inclusive prices contain is taken out of the lines first."""
    taxes = book.plan.taxes if customer.taxes is None else customer.taxes
    contained = sum(tax.rate for tax in taxes if tax.inclusive)
    net: Any = book.base(taxed=True)
    if contained:
        net = fraction(net) / (1 + fraction(contained))
    for tax in taxes:
        amount = net * type(net)(tax.rate)
        if tax.inclusive:
            book.add(Line(tax.name, "tax contained", 0, -amount))
        book.add(Line(tax.name, "tax", 0, amount), tax=True)


def _credits(book: Book, customer: Customer, stretches: list[Stretch]) -> None:
    """Prepaid credits, those bought now included, pay everything but the buying of credits."""
    currency = book.plan.currency
    bought = sum(
        (
            fee.price if fee.credits is None else fee.credits
            for stretch in stretches
            for fee in stretch.plan.fees
            if isinstance(fee, Prepaid)
        ),
        Decimal(0),
    )
    if not bought and not customer.credits:
        return
    held = (customer.credits or Money(0, currency)) + Money.of(bought, currency)
    payable = sum(line.minor for line in (*book.lines, *book.taxes) if line.kind != "prepaid")
    book.credits = Money(max(0, min(held.minor, payable)), currency)
    book.credits_left = held - book.credits


STEPS: dict[Step, Any] = {
    "minimum": _minimum,
    "discounts": _discounts,
    "coupons": _coupons,
    "tax": _tax,
    "credits": _credits,
}
