"""What each kind of fee charges for a stretch of a period, exact and unrounded.

Amounts are Decimal; they become Fractions where a price, commitment or included amount is prorated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from breakeven.economics.fees import (
    Charge,
    Days,
    Flat,
    Free,
    Graduated,
    GraduatedPercentage,
    OneOff,
    Package,
    Percentage,
    PerMille,
    PerUnit,
    Prepaid,
    RevenueShare,
    Seats,
    Tier,
    Tiered,
    Volume,
)
from breakeven.economics.money import Rational
from breakeven.economics.plans import Plan
from breakeven.economics.proration import Period, in_utc


class Usage:
    """Quantities by meter; single events are kept only of the meters in `ordered`, whose fees look at each."""

    def __init__(self, ordered: Iterable[str] = ()) -> None:
        self.sums: dict[str, Rational] = {}
        self._events: dict[str, list[tuple[datetime, str, Rational]]] = {meter: [] for meter in ordered}

    def add(self, time: datetime, name: str, meter: str, quantity: Rational) -> None:
        """Counts one event."""
        self.sums[meter] = self.sums.get(meter, 0) + quantity  # type: ignore[operator]  # int or Decimal, never Fraction
        if meter in self._events:
            self._events[meter].append((time, name, quantity))

    def quantity(self, meter: str) -> Decimal:
        """The sum of a meter."""
        return Decimal(self.sums.get(meter, 0))  # type: ignore[arg-type]

    def in_order(self, meter: str) -> list[Decimal]:
        """The quantities of a meter's events by time and id."""
        return [Decimal(quantity) for _, _, quantity in sorted(self._events[meter])]  # type: ignore[arg-type]


def ordered_meters(plan: Plan) -> set[str]:
    """The meters whose fees depend on single events."""
    return {fee.meter for fee in plan.fees if isinstance(fee, Percentage)}


@dataclass(frozen=True)
class Stretch:
    """A part of a billing period under one plan, and what the customer used in it.

    `paid` is the part that is charged for (without a trial), `started` when the customer began.
    """

    period: Period
    part: Period
    paid: Period | None
    plan: Plan
    usage: Usage
    seats: tuple[tuple[datetime, int], ...] = ()
    started: datetime | None = None

    @cached_property
    def share(self) -> Fraction:
        """How much of the period is charged for."""
        return self.period.share(self.paid, self.plan.prorate)

    @property
    def begins(self) -> bool:
        """Whether the customer starts in this stretch; one without a start began with the period."""
        return (self.started or self.period.start) in self.part


class Charged(NamedTuple):
    """An unrounded amount in major units, and the quantity and share of the period behind it."""

    amount: Rational
    quantity: Rational | None = None
    share: Fraction | None = None


def charge(fee: Charge, stretch: Stretch) -> Charged:
    """What a fee comes to in a stretch. Flat fees, seats, minimums and included units are prorated; tiers are not."""
    return _CHARGE[type(fee)](fee, stretch)


def _prorated(amount: Decimal, share: Fraction) -> Rational:
    return amount if share == 1 else Fraction(amount) * share


def _free(fee: Free, stretch: Stretch) -> Charged:
    return Charged(Decimal(0), stretch.usage.quantity(fee.meter))


def _flat(fee: Flat, stretch: Stretch) -> Charged:
    share = stretch.share if fee.every == "period" else Fraction(_anniversaries(stretch))
    return Charged(_prorated(fee.price, share), share=share)


def _anniversaries(stretch: Stretch) -> int:
    """How often a yearly fee falls due in the stretch: on the start and each year after (29 February: on the 28th)."""
    start = stretch.started or stretch.period.start
    dates = (_years_after(start, number) for number in range(stretch.part.end.year - start.year + 1))
    return sum(date in stretch.part for date in dates)


def _years_after(start: datetime, number: int) -> datetime:
    try:
        return start.replace(year=start.year + number)
    except ValueError:
        return start.replace(year=start.year + number, day=28)


def _one_off(fee: OneOff, stretch: Stretch) -> Charged:
    return Charged(fee.price if stretch.begins else Decimal(0))


def _prepaid(fee: Prepaid, stretch: Stretch) -> Charged:
    return Charged(fee.price, fee.credits)


def _seats(fee: Seats, stretch: Stretch) -> Charged:
    quantity = _seat_time(fee, stretch)
    return Charged(Fraction(fee.price) * quantity, quantity)


def _seat_time(fee: Seats, stretch: Stretch) -> Fraction:
    """Seats charged for, in whole periods of one seat: 6 seats for half of the period are 3."""
    pieces = [(max(number, fee.minimum), piece) for number, piece in _seat_pieces(stretch)]
    if fee.count == "prorated":
        method = stretch.plan.prorate
        seats = (max(0, number - fee.included) * stretch.period.share(piece, method) for number, piece in pieces)
        return sum(seats, Fraction(0))
    numbers = [number for number, _ in pieces] or [0]
    chosen = max(numbers) if fee.count == "peak" else numbers[-1]
    return max(0, chosen - fee.included) * stretch.share


def _seat_pieces(stretch: Stretch) -> list[tuple[int, Period]]:
    """The paid part cut where the number of seats changes."""
    changes = sorted(stretch.seats, key=lambda entry: in_utc(entry[0]))
    starts = [None, *(time for time, _ in changes)]
    ends = [*(time for time, _ in changes), None]
    numbers = [0, *(number for _, number in changes)]
    paid = stretch.paid
    pieces = [(n, paid.overlap(a, b) if paid else None) for n, a, b in zip(numbers, starts, ends, strict=True)]
    return [(number, piece) for number, piece in pieces if piece is not None]


def _metered(price: Callable[[Any, Any], Any]) -> Callable[[Any, Stretch], Charged]:
    """A fee on the units beyond the included ones, at least its minimum."""

    def charged(fee: Any, stretch: Stretch) -> Charged:
        used = stretch.usage.quantity(fee.meter)
        if stretch.paid is None and not used:  # all of it is a trial: not even the flat fee of a tier at 0 units
            return Charged(Decimal(0), used)
        if not fee.included and not fee.minimum:
            return Charged(price(fee, used), used)
        share = stretch.share
        if share == 1:
            return Charged(max(price(fee, max(used - fee.included, Decimal(0))), fee.minimum), used)
        billed = max(Fraction(used) - Fraction(fee.included) * share, Fraction(0))
        return Charged(max(price(fee, billed), Fraction(fee.minimum) * share), used)

    return charged


def _per_unit(fee: PerUnit, units: Any) -> Any:
    return units * type(units)(fee.unit_price)


def _package(fee: Package, units: Any) -> Any:
    whole_packages, rest = divmod(units, type(units)(fee.size))
    return (whole_packages + (rest > 0)) * type(units)(fee.price)


def _graduated(fee: Tiered, units: Any) -> Any:
    number = type(units)
    total, edge = number(0), number(0)
    for position, tier in enumerate(fee.tiers):
        if units <= edge and position:
            break
        top = units if tier.up_to is None else min(units, number(tier.up_to))
        total += (top - edge) * number(tier.price) + number(_entry(fee, tier, units))
        edge = top
    return total


def _volume(fee: Tiered, units: Any) -> Any:
    number = type(units)
    tier = next(tier for tier in fee.tiers if tier.up_to is None or units <= tier.up_to)
    return units * number(tier.price) + number(_entry(fee, tier, units))


def _entry(fee: Tiered, tier: Tier, units: Any) -> Decimal:
    return tier.flat if units or fee.flat_at_zero else Decimal(0)


def _percentage(fee: Percentage, stretch: Stretch) -> Charged:
    amounts = stretch.usage.in_order(fee.meter)
    total = sum(amounts, Decimal(0))
    limited = fee.free_amount is not None
    reach = len(amounts) if fee.free_events is None and limited else (fee.free_events or 0)
    candidates = amounts[:reach]
    free = sum(candidates, Decimal(0))
    waived = len(candidates)
    if fee.free_amount is not None:
        waived = _within(candidates, fee.free_amount)
        free = min(free, fee.free_amount)
    return Charged((total - free) * fee.rate + (len(amounts) - waived) * fee.fixed, total)


def _within(amounts: list[Decimal], limit: Decimal) -> int:
    """How many of the first amounts have a running total within the limit."""
    running, count = Decimal(0), 0
    for amount in amounts:
        running += amount
        if running > limit:
            break
        count += 1
    return count


def _revenue_share(fee: RevenueShare, stretch: Stretch) -> Charged:
    used = stretch.usage.quantity(fee.meter)
    return Charged(used * fee.rate, used)


_CHARGE: dict[type, Callable[[Any, Stretch], Charged]] = {
    Free: _free,
    Flat: _flat,
    OneOff: _one_off,
    Prepaid: _prepaid,
    Seats: _seats,
    Percentage: _percentage,
    RevenueShare: _revenue_share,
    PerUnit: _metered(_per_unit),
    PerMille: _metered(_per_unit),
    Days: _metered(_per_unit),
    Package: _metered(_package),
    Graduated: _metered(_graduated),
    GraduatedPercentage: _metered(_graduated),
    Volume: _metered(_volume),
}
