"""The declared price as plans: the one that documents are rated by, and the meter's rates that a server shows."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from breakeven.economics.plans import Plan, rate
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
