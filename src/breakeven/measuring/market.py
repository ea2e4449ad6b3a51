"""What the verdict reads of the business section: price, demand, and what an answer costs besides machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from breakeven.economics.drivers import Driver
from breakeven.economics.facts import Asked, Payment
from breakeven.economics.forms import COUNT
from breakeven.quantity import Origin, weakest

if TYPE_CHECKING:
    from breakeven.economics.plan import BusinessPlan, Part
    from breakeven.economics.price_studies import Studied

READ: Any = {
    "currency": True,
    "price": True,
    "customers": True,
    "segments": True,
    "costs": {"serving": True, "payments": True},
    "research": True,
}
PER_ANSWER = ("per_answer", "review_per_answer", "liability_per_answer")


@dataclass(frozen=True)
class Business:
    """Price per answer, answers a month, and costs that are not machines.

    per_answer: money an answer by name. monthly: money a month by name. liability: damages we pay, an answer; they are
    a cost of ours and no loss of the customer's, so they are added back to the value. asked: the demand curve of the
    declared research.
    """

    currency: str = "USD"
    price: Driver | None = None
    answers_per_month: Driver | None = None
    per_answer: Mapping[str, Driver] = field(default_factory=dict)
    monthly: Mapping[str, Driver] = field(default_factory=dict)
    liability: float = 0.0
    payment: Payment = field(default_factory=Payment)
    minimum_machines: int = 1
    asked: Asked | None = None


def settings_read(business: BusinessPlan | None) -> dict[str, Any]:
    """The part of the section that a verdict depends on, as JSON for its fingerprint."""
    return {} if business is None else business.model_dump(mode="json", include=READ)


def of_plan(business: BusinessPlan | None, studied: Studied | None = None) -> Business:
    """The section as the verdict takes it, with what its research shows; nothing declared leaves the defaults."""
    if business is None:
        return Business()
    parts = list(business.parts().values())
    answers = sum(_answers(part) for part in parts)
    customers = sum(part.customers.start.mean for part in parts)
    origin = weakest(
        origin for part in parts for origin in (part.customers.start.origin, part.customers.answers_each.origin)
    )
    serving, payments = business.costs.serving, business.costs.payments
    each = answers / customers if customers > 0 else 0.0
    monthly = {}
    if serving.per_customer.mean > 0 and customers > 0:
        monthly["per_customer"] = serving.per_customer.shifted(customers)
    costs = {name: getattr(serving, name) for name in PER_ANSWER if getattr(serving, name) is not None}
    return Business(
        business.currency, _price(parts, answers), _demand(parts, origin) if answers > 0 else None,
        {name: driver for name, driver in costs.items() if driver.mean > 0}, monthly, serving.liability_per_answer.mean,
        Payment(payments.percentage.mean, payments.per_invoice.mean, each if each > 0 else float("inf")),
        max(1, serving.minimum_machines), _asked(business, studied),
    )  # fmt: skip


def _asked(business: BusinessPlan, studied: Studied | None) -> Asked | None:
    """The curve in money per answer, as the plan of all customers takes it; of segments nobody was asked apart."""
    each = business.customers.answers_each.mean
    if studied is None or studied.demand is None or business.segments:
        return None
    factor = each if studied.unit == "per_customer" else 1.0
    if factor <= 0.0:
        return None
    besides = business.costs.serving.per_customer.mean + business.costs.payments.per_invoice.mean
    intercepts, slopes = studied.drawn
    return Asked(
        studied.demand.intercept,
        studied.demand.slope * factor,
        (intercepts, slopes * factor),
        besides / each if each > 0 else 0.0,
    )


def _answers(part: Part) -> float:
    """Answers that the customers of day one use in a month."""
    return part.customers.start.mean * part.customers.answers_each.mean


def _demand(parts: list[Part], origin: Origin) -> Driver:
    """Answers of a month with their doubt: how many customers there are, and how much each of them uses.

    Customers that differ (`each: customer`) even out over their number; a doubt about all of them does not.
    """
    mean = sum(_answers(part) for part in parts)
    variance = 0.0
    for part in parts:
        start, each = part.customers.start, part.customers.answers_each
        shared = 1.0 if each.each == "customer" else start.mean
        variance += start.mean * shared * each.sd**2 + (each.mean * start.sd) ** 2
    if variance <= 0:
        return Driver.of(mean, "answers/month", origin)
    spread = Driver.parse({"mean": mean, "sd": variance**0.5}, COUNT)  # positive, so lognormal by its moments
    return replace(spread, unit="answers/month", origin="assumed")


def _price(parts: list[Part], answers: float) -> Driver | None:
    """One price an answer over all segments, weighted by their answers; None where a segment declares none."""
    found = [_price_of(part) for part in parts]
    known = [price for price in found if price is not None]
    if not known or len(known) < len(parts):
        return None
    if len(known) == 1:
        return known[0]
    weights = [_answers(part) / answers for part in parts] if answers > 0 else [1 / len(parts)] * len(parts)
    mean = sum(weight * price.mean for weight, price in zip(weights, known, strict=True))
    return Driver.of(mean, "per answer", weakest(price.origin for price in known))


def _price_of(part: Part) -> Driver | None:
    """What a customer pays an answer, with the monthly fee and a price plan spread over the mean customer's answers."""
    price, each = part.price, part.customers.answers_each.mean
    if price is None:
        return None
    if price.plan is not None:
        return _by_plan(price.plan, part)
    if price.per_customer is None or each <= 0:
        return price.per_answer
    fee = price.per_customer.shifted(1 / each) if price.per_customer.mean > 0 else Driver.of(0.0)
    if price.per_answer is None:
        return replace(fee, unit="per answer")
    origins: list[Origin] = [price.per_answer.origin, fee.origin]
    return Driver.of(price.per_answer.mean + fee.mean, "per answer", weakest(origins))


def _by_plan(plan: Any, part: Part) -> Driver | None:
    from breakeven.economics.rates import mean_bill

    each = part.customers.answers_each.mean
    return Driver.of(mean_bill(plan, part.customers) / each, "per answer") if each > 0 else None
