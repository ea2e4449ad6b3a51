"""The ways to declare a number in a file, what each draws from, and what a field may be.

A form is read into a family and its parameters; `drivers` gives them meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from breakeven.economics.normal import Z90

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

Family = Literal["point", "normal", "lognormal", "beta", "uniform", "values"]
Each = Literal["once", "month", "customer"]

FORMS = (
    "a number, {low, mode, high}, {low, high}, {mean, sd}, {median, p90}, {p10, p90, shape}, {beta: [a, b]} "
    "or {values, weights}"
)


@dataclass(frozen=True)
class Range:
    """What a driver may be: its bounds, the decimals it may carry, and the default of `each`."""

    low: float = -math.inf
    high: float = math.inf
    decimals: int | None = None
    each: Each = "once"
    whole: bool = False
    what: str = "number"

    def check(self, value: float) -> None:
        """Raises ValueError, which says what is expected, if `value` may not be."""
        if not math.isfinite(value):
            raise ValueError(f"a finite number, not {value}")
        if value < self.low:
            raise ValueError(f"a {self.what} of at least {self.low:g}, not {value:g}")
        if value > self.high:
            raise ValueError(f"a {self.what} of at most {self.high:g}, not {value:g}")
        if self.whole and value != round(value):
            raise ValueError(f"a whole {self.what}, not {value:g}")

    def check_decimals(self, written: float) -> None:
        """Raises ValueError for a number written with more decimals than it may have; computed ones may have any."""
        if self.decimals is not None and math.isfinite(written):
            found = -int(Decimal(repr(float(written))).as_tuple().exponent)
            if found > self.decimals:
                raise ValueError(f"a {self.what} of at most {self.decimals} decimals, not {written!r}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        from breakeven.economics.drivers import Driver

        dump = core_schema.plain_serializer_function_ser_schema(lambda driver: driver.as_json())
        return core_schema.no_info_plain_validator_function(lambda value: Driver.parse(value, self), serialization=dump)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number: dict[str, Any] = {"type": "integer" if self.whole else "number"}
        if math.isfinite(self.low):
            number["minimum"] = self.low
        if math.isfinite(self.high):
            number["maximum"] = self.high
        return {"anyOf": [number, distribution_schema(number)], "description": f"A {self.what}: {FORMS}."}


def _number(shape: Mapping[str, Any], key: str) -> float:
    value = shape[key]
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise ValueError(f"a number for {key}, not {value!r}")
    if not math.isfinite(float(value)):
        raise ValueError(f"a finite number for {key}, not {value}")
    return float(value)


def _numbers(value: Any, name: str) -> tuple[float, ...]:
    if isinstance(value, (str, Mapping)) or not hasattr(value, "__iter__"):
        raise ValueError(f"a list of numbers for {name}, not {value!r}")
    return tuple(_number({name: item}, name) for item in value)


Built = tuple[Family, tuple[float, ...]]


def _point(shape: Mapping[str, Any], limits: Range) -> Built:
    value = _number(shape, "value")
    limits.check_decimals(value)
    return "point", (value,)


def _pert(shape: Mapping[str, Any], limits: Range) -> Built:
    low, mode, high = (_number(shape, key) for key in ("low", "mode", "high"))
    if not low <= mode <= high:
        raise ValueError(f"low <= mode <= high, not {low:g}, {mode:g}, {high:g}")
    if low == high:
        return "point", (low,)
    rise = 4.0 * (mode - low) / (high - low)
    return "beta", (1.0 + rise, 5.0 - rise, low, high)


def _uniform(shape: Mapping[str, Any], limits: Range) -> Built:
    low, high = _number(shape, "low"), _number(shape, "high")
    if low > high:
        raise ValueError(f"low <= high, not {low:g} and {high:g}")
    return ("point", (low,)) if low == high else ("uniform", (low, high))


def _moments(shape: Mapping[str, Any], limits: Range) -> Built:
    mean, sd = _number(shape, "mean"), _number(shape, "sd")
    if sd < 0.0:
        raise ValueError(f"an sd of at least 0, not {sd:g}")
    limits.check(mean)
    if sd == 0.0:
        return "point", (mean,)
    if math.isfinite(limits.low) and math.isfinite(limits.high):
        return _beta_by_moments(mean, sd, limits)
    if math.isfinite(limits.low):
        above = mean - limits.low
        if above == 0.0:
            raise ValueError(f"a mean above {limits.low:g} where there is an sd, not {mean:g}")
        sigma2 = math.log1p((sd / above) ** 2)
        return "lognormal", (math.log(above) - 0.5 * sigma2, math.sqrt(sigma2), limits.low)
    return "normal", (mean, sd)


def _beta_by_moments(mean: float, sd: float, limits: Range) -> Built:
    width = limits.high - limits.low
    share, spread = (mean - limits.low) / width, sd / width
    room = share * (1.0 - share)
    if spread**2 >= room:
        most = math.sqrt(room) * width
        raise ValueError(f"an sd below {most:.3g} for a {limits.what} with mean {mean:g}, not {sd:g}")
    total = room / spread**2 - 1.0
    return "beta", (share * total, (1.0 - share) * total, limits.low, limits.high)


def _median(shape: Mapping[str, Any], limits: Range) -> Built:
    median, p90 = _number(shape, "median"), _number(shape, "p90")
    if median <= 0.0:
        raise ValueError(f"a median above 0, not {median:g}")
    if p90 < median:
        raise ValueError(f"median <= p90, not {median:g} and {p90:g}")
    if p90 == median:
        return "point", (median,)
    return "lognormal", (math.log(median), math.log(p90 / median) / Z90, 0.0)


def _deciles(shape: Mapping[str, Any], limits: Range) -> Built:
    low, high = _number(shape, "p10"), _number(shape, "p90")
    if shape.get("shape") not in ("normal", "lognormal"):
        raise ValueError("shape: normal or shape: lognormal beside p10 and p90")
    if low > high:
        raise ValueError(f"p10 <= p90, not {low:g} and {high:g}")
    if shape["shape"] == "lognormal" and low <= 0.0:
        raise ValueError(f"a p10 above 0 for shape: lognormal, not {low:g}")
    if low == high:
        return "point", (low,)
    if shape["shape"] == "normal":
        return "normal", (0.5 * (low + high), 0.5 * (high - low) / Z90)
    return "lognormal", (0.5 * math.log(low * high), 0.5 * math.log(high / low) / Z90, 0.0)


def _beta(shape: Mapping[str, Any], limits: Range) -> Built:
    parameters = _numbers(shape["beta"], "beta")
    if len(parameters) != 2 or min(parameters) <= 0.0:
        raise ValueError(f"two numbers above 0 for beta: [a, b], not {list(parameters)}")
    return "beta", (*parameters, 0.0, 1.0)


def _values(shape: Mapping[str, Any], limits: Range) -> Built:
    values = _numbers(shape["values"], "values")
    if not values:
        raise ValueError("at least one number in values")
    weights = _numbers(shape["weights"], "weights") if "weights" in shape else (1.0 / len(values),) * len(values)
    if len(weights) != len(values):
        raise ValueError(f"as many weights as values ({len(values)}), not {len(weights)}")
    if min(weights) < 0.0:
        raise ValueError(f"weights of at least 0, not {min(weights):g}")
    if abs(sum(weights) - 1.0) > 1e-6:
        raise ValueError(f"weights that sum to 1, not {sum(weights):g}")
    return "values", (*values, *(weight / sum(weights) for weight in weights))


_BUILDERS: dict[frozenset[str], Callable[[Mapping[str, Any], Range], Built]] = {
    frozenset({"value"}): _point,
    frozenset({"low", "mode", "high"}): _pert,
    frozenset({"low", "high"}): _uniform,
    frozenset({"mean", "sd"}): _moments,
    frozenset({"median", "p90"}): _median,
    frozenset({"p10", "p90"}): _deciles,
    frozenset({"beta"}): _beta,
    frozenset({"values"}): _values,
}


def shape_of(shape: Mapping[str, Any], limits: Range) -> Built:
    """Family and parameters of one declared distribution; ValueError in plain words where it is none."""
    build = _BUILDERS.get(frozenset(shape)) or _BUILDERS.get(frozenset(shape) - {"shape", "weights"})
    if build is None:
        raise ValueError(f"{FORMS}, not the keys {', '.join(map(str, shape)) or '(none)'}")
    return build(shape, limits)


def inside(limits: Range) -> str:
    """Forms whose support stays inside `limits`, for messages."""
    if math.isfinite(limits.high):
        return "{mean, sd}, {low, mode, high} or {beta: [a, b]}"
    return "{mean, sd}, {median, p90} or {p10, p90, shape: lognormal}"


def distribution_schema(number: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of every form but the plain number."""
    plain = {"type": "number"}
    keys = dict.fromkeys(("low", "mode", "high", "mean", "sd", "median", "p10", "p90"), plain)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "value": number,
            **keys,
            "shape": {"enum": ["normal", "lognormal"]},
            "beta": {"type": "array", "items": plain, "minItems": 2, "maxItems": 2},
            "values": {"type": "array", "items": plain, "minItems": 1},
            "weights": {"type": "array", "items": plain},
            "unit": {"type": "string"},
            "source": {"type": "string"},
            "as_of": {"type": "string"},
            "each": {"enum": ["once", "month", "customer"]},
        },
    }


NUMBER = Range()
AMOUNT = Range(low=0.0, what="positive amount")
PRICE = Range(low=0.0, decimals=12, what="price")
RATE = Range(low=0.0, high=1.0, what="rate")
COUNT = Range(low=0.0, what="count")
COUNT_EACH = Range(low=0.0, each="customer", what="count")
GROWTH = Range(low=-1.0, what="growth rate")
