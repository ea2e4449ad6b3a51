import json
import math
from types import ModuleType

import numpy as np
import pytest

import breakeven.economics as economics
from breakeven.economics.results import Plan, simulate, spread_of_mean
from breakeven.stages.business import finite

SECTION = {
    "months": 12,
    "scenarios": 400,
    "cash": 5000,
    "price": {"per_customer": {"mean": 100, "sd": 20}},
    "customers": {
        "start": 10,
        "new_per_month": 3,
        "churn_per_month": 0.05,
        "channels": {"ads": {"spend_per_month": 200, "cac": 150}},
    },
    "team": [{"role": "dev", "salary_per_month": 1500}],
}


@pytest.fixture(scope="module")
def plan():
    return simulate(SECTION, seed=1)


def test_figures_carry_mean_interval_unit_and_the_weakest_origin(plan):
    mrr = plan.figure("mrr_end")
    assert mrr.low < mrr.value < mrr.high
    assert (mrr.unit, mrr.origin, mrr.interval, mrr.n) == ("USD/month", "assumed", 0.8, 400)
    assert plan.figures()["npv"].value == pytest.approx(plan.run.outcomes["worth"].mean())


def test_a_plan_of_declared_numbers_is_declared():
    section = {"months": 3, "scenarios": 4, "price": {"per_customer": 100}, "customers": {"start": 10}}
    made = simulate(section)
    assert made.origin == "declared"
    assert made.figure("mrr_end").low is None


def test_figures_that_mean_nothing_are_left_out(plan):
    nobody = simulate({"months": 3, "scenarios": 4, "price": {"per_customer": 100}})
    assert math.isnan(nobody.figure("gross_margin").value)
    assert "gross_margin" not in nobody.figures()
    assert "rule_of_40" not in plan.figures() and "magic_number" in plan.figures()
    assert "rule_of_40" in simulate({**SECTION, "months": 24}).figures()


def test_months_are_distributions_with_not_reached_as_an_outcome(plan):
    reached = plan.months("operating_month")
    assert reached.probability.value == pytest.approx(reached.by_month[-1])
    assert list(reached.by_month) == sorted(reached.by_month)
    never = simulate({**SECTION, "team": [{"role": "many", "salary_per_month": 1e6}]})
    assert never.months("operating_month").p50 is None
    assert never.runway().p50 == 1.0 and never.default_alive() == 0.0


def test_base_case_and_mean_stand_side_by_side(plan):
    fan = plan.fan("cash")
    assert set(fan) == {"base", "mean", "p10", "p50", "p90"}
    assert np.all(np.array(fan["p10"]) <= np.array(fan["p90"]))
    assert set(plan.fan("tax")) == {"base", "mean"}


def test_the_rate_of_return_of_the_base_case_makes_it_worth_nothing():
    section = {"months": 24, "scenarios": 4, "price": {"per_customer": 100}, "customers": {"start": 1}}
    made = simulate({**section, "costs": {"capital": [{"name": "machine", "amount": 2000}]}})
    (rate,) = made.irr()
    again = simulate({**section, "costs": {"capital": [{"name": "machine", "amount": 2000}]}, "discount_rate": rate})
    assert again.run.base_outcomes["worth"] == pytest.approx(0.0, abs=1e-6)
    assert simulate(section).irr() == []


def test_quantiles_are_numpys():
    from breakeven.economics.simulation import row_quantiles

    values = np.random.default_rng(0).normal(size=(3, 501))
    assert np.allclose(row_quantiles(values.copy()), np.quantile(values, [0.1, 0.5, 0.9], axis=1))


def test_series_are_one_long_table(plan):
    table = plan.series()
    assert {len(column) for column in table.values()} == {12 * len(plan.run.mean)}
    assert {"customers", "mrr", "cash", "machines"} - {"machines"} <= set(table["stream"])


def test_a_plan_is_json(plan):
    data = finite(plan.as_json())
    json.dumps(data, allow_nan=False)
    assert data["npv"]["unit"] == "USD" and data["ruin"]["horizon"] == 12
    assert data["inputs"]["price.per_customer"]["origin"] == "assumed"
    assert "tax.rate" not in data["inputs"]


def test_the_error_of_a_mean_knows_its_rounds():
    values = np.arange(32.0)
    assert spread_of_mean(values, 0) == pytest.approx(values.std(ddof=1) / math.sqrt(32))
    assert spread_of_mean(values, 16) == pytest.approx(np.arange(0.5, 32, 2).std(ddof=1) / 4)


def test_the_room_is_usable_on_its_own():
    made = economics.simulate(SECTION)
    assert isinstance(made, Plan)
    assert made.run.scenarios == 400
    assert economics.break_even_volumes(0.01, 100).first == 10_000
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        economics.nothing  # noqa: B018
    for name in economics.__all__:
        assert not isinstance(getattr(economics, name), ModuleType), f"{name} is hidden by a module"


def test_lifetime_value_uses_the_curve_where_there_is_one():
    """Never 1/churn where there is a curve."""
    curve = {
        "price": {"per_customer": 100},
        "months": 24,
        "scenarios": 4,
        "customers": {"start": 100, "churn_curve": {"alpha": 0.668, "beta": 3.806}},
    }
    found = simulate(curve).run.base_outcomes
    t = np.arange(1, 120)
    survival = 1 + np.cumprod((3.806 + t - 1) / (0.668 + 3.806 + t - 1)).sum()
    assert found["ltv"] == pytest.approx(100 * survival)
    by_month = {**curve, "customers": {"start": 100, "churn_by_month": [0.5, 0.1]}}
    expected = 1 + 0.5 * sum(0.9**k for k in range(119))
    assert simulate(by_month).run.base_outcomes["ltv"] == pytest.approx(100 * expected / 1.0, rel=1e-9)
    constant = {**curve, "customers": {"start": 100, "churn_per_month": 0.05}}
    assert simulate(constant).run.base_outcomes["ltv"] == pytest.approx(2000)
