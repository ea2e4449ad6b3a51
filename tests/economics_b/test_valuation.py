"""Six valuation methods against published figures, and what they refuse."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from breakeven.economics.money import InexactNumber, to_places, whole
from breakeven.economics.valuation import (
    RISK_FACTORS,
    SCORECARD_WEIGHTS,
    Outcome,
    by_multiples,
    discounted_cash_flow,
    first_chicago,
    risk_factor_summation,
    scorecard,
    venture_capital,
)
from breakeven.errors import UsageError

VC: dict[str, Any] = {"years": 4, "rate": "0.5", "invested": 3_000_000, "shares": 1_000_000}


def test_venture_capital_method() -> None:
    """Published venture-capital method example: $25M in 4 years at 50%, $3M in, 1M shares."""
    deal = venture_capital(25_000_000, **VC)
    assert (whole(deal.post_money), whole(deal.pre_money), deal.shares()) == (4_938_272, 1_938_272, 1_547_771)
    assert to_places(deal.share * 100, 2) == Fraction("60.75")
    assert to_places(deal.price, 2) == Fraction("1.94")
    assert (deal.shares_exact * deal.price, deal.pre_money + 3_000_000) == (3_000_000, deal.post_money)


def test_later_rounds_lower_what_may_be_paid() -> None:
    assert venture_capital(25_000_000, **VC, retention="0.8").post_money == venture_capital(20_000_000, **VC).post_money


def test_scorecard() -> None:
    """Published scorecard example: comparables 2.1, 1.8, 3.0, 4.0M and a factor of 1.225."""
    scores = dict(zip(SCORECARD_WEIGHTS, ("1.5", "1.25", "1.25", "0.75", 1, 1, 1), strict=True))
    found = scorecard([2_100_000, 1_800_000, 3_000_000, 4_000_000], scores)
    assert (found.factor, found.value) == (Fraction("1.225"), 3_338_125)


def test_risk_factor_summation() -> None:
    """Risk-factor summation: twelve factors from -2 to +2, $250,000 a step."""
    assert len(RISK_FACTORS) == 12
    scores = {"management": 2, "technology": 1, "competition": -2, "exit": 0}
    assert risk_factor_summation(2_000_000, scores) == 2_250_000
    assert risk_factor_summation("1.5", {"stage": -1}, step="0.25") == Fraction("1.25")


def test_discounted_cash_flow() -> None:
    found = discounted_cash_flow([110, 121], rate="0.1", growth="0", net_debt=50)
    assert (found.flows, found.terminal, found.enterprise, found.equity) == (200, 1000, 1200, 1150)
    assert discounted_cash_flow([110], rate="0.1", exit_multiple=(11, 10)).terminal == 100
    assert discounted_cash_flow([110], rate="0.1").enterprise == 100


def test_first_chicago() -> None:
    outcomes = [
        Outcome("success", "0.25", 800, 1),
        Outcome("survival", "0.5", 100, 1, [100]),
        Outcome("failure", "0.25", 0, 1),
    ]
    assert first_chicago(outcomes, rate=1) == 100 + 50


def test_multiples() -> None:
    found = by_multiples(2_000_000, [6, "2.5", 4, 3])
    assert (found.low, found.median, found.high) == (5_000_000, 7_000_000, 12_000_000)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: venture_capital(1_000_000, **VC), "not more than the 3000000 invested"),
        (lambda: venture_capital(0, **VC), "above 0"),
        (lambda: venture_capital(1, **{**VC, "rate": -1}), "above -1"),
        (lambda: scorecard([1], {"team": 1}), "one score for every weight"),
        (lambda: scorecard([1], {"a": 1}, {"a": Fraction(1, 2)}), "sum to 1/2"),
        (lambda: scorecard([], {"a": 1}, {"a": 1}), "at least one"),
        (lambda: risk_factor_summation(1, {"luck": 1}), "luck"),
        (lambda: risk_factor_summation(1, {"exit": 3}), "-2, -1, 0, 1 or 2"),
        (lambda: discounted_cash_flow([1], rate="0.1", growth="0.1"), "below the discount rate"),
        (lambda: discounted_cash_flow([], rate="0.1"), "at least one"),
        (lambda: first_chicago([Outcome("a", "0.5", 1, 1)], rate=0), "sum to 1/2"),
        (lambda: first_chicago([Outcome("a", "1.5", 1, 1), Outcome("b", "-0.5", 1, 1)], rate=0), "0 or more"),
        (lambda: by_multiples(1, []), "at least one"),
    ],
)
def test_what_cannot_be_valued(work: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        work()


def test_floats_do_not_enter() -> None:
    with pytest.raises(InexactNumber, match="not exact"):
        venture_capital(25e6, **VC)  # type: ignore[arg-type]
