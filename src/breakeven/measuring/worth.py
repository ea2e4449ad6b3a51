"""From stored test answers to what the arithmetic of the verdict takes: metrics, values and their paired draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from breakeven.economics.draws import Estimate, draw
from breakeven.economics.units import value_draws
from breakeven.metrics import payoff as paying
from breakeven.metrics.intervals import Draws, FloatArray, Interval, bca, over_draws, wilson
from breakeven.quantity import Origin, Quantity, weakest
from breakeven.task import Cases, Task

if TYPE_CHECKING:
    from breakeven.task import Scoring

KEPT_WEIGHTS = 16_000_000  # 64 MB
FEWEST_DRAWS, MOST_WEIGHTS = 400, 100_000_000  # with very many rows an interval needs fewer draws


@dataclass(frozen=True)
class Plan:
    """What values an answer: the payoff, the market's base rates (None: the test's), and when to refuse."""

    payoff: Mapping[str, Any]
    base_rates: Mapping[str, float] | None
    reject: str | float | None
    draws: int
    seed: int


def enough_draws(wanted: int, rows: int) -> int:
    """The declared number of draws, fewer where the test set is so large that they would take minutes."""
    return min(wanted, max(FEWEST_DRAWS, MOST_WEIGHTS // max(rows, 1)))


@dataclass
class Worth:
    """One candidate judged on the test rows. Estimates hold paired draws, the same worlds for every candidate."""

    rule: dict[str, Any]
    answers: list[Any]
    raw: list[Any]
    metrics: dict[str, Quantity]
    value: Estimate
    value_at_test_rates: Estimate
    perfect: Estimate | None
    pictures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """The test rows with everything that is the same for all candidates: draws, prices, classes."""

    task: Task
    cases: Cases
    facts: Mapping[str, Any]
    plan: Plan
    columns: Mapping[str, Any]

    @property
    def scoring(self) -> Scoring:
        """The task's scoring."""
        return self.task.scoring()

    @property
    def draws(self) -> Draws:
        """One set of draws for all candidates, over rows or the task's units."""
        return Draws.over(len(self.cases), self.cases.units, draws=self.plan.draws, seed=self.plan.seed)

    def sums(self) -> Mapping[str, Sequence[str]]:
        """Outcomes that are sums of others, where the scoring has any."""
        named = getattr(self.scoring, "sums", None)
        return named(self.facts) if named else {}

    def shares(self) -> list[paying.Share]:
        """The payoff's prices with the outcomes each pays for."""
        return paying.shares(self.plan.payoff, self.scoring.outcome_names(self.facts), self.sums())

    def rule(self) -> dict[str, Any]:
        """The answer rule under payoff, base rates and reject level."""
        extra: dict[str, Any] = {"columns": self.columns}
        if self.plan.reject is not None:
            extra["reject"] = None if self.plan.reject == "never" else self.plan.reject
        return self.scoring.rule(self.plan.payoff, self.plan.base_rates, {**self.facts, **extra})

    @cached_property
    def _weights(self) -> list[FloatArray]:
        """The draws, kept while they are small: every candidate meets the same ones."""
        return list(self.draws.weights()) if len(self.cases) * self.plan.draws <= KEPT_WEIGHTS else []

    def weights(self) -> Iterator[FloatArray]:
        """Chunks of draws [c, n]."""
        yield from self._weights or self.draws.weights()

    def paid(self, answers: list[Any]) -> dict[str, FloatArray]:
        """Declared price -> [n]: how much of its amount every case pays."""
        names = self.scoring.outcome_names(self.facts)
        outcomes = self.scoring.outcomes(answers, self.cases, self.facts)
        n = len(self.cases)
        return {
            share.key: outcomes @ paying.member(share, names) * paying.column(share, self.cases.columns, n)
            for share in self.shares()
        }

    def value_point(self, answers: list[Any], *, at_market: bool) -> float:
        """Value per answer over all test cases, at the mean of every declared price."""
        paid, all_cases = self.paid(answers), np.ones((1, len(self.cases)))
        worth = sum((share.term.amount.mean * paid[share.key] for share in self.shares()), np.zeros(len(self.cases)))
        return float(self._drawn(worth, all_cases, at_market)[0])

    def value(self, answers: list[Any], *, at_market: bool) -> Estimate:
        """Value per answer of these answers: point over all cases, draws over resampled cases and declared prices."""
        paid, shares = self.paid(answers), self.shares()
        sure = sum(
            (one.term.amount.mean * paid[one.key] for one in shares if one.term.amount.certain),
            np.zeros(len(self.cases)),
        )
        doubted = {one.key: one.term.amount for one in shares if not one.term.amount.certain}
        amounts = {
            key: draw(amount, self.plan.seed, f"payoff/{key}", self.plan.draws) for key, amount in doubted.items()
        }
        drawn, start = np.zeros(self.plan.draws), 0
        for weights in self.weights():
            part = slice(start, start + len(weights))
            drawn[part] = self._drawn(sure, weights, at_market)
            for key, amount in amounts.items():
                drawn[part] += amount[part] * self._drawn(paid[key], weights, at_market)
            start = part.stop
        known = at_market and self.plan.base_rates is not None
        origins: dict[str, Origin] = {"outcomes": "measured", "base_rates": "declared" if known else "assumed"}
        origins |= {f"payoff.{one.key}": one.term.amount.origin for one in shares}
        return Estimate(self.value_point(answers, at_market=at_market), drawn, weakest(origins.values()), origins)

    def _drawn(self, worth: FloatArray, weights: FloatArray, at_market: bool) -> FloatArray:
        rates = self.plan.base_rates if at_market else None
        options: dict[str, Any] = {"classes": self.cases.targets, "base_rates": rates} if rates else {}
        return value_draws(worth[:, None], np.ones(1), weights, **options)

    def judge(self, raw: list[Any]) -> Worth:
        """Answers as served, their metrics with intervals and their value."""
        rule = self.rule()
        answers = self.scoring.decide(raw, rule)
        targets = self.cases.targets
        return Worth(
            rule,
            answers,
            raw,
            self.metrics(answers, raw),
            self.value(answers, at_market=True),
            self.value(answers, at_market=False),
            None if targets is None else self.value(list(targets), at_market=True),
            self.scoring.pictures(answers, raw, self.cases, self.facts),
        )

    def metrics(self, answers: list[Any], raw: list[Any]) -> dict[str, Quantity]:
        """Every metric with a 95% interval: Wilson for plain shares of rows, else BCa bootstrap."""

        def measure(weights: FloatArray) -> dict[str, FloatArray]:
            return self.scoring.metrics(answers, raw, self.cases, weights, self.facts)

        points = {name: float(values[0]) for name, values in measure(np.ones((1, len(self.cases)))).items()}
        drawn, left_out = over_draws(self.weights(), measure), measure(self.draws.jackknife())
        units = len(np.unique(self.draws.units))
        found = {}
        for name, point in points.items():
            if np.isfinite(point):
                n, plain = self.support(name, answers)
                interval = bca(drawn[name], point, left_out[name])
                if units == len(self.cases) and (plain or self._without_spread(name, point, interval)):
                    interval = wilson(round(point * n) if plain else point * n, n)
                found[name] = Quantity(
                    point,
                    self.unit(name),
                    "measured",
                    interval.low,
                    interval.high,
                    n=min(n, units),
                    method=interval.method,
                )
        return found

    def support(self, name: str, answers: list[Any]) -> tuple[int, bool]:
        """How many cases a metric rests on, and whether it is a plain share of them, as the scoring knows."""
        known = getattr(self.scoring, "support", None)
        return known(name, answers, self.cases, self.facts) if known else (len(self.cases), False)

    def unit(self, name: str) -> str:
        """The metric's unit, as the task states it; a share for metrics of a single class."""
        info = self.task.metrics.get(name)
        return info.unit if info else "share"

    def _without_spread(self, name: str, point: float, interval: Interval) -> bool:
        """Rows without a single error cannot be resampled into one; a score interval can say how few there may be."""
        info = self.task.metrics.get(name)
        share = info is None or (info.low, info.high) == (0.0, 1.0)
        return share and interval.low == interval.high and point in (0.0, 1.0)

    def best_constant(self) -> tuple[Any, Estimate] | None:
        """The answer that would be worth most if it were given to everyone; None where the task has no such answer."""
        constants = getattr(self.scoring, "constants", None)
        offered = constants(self.facts) if constants else []
        if not offered:
            return None
        everyone = len(self.cases)
        best = max(offered, key=lambda answer: self.value_point([answer] * everyone, at_market=True))
        return best, self.value([best] * everyone, at_market=True)

    def point_worth(self, worth: Worth, metric: str, step: float = 0.01) -> Estimate | None:
        """Value per answer of one more point of the metric, errors turned right in proportion; None where it has none.

        Turning a share s of every kind of error right moves the value by s times the distance to the perfect answers'.
        """
        perfect = worth.perfect
        share = self.share_for(worth, metric, step)
        if perfect is None or share is None:
            return None
        gain = Estimate(perfect.point - worth.value.point, perfect.draws - worth.value.draws)
        return Estimate(share * gain.point, share * gain.draws, worth.value.origin, worth.value.inputs)

    def share_for(self, worth: Worth, metric: str, step: float) -> float | None:
        """The share of errors to turn right until the metric is `step` better; beyond perfection it is extrapolated."""
        if self.cases.targets is None or metric not in worth.metrics:
            return None
        info = self.task.metrics.get(metric)
        sign = 1.0 if info is None or info.higher_is_better else -1.0
        start, best = sign * worth.metrics[metric].value, sign * self.improved(worth, metric, 1.0)
        if not best > start + 1e-12:
            return None
        goal = min(start + step, best)
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if sign * self.improved(worth, metric, middle) < goal else (low, middle)
        return high * step / (goal - start)

    def improved(self, worth: Worth, metric: str, share: float) -> float:
        """The metric if `share` of every kind of error were right: cases count partly as answered, partly as true."""
        n = len(self.cases)
        weights = np.concatenate([np.full(n, 1 - share), np.full(n, share)])[None, :]
        answers = [*worth.answers, *(self.cases.targets or [])]
        values = self.scoring.metrics(answers, worth.raw * 2, self._twice, weights, self.facts)
        return float(values[metric][0])

    @cached_property
    def _twice(self) -> Cases:
        return self.cases.take([*range(len(self.cases)), *range(len(self.cases))])
