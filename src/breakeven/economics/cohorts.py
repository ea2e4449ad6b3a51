"""Customers month by month: who leaves, who grows, who comes, and how much they use.

Flows are expectations (not whole people); the order within a month is open, churn, expand, add. New customers cannot
churn in their first month.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from breakeven.economics import draws
from breakeven.economics.normal import Floats
from breakeven.economics.sampling import Inputs, Value, at
from breakeven.economics.sections import Customers, Market


@dataclass(frozen=True)
class Flows:
    """[months, n] each. units: customers weighted by how much they have expanded; one new customer is one unit."""

    active: Floats
    new: Floats
    churned: Floats
    units: Floats
    churned_units: Floats
    expanded_units: Floats
    marketing: Floats
    answers: Floats

    @property
    def kept(self) -> Floats:
        """The share of a month's first customers that are still there at its end."""
        opening = self.active - self.new + self.churned
        return 1.0 - np.divide(self.churned, opening, out=np.zeros_like(opening), where=opening > 0.0)


def flows(
    prefix: str,
    customers: Customers,
    market: Market | None,
    *,
    inputs: Inputs,
    growth_in_month_1: bool,
    factors: Mapping[str, Value],
    sellers: Mapping[str, Value],
) -> Flows:
    """The customers of one segment. `factors`: what risks do to new_customers, churn and answers, [months, n] or 1."""
    name = f"{prefix}customers."
    offered, marketing = _offered(name, customers, inputs, growth_in_month_1)
    offered = offered * factors.get("new_customers", 1.0)
    counted = Counted(name, inputs) if customers.counting == "whole" and inputs.random else Expected()
    leaving = Leaving.of(name, customers, inputs, factors.get("churn", 1.0), counted)
    most = _sales_limit(name, customers, inputs, sellers)
    whole = _market_size(prefix, market, inputs)
    shape = (inputs.months, inputs.size)
    active, new, churned, units, lost, more = (np.empty(shape) for _ in range(6))
    kept = Flows(active, new, churned, units, lost, more, marketing, answers=active)
    active = counted.opening(np.zeros(inputs.size) + inputs[f"{name}start"])
    units, adopted = active.copy(), active.copy()
    leaving.open(active)
    expansion, growth = inputs[f"{name}expansion_per_month"], inputs[f"{name}growth_per_month"]
    spreads = bool(np.any(growth))
    for month in range(inputs.months):
        grows = month > 0 or growth_in_month_1
        churned, rate = leaving.step(month, active)
        kept.churned_units[month] = lost = units * rate
        staying = units - lost
        kept.expanded_units[month] = more = staying * (at(expansion, month) if grows else 0.0)
        remaining = active - churned
        new = offered[month] + remaining * at(growth, month) if spreads and grows else offered[month]
        if market is not None:
            new = _market_limit(
                prefix, market, inputs, new=new, month=month, remaining=remaining, adopted=adopted, whole=whole
            )
        if most is not None:
            np.minimum(new, most[month], out=new)
        new = counted.coming(new, month)
        adopted = adopted + new
        leaving.join(new)
        kept.active[month] = active = remaining + new
        kept.units[month] = units = staying + more + new
        kept.new[month], kept.churned[month] = new, churned
    answers = _answers(prefix, customers, inputs, kept.active, kept.units) * factors.get("answers", 1.0)
    return replace(kept, answers=answers)


def _offered(name: str, customers: Customers, inputs: Inputs, growth_in_month_1: bool) -> tuple[Floats, Floats]:
    """(customers who would come of themselves or through channels, money spent on channels), [months, n]."""
    months, size = inputs.months, inputs.size
    offered = np.zeros((months, size)) + inputs[f"{name}new_per_month"]
    growth = inputs[f"{name}new_growth_per_month"]
    if np.any(growth):
        offered *= _compounded(growth, 1.0 if growth_in_month_1 else 0.0, months)
    spent: Value = 0.0
    for label, channel in customers.channels.items():
        here = f"{name}channels.{label}."
        spend = inputs[f"{here}spend_per_month"]
        if channel.start > 1 or channel.end is not None:
            spend = np.zeros((months, size)) + spend
            spend[: max(0, channel.start - 1)] = 0.0
            spend[months if channel.end is None else channel.end :] = 0.0
        won: Value = spend / inputs[f"{here}cac"]
        if channel.saturation_per_month is not None:
            most = inputs[f"{here}saturation_per_month"]
            won = most * -np.expm1(-won / np.maximum(most, 1e-12))
        offered, spent = offered + won, spent + spend
    return offered, np.broadcast_to(np.asarray(spent, dtype=float), (months, size))


def _compounded(growth: Value, first: float, months: int) -> Floats:
    """[months, n] or [months, 1]: (1 + growth) to the power of `first`, first + 1 ...; the growth is drawn once."""
    rise = 1.0 + np.atleast_1d(growth)
    made = np.empty((months, len(rise)))
    made[0] = rise**first
    for month in range(1, months):
        np.multiply(made[month - 1], rise, out=made[month])
    return made


def _sales_limit(name: str, customers: Customers, inputs: Inputs, sellers: Mapping[str, Value]) -> Floats | None:
    if customers.sales is None:
        return None
    return np.asarray(sellers[customers.sales.role] * inputs[f"{name}sales.closes_per_month"])


def _market_size(prefix: str, market: Market | None, inputs: Inputs) -> Value:
    if market is None:
        return np.inf
    name = f"{prefix}market."
    return inputs[f"{name}customers"] * inputs[f"{name}reachable"] * inputs[f"{name}share"]


def _market_limit(
    prefix: str,
    market: Market,
    inputs: Inputs,
    *,
    new: Floats,
    month: int,
    remaining: Floats,
    adopted: Floats,
    whole: Value,
) -> Floats:
    """Bass diffusion on top of what comes otherwise; never more customers than the market holds."""
    size = at(whole, month)
    if market.innovation is not None:
        p, q = at(inputs[f"{prefix}market.innovation"], month), at(inputs[f"{prefix}market.imitation"], month)
        left = np.maximum(size - adopted, 0.0)
        new = new + (p + q * adopted / np.maximum(size, 1e-12)) * left
    return np.minimum(new, np.maximum(size - remaining, 0.0))


def _answers(prefix: str, customers: Customers, inputs: Inputs, active: Floats, units: Floats) -> Floats:
    """Answers a month: units x the mean use, the luck of having few customers of very different size, the season."""
    name = f"{prefix}customers.answers_each"
    answers = units * inputs[name]
    spread = customers.answers_each
    if inputs.random and spread.each == "customer" and not spread.certain and spread.mean > 0.0:
        # The mean use of N customers has the spread of one over root N; the same customers stay, so one draw holds.
        variance = np.log1p((spread.sd / spread.mean) ** 2 / np.maximum(active, 1.0))
        answers *= np.exp(np.sqrt(variance) * inputs.luck(f"spread {name}", 0.0) - 0.5 * variance)
    if customers.seasonality is not None:
        season = np.resize(np.roll(customers.seasonality, 1 - customers.first_month), inputs.months)
        answers *= season[:, None]
    return np.asarray(answers)


class Expected:
    """Flows as expectations: parts of customers come and go."""

    whole = False

    def opening(self, active: Floats) -> Floats:
        """Customers of day one."""
        return active

    def coming(self, expected: Floats, month: int) -> Floats:
        """Those who come in a month."""
        return expected

    def leaving(self, present: Floats, rate: Floats, month: int, cohort: int = 0) -> Floats:
        """Those of the present who leave."""
        return present * rate


class Counted(Expected):
    """Whole customers: they come as a Poisson stream and leave by their own coin each. Same expectations."""

    whole = True

    def __init__(self, name: str, inputs: Inputs) -> None:
        self._name, self._inputs = name, inputs

    def _stream(self, *place: object) -> np.random.Generator:
        # One stream a month, so that a scenario gets the same numbers however many are run.
        return draws.stream(self._inputs.seed, "count", self._name, self._inputs.block, *place)

    def opening(self, active: Floats) -> Floats:
        """The nearest whole number."""
        return np.rint(active)

    def coming(self, expected: Floats, month: int) -> Floats:
        """A Poisson number."""
        return self._stream("come", month).poisson(expected).astype(float)

    def leaving(self, present: Floats, rate: Floats, month: int, cohort: int = 0) -> Floats:
        """A binomial number."""
        return self._stream("go", month, cohort).binomial(present.astype(np.int64), rate).astype(float)


def _drawn_once(value: Value) -> bool:
    return not isinstance(value, np.ndarray) or value.ndim < 2


class Leaving:
    """Who churns: one rate for all ages, or a rate by age, for which the cohorts are kept apart."""

    def __init__(self, rate: Value, by_age: Floats | None, factor: Value, counted: Expected) -> None:
        self._rate, self._by_age, self._factor, self._counted = rate, by_age, factor, counted
        self._cohorts: list[Floats] = []
        self._constant: Floats | None = None

    @classmethod
    def of(cls, name: str, customers: Customers, inputs: Inputs, factor: Value, counted: Expected) -> Leaving:
        """From whichever kind of churn the plan declares; none: nobody leaves."""
        if customers.churn_per_month is not None:
            return cls(inputs[f"{name}churn_per_month"], None, factor, counted)
        if customers.churn_per_year is not None:
            return cls(1.0 - (1.0 - np.asarray(inputs[f"{name}churn_per_year"])) ** (1.0 / 12.0), None, factor, counted)
        ages = np.arange(1.0, inputs.months + 1.0)[:, None]
        if customers.churn_curve is not None:
            a, b = inputs[f"{name}churn_curve.alpha"], inputs[f"{name}churn_curve.beta"]
            return cls(0.0, np.asarray(a / (a + b + ages - 1.0)) + np.zeros((1, inputs.size)), factor, counted)
        if customers.churn_by_month is not None:
            last = len(customers.churn_by_month) - 1
            rows = [inputs[f"{name}churn_by_month.{min(int(age) - 1, last)}"] for age in ages[:, 0]]
            return cls(0.0, np.array([np.zeros(inputs.size) + row for row in rows]), factor, counted)
        return cls(0.0, None, factor, counted)

    def open(self, active: Floats) -> None:
        """The customers of day one, taken as new on that day."""
        if self._by_age is not None:
            self._cohorts = [active.copy()]

    def step(self, month: int, active: Floats) -> tuple[Floats, Floats]:
        """(customers lost in the month, the share of all that is)."""
        factor = at(self._factor, month)
        if self._by_age is None:
            rate = self._constant
            if rate is None:
                rate = np.minimum(np.zeros_like(active) + at(self._rate, month) * factor, 1.0)
                self._constant = rate if _drawn_once(self._rate) and _drawn_once(self._factor) else None
            lost = self._counted.leaving(active, rate, month)
            if not self._counted.whole:
                return lost, rate
            return lost, np.divide(lost, active, out=np.zeros_like(lost), where=active > 0.0)
        rates = np.minimum(self._by_age * factor, 1.0)
        lost = np.zeros_like(active)
        for number, cohort in enumerate(self._cohorts):
            gone = self._counted.leaving(cohort, rates[len(self._cohorts) - number - 1], month, number)
            cohort -= gone
            lost += gone
        return lost, np.divide(lost, active, out=np.zeros_like(lost), where=active > 0.0)

    def join(self, new: Floats) -> None:
        """Customers won in the month: one cohort."""
        if self._by_age is not None:
            self._cohorts.append(new.copy())
