"""What a customer's month comes to: the ledger's events rated by the plans that held, with seats, credits and taxes."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from breakeven.billing.pricing import price_plan
from breakeven.economics.fees import Free, Metered, Percentage, RevenueShare
from breakeven.economics.invoice import Customer, Event, Invoice, invoice
from breakeven.economics.money import Money
from breakeven.economics.plans import Plan, Tax, rate
from breakeven.economics.proration import Period
from breakeven.errors import DataError, UsageError

if TYPE_CHECKING:
    from breakeven.billing.settings import Buyer, Settings, TaxRule
    from breakeven.economics.plan import BusinessPlan

_DAWN = datetime.datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Account:
    """A customer as the ledger knows it. `credits`: what is left of prepaid ones; `billed`: invoices so far."""

    id: str
    name: str
    created: datetime.datetime
    buyer: Buyer
    credits: Mapping[str, Any] | None = None
    billed: int = 0


@dataclass(frozen=True)
class Drawn:
    """A rated month: the exact invoice, how many events it counts, what came late, and the taxes by their rules."""

    invoice: Invoice
    month: str
    events: int
    late: Sequence[Mapping[str, Any]] = ()
    rule: TaxRule | None = None
    plans: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    given_back: Mapping[str, int] = field(default_factory=dict)


def month_period(text: str) -> Period:
    """The calendar month `2026-10` in UTC; raises UsageError for anything else."""
    try:
        first = datetime.datetime.strptime(text, "%Y-%m")
    except ValueError:
        raise UsageError("month-form", found=text[:40]) from None
    if len(text) != 7:
        raise UsageError("month-form", found=text[:40])
    return Period.month(first.year, first.month)


def plans_of(business: BusinessPlan | None, settings: Settings) -> list[tuple[datetime.datetime, Plan]]:
    """Every plan with the moment it starts, oldest first; the present one last."""
    earlier = settings.earlier_plans
    starts = [_DAWN, *(_midnight(plan.until) for plan in earlier)]
    return list(zip(starts, [*(plan.plan for plan in earlier), price_plan(business)], strict=True))


def _midnight(day: datetime.date) -> datetime.datetime:
    return datetime.datetime(day.year, day.month, day.day, tzinfo=UTC)


def draw(
    rows: Iterable[Mapping[str, Any]],
    account: Account,
    month: str,
    *,
    business: BusinessPlan | None,
    settings: Settings,
    given_back: bool = False,
) -> Drawn:
    """Rates a month. `rows` are the ledger's events that count in it: time, counted, id, source, rates, quantities.

    `given_back`: what corrections of billed months take away and this month has not was credited otherwise.

    Raises DataError where an event was priced by rates that no declared plan has, so that nobody is billed what they
    were not shown.
    """
    period = month_period(month)
    history = plans_of(business, settings)
    first = max(index for index, (start, _) in enumerate(history) if start <= period.start)
    later = [entry for entry in history[first + 1 :] if entry[0] < period.end]
    counted, late = _counted(rows, period, history)
    events, debts = _without_debts(counted, given_back=given_back)
    rule = _rule(settings, account.buyer)
    customer = _customer(account, later, rule, [event.time for event in events])
    plan = history[first][1]
    if events and customer.ended and customer.ended <= period.start:
        plan, customer = _use_alone(plan), replace(customer, ended=None, plans=())
    elif events and customer.started and customer.started >= period.end:
        raise DataError("invoice-before-since", customer=account.name, month=month, since=customer.started.date())
    drawn = invoice(events, plan, customer, period)
    ids = {event.id for event in events}
    told = _less(late, debts) if debts else late
    return Drawn(drawn, month, len(ids), told, rule, _in_force([history[first], *later]), debts)


def _less(late: list[dict[str, Any]], debts: Mapping[str, int]) -> list[dict[str, Any]]:
    """What came late, without what was given back otherwise: this invoice does not take that off."""
    left, kept = dict(debts), []
    for row in late:
        given = min(max(-row["quantity"], 0), left.get(row["meter"], 0))
        left[row["meter"]] = left.get(row["meter"], 0) - given
        if row["quantity"] + given:
            kept.append({**row, "quantity": row["quantity"] + given})
    return kept


def _use_alone(plan: Plan) -> Plan:
    """The plan for what a customer used before leaving and that came later: use has its price, time has none left."""
    fees = [fee for fee in plan.fees if isinstance(fee, (Metered, Percentage, RevenueShare, Free))]
    nothing = {"included": Decimal(0), "minimum": Decimal(0)}
    bare = tuple(fee.model_copy(update=nothing) if isinstance(fee, Metered) else fee for fee in fees)
    return plan.model_copy(update={"fees": bare, "minimum": Decimal(0), "trial_days": 0})


def _counted(
    rows: Iterable[Mapping[str, Any]], period: Period, history: Sequence[tuple[datetime.datetime, Plan]]
) -> tuple[list[Event], list[dict[str, Any]]]:
    """The events, corrections in them, and a summary of those whose own month was closed when they came."""
    used: dict[tuple[str, str, str], tuple[datetime.datetime, int]] = {}
    late: dict[tuple[str, str], int] = {}
    known: dict[tuple[int, str], Any] = {}
    for row in rows:
        name, plan = row["about"] or row["id"], _at(history, row["time"])
        for meter, quantity in row["quantities"].items():
            _shown_price(row, meter, plan, known)
            key = (name, row["source"], meter)
            moment, before = used.get(key, (row["counted"], 0))
            used[key] = (min(moment, row["counted"]), before + quantity)
            if row["time"] < period.start:
                cell = (f"{row['time']:%Y-%m}", meter)
                late[cell] = late.get(cell, 0) + quantity
    events = [
        Event(moment, f"{name} {source}", meter, quantity)
        for (name, source, meter), (moment, quantity) in used.items()
        if quantity
    ]
    summary = [{"month": month, "meter": meter, "quantity": number} for (month, meter), number in sorted(late.items())]
    return events, summary


def _without_debts(events: list[Event], *, given_back: bool) -> tuple[list[Event], dict[str, int]]:
    """What corrections take off a month that was billed before is taken off this month's use of the same meter.

    DataError where this month has not as much: only a credit note can give the rest back. With `given_back` one has,
    and the rest, by meter, is told beside the events.
    """
    debts: dict[str, int] = {}
    for event in events:
        if event.quantity < 0:
            debts[event.meter] = debts.get(event.meter, 0) - int(event.quantity)
    if not debts:
        return events, {}
    kept = []
    for event in sorted(events, reverse=True):
        quantity = max(int(event.quantity), 0)
        taken = min(quantity, debts.get(event.meter, 0))
        if taken:
            debts[event.meter] -= taken
        if quantity > taken:
            kept.append(event._replace(quantity=quantity - taken))
    left = {meter: debt for meter, debt in sorted(debts.items()) if debt}
    for meter, debt in left.items():
        if not given_back:
            raise DataError("invoice-corrected-below", meter=meter, quantity=debt)
    return kept, left


def _at(history: Sequence[tuple[datetime.datetime, Plan]], time: datetime.datetime) -> Plan:
    return next(plan for start, plan in reversed(history) if start <= time)


def _shown_price(row: Mapping[str, Any], meter: str, plan: Plan, known: dict[tuple[int, str], Any]) -> None:
    """The rate that the service showed must be the rate of the plan that is billed by, where both are known.

    `known` keeps the rates that were looked up, by plan and meter.
    """
    shown = row["rates"].get(meter)
    if shown is None:
        return
    key = (id(plan), meter)
    if key not in known:
        known[key] = rate(plan, {meter: 1})
    found = known[key]
    if found is not None and found != shown:
        raise DataError(
            "invoice-other-plan", id=row["id"], time=row["time"].isoformat(), meter=meter, shown=shown, found=found
        )


def _rule(settings: Settings, buyer: Buyer) -> TaxRule | None:
    name = buyer.tax or settings.tax
    if name is None:
        return None
    if name not in settings.taxes:
        raise UsageError("invoice-tax-unknown", found=name, allowed=sorted(settings.taxes) or ["-"])
    return settings.taxes[name]


def _customer(
    account: Account, later: Sequence[tuple[datetime.datetime, Plan]], rule: TaxRule | None, times: Sequence[Any]
) -> Customer:
    buyer = account.buyer
    # By whole days, as people think of it: whoever came at noon is billed for the day.
    started = _midnight(buyer.since or min([account.created, *times]).astimezone(UTC).date())
    taxes: tuple[Tax, ...] | None = None
    if rule is not None:
        taxes = (Tax(name=rule.name, rate=rule.rate, inclusive=rule.inclusive),) if rule.rate else ()
    left = account.credits
    return Customer(
        account.name,
        started=started,
        ended=_midnight(buyer.until) if buyer.until else None,
        plans=tuple(later),
        seats=((_DAWN, buyer.seats),) if buyer.seats else (),
        credits=Money(left["minor"], left["currency"]) if left else None,
        taxes=taxes,
        periods_billed=account.billed,
    )


def _in_force(plans: Sequence[tuple[datetime.datetime, Plan]]) -> list[dict[str, Any]]:
    from breakeven.artifacts import fingerprint

    return [
        {
            "name": plan.name,
            "version": plan.version,
            "from": None if start == _DAWN else start.date().isoformat(),
            "fingerprint": fingerprint(plan.model_dump(mode="json")),
        }
        for start, plan in plans
    ]
