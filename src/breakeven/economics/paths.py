"""One block of scenarios, month by month: from drawn inputs to every stream and to what became of each scenario.

Order within a month: open, churn, expand, add, bill, collect, pay; states are at month end. Revenue is what is billed,
without VAT. Ruin is the first month-end with less than no cash, and nothing comes after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from breakeven.economics import cash, cohorts, expenses
from breakeven.economics.normal import Floats, floats
from breakeven.economics.plan import BusinessPlan, Part
from breakeven.economics.rates import RateTable
from breakeven.economics.sampling import Inputs, Value
from breakeven.economics.sections import Pricing

Tables = Mapping[str, RateTable]
HEADLINE = ("customers", "mrr", "revenue", "ebitda", "cash_flow", "cash")


@dataclass(frozen=True)
class Paths:
    """streams: [months, n] by name, after ruin zero where that is meant. outcomes: [n] by name.

    `cash_unabsorbed` is the account of a firm that could borrow without limit; funding need is read from it.
    """

    streams: dict[str, Floats]
    outcomes: dict[str, Floats]


def simulate_block(plan: BusinessPlan, inputs: Inputs, tables: Tables) -> Paths:
    """Every stream and outcome of the block. `tables`: for segments billed by a price plan, what their customers pay
    by what they use (see `rates.table`)."""
    factors, struck = cash.events(plan, inputs)
    streams = _sold(plan, inputs, tables=tables, factors=factors)
    met = _milestones(plan, inputs, streams)
    shape = (inputs.months, inputs.size)
    streams |= expenses.serving(plan, inputs, answers=streams["answers"], active=streams["customers"], factors=factors)
    streams |= expenses.payroll(plan, inputs, active=streams["customers"], met=met, factors=factors)
    streams |= expenses.fixed(plan, inputs, shape=shape, met=met, factors=factors)
    first_training, streams["training"] = _wide(expenses.training(plan, inputs), shape)
    first_capital, spent, written_off = expenses.capital(plan, inputs, met)
    streams["capital"], streams["depreciation"] = np.broadcast_to(spent, shape), np.broadcast_to(written_off, shape)
    streams["risk_cost"] = struck
    _profit(plan, inputs, streams)
    return _cash(plan, inputs, streams, met=met, first=first_training + first_capital + _mitigated(plan, inputs))


def _wide(pair: tuple[Value, Floats], shape: tuple[int, ...]) -> tuple[Value, Floats]:
    return pair[0], np.broadcast_to(pair[1], shape)


def _mitigated(plan: BusinessPlan, inputs: Inputs) -> Value:
    chosen = [
        inputs[f"risks.{risk.name}.mitigations.{mitigation.name}.cost"]
        for risk in plan.risks
        for mitigation in risk.mitigations
        if mitigation.chosen
    ]
    return sum(chosen, 0.0)


def _sold(plan: BusinessPlan, inputs: Inputs, *, tables: Tables, factors: Mapping[str, Value]) -> dict[str, Floats]:
    """Customers, use and revenue over all segments."""
    sellers = {role.role: expenses.headcount(role, inputs, active=None, met=None) for role in plan.team}
    total: dict[str, Floats] = {}
    for prefix, part in plan.parts().items():
        answered = answer_to_price(prefix, part.price, inputs) * factors.get("new_customers", 1.0)
        flow = cohorts.flows(
            prefix,
            part.customers,
            part.market,
            inputs=inputs,
            factors={**factors, "new_customers": answered},
            growth_in_month_1=plan.growth_in_month_1,
            sellers=sellers,
        )
        recurring, once = _billed(
            prefix, part, flow, inputs=inputs, table=tables.get(prefix), price=factors.get("price", 1.0)
        )
        revenue = recurring if once is None else recurring + once
        lost = inputs[f"{prefix}customers.bad_debt"]
        good = revenue * (1.0 - lost) if np.any(lost) else revenue
        # Recurring money per unit of customer splits the movement of the recurring revenue into its causes.
        per_unit = np.divide(recurring, flow.units, out=np.zeros_like(recurring), where=flow.units > 0.0)
        made = {
            "customers": flow.active,
            "new_customers": flow.new,
            "churned_customers": flow.churned,
            "answers": flow.answers,
            "marketing": flow.marketing,
            "mrr": recurring,
            "revenue": revenue,
            "bad_debt": revenue - good,
            "collected": cash.collected(good, inputs[f"{prefix}customers.collection_days"]),
            "new_mrr": flow.new * per_unit,
            "churned_mrr": flow.churned_units * per_unit,
            "expanded_mrr": flow.expanded_units * per_unit,
        }
        for name, value in made.items():
            total[name] = total[name] + value if name in total else value
    return total


def answer_to_price(prefix: str, asked: Pricing | None, inputs: Inputs) -> Value:
    """Factor on new customers at the price asked, against the price at which they were declared."""
    response = asked.response if asked is not None else None
    if asked is None or response is None:
        return 1.0
    price, reference = inputs[f"{prefix}price.{asked.leading}"], inputs[f"{prefix}price.response.reference"]
    if response.demand is not None:
        name = f"{prefix}price.response.demand."
        return floats(_logit(inputs, name, price) / _logit(inputs, name, reference))
    if response.curve is None:
        elasticity = inputs[f"{prefix}price.response.elasticity"]
        return floats((np.maximum(price, 1e-12) / reference) ** elasticity)
    prices, shares = zip(*response.curve, strict=True)
    # Nobody is known to buy beyond the last price that was asked.
    return floats(np.interp(price, prices, shares, right=0.0) / np.interp(reference, prices, shares))


def _logit(inputs: Inputs, name: str, price: Value) -> Floats:
    """The share that buys at a price."""
    against = np.asarray(inputs[f"{name}slope"]) * price - inputs[f"{name}intercept"]
    return floats(1.0 / (1.0 + np.exp(np.clip(against, -700.0, 700.0))))


def _billed(
    prefix: str,
    part: Part,
    flow: cohorts.Flows,
    *,
    inputs: Inputs,
    table: RateTable | None,
    price: Value,
) -> tuple[Floats, Floats | None]:
    """(recurring revenue, revenue of new customers), [months, n]."""
    recurring, once, asked = np.zeros(flow.active.shape), None, part.price
    if asked is None:
        return recurring, once
    name = f"{prefix}price."
    change = expenses.yearly(inputs[f"{name}change_per_year"], inputs.months) * price
    if asked.per_answer is not None:
        recurring = flow.answers * (inputs[f"{name}per_answer"] * change)
    if asked.per_customer is not None:
        recurring = recurring + flow.units * (inputs[f"{name}per_customer"] * change)
    if table is not None:
        use = np.divide(flow.answers, flow.active, out=np.zeros_like(recurring), where=flow.active > 0.0)
        recurring = table.served(flow.active, flow.new) * table.recurring(use, inputs)
        if table.early:
            recurring = recurring + table.introduced(flow.kept, flow.new, use)
        recurring = recurring * change
        once = flow.new * (table.once * change) if table.once else None
    if asked.per_new_customer is not None:
        once = flow.new * (inputs[f"{name}per_new_customer"] * change)
    return np.asarray(recurring), once


def _milestones(plan: BusinessPlan, inputs: Inputs, streams: Mapping[str, Floats]) -> dict[str, Floats]:
    """[n]: the month in which each milestone was met; inf where it was not, or too late."""
    met = {}
    for item in plan.milestones:
        metric = streams["mrr"] * 12.0 if item.metric == "arr" else streams[item.metric]
        month = cash.first_month(metric >= inputs[f"milestones.{item.name}.value"])
        met[item.name] = np.where(month <= (item.by or expenses.NEVER), month, cash.NOT_REACHED)
    return met


SERVING = ("serving_variable", "machine_cost", "customer_cost", "payroll_support", "fixed_serving", "payment_cost")
SELLING = ("marketing", "payroll_sales", "fixed_sales")
REST = ("payroll_general", "payroll_development", "fixed_general", "fixed_development", "training", "risk_cost")


def _sum(streams: Mapping[str, Floats], names: tuple[str, ...], shape: tuple[int, ...]) -> Floats:
    total = np.zeros(shape)
    for name in names:
        if name in streams and not cash.is_nothing(streams[name]):
            total += streams[name]
    return total


def _profit(plan: BusinessPlan, inputs: Inputs, streams: dict[str, Floats]) -> None:
    """Adds gross profit, contribution and EBITDA. Bad debt is a cost when it is billed."""
    shape = streams["revenue"].shape
    fee, each = inputs["costs.payments.percentage"], inputs["costs.payments.per_invoice"]
    if np.any(fee) or np.any(each):
        streams["payment_cost"] = streams["revenue"] * fee + streams["customers"] * each
    streams["cost_of_serving"] = _sum(streams, SERVING, shape)
    streams["gross_profit"] = streams["revenue"] - streams["cost_of_serving"] - streams["bad_debt"]
    streams["sales_cost"] = _sum(streams, SELLING, shape)
    streams["contribution"] = streams["gross_profit"] - streams["sales_cost"]
    streams["ebitda"] = streams["contribution"] - _sum(streams, REST, shape) + inputs["other_per_month"]


def _cash(
    plan: BusinessPlan, inputs: Inputs, streams: dict[str, Floats], *, met: Mapping[str, Floats], first: Value
) -> Paths:
    """Tax, funding, the account, ruin, and the months that matter."""
    months, size = inputs.months, inputs.size
    opened, came, repaid, interest = cash.funding(plan, inputs, met)
    taxed = streams["ebitda"] - streams["depreciation"]
    taxed = taxed if cash.is_nothing(interest) else taxed - interest
    streams["tax"] = cash.tax_due(taxed, inputs["tax.rate"], inputs["tax.losses"])
    # What is billed and not yet collected is the only difference between EBITDA and the money of the month.
    late = streams["revenue"] - streams["bad_debt"] - streams["collected"]
    streams["cash_flow"] = streams["ebitda"] - late - streams["capital"] - streams["tax"]
    streams["funding"] = came if cash.is_nothing(repaid) else came - repaid
    start = np.zeros(size) - first
    summed = start + cash.running(streams["cash_flow"])
    has_cash = plan.cash is not None or bool(plan.funding)
    opening = start + opened + (inputs["cash"] if plan.cash is not None else 0.0)
    moved = streams["cash_flow"] if cash.is_nothing(streams["funding"]) else streams["cash_flow"] + streams["funding"]
    account = cash.balance(opening, moved, inputs["interest_on_cash_per_year"])
    ruin = cash.first_month(account < 0.0) if has_cash else np.full(size, cash.NOT_REACHED)
    number = np.arange(1, months + 1)[:, None]
    outcomes = {
        "ruin_month": ruin,
        "operating_month": cash.three_running(streams["ebitda"], number <= ruin),
        "cash_month": cash.three_running(streams["cash_flow"], number <= ruin),
        "payback_month": cash.first_month((summed >= 0.0) & (number <= ruin)),
        "funding_need": np.maximum(0.0, -np.minimum(summed.min(axis=0), start)),
        "final_cash_unabsorbed": account[-1],
        "final_mrr_unabsorbed": streams["mrr"][-1],
    }
    streams["cash_unabsorbed"], streams["cash_before_funding"] = account, summed
    streams["cash"] = account.copy()
    if plan.exit is not None:
        sold = streams["mrr"][-1] * 12.0 * inputs["exit.arr_multiple"]
        outcomes["exit_value"] = np.asarray(np.where(np.isinf(ruin), sold, 0.0))
    if any(item.terms is not None for item in plan.funding):
        outcomes["rounds_closed"] = cash.rounds_closed(plan, inputs, met)
    outcomes["worth"] = _worth(plan, inputs, streams, ruin=ruin, start=start, sold=outcomes.get("exit_value", 0.0))
    _absorb(streams, number <= ruin)
    return Paths(streams, outcomes)


def _worth(
    plan: BusinessPlan, inputs: Inputs, streams: Mapping[str, Floats], *, ruin: Floats, start: Floats, sold: Value
) -> Floats:
    """NPV of the flows before funding: all of t = 0, the months up to ruin, and what is left at the end."""
    months = inputs.months
    factors = cash.discount(plan.discount_rate, months)
    alive = np.arange(1, months + 1)[:, None] <= ruin
    flows = np.where(alive, streams["cash_flow"], 0.0) if np.isfinite(ruin).any() else streams["cash_flow"]
    worth = start + factors @ flows + sold * factors[-1]
    left = inputs["liquidation_value"]
    if np.any(left) and np.isfinite(ruin).any():
        month = np.where(np.isfinite(ruin), ruin, 1.0).astype(int) - 1
        worth = worth + np.where(np.isfinite(ruin), left * factors[month], 0.0)
    return np.asarray(worth)


KEPT_AFTER_RUIN = ("cash_unabsorbed", "cash_before_funding")


def _absorb(streams: dict[str, Floats], alive: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> None:
    """Zeroes everything that follows ruin."""
    if alive.all():
        return
    factor, done = alive.astype(float), dict[int, Floats]()
    for name, stream in streams.items():
        if name in KEPT_AFTER_RUIN or cash.is_nothing(stream):
            continue
        if id(stream) not in done:
            done[id(stream)] = np.multiply(stream, factor, out=stream if stream.flags.writeable else None)
        streams[name] = done[id(stream)]
