"""The choice among units: gates, who pays, who is best and how surely, against whom, and what would have to change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from breakeven.economics import units
from breakeven.economics.costing import Unit, World
from breakeven.economics.draws import Estimate, combine
from breakeven.economics.gates import GateResult, judge
from breakeven.economics.machines import HOURS_PER_MONTH, Running, Volumes, advantage_volumes, break_even_volumes
from breakeven.economics.verdict import CandidateVerdict, Change, Margin, Verdict
from breakeven.economics.wording import notices, sentence
from breakeven.errors import Finding, term
from breakeven.quantity import Quantity, short

PER_1000 = 1000.0


def choose(made: Mapping[str, Unit], world: World) -> Verdict:
    """The verdict over finished units."""
    costs = {name: _full_cost(one, world) for name, one in made.items()}
    gates = {name: _gates(one, costs[name], world) for name, one in made.items()}
    within = {name: all(result.passes == "yes" for result in gates[name]) for name in made}
    pays = {name: within[name] and bool(_pays(one, world)) for name, one in made.items()}
    eligible = np.array([within[name] & _pays_draws(one, world) for name, one in made.items()])
    goals = {
        goal: {name: _objective(one, costs[name], goal) for name, one in made.items()}
        for goal in ("value_minus_cost", "contribution")
    }
    mine = goals[world.plan.objective]
    shares, none = units.best_shares(np.array([goal.draws for goal in mine.values()]), eligible)
    chosen = _best(mine, pays)
    other_goal = "contribution" if world.plan.objective == "value_minus_cost" else "value_minus_cost"
    other = _other_choice(chosen, goals[other_goal], pays) if world.price is not None else chosen
    served = {name: one for name, one in made.items() if not _unserved(one)}
    margin = _margin(chosen, served, costs, goals=mine, world=world) if chosen and len(served) > 1 else None
    judged = {
        name: _candidate(one, costs[name], gates=gates[name], pays=pays[name], best=float(share), world=world)
        for (name, one), share in zip(made.items(), shares, strict=True)
    }
    findings = notices(chosen, other, judged, world)
    return Verdict(
        "price" if world.price is not None and world.plan.objective == "contribution" else "value_minus_cost",
        world.plan.currency,
        judged,
        chosen,
        other,
        none,
        _corrected(chosen, made, mine, eligible),
        margin,
        _per_1000(world.price, world),
        world.demand.quantity("answers/month") if world.demand else None,
        world.peak.quantity("peak to mean"),
        sentence(chosen, judged, margin, world),
        findings,
    )


def _money(world: World) -> str:
    return f"{world.plan.currency}/1000 answers"


def _per_1000(estimate: Estimate | None, world: World) -> Quantity | None:
    return None if estimate is None else estimate.quantity(_money(world), factor=PER_1000)


def _full_cost(one: Unit, world: World) -> Estimate:
    """Cost at volume with what being paid costs; the percentage is known only where a price is declared."""
    payment = world.plan.payment
    fixed = payment.fixed_per_answer
    if world.price is None or payment.percentage == 0.0:
        return combine({"cost": one.cost}, one.cost.point + fixed, one.cost.draws + fixed)
    return combine(
        {"cost": one.cost, "price": world.price},
        one.cost.point + fixed + payment.percentage * world.price.point,
        one.cost.draws + fixed + payment.percentage * world.price.draws,
    )


def _objective(one: Unit, cost: Estimate, goal: str) -> Estimate:
    gain = one.value if goal == "value_minus_cost" else one.price
    return combine({"gain": gain, "cost": cost}, gain.point - cost.point, gain.draws - cost.draws)


def _pays(one: Unit, world: World) -> bool:
    price = one.price.point if world.price is not None else one.floor.point
    return one.ceiling.point >= price >= one.floor.point and not _unserved(one)


def _pays_draws(one: Unit, world: World) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if _unserved(one):
        return np.zeros(world.size, dtype=bool)
    price = one.price.draws if world.price is not None else one.floor.draws
    return np.asarray((one.ceiling.draws >= price) & (price >= one.floor.draws))


def _unserved(one: Unit) -> bool:
    """Neither a machine that holds it nor a price of somebody else's: it cannot be sold."""
    return one.machine is None and one.facts.api_per_answer is None


def _best(goals: Mapping[str, Estimate], pays: Mapping[str, bool]) -> str | None:
    able = [name for name in goals if pays[name]]
    return max(able, key=lambda name: goals[name].point) if able else None


def _other_choice(chosen: str | None, goals: Mapping[str, Estimate], pays: Mapping[str, bool]) -> str | None:
    """Who would be chosen by the other objective; a tie is no difference."""
    best = _best(goals, pays)
    if chosen is None or best is None or goals[best].point <= goals[chosen].point + 1e-12:
        return chosen
    return best


def _corrected(
    chosen: str | None,
    made: Mapping[str, Unit],
    goals: Mapping[str, Estimate],
    eligible: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> float | None:
    """The winner's value per 1,000, less its optimism: in each world the choice is repeated, and what the chosen one
    shows there above its value on all cases is what choosing flatters."""
    some = eligible.any(axis=0)
    if chosen is None or not some.any():
        return None
    offered = np.where(eligible, [goal.draws for goal in goals.values()], -np.inf)[:, some]
    values = np.array([one.value.draws for one in made.values()])[:, some]
    points = np.array([one.value.point for one in made.values()])
    winner = np.argmax(offered, axis=0)
    optimism = float(np.mean(values[winner, np.arange(values.shape[1])] - points[winner]))
    return (made[chosen].value.point - max(0.0, optimism)) * PER_1000


def _gates(one: Unit, cost: Estimate, world: World) -> tuple[GateResult, ...]:
    known: dict[str, Quantity | None] = dict(one.facts.metrics)
    known["latency_ms_p95"] = _latency(one)
    if not _unserved(one):  # without a machine there is no cost, and none is invented
        known["cost_per_1000"] = cost.quantity(_money(world), factor=PER_1000)
        known["marginal_per_1000"] = one.marginal.quantity(_money(world), factor=PER_1000)
    if one.speed is not None and one.speed.memory_mb is not None:
        known["memory_mb"] = one.speed.memory_mb
    return tuple(judge(gate, known.get(gate.name)) for gate in world.plan.gates)


def _latency(one: Unit) -> Quantity | None:
    measured = one.speed.latency_ms_p95 if one.speed else None
    return measured or one.facts.latency_ms_p95


def _candidate(
    one: Unit, cost: Estimate, *, gates: tuple[GateResult, ...], pays: bool, best: float, world: World
) -> CandidateVerdict:
    money, within = _money(world), all(result.passes == "yes" for result in gates)

    def per_1000(estimate: Estimate) -> Quantity:
        return estimate.quantity(money, factor=PER_1000)

    parts = {name: per_1000(part) for name, part in one.parts.items() if name != "none"}
    paid = _less(cost, one.cost, "cost", "own cost")
    if paid.point != 0.0:
        parts["payment"] = per_1000(paid)
    worth, share = one.facts.point_worth, world.plan.price_share
    return CandidateVerdict(
        name=one.facts.name,
        value_per_1000=per_1000(one.value),
        value_at_test_rates_per_1000=per_1000(one.facts.value_at_test_rates or one.value),
        marginal_per_1000=per_1000(one.marginal),
        at_volume_per_1000=per_1000(cost),
        cost_parts=parts,
        machine=one.use,
        latency_ms_p95=_latency(one),
        floor_per_1000=per_1000(one.floor),
        ceiling_per_1000=per_1000(one.ceiling),
        recommended_per_1000=per_1000(one.advice),
        contribution_per_month=_monthly(_objective(one, cost, "contribution"), world),
        surplus_per_month=_monthly(_objective(one, cost, "value_minus_cost"), world),
        probability_best=best,
        probability_pays=float(np.mean(_pays_draws(one, world))) if within else 0.0,
        point_worth_per_month=_monthly(worth, world),
        point_worth_at_our_share_per_month=_monthly(_scaled(worth, share), world),
        break_even_answers=_break_even(one, one.price.point, world),
        gates=gates,
        within_gates=within,
        pays=pays,
        why_not=None if pays else _why_not(one, gates, world),
        changes=() if pays else _changes(one, gates, world),
        still_improving=one.facts.still_improving,
    )


def _less(one: Estimate, other: Estimate, name: str, other_name: str) -> Estimate:
    """`one` less `other`, world by world."""
    return combine({name: one, other_name: other}, one.point - other.point, one.draws - other.draws)


def _scaled(estimate: Estimate | None, factor: float) -> Estimate | None:
    return None if estimate is None else combine({"worth": estimate}, estimate.point * factor, estimate.draws * factor)


def _monthly(estimate: Estimate | None, world: World) -> Quantity | None:
    if estimate is None or world.demand is None:
        return None
    demand = world.demand
    made = combine(
        {"per_answer": estimate, "answers_per_month": demand},
        estimate.point * demand.point,
        estimate.draws * demand.draws,
    )
    return made.quantity(f"{world.plan.currency}/month")


def _running(one: Unit, world: World) -> Running:
    price = one.machine.per_hour * HOURS_PER_MONTH if one.machine else 0.0
    return Running(one.variable, one.fixed, price, one.answers_per_machine, world.plan.minimum_machines)


def _break_even(one: Unit, price: float, world: World) -> Volumes:
    payment, running = world.plan.payment, _running(one, world)
    margin = price * (1.0 - payment.percentage) - payment.fixed_per_answer - running.per_answer
    return break_even_volumes(
        margin,
        running.fixed,
        machine_per_month=running.machine_per_month,
        answers_per_machine=running.answers_per_machine,
        minimum=running.minimum,
    )


def _why_not(one: Unit, gates: tuple[GateResult, ...], world: World) -> Finding:
    refused = [term(result.gate.name) for result in gates if result.passes != "yes"]
    about = {
        "candidate": one.facts.name,
        "currency": world.plan.currency,
        "floor": short(one.floor.point * PER_1000),
        "ceiling": short(one.ceiling.point * PER_1000),
        "price": short(one.price.point * PER_1000),
    }
    if _unserved(one):
        code = "unit-no-machine" if one.facts.speeds else "unit-no-capacity"
        return Finding(code, "problem", "evaluate", one.facts.name, about)
    if refused:
        return Finding("unit-gates", "problem", "evaluate", one.facts.name, {**about, "gates": refused})
    if one.ceiling.point < one.floor.point:
        return Finding("unit-ceiling-below-floor", "problem", "evaluate", one.facts.name, about)
    code = "unit-price-above-ceiling" if one.price.point > one.ceiling.point else "unit-price-below-floor"
    return Finding(code, "problem", "evaluate", one.facts.name, about)


def _changes(one: Unit, gates: tuple[GateResult, ...], world: World) -> tuple[Change, ...]:
    name, found = (
        one.facts.name,
        [
            Change(
                "gate",
                one.facts.name,
                result.found.value if result.found else None,
                result.gate.limit,
                result.gate.name,
            )
            for result in gates
            if result.passes != "yes"
        ],
    )
    if _unserved(one):
        return tuple(found)
    money, price = _money(world), one.price.point
    if one.ceiling.point >= one.floor.point and not _pays(one, world):
        found.append(Change("price", name, price * PER_1000, one.advice.point * PER_1000, money))
    asked = price if world.price is not None and price <= one.ceiling.point else one.ceiling.point
    volume = _break_even(one, asked, world).first if one.floor.point > asked else None
    if volume is not None:
        found.append(Change("volume", name, world.demand.point if world.demand else None, volume, "answers/month"))
    needed = max(one.floor.point, price if world.price is not None else -np.inf)
    metric = _metric_for(one, needed - one.ceiling.point, world)
    # A gate on the same metric that asks for more says it already.
    by_gate = max((item.needed for item in found if item.unit == world.plan.metric), default=0.0)
    if metric is not None and one.ceiling.point < needed and metric > by_gate:
        found.append(Change("metric", name, one.facts.metrics[world.plan.metric].value, metric, world.plan.metric))
    return tuple(found)


def _metric_for(one: Unit, gain: float, world: World) -> float | None:
    """The metric at which the value per answer is higher by `gain`; None where no improvement within 1 gets there."""
    metric, worth = one.facts.metrics.get(world.plan.metric), one.facts.point_worth
    if metric is None or worth is None or worth.point <= 0.0:
        return None
    needed = metric.value + 0.01 * gain / worth.point
    return needed if needed <= 1.0 else None


def _margin(
    chosen: str, made: Mapping[str, Unit], costs: Mapping[str, Estimate], *, goals: Mapping[str, Estimate], world: World
) -> Margin:
    """Against the candidate worth most; where the chosen one is that itself, against the next best."""
    others = [name for name in made if name != chosen]
    rival = max(others, key=lambda name: made[name].value.point)
    if made[rival].value.point <= made[chosen].value.point:
        rival = max(others, key=lambda name: goals[name].point)
    one, other = made[chosen], made[rival]
    value = _less(other.value, one.value, f"{rival}/value", f"{chosen}/value")
    cost = _less(costs[rival], costs[chosen], f"{rival}/cost", f"{chosen}/cost")
    mine, theirs = one.facts.metrics.get(world.plan.metric), other.facts.metrics.get(world.plan.metric)
    points = 100.0 * (theirs.value - mine.value) if mine and theirs else None
    behind = goals[chosen].point - goals[rival].point
    return Margin(
        rival,
        points,
        value.quantity(_money(world), factor=PER_1000),
        cost.quantity(_money(world), factor=PER_1000),
        advantage_volumes(value.point, _running(other, world), _running(one, world)),
        _metric_for(other, behind, world),
        float(np.mean(goals[chosen].draws >= goals[rival].draws)),
    )
