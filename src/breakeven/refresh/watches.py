"""The arithmetic of watching a canary: bounds that hold at all looks together, of rates and of the 95th percentile.

Every look may come at any time. With a chance of at least 1 - alarm the bounds hold at all looks together, so a canary
that is as good as the champion is rolled back with a chance of at most `alarm`, however often it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from breakeven.serving.latency import SIZES, begins, read

SLOW_SHARE = 0.05  # of the requests is slower than the 95th percentile


@dataclass(frozen=True)
class Tally:
    """Of how many, how many were bad."""

    bad: int = 0
    all: int = 0


@dataclass(frozen=True)
class Watched:
    """What one watch saw, as JSON, and whether it fired."""

    figures: dict[str, Any] = field(default_factory=dict)
    fired: bool = False


def bounds(tally: Tally, alarm: float) -> tuple[float, float]:
    """Bounds of a rate that hold at all looks together with a chance of 1 - alarm.

    The rates p with B(1 + bad, 1 + good) / (p^bad (1 - p)^good) < 1 / alarm: under the true rate that ratio, the
    likelihood mixed over all rates, is a martingale that starts at 1, so by Ville's inequality it ever reaches
    1 / alarm with a chance of at most alarm.
    """
    if tally.all == 0:
        return 0.0, 1.0
    bad, good = tally.bad, tally.all - tally.bad
    mixed = math.lgamma(1 + bad) + math.lgamma(1 + good) - math.lgamma(2 + tally.all)
    limit, best = mixed + math.log(alarm), bad / tally.all

    def within(rate: float) -> bool:
        said = (bad * math.log(rate) if bad else 0.0) + (good * math.log1p(-rate) if good else 0.0)
        return said > limit

    low = 0.0 if bad == 0 else _edge(within, best, 0.0)
    high = 1.0 if good == 0 else _edge(within, best, 1.0)
    return low, high


def _edge(within: Any, inside: float, outside: float) -> float:
    """The border between a rate that is within and one that is not, by bisection."""
    for _ in range(60):
        middle = (inside + outside) / 2
        if 0.0 < middle < 1.0 and within(middle):
            inside = middle
        else:
            outside = middle
    return outside


def worse(canary: Tally, champion: Tally, alarm: float) -> Watched:
    """Fires where the canary's rate is surely above the champion's."""
    mine, others = bounds(canary, alarm / 2), bounds(champion, alarm / 2)
    figures = {
        "canary": {"bad": canary.bad, "all": canary.all, "low": mine[0], "high": mine[1]},
        "champion": {"bad": champion.bad, "all": champion.all, "low": others[0], "high": others[1]},
    }
    return Watched(figures, mine[0] > others[1])


def above(tally: Tally, limit: float, alarm: float) -> Watched:
    """Fires where a rate is surely above a limit."""
    low, high = bounds(tally, alarm)
    return Watched({"bad": tally.bad, "all": tally.all, "low": low, "high": high, "limit": limit}, low > limit)


def slower(canary: Mapping[str, Any], champion: Mapping[str, Any], ratio: float, alarm: float) -> Watched:
    """Fires where the 95th percentile of the canary is surely more than `ratio` times the champion's, for requests of
    some size; counts as `serving.latency` gives them. The figures are those of the size that comes nearest to it.

    A percentile is at least x where the share of requests that take x or longer is surely above 5%, and at most y
    where the share of those that take y or longer is surely below. The percentile is one number, so bounds of that
    one share are all that is needed; the alarm is shared among the sizes.
    """
    mine, others = read(canary), read(champion)
    level, found = alarm / (2 * SIZES), []
    for size in sorted(mine.keys() & others.keys()):
        low, high = percentile(mine[size], level)[0], percentile(others[size], level)[1]
        figures = {"canary": _side(mine[size], level), "champion": _side(others[size], level), "size": size}
        found.append((low / high if math.isfinite(high) else 0.0, sum(mine[size].values()), figures))
    if not found:
        return Watched()
    nearest, _, figures = max(found, key=lambda one: one[:2])
    return Watched({**figures, "ratio": ratio}, nearest > ratio)


def percentile(counts: Mapping[int, int], alarm: float) -> tuple[float, float]:
    """Bounds of the 95th percentile in seconds that hold at all looks together; 0 and infinity say nothing."""
    total, slow = sum(counts.values()), 0
    low, high = 0.0, math.inf
    for place in sorted(counts, reverse=True):
        if bounds(Tally(slow, total), alarm)[1] < SLOW_SHARE:
            high = begins(place + 1)
        slow += counts[place]
        if low == 0.0 and bounds(Tally(slow, total), alarm)[0] > SLOW_SHARE:
            low = begins(place)
    return low, high


def _side(counts: Mapping[int, int], alarm: float) -> dict[str, Any]:
    """Bounds and the percentile itself in milliseconds; None: not known."""
    low, high = percentile(counts, alarm)
    total, slow, value = sum(counts.values()), 0, 0.0
    for place in sorted(counts, reverse=True):
        slow += counts[place]
        if slow > SLOW_SHARE * total:
            value = begins(place + 1)
            break
    return {"all": total, "p95_ms": 1000 * value, "low_ms": 1000 * low,
            "high_ms": 1000 * high if math.isfinite(high) else None}  # fmt: skip
