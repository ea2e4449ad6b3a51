"""A plan against what happened: months beside the forecast, and the plan refitted to them.

What was declared is the prior: each uncertain number keeps its distribution, reweighed by how likely it made the
counted months (new customers are Poisson, leavers binomial). Doubt that the months did not settle stays in the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from breakeven.economics import normal
from breakeven.economics.drivers import Driver
from breakeven.economics.elapsed import advance
from breakeven.economics.normal import Floats, floats
from breakeven.economics.plan import BusinessPlan, replaced
from breakeven.economics.simulation import Run

NODES = 1001


@dataclass(frozen=True)
class History:
    """Counted months. opening: customers on day one. new, lost: by month. use: what each present customer used in the
    last month. cash: on the account now. paid: by driver name, what was really paid in each month."""

    opening: float
    new: Sequence[float]
    lost: Sequence[float]
    use: Sequence[float] = ()
    cash: float | None = None
    paid: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.new) != len(self.lost) or not len(self.new):
            raise ValueError(f"as many months of new as of lost customers, not {len(self.new)} and {len(self.lost)}")
        if min(self.present) < 0.0:
            raise ValueError("no more customers lost than there were")

    @property
    def present(self) -> list[float]:
        """Customers at the end of each month."""
        return [float(count) for count in self.opening + np.cumsum(floats(self.new) - floats(self.lost))]

    @property
    def exposed(self) -> Floats:
        """Customers who could leave in each month: those of the month before."""
        return floats([self.opening, *self.present[:-1]])


def reweighed(driver: Driver, log_likelihood: Callable[[Floats], Floats]) -> Driver:
    """The driver after seeing data: its own quantiles, weighted by the likelihood of the data at each."""
    if driver.certain:
        return driver
    values = driver.from_normal(normal.ppf((np.arange(NODES) + 0.5) / NODES))
    found = log_likelihood(values)
    weights = np.exp(found - found.max())
    kept = weights > 1e-9
    parameters = (*values[kept].tolist(), *(weights[kept] / weights[kept].sum()).tolist())
    return replace(driver, family="values", parameters=parameters, origin="measured", each="once", declared=None)


def refit(plan: BusinessPlan, history: History, segments: Mapping[str, History] | None = None) -> BusinessPlan:
    """The rest of the plan from where it stands now: what was declared, as the counted months leave it.

    Only numbers that are declared and uncertain move: `churn_per_month`, `new_per_month` and use; `segments`: the
    counted months of each, where the plan has them. ValueError where one is missing or no month of the plan is left.
    """
    left = plan.months - len(history.new)
    if left < 1:
        raise ValueError(f"a plan longer than the {len(history.new)} months that were counted, not {plan.months}")
    missing = sorted(set(plan.segments) - set(segments or {}))
    if missing:
        raise ValueError(f"the counted months of every segment, also of {', '.join(missing)}")
    seen = {f"segments.{name}.": (segments or {})[name] for name in plan.segments} or {"": history}
    rest, changes = advance(plan, len(history.new), {"customers": history.present}), dict[str, Driver]()
    for prefix, months in seen.items():
        changes |= {f"{prefix}{name}": driver for name, driver in _weighed(plan, prefix, months).items()}
        # What was counted was whole; forecasting expectations only would leave out the luck that is to come.
        whole = rest.parts()[prefix].customers.model_copy(update={"counting": "whole"})
        rest = rest.with_customers(prefix, whole)
    if history.cash is not None and "cash" in plan.drivers():
        changes["cash"] = Driver.of(history.cash, plan.currency, "measured")
    for name, paid in history.paid.items():
        changes[name] = Driver.of(float(np.mean(paid)), origin="measured")
    return replaced(rest, changes)


def _weighed(plan: BusinessPlan, prefix: str, history: History) -> dict[str, Driver]:
    """What the counted months make of a segment's numbers, by their names in it."""
    known = plan.drivers()
    changes = {"customers.start": Driver.of(history.present[-1], "customers", "measured")}
    new, months = float(np.sum(history.new)), len(history.new)
    changes["customers.new_per_month"] = reweighed(
        known[f"{prefix}customers.new_per_month"],
        lambda rate: new * np.log(np.maximum(rate, 1e-300)) - months * rate,
    )
    if f"{prefix}customers.churn_per_month" in known:
        lost, stayed = float(np.sum(history.lost)), float(history.exposed.sum() - np.sum(history.lost))
        changes["customers.churn_per_month"] = reweighed(
            known[f"{prefix}customers.churn_per_month"],
            lambda rate: lost * np.log(np.maximum(rate, 1e-300)) + stayed * np.log(np.maximum(1.0 - rate, 1e-300)),
        )
    if len(history.use):
        changes["customers.answers_each"] = _use(history.use)
    return changes


def _use(use: Sequence[float]) -> Driver:
    """What customers use, as counted: spread among them."""
    share = 1.0 / len(use)
    return Driver("values", (*(float(value) for value in use), *(share for _ in use)), "measured", "customer")


@dataclass(frozen=True)
class Compared:
    """One month of one stream: what was, what was forecast, and whether it lies within p10 to p90."""

    month: int
    actual: float
    base: float
    p10: float
    p50: float
    p90: float

    @property
    def within(self) -> bool:
        """Inside the forecast's band."""
        return self.p10 <= self.actual <= self.p90


def against(run: Run, stream: str, actual: Sequence[float]) -> list[Compared]:
    """A headline stream month by month against what happened; months beyond the plan are left out."""
    if stream not in run.quantiles:
        raise ValueError(f"one of {', '.join(run.quantiles)}, not {stream}")
    low, middle, high = run.quantiles[stream]
    found = []
    for place, value in enumerate(actual[: run.plan.months]):
        if not math.isnan(value):
            bounds = (float(low[place]), float(middle[place]), float(high[place]))
            found.append(Compared(place + 1, float(value), float(run.base[stream][place]), *bounds))
    return found
