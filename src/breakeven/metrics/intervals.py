"""Intervals: one set of bootstrap draws for all candidates, and closed forms where they are right.

A draw is a vector of case weights (how often each case was drawn), so every metric is computed over `weights [b, n]`.
Two candidates judged by the same draws are compared pairwise: the noise of the test rows cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Measure = Callable[[FloatArray], Mapping[str, FloatArray]]

CHUNK = 4_000_000  # weights held at once: 16 MB in float32


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws over cases. `units` are what is resampled: one integer a case, equal where cases go together."""

    units: np.ndarray[Any, np.dtype[np.int64]]
    draws: int = 2000
    seed: int = 0

    @classmethod
    def over(cls, n: int, units: Sequence[str] | None = None, *, draws: int = 2000, seed: int = 0) -> Draws:
        """Draws over `n` cases, by row or by the named units."""
        if units is None:
            return cls(np.arange(n, dtype=np.int64), draws, seed)
        _, index = np.unique(np.asarray(units, dtype=str), return_inverse=True)
        return cls(index.astype(np.int64), draws, seed)

    def __len__(self) -> int:
        return len(self.units)

    def weights(self) -> Iterator[FloatArray]:
        """Chunks [c, n] that add up to `draws` rows; the same rows on every call, so that candidates are paired."""
        rng = np.random.default_rng(self.seed)
        n, groups = len(self.units), int(self.units.max()) + 1 if len(self.units) else 0
        left, chunk = self.draws, max(1, CHUNK // max(n, 1))
        while left > 0 and n:
            rows = min(left, chunk)
            picked = rng.integers(0, groups, size=(rows, groups))
            picked += np.arange(rows)[:, None] * groups
            counts = np.bincount(picked.ravel(), minlength=rows * groups).reshape(rows, groups).astype(np.float32)
            yield counts if groups == n else counts[:, self.units]
            left -= rows

    def jackknife(self, blocks: int = 200) -> FloatArray:
        """Weights [g, n] that leave out one block of units each; at most `blocks` of them."""
        groups = int(self.units.max()) + 1 if len(self.units) else 0
        count = min(blocks, groups)
        block = np.random.default_rng(self.seed).permutation(groups) % max(count, 1)
        kept: FloatArray = (block[self.units][None, :] != np.arange(count)[:, None]).astype(np.float32)
        return kept

    def of(self, measure: Measure) -> dict[str, FloatArray]:
        """`measure` over all draws: name -> values [draws]."""
        return over_draws(self.weights(), measure)


def over_draws(chunks: Iterable[FloatArray], measure: Measure) -> dict[str, FloatArray]:
    """`measure` over chunks of weights: name -> values of all rows."""
    parts = [dict(measure(weights)) for weights in chunks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


@dataclass(frozen=True)
class Interval:
    """Two bounds and how they were found."""

    low: float
    high: float
    method: str


def percentile(draws: FloatArray, level: float = 0.95) -> Interval:
    """The plain percentile interval of draws; NaN draws (a class that was not drawn) are left out."""
    finite = draws[np.isfinite(draws)]
    if not len(finite):
        return Interval(math.nan, math.nan, "none")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), f"bootstrap of {len(draws)} draws, percentile")


def bca(draws: FloatArray, point: float, left_out: FloatArray, level: float = 0.95) -> Interval:
    """Bias-corrected and accelerated interval (Efron 1987); `left_out` are the jackknife values of the same metric.

    Falls back to the percentile interval where the draws do not vary or the point lies outside of them.
    """
    finite = draws[np.isfinite(draws)]
    below = float(np.mean(finite < point) + np.mean(finite == point) / 2) if len(finite) else 0.0
    if not 0 < below < 1 or not math.isfinite(point) or not np.ptp(finite):
        return percentile(draws, level)
    centred = np.nanmean(left_out) - left_out[np.isfinite(left_out)]
    spread = float(np.sum(centred**2)) ** 1.5
    acceleration = float(np.sum(centred**3)) / (6 * spread) if spread > 0 else 0.0
    normal = NormalDist()
    bias = normal.inv_cdf(below)
    shares = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + normal.inv_cdf(tail)
        shares.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(finite, shares)
    return Interval(float(low), float(high), f"bootstrap of {len(draws)} draws, BCa")


def wilson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a rate; no trials give [0, 1]."""
    if trials <= 0:
        return Interval(0.0, 1.0, "Wilson")
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, scale = successes / trials, 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    # At a rate of 0 or 1 the formula's bound is exact but for the last bit.
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    high = 1.0 if successes >= trials else min(1.0, centre + half)
    return Interval(low, high, "Wilson")


def over_rounds(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's interval of the mean of a few rounds; fewer than three have none, they say too little of a spread."""
    n = len(values)
    if n < 3:
        return Interval(math.nan, math.nan, f"{n} round{'s' if n != 1 else ''}")
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    half = student(n - 1, level) * spread / math.sqrt(n)
    return Interval(mean - half, mean + half, f"Student over {n} rounds")


def student(freedom: int, level: float = 0.95) -> float:
    """Two-sided quantile of Student's t, by bisection on its distribution function (no SciPy in the core)."""
    low, high, goal = 0.0, 1000.0, (1 + level) / 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, freedom) < goal else (low, middle)
    return (low + high) / 2


def _student_cdf(t: float, freedom: int) -> float:
    """The finite sum for integer degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, term, total = math.cos(angle), 1.0, 0.0
    if freedom % 2:
        for step in range(1, (freedom - 1) // 2 + 1):
            term = math.cos(angle) if step == 1 else term * cosine**2 * (2 * step - 2) / (2 * step - 1)
            total += term
        return 0.5 + (angle + math.sin(angle) * total) / math.pi
    for step in range(freedom // 2):
        term = 1.0 if step == 0 else term * cosine**2 * (2 * step - 1) / (2 * step)
        total += term
    return 0.5 + math.sin(angle) * total / 2


def reweighted(
    weights: FloatArray, members: Mapping[str, np.ndarray[Any, np.dtype[np.bool_]]], rates: Mapping[str, float]
) -> FloatArray:
    """Weights [b, n] whose share of every class is its `rates` entry; classes without a draw keep nothing.

    Used to value answers at market base rates: within a class the test rows stand for the market's rows.
    """
    result = np.zeros_like(weights, dtype=np.float64)
    for label, member in members.items():
        totals = weights[:, member].sum(axis=1, keepdims=True)
        shares = np.divide(rates.get(label, 0.0), totals, out=np.zeros_like(totals, dtype=np.float64), where=totals > 0)
        result[:, member] = weights[:, member] * shares
    return result
