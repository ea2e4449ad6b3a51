"""The cap table's event log and vesting: what happened gives who holds what, and shares are conserved."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breakeven.economics.cap_events import (
    AddClass,
    Cancel,
    Exercise,
    Grant,
    Issue,
    IssueConvertible,
    PricedRound,
    Promise,
    ReservePool,
    Split,
    StockClass,
    Transfer,
)
from breakeven.economics.captable import CapTable
from breakeven.economics.money import whole
from breakeven.economics.rounds import Capitalization, Round, ShareRounding
from breakeven.economics.securities import Note, Safe
from breakeven.economics.vesting import Vesting, add_months, allocate
from breakeven.errors import UsageError

DAY = date(2024, 1, 1)
LATER = date(2025, 1, 1)
FOUR = ShareRounding(4)
START = CapTable().add(
    Issue(DAY, "f", "founders", "common", 9_250_000, "0.0001"),
    ReservePool(DAY, 750_000),
    Grant(DAY, "o", "staff", 300_000),
    Promise(DAY, "p", "hires", 350_000),
    IssueConvertible(DAY, Safe("A", 200_000, cap=4_000_000, holder="angel")),
    IssueConvertible(DAY, Safe("B", 800_000, cap=8_000_000, holder="fund", pro_rata=True)),
)
SERIES_A = PricedRound(
    LATER,
    Round(15_000_000, 5_000_000, pool_increase=1_695_000, rounding=FOUR, pro_rata="inside"),
    StockClass("A", preferred=True),
    {"lead": 3, "fund": 1},
)


@pytest.mark.parametrize(
    ("allocation", "tranches"),
    [
        ("CUMULATIVE_ROUNDING", [5, 4, 5, 4]),
        ("CUMULATIVE_ROUND_DOWN", [4, 5, 4, 5]),
        ("FRONT_LOADED", [5, 5, 4, 4]),
        ("BACK_LOADED", [4, 4, 5, 5]),
        ("FRONT_LOADED_TO_SINGLE_TRANCHE", [6, 4, 4, 4]),
        ("BACK_LOADED_TO_SINGLE_TRANCHE", [4, 4, 4, 6]),
        ("FRACTIONAL", [Fraction(9, 2)] * 4),
    ],
)
def test_allocation_of_eighteen_shares(allocation: Any, tranches: list[Any]) -> None:
    """Open Cap Format, AllocationType: 18 shares over 4 tranches; half up, where Python's round() gives 4-5-5-4."""
    assert allocate(18, [1] * 4, allocation) == tranches


@given(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any),
    st.sampled_from(
        ["CUMULATIVE_ROUNDING", "CUMULATIVE_ROUND_DOWN", "FRONT_LOADED", "BACK_LOADED", "BACK_LOADED_TO_SINGLE_TRANCHE"]
    ),
)
def test_every_share_vests_once(shares: int, portions: list[int], allocation: Any) -> None:
    tranches = allocate(shares, portions, allocation)
    assert sum(tranches) == shares
    assert all(tranche >= 0 and tranche.denominator == 1 for tranche in tranches)


def test_a_cliff_gathers_what_lies_before_it() -> None:
    vesting = Vesting(date(2024, 1, 31))
    assert vesting.schedule(48)[0] == (date(2025, 1, 31), 12)
    assert len(vesting.schedule(48)) == 37
    days = (date(2025, 1, 30), date(2025, 1, 31), date(2025, 2, 28), date(2028, 1, 31))
    assert [vesting.vested(48, day) for day in days] == [0, 12, 13, 48]
    assert vesting.vested(48, DAY, accelerated="0.5") == 24
    assert add_months(DAY, 1, day_of_month=31) == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: allocate(1, [], "FRONT_LOADED"), "portions of 0 or more"),
        (lambda: allocate(-1, [1], "FRONT_LOADED"), "shares"),
        (lambda: allocate(1, [2, -1], "FRONT_LOADED"), "not all 0"),
        (lambda: Vesting(DAY, months=10, every=3), "multiple of the step"),
        (lambda: Vesting(DAY, cliff=49), "cliff within"),
        (lambda: Vesting(DAY, every=0), "multiple"),
    ],
)
def test_vesting_that_cannot_be(work: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        work()


def test_the_table_before_a_round() -> None:
    state = START.state()
    assert state.capitalization == Capitalization(9_250_000, 300_000, 350_000, 100_000)
    assert state.raised == 1_000_000 + 925
    assert state.exit(10_000_000, DAY).of("angel") == 500_000
    assert START.state(date(2023, 1, 1)).pool == 0
    assert START.state(DAY).pool == 100_000


def test_a_round_turns_everything_into_shares() -> None:
    """YC post-money SAFE user guide, example 1, as events."""
    state = START.add(SERIES_A).state()
    rows = state.by_holder()
    assert sum(rows.values()) == state.rounds[0].total == 17_946_424
    assert (rows["founders"], rows["angel"], rows["pool"]) == (9_250_000, 588_235, 1_795_000)
    assert rows["fund"] == 1_176_470 + 448_671 + 1_009_512
    assert rows["lead"] == 4_486_719 - 448_671 - 1_009_512
    assert state.convertibles == {}
    assert state.raised == 1_000_925 + 4_486_719 * Fraction("1.1144")


def test_safe_preferred_keeps_its_own_preference() -> None:
    exit_ = START.add(SERIES_A).state().exit(5_500_000, LATER)
    assert abs(exit_.of("angel") - 200_000 * Fraction(5_500_000, 6_000_000)) < 100
    assert exit_.of("founders") == 0
    assert sum(amount for _, amount in exit_.payouts) == 5_500_000


def test_options_vest_are_exercised_and_lapse() -> None:
    vesting = Vesting(DAY, months=48, cliff=12)
    table = CapTable().add(
        Issue(DAY, "f", "founders", "common", 1000),
        ReservePool(DAY, 100),
        Grant(DAY, "g", "staff", 48, "2.5", vesting),
        Exercise(LATER, "x", "g", 5),
    )
    state = table.state()
    assert (state.holdings["x"].shares, state.grants["g"].shares, state.raised) == (5, 43, Fraction("12.5"))
    assert state.grants["g"].vested(LATER) == 7
    assert state.exit(1_000_000, LATER).of("staff") < state.exit(1_000_000, LATER, unvested="vest").of("staff")
    with pytest.raises(UsageError, match="at most 7"):
        table.add(Exercise(LATER, "y", "g", 8))
    lapsed = table.add(Cancel(LATER, "g", 36), Exercise(LATER, "y", "g", 7)).state()
    assert (lapsed.pool, lapsed.grants["g"].shares) == (52 + 36, 0)
    assert table.add(Cancel(LATER, "g")).state().pool == 52 + 43


def test_promises_are_granted_or_lapse() -> None:
    table = START.add(Grant(DAY, "g", "hires", 50_000, promise="p"))
    assert table.state().capitalization == Capitalization(9_250_000, 350_000, 300_000, 100_000)
    assert table.add(Cancel(DAY, "p")).state().pool == 400_000
    assert "p" not in START.add(Grant(DAY, "g", "hires", 350_000, promise="p")).state().promises


def test_shares_change_hands_and_are_bought_back() -> None:
    state = START.add(Transfer(DAY, "t", "f", "heir", 250_000), Cancel(DAY, "t", 50_000)).state()
    assert (state.by_holder()["heir"], state.by_holder()["founders"]) == (200_000, 9_000_000)
    assert "f" not in START.add(Cancel(DAY, "f")).state().holdings


def test_a_security_for_a_security_raises_no_cash() -> None:
    table = START.add(
        IssueConvertible(DAY, Safe("q", 9), raises=False), Issue(DAY, "r", "x", "common", 5, 1, raises=False)
    )
    assert table.state().raised == START.state().raised


def test_a_split_multiplies_everything() -> None:
    table = START.add(Grant(DAY, "s", "late", 100, "1.5"), Split(DAY, 3))
    state = table.state()
    assert state.capitalization.total == 30_000_000
    assert (state.grants["s"].strike, state.promises["p"].shares, state.holdings["f"].price) == (
        Fraction(1, 2),
        1_050_000,
        Fraction(1, 30_000),
    )
    assert START.add(Split(DAY, 3)).state().exit(10_000_000, DAY).of("angel") == 500_000


def test_a_convertible_may_be_repaid_and_a_note_comes_first() -> None:
    note = Note("n", 100_000, DAY, date(2026, 1, 1), rate="0.1", holder="bank")
    table = START.add(IssueConvertible(DAY, note), IssueConvertible(DAY, Safe("u", 50_000, holder="aunt")))
    assert table.state().exit(100_000, date(2024, 12, 31)).of("bank") == 100_000
    assert table.state().exit(5_000_000, date(2024, 12, 31)).of("bank") == 110_000
    assert table.state().exit(5_000_000, LATER).of("aunt") == 50_000
    assert "n" not in table.add(Cancel(DAY, "n")).state().convertibles
    assert table.state().convertibles["u"].issued == DAY  # type: ignore[union-attr]
    dated = START.add(IssueConvertible(LATER, Safe("w", 1, issued=DAY)))
    assert dated.state().convertibles["w"].issued == DAY  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("protection", "ratio"),
    [
        ("broad", Fraction(2) / (2 * Fraction(29, 34))),
        ("narrow", Fraction(2) / (2 * Fraction(13, 18))),
        ("full_ratchet", Fraction(2)),
        ("none", Fraction(1)),
    ],
)
def test_a_cheaper_round_lowers_protected_conversion_prices(protection: Any, ratio: Fraction) -> None:
    """Published anti-dilution example, as events: 8M common and 4M A at $2, then 5M at $1."""
    table = CapTable().add(
        Issue(DAY, "f", "founders", "common", 8_000_000),
        AddClass(DAY, StockClass("A", True, protection=protection)),
        Issue(DAY, "a", "lead", "A", 4_000_000, 2),
        PricedRound(LATER, Round(12_000_000, 5_000_000), StockClass("B", True, seniority=1), {"next": 1}),
    )
    state = table.state()
    assert state.rounds[0].price == 1
    assert state.holdings["a"].ratio == ratio
    assert state.by_holder()["lead"] == 4_000_000 * ratio
    assert state.exit(6_000_000, LATER).of("next") == 5_000_000


def test_a_round_without_new_money_converts_and_protects_nobody() -> None:
    table = CapTable().add(
        Issue(DAY, "f", "founders", "common", 800),
        AddClass(DAY, StockClass("S", True, protection="broad")),
        Issue(DAY, "s", "seed", "S", 200, 2),
        IssueConvertible(DAY, Safe("A", 100)),
        PricedRound(LATER, Round(1000, 0), StockClass("A", True, participates=True, participation_cap=3), {"n": 1}),
    )
    assert table.state().by_holder()["A"] == 111
    assert table.state().holdings["s"].ratio == 1
    assert table.state().exit(10_000, LATER).of("A") > 300


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Issue(DAY, "f", "x", "common", 1), "used twice: f"),
        (Issue(DAY, "x", "x", "Z", 1), "no 'Z'"),
        (Issue(DAY, "x", "x", "common", 0), "whole number above 0"),
        (Issue(DAY, "x", "x", "common", 1.5), "whole number"),  # type: ignore[arg-type]
        (AddClass(DAY, StockClass("common")), "used twice: common"),
        (ReservePool(DAY, -100_001), "from a pool of 100000"),
        (Grant(DAY, "x", "x", 100_001), "100001 shares are wanted"),
        (Grant(DAY, "x", "x", 9, promise="q"), "no 'q'"),
        (Promise(DAY, "x", "x", -1), "whole number"),
        (Cancel(DAY, "q"), "no 'q'"),
        (Cancel(DAY, "o", 300_001), "at most 300000"),
        (Transfer(DAY, "x", "f", "y", 9_250_001), "at most 9250000"),
        (Exercise(DAY, "x", "o", 300_001), "at most 300000"),
        (Split(DAY, 0), "whole number above 0"),
        (IssueConvertible(DAY, Safe("A", 1)), "used twice: A"),
        (Issue(date(2023, 1, 1), "x", "x", "common", 1), "in the order of their dates"),
        (PricedRound(LATER, Round(9_000_000, 1), StockClass("A"), {"x": 0}), "weights of 0 or more"),
    ],
)
def test_events_that_cannot_have_happened(event: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        START.add(event)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.sampled_from(["issue", "grant", "promise", "safe", "cancel", "round"]), st.integers(1, 90_000)),
        max_size=12,
    )
)
def test_shares_are_conserved_by_any_history(history: list[tuple[str, int]]) -> None:
    table = START
    for number, (kind, size) in enumerate(history):
        name = f"x{number}"
        before = table.state()
        if kind == "issue":
            table = table.add(Issue(LATER, name, "h", "common", size, 1))
            assert table.state().capitalization.total == before.capitalization.total + size
        elif kind in ("grant", "promise") and size <= before.pool:
            table = table.add((Grant if kind == "grant" else Promise)(LATER, name, "h", size))
            assert table.state().capitalization.total == before.capitalization.total
        elif kind == "safe":
            table = table.add(IssueConvertible(LATER, Safe(name, size, cap=9_000_000, holder=name)))
        elif kind == "cancel":
            table = table.add(Cancel(LATER, "o")) if before.grants["o"].shares else table
            assert table.state().capitalization.total == before.capitalization.total
        elif kind == "round":
            terms = Round(20_000_000, 10 * size, pool_target="0.05", rounding=FOUR, pro_rata="inside")
            table = table.add(PricedRound(LATER, terms, StockClass(name, True), {"vc": 2, "w": 1}))
        state = table.state()
        assert whole(sum(state.by_holder().values())) == state.capitalization.total
        if kind == "round":
            assert state.rounds[-1].total == state.capitalization.total
    assert sum(amount for _, amount in table.state().exit(7_654_321, LATER).payouts) == 7_654_321
