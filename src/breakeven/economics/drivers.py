"""Declared numbers: a point or a distribution, its unit and its origin, checked when they are read.

A `Driver` is data. It knows its mean and turns standard normals into draws; where the normals come from (one seed tree,
a copula, quasi-random points) is the business of `draws`. The annotated types at the end are for settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Annotated, Any

import numpy as np

from breakeven.economics import normal
from breakeven.economics.forms import (
    AMOUNT,
    COUNT,
    COUNT_EACH,
    FORMS,
    GROWTH,
    NUMBER,
    PRICE,
    RATE,
    Each,
    Family,
    Range,
    inside,
    shape_of,
)
from breakeven.economics.normal import Floats
from breakeven.quantity import Origin, Quantity


@dataclass(frozen=True)
class Driver:
    """An uncertain or certain input. `parameters` belong to `family`:

    point (value); normal (mean, sd); lognormal (mu, sigma of the log, what is added); beta (a, b, low, high);
    uniform (low, high); values (v1 .. vn, then their n weights, summing to 1).
    """

    family: Family
    parameters: tuple[float, ...]
    origin: Origin = "declared"
    each: Each = "once"
    unit: str | None = None
    source: str | None = None
    as_of: str | None = None
    declared: Any = field(default=None, compare=False, repr=False)

    @classmethod
    def parse(cls, declared: Any, limits: Range | None = None) -> Driver:
        """Reads what stands in a file (or a Quantity, or a Driver). ValueError says in plain words what is wrong."""
        limits = limits or NUMBER
        if isinstance(declared, Driver):
            return declared.checked(limits)
        if isinstance(declared, Quantity):
            return from_quantity(declared).checked(limits)
        if isinstance(declared, (Real, Decimal)) and not isinstance(declared, bool):
            limits.check_decimals(float(declared))
            return cls("point", (float(declared),), "declared", declared=declared).checked(limits)
        if not isinstance(declared, Mapping):
            raise ValueError(f"{FORMS}, not {declared!r}")
        return _from_mapping(declared, limits)

    @classmethod
    def of(cls, value: float, unit: str | None = None, origin: Origin = "declared") -> Driver:
        """A certain number."""
        return cls("point", (float(value),), origin, unit=unit, declared=value)

    def checked(self, limits: Range) -> Driver:
        """Itself, if what it can draw stays inside `limits`; nothing is ever clipped."""
        if self.certain:
            limits.check(self.mean)
            return self
        low, high = self.support
        if low < limits.low or high > limits.high:
            raise ValueError(
                f"a form that stays between {limits.low:g} and {limits.high:g}, such as {inside(limits)}; "
                f"this {self.family} one draws from {low:g} to {high:g}"
            )
        return self

    @property
    def certain(self) -> bool:
        """Whether there is nothing to draw."""
        return self.family == "point"

    @cached_property
    def mean(self) -> float:
        """The expected value: what the base case uses."""
        p = self.parameters
        if self.family in ("point", "normal"):
            return p[0]
        if self.family == "lognormal":
            return p[2] + math.exp(p[0] + 0.5 * p[1] ** 2)
        if self.family == "beta":
            return p[2] + (p[3] - p[2]) * p[0] / (p[0] + p[1])
        if self.family == "uniform":
            return 0.5 * (p[0] + p[1])
        half = len(p) // 2
        return float(np.dot(p[:half], p[half:]))

    @cached_property
    def sd(self) -> float:
        """The standard deviation."""
        p = self.parameters
        if self.family == "point":
            return 0.0
        if self.family == "normal":
            return p[1]
        if self.family == "lognormal":
            return (self.mean - p[2]) * math.sqrt(math.expm1(p[1] ** 2))
        if self.family == "beta":
            total = p[0] + p[1]
            return (p[3] - p[2]) * math.sqrt(p[0] * p[1] / (total**2 * (total + 1.0)))
        if self.family == "uniform":
            return (p[1] - p[0]) / math.sqrt(12.0)
        half = len(p) // 2
        return math.sqrt(max(0.0, float(np.dot(np.square(p[:half]), p[half:])) - self.mean**2))

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest value it can draw."""
        p = self.parameters
        if self.family == "point":
            return p[0], p[0]
        if self.family == "normal":
            return -math.inf, math.inf
        if self.family == "lognormal":
            return p[2], math.inf
        if self.family == "beta":
            return p[2], p[3]
        if self.family == "uniform":
            return p[0], p[1]
        half = len(p) // 2
        return min(p[:half]), max(p[:half])

    def from_normal(self, z: Floats) -> Floats:
        """Draws at the probabilities of the standard normals `z`; rising in `z`, same shape."""
        p = self.parameters
        if self.family == "point":
            return np.full_like(z, p[0])
        if self.family == "normal":
            return p[0] + p[1] * z
        if self.family == "lognormal":
            return np.asarray(p[2] + np.exp(p[0] + p[1] * z))
        if self.family == "beta":
            return p[2] + (p[3] - p[2]) * normal.beta_from_normal(z, p[0], p[1])
        if self.family == "uniform":
            return p[0] + (p[1] - p[0]) * normal.cdf(z)
        values, edges = self._steps
        return values[np.searchsorted(edges, z)]

    @cached_property
    def _steps(self) -> tuple[Floats, Floats]:
        half = len(self.parameters) // 2
        order = np.argsort(self.parameters[:half], kind="stable")
        sums = np.cumsum(np.asarray(self.parameters[half:])[order])[:-1]
        return np.asarray(self.parameters[:half])[order], normal.ppf(np.clip(sums, 1e-19, 1.0 - 1e-16))

    def quantile(self, probability: float) -> float:
        """The value not exceeded with `probability`."""
        return float(self.from_normal(normal.ppf(np.array([probability])))[0])

    def shifted(self, factor: float) -> Driver:
        """The same driver with every value times `factor`, for goal seek and what-if."""
        p = self.parameters
        if self.family == "lognormal":
            return replace(self, parameters=(p[0] + math.log(factor), p[1], p[2] * factor))
        if self.family == "beta":
            return replace(self, parameters=(p[0], p[1], p[2] * factor, p[3] * factor))
        if self.family == "values":
            half = len(p) // 2
            return replace(self, parameters=tuple(v * factor for v in p[:half]) + p[half:])
        return replace(self, parameters=tuple(v * factor for v in p))

    def quantity(self, unit: str | None = None) -> Quantity:
        """Mean and 95% interval, with the origin."""
        low, high = (None, None) if self.certain else (self.quantile(0.025), self.quantile(0.975))
        return Quantity(
            self.mean, unit or self.unit or "", self.origin, low, high, source=self.source, as_of=self.as_of
        )

    def as_json(self) -> Any:
        """What was declared, for fingerprints and files."""
        return (
            self.declared
            if self.declared is not None
            else {"family": self.family, "parameters": list(self.parameters), "origin": self.origin, "each": self.each}
        )


def from_quantity(quantity: Quantity) -> Driver:
    """A driver from a measured or declared quantity: its interval becomes a lognormal (positive) or a normal one."""
    about = {"origin": quantity.origin, "unit": quantity.unit, "source": quantity.source, "as_of": quantity.as_of}
    low, high = quantity.low, quantity.high
    if low is None or high is None or high <= low:
        return Driver("point", (float(quantity.value),), **about)  # type: ignore[arg-type]
    width = 2.0 * float(normal.ppf(np.array([0.5 + quantity.interval / 2.0]))[0])
    if low > 0.0 and quantity.value > 0.0:
        # The mean is kept at the measured value, so that base case and measurement agree.
        sigma = math.log(high / low) / width
        return Driver("lognormal", (math.log(quantity.value) - 0.5 * sigma**2, sigma, 0.0), **about)  # type: ignore[arg-type]
    return Driver("normal", (float(quantity.value), (high - low) / width), **about)  # type: ignore[arg-type]


_ABOUT = ("unit", "source", "as_of", "each")


def _from_mapping(declared: Mapping[str, Any], limits: Range) -> Driver:
    shape = {key: value for key, value in declared.items() if key not in _ABOUT}
    family, parameters = shape_of(shape, limits)
    origin: Origin = "declared" if family == "point" else "assumed"
    source, as_of = declared.get("source"), declared.get("as_of")
    if (source is None) != (as_of is None):
        raise ValueError("both, 'source' and 'as_of' (its date), for a quoted number")
    each = declared.get("each", limits.each if family != "point" else "once")
    if each not in ("once", "month", "customer"):
        raise ValueError(f"month or customer for 'each', not {each!r}")
    driver = Driver(
        family,
        parameters,
        "quoted" if source is not None else origin,
        each,
        declared.get("unit"),
        source,
        None if as_of is None else str(as_of),
        dict(declared),
    )
    return driver.checked(limits)


Number = Annotated[Driver, NUMBER]  # any finite number
Amount = Annotated[Driver, AMOUNT]  # >= 0: money, hours, energy
Price = Annotated[Driver, PRICE]  # >= 0, at most 12 decimals
Rate = Annotated[Driver, RATE]  # 0 .. 1
Count = Annotated[Driver, COUNT]  # >= 0, not necessarily whole: an expectation
CountEach = Annotated[Driver, COUNT_EACH]  # >= 0, a distribution is spread among customers by default
Growth = Annotated[Driver, GROWTH]  # > -1
