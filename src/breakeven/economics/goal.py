"""Goal seek: which value of one driver reaches a goal with the wanted probability, on one set of random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from breakeven.economics.drivers import Driver
from breakeven.economics.paths import simulate_block
from breakeven.economics.plan import BusinessPlan, replaced
from breakeven.economics.sampling import BLOCK, Sampler
from breakeven.economics.simulation import tables

STEPS = 32
PRECISION = 1e-4


@dataclass(frozen=True)
class Goal:
    """`outcome` (operating_month, cash_month, payback_month) reached by month `by`; ruin_month is a goal to avoid."""

    outcome: str = "operating_month"
    by: float = 24.0
    probability: float = 0.8

    @property
    def avoided(self) -> bool:
        """Whether the outcome is one that must not happen."""
        return self.outcome == "ruin_month"


@dataclass(frozen=True)
class Sought:
    """Every value of the driver's mean at which the probability crosses the goal, rising; none: the best that was
    reached, and where."""

    driver: str
    solutions: tuple[float, ...]
    best_probability: float
    best_value: float
    found_now: float

    @property
    def reachable(self) -> bool:
        """Whether any value on the bracket reaches the goal."""
        return bool(self.solutions)


def seek(
    plan: BusinessPlan,
    driver: str,
    goal: Goal | None = None,
    *,
    low: float,
    high: float,
    seed: int = 0,
    scenarios: int = 2048,
) -> Sought:
    """Searches [low, high] for the means of `driver` at which `goal` is just reached.

    A distribution is scaled as a whole, so its relative spread stays. ValueError for an unknown driver or an empty
    bracket.
    """
    wanted = goal or Goal()
    known = plan.drivers()
    if driver not in known:
        raise ValueError(f"no driver is called '{driver}'; known: {', '.join(sorted(known))}")
    if not low < high:
        raise ValueError(f"the bracket goes from {low:g} to {high:g}; expected low below high")

    def probability(value: float) -> float:
        return reached(replaced(plan, {driver: moved(known[driver], value)}), wanted, seed=seed, scenarios=scenarios)

    grid = np.linspace(low, high, STEPS + 1)
    found = np.array([probability(float(value)) for value in grid])
    above = found >= wanted.probability
    solutions = [
        _crossing(probability, float(grid[i]), float(grid[i + 1]), goal=wanted.probability, rising=bool(above[i + 1]))
        for i in range(STEPS)
        if above[i] != above[i + 1]
    ]
    if above.all():
        solutions = [float(low)]
    best = int(np.argmax(found))
    return Sought(driver, tuple(solutions), float(found[best]), float(grid[best]), probability(known[driver].mean))


def moved(driver: Driver, mean: float) -> Driver:
    """The driver with another mean; scaled where it has one, else certain."""
    if driver.mean > 0.0 and mean > 0.0:
        return driver.shifted(mean / driver.mean)
    return Driver.of(mean, driver.unit, driver.origin)


def reached(plan: BusinessPlan, goal: Goal, *, seed: int, scenarios: int) -> float:
    """The share of the scenarios in which the goal is met."""
    sampler, priced = Sampler.of(plan, seed), tables(plan)
    met = total = 0
    for block, start in enumerate(range(0, scenarios, BLOCK)):
        size = min(BLOCK, scenarios - start)
        months = simulate_block(plan, sampler.inputs(sampler.normals(block, size), block), priced).outcomes[
            goal.outcome
        ]
        met += int(np.sum(months <= goal.by))
        total += size
    return 1.0 - met / total if goal.avoided else met / total


def _crossing(probability: Callable[[float], float], low: float, high: float, *, goal: float, rising: bool) -> float:
    """Bisection to the value nearest the edge that reaches the goal."""
    start = high - low
    while high - low > PRECISION * start:
        middle = 0.5 * (low + high)
        if (probability(middle) >= goal) == rising:
            high = middle
        else:
            low = middle
    return high if rising else low
