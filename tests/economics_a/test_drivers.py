import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from breakeven.economics import draws
from breakeven.economics.drivers import Amount, Count, CountEach, Driver, Growth, Rate, from_quantity
from breakeven.economics.forms import AMOUNT, COUNT, COUNT_EACH, GROWTH, NUMBER, PRICE, RATE, Range
from breakeven.quantity import Quantity

FORMS = [
    ({"low": 2, "mode": 5, "high": 12}, COUNT, "beta"),
    ({"low": 1, "high": 2}, AMOUNT, "uniform"),
    ({"mean": 5, "sd": 2}, NUMBER, "normal"),
    ({"mean": 5, "sd": 2}, AMOUNT, "lognormal"),
    ({"mean": 0.04, "sd": 0.015}, RATE, "beta"),
    ({"mean": 0.1, "sd": 0.3}, GROWTH, "lognormal"),
    ({"median": 20000, "p90": 80000}, COUNT_EACH, "lognormal"),
    ({"p10": 1, "p90": 9, "shape": "lognormal"}, AMOUNT, "lognormal"),
    ({"p10": -1, "p90": 9, "shape": "normal"}, NUMBER, "normal"),
    ({"beta": [2, 3]}, RATE, "beta"),
    ({"values": [3, 1, 9], "weights": [0.2, 0.3, 0.5]}, AMOUNT, "values"),
    ({"values": [3, 1, 8]}, AMOUNT, "values"),
]


@pytest.mark.parametrize(("declared", "limits", "family"), FORMS)
def test_every_form_draws_with_its_own_mean_and_spread(declared, limits, family):
    driver = Driver.parse(declared, limits)
    assert (driver.family, driver.origin) == (family, "assumed")
    z = np.random.default_rng(1).standard_normal(400_000)
    drawn = driver.from_normal(z)
    assert drawn.mean() == pytest.approx(driver.mean, rel=0.02)
    assert drawn.std() == pytest.approx(driver.sd, rel=0.05)
    low, high = driver.support
    assert low <= drawn.min() <= drawn.max() <= high
    assert np.all(np.diff(driver.from_normal(np.linspace(-4, 4, 101))) >= 0.0)


@pytest.mark.parametrize(
    "declared",
    [
        {"low": 3, "mode": 3, "high": 3},
        {"low": 3, "high": 3},
        {"mean": 3, "sd": 0},
        {"median": 3, "p90": 3},
        {"p10": 3, "p90": 3, "shape": "normal"},
        {"value": 3},
        3,
        Decimal("3"),
    ],
)
def test_forms_without_spread_are_certain(declared):
    driver = Driver.parse(declared, AMOUNT)
    assert driver.certain and driver.mean == 3.0 and driver.sd == 0.0 and driver.support == (3.0, 3.0)
    assert np.array_equal(driver.from_normal(np.zeros(2)), [3.0, 3.0])


def test_quantiles_are_what_was_declared():
    assert Driver.parse({"median": 20000, "p90": 80000}, COUNT).quantile(0.9) == pytest.approx(80000)
    deciles = Driver.parse({"p10": 2, "p90": 8, "shape": "lognormal"}, AMOUNT)
    assert [deciles.quantile(0.1), deciles.quantile(0.9)] == pytest.approx([2, 8])


def test_each_defaults_to_customer_for_fields_named_each():
    assert Driver.parse({"median": 2, "p90": 8}, COUNT_EACH).each == "customer"
    assert Driver.parse({"median": 2, "p90": 8}, COUNT).each == "once"
    assert Driver.parse({"median": 2, "p90": 8, "each": "month"}, COUNT_EACH).each == "month"


def test_a_source_with_its_date_makes_a_number_quoted():
    driver = Driver.parse({"value": 0.096, "source": "list price", "as_of": "2026-01-05", "unit": "USD/h"}, AMOUNT)
    assert driver.origin == "quoted"
    assert driver.quantity().as_json()["source"] == "list price"
    assert driver.quantity("EUR/h").unit == "EUR/h"


@pytest.mark.parametrize(
    ("declared", "limits", "message"),
    [
        (-1, PRICE, "a price of at least 0, not -1"),
        (float("nan"), PRICE, "a finite number, not"),
        (math.inf, AMOUNT, "a finite number, not"),
        (1e-13, PRICE, "at most 12 decimals"),
        (1.2, RATE, "a rate of at most 1, not 1.2"),
        (-1.5, GROWTH, "at least -1, not -1.5"),
        (2.5, Range(low=1, whole=True, what="number of people"), "a whole number of people, not 2.5"),
        (True, AMOUNT, "not True"),
        ("four", AMOUNT, "not 'four'"),
        ({}, AMOUNT, "not the keys \\(none\\)"),
        ({"lo": 1}, AMOUNT, "not the keys lo"),
        ({"p10": 3, "p90": 1, "shape": "normal"}, NUMBER, "p10 <= p90, not 3 and 1"),
        ({"p10": 1, "p90": 3}, NUMBER, "shape: normal or"),
        ({"p10": 0, "p90": 3, "shape": "lognormal"}, AMOUNT, "a p10 above 0"),
        ({"p10": 1, "p90": 3, "shape": "normal"}, AMOUNT, "a form that stays between"),
        ({"mean": 0.5, "sd": 0.1, "beta": [1, 2]}, RATE, "not the keys"),
        ({"median": 0.1, "p90": 0.2}, RATE, r"such as \{mean, sd\}, \{low"),
        ({"mean": 1.2, "sd": 0.1}, RATE, "at most 1, not 1.2"),
        ({"mean": 0.5, "sd": 0.6}, RATE, "an sd below"),
        ({"mean": 0.5, "sd": -1}, RATE, "an sd of at least 0"),
        ({"mean": 0, "sd": 1}, AMOUNT, "a mean above 0"),
        ({"values": [1, 2], "weights": [0.3, 0.3]}, AMOUNT, "sum to 1, not 0.6"),
        ({"values": [1, 2], "weights": [1.3, -0.3]}, AMOUNT, "weights of at least 0"),
        ({"values": [1, 2], "weights": [1]}, AMOUNT, "as many weights as values \\(2\\)"),
        ({"values": []}, AMOUNT, "at least one number"),
        ({"values": "12"}, AMOUNT, "a list of numbers for values"),
        ({"beta": [0, 1]}, RATE, "two numbers above 0"),
        ({"low": 5, "mode": 1, "high": 9}, AMOUNT, "low <= mode <= high"),
        ({"low": 5, "high": 1}, AMOUNT, "low <= high, not 5 and 1"),
        ({"low": "a", "high": 1}, AMOUNT, "a number for low, not 'a'"),
        ({"low": float("nan"), "high": 1}, AMOUNT, "a finite number for low, not nan"),
        ({"median": 0, "p90": 1}, AMOUNT, "a median above 0"),
        ({"median": 3, "p90": 1}, AMOUNT, "median <= p90, not 3 and 1"),
        ({"value": 3, "source": "x"}, AMOUNT, "both, 'source' and 'as_of'"),
        ({"low": 1, "high": 2, "each": "year"}, AMOUNT, "month or customer for"),
    ],
)
def test_what_cannot_be_meant_is_said_in_plain_words(declared, limits, message):
    with pytest.raises(ValueError, match=message):
        Driver.parse(declared, limits)


class Example(BaseModel):
    amount: Amount
    each: CountEach | None = None
    rate: Rate = Driver.of(0.5)
    count: Count = Driver.of(1)
    growth: Growth = Driver.of(0)


def test_settings_read_write_and_describe_them():
    made = Example.model_validate({"amount": {"mean": 3, "sd": 1}, "rate": 0.2})
    assert made.model_dump(mode="json") == {
        "amount": {"mean": 3, "sd": 1},
        "each": None,
        "rate": 0.2,
        "count": 1,
        "growth": 0,
    }
    schema = Example.model_json_schema()["properties"]
    assert schema["amount"]["anyOf"][0] == {"type": "number", "minimum": 0.0}
    assert schema["rate"]["anyOf"][0]["maximum"] == 1.0
    with pytest.raises(ValidationError, match="at least 0, not -3"):
        Example.model_validate({"amount": -3})


def test_a_driver_without_a_declaration_still_writes_itself():
    driver = Driver("normal", (1.0, 2.0))
    assert driver.as_json() == {"family": "normal", "parameters": [1.0, 2.0], "origin": "declared", "each": "once"}
    assert Driver.parse(driver, NUMBER) is driver


@pytest.mark.parametrize(
    ("quantity", "family"),
    [
        (Quantity(5.0, "x", "measured"), "point"),
        (Quantity(5.0, "x", "measured", 4.0, 6.0), "lognormal"),
        (Quantity(0.0, "x", "measured", -1.0, 1.0), "normal"),
        (Quantity(5.0, "x", "measured", 5.0, 5.0), "point"),
    ],
)
def test_measured_quantities_become_drivers_around_the_measured_value(quantity, family):
    driver = from_quantity(quantity)
    assert driver.family == family and driver.origin == "measured"
    assert driver.mean == pytest.approx(quantity.value)
    if family == "normal":
        assert driver.quantile(0.975) == pytest.approx(1.0)
    assert Driver.parse(quantity).mean == pytest.approx(quantity.value)


@given(st.sampled_from(FORMS), st.floats(0.1, 5))
def test_scaling_a_driver_scales_all_its_draws(form, factor):
    declared, limits, _ = form
    driver, z = Driver.parse(declared, limits), np.linspace(-2, 2, 9)
    assert np.allclose(driver.shifted(factor).from_normal(z), factor * driver.from_normal(z), rtol=1e-9, atol=1e-9)


def test_streams_are_named_and_do_not_depend_on_each_other():
    assert draws.stream(1, "a", 2).random() == draws.stream(1, "a", 2).random()
    assert draws.stream(1, "a").random() != draws.stream(1, "b").random()
    assert draws.stream(1, "a").random() != draws.stream(2, "a").random()
