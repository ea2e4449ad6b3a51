"""Invoices: a period's events, rated by a plan, exactly.

The same events give the same invoice, in whatever order and however often they arrive: an event counts once (by id and
meter), in the period of its own time, rated in the order of time and id. Lines and tax add up to the total, always.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from breakeven.economics.invoice_book import STEPS, Book, Line, plan_names
from breakeven.economics.money import MAX_DIGITS, Money, Rational, exact, exactly, fraction, plain
from breakeven.economics.plans import Discount, Plan, Tax
from breakeven.economics.proration import Period, in_utc, moment
from breakeven.economics.rating import Stretch, Usage, charge, ordered_meters
from breakeven.errors import DataError, Place, UsageError

_TOO_MANY = 10**MAX_DIGITS


class Event(NamedTuple):
    """One use of one meter. Several meters of one request share its id."""

    time: datetime
    id: str
    meter: str
    quantity: Rational

    @classmethod
    def of(cls, row: Any) -> Event:
        """An event from a mapping or a sequence (time, id, meter, quantity); times may be ISO 8601 text."""
        try:
            time, name, meter, quantity = (row[key] for key in cls._fields) if isinstance(row, Mapping) else row
        except (KeyError, TypeError, ValueError):
            raise DataError("event-shape", found=repr(row)[:120]) from None
        number = quantity if type(quantity) is int else exact(quantity, field=str(meter))
        return cls(moment(time).astimezone(UTC), str(name), str(meter), number)


@dataclass(frozen=True)
class Customer:
    """Who is billed. `plans`: later plans by the moment they start; `seats`: how many from when on; `credits`: prepaid.

    `taxes` replaces the plan's taxes; `periods_billed` counts earlier invoices, for coupons that end.
    """

    id: str
    started: datetime | None = None
    ended: datetime | None = None
    plans: tuple[tuple[datetime, Plan], ...] = ()
    seats: tuple[tuple[datetime, int], ...] = ()
    coupons: tuple[Discount, ...] = ()
    credits: Money | None = None
    taxes: tuple[Tax, ...] | None = None
    periods_billed: int = 0


@dataclass(frozen=True)
class Invoice:
    """The document. `lines` and `taxes` add up to `total`; `credits` are taken from it; `due` is what remains.

    `in_trial` is usage that the trial gave away, `unpriced` usage of meters that the plan has no fee for.
    """

    customer: str
    plan: Plan
    period: Period
    lines: tuple[Line, ...]
    taxes: tuple[Line, ...]
    credits: Money
    credits_left: Money
    in_trial: Mapping[str, Rational]
    unpriced: Mapping[str, Rational]

    @property
    def currency(self) -> str:
        """ISO 4217 code of every amount on the document."""
        return self.plan.currency

    @property
    def subtotal(self) -> Money:
        """The lines before tax."""
        return Money(sum(line.minor for line in self.lines), self.currency)

    @property
    def tax(self) -> Money:
        """All taxes."""
        return Money(sum(line.minor for line in self.taxes), self.currency)

    @property
    def total(self) -> Money:
        """Lines and taxes."""
        return self.subtotal + self.tax

    @property
    def due(self) -> Money:
        """What is to be paid after prepaid credits."""
        return self.total - self.credits

    def as_json(self) -> dict[str, Any]:
        """The document as JSON: amounts as decimal text, unrounded amounts beside them, order and rounding stated."""
        return {
            "customer": self.customer,
            "plan": self.plan.name,
            "plan_version": self.plan.version,
            "currency": self.currency,
            "period": self.period.as_json(),
            "lines": [self._line(line) for line in self.lines],
            "subtotal": self.subtotal.as_json(),
            "taxes": [self._line(line) for line in self.taxes],
            "tax": self.tax.as_json(),
            "total": self.total.as_json(),
            "credits": self.credits.as_json(),
            "due": self.due.as_json(),
            "credits_left": self.credits_left.as_json(),
            "in_trial": {meter: plain(count) for meter, count in self.in_trial.items()},
            "unpriced": {meter: plain(count) for meter, count in self.unpriced.items()},
            "order": list(self.plan.order),
            "rounding": self.plan.rounding.model_dump(),
            "prorate": self.plan.prorate,
        }

    def _line(self, line: Line) -> dict[str, Any]:
        return {
            "name": line.name,
            "kind": line.kind,
            "meter": line.meter,
            "amount": f"{Money(line.minor, self.currency).amount:f}",
            "unrounded": plain(line.exact),
            "quantity": None if line.quantity is None else plain(line.quantity),
            "share": None if line.share is None else str(line.share),
            "taxed": line.taxed,
            "plan": line.plan,
        }


def invoice(events: Iterable[Any], plan: Plan, customer: Customer, period: Period) -> Invoice:
    """The invoice of a period; `plan` is the one at its start.

    Events are `Event`s, mappings or sequences of (time, id, meter, quantity). Raises DataError where two events of one
    id and meter differ, where a quantity is negative, and where use has no customer to bill.
    """
    with exactly():
        stretches, trial_end = cut(plan, customer, period)
        in_trial = count_events(events, period, stretches, trial_end)
        book = Book(stretches[-1].plan if stretches else plan)
        unpriced: dict[str, Rational] = {}
        for stretch, version in zip(stretches, plan_names(stretches), strict=True):
            fees = stretch.plan.billed
            priced = {meter for _, _, _, _, meter in fees}
            for fee, name, kind, taxed, meter in fees:
                amount, quantity, share = charge(fee, stretch)
                if kind == "one_off" and not amount:  # it was due once, at the start
                    continue
                book.add(Line(name, kind, 0, amount, taxed, meter, quantity, share, version))
            for meter, quantity in stretch.usage.sums.items():
                if meter not in priced:
                    unpriced[meter] = fraction(unpriced.get(meter, 0)) + fraction(quantity)
        for step in book.plan.order:
            STEPS[step](book, customer, stretches)
        return Invoice(
            customer.id,
            book.plan,
            period,
            tuple(book.lines),
            tuple(book.taxes),
            book.credits,
            book.credits_left,
            in_trial,
            unpriced,
        )


def cut(plan: Plan, customer: Customer, period: Period) -> tuple[list[Stretch], datetime | None]:
    """The served part of the period cut where the plan changes, and the end of the trial."""
    if not customer.plans and customer.started is None and customer.ended is None:  # the same, for most customers
        return [Stretch(period, period, period, plan, Usage(ordered_meters(plan)), customer.seats)], None
    served = period.overlap(customer.started, customer.ended)
    trial_end = customer.started + timedelta(days=plan.trial_days) if customer.started and plan.trial_days else None
    changes = sorted(customer.plans, key=lambda entry: in_utc(entry[0]))
    for _, later in changes:
        if later.currency != plan.currency:
            raise UsageError("currency-mix", first=plan.currency, second=later.currency)
    edges = [None, *(time for time, _ in changes), None]
    stretches = []
    for first, last, each in zip(edges[:-1], edges[1:], [plan, *(later for _, later in changes)], strict=True):
        part = served.overlap(first, last) if served else None
        if part is not None:
            stretches.append(
                Stretch(
                    period,
                    part,
                    part.overlap(trial_end, None),
                    each,
                    Usage(ordered_meters(each)),
                    customer.seats,
                    customer.started,
                )
            )
    return stretches, trial_end


def count_events(
    events: Iterable[Any],
    period: Period,
    stretches: list[Stretch],
    trial_end: datetime | None,
    *,
    keep: list[list[Any]] | None = None,
) -> dict[str, Rational]:
    """Counts every event of the period once into its stretch; returns what fell into the trial.

    With `keep`, a list for each stretch, the events themselves are kept there instead.
    """
    seen: dict[tuple[str, str], Event] = {}
    start, end = period.start.astimezone(UTC), period.end.astimezone(UTC)
    trial, usages = Usage(), [stretch.usage for stretch in stretches]
    starts = [stretch.part.start.astimezone(UTC) for stretch in stretches]
    for row in events:
        # In UTC, because Python compares two times of one zone by the wall clock, which repeats an hour in autumn.
        event = row if type(row) is Event and type(row[3]) is int and row[0].tzinfo is UTC else Event.of(row)
        time, name, meter, quantity = event
        if not start <= time < end:
            continue
        first = seen.get((name, meter))
        if first is None:
            seen[name, meter] = event
        else:
            if first != event:
                raise DataError("event-conflict", id=name, meter=meter, first=str(first.quantity), second=str(quantity))
            continue
        if not 0 <= quantity < _TOO_MANY:
            code = "event-negative" if quantity < 0 else "event-too-many"
            raise DataError(code, at=Place(field=meter), id=name, found=str(quantity)[:60])
        if trial_end is not None and time < trial_end:
            trial.add(time, name, meter, quantity)
            continue
        place = _place(starts, event)
        if keep is None:
            usages[place].add(time, name, meter, quantity)
        else:
            keep[place].append(event)
    return trial.sums


def _place(starts: list[datetime], event: Event) -> int:
    """Which stretch an event is of; use shortly before the first or after the last is billed in the nearest one."""
    if len(starts) == 1:
        return 0
    if not starts:
        raise DataError("event-not-served", id=event.id, time=event.time.isoformat())
    return max(0, bisect_right(starts, event.time) - 1)
