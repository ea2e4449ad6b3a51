"""The simulation of a plan: blocks of scenarios, gathered into means, quantiles, probabilities and figures.

Memory does not grow with the number of scenarios but for a handful of numbers a scenario: up to `EXACT` scenarios the
headline streams are kept whole and their quantiles are exact; beyond, quantiles are the means of the blocks' own, and
figures (LTV, NRR ...) are of the first `EXACT` scenarios.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from breakeven.economics import rates
from breakeven.economics.draws import SCRAMBLINGS
from breakeven.economics.figures import scenario_figures
from breakeven.economics.normal import Floats
from breakeven.economics.paths import HEADLINE, Paths, Tables, simulate_block
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.sampling import Inputs, Sampler

EXACT = 20_480
QUANTILES = (0.10, 0.50, 0.90)


@dataclass(frozen=True)
class Run:
    """What all scenarios together show. base, mean: [months] by stream. quantiles: [3, months] by headline stream
    (p10, p50, p90). outcomes: [scenarios] by name; months that are never reached are inf."""

    plan: BusinessPlan
    seed: int
    scenarios: int
    base: Mapping[str, Floats]
    base_outcomes: Mapping[str, float]
    mean: Mapping[str, Floats]
    quantiles: Mapping[str, Floats]
    outcomes: Mapping[str, Floats]
    groups: int = 0  # equal runs of scenarios that are independent rounds; 0: every scenario is

    def probability(self, name: str, month: float = math.inf) -> tuple[float, float, float]:
        """(share, low, high): scenarios that reach `name` by that month, with the 95% interval of the simulation."""
        reached = np.isfinite(self.outcomes[name]) & (self.outcomes[name] <= month)
        return share(reached, self.groups)


def share(hits: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], groups: int = 0) -> tuple[float, float, float]:
    """A share with its 95% interval: Wilson's for independent scenarios, Student's over groups that are rounds."""
    n, p = len(hits), float(np.mean(hits))
    if groups:
        means = hits.reshape(groups, -1).mean(axis=1)
        reach = 2.131 * float(means.std(ddof=1)) / math.sqrt(groups)
        return p, max(0.0, p - reach), min(1.0, p + reach)
    z2 = 1.959964**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return p, max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass
class Gathered:
    """Sums and kept arrays of the blocks seen so far. What is kept of every scenario has its room from the start: a
    block's arrays are copied into it and let go, for a view into one would hold all of it."""

    exact: bool
    total: int
    count: int = 0
    sums: dict[str, Floats] = field(default_factory=dict)
    headline: dict[str, list[Floats]] = field(default_factory=lambda: {name: [] for name in HEADLINE})
    sizes: list[int] = field(default_factory=list)
    outcomes: dict[str, Floats] = field(default_factory=dict)

    def add(self, paths: Paths, figures: Mapping[str, Floats], size: int) -> None:
        """One more block, whose headline streams are sorted in place where they are not kept whole."""
        # One array may stand under two names (revenue that all recurs): it is summed and sorted once.
        totals = {id(stream): stream for stream in paths.streams.values()}
        summed = {place: stream.sum(axis=1) for place, stream in totals.items()}
        for name, stream in paths.streams.items():
            total = summed[id(stream)]
            self.sums[name] = self.sums[name] + total if name in self.sums else total
        self._keep(paths.outcomes, size, self.total)
        self._keep(figures, size, min(self.total, EXACT))
        sorted_: dict[int, Floats] = {}
        for name in HEADLINE:
            stream = paths.streams[name]
            if not self.exact and id(stream) not in sorted_:
                sorted_[id(stream)] = row_quantiles(stream if stream.flags.writeable else stream.copy())
            self.headline[name].append(stream if self.exact else sorted_[id(stream)])
        self.count += size
        self.sizes.append(size)

    def _keep(self, found: Mapping[str, Floats], size: int, room: int) -> None:
        for name, values in found.items():
            if name not in self.outcomes:
                self.outcomes[name] = np.empty(room)
            self.outcomes[name][self.count : self.count + size] = values

    def quantiles(self) -> dict[str, Floats]:
        """[3, months] by headline stream."""
        if self.exact:
            found: dict[tuple[int, ...], Floats] = {}
            for parts in self.headline.values():
                key = tuple(map(id, parts))
                if key not in found:
                    found[key] = row_quantiles(np.concatenate(parts, axis=1))
            return {name: found[tuple(map(id, parts))] for name, parts in self.headline.items()}
        return {name: np.average(parts, axis=0, weights=self.sizes) for name, parts in self.headline.items()}


def row_quantiles(values: Floats) -> Floats:
    """p10, p50, p90 along the last axis, [3, months]: np.quantile's own definition, from one partition in place."""
    places = np.array(QUANTILES) * (values.shape[-1] - 1)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, values.shape[-1] - 1)
    values.partition(np.unique(np.concatenate([low, high])), axis=-1)
    part = places - low
    return np.asarray((values[..., low] * (1.0 - part) + values[..., high] * part).T)


def tables(plan: BusinessPlan) -> dict[str, rates.RateTable]:
    """For every segment billed by a price plan, what its customers pay by what they use."""
    return {
        prefix: rates.table(part.price.plan, part.customers, prefix)
        for prefix, part in plan.parts().items()
        if part.price is not None and part.price.plan is not None
    }


def run(plan: BusinessPlan, *, seed: int | None = None, scenarios: int | None = None) -> Run:
    """Simulates a plan: the base case, and all scenarios."""
    sampler = Sampler.of(plan, plan.seed or 0 if seed is None else seed)
    priced = tables(plan)
    wanted = scenarios or plan.scenarios
    gathered = Gathered(wanted <= EXACT, sampler.rounded(wanted))
    for inputs in sampler.blocks(wanted):
        paths = simulate_block(plan, inputs, priced)
        # The spread of a ratio is known well enough from these; what decides (ruin, NPV ...) is kept of all.
        figures = scenario_figures(plan, inputs, paths.streams) if gathered.count < EXACT else {}
        gathered.add(paths, figures, inputs.size)
    base, base_figures = _one(plan, sampler.base(), priced)
    groups = SCRAMBLINGS if plan.random == "quasi" and sampler.doubtful else 0
    return Run(
        plan,
        sampler.seed,
        gathered.count,
        {name: stream[:, 0] for name, stream in base.streams.items()},
        {name: float(values[0]) for name, values in (*base.outcomes.items(), *base_figures.items())},
        {name: total / gathered.count for name, total in gathered.sums.items()},
        gathered.quantiles(),
        gathered.outcomes,
        groups,
    )


def _one(plan: BusinessPlan, inputs: Inputs, priced: Tables) -> tuple[Paths, dict[str, Floats]]:
    paths = simulate_block(plan, inputs, priced)
    return paths, scenario_figures(plan, inputs, paths.streams)
