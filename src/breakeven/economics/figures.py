"""The figures that founders and investors ask for: one formula each, and what a simulated block shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.normal import Floats, floats
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sampling import Inputs

LIFETIME_CAP = 120


def ratio(top: ArrayLike, bottom: ArrayLike) -> Floats:
    """top / bottom; NaN where the bottom is nothing."""
    below = floats(bottom)
    return floats(np.divide(top, below, out=np.full(np.broadcast(top, below).shape, np.nan), where=below > 1e-12))


def ltv(revenue_per_customer: ArrayLike, gross_margin: ArrayLike, churn_per_month: ArrayLike) -> Floats:
    """Lifetime value under one constant rate of churn: revenue a month x margin / churn."""
    return ratio(floats(revenue_per_customer) * floats(gross_margin), churn_per_month)


def cac(sales_cost: ArrayLike, new_customers: ArrayLike) -> Floats:
    """Cost of winning one customer."""
    return ratio(sales_cost, new_customers)


def payback_months(cost: ArrayLike, revenue_per_customer: ArrayLike, gross_margin: ArrayLike) -> Floats:
    """Months until a customer's gross profit has paid for winning it."""
    return ratio(cost, floats(revenue_per_customer) * floats(gross_margin))


def yearly_churn(per_month: float) -> float:
    """1 - (1 - c)^12."""
    return 1.0 - (1.0 - per_month) ** 12


def monthly_churn(per_year: float) -> float:
    """1 - (1 - c)^(1/12)."""
    return float(1.0 - (1.0 - per_year) ** (1.0 / 12.0))


def magic_number(revenue_quarter: ArrayLike, revenue_quarter_before: ArrayLike, sales_cost_before: ArrayLike) -> Floats:
    """(rise in quarterly revenue x 4) / sales and marketing of the quarter before."""
    return ratio((floats(revenue_quarter) - floats(revenue_quarter_before)) * 4.0, sales_cost_before)


def quick_ratio(new: ArrayLike, expanded: ArrayLike, lost: ArrayLike) -> Floats:
    """Recurring revenue won over recurring revenue lost."""
    return ratio(floats(new) + floats(expanded), lost)


def burn_multiple(net_burn: ArrayLike, net_new_arr: ArrayLike) -> Floats:
    """Cash burnt per unit of yearly recurring revenue added."""
    return ratio(net_burn, net_new_arr)


def rule_of_40(growth: ArrayLike, margin: ArrayLike) -> Floats:
    """Growth in percent plus profit margin in percent, from shares."""
    return 100.0 * (floats(growth) + floats(margin))


def retention(opening: float, expanded: float, lost: float) -> tuple[float, float]:
    """(net, gross) revenue retention of the customers one began with."""
    return (opening + expanded - lost) / opening, (opening - lost) / opening


def curve_survival(alpha: float, beta: float, periods: int) -> Floats:
    """[periods + 1]: S(0) .. S(periods) of the shifted beta-geometric: prod (beta + t - 1) / (alpha + beta + t - 1)."""
    t = np.arange(1, periods + 1)
    return floats(np.concatenate([[1.0], np.cumprod((beta + t - 1.0) / (alpha + beta + t - 1.0))]))


def curve_ltv(
    revenue_per_customer: float, gross_margin: float, survival: ArrayLike, *, discount_per_month: float = 0.0
) -> float:
    """Lifetime value where churn falls with age: margin over the survival curve, paid at each period's start."""
    alive = floats(survival)
    discounted = alive * (1.0 + discount_per_month) ** -np.arange(len(alive), dtype=float)
    return float(revenue_per_customer * gross_margin * np.sum(discounted))


@dataclass(frozen=True)
class Alive:
    """Whether a firm reaches profit before its cash is gone, without raising: month of profit, what it burnt."""

    profitable_month: int | None
    burnt: float
    alive: bool


def default_alive(
    revenue: float,
    growth_per_month: float,
    costs: float,
    cash: float,
    *,
    growth_in_month_1: bool = False,
    months: int = 600,
) -> Alive:
    """Graham's question on one path: costs stay, revenue grows. `growth_in_month_1` is the timing: before or after the
    first month."""
    burnt, income = 0.0, revenue
    for month in range(1, months + 1):
        if month > 1 or growth_in_month_1:
            income *= 1.0 + growth_per_month
        if income >= costs:
            return Alive(month, burnt, burnt <= cash)
        burnt += costs - income
    return Alive(None, burnt, False)


def scenario_figures(plan: BusinessPlan, inputs: Inputs, streams: Mapping[str, Floats]) -> dict[str, Floats]:
    """[n] each, NaN where a figure has no meaning (nobody won, nothing lost). The last year is the last 12 months."""
    months = inputs.months
    year = slice(max(0, months - 12), months)

    def last(name: str) -> Floats:
        return floats(streams[name][year].sum(axis=0))

    revenue, new, sales = last("revenue"), streams["new_customers"].sum(axis=0), streams["sales_cost"].sum(axis=0)
    margin = ratio(last("gross_profit"), revenue)
    per_customer = ratio(last("mrr"), last("customers"))
    cost = cac(sales, new)
    made = {
        "customers_end": streams["customers"][-1],
        "mrr_end": streams["mrr"][-1],
        "arr_end": 12.0 * streams["mrr"][-1],
        "revenue_total": streams["revenue"].sum(axis=0),
        "gross_margin": margin,
        "contribution_margin": ratio(last("contribution"), revenue),
        "cac": cost,
        "revenue_per_customer": per_customer,
        "ltv": _lifetime_value(plan, inputs, streams, per_customer, margin, year),
        "cac_payback_months": payback_months(cost, per_customer, margin),
        "nrr": _kept(streams, year, net=True),
        "grr": _kept(streams, year, net=False),
        "quick_ratio": quick_ratio(
            streams["new_mrr"].sum(axis=0), streams["expanded_mrr"].sum(axis=0), streams["churned_mrr"].sum(axis=0)
        ),
        "burn_per_month": np.maximum(0.0, -streams["cash_flow"][:12].mean(axis=0)),
        "burn_multiple": burn_multiple(
            -streams["cash_flow"][:12].sum(axis=0), 12.0 * (streams["mrr"][min(11, months - 1)] - streams["mrr"][0])
        ),
    }
    if months >= 24:
        before = streams["revenue"][months - 24 : months - 12].sum(axis=0)
        growth = ratio(revenue, before) - 1.0
        made["rule_of_40"] = rule_of_40(growth, ratio(last("ebitda"), revenue))
    if months >= 6:
        made["magic_number"] = magic_number(
            streams["revenue"][-3:].sum(axis=0),
            streams["revenue"][-6:-3].sum(axis=0),
            streams["sales_cost"][-6:-3].sum(axis=0),
        )
    return made


def _kept(streams: Mapping[str, Floats], year: slice, *, net: bool) -> Floats:
    """Revenue kept over the last year: the product of its months."""
    opening = streams["mrr"][year] - streams["new_mrr"][year] - (streams["expanded_mrr"] - streams["churned_mrr"])[year]
    change = (streams["expanded_mrr"][year] if net else 0.0) - streams["churned_mrr"][year]
    share = 1.0 + np.divide(change, opening, out=np.zeros_like(opening), where=opening > 1e-12)
    return np.where((opening > 1e-12).any(axis=0), np.prod(share, axis=0), np.nan)


def _lifetime_value(
    plan: BusinessPlan, inputs: Inputs, streams: Mapping[str, Floats], per_customer: Floats, margin: Floats, year: slice
) -> Floats:
    """1 / churn only where churn is one rate; else the survival curve itself, counted to 120 months."""
    parts = plan.parts()
    prefix, part = next(iter(parts.items()))
    if len(parts) == 1 and part.customers.churn_curve is not None:
        a, b = (inputs[f"{prefix}customers.churn_curve.{name}"] for name in ("alpha", "beta"))
        t = np.arange(1, LIFETIME_CAP)[:, None]
        months = 1.0 + np.cumprod((b + t - 1.0) / (a + b + t - 1.0), axis=0).sum(axis=0)
        return floats(per_customer * margin * months)
    if len(parts) == 1 and part.customers.churn_by_month is not None:
        names = [f"{prefix}customers.churn_by_month.{i}" for i in range(len(part.customers.churn_by_month))]
        rates = [inputs[names[min(age, len(names) - 1)]] for age in range(LIFETIME_CAP - 1)]
        kept = np.cumprod([1.0 - np.broadcast_to(rate, per_customer.shape) for rate in rates], axis=0)
        return floats(per_customer * margin * (1.0 + kept.sum(axis=0)))
    opening = (streams["customers"] - streams["new_customers"] + streams["churned_customers"])[year].sum(axis=0)
    return ltv(per_customer, margin, ratio(streams["churned_customers"][year].sum(axis=0), opening))
