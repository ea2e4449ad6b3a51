"""Value, cost and price of one answer, as arrays over resampled worlds.

Pure arithmetic of one formula each; `verdict` puts them together for the candidates of a project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breakeven.economics.normal import Floats, floats


def value_draws(
    outcomes: ArrayLike,
    payoff: ArrayLike,
    weights: ArrayLike,
    *,
    classes: Sequence[object] | None = None,
    base_rates: Mapping[object, float] | None = None,
) -> Floats:
    """[b]: value per answer in each resampling.

    outcomes [n, k]: how often each outcome happened in each case. payoff [k], or [n, k] where it depends on the case.
    weights [b, n]: how often each case was drawn. With `classes` (the true class of each case) and `base_rates`, cases
    are normalised per true class and weighted by the market's rates.
    """
    worth = (floats(outcomes) * floats(payoff)).sum(axis=1)
    drawn = np.atleast_2d(floats(weights))
    if base_rates is None:
        value: Floats = drawn @ worth / drawn.sum(axis=1)
        return value
    return _class_means(worth, drawn, list(classes or []), base_rates)


def _class_means(worth: Floats, drawn: Floats, classes: list[object], base_rates: Mapping[object, float]) -> Floats:
    if len(classes) != len(worth):
        raise ValueError("base rates need the true class of every case")
    if min(base_rates.values()) < 0.0 or abs(sum(base_rates.values()) - 1.0) > 1e-6:
        raise ValueError(f"base rates sum to {sum(base_rates.values()):g}, and 1 is expected")
    value = np.zeros(len(drawn))
    for name, rate in base_rates.items():
        mine = np.array([label == name for label in classes])
        if rate > 0.0 and not mine.any():
            raise ValueError(f"the market has class '{name}' and the test set has no case of it")
        if rate > 0.0:
            count = drawn[:, mine].sum(axis=1)
            total = drawn[:, mine] @ worth[mine]
            # A resampling that missed a rare class falls back on all of its cases.
            value += rate * np.where(count > 0.0, total / np.where(count > 0.0, count, 1.0), worth[mine].mean())
    return value


def confusion_value(confusion: ArrayLike, payoff: ArrayLike, base_rates: ArrayLike | None = None) -> float:
    """Value per answer from counts [true][predicted] and payoff [true][predicted]; rates default to the counts' own."""
    counts, gain = floats(confusion), floats(payoff)
    rows = counts.sum(axis=1)
    rates = rows / rows.sum() if base_rates is None else floats(base_rates)
    given = np.divide(counts, rows[:, None], out=np.zeros_like(counts), where=rows[:, None] > 0.0)
    return float(rates @ (given * gain).sum(axis=1))


def improved_confusion(confusion: ArrayLike, points: float = 0.01) -> Floats:
    """The confusion with its errors shrunk in proportion until accuracy rises by `points` (or no error is left)."""
    counts = floats(confusion)
    errors = counts.sum() - np.trace(counts)
    if errors <= 0.0:
        return counts.copy()
    return shrunk_confusion(counts, min(1.0, points * counts.sum() / errors))


def shrunk_confusion(confusion: ArrayLike, part: float) -> Floats:
    """The confusion with `part` of every kind of error turned into right answers of the same true class."""
    counts = floats(confusion)
    off = counts - np.diag(np.diag(counts))
    return floats(counts - part * off + np.diag(part * off.sum(axis=1)))


def point_worth(
    confusion: ArrayLike,
    payoff: ArrayLike,
    metric: object = None,
    *,
    base_rates: ArrayLike | None = None,
    points: float = 0.01,
) -> float:
    """What one more point of the metric is worth per answer.

    Errors are shrunk in proportion until `metric(confusion)` (default accuracy) has risen by `points`; where perfection
    is nearer than that, the worth of perfection is scaled up to a whole point.
    """
    counts = floats(confusion)
    measure = metric if callable(metric) else accuracy
    start, best = measure(counts), measure(shrunk_confusion(counts, 1.0))
    if best <= start:
        return 0.0
    target = min(start + points, best)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if measure(shrunk_confusion(counts, middle)) < target else (low, middle)
    # Base rates stay as they are: only the answers improve.
    better = confusion_value(shrunk_confusion(counts, high), payoff, base_rates)
    return float((better - confusion_value(counts, payoff, base_rates)) * points / (target - start))


def accuracy(confusion: ArrayLike) -> float:
    """The share of right answers."""
    counts = floats(confusion)
    return float(np.trace(counts) / counts.sum())


def price_floor(
    variable_cost: ArrayLike,
    *,
    fixed_fee: ArrayLike = 0.0,
    answers_per_invoice: ArrayLike = np.inf,
    percentage_fees: ArrayLike = 0.0,
) -> Floats:
    """(variable cost + fixed payment fee / answers per invoice) / (1 - percentage fees)."""
    per_answer = floats(fixed_fee) / floats(answers_per_invoice)
    return floats((floats(variable_cost) + per_answer) / (1.0 - floats(percentage_fees)))


def price_ceiling(value: ArrayLike, *, surpluses: Sequence[ArrayLike] = (), switching_cost: ArrayLike = 0.0) -> Floats:
    """Value less the best the customer has otherwise (never below doing nothing) less switching, per answer.

    `surpluses`: the best constant answer's value, and each alternative's value less its price.
    """
    best = np.zeros_like(floats(value))
    for surplus in surpluses:
        best = np.maximum(best, surplus)
    return floats(floats(value) - best - floats(switching_cost))


def recommended_price(floor: float, ceiling: float, ceiling_draws: Floats, share: float) -> float:
    """floor + share x (p10 of the ceiling - floor), kept inside [floor, ceiling] wherever there is such an interval."""
    careful = float(np.quantile(ceiling_draws, 0.10))
    if ceiling < floor:
        return floor
    return float(min(max(floor + share * (careful - floor), floor), ceiling))


def price_on_demand(prices: ArrayLike, demand: ArrayLike, cost: float) -> tuple[float, float]:
    """(price, profit) that maximises (price - cost) x demand over a fine table of a demand curve."""
    p, q = floats(prices), floats(demand)
    profit = (p - cost) * q
    best = int(np.argmax(profit))
    return float(p[best]), float(profit[best])


def best_shares(objectives: Floats, eligible: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Share of the worlds [b] in which each candidate of [c, b] is the best of the eligible, and in which none is."""
    offered = np.where(eligible, objectives, -np.inf)
    winner = np.argmax(offered, axis=0)
    some = eligible.any(axis=0)
    shares = np.array([np.mean(some & (winner == row)) for row in range(len(objectives))])
    return shares, float(np.mean(~some))


def cascade_cost(small: ArrayLike, large: ArrayLike, escalated: ArrayLike) -> Floats:
    """A cascade pays the small model always and the large one for the escalated share."""
    return floats(floats(small) + floats(escalated) * floats(large))


def router_cost(small: ArrayLike, large: ArrayLike, share_large: ArrayLike) -> Floats:
    """A router pays one model per answer: (1 - p) x small + p x large."""
    share = floats(share_large)
    return floats((1.0 - share) * floats(small) + share * floats(large))


def make_or_buy(make_fixed_per_month: float, make_per_answer: float, buy_per_answer: float) -> float | None:
    """The monthly volume above which making is cheaper than buying; None if it never is."""
    saved = buy_per_answer - make_per_answer
    if make_fixed_per_month <= 0.0 and saved >= 0.0:
        return 0.0
    return make_fixed_per_month / saved if saved > 0.0 else None
