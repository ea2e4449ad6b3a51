"""A running canary, looked at as often as one likes: back if it is surely worse, to everybody once it answered enough.

Every look may come at any time, so the bounds are a confidence sequence: with a chance of at least 1 - alarm they hold
at all looks together, and a canary that is as good as the champion is rolled back with a chance of at most `alarm`.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from breakeven.data.ledger_source import label_of

if TYPE_CHECKING:
    from breakeven.packaging.decisions import Decision

Step = Literal["wait", "back", "promote"]


@dataclass(frozen=True)
class Limits:
    """When a canary ends. It serves everybody after `answers` of its requests or after `hours`, whichever is first;
    None: not by that. `alarm`: the chance that a canary as good as the champion is rolled back.
    """

    answers: int | None = 1000
    hours: float | None = None
    alarm: float = 0.05


@dataclass(frozen=True)
class Tally:
    """Of how many, how many were bad."""

    bad: int = 0
    all: int = 0


@dataclass(frozen=True)
class Look:
    """What a look found. `figures`: per watch the tallies of both with their bounds; `watch`: the one that fired."""

    step: Step
    figures: dict[str, Any] = field(default_factory=dict)
    watch: str | None = None


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


def look(
    canary: Mapping[str, Tally], champion: Mapping[str, Tally], limits: Limits, *, hours: float, answers: int
) -> Look:
    """What to do now. Tallies are by watch (`feedback`, `failures`); bounds share the alarm over watches and sides."""
    share = limits.alarm / (2 * max(len(canary), 1))
    figures: dict[str, Any] = {}
    fired = None
    for name, tally in canary.items():
        mine, others = bounds(tally, share), bounds(champion[name], share)
        figures[name] = {
            "canary": {"bad": tally.bad, "all": tally.all, "low": mine[0], "high": mine[1]},
            "champion": {"bad": champion[name].bad, "all": champion[name].all, "low": others[0], "high": others[1]},
        }
        fired = name if fired is None and mine[0] > others[1] else fired
    if fired is not None:
        return Look("back", figures, fired)
    enough = limits.answers is not None and answers >= limits.answers
    late = limits.hours is not None and hours >= limits.hours
    return Look("promote" if enough or late else "wait", figures)


def wrong(words: Sequence[Mapping[str, Any]], output: Any) -> bool | None:
    """Whether an answer was wrong by the customer's last word; None where that is not said."""
    known = label_of(words, output)
    if known is not None:
        return known != str(output.get("label") if isinstance(output, Mapping) else output)
    last = next((word for word in reversed(words) if "correct" in word or word.get("label") is not None), None)
    return True if last is not None and last.get("correct") is False else None


def feedback_of(place: str | Path, names: Sequence[str], since: str) -> dict[str, Tally]:
    """Release -> kept answers that somebody spoke of since a moment, and how many of them were wrong."""
    from breakeven.ledger.commands import kept_inputs

    counts = {name: [0, 0] for name in names}
    for case in kept_inputs(place, since=since):
        said = wrong(case["feedback"], case["output"]) if case["release"] in counts else None
        if said is not None:
            counts[case["release"]][0] += said
            counts[case["release"]][1] += 1
    return {name: Tally(bad, total) for name, (bad, total) in counts.items()}


def failures_of(requests: Mapping[str, Mapping[str, int]], name: str) -> Tally:
    """Requests of a release that failed, of all that a running server has counted."""
    found = requests.get(name) or {}
    failed = int(found.get("failed", 0))
    return Tally(failed, failed + int(found.get("answered", 0)))


def judge(place: str | Path, decision: Decision, requests: Mapping[str, Mapping[str, int]], limits: Limits) -> Look:
    """A look at the canary of a decision; `requests`: what the running server counted, empty where none runs."""
    assert decision.canary is not None, "asked only where a canary runs"
    canary, champion = decision.canary.release, str(decision.release)
    created = str(decision.info["created"])
    said = feedback_of(place, (canary, champion), created)
    mine = {"feedback": said[canary], "failures": failures_of(requests, canary)}
    others = {"feedback": said[champion], "failures": failures_of(requests, champion)}
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(created)
    return look(mine, others, limits, hours=age.total_seconds() / 3600, answers=mine["failures"].all)
