"""A plan in a minute: what is sold, three numbers, break-even, runway, ruin, what matters, what to do next.

Codes with fields, so that terminal, report and translation say the same. The doubt behind them stands beside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from breakeven.economics.doubt import NO_LAUNCH, Bar, Knowledge, tornado, what_to_measure
from breakeven.economics.goal import Goal, Sought, seek
from breakeven.economics.plan import BusinessPlan, replaced
from breakeven.economics.price_studies import Advice
from breakeven.economics.results import Plan
from breakeven.economics.risks import Entry, register
from breakeven.errors import Finding, message
from breakeven.quantity import short

SHOWN = 5
ENOUGH = 0.8
SEEK_SCENARIOS = 1024
KNOW_SCENARIOS = 8192
LEAST = 0.005  # of the currency: nothing is told of what would be paid by no coin


@dataclass(frozen=True)
class Assessment:
    """Where the doubt of a plan comes from and what would settle it. `sought`: the price that reaches break-even by the
    horizon with the wanted probability, None where it is reached already or no price is declared."""

    base_npv: float
    bars: tuple[Bar, ...]
    knowledge: Knowledge
    risks: tuple[Entry, ...]
    sought: Sought | None

    def as_json(self) -> dict[str, Any]:
        """As plan.json carries it."""
        return {
            "tornado": {
                "base": self.base_npv,
                "bars": [
                    {
                        "driver": bar.driver,
                        "p10": bar.low_value,
                        "p90": bar.high_value,
                        "npv_at_p10": bar.at_low,
                        "npv_at_p90": bar.at_high,
                    }
                    for bar in self.bars
                ],
            },
            "what_to_measure": {
                "best_decision": self.knowledge.best,
                "expected_npv": self.knowledge.expected,
                "changes_decision": self.knowledge.changes_decision,
                "assumptions": [
                    {"driver": item.driver, "worth": item.value, "error": item.error, "share": item.share}
                    for item in self.knowledge.assumptions
                ],
            },
            "risks": [entry.as_json() for entry in self.risks],
            "goal": None
            if self.sought is None
            else {
                "driver": self.sought.driver,
                "solutions": list(self.sought.solutions),
                "best_probability": self.sought.best_probability,
                "best_value": self.sought.best_value,
                "probability_now": self.sought.found_now,
            },
        }


def assess(plan: Plan, decisions: Mapping[str, BusinessPlan] | None = None) -> Assessment:
    """Tornado, worth of knowing, risks and goal of a plan; `decisions`: plans it could be exchanged for, and itself.

    Risks that findings suggested and the plan does not count stand in the register with what they would do.
    """
    settings, seed = plan.settings, plan.run.seed
    base, bars = tornado(settings, seed=seed)
    knowledge = what_to_measure(
        decisions_of(decisions or {plan.name: settings}),
        seed=seed,
        scenarios=min(KNOW_SCENARIOS, max(1000, plan.run.scenarios)),
    )
    return Assessment(
        base, tuple(bars), knowledge, tuple(register(settings, suggested=plan.suggested, seed=seed)), _sought(plan)
    )


GRID = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)


def decisions_of(plans: Mapping[str, BusinessPlan]) -> dict[str, BusinessPlan]:
    """What could be decided besides not launching: each plan, at a grid of prices where it says how customers answer.

    Without an answer of the customers a higher price would always win, and only the declared one is taken.
    """
    found: dict[str, BusinessPlan] = {}
    for name, plan in plans.items():
        if plan.price is None or plan.price.response is None:
            found[name] = plan
            continue
        driver = f"price.{plan.price.leading}"
        price = plan.drivers()[driver]
        for factor in GRID:
            found[f"{name} at {short(price.mean * factor, 4)}"] = replaced(plan, {driver: price.shifted(factor)})
    return found


def _sought(plan: Plan) -> Sought | None:
    """The price that breaks even, where the plan as declared mostly does not."""
    name = next((name for name in ("price.per_answer", "price.per_customer") if name in plan.settings.drivers()), None)
    if name is None or plan.run.probability("operating_month")[0] >= ENOUGH:
        return None
    price = plan.settings.drivers()[name].mean
    if price <= 0.0:
        return None
    goal = Goal("operating_month", plan.settings.months, ENOUGH)
    return seek(plan.settings, name, goal, low=price, high=10.0 * price, seed=plan.run.seed, scenarios=SEEK_SCENARIOS)


def summary(
    plan: Plan, assessment: Assessment, verdict: Mapping[str, Any] | None = None, *, product: str | None = None
) -> list[Finding]:
    """The plan in lines, in the order in which a founder asks. `verdict`: the candidate's entry in verdict.json.
    `product`: what the file calls it, where the section does not say what is sold."""
    refused = verdict is not None and verdict.get("pays") is False
    said: list[Finding | None] = [
        _what(plan, product),
        _said("summary-does-not-pay", {"candidate": plan.name}) if refused else None,
        _unit(plan, verdict),
        None if plan.advice is None else _researched(plan, plan.advice),
        *(_researched(plan, advice, part) for part, (_, advice) in plan.by_segment.items() if advice is not None),
        _end(plan),
        _break_even(plan),
        _runway(plan),
        _ruin(plan),
        _exit(plan),
    ]
    lines = [line for line in said if line is not None]
    for rank, item in enumerate(assessment.knowledge.assumptions[:SHOWN], start=1):
        about = {"rank": rank, "driver": item.driver, "share": _percent(item.share), "worth": _money(item.value)}
        lines.append(_said("summary-assumption", {**about, "currency": plan.settings.currency}))
    return lines + next_steps(plan, assessment)


def _what(plan: Plan, product: str | None) -> Finding:
    what, buyers = plan.settings.what, plan.settings.buyers
    if what is None:
        return _said("summary-product", {"what": product or plan.name})
    return _said("summary-what-alone" if buyers is None else "summary-what", {"what": what, "buyers": buyers})


def next_steps(plan: Plan, assessment: Assessment) -> list[Finding]:
    """What to do next, the most urgent first."""
    settings, found = plan.settings, []
    need = plan.figure("funding_need")
    has = (settings.cash.mean if settings.cash is not None else 0.0) + sum(
        item.amount.mean for item in settings.funding if item.closed or item.month == 0
    )
    if (need.high or need.value) - has > LEAST and not math.isnan(need.value):
        found.append(
            _said("next-funding", {"gap": _money((need.high or need.value) - has), "currency": settings.currency})
        )
    sought = assessment.sought
    if sought is not None:
        about = {
            "driver": sought.driver,
            "now": _percent(sought.found_now),
            "goal": _percent(ENOUGH),
            "months": settings.months,
            "value": short(sought.best_value, 4),
            "best": _percent(sought.best_probability),
        }
        if sought.reachable:
            about["value"] = short(sought.solutions[0], 4)
        found.append(_said("next-price" if sought.reachable else "next-no-price", about))
    top = assessment.knowledge.assumptions[:1]
    if top and assessment.knowledge.changes_decision:
        found.append(
            _said(
                "next-measure", {"driver": top[0].driver, "worth": _money(top[0].value), "currency": settings.currency}
            )
        )
    elif top:
        best = assessment.knowledge.best
        named: dict[str, Any] = {NO_LAUNCH: message("decision-none"), plan.name: message("decision-launch")}
        found.append(_said("next-nothing-changes", {"driver": top[0].driver, "best": named.get(best, best)}))
    for entry in assessment.risks:
        found += [
            _said(
                "next-mitigate",
                {
                    "risk": entry.name,
                    "mitigation": item.name,
                    "npv": _money(item.effect.npv),
                    "currency": settings.currency,
                },
            )
            for item in entry.mitigations
            if item.pays and not item.chosen
        ]
    return found


def _unit(plan: Plan, verdict: Mapping[str, Any] | None) -> Finding | None:
    currency = plan.settings.currency
    if verdict is None or verdict["at_volume_per_1000"] is None:
        return None
    parts = {name: verdict[f"{name}_per_1000"]["value"] for name in ("value", "at_volume", "recommended")}
    price = plan.settings.drivers().get("price.per_answer")
    shown = 1000.0 * price.mean if price is not None else parts["recommended"]
    return _said(
        "summary-unit",
        {
            "value": short(parts["value"]),
            "price": short(shown),
            "cost": short(parts["at_volume"]),
            "currency": currency,
        },
    )


UNIT_NAMES = {"per_answer": "price-unit-answer", "per_customer": "price-unit-customer"}


def _researched(plan: Plan, advice: Advice, segment: str | None = None) -> Finding:
    price, loss = advice.price, advice.elasticity
    about: dict[str, Any] = {
        "price": short(price.value, 4),
        "low": short(price.low or 0.0, 4),
        "high": short(price.high or 0.0, 4),
    }
    about |= {"currency": plan.settings.currency, "loss": f"{-loss.value:.2g}"}
    about["unit"] = message(UNIT_NAMES[advice.unit])
    if segment is None:
        return _said("summary-research", about)
    return _said("summary-research-of-segment", {**about, "segment": segment})


def _end(plan: Plan) -> Finding:
    mrr, worth, need = plan.figure("mrr_end"), plan.figure("worth"), plan.figure("funding_need")
    return _said(
        "summary-end",
        {
            "months": plan.settings.months,
            "currency": plan.settings.currency,
            "mrr": _money(mrr.value),
            "mrr_low": _money(mrr.value if mrr.low is None else mrr.low),
            "mrr_high": _money(mrr.value if mrr.high is None else mrr.high),
            "npv": _money(worth.value),
            "npv_low": _money(worth.value if worth.low is None else worth.low),
            "npv_high": _money(worth.value if worth.high is None else worth.high),
            "need": _money(need.value if need.high is None else need.high),
        },
    )


def _break_even(plan: Plan) -> Finding:
    reached = plan.months("operating_month")
    about: dict[str, Any] = {"probability": _percent(reached.probability.value), "months": plan.settings.months}
    if reached.p50 is None:
        return _said("summary-break-even-rare", about)
    return _said("summary-break-even", {**about, "p50": f"{reached.p50:.0f}"})


def _runway(plan: Plan) -> Finding | None:
    if plan.settings.cash is None and not plan.settings.funding:
        return None
    runway = plan.runway()
    if runway.p10 is None:
        return _said("summary-runway-long", {"months": runway.months})
    if runway.p50 is None:
        return _said("summary-runway-most", {"p10": f"{runway.p10:.0f}", "months": runway.months})
    return _said("summary-runway", {"p10": f"{runway.p10:.0f}", "p50": f"{runway.p50:.0f}"})


def _ruin(plan: Plan) -> Finding | None:
    if plan.settings.cash is None and not plan.settings.funding:
        return None
    found, low, high = plan.run.probability("ruin_month")
    return _said(
        "summary-ruin",
        {"probability": _percent(found), "low": _percent(low), "high": _percent(high), "months": plan.settings.months},
    )


def _exit(plan: Plan) -> Finding | None:
    owned = plan.ownership
    payout, share = (None, None) if owned is None else (owned.payout(), owned.share())
    if payout is None or share is None:
        return None
    about = {"months": plan.settings.months, "share": _percent(share.value), "currency": plan.settings.currency}
    low, high = (payout.value if end is None else end for end in (payout.low, payout.high))
    return _said("summary-exit", {**about, "payout": _money(payout.value), "low": _money(low), "high": _money(high)})


def _said(code: str, fields: Mapping[str, Any]) -> Finding:
    return Finding(code, "info", "business", None, fields)


def _percent(share: float) -> str:
    if 0.99 < share < 1.0:
        return "> 99"
    return f"{100.0 * share:.0f}" if share >= 0.01 or share == 0.0 else f"{100.0 * share:.2g}"


def _money(value: float) -> str:
    if abs(value) < LEAST:
        return "0"
    return short(value)
