"""Exits: the published figures, conservation of cash, and nobody who would rather have chosen otherwise."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics.money import Money
from breakeven.economics.waterfall import Claim, ExitSafe, distribute, indifference, payout_curve
from breakeven.errors import UsageError

M = 1_000_000
QUARTER = [Claim("common", 75), Claim("A", 25, preference=5 * M)]
YC = [Claim("founders", 9_250_000), Claim("options", 300_000)]
SAFES = [ExitSafe("A", 200_000, 4 * M), ExitSafe("B", 800_000, 8 * M)]


@pytest.mark.parametrize(("exit_value", "paid"), [(5, "5"), (10, "5"), (20, "20/3"), (30, "10")])
def test_one_third_non_participating(exit_value: int, paid: str) -> None:
    """Published waterfall example: $5M of A on $10M pre, 1x non-participating."""
    found = distribute(exit_value * M, [Claim("common", 2), Claim("A", 1, preference=5 * M)])
    assert found.of("A") == Fraction(paid) * M
    assert found.converted == (("A",) if exit_value > 15 else ())


@pytest.mark.parametrize(("exit_value", "paid"), [(30, "7.5"), (12, 5), (3, 3)])
def test_a_quarter_for_five_million(exit_value: int, paid: Any) -> None:
    """Published waterfall example: 25% for $5M, 1x; indifferent at $20M."""
    assert distribute(exit_value * M, QUARTER).of("A") == Fraction(paid) * M
    assert indifference(QUARTER[1], QUARTER) == 20 * M


def test_participating_takes_both() -> None:
    """Published waterfall example: 25% for $5M participating at $30M gets $11.25M."""
    claims = [QUARTER[0], Claim("A", 25, preference=5 * M, participates=True)]
    assert distribute(30 * M, claims).of("A") == Fraction("11.25") * M
    assert indifference(claims[1], claims) is None


def test_pari_passu() -> None:
    """Published waterfall example: 5M and 1M pari passu out of 3M get 2.5M and 0.5M."""
    found = distribute(3 * M, [Claim("common", 1), Claim("A", preference=5 * M), Claim("B", preference=M)])
    assert (found.of("A"), found.of("B"), found.of("common")) == (2_500_000, 500_000, 0)


def test_seniority_comes_first() -> None:
    claims = [Claim("common", 1), Claim("A", preference=5 * M), Claim("B", preference=2 * M, seniority=1)]
    assert [distribute(3 * M, claims).of(name) for name in ("B", "A")] == [2 * M, M]


def test_a_capped_participant_converts_when_that_is_more() -> None:
    claims = [Claim("common", 75), Claim("A", 25, preference=5 * M, participates=True, limit=10 * M)]
    assert [distribute(value * M, claims).of("A") for value in (9, 30, 40, 60)] == [6 * M, 10 * M, 10 * M, 15 * M]
    assert indifference(claims[1], claims) == 40 * M
    assert distribute(60 * M, claims).converted == ("A",)


def test_options_pay_their_strike() -> None:
    claims = [Claim("common", 90), Claim("staff", 10, strike=5)]
    assert distribute(400, claims).of("staff") == 0
    assert distribute(950, claims).of("staff") == 10 * (10 - 5)


def test_yc_sold_before_the_round() -> None:
    """YC post-money SAFE user guide: sold at $10M, the capitalization is 11,235,293 (floored) and cash is conserved."""
    found = distribute(10 * M, YC, SAFES)
    assert (found.of("A"), found.of("B")) == (500_000, 1_000_000)
    assert int(found.capitalization) == 11_235_294
    assert 9_550_000 + int(found.capitalization / 20) + int(found.capitalization / 10) == 11_235_293
    assert sum(amount for _, amount in found.payouts) == 10 * M
    assert set(found.converted) == {"A", "B"}


def test_yc_sold_low() -> None:
    """YC post-money SAFE user guide: sold at $3M, A and B take their money back, the rest goes to common."""
    found = distribute(3 * M, YC, SAFES)
    assert (found.of("A"), found.of("B"), found.converted) == (200_000, 800_000, ())
    assert found.of("founders") + found.of("options") == 2 * M


def test_one_safe_may_convert_and_the_other_not() -> None:
    found = distribute(6 * M, YC, SAFES)
    assert (found.of("B"), found.converted) == (800_000, ("A",))
    assert found.of("A") == Fraction(5_200_000, 20)


def test_a_pre_money_cap_counts_the_shares_without_what_converts() -> None:
    found = distribute(10 * M, [Claim("common", 900)], [ExitSafe("s", M, 9 * M, post=False)])
    assert found.of("s") == M
    assert (found.per_share, found.capitalization) == (10_000, 1000)


def test_safes_that_would_own_everything_do_not_all_convert() -> None:
    found = distribute(1000, [Claim("common", 100)], [ExitSafe("a", 60, 100), ExitSafe("b", 66, 110)])
    assert (found.of("b"), found.converted) == (66, ("a",))
    assert found.of("a") == Fraction(60, 100) * (1000 - 66)
    assert distribute(1000, [Claim("common", 100)], [ExitSafe("s", 9, 9)]).of("s") == 9


def test_payouts_in_cents_add_up() -> None:
    rows = distribute(10 * M, YC, SAFES).in_money("USD")
    assert sum(amount.minor for _, amount in rows) == 1_000_000_000
    assert rows[0] == ("founders", Money(823_298_429, "USD"))


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: Claim("x", -1), "0 or more"),
        (lambda: Claim("x", 1, 5, limit=4), "at least the preference"),
        (lambda: distribute(-1, QUARTER), "0 or more"),
        (lambda: distribute(1, [QUARTER[1]]), "holds common"),
    ],
)
def test_what_cannot_be_shared_out(work: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        work()


def test_a_claim_without_shares_never_converts() -> None:
    assert indifference(Claim("n", preference=5), []) is None
    assert indifference(Claim("c", 5), []) is None


AMOUNTS = st.integers(0, 5_000)
CLAIMS = st.lists(
    st.one_of(
        st.builds(Claim, st.just("c"), st.integers(1, 1000)),
        st.builds(Claim, st.just("o"), st.integers(0, 300), strike=st.integers(0, 30)),
        st.builds(Claim, st.just("p"), st.integers(0, 1000), st.integers(1, 5000), st.integers(0, 2), st.booleans()),
        st.builds(
            lambda n, p: Claim("l", n, p, participates=True, limit=2 * p), st.integers(1, 1000), st.integers(1, 5000)
        ),
    ),
    max_size=6,
).map(lambda claims: [Claim("founder", 1000), *claims])
CONVERTIBLES = st.lists(st.builds(ExitSafe, st.just("s"), st.integers(1, 900), st.integers(5_000, 30_000)), max_size=3)


@given(st.integers(0, 60_000), CLAIMS, CONVERTIBLES)
def test_cash_is_conserved_and_nobody_gets_less_than_nothing(value: int, claims: Any, safes: Any) -> None:
    found = distribute(value, claims, safes)
    assert sum(amount for _, amount in found.payouts) == value
    assert all(amount >= 0 for _, amount in found.payouts)
    assert sum(amount.minor for _, amount in found.in_money("USD")) == value * 100


@given(st.integers(0, 60_000), st.integers(0, 60_000), CLAIMS)
def test_a_higher_price_hurts_nobody(one: int, other: int, claims: Any) -> None:
    low, high = (distribute(value, claims) for value in sorted((one, other)))
    assert all(less <= more for (_, less), (_, more) in zip(low.payouts, high.payouts, strict=True))


@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=9), CLAIMS, st.sampled_from(["founder", "p", "o", "l"]))
def test_the_curve_for_simulations_is_the_exact_payout(values: list[int], claims: Any, holder: str) -> None:
    exact = [float(distribute(value, claims).of(holder)) for value in values]
    assert payout_curve(claims, holder).at(values) == pytest.approx(exact, rel=1e-9, abs=1e-6)


@given(st.integers(1, 60_000), CLAIMS)
def test_no_preferred_holder_regrets_the_choice(value: int, claims: Any) -> None:
    """Forcing the other choice on one holder never pays him more."""
    found = distribute(value, claims)
    for number, claim in enumerate(claims):
        if claim.preference and claim.shares:
            forced = [Claim(c.holder, c.shares) if n == number else c for n, c in enumerate(claims)]
            assert distribute(value, forced).payouts[number][1] <= found.payouts[number][1]
