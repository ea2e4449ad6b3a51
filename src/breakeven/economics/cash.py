"""Cash: what comes in late, tax, loans and rounds, ruin and what it ends, and the months that matter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from breakeven.economics import normal
from breakeven.economics.normal import Floats, floats
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sampling import Inputs, Value, happens
from breakeven.economics.sections import Funding

DAYS_PER_MONTH = 365.0 / 12.0
NOT_REACHED = np.inf


def collected(billed: Floats, days: Value) -> Floats:
    """[months, n]: money that arrives `days` after its invoice; a part of a month splits it between two months."""
    if not np.any(days):
        return billed
    lag = np.asarray(days, dtype=float) / DAYS_PER_MONTH
    whole, part = np.floor(lag).astype(int), lag - np.floor(lag)
    months, size = billed.shape
    if not lag.ndim:  # one lag for all scenarios: rows move as they are
        came, late = np.zeros_like(billed), int(whole)
        came[late:] = billed[: max(0, months - late)] * (1.0 - part)
        came[late + 1 :] += billed[: max(0, months - late - 1)] * part
        return came
    padded = np.concatenate([np.zeros((1, size)), billed])
    rows = np.arange(1, months + 1)[:, None]
    columns = np.arange(size)[None, :]
    now = padded[np.clip(rows - whole, 0, months), columns]
    before = padded[np.clip(rows - whole - 1, 0, months), columns]
    return np.asarray(now * (1.0 - part) + before * part)


def nothing(shape: tuple[int, ...]) -> Floats:
    """A stream of zeros that takes no room, and that `is_nothing` knows without looking at every cell."""
    return np.broadcast_to(np.zeros(()), shape)


def is_nothing(stream: Floats) -> bool:
    """Whether it is such a stream."""
    return not any(stream.strides) and stream.size > 0 and not stream.flat[0]


def tax_due(profit: Floats, rate: Value, losses: Value) -> Floats:
    """rate x max(0, profit after losses carried forward), month by month.

    What has been taxed so far is the highest point the summed profit ever reached.
    """
    if not np.any(rate):
        return np.zeros_like(profit)
    taxed = np.maximum(running(running(profit) - losses, np.maximum), 0.0)
    due = taxed.copy()
    due[1:] -= taxed[:-1]
    return floats(rate * due)


def running(rows: Floats, step: np.ufunc = np.add) -> Floats:
    """[months, n]: sums (or maxima) of the rows so far. Row by row, which is many times faster than `accumulate`."""
    made = np.empty_like(rows)
    made[0] = rows[0]
    for month in range(1, len(rows)):
        step(made[month - 1], rows[month], out=made[month])
    return made


def first_month(reached: NDArray[np.bool_]) -> Floats:
    """[n]: the first month (from 1) in which it is so; inf where it never is."""
    found = np.full(reached.shape[1], NOT_REACHED)
    # From the last month back, row by row: several times as fast as `any` and `argmax` down the columns.
    for month in range(len(reached), 0, -1):
        np.copyto(found, float(month), where=reached[month - 1])
    return found


def three_running(flow: Floats, alive: NDArray[np.bool_] | None = None) -> Floats:
    """[n]: the first month from which the flow is not negative three months running."""
    good = flow >= 0.0 if alive is None else (flow >= 0.0) & alive
    if len(good) < 3:
        return np.full(good.shape[1], NOT_REACHED)
    return first_month(good[:-2] & good[1:-1] & good[2:])


def loan(item: Funding, inputs: Inputs, *, amount: Value, closed: Floats) -> tuple[Floats, Floats]:
    """(repayments, the interest in them), [months, n], of an annuity whose first payment is a month after the money."""
    months = inputs.months
    monthly = (1.0 + np.asarray(inputs[f"funding.{item.name}.interest_per_year"])) ** (1.0 / 12.0) - 1.0
    growth = (1.0 + monthly) ** item.months
    payment = amount * np.where(monthly > 0.0, monthly * growth / np.maximum(growth - 1.0, 1e-300), 1.0 / item.months)
    age = np.arange(1, months + 1)[:, None] - item.month
    due = (age >= 1) & (age <= item.months)
    left = amount * (1.0 + monthly) ** (age - 1) - payment * np.where(
        monthly > 0.0, ((1.0 + monthly) ** (age - 1) - 1.0) / np.where(monthly > 0.0, monthly, 1.0), age - 1.0
    )
    return np.asarray(due * payment * closed), np.asarray(due * left * monthly * closed)


def closes(item: Funding, inputs: Inputs, met: Mapping[str, Floats]) -> Floats:
    """[n]: 1 where the money comes. An open round counts only where its milestone was met before its month, or where
    its declared probability says so; one that is closed, or in before the first month, always does."""
    if item.closed or item.month == 0:
        return np.ones(inputs.size)
    if item.needs is None and item.probability is None:
        return np.zeros(inputs.size)
    open_ = np.ones(inputs.size, dtype=bool)
    if item.probability is not None:
        chance = inputs[f"funding.{item.name}.probability"]
        open_ &= happens(inputs.luck(f"funding {item.name}", 0.0), chance)
    if item.needs is not None:
        open_ &= met[item.needs] < item.month
    return open_.astype(float)


def funding(plan: BusinessPlan, inputs: Inputs, met: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats, Floats]:
    """(money on day one [n], money in each month, loan repayments, interest in them)."""
    months, size = inputs.months, inputs.size
    if not plan.funding:
        none = nothing((months, size))
        return np.zeros(size), none, none, none
    first, came = np.zeros(size), np.zeros((months, size))
    repaid, interest = np.zeros((months, size)), np.zeros((months, size))
    for item in plan.funding:
        closed = closes(item, inputs, met)
        amount = inputs[f"funding.{item.name}.amount"]
        if item.month == 0:
            first = first + closed * amount
        elif item.month <= months:
            came[item.month - 1] += closed * amount
        if item.kind == "loan":
            back, part = loan(item, inputs, amount=amount, closed=closed)
            repaid, interest = repaid + back, interest + part
    return first, came, repaid, interest


def rounds_closed(plan: BusinessPlan, inputs: Inputs, met: Mapping[str, Floats]) -> Floats:
    """[n]: which rounds with terms close, bit n for the n-th of them in the file."""
    pattern = np.zeros(inputs.size)
    for place, item in enumerate(item for item in plan.funding if item.terms is not None):
        if item.month <= inputs.months:
            pattern += closes(item, inputs, met) * 2.0**place
    return pattern


def balance(opening: Floats, flow: Floats, interest_per_year: Value) -> Floats:
    """[months, n]: the account at month ends; interest is earned on what was there at the month's start."""
    if not np.any(interest_per_year):
        return floats(opening + running(flow))
    monthly = (1.0 + np.asarray(interest_per_year)) ** (1.0 / 12.0) - 1.0
    account, paths = opening, np.empty_like(flow)
    for month, row in enumerate(flow):
        account = account + np.maximum(account, 0.0) * monthly + row
        paths[month] = account
    return paths


def discount(rate: float, months: int) -> Floats:
    """[months]: (1 + rate)^(-m/12) for m = 1 .. months."""
    return np.asarray((1.0 + rate) ** (-np.arange(1, months + 1) / 12.0))


def events(plan: BusinessPlan, inputs: Inputs) -> tuple[dict[str, Value], Floats]:
    """(what risks do to the streams, [months, n] or 1; what they cost when they happen, [months, n]).

    Each happens at most once, in any month alike; the base case has a risk only where it is likelier than not.
    """
    months, size = inputs.months, inputs.size
    factors: dict[str, Value] = {}
    if not plan.risks:
        return factors, nothing((months, size))
    paid = np.zeros((months, size))
    number = np.arange(1, months + 1)[:, None]
    for risk in plan.risks:
        name = f"risks.{risk.name}."
        likelihood, effect = floats(inputs[f"{name}likelihood"]), floats(1.0)
        for mitigation in risk.mitigations:
            if mitigation.chosen:
                here = f"{name}mitigations.{mitigation.name}."
                likelihood = floats(likelihood * inputs[f"{here}likelihood"])
                effect = floats(effect * inputs[f"{here}effect"])
        struck = happens(inputs.luck(f"risk {risk.name}", 0.0), likelihood)
        when = np.minimum(np.floor(normal.cdf(inputs.luck(f"risk month {risk.name}", 0.0)) * months) + 1.0, months)
        lasting = struck & (number >= when)
        if risk.duration_months is not None:
            lasting &= number < when + risk.duration_months
        for stream, factor in risk.effect.items():
            change = 1.0 + (factor - 1.0) * effect
            factors[stream] = factors.get(stream, 1.0) * np.where(lasting, change, 1.0)
        paid += (struck & (number == when)) * (inputs[f"{name}cost"] * effect)
    return factors, paid
