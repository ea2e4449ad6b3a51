"""Vesting: whole shares by date, allocated and rounded as the Open Cap Format names it."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal

from breakeven.economics.money import Rational, fraction, whole
from breakeven.errors import UsageError

Allocation = Literal[
    "CUMULATIVE_ROUNDING",
    "CUMULATIVE_ROUND_DOWN",
    "FRONT_LOADED",
    "BACK_LOADED",
    "FRONT_LOADED_TO_SINGLE_TRANCHE",
    "BACK_LOADED_TO_SINGLE_TRANCHE",
    "FRACTIONAL",
]


def allocate(shares: int, portions: Sequence[Rational | str], allocation: Allocation) -> list[Fraction]:
    """Shares of each tranche, adding up to all; only FRACTIONAL gives parts of shares.

    `portions` are relative (four equal tranches: [1, 1, 1, 1]). Cumulative rounding takes halves up.
    """
    weights = [fraction(portion) for portion in portions]
    total = sum(weights, Fraction(0))
    if shares < 0 or total <= 0 or min(weights) < 0:
        raise UsageError("vesting-portions", shares=shares, found=[str(portion) for portion in portions])
    exact = [shares * weight / total for weight in weights]
    if allocation == "FRACTIONAL":
        return exact
    if allocation.startswith("CUMULATIVE"):
        return _steps(exact, up=allocation == "CUMULATIVE_ROUNDING")
    floors = [Fraction(int(amount)) for amount in exact]
    rest = shares - int(sum(floors))
    places = range(len(floors)) if allocation.startswith("FRONT") else range(len(floors) - 1, -1, -1)
    single = allocation.endswith("SINGLE_TRANCHE")
    for number in range(rest):
        floors[places[0 if single else number]] += 1
    return floors


def _steps(exact: Sequence[Fraction], *, up: bool) -> list[Fraction]:
    given, running, tranches = 0, Fraction(0), []
    for amount in exact:
        running += amount
        mark = whole(running, "half_up" if up else "down")
        tranches.append(Fraction(mark - given))
        given = mark
    return tranches


def add_months(day: date, months: int, *, day_of_month: int | None = None) -> date:
    """The same day some months later, or the month's last day where it has no such day."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    wanted = day_of_month or day.day
    return date(year, month + 1, min(wanted, calendar.monthrange(year, month + 1)[1]))


@dataclass(frozen=True)
class Vesting:
    """Equal tranches every `every` months over `months`; what would vest before the cliff vests at it."""

    start: date
    months: int = 48
    cliff: int = 12
    every: int = 1
    allocation: Allocation = "CUMULATIVE_ROUND_DOWN"

    def __post_init__(self) -> None:
        whole_steps = self.every >= 1 and self.every <= self.months <= 1200 and self.months % self.every == 0
        if not whole_steps or not 0 <= self.cliff <= self.months:
            raise UsageError("vesting-months", months=self.months, every=self.every, cliff=self.cliff)

    def schedule(self, shares: int) -> list[tuple[date, Fraction]]:
        """What vests on which day."""
        count = self.months // self.every
        tranches = allocate(shares, [1] * count, self.allocation)
        dated: dict[date, Fraction] = {}
        for number, amount in enumerate(tranches, 1):
            day = add_months(self.start, max(number * self.every, self.cliff))
            dated[day] = dated.get(day, Fraction(0)) + amount
        return sorted(dated.items())

    def vested(self, shares: int, on: date, *, accelerated: Rational | str = 0) -> int:
        """Whole shares vested on a day; `accelerated` of the rest vests as well (an exit's single trigger)."""
        so_far = sum((amount for day, amount in self.schedule(shares) if day <= on), Fraction(0))
        return int(so_far + (shares - so_far) * fraction(accelerated))
