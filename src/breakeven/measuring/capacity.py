"""Capacity read from the trail of a load test, so that another latency gate re-reads it and nothing is measured again.

A trail is a list of steps, one for every offered rate: `{rate, seconds, answered_per_second, latency_ms_p50,
latency_ms_p95, growth_ms, errors, lagged}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from breakeven.metrics.intervals import over_rounds
from breakeven.quantity import Quantity

DEFAULT_LIMIT_MS = 1000.0  # where no latency gate is declared, a server this slow counts as overloaded
KEPT_UP = 0.9  # share of what was sent that must be answered while sending
LAST_FEW = 3  # answers that a step may end before
QUEUE_GROWTH, NOISE_MS = 0.06, 5.0  # a tenth too much work makes a queue grow by 0.06 s in each second


def holds(step: Mapping[str, Any], limit_ms: float) -> bool:
    """Whether the server kept up with this rate within the latency limit."""
    return not step.get("errors") and step["latency_ms_p95"] <= limit_ms and _kept_up(step)


def _kept_up(step: Mapping[str, Any]) -> bool:
    """Whether no queue grew: latency did not rise along the run, and what was sent came back but for the last few."""
    sent = float(step.get("offered_per_second") or step["rate"])
    on_the_way = 2 * step["latency_ms_p50"] / 1000 / step["seconds"]
    grew = float(step.get("growth_ms") or 0.0) > QUEUE_GROWTH * 1000 * step["seconds"] + NOISE_MS
    # In a short step the last few answers, still on their way when it ends, are a large share of all.
    last_few = LAST_FEW / step["seconds"]
    return not grew and bool(step["answered_per_second"] + last_few >= (KEPT_UP - on_the_way) * sent)


def of_trail(trail: Sequence[Mapping[str, Any]], limit_ms: float) -> float | None:
    """Answers a second within the limit; None where no rate held. Steps in which the generator lagged do not count.

    Capacity lies between the rates that hold and those that do not. Where they are mixed, because something else took
    the machine for a moment, it is put where fewest steps contradict it. Between the last rate that held and the next,
    the rate at which p95 crosses the limit is interpolated, unless that next step failed for another reason.
    """
    steps = sorted((step for step in trail if not step.get("lagged")), key=lambda step: float(step["rate"]))
    score = best = count = 0
    for number, step in enumerate(steps, start=1):
        score += 1 if holds(step, limit_ms) else -1
        if score >= best and score > 0:
            best, count = score, number
    if count == 0:
        return None
    return _between(steps[count - 1], steps[count], limit_ms) if count < len(steps) else float(steps[-1]["rate"])


def _between(held: Mapping[str, Any], failed: Mapping[str, Any], limit_ms: float) -> float:
    low, high = float(held["latency_ms_p95"]), float(failed["latency_ms_p95"])
    if failed.get("errors") or not _kept_up(failed) or not high > limit_ms or low <= 0:
        return float(held["rate"])
    part = math.log(limit_ms / low) / math.log(high / low)
    return float(held["rate"]) + part * (float(failed["rate"]) - float(held["rate"]))


def capacity_within(
    rounds: Sequence[Mapping[str, Any]], limit_ms: float | None, *, hardware: str | None = None
) -> Quantity | None:
    """Capacity of one core as a quantity over rounds; None where a round did not hold at any rate, or none was run."""
    limit = DEFAULT_LIMIT_MS if limit_ms is None else limit_ms
    found = [of_trail([*one["trail"], one["steady"]], limit) for one in rounds]
    values = [value for value in found if value is not None]
    if not values:
        return None
    answers = sum(int(step.get("answers", 0)) for one in rounds for step in one["trail"])
    return over_log_rounds(
        values, "answers/s", method=f"open-loop search, p95 within {limit:g} ms, one core", n=answers, hardware=hardware
    )


def over_log_rounds(
    values: Sequence[float],
    unit: str,
    *,
    method: str,
    blocks: Sequence[float] = (),
    n: int | None = None,
    hardware: str | None = None,
) -> Quantity:
    """Geometric mean of positive rounds with Student's interval of the logarithms, which never reaches below zero.

    `blocks`: the same figure of equal parts of the rounds; where there are some, the spread is taken from them.
    """
    if min(values) <= 0:
        mean = sum(values) / len(values)
        return Quantity(mean, unit, "measured", n=n, method=method, hardware=hardware)
    middle = sum(math.log(value) for value in values) / len(values)
    spread = [math.log(value) for value in (blocks or values) if value > 0]
    interval = over_rounds(spread)
    half = (interval.high - interval.low) / 2
    low, high = (math.exp(middle - half), math.exp(middle + half)) if math.isfinite(half) else (None, None)
    over = f"{len(values)} rounds in {len(spread)} blocks" if blocks else interval.method.removeprefix("Student over ")
    return Quantity(
        math.exp(middle), unit, "measured", low, high, n=n, method=f"{method}; Student over {over}", hardware=hardware
    )
