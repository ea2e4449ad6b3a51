"""One candidate's unit: its machine, both costs by part, floor, ceiling and price, as paired estimates per answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from breakeven.economics import units
from breakeven.economics.demand import best_logit_price
from breakeven.economics.draws import Estimate, combine
from breakeven.economics.drivers import Driver
from breakeven.economics.facts import Asked, CandidateFacts, Machine, Speed, VerdictPlan
from breakeven.economics.machines import HOURS_PER_MONTH, SECONDS_PER_MONTH, machines_needed
from breakeven.economics.normal import Floats, floats
from breakeven.quantity import Quantity


@dataclass(frozen=True)
class MachineUse:
    """The machine chosen for a candidate, how many of it the demand needs, and how busy they are (a result)."""

    name: str
    count: int
    utilization: float

    def as_json(self) -> dict[str, Any]:
        """As `verdict.json` carries it."""
        return {"name": self.name, "count": self.count, "utilization": self.utilization}


@dataclass(frozen=True)
class World:
    """The declared numbers, drawn once for all candidates."""

    plan: VerdictPlan
    size: int
    demand: Estimate | None
    peak: Estimate
    price: Estimate | None

    @classmethod
    def of(cls, plan: VerdictPlan, size: int) -> World:
        """Draws demand, peak factor and price, each at its own place in the seed tree."""

        def drawn(source: Estimate | Driver | None, name: str) -> Estimate | None:
            if source is None:
                return None
            return source if isinstance(source, Estimate) else Estimate.of(source, plan.seed, name, size)

        peak = Estimate.of(plan.peak_factor, plan.seed, "peak_factor", size)
        return cls(plan, size, drawn(plan.answers_per_month, "answers_per_month"), peak, drawn(plan.price, "price"))

    def estimate(self, source: Driver | Quantity, name: str) -> Estimate:
        """A declared or measured number, drawn."""
        return Estimate.of(source, self.plan.seed, name, self.size)


@dataclass(frozen=True)
class Unit:
    """One candidate's unit as estimates per answer, before it is compared with the others."""

    facts: CandidateFacts
    machine: Machine | None
    speed: Speed | None
    use: MachineUse | None
    marginal: Estimate
    cost: Estimate  # at volume, without payment fees
    parts: Mapping[str, Estimate]
    floor: Estimate
    ceiling: Estimate
    price: Estimate  # declared, or recommended
    advice: Estimate  # recommended, whether or not one is declared
    variable: float  # money per answer that is not machines, training or a monthly cost
    fixed: float  # money per month that is not machines
    answers_per_machine: float

    @property
    def value(self) -> Estimate:
        """The candidate's value per answer."""
        return self.facts.value


def unit(facts: CandidateFacts, world: World) -> Unit:
    """Costs, floor, ceiling and price of one candidate."""
    plan = world.plan
    machine, speed = cheapest_machine(facts, world)
    parts = _parts(facts, machine, speed, world)
    cost = combine(parts, sum(part.point for part in parts.values()), _total(parts, world.size))
    ours = {name: part for name, part in parts.items() if name in facts.per_answer or name == "api"}
    variable = sum(part.point for part in ours.values())
    marginal = _marginal(facts, ours, machine, speed, world)
    floor = replace(cost, point=float(_floor(cost.point, plan)), draws=_floor(cost.draws, plan))
    ceiling = _ceiling(facts, world)
    fixed = sum(driver.mean for driver in facts.monthly.values()) + _training_per_month(facts, plan)
    capacity = speed.capacity_per_second.value * SECONDS_PER_MONTH / plan.peak_factor.mean if speed else math.inf
    advice = recommended(floor, ceiling, plan)
    if plan.asked is not None:
        one_more = _one_more(marginal, ours, plan.asked, world)
        advice = _on_the_curve(one_more, floor, ceiling, plan.asked)
    return Unit(
        facts,
        machine,
        speed,
        _use(machine, speed, world),
        marginal,
        cost,
        parts,
        floor,
        ceiling,
        world.price or advice,
        advice,
        variable,
        fixed,
        capacity,
    )


def cheapest_machine(facts: CandidateFacts, world: World) -> tuple[Machine | None, Speed | None]:
    """The listed machine that serves the demand for least money, holds the candidate and meets the latency gate."""
    offers = {machine.name: machine for machine in world.plan.machines}
    limit = min(
        (gate.limit for gate in world.plan.gates if gate.name == "latency_ms_p95" and gate.kind == "max"),
        default=math.inf,
    )
    known = [(offers[speed.machine], speed) for speed in facts.speeds if speed.machine in offers]
    held = [
        (machine, speed)
        for machine, speed in known
        if machine.memory_mb is None or speed.memory_mb is None or speed.memory_mb.value <= machine.memory_mb
    ]
    quick = [
        (machine, speed)
        for machine, speed in held
        if speed.latency_ms_p95 is None or speed.latency_ms_p95.value <= limit
    ]
    # A candidate that meets the gate nowhere is still priced: its gate says no, its cost stays comparable.
    choices = quick or held
    if not choices:
        return None, None
    return min(choices, key=lambda pair: _monthly_price(pair[0], pair[1], world))


def _monthly_price(machine: Machine, speed: Speed, world: World) -> float:
    if world.demand is None:
        return machine.per_hour / speed.capacity_per_second.value
    count = machines_needed(
        world.demand.point, speed.capacity_per_second.value, world.peak.point, minimum=world.plan.minimum_machines
    )
    return float(count) * machine.per_hour


def _parts(facts: CandidateFacts, machine: Machine | None, speed: Speed | None, world: World) -> dict[str, Estimate]:
    """Cost per answer at volume, by name, payment fees left out."""
    parts: dict[str, Estimate] = {}
    if machine is not None and speed is not None:
        parts["machines"] = _machine_share(facts, machine, speed, world)
    if facts.api_per_answer is not None:
        parts["api"] = world.estimate(facts.api_per_answer, f"{facts.name}/api")
    for name, driver in facts.per_answer.items():
        parts[name] = world.estimate(driver, name)
    if world.demand is not None:
        shares = {name: world.estimate(driver, name) for name, driver in facts.monthly.items()}
        if facts.training is not None:
            training = world.estimate(facts.training, f"{facts.name}/training")
            months = world.plan.training_months
            shares["training"] = replace(training, point=training.point / months, draws=training.draws / months)
        for name, share in shares.items():
            parts[name] = _per_answer(share, world.demand, name)
    return parts or {"none": Estimate(0.0, np.zeros(world.size), "declared")}


def _per_answer(monthly: Estimate, demand: Estimate, name: str) -> Estimate:
    inputs = {name: monthly, "answers_per_month": demand}
    return combine(inputs, monthly.point / demand.point, monthly.draws / demand.draws)


def _machine_share(facts: CandidateFacts, machine: Machine, speed: Speed, world: World) -> Estimate:
    capacity = world.estimate(speed.capacity_per_second, f"{facts.name}/capacity")
    hourly = _hourly(machine, world)
    if world.demand is None:
        used = world.estimate(world.plan.utilization, "utilization")
        inputs = {"machine_price": hourly, f"{facts.name}/capacity": capacity, "utilization": used}
        return combine(
            inputs,
            hourly.point / (capacity.point * 3600.0 * used.point),
            hourly.draws / (capacity.draws * 3600.0 * used.draws),
        )
    minimum = world.plan.minimum_machines
    point = machines_needed(world.demand.point, capacity.point, world.peak.point, minimum=minimum)
    drawn = machines_needed(world.demand.draws, capacity.draws, world.peak.draws, minimum=minimum)
    inputs = {
        "machine_price": hourly,
        f"{facts.name}/capacity": capacity,
        "answers_per_month": world.demand,
        "peak_factor": world.peak,
    }
    return combine(
        inputs,
        float(point) * hourly.point * HOURS_PER_MONTH / world.demand.point,
        drawn * hourly.draws * HOURS_PER_MONTH / world.demand.draws,
    )


def _hourly(machine: Machine, world: World) -> Estimate:
    price = world.estimate(machine.price_per_hour, f"machine/{machine.name}")
    if not machine.owned or machine.price_per_kwh is None:
        return price
    power = world.estimate(machine.price_per_kwh, "price_per_kwh")
    kilowatts = machine.watts / 1000.0
    return combine(
        {f"machine/{machine.name}": price, "price_per_kwh": power},
        price.point + kilowatts * power.point,
        price.draws + kilowatts * power.draws,
    )


def _marginal(
    facts: CandidateFacts, variable: Mapping[str, Estimate], machine: Machine | None, speed: Speed | None, world: World
) -> Estimate:
    """Machine price / measured capacity, plus everything paid per answer."""
    parts = dict(variable)
    if machine is not None and speed is not None:
        hourly, capacity = _hourly(machine, world), world.estimate(speed.capacity_per_second, f"{facts.name}/capacity")
        parts["machines"] = combine(
            {"machine_price": hourly, f"{facts.name}/capacity": capacity},
            hourly.point / (capacity.point * 3600.0),
            hourly.draws / (capacity.draws * 3600.0),
        )
    return combine(parts, sum(part.point for part in parts.values()), _total(parts, world.size))


def _total(parts: Mapping[str, Estimate], size: int) -> Floats:
    return np.sum([part.draws for part in parts.values()], axis=0) if parts else np.zeros(size)


def _training_per_month(facts: CandidateFacts, plan: VerdictPlan) -> float:
    return facts.training.mean / plan.training_months if facts.training else 0.0


def _use(machine: Machine | None, speed: Speed | None, world: World) -> MachineUse | None:
    if machine is None or speed is None:
        return None
    if world.demand is None:
        return MachineUse(machine.name, world.plan.minimum_machines, world.plan.utilization.mean)
    capacity = speed.capacity_per_second.value
    count = int(machines_needed(world.demand.point, capacity, world.peak.point, minimum=world.plan.minimum_machines))
    return MachineUse(machine.name, count, world.demand.point / (count * capacity * SECONDS_PER_MONTH))


def _floor(cost: Any, plan: VerdictPlan) -> Floats:
    payment = plan.payment
    return units.price_floor(
        cost,
        fixed_fee=payment.fixed,
        answers_per_invoice=payment.answers_per_invoice,
        percentage_fees=payment.percentage,
    )


def _ceiling(facts: CandidateFacts, world: World) -> Estimate:
    parts: dict[str, Estimate] = {f"{facts.name}/value": facts.value}
    surpluses: list[tuple[float, Floats]] = []
    if world.plan.constant_value is not None:
        constant = world.plan.constant_value
        parts["constant"] = constant
        surpluses.append((constant.point, constant.draws))
    for other in world.plan.alternatives:
        value = other.value if isinstance(other.value, Estimate) else world.estimate(other.value, f"{other.name}/value")
        price = world.estimate(other.price, f"{other.name}/price")
        parts[f"{other.name}/value"], parts[f"{other.name}/price"] = value, price
        surpluses.append((value.point - price.point, value.draws - price.draws))
    switching = world.estimate(world.plan.switching_per_answer, "switching")
    point = units.price_ceiling(facts.value.point, surpluses=[p for p, _ in surpluses], switching_cost=switching.point)
    drawn = units.price_ceiling(facts.value.draws, surpluses=[d for _, d in surpluses], switching_cost=switching.draws)
    return combine(parts, float(point), drawn)


def recommended(floor: Estimate, ceiling: Estimate, plan: VerdictPlan) -> Estimate:
    """floor + share x (p10 of the ceiling - floor); its interval is the price recommended in each world."""
    point = units.recommended_price(floor.point, ceiling.point, ceiling.draws, plan.price_share)
    caution = float(np.quantile(ceiling.draws, 0.10)) - ceiling.point
    careful = np.minimum(ceiling.draws, ceiling.draws + caution)
    asked = floor.draws + plan.price_share * (careful - floor.draws)
    inside = np.clip(asked, floor.draws, np.maximum(floor.draws, ceiling.draws))
    made = combine({"floor": floor, "ceiling": ceiling}, point, inside)
    return replace(made, origin="assumed")


def _one_more(marginal: Estimate, ours: Mapping[str, Estimate], asked: Asked, world: World) -> Estimate:
    """What one more answer costs, with machines busy at the mean of a peak, its customer's share and the fees."""
    payment = world.plan.payment
    machines = combine(
        {"marginal": marginal, **ours},
        marginal.point - sum(part.point for part in ours.values()),
        marginal.draws - _total(ours, world.size),
    )
    besides, kept = asked.per_answer, 1.0 - payment.percentage
    idle = world.peak.point - 1.0, world.peak.draws - 1.0
    return combine(
        {"marginal": marginal, "peak_factor": world.peak},
        (marginal.point + idle[0] * machines.point + besides) / kept,
        (marginal.draws + idle[1] * machines.draws + besides) / kept,
    )


def _on_the_curve(cost: Estimate, floor: Estimate, ceiling: Estimate, asked: Asked) -> Estimate:
    """The price that earns most on what people said they would pay, kept between floor and ceiling where there is
    room; each world takes its own draw of the curve."""
    turn = np.arange(len(cost.draws)) % len(asked.drawn[0])
    drawn = best_logit_price(asked.drawn[0][turn], asked.drawn[1][turn], cost.draws)
    said = Estimate(0.0, drawn, "measured")
    point = float(best_logit_price(asked.intercept, asked.slope, cost.point))

    def inside(price: Any, low: Any, high: Any) -> Floats:
        return floats(np.maximum(np.where(high > low, np.minimum(price, high), price), low))

    return combine(
        {"cost": cost, "floor": floor, "ceiling": ceiling, "research": said},
        float(inside(point, floor.point, ceiling.point)),
        inside(drawn, floor.draws, ceiling.draws),
    )
