"""One thousand answers as a reader sees them: worth, price, floor, ceiling and what they cost, part by part.

Where a verdict measured the candidate its figures are shown; a plan without a model shows what its simulation spends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from breakeven.economics.paths import SERVING
from breakeven.economics.simulation import Run
from breakeven.quantity import Origin, Quantity

PARTS = (*SERVING, "bad_debt")
LABELS = {
    "serving_variable": "per_answer",
    "machine_cost": "machines",
    "customer_cost": "per_customer",
    "payroll_support": "support",
    "fixed_serving": "fixed",
    "payment_cost": "payment",
}


@dataclass(frozen=True)
class UnitSheet:
    """Money per 1,000 answers. `basis`: verdict (measured) or simulation (means of the last year); None: unknown.

    `cost` is the sum of `cost_parts`; floor and ceiling are those of the price.
    """

    basis: str
    cost: Quantity | None
    price: Quantity | None
    cost_parts: Mapping[str, Quantity]
    value: Quantity | None = None
    floor: Quantity | None = None
    ceiling: Quantity | None = None

    def as_json(self) -> dict[str, Any]:
        """As plan.json carries it."""
        data: dict[str, Any] = {"basis": self.basis}
        for name in ("value", "price", "floor", "ceiling", "cost"):
            number: Quantity | None = getattr(self, name)
            data[name] = None if number is None else number.as_json()
        data["cost_parts"] = {name: part.as_json() for name, part in self.cost_parts.items()}
        return data


def of_verdict(judged: Mapping[str, Any], price: Quantity | None) -> UnitSheet:
    """The sheet of a candidate's entry in verdict.json; `price` per 1,000 answers where one is declared."""

    def read(name: str) -> Quantity | None:
        data = judged.get(name)
        return None if data is None else Quantity.from_json(data)

    parts = {name: Quantity.from_json(part) for name, part in (judged.get("cost_parts") or {}).items()}
    return UnitSheet(
        "verdict",
        read("at_volume_per_1000"),
        price or read("recommended_per_1000"),
        parts,
        read("value_per_1000"),
        read("floor_per_1000"),
        read("ceiling_per_1000"),
    )


def of_run(made: Run, origin: Origin) -> UnitSheet | None:
    """The sheet of a simulated plan, from the means of its last twelve months; None where it sells no answers."""
    year = slice(max(0, made.plan.months - 12), made.plan.months)
    answers = float(made.mean["answers"][year].sum())
    if answers <= 0.0:
        return None

    def per_1000(money: float) -> Quantity:
        method = "means of the last twelve months of the simulation"
        return Quantity(1000.0 * money / answers, f"{made.plan.currency}/1000 answers", origin, method=method)

    spent = {name: float(made.mean[name][year].sum()) for name in PARTS if name in made.mean}
    parts = {LABELS.get(name, name): per_1000(money) for name, money in spent.items() if money > 0.0}
    revenue = float(made.mean["revenue"][year].sum())
    fees = made.plan.costs.payments
    own = sum(money for name, money in spent.items() if name != "payment_cost")
    invoices = float(made.mean["customers"][year].sum()) * fees.per_invoice.mean
    floor = (own + invoices) / max(1e-12, 1.0 - fees.percentage.mean)
    return UnitSheet(
        "simulation",
        per_1000(sum(spent.values())),
        per_1000(revenue) if revenue else None,
        parts,
        floor=per_1000(floor),
    )
