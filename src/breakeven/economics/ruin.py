"""Ruin probabilities that have formulas: to be used as they are, and to check simulations against."""

from __future__ import annotations

import math
from statistics import NormalDist


def cramer_lundberg(capital: float, *, loading: float, mean_claim: float) -> float:
    """Probability of ever being ruined with exponential claims: exp(-theta u / ((1 + theta) mu)) / (1 + theta)."""
    if loading <= 0.0:
        return 1.0
    return math.exp(-loading * capital / ((1.0 + loading) * mean_claim)) / (1.0 + loading)


def gamblers_ruin(p: float, start: int, goal: int) -> float:
    """Probability of losing everything before reaching `goal`, one unit a step, won with probability `p`."""
    if p == 0.5:
        return 1.0 - start / goal
    odds = (1.0 - p) / p
    # Divided by the largest power, so that long games do not overflow.
    if odds > 1.0:
        return (odds ** (start - goal) - 1.0) / (odds**-goal - 1.0)
    return (odds**start - odds**goal) / (1.0 - odds**goal)


def brownian(capital: float, *, drift: float, sigma: float, time: float, seen_every: float = 0.0) -> float:
    """Probability that a Brownian account falls below 0 within `time`.

    `seen_every` > 0: it is only looked at so often; the barrier is moved away by 0.5826 sigma root(interval), which is
    an approximation. Drift and sigma are per unit and per root unit of time.
    """
    far = capital + 0.5825971579390107 * sigma * math.sqrt(seen_every)
    spread, normal = sigma * math.sqrt(time), NormalDist()
    direct = normal.cdf((-far - drift * time) / spread)
    reflected = math.exp(-2.0 * drift * far / sigma**2) * normal.cdf((-far + drift * time) / spread)
    return direct + reflected
