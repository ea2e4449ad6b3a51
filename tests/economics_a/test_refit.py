import numpy as np
import pytest

from breakeven.economics.drivers import Driver
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.refitting import History, against, refit, reweighed
from breakeven.economics.simulation import run

DECLARED = {
    "months": 24,
    "scenarios": 2000,
    "cash": 5000,
    "price": {"per_answer": 0.01},
    "customers": {
        "start": 10,
        "new_per_month": {"low": 2, "mode": 6, "high": 15},
        "churn_per_month": {"mean": 0.05, "sd": 0.02},
        "answers_each": 1000,
    },
}


def test_churn_reweighed_by_counts_is_the_beta_posterior():
    """A beta prior with binomial counts stays a beta: beta(a + lost, b + stayed)."""
    prior = Driver.parse({"beta": [4, 76]})
    found = reweighed(prior, lambda rate: 30 * np.log(rate) + 270 * np.log1p(-rate))
    a, b = 34.0, 346.0
    assert found.mean == pytest.approx(a / (a + b), rel=2e-3)
    assert found.sd == pytest.approx(np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1))), rel=0.02)
    assert found.origin == "measured"
    assert reweighed(Driver.of(3.0), lambda x: x).mean == 3.0


def test_the_rest_of_a_plan_begins_where_the_counted_months_end():
    plan = BusinessPlan.model_validate(DECLARED)
    paid = {"price.change_per_year": [0.1, 0.2]}
    history = History(10, [9, 11, 10], [1, 2, 1], [500.0, 1500.0], 7000.0, paid)
    rest = refit(plan, history)
    known = rest.drivers()
    assert (rest.months, known["customers.start"].mean, known["cash"].mean) == (21, 36.0, 7000.0)
    # Thirty came in three months: the posterior lies between the declared mean of 6.8 and the counted 10.
    assert 7.5 < known["customers.new_per_month"].mean < 10.0
    assert known["customers.new_per_month"].sd < plan.drivers()["customers.new_per_month"].sd
    assert known["customers.answers_each"].each == "customer" and known["customers.answers_each"].mean == 1000.0
    assert known["price.change_per_year"].mean == pytest.approx(0.15)
    assert run(rest).outcomes["customers_end"].std() > 0


def test_what_was_not_counted_stays_as_declared():
    plan = BusinessPlan.model_validate({**DECLARED, "cash": None, "customers": {"start": 4, "churn_per_year": 0.2}})
    rest = refit(plan, History(4, [0.0], [1.0], cash=3.0))
    assert rest.drivers()["customers.churn_per_year"].mean == 0.2
    assert rest.cash is None and rest.customers.answers_each.mean == 0.0


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((10, [1, 2], [1]), "not 2 and 1"),
        ((10, [], []), "not 0 and 0"),
        ((1, [0], [5]), "no more customers lost"),
    ],
)
def test_counts_that_cannot_be(counts, message):
    with pytest.raises(ValueError, match=message):
        History(*counts)


def test_a_plan_that_is_over_cannot_be_refitted():
    with pytest.raises(ValueError, match="a plan longer than the 24 months"):
        refit(BusinessPlan.model_validate(DECLARED), History(10, [1] * 24, [0] * 24))
    with pytest.raises(ValueError, match=r"'team\.cto'"):
        refit(BusinessPlan.model_validate(DECLARED), History(10, [1], [0], paid={"team.cto": [1.0]}))


def test_months_stand_beside_the_forecast():
    made = run(BusinessPlan.model_validate(DECLARED), seed=1)
    base = made.base["customers"]
    found = against(made, "customers", [base[0], float("nan"), 1e6])
    assert [(row.month, row.within) for row in found] == [(1, True), (3, False)]
    assert found[0].base == base[0]
    with pytest.raises(ValueError, match="one of customers, mrr"):
        against(made, "tax", [1.0])


def test_whole_customers_have_the_same_expectation_and_more_spread():
    def ended(counting, **more):
        customers = {"start": 10, "new_per_month": 5, "churn_per_month": 0.1, **more, "counting": counting}
        section = {"months": 12, "scenarios": 4000, "price": {"per_customer": 1}, "customers": customers}
        return run(BusinessPlan.model_validate(section), seed=2)

    whole, expected = ended("whole"), ended("expected")
    assert whole.base["customers"] == pytest.approx(expected.base["customers"])
    assert whole.mean["customers"][-1] == pytest.approx(expected.mean["customers"][-1], rel=0.01)
    ends = whole.outcomes["customers_end"]
    assert np.array_equal(ends, np.rint(ends))
    # Poisson arrivals that leave at a constant rate stay Poisson; the ten of day one are binomial.
    arrived, left = expected.base["customers"][-1] - 10 * 0.9**12, 10 * 0.9**12
    assert ends.var() == pytest.approx(arrived + left * (1 - 0.9**12), rel=0.08)
    assert expected.outcomes["customers_end"].std() < 1e-9
    by_age = ended("whole", churn_per_month=None, churn_by_month=[0.1])
    assert by_age.mean["customers"][-1] == pytest.approx(expected.mean["customers"][-1], rel=0.01)


def test_each_segment_is_weighed_by_its_own_months():
    part = {"price": {"per_customer": 5}, "customers": DECLARED["customers"]}
    plan = BusinessPlan.model_validate({"months": 24, "scenarios": 50, "segments": {"a": part, "b": part}})
    months = {"a": History(10, [2, 2], [0, 0]), "b": History(10, [14, 14], [3, 2], [500.0])}
    rest = refit(plan, History(20, [16, 16], [3, 2]), months)
    known = rest.drivers()
    assert known["segments.a.customers.new_per_month"].mean < 6 < known["segments.b.customers.new_per_month"].mean
    assert known["segments.a.customers.churn_per_month"].mean < known["segments.b.customers.churn_per_month"].mean
    assert known["segments.b.customers.start"].mean == 33.0
    assert known["segments.b.customers.answers_each"].each == "customer"
    assert {segment.customers.counting for segment in rest.segments.values()} == {"whole"}
    with pytest.raises(ValueError, match="the counted months of every segment, also of b"):
        refit(plan, History(20, [16], [3]), {"a": months["a"]})


def test_customers_who_used_nothing_leave_a_plan_that_can_be_simulated():
    plan = BusinessPlan.model_validate({**DECLARED, "scenarios": 20})
    assert run(refit(plan, History(10, [1.0], [0.0], [0.0, 0.0]))).outcomes["mrr_end"].max() == 0.0
