"""Counted months beside the plan, and the plan that goes on from them."""

import math
from datetime import date

import numpy as np
import pytest

import breakeven.economics as economics
from breakeven.economics.actuals import Counted, alone, beside, count, of_rows, revenue, together
from breakeven.economics.continued import fitted, go_on
from breakeven.economics.elapsed import advance
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.simulation import run
from breakeven.errors import DataError, UsageError

DECLARED = {
    "months": 24,
    "scenarios": 2000,
    "cash": 50_000,
    "price": {"per_answer": 0.01, "per_customer": 5, "per_new_customer": 100},
    "customers": {
        "start": 2,
        "new_per_month": {"low": 2, "mode": 5, "high": 12},
        "churn_per_month": {"mean": 0.04, "sd": 0.015},
        "answers_each": {"median": 2000, "p90": 8000},
    },
}
PLAN = BusinessPlan.model_validate(DECLARED)


def use(**months):
    """Units of answers by customer and month: a=[(1, 10)]."""
    return {(name, month): {"answers": float(units)} for name, seen in months.items() for month, units in seen}


def test_customers_are_counted_by_their_first_and_last_month_of_use():
    used = use(
        old=[(-1, 5), (0, 5), (1, 5)],
        gone_before=[(-4, 1)],
        stays=[(1, 10), (2, 20), (4, 30), (5, 40)],
        leaves=[(2, 7)],
        rests=[(3, 9), (4, 9)],
        comes=[(5, 1)],
        later=[(6, 1)],
    )
    found = count(used, 5)
    assert found.opening == 1
    assert found.new == (1, 1, 1, 0, 1)
    # `old` used last in month 1 and `leaves` in month 2: three and two months without use by the end of month 5.
    assert found.lost == (0, 1, 1, 0, 0)
    assert found.history().present == [2, 2, 2, 2, 3]
    assert found.meters == {"answers": (15, 27, 9, 39, 41)}
    assert sorted(found.each) == [0.0, 1.0, 40.0]
    assert sorted(found.stays) == [(1, False), (1, True), (3, False), (5, False)]
    assert count(used, 5, lapse=1).lost == (0, 1, 1, 0, 1)


def test_revenue_is_what_the_use_comes_to_at_the_declared_prices():
    used = use(a=[(0, 100), (1, 1000)], b=[(1, 500), (2, 300), (3, 9)])
    assert revenue(PLAN, used, 2) == pytest.approx((10 + 5 + 5 + 5 + 100, 3 + 5))
    metered = {"plan": {"currency": "USD", "fees": [
        {"kind": "per_unit", "meter": "tokens", "price": 1, "per": 100}, {"kind": "seats", "price": 10}]}}  # fmt: skip
    customers = {"seats_each": 3, "meters": {"tokens": {"per_answer": 1, "per_event": 5}}}
    plan = BusinessPlan.model_validate({"price": metered, "customers": customers})
    assert revenue(plan, {("a", 1): {"answers": 1.0, "tokens": 200.0}}, 1) == pytest.approx((32,))
    one = BusinessPlan.model_validate({"price": metered})
    assert revenue(one, {("a", 1): {"tokens": 200.0}}, 1) == pytest.approx((12,))
    flat = BusinessPlan.model_validate({"price": {"per_customer": 7}})
    assert revenue(flat, use(a=[(1, 5)]), 1) == (7,)
    assert revenue(BusinessPlan(), used, 2) == ()


COUNTED = Counted(2.0, (4, 6, 7, 5), (0, 1, 0, 1), {"answers": (9e3, 2e4, 3e4, 4e4)}, (500, 600, 700, 800))


def test_months_stand_beside_the_forecast_with_the_luck_of_few_customers():
    found = beside(PLAN, COUNTED, seed=1)
    assert set(found) == {"customers", "new_customers", "churned_customers", "answers", "revenue"}
    assert [row.month for row in found["customers"]] == [1, 2, 3, 4]
    lost = found["churned_customers"][3]
    assert (lost.p10, lost.p90) == (0.0, 2.0) and lost.within  # whole customers, not 4% of them
    gap = Counted(2.0, (4, 6), (0, 1), revenue=(math.nan, 5e6))
    assert [(row.month, row.within) for row in beside(PLAN, gap)["revenue"]] == [(2, False)]
    parts = {"a": {"price": {"per_customer": 1}, "customers": {"start": 2, "new_per_month": 4}}}
    split = BusinessPlan.model_validate({"segments": parts, "scenarios": 8})
    assert beside(split, gap)["customers"][0].actual == 6.0


def test_what_was_counted_is_fitted_with_its_doubt():
    generator = np.random.default_rng(5)
    use_ = np.exp(generator.normal(7.0, 0.8, 400))
    ages = generator.geometric(generator.beta(0.7, 4.0, 600))  # churn that differs among customers
    stays = tuple((int(min(age, 12)), bool(age <= 12)) for age in ages)
    counted = Counted(100.0, (20,) * 12, (8,) * 12, each=tuple(use_), stays=stays)
    found = fitted(counted)
    churn, new = found.quantities["churn_per_month"], found.quantities["new_per_month"]
    assert churn.value == pytest.approx(96 / sum(100 + 12 * n for n in range(12)))
    assert churn.low < churn.value < churn.high
    assert (new.value, new.n) == (20.0, 12)
    # The 95% interval of gamma(240.5, 12), by its quantiles.
    assert (new.low, new.high) == pytest.approx((17.588, 22.650), abs=0.02)
    assert found.drivers["customers.new_per_month"].mean == pytest.approx(240.5 / 12)
    assert found.drivers["customers.new_per_month"].sd == pytest.approx(math.sqrt(240.5) / 12, rel=1e-3)
    mean = found.quantities["answers_each"]
    assert mean.low < math.exp(7.0 + 0.32) < mean.high
    assert found.drivers["customers.answers_each"].mean == pytest.approx(mean.value)
    assert {"churn_curve.alpha", "churn_curve.beta"} <= set(found.quantities)
    assert set(found.quantities) >= {"new_growth_per_month"} and not found.open_


def test_what_the_months_are_too_few_to_say_is_told_and_stays_declared():
    found = fitted(Counted(0.0, (0,), (0,)))
    assert set(found.open_) == {"churn_per_month", "new_growth_per_month", "answers_each"}
    assert found.drivers == {} and found.quantities["new_per_month"].value == 0.0
    rest = go_on(PLAN, Counted(0.0, (0,), (0,)), found)
    assert rest.drivers()["customers.new_per_month"].mean == PLAN.drivers()["customers.new_per_month"].mean
    # Everybody gone after a month, or nobody: no curve through that.
    assert "churn_curve" in fitted(Counted(0.0, (3,), (0,), stays=((1, False),) * 3)).open_
    flat = Counted(0.0, (9, 9, 9), (0, 0, 0), each=(5.0, 5.0), stays=((1, True), (2, True), (3, True), (3, False)) * 40)
    made = fitted(flat)
    assert made.drivers["customers.answers_each"].certain
    assert "churn_curve" in made.open_ and "churn_curve.alpha" not in made.quantities


def test_the_plan_goes_on_from_where_it_stands():
    counted = of_rows(
        [{"month": f"m{n}", "new": 6, "lost": 1, "answers": 1000.0 * n, "cash": 9000.0} for n in range(1, 7)], opening=2
    )
    rest = go_on(PLAN, counted, fitted(counted))
    known = rest.drivers()
    assert (rest.months, known["customers.start"].mean, known["cash"].mean) == (18, 32.0, 9000.0)
    assert known["customers.new_per_month"].origin == "measured" and rest.customers.counting == "whole"
    made = economics.simulate(rest)
    assert made.figure("customers_end").high > made.figure("customers_end").low
    yearly = {**DECLARED, "customers": {"start": 2, "churn_per_year": 0.3, "new_per_month": 1}, "cash": None}
    moved = go_on(BusinessPlan.model_validate(yearly), counted, fitted(counted))
    assert moved.customers.churn_per_year is None and moved.customers.churn_per_month.origin == "measured"
    assert moved.cash is None


def test_use_keeps_its_spread_where_a_price_plan_bends():
    price = {"plan": {"currency": "USD", "fees": [{"kind": "per_unit", "price": 1, "included": 5}]}}
    plan = BusinessPlan.model_validate({**DECLARED, "price": price})
    counted = Counted(2.0, (4, 6, 7), (0, 1, 0), each=(1.0, 2.0, 30.0))
    rest = go_on(plan, counted, fitted(counted))
    assert rest.customers.answers_each.each == "customer" and rest.customers.answers_each.mean == 11.0
    unfitted = go_on(plan, Counted(2.0, (4,), (0,)), fitted(Counted(2.0, (4,), (0,))))
    assert unfitted.customers.answers_each.mean == plan.customers.answers_each.mean


@pytest.mark.slow
def test_fitting_doubt_covers_what_comes():
    """150 ventures with hidden churn and growth: the 80% band of month 24 covers the truth about as often."""
    generator, hits = np.random.default_rng(3), 0
    plan = BusinessPlan.model_validate({**DECLARED, "scenarios": 200})
    for _ in range(150):
        churn, rate = generator.beta(4, 96), generator.gamma(16, 0.4)
        present, new, lost = 10.0, [], []
        for _ in range(24):
            gone = generator.binomial(int(present), churn)
            came = generator.poisson(rate)
            present += came - gone
            new.append(float(came))
            lost.append(float(gone))
        counted = Counted(10.0, tuple(new[:12]), tuple(lost[:12]))
        low, _, high = run(go_on(plan, counted, fitted(counted)), seed=1).quantiles["customers"][:, -1]
        hits += low <= present <= high
    assert 0.72 * 150 <= hits <= 0.88 * 150


def test_a_plan_that_cannot_go_on_says_why():
    split = BusinessPlan.model_validate({"segments": {"a": {"price": {"per_customer": 1}, "customers": {}}}})
    with pytest.raises(UsageError, match="which customer is of which segment"):
        go_on(split, COUNTED, fitted(COUNTED))
    with pytest.raises(UsageError, match="4 months were counted, and the plan has 3"):
        go_on(BusinessPlan.model_validate({**DECLARED, "months": 3}), COUNTED, fitted(COUNTED))


def test_a_table_of_history_is_read_by_its_columns():
    rows = [{"month": "2026-01", "new": 3, "lost": 1, "customers": 12, "revenue": 5, "cash": -4}]
    found = of_rows(rows, opening=99)
    assert (found.opening, found.revenue, found.cash) == (10, (5.0,), -4.0)
    assert of_rows([{"new": 1, "lost": 0}], opening=99).opening == 99
    assert of_rows([{"new": 1, "lost": 0, "cash": float("nan")}], opening=0).cash is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "the history has no rows"),
        ([{"new": 1}], "no column 'lost'"),
        ([{"new": 1, "lost": "x"}], "row 1, column lost: 'x'"),
        ([{"new": 1, "lost": -1}], "row 1, column lost: '-1'"),
        ([{"new": 1, "lost": None}], "row 1, column lost: 'None'"),
        ([{"new": float("inf"), "lost": 0}], "row 1, column new: 'inf'"),
        ([{"new": 1, "lost": 50}], "more customers were lost than there were"),
    ],
)
def test_a_history_that_cannot_be_meant_is_refused(rows, said):
    with pytest.raises(DataError, match=said):
        of_rows(rows, opening=1)


# ------------------------------------------------------------------ what is over falls away


def test_what_is_over_falls_away_and_what_is_to_come_moves_nearer():
    loan = {"name": "bank", "kind": "loan", "amount": 12_000, "month": 2, "closed": True, "months": 24}
    section = {
        **DECLARED,
        "team": [{"role": "founder", "salary_per_month": 1, "start": 3},
                 {"role": "temp", "salary_per_month": 1, "end": 4},
                 {"role": "seller", "salary_per_month": 1, "start": 9, "end": 12}],
        "costs": {
            "fixed": [{"name": "rent", "per_month": 1, "start": 8}, {"name": "old", "per_month": 1, "end": 6}],
            "capital": [{"name": "now", "amount": 5, "month": 2}, {"name": "then", "amount": 5, "month": 10}],
            "training": {"per_run": 9},
        },
        "funding": [loan, {"name": "grant", "kind": "grant", "amount": 5, "month": 1, "closed": True},
                    {"name": "seed", "amount": 9, "month": 10, "closed": True},
                    {"name": "repaid", "kind": "loan", "amount": 9, "month": 0, "months": 3}],
        "customers": {**DECLARED["customers"], "first_month": 11,
                      "channels": {"ads": {"spend_per_month": 1, "cac": 1, "start": 2},
                                   "fair": {"spend_per_month": 1, "cac": 1, "end": 2}}},
        "risks": [{"name": "fire", "likelihood": 0.4}],
        "correlations": [["customers.new_per_month", "customers.churn_per_month", 0.3]],
        "cap_table": {"start": "2026-01-01",
                      "events": [{"kind": "issue", "date": "2025-01-01", "holder": "a", "shares": 9}]},
    }  # fmt: skip
    rest = advance(BusinessPlan.model_validate(section), 6)
    assert [(item.role, item.start, item.end) for item in rest.team] == [("founder", 1, None), ("seller", 3, 6)]
    assert [(item.name, item.start) for item in rest.costs.fixed] == [("rent", 2)]
    assert [(item.name, item.month) for item in rest.costs.capital] == [("then", 4)]
    assert rest.costs.training is None
    assert [(item.name, item.month) for item in rest.funding] == [("bank", 0), ("seed", 4)]
    # Four of 24 payments are done; what is owed lies in the account already, so it does not come twice.
    assert rest.funding[0].amount.mean == pytest.approx(10_000) and rest.funding[0].months == 20
    assert rest.cash.mean == pytest.approx(40_000)
    assert list(rest.customers.channels) == ["ads"] and rest.customers.first_month == 5
    assert rest.risks[0].likelihood.mean == pytest.approx(0.4 * 18 / 24)
    assert rest.correlations == [("customers.new_per_month", "customers.churn_per_month", 0.3)]
    assert rest.cap_table.start == date(2026, 7, 1)
    assert economics.simulate({**section, "months": 24}).run.base["funding"][5] == pytest.approx(-500)
    assert economics.simulate(rest).run.base["funding"][0] == pytest.approx(-500)


def test_an_annuity_leaves_what_its_payments_have_not_paid():
    loan = {"name": "bank", "kind": "loan", "amount": 10_000, "month": 0, "months": 36, "interest_per_year": 0.08}
    plan = BusinessPlan.model_validate({"price": {"per_customer": 1}, "funding": [loan], "scenarios": 8})
    whole, rest = economics.simulate(plan), economics.simulate(advance(plan, 10))
    assert rest.run.base["funding"][:5] == pytest.approx(whole.run.base["funding"][10:15])
    assert advance(plan, 10).cash is None and advance(plan, 10).cap_table is None


def test_milestones_that_were_met_stand_open_no_more():
    gates = [
        {"name": "met", "metric": "customers", "value": 10, "by": 4},
        {"name": "missed", "metric": "customers", "value": 99, "by": 4},
        {"name": "open", "metric": "customers", "value": 99, "by": 9},
        {"name": "endless", "metric": "mrr", "value": 99},
    ]
    team = [{"role": gate["name"], "salary_per_month": 1, "needs": gate["name"]} for gate in gates]
    plan = BusinessPlan.model_validate({**DECLARED, "milestones": gates, "team": team})
    rest = advance(plan, 6, {"customers": [5, 11, 12, 9, 50, 8]})
    assert [(item.name, item.by) for item in rest.milestones] == [("open", 3), ("endless", None)]
    assert [(item.role, item.needs) for item in rest.team] == [("met", None), ("open", "open"), ("endless", "endless")]
    every = {**DECLARED, "costs": {"training": {"per_run": 5, "every_months": 6}}}
    assert advance(BusinessPlan.model_validate(every), 3).costs.training.every_months == 6


# ------------------------------------------------------------------ segments

SPLIT = BusinessPlan.model_validate(
    {
        "months": 24,
        "scenarios": 300,
        "cash": 5000,
        "segments": {
            "b2b": {
                "price": {"per_customer": 100},
                "customers": {"start": 2, "new_per_month": {"low": 1, "mode": 2, "high": 4},
                              "churn_per_month": {"mean": 0.02, "sd": 0.01}, "first_month": 11},
            },
            "b2c": {
                "price": {"plan": {"currency": "USD", "fees": [{"kind": "per_unit", "price": "0.01", "included": 50}]}},
                "customers": {"start": 20, "new_per_month": {"low": 5, "mode": 10, "high": 20},
                              "churn_per_year": 0.5, "answers_each": {"median": 80, "p90": 200}},
            },
        },
        "correlations": [["segments.b2b.customers.new_per_month", "segments.b2c.customers.new_per_month", 0.5]],
    }
)  # fmt: skip
B2B = Counted(2.0, (2, 3, 1), (0, 0, 1), {"answers": (9.0, 9.0, 9.0)}, revenue=(400.0, 700.0, 700.0), cash=4000.0)
B2C = Counted(20.0, (8, 9, 12), (2, 1, 2), {"answers": (5.0, 6.0, 7.0), "days": (1.0, 1.0, 1.0)},
              revenue=(1.0, 2.0, 3.0), each=(60.0, 90.0, 140.0))  # fmt: skip


def test_the_company_is_the_sum_of_its_segments():
    whole = together({"b2b": B2B, "b2c": B2C})
    assert (whole.opening, whole.new, whole.lost, whole.cash) == (22.0, (10, 12, 13), (2, 1, 3), 4000.0)
    assert whole.meters == {"answers": (14.0, 15.0, 16.0), "days": (1.0, 1.0, 1.0)}
    assert whole.revenue == (401.0, 702.0, 703.0)
    assert together({"b2b": B2B, "b2c": Counted(0.0, (1, 1, 1), (0, 0, 0))}).revenue == ()


def test_each_segment_stands_beside_its_own_forecast():
    one = alone(SPLIT, "b2b")
    assert list(one.segments) == ["b2b"] and one.correlations == []
    found, whole = beside(one, B2B), beside(SPLIT, together({"b2b": B2B, "b2c": B2C}))
    other = beside(alone(SPLIT, "b2c"), B2C)
    assert found["customers"][2].base + other["customers"][2].base == pytest.approx(whole["customers"][2].base)
    assert found["revenue"][0].base == pytest.approx(100 * found["customers"][0].base)


def test_each_segment_goes_on_from_its_own_months():
    parts = {"b2b": (B2B, fitted(B2B)), "b2c": (B2C, fitted(B2C))}
    whole = together({"b2b": B2B, "b2c": B2C})
    rest = go_on(SPLIT, whole, fitted(whole), parts)
    known = rest.drivers()
    assert rest.months == 21 and rest.correlations == []
    assert (known["segments.b2b.customers.start"].mean, known["segments.b2c.customers.start"].mean) == (7.0, 44.0)
    assert known["segments.b2b.customers.new_per_month"].origin == "measured"
    assert known["segments.b2b.customers.new_per_month"].mean == pytest.approx(6.5 / 3)
    assert rest.segments["b2c"].customers.churn_per_year is None
    assert rest.segments["b2b"].customers.first_month == 2 and rest.segments["b2b"].customers.counting == "whole"
    # Use keeps its spread where the segment's price bends, and stays declared where nobody's use was counted.
    assert known["segments.b2c.customers.answers_each"].each == "customer"
    assert known["segments.b2b.customers.answers_each"].mean == 0.0
    assert known["cash"].mean == 4000.0
    made = economics.simulate(rest)
    assert made.figure("customers_end").high > made.figure("customers_end").low


def test_a_segment_nobody_counted_is_named():
    with pytest.raises(UsageError, match=r"nothing was counted of \['b2c'\]|nothing was counted of b2c"):
        go_on(SPLIT, B2B, fitted(B2B), {"b2b": (B2B, fitted(B2B))})


def test_revenue_of_a_segment_is_at_its_own_price_and_a_customers_age():
    plan = {"currency": "USD", "fees": [{"kind": "flat", "price": 40}, {"kind": "one_off", "price": 7}],
            "coupons": [{"rate": "0.5", "periods": 2}], "trial_days": 15}  # fmt: skip
    split = BusinessPlan.model_validate({"segments": {"a": {"price": {"plan": plan}, "customers": {}}}})
    used = use(x=[(1, 1), (2, 1), (3, 1)])
    free = 15 / (365 / 12)
    # Half price on the first two invoices; the one-off fee comes with the first, at its half.
    assert revenue(split, used, 3, prefix="segments.a.") == pytest.approx(((1 - free) * 20 + 3.5, 20, 40))
    assert revenue(split, used, 3) == ()
