import pytest
from pydantic import ValidationError

from breakeven.economics.drivers import Driver
from breakeven.economics.measured import Measured, fill
from breakeven.economics.plan import BusinessPlan, replaced

SMALL = {"price": {"per_answer": 0.004}, "customers": {"start": 3, "answers_each": 1000}}


def plan(**more):
    return BusinessPlan.model_validate({**SMALL, **more})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"months": 0}, "greater than or equal to 1"),
        ({"currency": "usd"}, "match pattern"),
        ({"price": {}}, "one of per_answer, per_customer, per_new_customer or plan"),
        ({"price": {"per_answer": -1}}, "at least 0, not -1"),
        ({"price": {"per_answer": 0.0000000000001}}, "at most 12 decimals"),
        ({"price": {"per_answer": 1, "plan": {"name": "p", "currency": "USD", "fees": []}}}, "found both"),
        ({"customers": {"churn_per_month": 1.2}}, "a rate of at most 1"),
        ({"customers": {"churn_per_month": 0.1, "churn_per_year": 0.2}}, "one kind of churn"),
        ({"customers": {"seasonality": [1] * 11}}, "at least 12 items"),
        ({"customers": {"seasonality": [2] * 12}}, "mean of 1; found 2"),
        ({"customers": {"channels": {"ads": {"spend_per_month": 1, "cac": 0}}}}, "cac above 0"),
        ({"customers": {"start": {"low": 1, "high": 2, "each": "customer"}}}, "each: customer only"),
        ({"segments": {"b2b": SMALL}}, "segments, or price"),
        ({"costs": {"serving": {"machine_per_hour": 0.1}}}, "machine_per_hour and capacity_per_second together"),
        ({"costs": {"rent": 5}}, "Extra inputs"),
        (
            {"team": [{"role": "dev", "salary_per_month": 1, "needs": "seed"}]},
            "'needs' names a milestone; found 'seed'",
        ),
        ({"team": [{"role": "dev", "salary_per_month": 1}] * 2}, "'dev' twice"),
        ({"team": [{"role": "support", "salary_per_month": 1, "per_customers": 0}]}, "customers per person above 0"),
        ({"price": {"per_new_customer": 9, "response": {"reference": 9, "elasticity": -1}}}, "where a response"),
        ({"price": {"per_answer": 9, "response": {"reference": 9}}}, "one of elasticity, curve and demand"),
        ({"price": {"per_answer": 9, "response": {"reference": 0, "elasticity": -1}}}, "reference price above 0"),
        ({"price": {"per_answer": 9, "response": {"reference": 9, "curve": [[2, 0.5], [1, 0.9]]}}}, "rising prices"),
        ({"price": {"per_answer": 9, "response": {"reference": 9, "curve": [[1, 0.9], [2, 0.5]]}}}, "on the curve"),
        ({"correlations": [["cash", "price", 0.5]]}, "correlations of uncertain drivers"),
        ({"price": {"per_answer": {"value": 1, "unit": "USD/month"}}}, "per_answer in USD/answer, not USD/month"),
        ({"price": {"per_answer": {"value": 1, "unit": "USD/1000 answers"}}}, "not USD/1000 answers"),
        ({"cash": {"value": 1, "unit": "EUR"}}, "cash in USD, not EUR: one plan has one currency"),
        ({"cash": {"value": 1, "unit": "$$"}}, "a unit such as USD/answer"),
        ({"cash": {"low": 1, "high": 2, "each": "month"}}, "each: month only for"),
        ({"customers": {"sales": {"role": "seller", "closes_per_month": 3}}}, "not 'seller'"),
        (
            {"price": {"plan": {"name": "p", "currency": "EUR", "fees": []}}},
            "one currency; found USD and a price plan in EUR",
        ),
        ({"market": {"customers": 100, "innovation": 0.01}}, "innovation and imitation together"),
    ],
)
def test_what_cannot_be_meant(section, message):
    with pytest.raises(ValidationError, match=message):
        plan(**section)


def test_a_price_plan_without_a_currency_is_in_that_of_the_section():
    tiers = {"name": "p", "fees": [{"kind": "flat", "price": "9"}]}
    made = plan(currency="EUR", price={"plan": tiers})
    assert made.price.plan.currency == "EUR"
    parts = {"b2b": {"price": {"plan": tiers}, "customers": {}}}
    assert BusinessPlan.model_validate({"segments": parts}).segments["b2b"].price.plan.currency == "USD"
    with pytest.raises(ValidationError, match="valid dictionary"):
        BusinessPlan.model_validate("a plan")


def test_every_number_has_a_dotted_name():
    made = plan(
        team=[{"role": "dev", "salary_per_month": 3000}],
        costs={"fixed": [{"name": "rent", "per_month": 500}]},
        customers={"channels": {"ads": {"spend_per_month": 100, "cac": 50}}, "churn_by_month": [0.1, 0.05]},
    )
    names = made.drivers()
    assert names["team.dev.salary_per_month"].mean == 3000
    assert names["costs.fixed.rent.per_month"].mean == 500
    assert names["customers.channels.ads.cac"].mean == 50
    assert names["customers.churn_by_month.1"].mean == 0.05


def test_drivers_can_be_replaced_by_name():
    made = plan(
        team=[{"role": "dev", "salary_per_month": 3000}],
        customers={"channels": {"ads": {"spend_per_month": 100, "cac": 50}}},
    )
    changed = replaced(
        made, {"team.dev.salary_per_month": Driver.of(9.0), "customers.channels.ads.cac": Driver.of(7.0)}
    )
    assert changed.team[0].salary_per_month.mean == 9.0
    assert changed.customers.channels["ads"].cac.mean == 7.0
    assert made.team[0].salary_per_month.mean == 3000.0
    with pytest.raises(ValueError, match=r"no driver is called 'team\.cto'"):
        replaced(made, {"team.cto": Driver.of(1.0)})


def test_the_section_survives_writing_and_reading():
    made = plan(cash={"mean": 1000, "sd": 10})
    again = BusinessPlan.model_validate(made.model_dump(mode="json")).drivers()
    assert {name: driver.parameters for name, driver in again.items()} == {
        name: driver.parameters for name, driver in made.drivers().items()
    }
    assert "per_answer" in str(BusinessPlan.model_json_schema())


def test_measured_numbers_fill_empty_places_only():
    measured = Measured(
        "linear",
        Driver.of(0.1),
        Driver.of(50.0, origin="measured"),
        Driver.of(0.002),
        Driver.of(3.0),
        Driver.of(0.006),
        Driver.of(2.0),
    )
    made = fill(plan(), measured)
    assert made.plan.costs.serving.capacity_per_second.mean == 50.0
    assert made.plan.costs.serving.peak_factor.mean == 2.0
    assert made.plan.costs.training.per_run.mean == 3.0
    assert made.plan.price.per_answer.mean == 0.004
    assert set(made.filled) == {
        "costs.serving.machine_per_hour",
        "costs.serving.capacity_per_second",
        "costs.serving.per_answer",
        "costs.training.per_run",
    }
    assert not made.overruled


def test_measured_numbers_never_override_the_founder():
    declared = plan(
        costs={
            "serving": {"machine_per_hour": 1, "capacity_per_second": 5, "peak_factor": 4},
            "training": {"per_run": 9},
        }
    )
    made = fill(
        declared,
        Measured("linear", Driver.of(0.1), Driver.of(50.0), training=Driver.of(3.0), peak_factor=Driver.of(2.0)),
    )
    assert made.plan == declared
    assert made.overruled["costs.serving.capacity_per_second"].value == 50.0
    assert made.overruled["costs.training.per_run"].value == 3.0
    assert fill(declared, Measured("majority")).plan == declared


def test_a_recommended_price_fills_a_missing_one():
    unpriced = BusinessPlan.model_validate({"customers": {"start": 3}})
    made = fill(unpriced, Measured("linear", price_per_answer=Driver.of(0.006)))
    assert made.plan.price.per_answer.mean == 0.006
    assert made.filled["price.per_answer"].value == 0.006
