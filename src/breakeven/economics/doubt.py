"""What the doubt comes from: tornado, Sobol indices, and what knowing an assumption would be worth.

All of it runs the same engine on the same random numbers. "Chance" is everything that is not an assumption: monthly
noise, risks that strike, the luck of having few customers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from breakeven.economics import draws, normal
from breakeven.economics.normal import Floats, floats
from breakeven.economics.paths import simulate_block
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sampling import BLOCK, Inputs, Sampler
from breakeven.economics.simulation import tables

CHANCE = "chance"

NO_LAUNCH = "do not launch"


@dataclass(frozen=True)
class Bar:
    """One driver of a tornado: the outcome with it at its p10 and at its p90, all others at their means."""

    driver: str
    low_value: float
    high_value: float
    at_low: float
    at_high: float

    @property
    def swing(self) -> float:
        """How far the outcome moves."""
        return abs(self.at_high - self.at_low)


def tornado(plan: BusinessPlan, *, outcome: str = "worth", seed: int = 0) -> tuple[float, list[Bar]]:
    """(the base case's outcome, bars by falling swing) over every uncertain driver, noise taken at its mean."""
    sampler = Sampler.of(plan, seed)
    names = [name for name, driver in sampler.drivers.items() if not driver.certain and driver.each == "once"]
    size = 2 * len(names) + 1
    ends = {name: (sampler.drivers[name].quantile(0.10), sampler.drivers[name].quantile(0.90)) for name in names}
    values: dict[str, float | Floats] = {}
    for name, driver in sampler.drivers.items():
        values[name] = driver.mean
        if name in ends:
            column = np.full(size, driver.mean)
            column[2 * names.index(name) + 1], column[2 * names.index(name) + 2] = ends[name]
            values[name] = column
    found = simulate_block(plan, Inputs(values, plan.months, size, random=False), tables(plan)).outcomes[outcome]
    bars = [Bar(name, *ends[name], float(found[2 * i + 1]), float(found[2 * i + 2])) for i, name in enumerate(names)]
    return float(found[0]), sorted(bars, key=lambda bar: bar.swing, reverse=True)


@dataclass(frozen=True)
class Index:
    """Sobol indices of one input or group, with their standard errors: its own share of the variance, and with all
    interactions."""

    name: str
    first: float
    total: float
    first_error: float
    total_error: float


def sobol_indices(
    function: Callable[[Floats, bool], Floats],
    groups: Mapping[str, Sequence[int]],
    inputs: int,
    *,
    runs: int = 1024,
    seed: int = 0,
    chance: bool = False,
) -> list[Index]:
    """First-order (Saltelli 2010) and total (Jansen) indices of function(z [inputs, n], other_chance) -> [n].

    `groups` names rows of z that are exchanged together. About runs x (groups + 2) evaluations; `runs` is rounded up to
    a power of two. With `chance`, everything random that is not in z counts as a group of its own.
    """
    count = 1 << max(3, (runs - 1).bit_length())
    points = normal.ppf(draws.sobol(2 * inputs, count, draws.stream(seed, "sobol"))) if inputs else np.zeros((0, count))
    a, b = points[:inputs], points[inputs:]
    at_a, at_b = function(a, False), function(b, True)
    mean = 0.5 * (at_a.mean() + at_b.mean())
    variance = float(0.5 * (at_a.var() + at_b.var()))
    found = []
    for name, rows in groups.items():
        mixed = a.copy()
        mixed[list(rows)] = b[list(rows)]
        found.append(_index(name, at_a - mean, at_b - mean, function(mixed, False) - mean, variance=variance))
    if chance:
        found.append(_index(CHANCE, at_a - mean, at_b - mean, function(a, True) - mean, variance=variance))
    return sorted(found, key=lambda index: index.total, reverse=True)


def _index(name: str, at_a: Floats, at_b: Floats, mixed: Floats, *, variance: float) -> Index:
    if variance <= 0.0:
        return Index(name, 0.0, 0.0, 0.0, 0.0)
    first, total = at_b * (mixed - at_a) / variance, 0.5 * (at_a - mixed) ** 2 / variance
    root = np.sqrt(len(at_a))
    return Index(name, float(first.mean()), float(total.mean()), float(first.std() / root), float(total.std() / root))


def plan_indices(plan: BusinessPlan, *, outcome: str = "worth", runs: int = 1024, seed: int = 0) -> list[Index]:
    """Sobol indices of a plan's uncertain drivers; correlated ones form one group, its name joining theirs."""
    sampler, priced = Sampler.of(plan, seed), tables(plan)

    def function(z: Floats, other_chance: bool) -> Floats:
        parts = []
        for block, start in enumerate(range(0, z.shape[1], BLOCK)):
            piece = z[:, start : start + BLOCK]
            correlated = piece if sampler.factor is None else sampler.factor @ piece
            inputs = sampler.inputs(correlated, block + (1_000_000 if other_chance else 0))
            parts.append(simulate_block(plan, inputs, priced).outcomes[outcome])
        return np.concatenate(parts)

    groups = correlated_groups(sampler.doubtful, plan.correlations)
    return sobol_indices(function, groups, len(sampler.doubtful), runs=runs, seed=seed, chance=_has_chance(plan))


def _has_chance(plan: BusinessPlan) -> bool:
    random_drivers = any(not driver.certain and driver.each != "once" for driver in plan.drivers().values())
    if any(part.customers.counting == "whole" for part in plan.parts().values()):
        return True
    return random_drivers or bool(plan.risks) or any(item.probability is not None for item in plan.funding)


def correlated_groups(names: Sequence[str], correlations: Sequence[tuple[str, str, float]]) -> dict[str, list[int]]:
    """Rows by group: drivers linked by correlations stand together, every other one alone."""
    group = {name: name for name in names}
    for one, other, _ in correlations:
        old, new = group[other], group[one]
        group = {name: new if held == old else held for name, held in group.items()}
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(group[name], []).append(row)
    return {" + ".join(names[row] for row in members): members for members in rows.values()}


@dataclass(frozen=True)
class Worth:
    """What knowing one assumption before deciding would be worth, in money, with its standard error; `share` is its
    part of the variance of the best decision's NPV that a curve through it explains."""

    driver: str
    value: float
    error: float
    share: float

    @property
    def matters(self) -> bool:
        """Whether it is above 0 beyond its error."""
        return self.value > 2.0 * self.error


@dataclass(frozen=True)
class Knowledge:
    """Assumptions by what knowing them is worth. `changes_decision` False: no single measurement would change it, and
    the list is ranked by variance share."""

    best: str
    expected: float
    assumptions: tuple[Worth, ...]
    changes_decision: bool


DEGREE = 4


def value_of_knowing(outcomes: Mapping[str, Floats], inputs: Mapping[str, Floats]) -> Knowledge:
    """Expected value of partial perfect information about each input, over decisions on the same random numbers.

    outcomes: NPV [n] by decision; not launching (0 always) is added. inputs: standard normals [n] behind each
    assumption. The conditional means are fitted on one half of the scenarios and the choice by them is paid by the
    other half, then the other way round, so that noise cannot pay.
    """
    names = [NO_LAUNCH, *outcomes]
    paid = np.array([np.zeros(len(next(iter(outcomes.values())))), *outcomes.values()])
    best = int(np.argmax(paid.mean(axis=1)))
    found = [_worth(name, z, paid, best) for name, z in inputs.items()]
    changes = any(worth.matters for worth in found)
    found.sort(key=lambda worth: (worth.value if changes else 0.0, worth.share), reverse=True)
    return Knowledge(names[best], float(paid[best].mean()), tuple(found), changes)


def _worth(name: str, z: Floats, paid: Floats, best: int) -> Worth:
    half = paid.shape[1] // 2
    parts = [slice(0, half), slice(half, None)]
    gains = []
    for fit, pay in (parts, parts[::-1]):
        basis, other = _basis(z[fit]), _basis(z[pay])
        weights = np.linalg.lstsq(basis, paid[:, fit].T, rcond=None)[0]
        choice = np.argmax(other @ weights, axis=1)
        known = paid[:, pay][choice, np.arange(len(choice))]
        gains.append(known - paid[np.argmax(paid[:, fit].mean(axis=1)), pay])
    gain = np.concatenate(gains)
    top = paid[best] if best else paid[1]
    curve = _basis(z) @ np.linalg.lstsq(_basis(z), top, rcond=None)[0]
    spread = float(top.var())
    share = float(curve.var()) / spread if spread > 0.0 else 0.0
    return Worth(name, max(0.0, float(gain.mean())), float(gain.std() / np.sqrt(len(gain))), share)


def _basis(z: Floats) -> Floats:
    return floats(np.vander(np.clip(z, -4.0, 4.0), DEGREE + 1))


def what_to_measure(decisions: Mapping[str, BusinessPlan], *, seed: int = 0, scenarios: int = 8192) -> Knowledge:
    """The assumptions of these decisions (plans that differ in candidate and price) ranked by what knowing is worth."""
    outcomes: dict[str, list[Floats]] = {name: [] for name in decisions}
    behind: dict[str, list[Floats]] = {}
    samplers = {name: Sampler.of(plan, seed) for name, plan in decisions.items()}
    priced = {name: tables(plan) for name, plan in decisions.items()}
    for block, start in enumerate(range(0, scenarios, BLOCK)):
        size = min(BLOCK, scenarios - start)
        seen: dict[str, Floats] = {}
        for name, sampler in samplers.items():
            z = sampler.normals(block, size)
            paths = simulate_block(sampler.plan, sampler.inputs(z, block), priced[name])
            outcomes[name].append(paths.outcomes["worth"])
            seen |= dict(zip(sampler.doubtful, z, strict=True))
        for driver, row in seen.items():
            behind.setdefault(driver, []).append(row)
    return value_of_knowing(
        {name: np.concatenate(parts) for name, parts in outcomes.items()},
        {name: np.concatenate(parts) for name, parts in behind.items()},
    )
