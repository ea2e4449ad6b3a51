"""Curves fitted to a ledger or a history: churn, repeat use, spending, growth and usage, with intervals.

Customers who are still there are censored, not counted as staying for ever: every likelihood has a part for them.
Where customers differ, churn falls with age, and 1 / churn of young customers is not their lifetime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.likelihood import Fit, log_beta, log_gamma, maximise
from breakeven.economics.normal import Floats, beta_cdf, floats
from breakeven.errors import DataError, UsageError
from breakeven.quantity import Origin, Quantity

_FARTHEST = 0.999  # of the hypergeometric series' argument: beyond it a horizon is a thousand times what was seen


@dataclass(frozen=True)
class ConstantChurn:
    """One churn rate for every customer and month: `ended` of so many customer-months at risk."""

    ended: int
    at_risk: float

    @property
    def rate(self) -> float:
        """The most likely monthly churn."""
        return self.ended / self.at_risk

    def quantity(self, origin: Origin = "measured") -> Quantity:
        """Churn a month with its 95% interval (Jeffreys)."""
        a, b = self.ended + 0.5, self.at_risk - self.ended + 0.5
        low, high = beta_quantile(0.025, a, b), beta_quantile(0.975, a, b)
        return Quantity(self.rate, "1/month", origin, low, high, n=round(self.at_risk), method="constant churn")

    def survival(self, months: ArrayLike) -> Floats:
        """The part of customers still there after so many months."""
        return floats((1.0 - self.rate) ** floats(months))

    def draws(self, count: int, generator: np.random.Generator) -> Floats:
        """Churn rates drawn from their doubt."""
        return generator.beta(self.ended + 0.5, self.at_risk - self.ended + 0.5, size=count)


@dataclass(frozen=True)
class ShiftedBetaGeometric:
    """Churn that differs among customers by a beta(alpha, beta) law, constant for each of them."""

    alpha: float
    beta: float
    fit: Fit | None = None

    def survival(self, periods: ArrayLike) -> Floats:
        """The part of customers still there after so many periods: B(alpha, beta + t) / B(alpha, beta)."""
        return floats(np.exp(log_beta(self.alpha, self.beta + floats(periods)) - log_beta(self.alpha, self.beta)))

    def churn(self, period: ArrayLike) -> Floats:
        """Churn of those who reach a period (1 is the first); it falls with age."""
        return floats(self.alpha / (self.alpha + self.beta + floats(period) - 1.0))

    def lifetime(self, *, discount: float = 0.0, horizon: int = 600) -> float:
        """Expected (discounted) periods paid, the first included, up to the horizon (endless for alpha <= 1)."""
        periods = np.arange(horizon)
        return float(np.sum(self.survival(periods) / (1.0 + discount) ** periods))


def _counts(durations: ArrayLike, ended: ArrayLike) -> tuple[Floats, Floats, int]:
    """How many ended after t periods and how many were last seen after t, for t = 1, 2, ..."""
    lengths, gone = np.asarray(durations), np.asarray(ended, dtype=bool)
    if lengths.shape != gone.shape or lengths.ndim != 1 or not len(lengths):
        raise DataError("history-shape")
    if not np.issubdtype(lengths.dtype, np.integer) or lengths.min() < 0 or (gone & (lengths < 1)).any():
        raise DataError("durations-whole")
    size = int(lengths.max()) + 1
    return (
        floats(np.bincount(lengths[gone], minlength=size)),
        floats(np.bincount(lengths[~gone], minlength=size)),
        len(lengths),
    )


def fit_constant_churn(durations: ArrayLike, ended: ArrayLike) -> ConstantChurn:
    """Churn a period from how long each customer has been there (whole periods) and whether he left then."""
    left, _, count = _counts(durations, ended)
    at_risk = float(np.sum(np.asarray(durations)))
    if at_risk <= 0:
        raise DataError("history-short", n=count)
    return ConstantChurn(int(left.sum()), at_risk)


def fit_churn_curve(durations: ArrayLike, ended: ArrayLike) -> ShiftedBetaGeometric:
    """The shifted beta-geometric curve, by maximum likelihood, from periods stayed and whether the customer left."""
    left, seen, count = _counts(durations, ended)
    if not left.sum() or len(left) < 3:
        raise DataError("history-short", n=count)
    return _beta_geometric(left, seen, count)


def fit_survivors(survivors: Sequence[float]) -> ShiftedBetaGeometric:
    """The same curve from a cohort's counts at ages 0, 1, 2, ...: those left at the end are censored."""
    counts = floats(survivors)
    if len(counts) < 3 or (counts < 0).any() or (np.diff(counts) > 0).any() or counts[0] <= counts[-1]:
        raise DataError("survivors-fall")
    left = np.concatenate([[0.0], -np.diff(counts)])
    seen = np.zeros_like(counts)
    seen[-1] = counts[-1]
    return _beta_geometric(left, seen, round(float(counts[0])))


def _beta_geometric(left: Floats, seen: Floats, count: int) -> ShiftedBetaGeometric:
    ages = np.arange(len(left), dtype=float)

    def log_likelihood(theta: Floats) -> float:
        alpha, beta = np.exp(theta)
        survival = log_beta(alpha, beta + ages) - log_beta(alpha, beta)
        leaving = np.log(alpha) - np.log(alpha + beta + ages[1:] - 1.0) + survival[:-1]
        return float(left[1:] @ leaving + seen @ survival)

    fit = maximise(log_likelihood, (0.0, 1.0), names=("alpha", "beta"), n=count)
    return ShiftedBetaGeometric(fit["alpha"], fit["beta"], fit)


@dataclass(frozen=True)
class LognormalUsage:
    """Usage a customer and month as a lognormal: its log's mean and sd, the part of customers without any use."""

    mean_log: Quantity
    sd_log: Quantity
    idle: float

    @property
    def median(self) -> float:
        """The median of those who use it."""
        return float(np.exp(self.mean_log.value))

    @property
    def p90(self) -> float:
        """What nine in ten users stay below."""
        return float(np.exp(self.mean_log.value + 1.2815515655446004 * self.sd_log.value))


def fit_usage(quantities: ArrayLike, *, origin: Origin = "measured") -> LognormalUsage:
    """A lognormal of positive usage by maximum likelihood; zeros are counted apart as idle."""
    values = _numbers(quantities, least=0.0)
    used = np.log(values[values > 0.0])
    if len(used) < 2:
        raise DataError("history-short", n=len(used))
    mean, sd = float(used.mean()), float(used.std())
    reach = 1.959963984540054 * sd / np.sqrt(len(used))
    spread = 1.959963984540054 / np.sqrt(2.0 * len(used))
    return LognormalUsage(
        Quantity(mean, "log", origin, mean - reach, mean + reach, n=len(used), method="lognormal"),
        Quantity(
            sd, "log", origin, sd * float(np.exp(-spread)), sd * float(np.exp(spread)), n=len(used), method="lognormal"
        ),
        1.0 - len(used) / len(values),
    )


def _numbers(values: ArrayLike, *, least: float) -> Floats:
    numbers = floats(values)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all() or (numbers < least).any():
        raise DataError("history-numbers", least=least)
    return numbers


def fit_growth(series: ArrayLike, *, origin: Origin = "measured") -> Quantity:
    """Growth a period of a positive series: the slope of its logarithm, with a Student interval."""
    values = _numbers(series, least=0.0)
    if len(values) < 3 or (values <= 0.0).any():
        raise DataError("growth-series", n=len(values))
    periods = np.arange(len(values)) - (len(values) - 1) / 2.0
    logs = np.log(values)
    slope = float(periods @ logs / (periods @ periods))
    rest = logs - logs.mean() - slope * periods
    error = float(np.sqrt(rest @ rest / (len(values) - 2) / (periods @ periods)))
    reach = student_quantile(0.975, len(values) - 2) * error
    return Quantity(
        float(np.expm1(slope)),
        "1/period",
        origin,
        float(np.expm1(slope - reach)),
        float(np.expm1(slope + reach)),
        n=len(values),
        method="log-linear trend",
    )


def student_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t for a probability above one half."""
    x = beta_quantile(2.0 * (1.0 - probability), degrees / 2.0, 0.5)
    return float(np.sqrt(degrees * (1.0 - x) / x))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The quantile of beta(a, b): seven grids, each a hundred times finer around it."""
    low, high = 0.0, 1.0
    for _ in range(7):
        grid = np.linspace(low, high, 101)
        place = int(np.searchsorted(beta_cdf(grid[1:-1], a, b), probability))
        low, high = float(grid[place]), float(grid[place + 1])
    return (low + high) / 2.0


@dataclass(frozen=True)
class Repeat:
    """Use without a contract (BG/NBD): purchases at a gamma(r, alpha) rate, each the last with a beta(a, b) chance."""

    r: float
    alpha: float
    a: float
    b: float
    fit: Fit | None = None

    def alive(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """The probability that a customer is still one, from repeat purchases, the last one's time, and his age."""
        x, last, seen = floats(frequency), floats(recency), floats(age)
        silence = ((self.alpha + seen) / (self.alpha + last)) ** (self.r + x)
        left = self.a / (self.b + np.maximum(x, 1.0) - 1.0) * silence
        return floats(np.where(x > 0.0, 1.0 / (1.0 + left), 1.0))

    def expected(self, horizon: float, frequency: float, recency: float, age: float) -> float:
        """Purchases to be expected in the next `horizon` of time."""
        # The formula has a removable gap at a = 1.
        a = self.a if abs(self.a - 1.0) > 1e-7 else 1.0 + 1e-7
        b, r, x = self.b, self.r, frequency
        z = horizon / (self.alpha + age + horizon)
        if not 0.0 <= z <= _FARTHEST:
            raise UsageError("horizon-far", found=horizon, most=_FARTHEST / (1.0 - _FARTHEST) * (self.alpha + age))
        ratio = ((self.alpha + age) / (self.alpha + age + horizon)) ** (r + x)
        bracket = 1.0 - ratio * _hypergeometric((r + x, b + x, a + b + x - 1.0), z)
        return float((a + b + x - 1.0) / (a - 1.0) * bracket * self.alive(x, recency, age))


def _hypergeometric(parameters: tuple[float, float, float], z: float) -> float:
    """Gauss's 2F1(a, b; c; z) for 0 <= z < 1 by its series."""
    a, b, c = parameters
    term, total, n = 1.0, 1.0, 0
    while abs(term) > 1e-15 * abs(total):
        term *= (a + n) * (b + n) / ((c + n) * (n + 1.0)) * z
        total += term
        n += 1
    return total


def fit_repeat(frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Repeat:
    """BG/NBD by maximum likelihood: repeat purchases, time of the last, time since the first, of each customer."""
    x, last, seen = (_numbers(values, least=0.0) for values in (frequency, recency, age))
    if not len(x) == len(last) == len(seen) or (last > seen).any() or not (x > 0.0).any():
        raise DataError("repeat-history")
    again = x > 0.0
    scale = float(seen.mean()) or 1.0
    tail, whole = last / scale, seen / scale

    def log_likelihood(theta: Floats) -> float:
        r, alpha, a, b = np.exp(theta)
        common = log_gamma(r + x) - log_gamma(r) + r * np.log(alpha)
        stays = log_beta(a, b + x) - log_beta(a, b) - (r + x) * np.log(alpha + whole)
        goes = log_beta(a + 1.0, b + np.maximum(x, 1.0) - 1.0) - log_beta(a, b) - (r + x) * np.log(alpha + tail)
        return float(np.sum(common + np.where(again, np.logaddexp(stays, goes), stays)))

    fit = maximise(log_likelihood, (-0.5, -1.0, -0.3, 0.7), names=("r", "alpha", "a", "b"), n=len(x))
    r, alpha, a, b = fit.values
    return Repeat(r, alpha * scale, a, b, replace(fit, values=(r, alpha * scale, a, b)))


@dataclass(frozen=True)
class Spending:
    """Money a purchase (gamma-gamma): gamma(p, rate) around a mean that differs among customers by q and v."""

    p: float
    q: float
    v: float
    fit: Fit | None = None

    def expected(self, frequency: ArrayLike, mean: ArrayLike) -> Floats:
        """The mean of a customer's future purchases: his own, drawn towards everyone's the less he has bought."""
        x, own = floats(frequency), floats(mean)
        return floats(self.p * (self.v + x * own) / (self.p * x + self.q - 1.0))


def fit_spending(frequency: ArrayLike, mean: ArrayLike) -> Spending:
    """Gamma-gamma by maximum likelihood from each customer's number of purchases and their mean value."""
    x, own = _numbers(frequency, least=0.0), _numbers(mean, least=0.0)
    if len(x) != len(own) or not ((x > 0.0) & (own > 0.0)).any():
        raise DataError("spending-history")
    bought = (x > 0.0) & (own > 0.0)
    count, scale = x[bought], float(own[bought].mean())
    value = own[bought] / scale

    def log_likelihood(theta: Floats) -> float:
        p, q, v = np.exp(theta)
        return float(
            np.sum(
                -log_beta(p * count, q)
                + q * np.log(v)
                + (p * count - 1.0) * np.log(value)
                + p * count * np.log(count)
                - (p * count + q) * np.log(v + count * value)
            )
        )

    fit = maximise(log_likelihood, (1.0, 1.0, 0.0), names=("p", "q", "v"), n=len(count))
    p, q, v = fit.values
    return Spending(p, q, v * scale, replace(fit, values=(p, q, v * scale)))
