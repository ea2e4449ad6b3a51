"""Shares of time: periods, day counts, and what a change in the middle of a period is worth. Exact; no clock."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Literal

from breakeven.economics.money import Money, Rational, RoundingMode, fraction
from breakeven.errors import Place, UsageError

Proration = Literal["seconds", "days", "30/360", "none"]
DayCount = Literal["ACT/365", "ACT/360", "ACT/ACT", "30/360"]
_WHOLE = Fraction(1)
_MICROSECOND = timedelta(microseconds=1)


def moment(value: object, *, field: str = "time") -> datetime:
    """An aware datetime, or its ISO 8601 text, as an aware datetime; raises UsageError for a time without a zone."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        time = None
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise UsageError("time-without-zone", at=Place(field=field), found=str(value))
    return time


def in_utc(time: datetime) -> datetime:
    """The moment to compare by: the wall clock of a zone repeats an hour in autumn and lacks one in spring."""
    return time.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start`, included, to `end`, not included; both know their time zone."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if in_utc(moment(self.start, field="start")) >= in_utc(moment(self.end, field="end")):
            raise UsageError("period-empty", start=self.start.isoformat(), end=self.end.isoformat())

    @classmethod
    def month(cls, year: int, month: int, zone: tzinfo = UTC) -> Period:
        """A calendar month in a time zone."""
        if not (1 <= month <= 12 and 1 < year < 9999):
            raise UsageError("month-range", year=year, month=month)
        following = (year + 1, 1) if month == 12 else (year, month + 1)
        return cls(datetime(year, month, 1, tzinfo=zone), datetime(*following, 1, tzinfo=zone))

    def __contains__(self, time: datetime) -> bool:
        return in_utc(self.start) <= in_utc(time) < in_utc(self.end)

    def overlap(self, start: datetime | None, end: datetime | None) -> Period | None:
        """The part of the period between two moments (None: unbounded), None where there is none."""
        first = self.start if start is None else max(self.start, start, key=in_utc)
        last = self.end if end is None else min(self.end, end, key=in_utc)
        return Period(first, last) if in_utc(first) < in_utc(last) else None

    def share(self, part: Period | None, method: Proration = "seconds") -> Fraction:
        """How much of the period a part of it is, between 0 and 1; by days a begun day counts at its start only."""
        if part is None:
            return Fraction(0)
        if method == "none" or part == self:
            return _WHOLE
        return Fraction(_length(part, method), _length(self, method)) if _length(self, method) else _WHOLE

    def as_json(self) -> dict[str, str]:
        """`{start, end}` in ISO 8601."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat()}


def _length(period: Period, method: Proration) -> int:
    if method == "seconds":
        return (in_utc(period.end) - in_utc(period.start)) // _MICROSECOND
    if method == "days":
        return (period.end.date() - period.start.date()).days
    return days_30_360(period.start.date(), period.end.date())


def days_30_360(start: date, end: date) -> int:
    """Days by the 30/360 bond basis: a 31st counts as a 30th (the end only where the start is a 30th or 31st)."""
    first = min(start.day, 30)
    last = 30 if end.day == 31 and first == 30 else end.day
    return 360 * (end.year - start.year) + 30 * (end.month - start.month) + last - first


def years(start: date, end: date, count: DayCount = "ACT/365") -> Fraction:
    """The time between two dates in years; ACT/ACT (ISDA) weighs the days of each calendar year by its length."""
    if end < start:
        raise UsageError("dates-backwards", start=start.isoformat(), end=end.isoformat())
    if count == "30/360":
        return Fraction(days_30_360(start, end), 360)
    if count != "ACT/ACT":
        return Fraction((end - start).days, 365 if count == "ACT/365" else 360)
    total = Fraction(0)
    for year in range(start.year, end.year + 1):
        first = max(start, date(year, 1, 1))
        last = end if year == end.year else date(year + 1, 1, 1)
        total += Fraction((last - first).days, 366 if calendar.isleap(year) else 365)
    return total


@dataclass(frozen=True, slots=True)
class Change:
    """What a change of a price paid in advance comes to: the unused rest back, the new price for the rest."""

    credit: Money
    charge: Money

    @property
    def due(self) -> Money:
        """What remains to be paid, negative where money goes back."""
        return self.credit + self.charge


def change(
    before: Money,
    after: Money,
    at: datetime,
    period: Period,
    *,
    method: Proration = "seconds",
    mode: RoundingMode = "half_up",
) -> Change:
    """A price paid in advance for `period` changed at a moment in it: both prices over the remaining share."""
    rest = period.share(period.overlap(at, None), method)
    return Change(-before.times(rest, mode), after.times(rest, mode))


def simple_interest(
    principal: Rational | str, yearly: Rational | str, start: date, end: date, *, count: DayCount = "ACT/365"
) -> Fraction:
    """Interest without compounding, exact: principal x yearly rate x years by the day count."""
    return fraction(principal) * fraction(yearly) * years(start, end, count)
