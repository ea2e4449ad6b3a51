"""Measured numbers into a plan: they fill what the founder left empty and never override what was declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from breakeven.economics.drivers import Driver
from breakeven.economics.plan import BusinessPlan, Part
from breakeven.economics.sections import MeterUse, Pricing, Training
from breakeven.quantity import Quantity


@dataclass(frozen=True)
class Measured:
    """What was measured of a candidate, as drivers; None: it has none of that."""

    name: str
    machine_per_hour: Driver | None = None
    capacity_per_second: Driver | None = None
    per_answer: Driver | None = None
    training: Driver | None = None
    price_per_answer: Driver | None = None
    peak_factor: Driver | None = None
    meters: Mapping[str, Driver] = field(default_factory=dict)  # units of other meters for one answer


@dataclass(frozen=True)
class Filled:
    """A plan with measured numbers in its empty places; by dotted name what was put in, and what a declared number
    kept out."""

    plan: BusinessPlan
    filled: Mapping[str, Quantity]
    overruled: Mapping[str, Quantity]


def fill(plan: BusinessPlan, measured: Measured) -> Filled:
    """The plan of one candidate. A machine's price and its capacity belong together: either both are filled or none."""
    filled: dict[str, Quantity] = {}
    overruled: dict[str, Quantity] = {}
    changes: dict[str, Driver] = {}
    serving = plan.costs.serving
    for name in ("machine_per_hour", "capacity_per_second", "per_answer"):
        number = getattr(measured, name)
        if number is None:
            continue
        label = f"costs.serving.{name}"
        if getattr(serving, name) is None:
            changes[name] = number
            filled[label] = number.quantity()
        else:
            overruled[label] = number.quantity()
    if measured.peak_factor is not None and serving.peak_factor.origin == "assumed":
        changes["peak_factor"] = measured.peak_factor
    costs = plan.costs.model_copy(update={"serving": serving.model_copy(update=changes)})
    if measured.training is not None:
        target = overruled if costs.training is not None else filled
        target["costs.training.per_run"] = measured.training.quantity()
        if costs.training is None:
            costs = costs.model_copy(update={"training": Training(per_run=measured.training)})
    made = plan.model_copy(update={"costs": costs})
    if measured.price_per_answer is not None and plan.price is None and not plan.segments:
        filled["price.per_answer"] = measured.price_per_answer.quantity()
        made = made.model_copy(update={"price": Pricing(per_answer=measured.price_per_answer)})
    for prefix, part in plan.parts().items():
        used, kept = _meters(part, measured.meters)
        filled |= {f"{prefix}customers.meters.{meter}.per_answer": number.quantity() for meter, number in used.items()}
        overruled |= {f"{prefix}customers.meters.{meter}": number.quantity() for meter, number in kept.items()}
        if used:
            made = _with_meters(made, prefix, used)
    return Filled(made, filled, overruled)


def _meters(part: Part, counted: Mapping[str, Driver]) -> tuple[dict[str, Driver], dict[str, Driver]]:
    """(counted meters that a price plan charges for and nobody declared, those that were declared)."""
    fees = part.price.plan.fees if part.price is not None and part.price.plan is not None else ()
    names = [str(getattr(fee, "meter", "")) for fee in fees]
    charged = {name: counted[name] for name in names if name in counted}
    declared = set(part.customers.meters)
    return (
        {meter: number for meter, number in charged.items() if meter not in declared},
        {meter: number for meter, number in charged.items() if meter in declared},
    )


def _with_meters(plan: BusinessPlan, prefix: str, used: Mapping[str, Driver]) -> BusinessPlan:
    more = {meter: MeterUse(per_answer=number) for meter, number in used.items()}

    customers = plan.parts()[prefix].customers
    return plan.with_customers(prefix, customers.model_copy(update={"meters": {**customers.meters, **more}}))
