"""After the invoice: credit notes that mirror it, and revenue recognised over the days in which it is earned."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from breakeven.economics.invoice import Invoice
from breakeven.economics.invoice_book import Line
from breakeven.economics.money import Money, Rational, fraction, whole
from breakeven.economics.proration import days_30_360
from breakeven.errors import UsageError


@dataclass(frozen=True)
class CreditNote:
    """What goes back of an invoice: negative lines and taxes, in the invoice's own shares, adding up to `total`."""

    invoice: Invoice
    lines: tuple[Line, ...]
    taxes: tuple[Line, ...]

    @property
    def total(self) -> Money:
        """The amount that goes back, as a negative number."""
        return Money(sum(line.minor for line in (*self.lines, *self.taxes)), self.invoice.currency)

    def as_json(self) -> dict[str, Any]:
        """The note as JSON, with the customer and period of its invoice."""
        scale = self.invoice.currency
        return {
            "customer": self.invoice.customer,
            "period": self.invoice.period.as_json(),
            "currency": scale,
            "lines": [{"name": line.name, "amount": f"{Money(line.minor, scale).amount:f}"} for line in self.lines],
            "taxes": [{"name": line.name, "amount": f"{Money(line.minor, scale).amount:f}"} for line in self.taxes],
            "total": self.total.as_json(),
        }


def credit_note(invoice: Invoice, share: Rational = 1, *, earlier: Sequence[CreditNote] = ()) -> CreditNote:
    """Gives back a share of an invoice; notes together never give back more than it, and all of it comes to zero.

    Each line is rounded on the running sum of all notes, so that ten notes of a tenth mirror the invoice to the cent.
    """
    part = fraction(share)
    if not 0 < part <= 1:
        raise UsageError("credit-share", found=str(share))
    lines = _returned(invoice.lines, part, [note.lines for note in earlier])
    taxes = _returned(invoice.taxes, part, [note.taxes for note in earlier])
    return CreditNote(invoice, lines, taxes)


def _returned(lines: tuple[Line, ...], part: Fraction, earlier: Sequence[tuple[Line, ...]]) -> tuple[Line, ...]:
    returned = []
    for number, line in enumerate(lines):
        before = sum((Fraction(note[number].exact) for note in earlier), Fraction(0))
        amount = -part * line.minor
        if abs(before + amount) > abs(line.minor):
            raise UsageError("credit-too-much", line=line.name)
        minor = whole(before + amount) - sum(note[number].minor for note in earlier)
        returned.append(line._replace(minor=minor, exact=amount))
    return tuple(returned)


def adjustment(billed: Invoice, corrected: Invoice) -> dict[str, Money]:
    """What a corrected invoice of the same customer and period changes: subtotal, tax and total, as differences."""
    if (billed.customer, billed.period) != (corrected.customer, corrected.period):
        raise UsageError("adjustment-other", first=billed.customer, second=corrected.customer)
    return {
        "subtotal": corrected.subtotal - billed.subtotal,
        "tax": corrected.tax - billed.tax,
        "total": corrected.total - billed.total,
    }


def recognise(amount: Money, start: date, end: date, *, by: str = "days") -> dict[tuple[int, int], Money]:
    """Revenue by (year, month) of an amount earned evenly from `start` to `end`, both included; adds up to the amount.

    `days` weighs months by their days, `30/360` gives every whole month the same.
    """
    if end < start:
        raise UsageError("dates-backwards", start=start.isoformat(), end=end.isoformat())
    months, weights = [], []
    first = start
    while first <= end:
        last = min(end, date(first.year, first.month, calendar.monthrange(first.year, first.month)[1]))
        months.append((first.year, first.month))
        following = last + timedelta(days=1)
        weights.append((following - first).days if by == "days" else days_30_360(first, following))
        first = following
    return dict(zip(months, amount.split(weights), strict=True))


def deferred(schedule: Mapping[tuple[int, int], Money], month: tuple[int, int]) -> Money:
    """What of a recognition schedule is not yet earned at the end of a month."""
    currency = next(iter(schedule.values())).currency
    return Money(sum(amount.minor for when, amount in schedule.items() if when > month), currency)
