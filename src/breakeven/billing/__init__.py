"""Where the declared price meets the meter: the plan a server rates by, and a draft invoice of what was used."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from breakeven.economics.invoice import Customer, invoice
from breakeven.economics.plans import Plan, rate
from breakeven.economics.proration import Period
from breakeven.errors import UsageError

if TYPE_CHECKING:
    from breakeven.economics.plan import BusinessPlan
    from breakeven.ledger.plans import PricePlan


def price_plan(business: BusinessPlan | None) -> Plan:
    """The declared price as a plan for documents; without one, a free plan. Usage is charged, nothing else yet."""
    currency = business.currency if business else "USD"
    price = business.price if business else None
    if price is not None and price.plan is not None:
        return price.plan
    if price is None or price.per_answer is None:
        return Plan.model_validate({"currency": currency})
    if not price.per_answer.certain:
        raise UsageError("price-not-certain")
    return Plan.model_validate({"currency": currency, "per_answer": str(Decimal(str(price.per_answer.declared)))})


def meter_plan(business: BusinessPlan | None, meters: tuple[str, ...]) -> PricePlan:
    """The exact rate of each meter, as the server shows it. A tiered price is not known before the invoice: no rate."""
    from breakeven.ledger.plans import PricePlan

    plan = price_plan(business)
    rates = {meter: rate(plan, {meter: 1}) for meter in meters} if plan.fees else {}
    known = {meter: price for meter, price in rates.items() if price is not None}
    return PricePlan.of(known if len(known) == len(rates) else {}, plan.currency)


def draft(business: BusinessPlan | None, ledger: str, customer: str, month: str) -> dict[str, Any]:
    """A draft invoice (JSON) of one customer's events in a calendar month, UTC."""
    from breakeven.ledger import commands

    period = _month(month)
    start, end = period.start.isoformat(), period.end.isoformat()
    events = [
        {"time": row["time"], "id": row["id"], "meter": meter, "quantity": quantity}
        for row in commands.events(ledger, customer, start, end)
        for meter, quantity in row["quantities"].items()
    ]
    document: Mapping[str, Any] = invoice(events, price_plan(business), Customer(customer), period).as_json()
    return {**document, "draft": True, "events": len({event["id"] for event in events}), "start": start, "end": end}


def _month(text: str) -> Period:
    try:
        first = datetime.datetime.strptime(text, "%Y-%m")
    except ValueError:
        raise UsageError("month-form", found=text) from None
    return Period.month(first.year, first.month)
