"""Counted months fitted, and the plan that goes on from them.

Churn, new customers and use are fitted by maximum likelihood, each segment apart; the doubt of the fits is drawn with
the rest of the plan. What the months are too few to say stays as it was declared, and is named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from breakeven.economics.actuals import Counted
from breakeven.economics.drivers import Driver
from breakeven.economics.elapsed import advance
from breakeven.economics.fitting import ConstantChurn, beta_quantile, fit_churn_curve, fit_growth, fit_usage
from breakeven.economics.forms import AMOUNT, COUNT
from breakeven.economics.plan import BusinessPlan, replaced
from breakeven.errors import BreakevenError, DataError, UsageError
from breakeven.quantity import Quantity


@dataclass(frozen=True)
class Fitted:
    """What the counted months say by themselves: numbers with 95% intervals by the driver they are of, and the drivers
    themselves with that doubt. `open_`: what the months are too few to say, and why."""

    quantities: Mapping[str, Quantity]
    drivers: Mapping[str, Driver]
    open_: Mapping[str, BreakevenError]


def fitted(counted: Counted) -> Fitted:
    """Churn, new customers, their growth and use by maximum likelihood."""
    quantities: dict[str, Quantity] = {}
    drivers: dict[str, Driver] = {}
    open_: dict[str, BreakevenError] = {}
    exposed, lost = float(counted.history().exposed.sum()), float(np.sum(counted.lost))
    if exposed > 0.0:
        quantities["churn_per_month"] = ConstantChurn(round(lost), exposed).quantity()
        parameters = (lost + 0.5, max(exposed - lost, 0.0) + 0.5, 0.0, 1.0)
        drivers["customers.churn_per_month"] = Driver("beta", parameters, "measured")
    else:
        open_["churn_per_month"] = DataError("history-short", n=0)
    came, months = float(np.sum(counted.new)), counted.months
    quantities["new_per_month"] = _rate(came, months)
    if came > 0.0:
        # The Jeffreys posterior of a Poisson rate is gamma(came + 1/2, months); a lognormal with its two moments.
        sigma = math.sqrt(math.log1p(1.0 / (came + 0.5)))
        mean = (came + 0.5) / months
        new = Driver("lognormal", (math.log(mean) - 0.5 * sigma**2, sigma, 0.0), "measured")
        drivers["customers.new_per_month"] = new.checked(COUNT)
    _try(quantities, open_, "new_growth_per_month", lambda: fit_growth(counted.new))
    _usage(counted, quantities, drivers, open_)
    _curve(counted, quantities, open_)
    return Fitted(quantities, drivers, open_)


def _rate(came: float, months: int) -> Quantity:
    """New customers a month with the interval of a gamma posterior, through the beta it is the limit of."""
    scale = 1e7
    low, high = (scale * beta_quantile(part, came + 0.5, scale) / months for part in (0.025, 0.975))
    return Quantity(came / months, "customers/month", "measured", low, high, n=months, method="Poisson, Jeffreys")


def _try(quantities: dict[str, Quantity], open_: dict[str, BreakevenError], name: str, fit: Any) -> None:
    try:
        quantities[name] = fit()
    except BreakevenError as error:
        open_[name] = error


def _usage(
    counted: Counted,
    quantities: dict[str, Quantity],
    drivers: dict[str, Driver],
    open_: dict[str, BreakevenError],
) -> None:
    """The mean use of a present customer: a lognormal's mean with the doubt of both its parameters, idle ones apart."""
    try:
        use = fit_usage(counted.each) if counted.each else None
        if use is None:
            raise DataError("history-short", n=0)
    except BreakevenError as error:
        open_["answers_each"] = error
        return
    n, variance = use.mean_log.n or 1, use.sd_log.value**2
    log_mean = use.mean_log.value + 0.5 * variance + math.log(1.0 - use.idle)
    sigma = math.sqrt(variance / n + 0.5 * variance**2 / n)
    reach = 1.959963984540054 * sigma
    mean = math.exp(log_mean)
    bounds = (mean * math.exp(-reach), mean * math.exp(reach))
    about: dict[str, Any] = {"n": len(counted.each), "method": "lognormal among the present customers"}
    quantities["answers_each"] = Quantity(mean, "answers/customer/month", "measured", *bounds, **about)
    driver = Driver("lognormal", (log_mean - 0.5 * sigma**2, sigma, 0.0), "measured") if sigma else Driver.of(mean)
    drivers["customers.answers_each"] = driver.checked(AMOUNT)


def _curve(counted: Counted, quantities: dict[str, Quantity], open_: dict[str, BreakevenError]) -> None:
    """Churn that falls with age, shown beside the constant rate where the months tell it of single customers."""
    stays = counted.stays
    if not stays:
        return
    try:
        curve = fit_churn_curve([months for months, _ in stays], [gone for _, gone in stays])
    except BreakevenError as error:
        open_["churn_curve"] = error
        return
    assert curve.fit is not None  # what was fitted says how
    if not curve.fit.identified:
        open_["churn_curve"] = DataError("curve-open", n=len(stays))
        return
    for name in ("alpha", "beta"):
        quantities[f"churn_curve.{name}"] = curve.fit.quantity(name, "shape")


Segments = Mapping[str, tuple[Counted, Fitted]]


def go_on(plan: BusinessPlan, counted: Counted, found: Fitted, segments: Segments | None = None) -> BusinessPlan:
    """The rest of the plan from where it stands, on what was fitted instead of what was declared.

    What could not be fitted stays declared; use keeps its spread among customers where a price plan bends. `segments`:
    what was counted and fitted of each, where the plan has them. UsageError where one is missing or no month is left.
    """
    missing = sorted(set(plan.segments) - set(segments or {}))
    if missing:
        raise UsageError("actuals-segments", found=missing)
    if plan.months <= counted.months:
        raise UsageError("actuals-over", counted=counted.months, months=plan.months)
    rest = advance(plan, counted.months, counted.streams())
    seen = {f"segments.{name}.": (segments or {})[name] for name in plan.segments} or {"": (counted, found)}
    changes: dict[str, Driver] = {}
    for prefix, (months, fits) in seen.items():
        rest = _leaving(rest, prefix, fits)
        changes |= _changes(plan, prefix, months, fits)
    if counted.cash is not None and plan.cash is not None:
        owed = plan.cash.mean - (rest.cash.mean if rest.cash is not None else 0.0)
        changes["cash"] = Driver.of(counted.cash - owed, plan.currency, "measured")
    rest = rest.model_copy(update={"correlations": _known(rest, changes)})
    return replaced(rest, changes)


def _leaving(rest: BusinessPlan, prefix: str, fits: Fitted) -> BusinessPlan:
    """Customers of a segment counted whole, at the fitted rate of churn instead of whatever kind was declared."""
    changed: dict[str, Any] = {"counting": "whole"}
    rate = fits.drivers.get("customers.churn_per_month")
    if rate is not None:
        kinds: dict[str, Any] = dict.fromkeys(("churn_per_year", "churn_by_month", "churn_curve"))
        changed |= {**kinds, "churn_per_month": rate}
    return rest.with_customers(prefix, rest.parts()[prefix].customers.model_copy(update=changed))


def _changes(plan: BusinessPlan, prefix: str, counted: Counted, fits: Fitted) -> dict[str, Driver]:
    """The drivers of a segment that were fitted, by their names in the plan, and how many customers it starts with."""
    named = {name: driver for name, driver in fits.drivers.items() if name != "customers.churn_per_month"}
    price = plan.parts()[prefix].price
    if price is not None and price.plan is not None and "customers.answers_each" in named:
        each, share = counted.each, 1.0 / len(counted.each)
        named["customers.answers_each"] = Driver("values", (*each, *(share for _ in each)), "measured", "customer")
    named["customers.start"] = Driver.of(counted.history().present[-1], "customers", "measured")
    return {f"{prefix}{name}": driver for name, driver in named.items()}


def _known(plan: BusinessPlan, changes: Mapping[str, Driver]) -> list[tuple[str, str, float]]:
    """Correlations among what stays doubtful as declared; what was fitted is drawn apart."""
    churns = (f"{prefix}customers.churn_per_{span}" for prefix in plan.parts() for span in ("month", "year"))
    gone = {*changes, *churns}
    return [pair for pair in plan.correlations if not gone & set(pair[:2])]
