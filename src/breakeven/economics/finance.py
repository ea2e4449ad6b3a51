"""Corporate finance: present value, every internal rate of return, modified and dated returns, payback.

Rates of return are roots of polynomials and so are floats; nothing here is a document.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from breakeven.errors import UsageError

Flows = Sequence[float]
Floats = NDArray[np.float64]
DAYS_PER_YEAR = 365.0
_GRID = 4000


def npv(rate: float, flows: Flows, *, first_period: int = 0) -> float:
    """Net present value; the first flow is not discounted unless `first_period` says when it falls."""
    factor = _factor(rate)
    return float(sum(flow / factor ** (first_period + period) for period, flow in enumerate(_finite(flows))))


def _factor(rate: float) -> float:
    if not rate > -1.0:
        raise UsageError("rate-below", found=rate)
    return 1.0 + rate


def _finite(flows: Flows) -> list[float]:
    values = [float(flow) for flow in flows]
    if not values or not np.isfinite(values).all():
        raise UsageError("flows-not-finite")
    return values


def irr(flows: Flows) -> list[float]:
    """All internal rates of return above -100%, ascending; empty where there is none.

    The real positive roots of the polynomial in 1 + rate, polished by Newton's method; a double root is given once.
    """
    values = np.trim_zeros(np.array(_finite(flows)), "fb")
    if len(values) < 2:
        return []
    # In x = 1 + rate the polynomial has the flows as its coefficients, highest power first.
    scaled = np.polynomial.Polynomial((values / np.abs(values).max())[::-1])
    found: list[float] = []
    for root in map(complex, scaled.roots()):
        if abs(root.imag) > 1e-5 * max(1.0, abs(root)) or root.real <= 0.0:
            continue
        x = _polished(scaled, float(root.real))
        if abs(_worth(np.asarray(scaled.coef, dtype=float), x)) <= 1e-9 and not any(
            _close(x, other) for other in found
        ):
            found.append(x)
    return sorted(x - 1.0 for x in found)


def _worth(coefficients: Floats, x: float) -> float:
    """The polynomial over max(1, x) to its degree: what neither a huge nor a tiny rate can overflow."""
    powers = np.arange(len(coefficients), dtype=float)
    with np.errstate(under="ignore"):
        return float(coefficients @ np.power(x, powers - (powers[-1] if x > 1.0 else 0.0)))


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * max(1.0, abs(one))


def _polished(polynomial: np.polynomial.Polynomial, x: float) -> float:
    slope = polynomial.deriv()
    with np.errstate(over="ignore"):  # an overflow is no better point, and ends the polishing
        return _nearest(polynomial, slope, x)


def _nearest(polynomial: np.polynomial.Polynomial, slope: np.polynomial.Polynomial, x: float) -> float:
    while True:
        steep = float(slope(x))
        better = x - float(polynomial(x)) / steep if steep else x
        if better <= 0.0 or not abs(polynomial(better)) < abs(polynomial(x)):
            return x
        x = better


def mirr(flows: Flows, *, finance: float, reinvest: float) -> float:
    """Modified rate of return: outflows discounted at `finance`, inflows compounded at `reinvest`."""
    values = _finite(flows)
    last = len(values) - 1
    paid = -sum(flow / _factor(finance) ** period for period, flow in enumerate(values) if flow < 0)
    earned = sum(flow * _factor(reinvest) ** (last - period) for period, flow in enumerate(values) if flow > 0)
    if not paid or not earned:
        raise UsageError("flows-one-sign")
    return float((earned / paid) ** (1.0 / last) - 1.0)


def xnpv(rate: float, dated: Sequence[tuple[date, float]]) -> float:
    """Net present value on the earliest date, by actual days over 365."""
    times, flows = _dated(dated)
    return float(np.sum(flows * _factor(rate) ** -times))


def _dated(dated: Sequence[tuple[date, float]]) -> tuple[Floats, Floats]:
    flows = np.array(_finite([flow for _, flow in dated]))
    first = min(day for day, _ in dated)
    return np.array([(day - first).days / DAYS_PER_YEAR for day, _ in dated]), flows


def xirr(dated: Sequence[tuple[date, float]]) -> list[float]:
    """All rates between -99.99% and 10,000,000% at which the dated flows are worth nothing, ascending."""
    times, flows = _dated(dated)
    if times.max() == 0.0:
        return []
    # A fine grid in log(1 + rate) brackets the sign changes; Brent's idea, bisection, closes them.
    grid = np.linspace(np.log(1e-4), np.log(1e5), _GRID)
    values = np.exp(-np.outer(grid, times)) @ flows
    signs = np.sign(values)
    roots = [float(point) for point in grid[signs == 0.0]]
    for index in np.flatnonzero(signs[:-1] * signs[1:] < 0.0):
        low, high = float(grid[index]), float(grid[index + 1])
        for _ in range(80):
            middle = (low + high) / 2.0
            same = np.sign(np.exp(-middle * times) @ flows) == signs[index]
            low, high = (middle, high) if same else (low, middle)
        roots.append((low + high) / 2.0)
    return sorted(float(np.expm1(root)) for root in roots)


def payback(flows: Flows, *, rate: float = 0.0) -> float | None:
    """Periods until the (discounted) sum of flows is back at zero for good, in parts of a period; None: never."""
    values = np.array(_finite(flows)) / _factor(rate) ** np.arange(len(flows))
    sums = np.cumsum(values)
    below = np.flatnonzero(sums < -1e-12 * np.abs(values).sum())
    if not len(below):
        return 0.0
    last = int(below[-1])
    if last == len(sums) - 1:
        return None
    return last - float(sums[last]) / float(values[last + 1])


def loan_payment(principal: float, rate: float, periods: int) -> float:
    """The level payment at each period's end that repays a loan."""
    if periods < 1:
        raise UsageError("periods-none", found=periods)
    return principal / periods if rate == 0.0 else principal * rate / (1.0 - _factor(rate) ** -periods)
