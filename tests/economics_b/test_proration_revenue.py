"""Shares of time, day counts, changes in a period, credit notes and revenue recognition."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics.invoice import Customer, Invoice, invoice
from breakeven.economics.money import Money
from breakeven.economics.plans import Plan
from breakeven.economics.proration import Period, change, days_30_360, moment, simple_interest, years
from breakeven.economics.revenue import adjustment, credit_note, deferred, recognise
from breakeven.errors import UsageError

APRIL = Period.month(2026, 4)


def usd(amount: str | int) -> Money:
    return Money.of(amount, "USD")


def test_an_upgrade_at_half_the_period() -> None:
    """Published proration example (subscription billing): $10 to $20 at half the period is -5 and +10."""
    found = change(usd(10), usd(20), APRIL.start + timedelta(days=15), APRIL)
    assert (found.credit, found.charge, found.due) == (usd(-5), usd(10), usd(5))


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ((2026, 1, 1), (2026, 2, 1), 30),
        ((2026, 1, 31), (2026, 2, 28), 28),
        ((2026, 1, 30), (2026, 3, 31), 60),
        ((2026, 1, 15), (2026, 3, 31), 76),
        ((2026, 1, 1), (2026, 7, 1), 180),
    ],
)
def test_30_360(start: tuple[int, int, int], end: tuple[int, int, int], days: int) -> None:
    assert days_30_360(date(*start), date(*end)) == days


def test_interest_depends_on_the_day_count() -> None:
    """Published note examples: 73 days ACT/365 on $500k at 5% are $5,000; 180 days 30/360 are $12,500."""
    start = date(2026, 1, 1)
    assert simple_interest(500_000, "0.05", start, start + timedelta(days=73)) == 5_000
    assert simple_interest(500_000, "0.05", start, date(2026, 7, 1), count="30/360") == 12_500
    assert simple_interest(500_000, "0.05", start, date(2027, 1, 1)) == 25_000
    assert years(start, start + timedelta(days=36), "ACT/360") == Fraction(1, 10)


def test_actual_actual_weighs_each_year_by_its_length() -> None:
    assert years(date(2023, 12, 31), date(2024, 12, 31), "ACT/ACT") == Fraction(1, 365) + Fraction(365, 366)
    assert years(date(2024, 1, 1), date(2026, 1, 1), "ACT/ACT") == 2


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: years(date(2026, 1, 2), date(2026, 1, 1)), "dates in order"),
        (lambda: Period(APRIL.end, APRIL.start), "no length"),
        (lambda: Period(datetime(2026, 1, 1), APRIL.end), "time zone"),
        (lambda: moment("noon"), "no moment in time"),
        (lambda: Period.month(2026, 13), "a month from 1 to 12"),
        (lambda: Period.month(9999, 12), "of a year"),
        (lambda: recognise(usd(1), date(2026, 1, 2), date(2026, 1, 1)), "dates in order"),
    ],
)
def test_times_that_cannot_be_meant(work: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        work()


def test_summer_time_is_counted_as_it_passed() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    march, october = (Period.month(2026, month, berlin) for month in (3, 10))
    first = Period(march.start, datetime(2026, 3, 16, tzinfo=berlin))
    assert march.share(first) == Fraction(15 * 24, 743)
    assert march.share(first, "days") == Fraction(15, 31)
    twice = [datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1)]
    assert october.share(Period(*twice)) == Fraction(1, 745)
    assert twice[1] in Period(twice[0], october.end)
    assert october.overlap(twice[1], None) == Period(twice[1], october.end)


def test_periods_and_shares() -> None:
    assert Period.month(2026, 12).end == datetime(2027, 1, 1, tzinfo=UTC)
    assert APRIL.share(APRIL.overlap(None, APRIL.start)) == 0
    hours = Period(APRIL.start, APRIL.start + timedelta(hours=6))
    assert hours.share(hours, "days") == 1
    assert APRIL.as_json()["start"] == "2026-04-01T00:00:00+00:00"


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 29))
def test_a_change_never_costs_more_than_a_whole_period(before: int, after: int, day: int) -> None:
    found = change(Money(before, "USD"), Money(after, "USD"), APRIL.start + timedelta(days=day), APRIL)
    assert -before <= found.credit.minor <= 0 <= found.charge.minor <= after


def test_revenue_is_earned_by_days() -> None:
    """Published revenue recognition examples: $31 from 15 January is 17 and 14; $365 a year 31, 28, ..."""
    assert list(recognise(usd(31), date(2026, 1, 15), date(2026, 2, 14)).values()) == [usd(17), usd(14)]
    year = recognise(usd(365), date(2026, 1, 1), date(2026, 12, 31))
    assert [amount.amount for amount in year.values()] == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    assert deferred(year, (2026, 11)) == usd(31)
    even = recognise(usd(120), date(2026, 1, 1), date(2026, 12, 31), by="30/360")
    assert set(even.values()) == {usd(10)}


@given(st.integers(-(10**7), 10**7), st.integers(0, 3000))
def test_recognised_revenue_adds_up(minor: int, days: int) -> None:
    schedule = recognise(Money(minor, "USD"), date(2024, 1, 17), date(2024, 1, 17) + timedelta(days=days))
    assert sum(amount.minor for amount in schedule.values()) == minor


def billed(units: int = 7) -> Invoice:
    plan = Plan.model_validate({"per_answer": "3.335", "taxes": [{"rate": "0.22"}], "coupons": [{"amount": 3}]})
    return invoice([(APRIL.start, "a", "answers", units)], plan, Customer("c"), APRIL)


def test_a_whole_credit_note_mirrors_the_invoice() -> None:
    document = billed()
    note = credit_note(document)
    assert note.total == -document.total
    assert note.as_json()["total"]["minor"] == -document.total.minor
    assert [line["amount"] for line in note.as_json()["taxes"]] == [str((-document.tax).amount)]


@given(st.integers(1, 12))
def test_partial_notes_together_mirror_the_invoice(parts: int) -> None:
    document, notes = billed(), []  # type: ignore[var-annotated]
    for _ in range(parts):
        notes.append(credit_note(document, Fraction(1, parts), earlier=notes))
    assert sum(note.total.minor for note in notes) == -document.total.minor


@pytest.mark.parametrize("share", [0, "1.1", -1])
def test_a_share_that_is_none(share: Any) -> None:
    with pytest.raises(UsageError, match="at most 1"):
        credit_note(billed(), share)


def test_notes_never_give_back_more_than_was_billed() -> None:
    with pytest.raises(UsageError, match="more than was billed for 'answers'"):
        credit_note(billed(), "0.6", earlier=[credit_note(billed(), "0.5")])


def test_a_corrected_invoice_is_a_difference() -> None:
    found = adjustment(billed(7), billed(8))
    assert found["total"] == found["subtotal"] + found["tax"] == billed(8).total - billed(7).total
    other = invoice([], Plan(), Customer("d"), APRIL)
    with pytest.raises(UsageError, match="same customer"):
        adjustment(billed(), other)
