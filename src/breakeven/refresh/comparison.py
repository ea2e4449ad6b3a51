"""Champion and challenger on the same test rows, in the same resampled worlds: what the difference is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from breakeven.errors import message
from breakeven.quantity import Quantity

if TYPE_CHECKING:
    from breakeven.measuring.worth import Bench
    from breakeven.refresh.rows import Parts

FEWEST_FRESH = 10  # test rows that the champion does not know; with fewer nothing is said of the new world
_ROUNDING = 1e-12  # of a difference of two sums of the same prices


@dataclass(frozen=True)
class Terms:
    """When the challenger may replace the champion: not worse with at least this probability."""

    probability: float = 0.9


def compared(bench: Bench, champion: Sequence[Any], challenger: Sequence[Any], places: Sequence[int]) -> dict[str, Any]:
    """The two on some cases: `{n, differ, champion, challenger, difference, not_worse, worse}`, values per answer.

    Both meet the same draws of rows and prices, so what is common to them cancels. `not_worse` and `worse` are the
    shares of draws in which the challenger is worth at least as much, and less. `differ`: cases answered otherwise.
    """
    import numpy as np

    from breakeven.metrics.intervals import percentile

    part = _part(bench, places)
    old = part.value([champion[place] for place in places], at_market=True)
    new = part.value([challenger[place] for place in places], at_market=True)
    drawn = new.draws - old.draws
    interval = percentile(drawn)
    method = f"{interval.method}, paired"
    difference = Quantity(
        new.point - old.point, "per answer", new.origin, interval.low, interval.high, n=len(places), method=method
    )
    worse = float(np.mean(drawn < -_ROUNDING))
    return {
        "n": len(places),
        "differ": sum(str(champion[place]) != str(challenger[place]) for place in places),
        "champion": old.quantity("per answer").as_json(),
        "challenger": new.quantity("per answer").as_json(),
        "difference": difference.as_json(),
        "not_worse": 1.0 - worse,
        "worse": worse,
    }


def _part(bench: Bench, places: Sequence[int]) -> Bench:
    """The bench of some cases; the market's rates need a case of every class, and are the rows' own where one lacks."""
    cases, rates = bench.cases.take(list(places)), bench.plan.base_rates
    classes = {str(target) for target in cases.targets or []}
    missing = rates is not None and any(rate > 0 and label not in classes for label, rate in rates.items())
    return replace(bench, cases=cases, plan=replace(bench.plan, base_rates=None) if missing else bench.plan)


def judged(
    bench: Bench, parts: Parts, champion: Sequence[Any], challenger: Sequence[Any]
) -> dict[str, dict[str, Any] | None]:
    """The comparison on all fair rows, on those fresh to the champion, and on those it was judged on; and on the fresh
    ones of others, where one customer gave most of the new rows and others gave enough.
    """
    every = {"all": parts.fair, "fresh": parts.fresh, "established": parts.established}
    if parts.others is not None and len(parts.others) >= FEWEST_FRESH:
        every["others"] = parts.others
    return {name: compared(bench, champion, challenger, places) if places else None for name, places in every.items()}


def refusals(found: Mapping[str, dict[str, Any] | None], terms: Terms) -> list[dict[str, Any]]:
    """Why the challenger may not replace the champion, as messages; none: it may.

    Bad labels poison the fresh test rows along with the training rows, so the fresh rows alone cannot convict them: the
    challenger must not be worse on the established rows either, nor on what others say where one customer says most.
    """
    every, fresh, established = found["all"], found["fresh"], found["established"]
    count = 0 if fresh is None else fresh["n"]
    if every is None or count < FEWEST_FRESH:
        return [message("refresh-few", found=count, needed=FEWEST_FRESH)]
    reasons = []
    if every["not_worse"] < terms.probability:
        reasons.append(message("refresh-worse", **_figures(every), wanted=_percent(terms.probability)))
    if established is not None and established["worse"] >= terms.probability:
        reasons.append(message("refresh-forgets", **_figures(established)))
    others = found.get("others")
    if others is not None and others["worse"] >= terms.probability:
        reasons.append(message("refresh-one-word", **_figures(others)))
    return reasons


def _figures(found: Mapping[str, Any]) -> dict[str, Any]:
    difference = found["difference"]
    return {
        "rows": found["n"],
        "difference": f"{difference['value']:+.4g}",
        "low": f"{difference['low']:+.4g}",
        "high": f"{difference['high']:+.4g}",
        "not_worse": _percent(found["not_worse"]),
        "worse": _percent(found["worse"]),
    }


def _percent(share: float) -> str:
    return f"{share * 100:.3g}%"
