"""Exact money: no float enters, currencies do not mix, rounding is stated, parts add up to the whole."""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Decimal,
)
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from breakeven.economics.money import (
    EXPONENTS,
    Amount,
    Currency,
    InexactNumber,
    Money,
    Share,
    decimals,
    exact,
    exactly,
    fraction,
    plain,
    to_places,
    total_of,
    whole,
)
from breakeven.errors import BreakevenError, UsageError

MODES = {
    "half_up": ROUND_HALF_UP,
    "half_even": ROUND_HALF_EVEN,
    "half_down": ROUND_HALF_DOWN,
    "up": ROUND_UP,
    "down": ROUND_DOWN,
    "ceiling": ROUND_CEILING,
    "floor": ROUND_FLOOR,
}


@pytest.mark.parametrize("bad", [0.1, 1.0, float("nan")])
def test_a_float_is_a_type_error_of_ours(bad: float) -> None:
    with pytest.raises(InexactNumber, match="not exact") as caught:
        Money.of(bad, "USD")  # type: ignore[arg-type]
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, BreakevenError)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (True, "no exact number"),
        (None, "no exact number"),
        ("ten", "no exact number"),
        ("NaN", "finite"),
        (Decimal("Infinity"), "finite"),
        ("1e99", "too long"),
        ("1" * 41, "too long"),
        ("1e-99", "too long"),
    ],
)
def test_what_is_no_number_is_refused(bad: object, said: str) -> None:
    with pytest.raises(InexactNumber, match=said):
        exact(bad, field="price")


def test_minor_units_follow_iso_4217() -> None:
    assert (EXPONENTS["JPY"], EXPONENTS["USD"], EXPONENTS["KWD"], EXPONENTS["CLF"]) == (0, 2, 3, 4)
    assert Money.of("1.005", "USD").minor == 101
    assert Money.of("-1.005", "USD").minor == -101
    assert str(Money.of("1.5", "KWD")) == "1.500 KWD"
    assert str(Money.of("1234.5", "JPY")) == "1235 JPY"
    assert Money(150, "USD").as_json() == {"amount": "1.50", "minor": 150, "currency": "USD"}
    assert len(EXPONENTS) > 160


def test_an_unknown_currency_is_refused() -> None:
    with pytest.raises(UsageError, match="ISO 4217"):
        Money(1, "usd")
    with pytest.raises(UsageError, match="ISO 4217"):
        Money(1, [])  # type: ignore[arg-type]


def test_currencies_and_other_things_do_not_mix() -> None:
    with pytest.raises(UsageError, match="USD and EUR are mixed"):
        Money(1, "USD") + Money(1, "EUR")
    with pytest.raises(InexactNumber, match="no amount of money"):
        Money(1, "USD") - 1  # type: ignore[operator]
    with pytest.raises(InexactNumber, match="minor units"):
        Money(1.5, "USD")  # type: ignore[arg-type]


def test_arithmetic_and_order() -> None:
    a, b = Money(100, "USD"), Money(33, "USD")
    assert (a + b, a - b, -b) == (Money(133, "USD"), Money(67, "USD"), Money(-33, "USD"))
    assert b < a
    assert a >= b
    assert bool(a)
    assert not Money(0, "USD")
    assert a.times(Fraction(1, 3)) == b
    assert a.times("0.335", "down") == b
    assert total_of([a, b], "USD") == Money(133, "USD")
    assert total_of([], "EUR") == Money(0, "EUR")


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(0, 1000), min_size=1, max_size=9).filter(any))
def test_parts_add_up_to_the_whole(minor: int, weights: list[int]) -> None:
    parts = Money(minor, "USD").split(weights)
    assert sum(part.minor for part in parts) == minor
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part.minor - Fraction(minor * weight, sum(weights))) <= 1


@pytest.mark.parametrize("weights", [[0, 0], [2, -1], []])
def test_weights_that_cannot_split(weights: list[int]) -> None:
    with pytest.raises(UsageError, match="cannot be split"):
        Money(1, "USD").split(weights)


@given(st.decimals(-1000, 1000, places=3), st.sampled_from(sorted(MODES)))
def test_rounding_agrees_with_decimal(number: Decimal, mode: str) -> None:
    want = int(number.to_integral_value(rounding=MODES[mode]))
    assert whole(number, mode) == want  # type: ignore[arg-type]
    assert whole(Fraction(number), mode) == want  # type: ignore[arg-type]
    assert to_places(number * 10, -1, mode) == want * 10  # type: ignore[arg-type]


def test_whole_numbers_and_no_places_stay() -> None:
    assert whole(7) == 7
    assert to_places(Fraction(1, 3), None) == Fraction(1, 3)


def test_arithmetic_within_a_document_is_exact_or_an_error() -> None:
    with exactly():
        assert Decimal(10) ** 60 + Decimal("1e-60") > Decimal(10) ** 60
        with pytest.raises(ArithmeticError):
            Decimal(1) / Decimal(3)


def test_plain_text_of_numbers() -> None:
    numbers = (Decimal("1E+3"), Decimal("0.0040"), Decimal("-0.0"), 5, Fraction(1, 3), Fraction(1, 8))
    assert [plain(number) for number in numbers] == ["1000", "0.004", "0", "5", "1/3", "0.125"]
    assert fraction("0.5") == Fraction(1, 2)
    assert decimals(Decimal("1.500")) == 1
    assert decimals(Decimal(1000)) == 0


class _Settings(BaseModel):
    price: Amount = Decimal(0)
    rate: Share = Decimal(0)
    currency: Currency = "USD"


def test_settings_take_a_float_as_the_text_it_was_read_from() -> None:
    assert _Settings(price=0.004).price == Decimal("0.004")  # type: ignore[arg-type]
    assert _Settings(price=1e-7).price == Decimal("0.0000001")  # type: ignore[arg-type]
    assert _Settings(rate=1).rate == 1  # type: ignore[arg-type]
    assert _Settings(rate="0.5", currency="JPY").rate == Decimal("0.5")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "bad", "said"),
    [
        ("price", -1, "0 or more"),
        ("price", "0.0000000000001", "at most 12 decimals"),
        ("price", float("nan"), "finite"),
        ("price", "cheap", "finite decimal number"),
        ("price", 0.1234567890123456, "in quotes"),
        ("rate", 13, "between 0 and 1"),
        ("currency", "BTC", "ISO 4217"),
    ],
)
def test_settings_that_cannot_be_meant(field: str, bad: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        _Settings(**{field: bad})  # type: ignore[arg-type]
