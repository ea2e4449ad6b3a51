"""The verdict in words, as codes with fields: one sentence, and what a reader should know besides."""

from __future__ import annotations

from collections.abc import Mapping

from breakeven.economics.costing import World
from breakeven.economics.verdict import CandidateVerdict, Change, Margin
from breakeven.errors import Finding

IDLE = 0.2


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
        changes = "; ".join(_words(change) for change in nearest.changes) or "nothing within reach"
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
        "direction": "better" if (margin.metric_points or 0.0) >= 0.0 else "worse",
        "metric": world.plan.metric,
        "ahead": round(100.0 * margin.probability_chosen_ahead),
    }
    if value > 0.0:
        about["instead"] = _instead(margin)
        code = "verdict-rival-costs-more" if cost >= 0.0 else "verdict-rival-refused"
    elif abs(cost) <= 1e-9:
        code = "verdict-worth-more-at-same-cost"
    else:
        code = "verdict-worth-more" if cost < 0.0 else "verdict-ahead"
    return Finding(code, "info", "evaluate", chosen, about)


def _instead(margin: Margin) -> str:
    ways = []
    if margin.pays_from.first is not None:
        ways.append(f"above {short(margin.pays_from.first)} answers a month")
    if margin.pays_at_metric is not None:
        ways.append(f"at a metric of {margin.pays_at_metric:.3f}")
    return "it would pay " + ", or ".join(ways) if ways else "no volume makes it pay"


def _words(change: Change) -> str:
    if change.kind == "gate":
        return f"{change.unit} would have to meet its gate ({short(change.needed)})"
    return f"{change.kind} {short(change.needed)} {change.unit}"


def short(number: float) -> str:
    """Three figures, thousands marked, no exponent."""
    if abs(number) >= 1000.0:
        return f"{float(f'{number:.3g}'):,.0f}"
    return f"{number:.3g}" if abs(number) >= 1e-4 or number == 0.0 else f"{number:.2e}"


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
