"""A value or a distribution, its unit and its origin.

Every number that reaches a reader is a `Quantity`: the point, an interval where one is known, the unit, and where it
came from. Distributions are declared here as data; `economics` draws from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Origin = Literal["assumed", "declared", "quoted", "measured"]
ORIGINS: tuple[Origin, ...] = ("assumed", "declared", "quoted", "measured")  # weakest first


def weakest(origins: Iterable[Origin]) -> Origin:
    """The weakest of several origins; a number computed from nothing is declared."""
    found = [ORIGINS.index(origin) for origin in origins]
    return ORIGINS[min(found)] if found else "declared"


def short(number: float, figures: int = 3) -> str:
    """A number in a sentence: so many figures, thousands marked, no exponent between a ten-millionth and beyond."""
    if number == 0.0 or not math.isfinite(number):
        return f"{number:g}"
    rounded = float(f"{number:.{figures}g}")
    if abs(rounded) >= 10.0**figures:
        return f"{rounded:,.0f}"
    if 1e-7 <= abs(rounded) < 1e-4:
        places = figures - 1 - math.floor(math.log10(abs(rounded)))
        return f"{rounded:.{places}f}".rstrip("0")
    return f"{rounded:.{figures}g}"


@dataclass(frozen=True)
class Quantity:
    """A number with an interval, a unit and an origin.

    `low` and `high` bound the stated `interval` (default 0.95) or are None where no interval is known. `n` counts the
    cases or rounds behind it; `method` says how it was found; `inputs` names the origins of what it was computed from.
    """

    value: float
    unit: str
    origin: Origin
    low: float | None = None
    high: float | None = None
    interval: float = 0.95
    n: int | None = None
    method: str | None = None
    hardware: str | None = None
    source: str | None = None
    as_of: str | None = None
    inputs: Mapping[str, Origin] | None = None

    def as_json(self) -> dict[str, Any]:
        """The shape of `measurements.json`; absent parts are null so that every row has the same columns."""
        data: dict[str, Any] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "origin": self.origin,
            "n": self.n,
            "method": self.method,
            "hardware": self.hardware,
            "source": self.source,
        }
        if self.low is not None or self.high is not None:
            data["interval"] = self.interval
        if self.as_of is not None:
            data["as_of"] = self.as_of
        if self.inputs is not None:
            data["inputs"] = dict(self.inputs)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Quantity:
        """The inverse of `as_json`; unknown keys are ignored so that newer files stay readable."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        return cls(**known)

    def scaled(self, factor: float, unit: str) -> Quantity:
        """The same quantity in another unit: value and interval times `factor`, bounds kept in order."""
        bounds = [None if bound is None else bound * factor for bound in (self.low, self.high)]
        if factor < 0:
            bounds.reverse()
        return replace(self, value=self.value * factor, low=bounds[0], high=bounds[1], unit=unit)
