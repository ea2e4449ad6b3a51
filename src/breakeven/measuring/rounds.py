"""One candidate's turn in a round: the search for its capacity, then a steady run at 70% of it, in a given time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from breakeven.measuring import energy
from breakeven.measuring.capacity import DEFAULT_LIMIT_MS, holds, of_trail

SHARE_OF_CAPACITY = 0.7
SLOW_MS = 500.0  # answers slower than this are timed one after another, and four at once
GROW, NEAR, SLOWER, NEARLY_FULL, CLOSE_ENOUGH = 1.6, 1.25, 0.7, 0.8, 1.05
FIRST_SHARE = 0.25  # of the rate that a runtime alone would give: where a search begins
SEARCH_STEPS, LEAST_STEP_SECONDS, LEAST_ANSWERS = 6, 0.25, 20
SEARCH_TIME, WARM_UP_SECONDS = 0.6, 0.3
Clock = Callable[[], float]


class Served(Protocol):
    """One candidate's running server, and the generator that loads it."""

    start_seconds: float

    def load(self, rate: float, seconds: float) -> dict[str, Any]:
        """One step: `{rate, seconds, answers, answered_per_second, latency_ms_p50, .._p95, .._p99, errors, lagged,
        cpu_seconds_per_answer, memory_mb, batch_cases}`; unknown figures may be absent."""

    def alone(self, connections: int, seconds: float) -> dict[str, Any]:
        """The same for so many clients that each wait for their answer; `rate` is what came of it."""

    def close(self) -> None:
        """Ends the server."""


@dataclass
class Turn:
    """A server and the seconds that it may be loaded for; `start` is a rate it surely holds."""

    server: Served
    seconds: float
    start: float
    clock: Clock
    _overhead: float = field(default=0.0, init=False)  # of one step: starting the generator, draining

    def run(self, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """`{trail, steady}`. `before`: the same server's round before."""
        ends = self.clock() + self.seconds
        self._load(self.start, WARM_UP_SECONDS)
        if 1000 / self.start > SLOW_MS / FIRST_SHARE:
            return self._one_by_one(ends)
        known = None if before is None else of_trail(before["trail"], DEFAULT_LIMIT_MS)
        trail = self._search(ends - (1 - SEARCH_TIME) * (ends - self.clock()), known)
        capacity = of_trail(trail, DEFAULT_LIMIT_MS) or known or self.start
        return {"trail": trail, "steady": self._steady(SHARE_OF_CAPACITY * capacity, ends)}

    def _load(self, rate: float, seconds: float) -> dict[str, Any]:
        """A step long enough for a few answers, up to twice the seconds."""
        began = self.clock()
        step = self.server.load(rate, max(LEAST_STEP_SECONDS, seconds, min(LEAST_ANSWERS / rate, 2 * seconds)))
        self._overhead = max(0.0, self.clock() - began - float(step["seconds"]))
        return step

    def _step_seconds(self, until: float, steps: int) -> float:
        return max(LEAST_STEP_SECONDS, (until - self.clock()) / steps - self._overhead)

    def _time_for(self, seconds: float, until: float) -> bool:
        return self.clock() + seconds + self._overhead <= until + LEAST_STEP_SECONDS

    def _search(self, until: float, known: float | None) -> list[dict[str, Any]]:
        """Rising rates until one does not hold, then between; falling ones until one does.

        It begins at what an earlier round found. Without one, the CPU seconds of the first step's answers say about
        where one core is full, and the search jumps there.
        """
        trail: list[dict[str, Any]] = []
        step_seconds = self._step_seconds(until, SEARCH_STEPS)
        rate, low, high = known or self.start, 0.0, float("inf")
        while len(trail) < 2 or (len(trail) < 2 * SEARCH_STEPS and self._time_for(step_seconds, until)):
            step = self._load(rate, step_seconds)
            trail.append(step)
            if step.get("lagged"):
                rate *= SLOWER  # it says nothing of the server, but the generator could not do it
                continue
            if holds(step, DEFAULT_LIMIT_MS):
                low = max(low, rate)
            else:
                high = min(high, rate)
            if high < CLOSE_ENOUGH * low:
                break
            rate = _next_rate(low, high, known, step["cpu_seconds_per_answer"] if len(trail) == 1 else None)
        return trail

    def _steady(self, rate: float, ends: float) -> dict[str, Any]:
        """The run whose latency and CPU seconds are reported; a short one more where the generator lagged."""
        seconds = self._step_seconds(ends, 1)
        step = self._counted(rate, seconds)
        return self._counted(rate, seconds / 2) if step.get("lagged") else step

    def _counted(self, rate: float, seconds: float) -> dict[str, Any]:
        counter = energy.joules()
        step = self._load(rate, seconds)
        spent = energy.between(counter, energy.joules())
        if spent is not None and step["answers"]:
            step["joules_per_answer"] = spent / step["answers"]
        return step

    def _one_by_one(self, ends: float) -> dict[str, Any]:
        """Slow answers: no rate is searched for."""
        seconds = (ends - self.clock()) / 2
        single = self.server.alone(1, seconds)
        return {"trail": [single, self.server.alone(4, seconds)], "steady": single}


def _next_rate(low: float, high: float, known: float | None, cpu_seconds: float | None) -> float:
    """Between what held and what did not; above while nothing failed; below while nothing held."""
    step = GROW if known is None else NEAR
    if high == float("inf"):
        return max(low * step, NEARLY_FULL / cpu_seconds) if cpu_seconds and known is None else low * step
    if low > 0:
        return float((low * high) ** 0.5)
    return high / (4 if known is None else NEAR)
