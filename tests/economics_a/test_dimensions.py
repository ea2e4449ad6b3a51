import pytest

from breakeven.economics.dimensions import Unit, check, product, total
from breakeven.economics.plan import BusinessPlan
from breakeven.quantity import Quantity


def test_a_price_per_request_times_months_is_an_error():
    price = Quantity(0.004, "USD/request", "declared")
    with pytest.raises(ValueError, match="units that multiply to USD, not USD/request times months"):
        product(price, Quantity(12, "months", "declared"), unit="USD")


def test_products_carry_units_intervals_and_the_weakest_origin():
    price = Quantity(4.0, "USD/1000 answers", "declared", 3.0, 5.0)
    made = product(price, Quantity(50_000, "answers/month", "assumed"), unit="USD/month")
    assert (made.value, made.low, made.high, made.unit, made.origin) == (200.0, 150.0, 250.0, "USD/month", "assumed")


def test_sums_are_of_one_unit():
    one, other = Quantity(1.0, "USD/month", "declared"), Quantity(2.0, "USD/month", "assumed")
    assert total([one, other]) == Quantity(3.0, "USD/month", "assumed")
    assert total({"rent": one}).value == 1.0
    with pytest.raises(ValueError, match="quantities of one unit, not USD/month, USD/year"):
        total([one, Quantity(2.0, "USD/year", "declared")])
    with pytest.raises(ValueError, match="not none"):
        total([])


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("USD per answer", "USD/request"),
        ("USD / 1,000 answers", "USD/1000 answers"),
        ("answers/s", "answers per second"),
        ("%", "0.01"),
        ("kg m / m", "kg"),
    ],
)
def test_the_same_unit_in_other_words(text, same):
    assert Unit.parse(text) == Unit.parse(same)


def test_units_that_are_none():
    with pytest.raises(ValueError, match="not '\\$'"):
        Unit.parse("$/answer")


def test_declared_units_are_checked_against_the_field_and_the_currency():
    check("CNY/answer", "money/answer", currency="CNY")
    with pytest.raises(ValueError, match="CNY/answer, not USD/answer: one plan has one currency"):
        check("USD/answer", "money/answer", currency="CNY")
    made = BusinessPlan.model_validate({
        "price": {"per_answer": {"value": 0.01, "unit": "USD per answer"}},
        "cash": {"value": 5, "unit": "USD", "source": "bank", "as_of": "2026-01-01"},
        "tax": {"rate": {"value": 0.2, "unit": "share"}},
    })  # fmt: skip
    assert made.price.per_answer.unit == "USD per answer"
