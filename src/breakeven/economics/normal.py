"""The standard normal and the beta distribution in NumPy alone: every driver is a function of one standard normal.

Drawing standard normals and transforming them keeps correlation (a Gaussian copula), quasi-random points and common
random numbers one mechanism. The tables here are built once from exact values and read by cubic interpolation.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_REACH, _NODES = 9.0, 4096
Z90 = NormalDist().inv_cdf(0.90)


def floats(values: ArrayLike) -> Floats:
    """`values` as an array of float64."""
    array: Floats = np.asarray(values, dtype=np.float64)
    return array


@functools.cache
def _cdf_table() -> Floats:
    nodes = np.linspace(-_REACH, _REACH, _NODES + 1)
    return np.array([0.5 * math.erfc(-z / math.sqrt(2.0)) for z in nodes])


def pdf(z: Floats) -> Floats:
    """The standard normal density."""
    density: Floats = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return density


def cdf(z: Floats) -> Floats:
    """P(Z <= z), absolute error below 1e-12."""
    return _hermite(floats(z), _cdf_table(), pdf(np.linspace(-_REACH, _REACH, _NODES + 1)))


def ppf(u: Floats) -> Floats:
    """The z with P(Z <= z) = u, for u in (0, 1): read from the table, then three Newton steps."""
    table = _cdf_table()
    clipped = np.clip(np.asarray(u, dtype=float), table[0], table[-1])
    z = np.interp(clipped, table, np.linspace(-_REACH, _REACH, _NODES + 1))
    for _ in range(3):
        z = np.clip(z - (cdf(z) - clipped) / np.maximum(pdf(z), 1e-300), -_REACH, _REACH)
    return floats(z)


def _hermite(z: Floats, values: Floats, slopes: Floats) -> Floats:
    """Cubic Hermite interpolation on the even grid of the tables; ends are held."""
    cells = len(values) - 1
    step = 2.0 * _REACH / cells
    place = np.clip((z + _REACH) / step, 0.0, float(cells))
    cell = np.minimum(place.astype(np.int64), cells - 1)
    t = place - cell
    left, right = values[cell], values[cell + 1]
    rise, fall = slopes[cell] * step, slopes[cell + 1] * step
    gap = right - left
    result: Floats = left + t * (rise + t * (3.0 * gap - 2.0 * rise - fall + t * (rise + fall - 2.0 * gap)))
    return result


def beta_from_normal(z: Floats, a: float, b: float) -> Floats:
    """The beta(a, b) variate at the same probability as the standard normal `z`."""
    values, slopes = _beta_table(float(a), float(b))
    return np.clip(_hermite(z, values, slopes), 0.0, 1.0)


@functools.lru_cache(maxsize=256)
def _beta_table(a: float, b: float) -> tuple[Floats, Floats]:
    """Beta quantiles at every fourth node of the normal table, and their slopes along z."""
    nodes, tail = np.linspace(-_REACH, _REACH, _NODES + 1)[::4], _cdf_table()[::4]
    half = len(nodes) // 2 + 1
    # Near one a probability has no digits left: the upper half is read as the mirrored lower tail.
    values = np.concatenate([beta_tail(tail[:half], a, b), 1.0 - beta_tail(tail[: half - 1], b, a)[::-1]])
    inner = np.clip(values, 1e-300, 1.0 - 1e-16)
    log_density = (a - 1.0) * np.log(inner) + (b - 1.0) * np.log1p(-inner) - _log_beta(a, b)
    with np.errstate(over="ignore"):
        slopes = pdf(nodes) * np.exp(-log_density)
    # A slope beyond three times the neighbouring secants would overshoot; where the density gives none, they do.
    secants = np.diff(values) / np.diff(nodes)
    limit = 3.0 * np.minimum(np.append(secants[:1], secants), np.append(secants, secants[-1:]))
    return values, np.where(np.isfinite(slopes), np.minimum(slopes, limit), limit)


def beta_tail(u: Floats, a: float, b: float) -> Floats:
    """Quantiles of beta(a, b) for probabilities up to one half.

    Newton's method on log F against log x: the logarithm of the distribution is concave there, so that it cannot leave.
    """
    log_u, log_beta = np.log(u), _log_beta(a, b)
    log_x = np.minimum((log_u + math.log(a) + log_beta) / a, math.log(0.999 * a / (a + b)))
    step, tries = np.ones_like(log_x), 0
    while np.max(np.abs(step)) > 1e-13 and tries < 100:
        tries += 1
        x = np.exp(log_x)
        with np.errstate(divide="ignore"):
            log_f = np.log(beta_cdf(x, a, b))
        log_slope = a * log_x + (b - 1.0) * np.log1p(-x) - log_beta - log_f
        # Where F has no digits left the start was too far out: half the way to the mean.
        known = np.isfinite(log_f)
        slope = np.where(known, log_slope, 0.0)
        newton = np.where(known, log_u - log_f, 0.0) * np.exp(-slope)
        step = np.where(known, newton, 0.5 * (math.log(a / (a + b)) - log_x))
        log_x = np.minimum(log_x + step, -1e-16)
    return floats(np.exp(log_x))


def beta_cdf(x: Floats, a: float, b: float) -> Floats:
    """The regularised incomplete beta function I_x(a, b), for x in [0, 1]."""
    swap = x > (a + 1.0) / (a + b + 2.0)
    left = _beta_fraction(np.where(swap, 0.0, x), a, b)
    right = 1.0 - _beta_fraction(np.where(swap, 1.0 - x, 0.0), b, a)
    return np.where(swap, right, left)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _beta_fraction(x: Floats, a: float, b: float) -> Floats:
    """I_x(a, b) by Lentz's continued fraction, which converges fast for x below its mean."""
    safe = np.clip(x, 1e-300, 1.0)
    front = np.exp(a * np.log(safe) + b * np.log1p(-np.minimum(safe, 1.0 - 1e-16)) - _log_beta(a, b)) / a
    c, d = np.ones_like(x), 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    total = d.copy()
    change, m = np.full_like(x, 2.0), 0
    while np.max(np.abs(change - 1.0)) > 1e-14 and m < 200:
        m += 1
        for top in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 / _away_from_zero(1.0 + top * d)
            c = _away_from_zero(1.0 + top / c)
            change = c * d
            total = total * change
    return np.where(x > 0.0, front * total, 0.0)


def _away_from_zero(value: Floats) -> Floats:
    return np.where(np.abs(value) < 1e-300, 1e-300, value)
