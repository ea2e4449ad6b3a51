"""Price research in a plan: the demand curve with its doubt, the price that earns most, and who still comes at it.

The curve enters the simulation as two numbers that are drawn together, so the doubt of the answers reaches every result
and is ranked among the others. The price with the highest (price - cost) x buyers is shown with its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from breakeven.economics import draws
from breakeven.economics.demand import BestPrice, LogitDemand, best_price
from breakeven.economics.drivers import Driver
from breakeven.economics.likelihood import Fit
from breakeven.economics.machines import marginal_cost
from breakeven.economics.normal import Floats, floats
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.research import (
    Conjoint,
    PriceSensitivity,
    conjoint,
    gabor_granger,
    part_worths,
    van_westendorp,
)
from breakeven.economics.research_sections import ConjointStudy, Research
from breakeven.economics.sections import DemandCurve, Pricing, Response
from breakeven.errors import BreakevenError, DataError, Finding, Place, UsageError
from breakeven.quantity import Quantity, short, weakest

DRAWS = 200
POINTS = 41
COSTS = ("costs.serving.", "costs.payments.")
_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Studied:
    """What the answers show. unit: per_answer or per_customer; demand: in that unit, with `drawn` [DRAWS] (intercept,
    slope) of its doubt; None where only a range was asked. study: which one the curve is of, from `n` answers."""

    unit: str
    settings: Research
    sensitivity: PriceSensitivity | None
    choices: Conjoint | None
    study: str | None
    demand: LogitDemand | None
    drawn: tuple[Floats, Floats]
    n: int

    @property
    def scale(self) -> float:
        """Asked prices are for so many of the unit."""
        return 1000.0 if self.settings.unit == "per_1000_answers" else 1.0

    def as_json(self) -> dict[str, Any]:
        """As plan.json carries it; prices are per `unit` of the plan."""
        return {"unit": self.unit, "van_westendorp": self._range(), "conjoint": self._worths(), "curve": self._curve()}

    def _range(self) -> dict[str, Any] | None:
        seen = self.sensitivity
        if seen is None:
            return None

        def scaled(price: float | None) -> float | None:
            return None if price is None else price / self.scale

        return {
            "range_original": [scaled(price) for price in seen.range_original],
            "range_common": [scaled(price) for price in seen.range_common],
            "optimal": scaled(seen.optimal),
            "indifference": scaled(seen.indifference),
            "respondents": seen.respondents,
            "dropped": seen.dropped,
        }

    def _worths(self) -> dict[str, Any] | None:
        if self.choices is None:
            return None
        return {"part_worths": self.choices.worths, "importance": dict(self.choices.importance),
                "hit_rate": self.choices.hit_rate, "questions": self.choices.questions}  # fmt: skip

    def _curve(self) -> dict[str, Any] | None:
        if self.demand is None:
            return None
        prices = np.linspace(0.0, 2.0 * max(self.demand.intercept + 2.0, 2.0) / self.demand.slope, POINTS)
        shown = [LogitDemand(a, b, self.demand.ceiling).share(prices) for a, b in zip(*self.drawn, strict=True)]
        low, high = np.quantile(shown, [0.1, 0.9], axis=0)
        rows = {"p10": low.tolist(), "p90": high.tolist(), "share": self.demand.share(prices).tolist()}
        return {"study": self.study, "n": self.n, "prices": prices.tolist(), **rows}


def study(settings: Research, tables: Mapping[str, Rows], *, leading: str | None, seed: int = 0) -> Studied:
    """Fits every declared study. `leading`: what the declared price is for; errors name the file and the column."""
    unit = (settings.unit or leading or "").replace("per_1000_answers", "per_answer")
    if not unit:
        raise UsageError("research-unit")
    scale = 1000.0 if settings.unit == "per_1000_answers" else 1.0
    found: dict[str, Any] = {}
    for name, each in settings.studies().items():
        try:
            found[name] = _READ[name](each, tables[name])
        except BreakevenError as error:
            raise error.located(file=each.file) from None
    chosen = settings.curve or next((name for name in ("gabor_granger", "conjoint") if name in found), None)
    choices = found.get("conjoint")
    if chosen is None:
        nothing = (np.zeros(0), np.zeros(0))
        return Studied(unit, settings, found["van_westendorp"], None, None, None, nothing, 0)
    generator = draws.stream(seed, "research", chosen)
    demand, drawn, count = _curve_of(chosen, found[chosen], settings, generator)
    if demand.slope <= 0.0:
        raise DataError("research-demand-rises", at=Place(file=settings.studies()[chosen].file))
    scaled = replace(demand, slope=demand.slope * scale)
    slopes = np.maximum(drawn[1] * scale, 1e-3 * scaled.slope)
    return Studied(unit, settings, found.get("van_westendorp"), choices, chosen, scaled, (drawn[0], slopes), count)


def _cells(rows: Rows, column: str) -> list[Any]:
    if not rows or column not in rows[0]:
        raise DataError("study-column", column=column, found=list(rows[0]) if rows else [])
    return [row[column] for row in rows]


def _numbers(rows: Rows, column: str) -> list[float]:
    values = []
    for number, cell in enumerate(_cells(rows, column), 1):
        try:
            values.append(float(cell))
        except (TypeError, ValueError):
            raise DataError("study-number", at=Place(row=number, field=column), found=str(cell)[:60]) from None
    return values


def _four_prices(each: Any, rows: Rows) -> PriceSensitivity:
    four = (each.too_cheap, each.cheap, each.expensive, each.too_expensive)
    return van_westendorp(*(_numbers(rows, column) for column in four))


def _buys(each: Any, rows: Rows) -> tuple[LogitDemand, Fit]:
    said = []
    for number, cell in enumerate(_cells(rows, each.bought), 1):
        word = str(cell).strip().lower()
        if word not in (*_YES, *_NO):
            raise DataError("study-yes-no", at=Place(row=number, field=each.bought), found=str(cell)[:60])
        said.append(float(word in _YES))
    return gabor_granger(_numbers(rows, each.price), said, ceiling=each.ceiling)


def _choices(each: ConjointStudy, rows: Rows) -> Conjoint:
    for column in (*each.attributes, each.question, each.chosen):
        _cells(rows, column)
    prices = _numbers(rows, each.price)
    told = [{**row, each.price: price} for row, price in zip(rows, prices, strict=True)]
    made = conjoint(told, attributes=each.attributes, price=each.price, question=each.question, chosen=each.chosen)
    profiles: list[Mapping[str, Any]] = [each.ours, *each.against]
    for profile in profiles:
        for name in each.attributes:
            if str(profile[name]) not in made.levels[name]:
                raise DataError(
                    "study-level", attribute=name, found=str(profile[name]), allowed=list(made.levels[name])
                )
    return made


_READ: dict[str, Any] = {"van_westendorp": _four_prices, "gabor_granger": _buys, "conjoint": _choices}


def _curve_of(
    name: str, found: Any, settings: Research, generator: np.random.Generator
) -> tuple[LogitDemand, tuple[Floats, Floats], int]:
    """(the curve, draws of its intercept and slope, answers behind it); DataError where they leave it open."""
    fit: Fit = found[1] if name == "gabor_granger" else found.fit
    if not fit.identified:
        raise DataError("research-open", at=Place(file=settings.studies()[name].file))
    drawn = fit.draws(DRAWS, generator)
    if name == "gabor_granger":
        return found[0], (drawn["intercept"], drawn["slope"]), fit.n
    each = settings.conjoint
    assert each is not None  # the curve is of a declared study
    against = [dict(profile) for profile in each.against]
    curves = []
    for values in zip(*drawn.values(), strict=True):
        one = replace(fit, values=tuple(float(value) for value in values))
        curves.append(replace(found, fit=one, worths=part_worths(one, found.levels)).demand(each.ours, against))
    pairs = floats([(curve.intercept, curve.slope) for curve in curves]).T
    return found.demand(each.ours, against), (pairs[0], pairs[1]), fit.n


@dataclass(frozen=True)
class Advice:
    """The price that earns most on the demand curve, its interval from the doubt of the answers, and the elasticity
    there; `declared` the elasticity at the declared price, `gain` what the advice earns against it, as a share."""

    unit: str
    price: Quantity
    elasticity: Quantity
    declared: Quantity | None
    gain: float | None
    unit_cost: float

    def as_json(self) -> dict[str, Any]:
        """As plan.json carries it."""
        return {
            "unit": self.unit,
            "price": self.price.as_json(),
            "elasticity": self.elasticity.as_json(),
            "elasticity_at_declared": None if self.declared is None else self.declared.as_json(),
            "gain_over_declared": self.gain,
            "unit_cost": self.unit_cost,
        }


def unit_cost(plan: BusinessPlan, unit: str) -> float:
    """What one more unit costs in the mean, payment fees on top of it included; the price's own fee is taken off it."""
    serving, fees = plan.costs.serving, plan.costs.payments
    answer = serving.review_per_answer.mean + serving.liability_per_answer.mean
    answer += serving.per_answer.mean if serving.per_answer is not None else 0.0
    if serving.machine_per_hour is not None and serving.capacity_per_second is not None:
        busy = 1.0 / serving.peak_factor.mean
        answer += float(marginal_cost(serving.machine_per_hour.mean, serving.capacity_per_second.mean, busy))
    each = plan.customers.answers_each.mean
    cost = answer
    if unit == "per_customer":
        cost = serving.per_customer.mean + each * answer + fees.per_invoice.mean
    elif each > 0.0:
        cost += (serving.per_customer.mean + fees.per_invoice.mean) / each
    return cost / max(1e-9, 1.0 - fees.percentage.mean)


def advise(
    plan: BusinessPlan, studied: Studied, *, low: float | None = None, high: float | None = None
) -> Advice | None:
    """The price for this plan's costs, between `low` and `high` where they are known; None without a curve."""
    if studied.demand is None:
        return None
    cost = unit_cost(plan, studied.unit)
    best = _best(studied.demand, cost, low, high)
    drawn = [LogitDemand(a, b, studied.demand.ceiling) for a, b in zip(*studied.drawn, strict=True)]
    prices = [_best(demand, cost, low, high).price for demand in drawn]
    asked = None if plan.price is None else getattr(plan.price, studied.unit)
    at = None if asked is None or asked.mean <= 0.0 else asked.mean
    spent = [driver for name, driver in plan.drivers().items() if name.startswith(COSTS) and driver.mean > 0.0]
    origin = weakest(["measured", *(driver.origin for driver in spent)])
    unit = f"{plan.currency}/{studied.unit.removeprefix('per_')}"
    about: dict[str, Any] = {"n": studied.n, "method": f"{studied.study}, highest (price - cost) x buyers"}
    bounds = np.quantile(prices, [0.025, 0.975])
    gain = None
    if at is not None and at > cost:
        now = (at - cost) * float(studied.demand.share(at))
        gain = best.profit / now - 1.0 if now > 1e-6 * best.profit else None
    return Advice(
        studied.unit,
        Quantity(best.price, unit, origin, float(bounds[0]), float(bounds[1]), **about),
        _elasticity(studied.demand, drawn, best.price, studied.n),
        None if at is None else _elasticity(studied.demand, drawn, at, studied.n),
        gain,
        cost,
    )


def _best(demand: LogitDemand, cost: float, low: float | None, high: float | None) -> BestPrice:
    floor = max(cost, low or 0.0)
    if high is not None and high <= floor:
        return best_price(demand, unit_cost=cost, low=floor)
    return best_price(demand, unit_cost=cost, low=floor, high=high)


def _elasticity(demand: LogitDemand, drawn: Sequence[LogitDemand], price: float, n: int) -> Quantity:
    values = [float(each.elasticity(price)) for each in drawn]
    low, high = (float(bound) for bound in np.quantile(values, [0.025, 0.975]))
    return Quantity(float(demand.elasticity(price)), "percent/percent", "measured", low, high, n=n)


def respond(plan: BusinessPlan, studied: Studied, advice: Advice | None) -> BusinessPlan:
    """The plan in which new customers answer to the price by the curve, at the advised price where none is declared.

    A declared response stays; so does a price plan by meters, of which nobody was asked.
    """
    if advice is None or studied.demand is None or plan.segments:
        return plan
    recommended = {studied.unit: Driver.of(advice.price.value, origin=advice.price.origin)}
    price = plan.price or Pricing.model_validate(recommended)
    asked: Driver | None = getattr(price, studied.unit)
    if price.response is not None or asked is None or price.leading != studied.unit or asked.mean <= 0.0:
        return plan
    given = studied.settings.reference
    reference = Driver.of(asked.mean if given is None else float(given) / studied.scale, origin=asked.origin)
    intercept, slope = studied.drawn
    curve = DemandCurve(
        intercept=_normal(studied.demand.intercept, intercept), slope=_lognormal(studied.demand.slope, slope)
    )
    together = float(np.clip(np.corrcoef(intercept, np.log(slope))[0, 1], -0.999, 0.999))
    response = Response(reference=reference, demand=curve)
    return plan.model_copy(
        update={
            "price": price.model_copy(update={"response": response}),
            "correlations": [*plan.correlations, (f"{_CURVE}intercept", f"{_CURVE}slope", together)],
        }
    )


_CURVE = "price.response.demand."


def respond_of(plan: BusinessPlan, name: str, studied: Studied, advice: Advice | None) -> BusinessPlan:
    """The plan in which the new customers of one segment answer to its price by its own curve."""
    made = respond(plan.of_segment(name), studied, advice)
    segment = plan.segments[name].model_copy(update={"price": made.price})
    pairs = [(f"segments.{name}.{one}", f"segments.{name}.{other}", value) for one, other, value in made.correlations]
    changed = {"segments": {**plan.segments, name: segment}, "correlations": [*plan.correlations, *pairs]}
    return plan.model_copy(update=changed)


def _normal(mean: float, drawn: Floats) -> Driver:
    return Driver("normal", (mean, float(drawn.std(ddof=1))), "measured")


def _lognormal(mean: float, drawn: Floats) -> Driver:
    sigma = float(np.log(drawn).std(ddof=1))
    return Driver("lognormal", (float(np.log(mean)) - 0.5 * sigma**2, sigma, 0.0), "measured")


def remarks(
    plan: BusinessPlan, studied: Studied, advice: Advice | None, name: str, *, segment: str | None = None
) -> list[Finding]:
    """What a founder should see: a price outside what sounds right, and a better one. `segment`: of whose answers."""
    found = []
    whose = {} if segment is None else {"segment": segment}
    outside, better = "research-price-outside", "research-better-price"
    if segment is not None:
        outside, better = "research-price-outside-of-segment", "research-better-price-of-segment"
    asked = None if plan.price is None else getattr(plan.price, studied.unit)
    seen = studied.sensitivity
    if asked is not None and seen is not None and None not in seen.range_original:
        low, high = (float(price or 0.0) / studied.scale for price in seen.range_original)
        if not low <= asked.mean <= high:
            about = {"price": short(asked.mean, 4), "low": short(low, 4), "high": short(high, 4)}
            found.append(Finding(outside, "warning", "business", name, {**about, **whose}))
    if advice is not None and advice.gain is not None and advice.gain > 0.02:
        more = {"price": short(advice.price.value, 4), "declared": short(asked.mean, 4) if asked else ""}
        about = {**more, "gain": f"{100 * advice.gain:.0f}"}
        found.append(Finding(better, "info", "business", name, {**about, **whose}))
    return found
