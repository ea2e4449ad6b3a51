"""Whole machines: how many a demand needs, what that costs, and at which volumes a unit pays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from breakeven.economics.normal import Floats, floats

HOURS_PER_MONTH = 8760.0 / 12.0
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600.0
MOST_STEPS = 1_000_000


def machines_needed(
    answers: ArrayLike, capacity_per_second: ArrayLike, peak_factor: ArrayLike = 1.0, *, minimum: int = 1
) -> Floats:
    """max(minimum, ceil(answers a month x peak factor / what one machine gives in a month)); whole, as floats."""
    monthly = floats(capacity_per_second) * SECONDS_PER_MONTH
    load = floats(answers) * floats(peak_factor) / monthly
    # A load that is whole but for rounding must not buy one machine more.
    return floats(np.maximum(float(minimum), np.ceil(load * (1.0 - 1e-12))))


def marginal_cost(price_per_hour: ArrayLike, capacity_per_second: ArrayLike, utilization: ArrayLike = 1.0) -> Floats:
    """Machine money per answer: price / (capacity x utilization)."""
    hourly = floats(capacity_per_second) * 3600.0 * floats(utilization)
    return floats(floats(price_per_hour) / hourly)


def cost_per_million(price_per_hour: float, per_second: float, *, utilization: float = 1.0) -> float:
    """Money per million of what a machine gives `per_second` of (tokens, images, answers)."""
    return float(marginal_cost(price_per_hour, per_second, utilization)) * 1e6


@dataclass(frozen=True)
class Volumes:
    """Every interval of monthly volume where the profit is not negative; `high` None is without end."""

    intervals: tuple[tuple[float, float | None], ...]

    @property
    def first(self) -> float | None:
        """The smallest volume that breaks even."""
        return self.intervals[0][0] if self.intervals else None

    @property
    def for_good(self) -> float | None:
        """The volume from which no further step falls below break-even; None if there is none."""
        low, high = self.intervals[-1] if self.intervals else (None, 0.0)
        return low if high is None else None

    def as_json(self) -> list[list[float | None]]:
        """[[low, high], ...], high null where there is no end."""
        return [[low, high] for low, high in self.intervals]


def break_even_volumes(
    margin_per_answer: float,
    fixed_per_month: float,
    *,
    machine_per_month: float = 0.0,
    answers_per_machine: float = math.inf,
    minimum: int = 1,
) -> Volumes:
    """Volumes a month with answers x margin >= machines x their price + fixed costs.

    `margin_per_answer` is price less everything paid per answer; `answers_per_machine` is a machine's month at the
    peak factor. Each step buys a machine, so the intervals may have gaps.
    """
    if margin_per_answer <= 0.0:
        nothing_to_pay = fixed_per_month + minimum * machine_per_month <= 0.0 and margin_per_answer == 0.0
        return Volumes(((0.0, None),) if nothing_to_pay else ())
    if machine_per_month <= 0.0 or math.isinf(answers_per_machine):
        return Volumes(((max(0.0, (fixed_per_month + minimum * machine_per_month) / margin_per_answer), None),))
    gain = margin_per_answer * answers_per_machine - machine_per_month
    last = minimum
    if gain > 0.0:
        # From here on even the first answer on a new machine is in profit.
        last = max(minimum, math.ceil((fixed_per_month + margin_per_answer * answers_per_machine) / gain) + 1)
    elif fixed_per_month + minimum * machine_per_month > margin_per_answer * minimum * answers_per_machine:
        return Volumes(())
    first = min(max(minimum, math.ceil(fixed_per_month / gain - 1e-9)) if gain > 0.0 else minimum, last)
    count = np.arange(first, min(last, first + MOST_STEPS) + 1)
    start = np.where(count == minimum, 0.0, (count - 1) * answers_per_machine)
    lows = np.maximum(start, (count * machine_per_month + fixed_per_month) / margin_per_answer)
    highs = count * float(answers_per_machine)
    kept = lows <= highs * (1.0 + 1e-12)
    return Volumes(_merged(list(zip(lows[kept].tolist(), highs[kept].tolist(), strict=True)), endless=gain > 0.0))


def _merged(pieces: Sequence[tuple[float, float]], *, endless: bool) -> tuple[tuple[float, float | None], ...]:
    merged: list[tuple[float, float | None]] = []
    for low, high in pieces:
        before = merged[-1][1] if merged else None
        if before is not None and low <= before * (1.0 + 1e-12):
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    if endless and merged:
        merged[-1] = (merged[-1][0], None)
    return tuple(merged)


@dataclass(frozen=True)
class Running:
    """What serving costs: per answer, fixed a month, and whole machines (price and answers a month each)."""

    per_answer: float
    fixed: float
    machine_per_month: float
    answers_per_machine: float
    minimum: int = 1

    def cost(self, answers: Floats) -> Floats:
        """Money a month at these volumes."""
        count = np.maximum(float(self.minimum), np.ceil(answers / self.answers_per_machine * (1.0 - 1e-12)))
        return self.per_answer * answers + self.fixed + count * self.machine_per_month


def advantage_volumes(value_more: float, one: Running, other: Running) -> Volumes:
    """Volumes a month where answers x `value_more` is at least what `one` costs more than `other`.

    Both buy whole machines, so the difference jumps at the steps of either; between steps it is a straight line.
    """
    sizes = [size for size in (one.answers_per_machine, other.answers_per_machine) if math.isfinite(size)]
    edges = np.array([0.0])
    if sizes:
        reach = min(max(sizes) * 1000.0, min(sizes) * 100_000.0)
        edges = np.unique(np.concatenate([[0.0], *(np.arange(1, int(reach / size) + 1) * size for size in sizes)]))
    slope = value_more - one.per_answer + other.per_answer
    # Just after each edge the machines of the coming segment are already paid for.
    inside = np.append(0.5 * (edges[:-1] + edges[1:]), edges[-1] * 1.5 + 1.0)
    level = value_more * inside - one.cost(inside) + other.cost(inside)
    start = level + slope * (edges - inside)
    ends = np.append(edges[1:], np.inf)
    lasting = slope - _machines_per_answer(one) + _machines_per_answer(other)
    if sizes and lasting <= 0.0:
        # Steps go on beyond what was looked at, and the advantage does not.
        start[-1] = -np.inf
    pieces: list[tuple[float, float]] = []
    crossing = edges - np.divide(start, slope, out=np.zeros_like(start), where=slope != 0.0)
    for low, high, at_start, root in zip(edges, ends, start, crossing, strict=True):
        end = high if slope >= 0.0 else min(high, root)
        if at_start >= 0.0 and end > low:
            pieces.append((float(low), float(end)))
        elif slope > 0.0 and root < high:
            pieces.append((float(root), float(high)))
    merged = _merged(pieces, endless=False)
    return Volumes(tuple((low, None if high is not None and math.isinf(high) else high) for low, high in merged))


def _machines_per_answer(running: Running) -> float:
    """What machines cost per answer in the long run of many of them."""
    return running.machine_per_month / running.answers_per_machine
