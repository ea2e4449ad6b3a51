"""SAFEs, notes and priced rounds: the published figures, and what holds for every mix."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from breakeven.economics.money import InexactNumber, to_places, whole
from breakeven.economics.rounds import Capitalization, Round, RoundResult, ShareRounding, price_round, pro_rata_dilution
from breakeven.economics.securities import Note, Safe, anti_dilution, conversion_price, converting
from breakeven.errors import UsageError

YC = Capitalization(issued=9_250_000, options=300_000, promised=350_000, pool=100_000)
SAFE_A = Safe("A", 200_000, cap=4_000_000)
SAFE_B = Safe("B", 800_000, cap=8_000_000, pro_rata=True)
FOUR = ShareRounding(price_places=4)
DAY = date(2025, 1, 1)


def shares(result: RoundResult) -> dict[str, int]:
    return {conversion.id: conversion.shares for conversion in result.conversions}


def test_yc_example_1() -> None:
    """YC post-money SAFE user guide, example 1; its pro-rata cost of $499,998.97 is a cent too high."""
    terms = Round(15_000_000, 5_000_000, pool_increase=1_695_000, rounding=FOUR, pro_rata="inside")
    result = price_round(YC, [SAFE_A, SAFE_B], terms)
    assert result.capitalization == 11_764_705
    assert shares(result) == {"A": 588_235, "B": 1_176_470}
    assert (result.price, result.price_exact) == (Fraction("1.1144"), Fraction(51000, 45763))
    assert (result.new_shares, result.total) == (4_486_719, 17_946_424)
    assert to_places(result.share(9_250_000) * 100, 2) == Fraction("51.54")
    assert to_places(result.new_shares_exact, 1) == Fraction("4486568.6")
    assert to_places(result.total_exact, 1) == Fraction("17946274.5")
    assert [(right.shares, to_places(right.cost, 2)) for right in result.pro_rata] == [(448_671, Fraction("499998.96"))]
    assert [conversion.because for conversion in result.conversions] == ["cap", "cap"]


def test_yc_down_round() -> None:
    """YC post-money SAFE user guide, example 1 sold down: $2.2M on $8.8M; B converts at the round's price."""
    result = price_round(YC, [SAFE_A, SAFE_B], Round(8_800_000, 2_200_000, pool_increase=1_573_000, rounding=FOUR))
    assert (result.price, result.price_exact) == (Fraction("0.6577"), Fraction(2400, 3649))
    assert shares(result) == {"A": 590_334, "B": 1_216_360}
    assert (result.new_shares, result.total) == (3_344_990, 16_724_684)
    assert [conversion.because for conversion in result.conversions] == ["cap", "round price"]


def test_yc_example_2() -> None:
    """YC post-money SAFE user guide, example 2: a pre-money SAFE beside a post-money one; one line repeats 1.1144."""
    mix = [Safe("A", 200_000, cap=3_800_000, money="pre"), SAFE_B]
    terms = Round(15_000_000, 5_000_000, pool_increase=1_700_000, rounding=ShareRounding(4, new="half_up"))
    result = price_round(YC, mix, terms)
    assert shares(result) == {"A": 615_763, "B": 1_179_529}
    assert (result.price, result.price_exact) == (Fraction("1.1115"), Fraction(25650, 23077))
    assert result.conversions[0].price == Fraction("0.3248")
    assert (result.new_shares, result.total) == (4_498_426, 17_993_718)
    exact = [to_places(conversion.exact, 1) for conversion in result.conversions]
    assert exact == [Fraction("615789.5"), Fraction("1179532.2")]
    assert to_places(result.total_exact, 1) == Fraction("17993762.2")
    floored = price_round(YC, mix, Round(15_000_000, 5_000_000, pool_increase=1_700_000, rounding=FOUR))
    assert floored.total == 17_993_717


@pytest.mark.parametrize(
    ("rounding", "new", "safe"),
    [(ShareRounding(), 1_100_000, 220_000), (ShareRounding(4, price="down"), 1_100_110, 220_022)],
)
def test_original_safe_primer(rounding: ShareRounding, new: int, safe: int) -> None:
    """Original SAFE primer: 11,000,000 shares, $100k at a $5M cap, $1M on $10M pre, the SAFE outside the pre-money."""
    terms = Round(10_000_000, 1_000_000, conversions_in_pre_money=False, rounding=rounding)
    result = price_round(Capitalization(11_000_000), [Safe("s", 100_000, cap=5_000_000, money="pre")], terms)
    assert (result.new_shares, shares(result)["s"]) == (new, safe)


@pytest.mark.parametrize(
    ("method", "price", "note", "new", "total"),
    [
        ("pre_money", Fraction(8), 178_571, 250_000, 1_428_571),
        ("percent_ownership", Fraction(46, 7), 217_391, 304_348, 1_521_739),
        ("dollars_invested", Fraction(53, 7), 188_679, 264_151, 1_452_830),
    ],
)
def test_convertible_note_three_ways(method: Any, price: Fraction, note: int, new: int, total: int) -> None:
    """Cooley GO, convertible note conversion methods: 1,000,000 shares, $8M pre, $2M new, $1M notes, 30% discount."""
    terms = Round(8_000_000, 2_000_000, rounding=ShareRounding(conversions="half_up", new="half_up"))
    notes = [Note("n", 1_000_000, DAY, date(2027, 1, 1), discount="0.3", method=method)]
    result = price_round(Capitalization(1_000_000), notes, terms)
    assert (result.price, shares(result)["n"], result.new_shares) == (price, note, new)
    assert result.total == whole(result.total_exact) == total
    assert result.conversions[0].exact * price * Fraction(7, 10) == 1_000_000


@pytest.mark.parametrize(("pre", "count"), [(10_000_000, 10_000), (6_000_000, 6_250), (20_000_000, 20_000)])
def test_cap_or_discount_whichever_is_lower(pre: int, count: int) -> None:
    """Published note example: $25k, cap $5M, 20% discount, round price $5."""
    assert 25_000 / conversion_price(5, cap=5_000_000, discount="0.2", pre_money=pre) == count
    assert conversion_price(5) == 5


def test_a_note_with_interest() -> None:
    """Published note examples: $500k at 5% for a year is $525k, 656,250 shares at $0.80; day counts differ."""
    note = Note("n", 500_000, DAY, date(2027, 1, 1), rate="0.05")
    assert note.owed(date(2026, 1, 1)) == 525_000
    assert note.owed(date(2026, 1, 1)) / Fraction("0.8") == 656_250
    assert Note("n", 500_000, DAY, date(2027, 1, 1), rate="0.05", day_count="30/360").owed(date(2025, 7, 1)) == 512_500
    terms = Round(8_000_000, 0, on=date(2026, 1, 1))
    assert converting([note], pre_money=Fraction(8_000_000), on=terms.on)[0].amount == 525_000


def test_a_capped_note_converts_at_its_part_of_the_round_price() -> None:
    notes = [Note("n", 100_000, DAY, date(2027, 1, 1), cap=4_000_000, holder="h", pro_rata=True)]
    result = price_round(Capitalization(1_000_000), notes, Round(8_000_000, 1_000_000))
    assert result.conversions[0].price == result.price_exact / 2
    assert result.price_exact * 1_000_000 + 200_000 == 8_000_000


def test_option_pool_shuffle() -> None:
    """The option pool shuffle: 6,000,000 shares, $8M pre, $2M, a pool of 20% of the post-money; $1.00 and not $1.33."""
    result = price_round(Capitalization(6_000_000), [], Round(8_000_000, 2_000_000, pool_target="0.2"))
    assert (result.price, result.pool_increase, result.effective_pre_money) == (1, 2_000_000, 6_000_000)
    enough = price_round(Capitalization(6_000_000, pool=4_000_000), [], Round(8_000_000, 2_000_000, pool_target="0.2"))
    assert enough.pool_increase == 0


def test_pro_rata_on_top_of_the_new_money() -> None:
    """Published pro-rata example: SAFEs 15%, new money 25%, pool 10%: 4.41% on top, 39.41% dilution in all."""
    part, everything = pro_rata_dilution("0.15", new="0.25", pool="0.10")
    assert [to_places(number * 100, 2) for number in (part, everything)] == [Fraction("4.41"), Fraction("39.41")]
    safe = Safe("s", 150_000, cap=1_000_000, pro_rata=True)
    result = price_round(Capitalization(850_000), [safe], Round(3_000_000, 1_000_000, pro_rata="on_top"))
    assert result.new_shares_exact * result.price_exact == Fraction(1_000_000) / Fraction("0.85")
    assert result.pro_rata[0].shares == whole(Fraction("0.15") * result.new_shares, "down")


def test_rights_on_top_close_in_where_no_cap_fixes_them() -> None:
    safe = Safe("s", 150_000, discount="0.2", pro_rata=True)
    terms = Round(3_000_000, 1_000_000, pool_target="0.15", pro_rata="on_top")
    result = price_round(Capitalization(850_000), [safe], terms)
    right = result.conversions[0].exact / (result.before.total + result.conversions[0].exact)
    assert abs(result.new_shares_exact * result.price_exact * (1 - right) - 1_000_000) < Fraction(1, 10**6)


def test_no_rights_are_served_when_the_round_has_none() -> None:
    assert price_round(YC, [SAFE_B], Round(15_000_000, 5_000_000)).pro_rata == ()


@pytest.mark.parametrize(
    ("method", "outstanding", "price"),
    [
        ("weighted", 12_000_000, "1.7059"),
        ("weighted", 4_000_000, "1.4444"),
        ("full_ratchet", 4_000_000, "1.0000"),
        ("none", 4_000_000, "2.0000"),
    ],
)
def test_anti_dilution(method: Any, outstanding: int, price: str) -> None:
    """Published anti-dilution example: 8M common and 4M A at $2, then 5M at $1: broad, narrow, full ratchet."""
    found = anti_dilution(2, outstanding=outstanding, new_shares=5_000_000, new_money=5_000_000, method=method)
    assert to_places(found, 4) == Fraction(price)


def test_a_dearer_round_changes_no_conversion_price() -> None:
    assert anti_dilution(2, outstanding=10, new_shares=5, new_money=15) == 2


def test_most_favoured_terms_come_from_later_safes_only() -> None:
    mfn = Safe("m", 100_000, mfn=True, issued=date(2025, 2, 1))
    early, late = (Safe(name, 100_000, cap=5_000_000, issued=date(2025, int(name), 1)) for name in "13")
    terms = Round(20_000_000, 1_000_000)
    assert price_round(YC, [mfn, early], terms).conversions[0].because == "round price"
    same_day = Safe("d", 100_000, cap=5_000_000, issued=mfn.issued)
    assert price_round(YC, [mfn, same_day], terms).conversions[0].because == "round price"
    improved = price_round(YC, [late, mfn], terms)
    assert shares(improved)["m"] == shares(improved)["3"]
    assert shares(price_round(YC, [mfn, Safe("x", 1, cap=10)], terms))["m"] > 0


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: Safe("s", 0), "money above 0"),
        (lambda: Safe("s", 1, cap=0), "a cap above 0"),
        (lambda: Safe("s", 1, discount=1), "from 0 to below 1"),
        (lambda: Safe("s", 1, mfn=True), "date of issue"),
        (lambda: Note("n", 1, DAY, DAY), "after its issue"),
        (lambda: Note("n", 1, DAY, None), "after its issue"),  # type: ignore[arg-type]
        (lambda: Capitalization(0), "some above 0"),
        (lambda: Capitalization(1, -1), "0 or more"),
        (lambda: Round(0, 1), "above 0"),
        (lambda: Round(1, -1), "0 or more"),
        (lambda: Round(1, 1, pool_increase=1, pool_target=0), "one of"),
        (lambda: Round(1, 1, pool_target=1), "below 1"),
        (lambda: price_round(YC, [SAFE_A, SAFE_A], Round(1, 1)), "used twice: A"),
        (lambda: price_round(YC, [Safe("s", 20_000_000)], Round(8_000_000, 1)), "no price exists"),
        (lambda: price_round(YC, [Safe("s", 8_000_000)], Round(8_000_000, 1)), "no price exists"),
        (lambda: price_round(YC, [Safe("s", 9, cap=8)], Round(8_000_000, 1)), "no price exists"),
        (lambda: price_round(YC, [], Round(10, 1, rounding=FOUR)), "rounds to zero"),
        (lambda: anti_dilution(0, outstanding=1, new_shares=1, new_money=1), "above 0"),
    ],
)
def test_what_cannot_be(work: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        work()


def test_floats_do_not_enter() -> None:
    with pytest.raises(InexactNumber, match="not exact"):
        Safe("s", 1e5)  # type: ignore[arg-type]


SAFES = st.lists(
    st.builds(
        dict,
        amount=st.integers(1_000, 400_000),
        cap=st.one_of(st.none(), st.integers(3_000_000, 30_000_000)),
        discount=st.sampled_from(["0", "0.1", "0.25"]),
        money=st.sampled_from(["post", "pre"]),
        mfn=st.booleans(),
        issued=st.dates(date(2024, 1, 1), date(2025, 1, 1)),
    ),
    max_size=5,
)
ROUNDS = st.builds(
    Round,
    st.integers(6_000_000, 40_000_000),
    st.integers(0, 9_000_000),
    pool_target=st.one_of(st.none(), st.sampled_from(["0.05", "0.15"])),
)


@given(SAFES, ROUNDS, st.randoms(use_true_random=False))
def test_any_mix_is_solved_exactly_and_in_any_order(made: list[dict[str, Any]], terms: Round, random: Any) -> None:
    safes = [Safe(f"s{number}", **each) for number, each in enumerate(made)]
    result = price_round(YC, safes, terms)
    p, new = result.price_exact, result.new_shares_exact
    total = sum((c.exact for c in result.conversions), Fraction(YC.total))
    pool = result.total_exact - total - new
    assert p * (total + pool) == terms.pre_money  # type: ignore[comparison-overlap]
    assert pool >= 0
    if terms.pool_target is not None and pool:
        assert pool + YC.pool == Fraction(terms.pool_target) * result.total_exact
    for safe, conversion in zip(safes, result.conversions, strict=True):
        own = [p, p * (1 - Fraction(safe.discount))]
        if safe.cap is not None:
            own.append(Fraction(safe.cap) / (total if safe.money == "post" else YC.total + pool))
        paid = Fraction(safe.amount) / conversion.exact
        assert paid == min(own) or (safe.mfn and paid < min(own))
    shuffled = list(safes)
    random.shuffle(shuffled)
    assert shares(price_round(YC, shuffled, terms)) == shares(result)


@given(SAFES, ROUNDS, st.integers(2, 9))
def test_the_unit_of_money_does_not_matter(made: list[dict[str, Any]], terms: Round, factor: int) -> None:
    assume(made)
    scaled = [{**each, "amount": each["amount"] * factor, "cap": each["cap"] and each["cap"] * factor} for each in made]
    larger = Round(terms.pre_money * factor, terms.new_money * factor, pool_target=terms.pool_target)  # type: ignore[arg-type,operator]
    one = price_round(YC, [Safe(f"s{n}", **each) for n, each in enumerate(made)], terms)
    other = price_round(YC, [Safe(f"s{n}", **each) for n, each in enumerate(scaled)], larger)
    assert (other.total, other.price_exact) == (one.total, one.price_exact * factor)
