"""What a young company may be worth: six methods of the field, each on stated inputs, exact until somebody rounds.

None of them is a fact. They bracket a negotiation; the report shows them beside each other, never one alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from breakeven.economics.money import Rational, RoundingMode, fraction, whole
from breakeven.errors import UsageError

RISK_FACTORS = (
    "management",
    "stage",
    "legislation and politics",
    "manufacturing",
    "sales and marketing",
    "funding",
    "competition",
    "technology",
    "litigation",
    "international",
    "reputation",
    "exit",
)
"""The twelve factors of the risk-factor summation, each scored from -2 to +2."""
SCORECARD_WEIGHTS: Mapping[str, Fraction] = {
    "team": Fraction(30, 100),
    "opportunity": Fraction(25, 100),
    "product": Fraction(15, 100),
    "competition": Fraction(10, 100),
    "marketing and sales": Fraction(10, 100),
    "need for more money": Fraction(5, 100),
    "other": Fraction(5, 100),
}
"""The usual weights of the scorecard method; they sum to 1."""


@dataclass(frozen=True)
class Deal:
    """A priced investment: values in major units, `share` of the new investor, his shares and their price, exact."""

    post_money: Fraction
    pre_money: Fraction
    share: Fraction
    shares_exact: Fraction
    price: Fraction

    def shares(self, mode: RoundingMode = "half_up") -> int:
        """The investor's shares, rounded."""
        return whole(self.shares_exact, mode)


def venture_capital(
    exit_value: Rational | str,
    *,
    years: int,
    rate: Rational | str,
    invested: Rational | str,
    shares: int,
    retention: Rational | str = 1,
) -> Deal:
    """The venture-capital method: the exit, discounted at the required return, is the post-money value.

    `retention` is the part of the investor's share that later rounds leave him.
    """
    growth = 1 + _at_least(rate, "rate")
    post = _positive(exit_value, "exit_value") * _positive(retention, "retention") / growth**years
    money = _positive(invested, "invested")
    if money >= post:
        raise UsageError("valuation-too-low", post=whole(post), invested=whole(money))
    pre = post - money
    return Deal(post, pre, money / post, money * shares / pre, pre / shares)


def _positive(value: Rational | str, field: str) -> Fraction:
    number = fraction(value, field=field)
    if number <= 0:
        raise UsageError("value-not-positive", field=field, found=str(value))
    return number


def _at_least(value: Rational | str, field: str) -> Fraction:
    number = fraction(value, field=field)
    if number <= -1:
        raise UsageError("rate-below", found=str(value))
    return number


@dataclass(frozen=True)
class Scorecard:
    """The mean of comparable companies times a factor of weighted scores."""

    base: Fraction
    factor: Fraction

    @property
    def value(self) -> Fraction:
        """The pre-money value."""
        return self.base * self.factor


def scorecard(
    comparables: Sequence[Rational | str],
    scores: Mapping[str, Rational | str],
    weights: Mapping[str, Rational] = SCORECARD_WEIGHTS,
) -> Scorecard:
    """Scores are against the typical company (1.5 is 150%); each weight needs a score, and weights sum to 1."""
    if set(scores) != set(weights):
        raise UsageError("scores-do-not-match", found=sorted(set(scores) ^ set(weights)))
    if sum(map(fraction, weights.values())) != 1:
        raise UsageError("weights-not-one", found=str(sum(map(fraction, weights.values()))))
    values = [_positive(value, "comparables") for value in comparables]
    factor = sum((fraction(scores[name]) * fraction(weights[name]) for name in weights), Fraction(0))
    return Scorecard(sum(values, Fraction(0)) / _count(values), factor)


def _count(values: Sequence[object]) -> int:
    if not values:
        raise UsageError("values-none")
    return len(values)


def risk_factor_summation(
    base: Rational | str, scores: Mapping[str, int], *, step: Rational | str = 250_000
) -> Fraction:
    """A pre-money value: the base plus `step` for every point of the twelve factors, each -2 to +2 (absent: 0)."""
    unknown = sorted(set(scores) - set(RISK_FACTORS))
    if unknown or any(score not in (-2, -1, 0, 1, 2) for score in scores.values()):
        raise UsageError("risk-scores", found=unknown or dict(scores), allowed=RISK_FACTORS)
    return fraction(base) + fraction(step) * sum(scores.values())


@dataclass(frozen=True)
class DiscountedFlows:
    """A discounted cash flow value and its parts, so that a reader sees how much of it is the terminal value."""

    flows: Fraction
    terminal: Fraction
    net_debt: Fraction

    @property
    def enterprise(self) -> Fraction:
        """The value of the business to all who finance it."""
        return self.flows + self.terminal

    @property
    def equity(self) -> Fraction:
        """The value left to the owners."""
        return self.enterprise - self.net_debt


def discounted_cash_flow(
    flows: Sequence[Rational | str],
    *,
    rate: Rational | str,
    growth: Rational | str | None = None,
    exit_multiple: tuple[Rational | str, Rational | str] | None = None,
    net_debt: Rational | str = 0,
) -> DiscountedFlows:
    """Flows at the ends of years 1, 2, ...; then growth for ever (Gordon), or (last metric, multiple), or nothing."""
    years = _count(flows)
    factor = 1 + _at_least(rate, "rate")
    worth = sum((fraction(flow) / factor**year for year, flow in enumerate(flows, 1)), Fraction(0))
    terminal = Fraction(0)
    if growth is not None:
        grow = fraction(growth, field="growth")
        if grow >= factor - 1:
            raise UsageError("growth-above-rate", growth=str(growth), rate=str(rate))
        terminal = fraction(flows[-1]) * (1 + grow) / (factor - 1 - grow) / factor**years
    elif exit_multiple is not None:
        terminal = fraction(exit_multiple[0]) * fraction(exit_multiple[1]) / factor**years
    return DiscountedFlows(worth, terminal, fraction(net_debt))


@dataclass(frozen=True)
class Outcome:
    """One course of things in the First Chicago method: its probability, yearly dividends, and the exit in `years`."""

    name: str
    probability: Rational | str
    exit_value: Rational | str
    years: int
    flows: Sequence[Rational | str] = ()


def first_chicago(outcomes: Sequence[Outcome], *, rate: Rational | str) -> Fraction:
    """The probability-weighted present value of success, survival and failure (or of any outcomes that sum to 1)."""
    chances = sum((fraction(outcome.probability) for outcome in outcomes), Fraction(0))
    if chances != 1 or any(fraction(outcome.probability) < 0 for outcome in outcomes):
        raise UsageError("weights-not-one", found=str(chances))
    factor = 1 + _at_least(rate, "rate")
    worth = Fraction(0)
    for outcome in outcomes:
        value = fraction(outcome.exit_value) / factor**outcome.years
        value += sum((fraction(flow) / factor**year for year, flow in enumerate(outcome.flows, 1)), Fraction(0))
        worth += fraction(outcome.probability) * value
    return worth


@dataclass(frozen=True)
class MultipleRange:
    """A value by comparable companies: at the lowest, median and highest of their multiples."""

    low: Fraction
    median: Fraction
    high: Fraction


def by_multiples(metric: Rational | str, multiples: Sequence[Rational | str]) -> MultipleRange:
    """The company's own metric (revenue, ARR, EBITDA) at the multiples paid for comparable ones."""
    _count(multiples)
    base = fraction(metric, field="metric")
    found = sorted(fraction(multiple) for multiple in multiples)
    return MultipleRange(base * found[0], base * statistics.median(found), base * found[-1])
