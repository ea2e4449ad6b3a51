"""Capacity read from the trail of a load test, so that another latency gate re-reads it and nothing is measured again.

A trail is a list of steps `{rate, answered_per_second, latency_ms_p95, errors, lagged}`, one for every offered rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from breakeven.metrics.intervals import over_rounds
from breakeven.quantity import Quantity

DEFAULT_LIMIT_MS = 1000.0  # where no latency gate is declared, a server this slow counts as overloaded
KEPT_UP = 0.95  # share of the offered rate that must be answered


def holds(step: Mapping[str, Any], limit_ms: float) -> bool:
    """Whether the server kept up with this rate within the latency limit, and the generator with its plan."""
    return (
        not step.get("errors")
        and not step.get("lagged")
        and step["latency_ms_p95"] <= limit_ms
        and step["answered_per_second"] >= KEPT_UP * step["rate"]
    )


def of_trail(trail: Sequence[Mapping[str, Any]], limit_ms: float) -> float | None:
    """Answers a second within the limit; None where not even the lowest rate held.

    Between the highest rate that held and the next one that did not, the rate at which p95 crosses the limit is
    interpolated, unless that next step failed for another reason.
    """
    steps = sorted((step for step in trail if not step.get("lagged")), key=lambda step: float(step["rate"]))
    best = None
    for index, step in enumerate(steps):
        if not holds(step, limit_ms):
            return _between(best, steps[index], limit_ms) if best is not None else None
        best = step
    return float(best["rate"]) if best is not None else None


def _between(held: Mapping[str, Any], failed: Mapping[str, Any], limit_ms: float) -> float:
    low, high = float(held["latency_ms_p95"]), float(failed["latency_ms_p95"])
    kept = failed["answered_per_second"] >= KEPT_UP * failed["rate"] and not failed.get("errors")
    if not kept or not high > limit_ms or low <= 0:
        return float(held["rate"])
    part = math.log(limit_ms / low) / math.log(high / low)
    return float(held["rate"]) + part * (float(failed["rate"]) - float(held["rate"]))


def capacity_within(
    rounds: Sequence[Mapping[str, Any]], limit_ms: float | None, *, hardware: str | None = None
) -> Quantity | None:
    """Capacity of one core as a quantity over rounds; None where a round did not hold at any rate, or none was run."""
    limit = DEFAULT_LIMIT_MS if limit_ms is None else limit_ms
    found = [of_trail(one["trail"], limit) for one in rounds]
    values = [value for value in found if value is not None]
    if not values:
        return None
    answers = sum(int(step.get("answers", 0)) for one in rounds for step in one["trail"])
    return over_log_rounds(
        values, "answers/s", method=f"open-loop search, p95 within {limit:g} ms, one core", n=answers, hardware=hardware
    )


def over_log_rounds(
    values: Sequence[float], unit: str, *, method: str, n: int | None = None, hardware: str | None = None
) -> Quantity:
    """Geometric mean of positive rounds with Student's interval of the logarithms, which never reaches below zero."""
    if min(values) <= 0:
        mean = sum(values) / len(values)
        return Quantity(mean, unit, "measured", n=n, method=method, hardware=hardware)
    logs = [math.log(value) for value in values]
    interval = over_rounds(logs)
    low, high = (math.exp(interval.low), math.exp(interval.high)) if math.isfinite(interval.low) else (None, None)
    return Quantity(
        math.exp(sum(logs) / len(logs)),
        unit,
        "measured",
        low,
        high,
        n=n,
        method=f"{method}; {interval.method}",
        hardware=hardware,
    )
