"""A simulated plan as a reader gets it: figures with intervals, months with probabilities, fans, findings, JSON.

Intervals of figures are p10 to p90 over the scenarios. The base case (every driver at its mean) stands beside the mean
outcome: a plan is not linear, so they differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from breakeven.economics import finance, ownership
from breakeven.economics.captable import CapTable
from breakeven.economics.draws import SCRAMBLINGS
from breakeven.economics.machines import Volumes
from breakeven.economics.normal import Floats
from breakeven.economics.ownership import Ownership
from breakeven.economics.paths import HEADLINE
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.plans import plan_findings
from breakeven.economics.price_studies import Advice, Studied, advise, remarks, respond, respond_of
from breakeven.economics.sections import Risk
from breakeven.economics.simulation import QUANTILES, Run, run
from breakeven.economics.unit_sheet import UnitSheet, of_run
from breakeven.errors import Finding
from breakeven.quantity import Origin, Quantity, weakest

FORMAT = 1
MONEY, PER_MONTH = "{currency}", "{currency}/month"
UNITS = {
    "worth": MONEY,
    "funding_need": MONEY,
    "final_cash_unabsorbed": MONEY,
    "customers_end": "customers",
    "mrr_end": PER_MONTH,
    "arr_end": "{currency}/year",
    "revenue_total": MONEY,
    "gross_margin": "share",
    "contribution_margin": "share",
    "cac": "{currency}/customer",
    "revenue_per_customer": "{currency}/customer/month",
    "ltv": "{currency}/customer",
    "cac_payback_months": "months",
    "nrr": "share",
    "grr": "share",
    "quick_ratio": "ratio",
    "burn_per_month": PER_MONTH,
    "burn_multiple": "ratio",
    "rule_of_40": "points",
    "magic_number": "ratio",
}
NAMES = {"worth": "npv"}
BREAK_EVEN = {"operating": "operating_month", "cash": "cash_month", "payback": "payback_month"}
MONTHS = {
    "operating_month": "break_even_operating",
    "cash_month": "break_even_cash",
    "payback_month": "payback",
    "ruin_month": "ruin",
}


@dataclass(frozen=True)
class Reached:
    """A month as a distribution. Quantiles of None lie beyond the horizon, which counts as an outcome."""

    months: int
    base: float | None
    probability: Quantity
    p10: float | None
    p50: float | None
    p90: float | None
    by_month: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """As plan.json carries it; `by_month[i]` is the probability that it is reached by month i + 1."""
        return {
            "horizon": self.months,
            "base": self.base,
            "probability": self.probability.as_json(),
            "p10": self.p10,
            "p50": self.p50,
            "p90": self.p90,
            "by_month": list(self.by_month),
        }

    def curve(self) -> dict[str, Any]:
        """The probability that it is reached by each month of the horizon, and that it never is."""
        months = list(range(1, self.months + 1))
        return {"months": months, "probability": list(self.by_month), "never": 1.0 - self.by_month[-1]}


@dataclass(frozen=True)
class Plan:
    """What `simulate` gives back. `run` holds every array; `filled` what measured numbers were put in empty places;
    `overruled` measured numbers beside a declared one that stands; `unit` what a verdict says of 1,000 answers."""

    run: Run
    name: str = "plan"
    filled: Mapping[str, Quantity] = field(default_factory=dict)
    overruled: Mapping[str, Quantity] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    break_even_answers: Volumes | None = None
    unit: UnitSheet | None = None
    ownership: Ownership | None = None
    studied: Studied | None = None
    advice: Advice | None = None
    by_segment: Mapping[str, tuple[Studied, Advice | None]] = field(default_factory=dict)  # research of each
    suggested: tuple[Risk, ...] = ()  # by findings of other stages; the plan is simulated without them

    @property
    def settings(self) -> BusinessPlan:
        """The plan as simulated."""
        return self.run.plan

    def figure(self, name: str) -> Quantity:
        """Mean and p10 to p90 of a figure over the scenarios in which it means something."""
        values = self.run.outcomes[name]
        known = values[np.isfinite(values)]
        unit = UNITS[name].format(currency=self.settings.currency)
        if len(known) == 0:
            return Quantity(math.nan, unit, self.origin)
        low, high = (float(q) for q in np.quantile(known, [QUANTILES[0], QUANTILES[2]]))
        # A figure of one value has no interval; one whose tails hold the doubt (nine in ten are ruined) has.
        spread = high > low or float(known.max()) > float(known.min())
        return Quantity(
            float(known.mean()),
            unit,
            self.origin,
            low if spread else None,
            high if spread else None,
            0.8,
            n=len(known),
            method=f"mean and p10 to p90 of {self.run.scenarios} scenarios",
        )

    @property
    def origin(self) -> Origin:
        """The weakest origin among the numbers that matter: not zero, and not about machines where there are none."""
        idle = {"costs.serving.peak_factor"} if self.settings.costs.serving.machine_per_hour is None else set()
        return weakest(
            driver.origin
            for name, driver in self.settings.drivers().items()
            if name not in idle and not (driver.certain and driver.mean == 0.0)
        )

    def months(self, name: str) -> Reached:
        """When something happens: `operating_month`, `cash_month`, `payback_month` or `ruin_month`."""
        values, horizon = self.run.outcomes[name], self.settings.months
        found, low, high = self.run.probability(name)
        p10, p50, p90 = (_month(q, horizon) for q in np.quantile(values, QUANTILES, method="inverted_cdf"))
        by_month = np.cumsum(np.bincount(values[np.isfinite(values)].astype(int), minlength=horizon + 1)[1:])
        probability = Quantity(
            found,
            "probability",
            self.origin,
            low,
            high,
            n=self.run.scenarios,
            method="share of the scenarios, with the simulation's own interval",
        )
        return Reached(
            horizon,
            _month(self.run.base_outcomes[name], horizon),
            probability,
            p10,
            p50,
            p90,
            tuple(float(count) / len(values) for count in by_month),
        )

    def runway(self) -> Reached:
        """Months until ruin, censored at the horizon (None: longer)."""
        return self.months("ruin_month")

    def default_alive(self) -> float:
        """Share of the scenarios that are never ruined and earn cash at the end."""
        return float(np.mean(np.isinf(self.run.outcomes["ruin_month"]) & np.isfinite(self.run.outcomes["cash_month"])))

    def irr(self) -> list[float]:
        """Every yearly internal rate of return of the base case's cash before funding; empty where there is none."""
        flows = np.diff(self.run.base["cash_before_funding"])
        first = self.run.base["cash_flow"][0]
        start = self.run.base["cash_before_funding"][0] - first
        return [float((1.0 + rate) ** 12 - 1.0) for rate in finance.irr([float(start), float(first), *flows.tolist()])]

    def figures(self) -> dict[str, Quantity]:
        """Every figure that means something in this plan, by the name readers know."""
        found = {NAMES.get(name, name): self.figure(name) for name in UNITS if name in self.run.outcomes}
        return {name: quantity for name, quantity in found.items() if math.isfinite(quantity.value)}

    def as_json(self) -> dict[str, Any]:
        """A candidate's part of plan.json: figures as quantities at the top, then months, fans and inputs."""
        data: dict[str, Any] = {name: quantity.as_json() for name, quantity in self.figures().items()}
        data["probability_of_ruin"] = self.months("ruin_month").probability.as_json()
        data["probability_of_break_even"] = self.months("operating_month").probability.as_json()
        data |= {label: self.months(name).as_json() for name, label in MONTHS.items()}
        data["break_even"] = {label: self.months(name).curve() for label, name in BREAK_EVEN.items()}
        sheet = self.unit or of_run(self.run, self.origin)
        data["unit"] = None if sheet is None else sheet.as_json()
        data["cap_table"] = None if self.ownership is None else self.ownership.as_json()
        data["price_advice"] = None if self.advice is None else self.advice.as_json()
        data["price_advice_by_segment"] = {
            name: None if advice is None else advice.as_json() for name, (_, advice) in self.by_segment.items()
        }
        data["default_alive"] = self.default_alive()
        data["irr_of_base_case"] = self.irr()
        data["base"] = {NAMES.get(name, name): _finite(value) for name, value in self.run.base_outcomes.items()}
        data["fans"] = {name: self.fan(name) for name in HEADLINE}
        data["inputs"] = {
            name: driver.quantity().as_json()
            for name, driver in self.settings.drivers().items()
            if not (driver.certain and driver.mean == 0.0)
        }
        data["filled"] = {name: quantity.as_json() for name, quantity in self.filled.items()}
        data["overruled"] = {name: quantity.as_json() for name, quantity in self.overruled.items()}
        data["findings"] = [finding.as_json() for finding in self.findings]
        return data

    def fan(self, name: str) -> dict[str, list[float]]:
        """A stream over the months: base, mean and, for headline streams, p10, p50, p90."""
        run_ = self.run
        made = {"base": run_.base[name].tolist(), "mean": run_.mean[name].tolist()}
        if name in run_.quantiles:
            labelled = zip(("p10", "p50", "p90"), run_.quantiles[name], strict=True)
            made |= {label: row.tolist() for label, row in labelled}
        return made

    def series(self) -> dict[str, list[Any]]:
        """Every stream as columns of one long table: month, stream, base, mean, p10, p50, p90."""
        table: dict[str, list[Any]] = {key: [] for key in ("month", "stream", "base", "mean", "p10", "p50", "p90")}
        months = list(range(1, self.settings.months + 1))
        for name in self.run.mean:
            fan = self.fan(name)
            table["month"] += months
            table["stream"] += [name] * len(months)
            for key in ("base", "mean", "p10", "p50", "p90"):
                table[key] += fan.get(key, [None] * len(months))
        return table


def simulate(
    plan: BusinessPlan | Mapping[str, Any],
    *,
    seed: int | None = None,
    scenarios: int | None = None,
    name: str = "plan",
    filled: Mapping[str, Quantity] | None = None,
    overruled: Mapping[str, Quantity] | None = None,
    table: CapTable | None = None,
    studied: Studied | Mapping[str, Studied] | None = None,
    room: tuple[float, float] | None = None,
) -> Plan:
    """Simulates a business section (settings, or what stands in the file) month by month over its scenarios.

    `table`: what was read of the files that `cap_table.ocf` declares; `studied`: of those that `research` does, by
    segment where the plan has them. `room`: floor and ceiling of the price that research may advise.
    """
    settings = plan if isinstance(plan, BusinessPlan) else BusinessPlan.model_validate(plan)
    low, high = room or (None, None)
    one, each = (None, studied) if isinstance(studied, Mapping) else (studied, dict[str, Studied]())
    advice = None if one is None else advise(settings, one, low=low, high=high)
    asked = settings if one is None else respond(settings, one, advice)
    by_segment = {part: (found, advise(settings.of_segment(part), found)) for part, found in each.items()}
    for part, (found, advised) in by_segment.items():
        asked = respond_of(asked, part, found, advised)
    put_in = dict(filled or {})
    if settings.price is None and asked.price is not None and advice is not None:
        put_in[f"price.{advice.unit}"] = advice.price
    made = run(asked, seed=seed, scenarios=scenarios)
    said = [*_findings(made, name), *_unread(settings, one, each, name)]
    said += [] if one is None else remarks(settings, one, advice, name)
    for part, (found, advised) in by_segment.items():
        said += remarks(settings.of_segment(part), found, advised, name, segment=part)
    shown = Plan(made, name, put_in, overruled or {}, tuple(said), studied=one, advice=advice, by_segment=by_segment)
    return replace(shown, ownership=ownership.of_run(made, table, origin=shown.origin))


def _unread(plan: BusinessPlan, one: Studied | None, each: Mapping[str, Studied], name: str) -> list[Finding]:
    """Research that was declared and not handed in: nobody answers to the price."""
    parts = {"": (plan.research, plan.price, one)}
    parts |= {part: (item.research, item.price, each.get(part)) for part, item in plan.segments.items()}
    open_ = [
        part
        for part, (research, price, found) in parts.items()
        if research is not None and found is None and (price is None or price.response is None)
    ]
    return [Finding("research-unread", "warning", "business", name)] if open_ else []


def _findings(made: Run, name: str) -> list[Finding]:
    plan, found = made.plan, []
    if plan.cash is None and not plan.funding:
        found.append(
            Finding(
                "plan-no-cash",
                "info",
                "business",
                name,
                {"needed": f"{np.quantile(made.outcomes['funding_need'], 0.9):,.0f}", "currency": plan.currency},
            )
        )
    found += [
        Finding("plan-round-not-counted", "warning", "business", name, {"round": item.name})
        for item in plan.funding
        if not item.closed and item.month > 0 and item.needs is None and item.probability is None
    ]
    declared = plan.costs.serving.utilization
    if declared is not None and "utilization" in made.mean:
        busy = float(made.mean["utilization"][-1])
        if abs(busy - declared.mean) > 0.1:
            found.append(
                Finding(
                    "plan-utilization",
                    "warning",
                    "business",
                    name,
                    {"declared": f"{100 * declared.mean:.0f}", "found": f"{100 * busy:.2g}"},
                )
            )
    for part in plan.parts().values():
        if part.price is not None and part.price.plan is not None:
            found += plan_findings(part.price.plan, {"answers", *part.customers.meters})
    if all(part.price is None for part in plan.parts().values()):
        found.append(Finding("plan-no-price", "warning", "business", name))
    return found


def _month(value: float, horizon: int) -> float | None:
    return float(value) if math.isfinite(value) and value <= horizon else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def spread_of_mean(values: Floats, groups: int) -> float:
    """The standard error of a mean: over scenarios, or over the independent rounds of quasi-random points."""
    if groups == SCRAMBLINGS:
        return float(values.reshape(groups, -1).mean(axis=1).std(ddof=1) / math.sqrt(groups))
    return float(values.std(ddof=1) / math.sqrt(len(values)))
