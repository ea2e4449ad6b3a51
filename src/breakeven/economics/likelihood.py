"""Maximum likelihood in NumPy alone: the best parameters, their covariance, intervals and draws.

Models state a log-likelihood of unbounded numbers (logs of positive parameters); this finds its top by damped Newton
steps with numerical derivatives and reads the doubt from the curvature there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.normal import Floats, floats
from breakeven.errors import DataError
from breakeven.quantity import Origin, Quantity

_BOUND = 25.0  # of a log-parameter: beyond it the likelihood is flat and the parameter not identified
_LANCZOS = (
    0.99999999999980993,
    676.5203681218851,
    -1259.1392167224028,
    771.32342877765313,
    -176.61502916214059,
    12.507343278686905,
    -0.13857109526572012,
    9.9843695780195716e-6,
    1.5056327351493116e-7,
)


def log_gamma(x: ArrayLike) -> Floats:
    """The logarithm of the gamma function for positive numbers (Lanczos, relative error about 1e-14)."""
    z = floats(x) - 1.0
    total = np.full_like(z, _LANCZOS[0])
    for position, coefficient in enumerate(_LANCZOS[1:], 1):
        total = total + coefficient / (z + position)
    t = z + 7.5
    result: Floats = 0.5 * np.log(2.0 * np.pi) + (z + 0.5) * np.log(t) - t + np.log(total)
    return result


def log_beta(a: ArrayLike, b: ArrayLike) -> Floats:
    """The logarithm of the beta function for positive numbers."""
    first, second = floats(a), floats(b)
    return floats(log_gamma(first) + log_gamma(second) - log_gamma(first + second))


@dataclass(frozen=True)
class Fit:
    """Fitted parameters. `covariance` is of the numbers the likelihood was searched in: logs where `positive`.

    `identified` is False where the data leave a parameter open (its interval is then without end).
    """

    names: tuple[str, ...]
    values: tuple[float, ...]
    covariance: Floats = field(repr=False, compare=False)
    log_likelihood: float
    n: int
    positive: bool = True
    identified: bool = True

    def __getitem__(self, name: str) -> float:
        return self.values[self.names.index(name)]

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """The interval of a parameter by the likelihood's curvature; (0 or -inf, inf) where it is not identified."""
        place = self.names.index(name)
        if not self.identified:
            return (0.0 if self.positive else -np.inf, np.inf)
        reach = NormalDist().inv_cdf(0.5 + level / 2.0) * float(np.sqrt(self.covariance[place, place]))
        value = self.values[place]
        if self.positive:
            return value * float(np.exp(-reach)), value * float(np.exp(reach))
        return value - reach, value + reach

    def draws(self, count: int, generator: np.random.Generator) -> dict[str, Floats]:
        """Parameters drawn from their doubt, jointly; the point itself where they are not identified."""
        center = np.log(self.values) if self.positive else np.array(self.values)
        spread = self.covariance if self.identified else np.zeros_like(self.covariance)
        drawn = generator.multivariate_normal(center, spread, size=count, method="eigh")
        columns = np.exp(drawn) if self.positive else drawn
        return {name: columns[:, place] for place, name in enumerate(self.names)}

    def quantity(self, name: str, unit: str, *, origin: Origin = "measured", source: str | None = None) -> Quantity:
        """A parameter as a number with its interval and origin."""
        low, high = self.interval(name)
        bounds = (low, high) if np.isfinite(high) else (None, None)
        return Quantity(
            self[name], unit, origin, bounds[0], bounds[1], n=self.n, method="maximum likelihood", source=source
        )


def maximise(
    log_likelihood: Callable[[Floats], float],
    start: Sequence[float],
    *,
    names: Sequence[str],
    n: int,
    positive: bool = True,
) -> Fit:
    """The fit from a start (of the logs where `positive`). Raises DataError where the likelihood has no value there."""
    theta = np.array(start, dtype=float)
    best = log_likelihood(theta)
    if not np.isfinite(best):
        raise DataError("fit-no-start", n=n)
    damping = 1e-3
    for _ in range(300):
        gradient, hessian = _derivatives(log_likelihood, theta)
        scale = np.maximum(np.abs(np.diag(hessian)), 1e-6)
        step = np.linalg.lstsq(damping * np.diag(scale) + _concave(hessian), gradient, rcond=None)[0]
        tried = np.clip(theta + np.clip(step, -2.0, 2.0), -_BOUND, _BOUND)
        value = log_likelihood(tried)
        if np.isfinite(value) and value > best:
            gain, theta, best, damping = value - best, tried, value, max(damping / 5.0, 1e-12)
            if gain < 1e-12 * (1.0 + abs(best)):
                break
        elif damping > 1e8:
            break
        else:
            damping *= 10.0
    return _fit(log_likelihood, theta, best, names=tuple(names), n=n, positive=positive)


def _concave(hessian: Floats) -> Floats:
    """Minus the Hessian with its signs made positive, so that a step along it always goes up."""
    values, vectors = np.linalg.eigh(-hessian)
    return floats(vectors @ np.diag(np.maximum(np.abs(values), 1e-9)) @ vectors.T)


def _derivatives(function: Callable[[Floats], float], theta: Floats) -> tuple[Floats, Floats]:
    """Gradient and Hessian by central differences."""
    size, step = len(theta), 1e-4
    steps = np.eye(size) * step
    middle = function(theta)
    ahead = np.array([function(theta + each) for each in steps])
    behind = np.array([function(theta - each) for each in steps])
    hessian = np.diag((ahead - 2.0 * middle + behind) / step**2)
    for row in range(size):
        for column in range(row):
            signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
            corners = sum(a * b * function(theta + a * steps[row] + b * steps[column]) for a, b in signs)
            hessian[row, column] = hessian[column, row] = corners / (4.0 * step**2)
    return (ahead - behind) / (2.0 * step), hessian


def _fit(
    function: Callable[[Floats], float], theta: Floats, best: float, *, names: tuple[str, ...], n: int, positive: bool
) -> Fit:
    information = -_derivatives(function, theta)[1]
    values = np.linalg.eigvalsh(information)
    identified = bool(values.min() > 1e-6 * max(1.0, values.max()) and np.abs(theta).max() < _BOUND - 2.0)
    covariance = np.linalg.inv(information) if identified else np.full_like(information, np.inf)
    found = np.exp(theta) if positive else theta
    return Fit(names, tuple(float(value) for value in found), floats(covariance), float(best), n, positive, identified)
