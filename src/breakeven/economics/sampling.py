"""The drawn inputs of a plan: every uncertain driver by name, in blocks of scenarios that do not depend on each other.

A value is a float (certain), [n] (drawn once a scenario) or [months, n] (drawn every month). The block size is part of
the definition of the draws: the same scenario gets the same numbers however many are run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from breakeven.economics import draws, normal
from breakeven.economics.drivers import Driver
from breakeven.economics.normal import Floats
from breakeven.economics.plan import BusinessPlan

BLOCK = 2048
Value = float | Floats


@dataclass(frozen=True)
class Inputs:
    """Values by dotted name for `size` scenarios. `luck` gives standard normals for events; None: the base case."""

    values: Mapping[str, Value]
    months: int
    size: int
    seed: int = 0
    block: int = 0
    random: bool = True
    quasi_luck: Mapping[str, Floats] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Value:
        """The value of a driver of the plan."""
        return self.values[name]

    def luck(self, name: str, middle: float) -> Floats:
        """Standard normals [size] behind an event or a spread; all `middle` in the base case."""
        if not self.random:
            return np.full(self.size, middle)
        return draws.stream(self.seed, "luck", name, self.block).standard_normal(self.size)


def at(value: Value, month: int) -> Value:
    """The value in a month (from 0), whatever its shape."""
    return value[month] if isinstance(value, np.ndarray) and value.ndim == 2 else value


@dataclass(frozen=True)
class Sampler:
    """Draws the inputs of a plan. `fixed` replaces draws of single drivers (what-if, Sobol indices, goal seek)."""

    plan: BusinessPlan
    seed: int
    drivers: Mapping[str, Driver]
    doubtful: tuple[str, ...]
    factor: Floats | None

    @classmethod
    def of(cls, plan: BusinessPlan, seed: int) -> Sampler:
        """The sampler of a plan; ValueError where its correlations name no uncertain driver or contradict."""
        drivers = plan.drivers()
        doubtful = tuple(name for name, driver in drivers.items() if not driver.certain and driver.each == "once")
        pairs = {(one, other): value for one, other, value in plan.correlations}
        return cls(plan, seed, drivers, doubtful, draws.copula_factor(doubtful, pairs) if pairs else None)

    def base(self) -> Inputs:
        """Every driver at its mean, nothing random."""
        means = {name: driver.mean for name, driver in self.drivers.items()}
        return Inputs(means, self.plan.months, 1, random=False)

    def normals(self, block: int, size: int) -> Floats:
        """[doubtful drivers, size] correlated standard normals of one block."""
        z = draws.normals(self.doubtful, self.seed, BLOCK, block=block)[:, :size]
        return z if self.factor is None else self.factor @ z

    def inputs(self, z: Floats, block: int) -> Inputs:
        """The inputs at given normals of the doubtful drivers; monthly noise and luck come from the block's streams."""
        size = z.shape[1]
        values: dict[str, Value] = {}
        places = {name: row for row, name in enumerate(self.doubtful)}
        for name, driver in self.drivers.items():
            if driver.certain or driver.each == "customer":
                values[name] = driver.mean
            elif driver.each == "month":
                noise = draws.stream(self.seed, "month", name, block).standard_normal((self.plan.months, BLOCK))
                values[name] = driver.from_normal(noise[:, :size])
            else:
                values[name] = driver.from_normal(z[places[name]])
        return Inputs(values, self.plan.months, size, self.seed, block)

    def rounded(self, scenarios: int) -> int:
        """How many scenarios a run of so many has: quasi-random points come in powers of two."""
        return draws.quasi_count(scenarios) if self.plan.random == "quasi" and self.doubtful else scenarios

    def blocks(self, scenarios: int) -> Iterator[Inputs]:
        """All blocks of a run of so many scenarios."""
        if self.plan.random == "quasi" and self.doubtful:
            z = draws.quasi_normals(len(self.doubtful), self.seed, scenarios, factor=self.factor)
            for block, start in enumerate(range(0, z.shape[1], BLOCK)):
                yield self.inputs(z[:, start : start + BLOCK], block)
            return
        for block, start in enumerate(range(0, scenarios, BLOCK)):
            size = min(BLOCK, scenarios - start)
            yield self.inputs(self.normals(block, size), block)


def happens(luck: Floats, probability: Value) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether an event of that probability happens; the base case (luck 0) takes what is likelier."""
    return np.asarray(normal.cdf(luck) < probability)
