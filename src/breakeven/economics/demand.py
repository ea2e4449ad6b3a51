"""Demand curves: what part of the people buys at a price, and which price earns most.

A curve is fitted from answers by `research`; the price recommendation asks it for its best price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.normal import Floats, floats
from breakeven.errors import DataError, UsageError


class Demand(Protocol):
    """Anything that tells which part of the people buys at a price."""

    def share(self, price: ArrayLike) -> Floats:
        """The part (0 to 1) that buys."""


@dataclass(frozen=True)
class LogitDemand:
    """`ceiling` / (1 + exp(-(intercept - slope x price))): a part of the people, falling with the price."""

    intercept: float
    slope: float
    ceiling: float = 1.0

    def share(self, price: ArrayLike) -> Floats:
        """The part of the people who buy at a price."""
        against = np.clip(self.slope * floats(price) - self.intercept, -700.0, 700.0)
        return floats(self.ceiling / (1.0 + np.exp(against)))

    def elasticity(self, price: ArrayLike) -> Floats:
        """Percent of demand for a percent of price, negative."""
        return floats(-self.slope * floats(price) * (1.0 - self.share(price) / self.ceiling))


@dataclass(frozen=True)
class ConstantElasticity:
    """Demand that changes by `elasticity` percent for a percent of price, `share_at` of the people at `price_at`."""

    elasticity: float
    price_at: float
    share_at: float

    def share(self, price: ArrayLike) -> Floats:
        """The part of the people who buy at a price, never above all."""
        ratio = np.maximum(floats(price), 1e-12) / self.price_at
        return floats(np.minimum(1.0, self.share_at * ratio**self.elasticity))


@dataclass(frozen=True)
class StepDemand:
    """Shares seen at the prices asked, straight lines between them; nobody buys beyond the last price."""

    prices: tuple[float, ...]
    shares: tuple[float, ...]

    def share(self, price: ArrayLike) -> Floats:
        """The part of the people who buy at a price."""
        return floats(np.interp(floats(price), self.prices, self.shares, right=0.0))


@dataclass(frozen=True)
class BestPrice:
    """The price that earns most: its profit a period, and how many buy."""

    price: float
    profit: float
    quantity: float


def best_price(
    demand: Demand,
    *,
    unit_cost: float,
    people: float = 1.0,
    fixed: float = 0.0,
    low: float | None = None,
    high: float | None = None,
) -> BestPrice:
    """Maximises (price - unit cost) x demand between two prices (default: from the unit cost to where nobody buys)."""
    floor = unit_cost if low is None else low
    top = _nobody(demand, floor) if high is None else high
    if not 0.0 <= floor < top or people <= 0.0:
        raise UsageError("price-range", low=floor, high=top)
    # The profit may have several tops (steps in the answers): a grid finds the right hill, then it is climbed.
    for _ in range(6):
        grid = np.linspace(floor, top, 2001)
        profits = (grid - unit_cost) * demand.share(grid)
        best = int(np.argmax(profits))
        floor, top = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 2000)])
    price = float(grid[best])
    quantity = people * float(demand.share(price))
    return BestPrice(price, (price - unit_cost) * quantity - fixed, quantity)


def best_logit_price(intercept: ArrayLike, slope: ArrayLike, unit_cost: ArrayLike) -> Floats:
    """The price of highest (price - unit cost) x demand on logit curves of any ceiling, elementwise and exact.

    With w = slope x (price - cost) - 1 the first-order condition is w + ln w = intercept - slope x cost - 1.
    """
    steep, cost = floats(slope), floats(unit_cost)
    z = np.clip(floats(intercept) - steep * cost - 1.0, -700.0, 1e9)
    w = np.where(z < 0.0, np.exp(np.minimum(z, 0.0)), np.maximum(1.0, z))
    for _ in range(30):  # Newton; w stays positive from any of these starts
        w = np.maximum(w * (1.0 - np.log(w) + z) / (1.0 + w), 1e-310)
    return floats(cost + (1.0 + w) / steep)


def _nobody(demand: Demand, floor: float) -> float:
    """A price at which less than a millionth of those at the floor still buy."""
    start, price = float(demand.share(floor)), max(2.0 * floor, 1e-6)
    while float(demand.share(price)) > 1e-6 * start and price < 1e12:
        price *= 2.0
    return price


def falling(prices: Sequence[float], shares: Sequence[float], weights: Sequence[float] | None = None) -> StepDemand:
    """Seen shares made to fall with the price by pooling neighbours (isotonic regression)."""
    order = np.argsort(floats(prices), kind="stable")
    asked, seen = floats(prices)[order], floats(shares)[order]
    weight = np.ones_like(seen) if weights is None else floats(weights)[order]
    if not len(asked) or (seen < 0.0).any() or (seen > 1.0).any() or (weight <= 0.0).any():
        raise DataError("shares-range")
    blocks: list[list[float]] = []
    for value, mass in zip(seen, weight, strict=True):
        blocks.append([float(value), float(mass), 1.0])
        while len(blocks) > 1 and blocks[-2][0] < blocks[-1][0]:
            later, earlier = blocks.pop(), blocks.pop()
            mass_both = earlier[1] + later[1]
            mean = (earlier[0] * earlier[1] + later[0] * later[1]) / mass_both
            blocks.append([mean, mass_both, earlier[2] + later[2]])
    flat = [block[0] for block in blocks for _ in range(int(block[2]))]
    return StepDemand(tuple(float(price) for price in asked), tuple(flat))


def point_elasticity(prices: Sequence[float], quantities: Sequence[float]) -> float:
    """The slope of log quantity on log price by least squares."""
    paid, sold = floats(prices), floats(quantities)
    if len(paid) != len(sold) or len(np.unique(paid)) < 2 or (paid <= 0.0).any() or (sold <= 0.0).any():
        raise DataError("elasticity-data")
    x = np.log(paid) - np.log(paid).mean()
    return float(x @ np.log(sold) / (x @ x))


def arc_elasticity(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Midpoint elasticity between two (price, quantity) points."""
    (p0, q0), (p1, q1) = before, after
    if p0 == p1 or min(p0, p1, q0, q1) <= 0.0:
        raise DataError("elasticity-data")
    return ((q1 - q0) / (q1 + q0)) / ((p1 - p0) / (p1 + p0))
