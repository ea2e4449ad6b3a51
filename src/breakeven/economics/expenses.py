"""What a month costs: giving the answers, people, fixed costs, training, and what is written off."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from breakeven.economics.machines import HOURS_PER_MONTH, SECONDS_PER_MONTH
from breakeven.economics.normal import Floats
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sampling import Inputs, Value
from breakeven.economics.sections import Role

Streams = dict[str, Floats]
NEVER = 10**9


def schedule(months: int, start: int, end: int | None) -> Floats:
    """[months, 1]: 1 in the months from `start` to `end` (both counted from 1), else 0."""
    number = np.arange(1, months + 1)
    return np.asarray((number >= start) & (number <= (end or NEVER)), dtype=float)[:, None]


def yearly(growth: Value, months: int) -> Value:
    """[months, ...]: the factor of a rise that comes once a year, from month 13 on; 1 where nothing rises."""
    if not np.any(growth):
        return 1.0
    years = (np.arange(months) // 12)[:, None]
    return np.asarray((1.0 + growth) ** years)


def after(met: Floats | None, months: int) -> Value:
    """[months, n]: 1 in the months after the one in which a milestone was met; 1 where nothing is waited for."""
    if met is None:
        return 1.0
    return np.asarray(np.arange(1, months + 1)[:, None] > met, dtype=float)


def serving(
    plan: BusinessPlan, inputs: Inputs, *, answers: Floats, active: Floats, factors: Mapping[str, Value]
) -> Streams:
    """Machines are bought whole: their number, how busy they are, and what giving the answers costs."""
    costs, name = plan.costs.serving, "costs.serving."
    made: Streams = {}
    per_answer = inputs[f"{name}review_per_answer"] + inputs[f"{name}liability_per_answer"]
    if costs.per_answer is not None:
        per_answer = per_answer + inputs[f"{name}per_answer"]
    factor = factors.get("serving_cost", 1.0)
    made["serving_variable"] = answers * (per_answer * factor)
    if costs.machine_per_hour is not None:
        monthly = inputs[f"{name}capacity_per_second"] * factors.get("capacity", 1.0) * SECONDS_PER_MONTH
        load = answers / monthly
        count = np.ceil(load * (inputs[f"{name}peak_factor"] * (1.0 - 1e-12)))
        np.maximum(count, float(costs.minimum_machines), out=count)
        made["machines"] = count
        made["utilization"] = np.divide(load, count, out=np.zeros_like(load), where=count > 0.0)
        made["machine_cost"] = count * (inputs[f"{name}machine_per_hour"] * HOURS_PER_MONTH * factor)
    if np.any(inputs[f"{name}per_customer"]):
        made["customer_cost"] = active * inputs[f"{name}per_customer"]
    return made


def headcount(role: Role, inputs: Inputs, *, active: Floats | None, met: Floats | None) -> Value:
    """People of one role, [months, n] or [months, 1]: those planned, or one for every so many customers if more."""
    name = f"team.{role.role}."
    present = schedule(inputs.months, role.start, role.end) * after(met, inputs.months)
    planned = present * inputs[f"{name}count"]
    if role.per_customers is None or active is None:
        return planned
    return np.maximum(planned, present * np.ceil(active / inputs[f"{name}per_customers"] * (1.0 - 1e-12)))


def payroll(
    plan: BusinessPlan, inputs: Inputs, *, active: Floats, met: Mapping[str, Floats], factors: Mapping[str, Value]
) -> Streams:
    """Salaries with what an employer pays on top, by kind of work."""
    made: Streams = {}
    factor = factors.get("payroll", 1.0)
    for role in plan.team:
        name = f"team.{role.role}."
        people = headcount(role, inputs, active=active, met=met.get(role.needs or ""))
        salary = inputs[f"{name}salary_per_month"] * (1.0 + inputs[f"{name}load"])
        paid = people * (salary * yearly(inputs[f"{name}raise_per_year"], inputs.months) * factor)
        key = f"payroll_{role.kind}"
        made[key] = made.get(key, 0.0) + np.broadcast_to(paid, active.shape)
    return made


def fixed(
    plan: BusinessPlan,
    inputs: Inputs,
    *,
    shape: tuple[int, ...],
    met: Mapping[str, Floats],
    factors: Mapping[str, Value],
) -> Streams:
    """Fixed costs by kind, and the mitigations that were chosen."""
    made: Streams = {}
    factor = factors.get("fixed_costs", 1.0)
    for item in plan.costs.fixed:
        name = f"costs.fixed.{item.name}."
        present = schedule(inputs.months, item.start, item.end) * after(met.get(item.needs or ""), inputs.months)
        paid = present * (inputs[f"{name}per_month"] * yearly(inputs[f"{name}growth_per_year"], inputs.months) * factor)
        key = f"fixed_{item.kind}"
        made[key] = made.get(key, 0.0) + np.broadcast_to(paid, shape)
    for risk in plan.risks:
        for mitigation in risk.mitigations:
            if mitigation.chosen:
                cost = inputs[f"risks.{risk.name}.mitigations.{mitigation.name}.cost_per_month"]
                made["fixed_general"] = made.get("fixed_general", 0.0) + (np.zeros(shape) + cost)
    return made


def training(plan: BusinessPlan, inputs: Inputs) -> tuple[Value, Floats]:
    """(money before month 1, money in each month [months, 1] or [months, n])."""
    declared = plan.costs.training
    if declared is None:
        return 0.0, np.broadcast_to(np.zeros(()), (inputs.months, 1))
    cost = inputs["costs.training.per_run"]
    again = np.zeros((inputs.months, 1))
    if declared.every_months:
        again[declared.every_months - 1 :: declared.every_months] = 1.0
    return cost, again * cost


def capital(plan: BusinessPlan, inputs: Inputs, met: Mapping[str, Floats]) -> tuple[Value, Floats, Floats]:
    """(paid before month 1, paid in each month, written off in each month)."""
    months = inputs.months
    first: Value = 0.0
    spent, written_off = np.zeros((months, 1)), np.zeros((months, 1))
    number = np.arange(1, months + 1)[:, None]
    for item in plan.costs.capital:
        amount = inputs[f"costs.capital.{item.name}.amount"]
        # What waits for a milestone is bought in the month after it, or in its own month if that is later.
        due = np.maximum(met[item.needs] + 1.0, item.month) if item.needs else np.array([float(item.month)])
        first = first + np.where(due == 0.0, amount, 0.0)
        spent = spent + (number == due) * amount
        used = (number >= np.maximum(due, 1.0)) & (number < np.maximum(due, 1.0) + item.life_months)
        written_off = written_off + used * (amount / item.life_months)
    return first, spent, written_off
