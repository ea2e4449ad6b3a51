"""Numbers as readers see them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.quantity import Quantity
from breakeven.report import numbers


def held(value: float, unit: str = "ms", origin: str = "measured", low: float | None = None, high: float | None = None):
    return Quantity(value, unit, origin, low, high)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quantity", "shown"),
    [
        (held(0.78412, "macro_f1", low=0.7671, high=0.8011), "0.784 [0.767, 0.801] macro f1"),
        (held(1.1712, "USD/1000 answers", low=1.1402, high=1.2021), "$1.17 [1.14, 1.20] per 1,000 answers"),
        (held(-3.41, "EUR/month", low=-3.9, high=-3.0), "-€3.41 [-3.90, -3.00] per month"),
        (held(12345.6, "ms", low=11000.0, high=13500.0), "12,300 [11,000, 13,500] ms"),
        (held(60_000, "answers/month", "declared"), "60,000 answers per month"),
        (held(0.004, "USD", "declared"), "$0.004"),
        (held(0.2, "USD", "declared"), "$0.20"),
        (held(0.1 + 0.2, "CHF", "declared"), "CHF 0.30"),
        (held(3, "answers", low=2, high=5), "3 [2, 5] answers"),
        (held(4.25, "ms", low=None, high=5.0), "4.25 [.., 5.00] ms"),
        (held(-12.1, "USD", low=-19.3, high=-4.6), "-$12.10 [-19.30, -4.60]"),
        (held(60.3, "ms", low=1.249, high=2840.0), "60 [1.2, 2,800] ms"),
        (held(math.nan, "ms"), "n/a ms"),
        (held(math.inf, "USD"), "$∞"),
    ],
)
def test_a_quantity_in_full(quantity, shown):
    assert numbers.full(quantity) == shown


def test_a_number_computed_of_declared_ones_is_not_a_declared_one():
    computed = Quantity(0.000189114099, "USD", "declared", inputs={"price": "declared", "capacity": "measured"})
    assert numbers.amount(computed) == "$0.000189"


def test_what_nobody_knows_is_not_zero():
    assert numbers.full(None) == numbers.amount(None) == numbers.count(None) == numbers.percent(None) == "n/a"
    assert numbers.bounds(None) is None
    assert numbers.bounds(held(1.0)) is None


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0%"), (0.004, "<1%"), (0.97, "97%"), (0.9951, ">99%"), (1.0, "100%"), (math.nan, "n/a")],
)
def test_a_share_is_never_rounded_to_certainty(share, shown):
    assert numbers.percent(share) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0123, "12 ms"),
        (12.34, "12.3 s"),
        (59.96, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (None, "n/a"),
    ],
)
def test_durations(seconds, shown):
    assert numbers.duration(seconds) == shown


@pytest.mark.parametrize(("octets", "shown"), [(812, "812 B"), (1_234_567, "1.2 MB"), (None, "n/a")])
def test_sizes(octets, shown):
    assert numbers.size(octets) == shown


def test_a_rounded_zero_has_no_sign():
    assert numbers.plain(-0.0001, 2) == "0.00"
    assert numbers.plain(-1234.5) == "-1,234"


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False),
    st.floats(1e-6, 1e6),
    st.sampled_from(["ms", "USD/1000 answers", "share"]),
)
def test_the_last_digit_is_small_against_the_interval(value, width, unit):
    quantity = held(value, unit, low=value - width / 2, high=value + width / 2)
    shown = numbers.bounds(quantity)
    if unit.startswith("USD") and value and abs(value) + width / 2 < numbers.LEAST_MONEY:
        assert (shown, numbers.amount(quantity)) == (None, "< $0.00001" if value > 0 else "> -$0.00001")
        return
    assert shown is not None
    low, high = (float(part.replace(",", "")) for part in re.split(r", (?=-?\d)", shown.strip("[]"), maxsplit=1))
    assert low <= high
    assert abs(low - quantity.low) <= width / 10 + 1e-9 * abs(value) + 1e-12
    assert abs(high - quantity.high) <= width / 10 + 1e-9 * abs(value) + 1e-12


@given(st.integers(-(10**9), 10**9))
def test_whole_declared_numbers_keep_every_digit(value):
    assert int(numbers.amount(held(float(value), "rows", "declared")).replace(",", "")) == value


@given(st.decimals(min_value=0, max_value=1000, places=12))
def test_declared_prices_keep_twelve_decimals(value):
    shown = numbers.amount(held(float(value), "", "declared")).replace(",", "")
    assert math.isclose(float(shown), float(value), rel_tol=1e-9, abs_tol=1e-12)


def test_money_that_nobody_can_count_is_said_without_digits():
    tiny = held(4.6e-7, "USD/1000 answers", low=2.2e-7, high=1.1e-6)
    assert numbers.full(tiny) == "< $0.00001 per 1,000 answers"
    assert numbers.full(held(4.6e-7, "USD/answer", low=2.2e-7, high=1.1e-6)).startswith("$0.00000046 [0.00000022")
    assert numbers.amount(held(4.6e-7, "USD/1000 answers", "declared")) == "$0.00000046"
    assert numbers.amount(held(0.0, "USD/1000 answers")) == "$0"
    assert numbers.amount(held(-4.6e-7, "USD/1000 answers")) == "> -$0.00001"
