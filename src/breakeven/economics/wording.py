"""The verdict in words, as codes with fields: one sentence, and what a reader should know besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from breakeven.economics.costing import World
from breakeven.economics.verdict import CandidateVerdict, Change, Margin
from breakeven.errors import Finding, message, term
from breakeven.quantity import short

IDLE = 0.2

SAME_MONEY = 0.0005  # per 1,000 answers: half a tenth of a cent is nobody's difference


def sentence(
    chosen: str | None, judged: Mapping[str, CandidateVerdict], margin: Margin | None, world: World
) -> Finding:
    """The verdict in one sentence, as a code with fields."""
    about: dict[str, object] = {
        "currency": world.plan.currency,
        "chosen": chosen,
        "answers": short(world.demand.point) if world.demand else None,
    }
    if chosen is None:
        nearest = max(judged.values(), key=lambda one: one.ceiling_per_1000.value - one.floor_per_1000.value)
        unsure = {result.gate.name for result in nearest.gates if result.passes == "cannot_tell"}
        changes = [_words(change, unsure) for change in nearest.changes] or [_missing(nearest)]
        about |= {"nearest": nearest.name, "changes": changes}
        return Finding("verdict-none", "problem", "evaluate", None, about)
    if margin is None:
        return Finding("verdict-only", "info", "evaluate", chosen, about)
    value, cost = margin.value_more.value, margin.cost_more.value
    about |= {
        "rival": margin.rival,
        "value": short(abs(value)),
        "cost": short(abs(cost)),
        "points": short(abs(margin.metric_points)) if margin.metric_points is not None else None,
        "direction": message("metric-better" if (margin.metric_points or 0.0) >= 0.0 else "metric-worse"),
        "metric": term(world.plan.metric),
        "ahead": round(100.0 * margin.probability_chosen_ahead),
    }
    about["gap"] = _gap(margin, world)
    if value > 0.0:
        about["instead"] = _instead(margin)
        code = "verdict-rival-costs-more" if cost >= 0.0 else "verdict-rival-refused"
    elif abs(cost) <= max(SAME_MONEY, 1e-3 * abs(value)):
        code = "verdict-worth-more-at-same-cost"
    else:
        code = "verdict-worth-more" if cost < 0.0 else "verdict-ahead"
    return Finding(code, "info", "evaluate", chosen, about)


def _gap(margin: Margin, world: World) -> dict[str, Any] | str:
    """How far the chosen one is ahead of its rival in the metric, in brackets; nothing where it was not measured."""
    if margin.metric_points is None:
        return ""
    lead = message("metric-better" if margin.metric_points <= 0.0 else "metric-worse")
    return message("margin-gap", points=short(abs(margin.metric_points)), lead=lead, metric=term(world.plan.metric))


def _instead(margin: Margin) -> dict[str, Any]:
    """Where the rival would pay: from a volume, at a metric, either, or nowhere."""
    volume, metric = margin.pays_from.first, margin.pays_at_metric
    about = {
        "volume": short(volume) if volume is not None else None,
        "metric": f"{metric:.3f}" if metric is not None else None,
    }
    if volume is not None:
        return message("rival-pays-from" if metric is None else "rival-pays-from-or-at", **about)
    return message("rival-pays-never" if metric is None else "rival-pays-at", **about)


def _missing(nearest: CandidateVerdict) -> dict[str, Any]:
    """What has to be known first of a candidate that no rate or machine was found for; else that nothing helps."""
    codes = {"unit-no-capacity": "change-capacity", "unit-no-machine": "change-machine"}
    return message(codes.get(nearest.why_not.code if nearest.why_not else "", "change-none"))


def _words(change: Change, unsure: set[str]) -> dict[str, Any]:
    """`unsure`: gates that nobody can tell of; those need more rows, not a better model."""
    codes = {"gate": "change-gate", "price": "change-price", "volume": "change-volume", "metric": "change-metric"}
    unit = term(change.unit) if change.kind in ("gate", "metric") else change.unit
    code = "change-gate-unsure" if change.kind == "gate" and change.unit in unsure else codes[change.kind]
    return message(code, needed=short(change.needed), unit=unit)


def notices(
    chosen: str | None, other: str | None, judged: Mapping[str, CandidateVerdict], world: World
) -> tuple[Finding, ...]:
    """What else a reader should know: another ranking, an idle machine, training that was cut short."""
    found = []
    if chosen is not None and other is not None and other != chosen:
        found.append(
            Finding(
                "verdict-objectives-differ",
                "info",
                "evaluate",
                chosen,
                {"chosen": chosen, "other": other, "objective": world.plan.objective},
            )
        )
    if chosen is not None and judged[chosen].machine is not None and world.demand is not None:
        use = judged[chosen].machine
        if use is not None and use.utilization < IDLE:
            found.append(
                Finding(
                    "machine-idle",
                    "info",
                    "evaluate",
                    chosen,
                    {
                        "candidate": chosen,
                        "machine": use.name,
                        "busy": f"{100 * use.utilization:.2g}",
                        "answers": short(world.demand.point),
                    },
                )
            )
    found += [
        Finding("verdict-still-improving", "warning", "evaluate", name, {"candidate": name})
        for name, one in judged.items()
        if one.still_improving
    ]
    return tuple(found)
