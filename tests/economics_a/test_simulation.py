"""The engine against numbers worked out by hand, and against what must hold for any plan."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breakeven.economics import cash, figures
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.results import simulate
from breakeven.economics.simulation import run, share


def base(section):
    return run(BusinessPlan.model_validate({"months": 6, "scenarios": 16, **section}))


def months_of(made, name):
    return np.round(made.base[name], 6).tolist()


def priced(customers, **more):
    return {"price": {"per_customer": 100}, "customers": customers, **more}


def test_order_of_a_month_open_churn_expand_add():
    """New customers cannot churn in their first month: month 1 loses a tenth of the ten of day one, then adds five."""
    made = base(priced({"start": 10, "new_per_month": 5, "churn_per_month": 0.1}))
    assert months_of(made, "customers")[:3] == [14.0, 17.6, 20.84]
    assert months_of(made, "churned_customers")[:3] == [1.0, 1.4, 1.76]
    assert months_of(made, "revenue")[:2] == [1400.0, 1760.0]


def test_growth_begins_after_month_1_unless_the_flag_says_before():
    """The timing flag: MRR 10k growing 10% a month is 10k in month 1, or 11k."""
    section = priced({"start": 100, "growth_per_month": 0.1})
    assert months_of(base(section), "mrr")[:3] == [10_000.0, 11_000.0, 12_100.0]
    assert months_of(base({**section, "growth_in_month_1": True}), "mrr")[:3] == [11_000.0, 12_100.0, 13_310.0]
    section = priced({"new_per_month": 10, "new_growth_per_month": 1.0, "expansion_per_month": 0.0})
    assert months_of(base(section), "new_customers")[:3] == [10.0, 20.0, 40.0]
    assert months_of(base({**section, "growth_in_month_1": True}), "new_customers")[:3] == [20.0, 40.0, 80.0]


def test_default_alive():
    """Graham: MRR 10k growing 10% a month, costs 30k, cash 200k. Growth before month 1: profitable in month 12, burn
    126,157.16; growth after each month: month 13, 146,157.16."""
    before = figures.default_alive(10_000, 0.1, 30_000, 200_000, growth_in_month_1=True)
    after = figures.default_alive(10_000, 0.1, 30_000, 200_000)
    assert (before.profitable_month, round(before.burnt, 2), before.alive) == (12, 126_157.16, True)
    assert (after.profitable_month, round(after.burnt, 2)) == (13, 146_157.16)
    assert not figures.default_alive(10_000, 0.1, 30_000, 100_000).alive
    assert figures.default_alive(1.0, 0.0, 30_000, 10.0).profitable_month is None


@pytest.mark.parametrize(("flag", "month", "burnt"), [(True, 12, 126_157.16), (False, 13, 146_157.16)])
def test_default_alive_through_the_engine(flag, month, burnt):
    made = simulate(
        {
            **priced({"start": 100, "growth_per_month": 0.1}),
            "months": 24,
            "scenarios": 4,
            "cash": 200_000,
            "costs": {"fixed": [{"name": "all", "per_month": 30_000}]},
            "growth_in_month_1": flag,
        }
    )
    assert made.run.base_outcomes["operating_month"] == month
    assert made.run.base_outcomes["funding_need"] == pytest.approx(burnt, abs=0.005)
    assert made.default_alive() == 1.0


def test_expansion_grows_what_a_customer_pays_and_splits_recurring_revenue_into_its_causes():
    made = base(priced({"start": 10, "new_per_month": 1, "churn_per_month": 0.2, "expansion_per_month": 0.1}))
    assert months_of(made, "mrr")[:2] == [900.0, 892.0]
    assert months_of(made, "expanded_mrr")[:2] == [0.0, 72.0]
    assert months_of(made, "churned_mrr")[:2] == [200.0, 180.0]
    moved = made.base["new_mrr"] + made.base["expanded_mrr"] - made.base["churned_mrr"]
    assert np.allclose(np.diff(made.base["mrr"]), moved[1:])


def test_churn_by_year_by_month_and_by_curve():
    yearly = base({**priced({"start": 100, "churn_per_year": 0.5}), "months": 12})
    assert yearly.base["customers"][-1] == pytest.approx(50.0)
    by_age = base(priced({"start": 100, "new_per_month": 10, "churn_by_month": [0.5, 0.1]}))
    assert months_of(by_age, "customers")[:3] == [60.0, 100 * 0.5 * 0.9 + 5 + 10, 100 * 0.5 * 0.81 + 4.5 + 5 + 10]
    curve = base(priced({"start": 100, "churn_curve": {"alpha": 0.668, "beta": 3.806}}))
    assert curve.base["customers"][:4] == pytest.approx(100 * figures.curve_survival(0.668, 3.806, 4)[1:])


def test_shifted_beta_geometric_survival():
    """Fader and Hardie 2007, High End: alpha .668, beta 3.806: S(12) .378; survival after year 1..7 in percent 86.9,
    74.3, 65.3, 59.3, 55.1, 51.7, 49.1 is the data; the model's own first years are within two points."""
    survival = figures.curve_survival(0.668, 3.806, 12)
    assert survival[12] == pytest.approx(0.378, abs=5e-4)
    # Constant churn fitted on year one gives .185 (the data say .394).
    assert pytest.approx(0.185, abs=5e-4) == (1 - 0.131) ** 12
    assert survival[1:8] * 100 == pytest.approx([86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1], abs=2.5)
    assert figures.curve_ltv(100.0, 0.8, survival[:2], discount_per_month=0.0) == pytest.approx(80 * (1 + survival[1]))


def test_channels_saturate_and_sellers_limit():
    channel = {"spend_per_month": 1000, "cac": 100, "start": 2, "end": 4}
    made = base(priced({"channels": {"ads": channel}}))
    assert months_of(made, "new_customers") == [0.0, 10.0, 10.0, 10.0, 0.0, 0.0]
    assert months_of(made, "marketing") == [0.0, 1000.0, 1000.0, 1000.0, 0.0, 0.0]
    made = base(priced({"channels": {"ads": {**channel, "saturation_per_month": 10}}}))
    assert made.base["new_customers"][1] == pytest.approx(10 * (1 - np.exp(-1)))
    sellers = {"team": [{"role": "seller", "salary_per_month": 1000, "count": 2, "start": 3, "kind": "sales"}]}
    made = base(priced({"new_per_month": 50, "sales": {"role": "seller", "closes_per_month": 4}}, **sellers))
    assert months_of(made, "new_customers") == [0.0, 0.0, 8.0, 8.0, 8.0, 8.0]
    assert months_of(made, "sales_cost")[:3] == [0.0, 0.0, 2400.0]


def test_a_market_ends_growth_and_an_idea_spreads_in_it():
    """Bass: new = (p + q Y / m)(m - Y), recursion from 0."""
    full = base(priced({"new_per_month": 30}, market={"customers": 200, "reachable": 0.5, "share": 0.5}))
    assert months_of(full, "customers")[:3] == [30.0, 50.0, 50.0]
    bass = base(priced({}, market={"customers": 100, "innovation": 0.03, "imitation": 0.38}))
    adopted, expected = 0.0, []
    for _ in range(6):
        new = (0.03 + 0.38 * adopted / 100) * (100 - adopted)
        adopted += new
        expected.append(adopted)
    assert bass.base["customers"] == pytest.approx(expected)


def test_use_has_seasons_from_the_calendar_month_in_which_the_plan_begins():
    seasons = [0.5, 1.5] * 6
    made = base(
        {
            "price": {"per_answer": 0.01},
            "customers": {"start": 1, "answers_each": 1000, "seasonality": seasons, "first_month": 2},
        }
    )
    assert months_of(made, "revenue")[:3] == [15.0, 5.0, 15.0]


def test_machines_are_bought_whole_and_utilization_is_a_result():
    serving = {
        "machine_per_hour": 1,
        "capacity_per_second": 1,
        "peak_factor": 2,
        "minimum_machines": 1,
        "per_answer": 0.001,
        "per_customer": 2,
        "review_per_answer": 0.002,
        "utilization": 0.9,
    }
    made = simulate(
        {
            "months": 3,
            "scenarios": 4,
            "price": {"per_answer": 0.01},
            "costs": {"serving": serving},
            "customers": {"start": 1, "answers_each": 2_628_000},
        }
    )
    assert months_of(made.run, "machines") == [2.0, 2.0, 2.0]
    assert months_of(made.run, "utilization")[0] == 0.5
    assert months_of(made.run, "cost_of_serving")[0] == pytest.approx(2 * 730 + 0.003 * 2_628_000 + 2)
    assert [finding.code for finding in made.findings] == ["plan-no-cash", "plan-utilization"]
    close = {**serving, "utilization": 0.45}
    honest = simulate(
        {
            "months": 3,
            "scenarios": 4,
            "price": {"per_answer": 0.01},
            "costs": {"serving": close},
            "customers": {"start": 1, "answers_each": 2_628_000},
        }
    )
    assert [finding.code for finding in honest.findings] == ["plan-no-cash"]
    none = base(
        {
            **priced({"start": 0}),
            "costs": {"serving": {"machine_per_hour": 1, "capacity_per_second": 1, "minimum_machines": 0}},
        }
    )
    assert months_of(none, "machine_cost")[0] == 0.0 and months_of(none, "utilization")[0] == 0.0


def test_a_team_grows_with_the_customers_and_waits_for_milestones():
    made = base(
        priced(
            {"start": 40, "new_per_month": 20},
            milestones=[{"name": "traction", "metric": "customers", "value": 80}],
            team=[
                {"role": "support", "salary_per_month": 1000, "load": 0.5, "per_customers": 50, "kind": "support"},
                {"role": "cto", "salary_per_month": 2000, "load": 0, "needs": "traction", "kind": "development"},
                {"role": "temp", "salary_per_month": 100, "load": 0, "start": 2, "end": 3},
            ],
        )
    )
    assert months_of(made, "payroll_support") == [3000.0, 3000.0, 3000.0, 4500.0, 4500.0, 6000.0]
    # The milestone is met at the end of month 2, the work begins in month 3.
    assert months_of(made, "payroll_development") == [0.0, 0.0, 2000.0, 2000.0, 2000.0, 2000.0]
    assert months_of(made, "payroll_general") == [0.0, 100.0, 100.0, 0.0, 0.0, 0.0]
    assert months_of(made, "gross_profit")[0] == 6000 - 3000


def test_costs_rise_once_a_year():
    made = base(
        {
            **priced({"start": 1}),
            "months": 13,
            "costs": {"fixed": [{"name": "rent", "per_month": 100, "growth_per_year": 0.1, "kind": "sales"}]},
            "price": {"per_customer": 100, "change_per_year": 0.05},
        }
    )
    assert made.base["fixed_sales"][[11, 12]].tolist() == pytest.approx([100.0, 110.0])
    assert made.base["revenue"][[11, 12]].tolist() == pytest.approx([100.0, 105.0])


def test_capital_training_and_depreciation():
    made = base(
        priced(
            {"start": 1},
            costs={
                "capital": [
                    {"name": "office", "amount": 300, "life_months": 3},
                    {"name": "desk", "amount": 40, "month": 2, "life_months": 2},
                    {"name": "server", "amount": 60, "life_months": 60, "needs": "never"},
                ],
                "training": {"per_run": 7, "every_months": 2},
            },
            milestones=[{"name": "never", "metric": "arr", "value": 1e9, "by": 3}],
        )
    )
    assert months_of(made, "depreciation") == [100.0, 120.0, 120.0, 0.0, 0.0, 0.0]
    assert months_of(made, "capital") == [0.0, 40.0, 0.0, 0.0, 0.0, 0.0]
    assert months_of(made, "training") == [0.0, 7.0, 0.0, 7.0, 0.0, 7.0]
    assert made.base["cash_before_funding"][0] == pytest.approx(-300 - 7 + 100)


def test_money_comes_late_and_some_never():
    made = base(priced({"start": 10, "collection_days": 45.625, "bad_debt": 0.1}))
    # A month and a half: half a month's bill of month 1 arrives in month 2, the other half in month 3.
    assert months_of(made, "collected")[:4] == [0.0, 450.0, 900.0, 900.0]
    assert months_of(made, "ebitda")[:2] == [900.0, 900.0]
    assert months_of(made, "cash_flow")[:3] == [0.0, 450.0, 900.0]


def test_tax_sets_losses_off_first():
    """max(0, .) with loss carried forward."""
    profit = np.array([[-100.0], [60.0], [60.0], [-10.0], [30.0]])
    assert cash.tax_due(profit, 0.5, 0.0)[:, 0].tolist() == [0.0, 0.0, 10.0, 0.0, 10.0]
    assert cash.tax_due(profit, 0.5, 25.0)[:, 0].tolist() == [0.0, 0.0, 0.0, 0.0, 7.5]
    made = base(priced({"start": 1}, tax={"rate": 0.2}))
    assert months_of(made, "tax")[0] == 20.0


def test_payment_fees_and_other_money():
    made = base(
        priced({"start": 10}, costs={"payments": {"percentage": 0.03, "per_invoice": 0.3}}, other_per_month=-50)
    )
    assert months_of(made, "payment_cost")[0] == 33.0
    assert months_of(made, "ebitda")[0] == 1000 - 33 - 50
    setup = base({"price": {"per_new_customer": 500}, "customers": {"new_per_month": 2}})
    assert months_of(setup, "revenue")[0] == 1000.0 and months_of(setup, "mrr")[0] == 0.0


def test_a_loan_is_paid_back_with_interest():
    loan = {"name": "bank", "kind": "loan", "amount": 1200, "interest_per_year": 0.12, "months": 12, "month": 0}
    made = base({**priced({"start": 1}), "months": 14, "funding": [loan]})
    paid = -made.base["funding"]
    monthly = 1.12 ** (1 / 12) - 1
    assert paid[:12] == pytest.approx([1200 * monthly * 1.12 / 0.12] * 12)
    assert paid[12:].tolist() == [0.0, 0.0]
    free = base({**priced({"start": 1}), "funding": [{**loan, "interest_per_year": 0, "months": 4}]})
    assert (-free.base["funding"]).tolist() == pytest.approx([300.0] * 4 + [0.0] * 2)


def test_rounds_count_only_where_they_are_closed_likely_or_their_gate_was_met():
    def came(**more):
        milestones = [{"name": "ten", "metric": "customers", "value": 10}]
        made = base(
            priced(
                {"start": 8, "new_per_month": 1},
                funding=[{"name": "seed", "amount": 100, "month": 4, **more}],
                milestones=milestones,
            )
        )
        return made.base["funding"][3]

    assert came() == 0.0
    assert came(closed=True) == 100.0
    assert came(probability=0.6) == 100.0 and came(probability=0.4) == 0.0
    assert came(needs="ten") == 100.0
    assert came(needs="ten", month=2) == 0.0
    assert came(month=99, closed=True) == 0.0
    section = priced({"start": 1}, funding=[{"name": "seed", "amount": 100, "month": 4}])
    assert [finding.code for finding in simulate({**section, "scenarios": 4}).findings] == ["plan-round-not-counted"]


def test_a_likely_round_closes_in_that_share_of_the_scenarios():
    made = run(
        BusinessPlan.model_validate(
            priced(
                {"start": 1}, funding=[{"name": "seed", "amount": 100, "month": 4, "probability": 0.3}], scenarios=4000
            )
        )
    )
    assert made.mean["funding"][3] == pytest.approx(30.0, abs=2.5)


def test_ruin_absorbs():
    section = priced(
        {"start": 1},
        cash=250,
        discount_rate=0,
        liquidation_value=30,
        exit={"arr_multiple": 2},
        costs={"fixed": [{"name": "rent", "per_month": 200}]},
    )
    made = base(section)
    assert made.base_outcomes["ruin_month"] == 3
    assert months_of(made, "cash") == [150.0, 50.0, -50.0, 0.0, 0.0, 0.0]
    assert months_of(made, "cash_unabsorbed")[-1] == -350.0
    assert months_of(made, "revenue")[3:] == [0.0, 0.0, 0.0]
    assert made.base_outcomes["worth"] == pytest.approx(-300 + 30)
    assert made.base_outcomes["funding_need"] == 600.0
    alive = base({**section, "cash": 1000})
    assert alive.base_outcomes["worth"] == pytest.approx(-600 + 2 * 12 * 100)


def test_interest_is_earned_on_what_is_there():
    made = base(priced({"start": 0}, cash=1000, interest_on_cash_per_year=0.12))
    assert made.base["cash"][-1] == pytest.approx(1000 * 1.12**0.5)


def test_npv_discounts_month_m_by_m_twelfths():
    """Start flow at t = 0, month m discounted by (1 + r)^(-m/12)."""
    made = base(priced({"start": 1}, discount_rate=0.2, costs={"capital": [{"name": "x", "amount": 100}]}))
    expected = -100 + sum(100 * 1.2 ** (-m / 12) for m in range(1, 7))
    assert made.base_outcomes["worth"] == pytest.approx(expected)


def test_operating_break_even_is_three_months_running():
    flow = np.array([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    assert cash.three_running(flow).tolist() == [np.inf, 2.0]
    assert cash.three_running(flow[:2]).tolist() == [np.inf, np.inf]
    assert cash.first_month(flow > 0).tolist() == [1.0, 2.0]


def test_brownian_ruin_seen_at_month_ends():
    """Cash 1.2M, drift +.02M a month, sigma .25M per root month, 60 months, ruin seen at month ends: .29348 lies within
    the printed interval; the continuous .33958 does not."""
    section = {
        "months": 60,
        "scenarios": 20_000,
        "cash": 1.2e6,
        "other_per_month": {"mean": 2e4, "sd": 2.5e5, "each": "month"},
    }
    _, low, high = run(BusinessPlan.model_validate(section), seed=5).probability("ruin_month")
    assert low <= 0.29348 <= high
    assert not low <= 0.33958 <= high


def test_risks_strike_inside_the_simulation():
    section = priced(
        {"start": 10, "churn_per_month": 0.1},
        risks=[
            {
                "name": "rival",
                "likelihood": 0.5,
                "effect": {"churn": 2, "price": 0.5},
                "cost": 100,
                "duration_months": 2,
            }
        ],
    )
    made = run(BusinessPlan.model_validate({**section, "scenarios": 4000}))
    assert made.mean["risk_cost"].sum() == pytest.approx(50.0, abs=3.0)
    assert made.base["risk_cost"].sum() == 0.0
    likely = base({**section, "risks": [{**section["risks"][0], "likelihood": 0.9}]})
    # In the middle month of six, for two months.
    assert months_of(likely, "risk_cost") == [0.0, 0.0, 0.0, 100.0, 0.0, 0.0]
    assert likely.base["churned_customers"][3] / likely.base["customers"][2] == pytest.approx(0.2)
    assert likely.base["mrr"][3] == pytest.approx(50 * likely.base["customers"][3])


def test_segments_add_up():
    part = {"price": {"per_customer": 100}, "customers": {"start": 10, "churn_per_month": 0.1}}
    one, both = base(part), base({"segments": {"b2b": part, "b2c": part}})
    assert both.base["revenue"] == pytest.approx(2 * one.base["revenue"])
    assert "segments.b2b.price.per_customer" in both.plan.drivers()


def test_a_price_plan_by_meters_is_rated_exactly():
    tiers = {
        "name": "p",
        "currency": "USD",
        "fees": [
            {"kind": "graduated", "meter": "answers", "tiers": [{"up_to": 1000, "price": "0.01"}, {"price": "0.005"}]}
        ],
    }
    section = {"price": {"plan": tiers}, "customers": {"start": 4, "answers_each": 3000}}
    assert months_of(base(section), "mrr")[0] == pytest.approx(4 * (10 + 10), rel=1e-4)
    spread = {**section, "customers": {"start": 4, "answers_each": {"values": [500, 5500], "weights": [0.5, 0.5]}}}
    # The mean invoice of unequal customers is not the invoice of the mean customer.
    assert months_of(base(spread), "mrr")[0] == pytest.approx(4 * (5 + 10 + 22.5) / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("price", "response", "factor"),
    [
        (20.0, {"reference": 10, "elasticity": -1.5}, 2.0**-1.5),
        (10.0, {"reference": 10, "elasticity": -1.5}, 1.0),
        (15.0, {"reference": 10, "curve": [[0, 1.0], [10, 0.5], [20, 0.1]]}, 0.3 / 0.5),
        (25.0, {"reference": 10, "curve": [[0, 1.0], [10, 0.5], [20, 0.1]]}, 0.0),
    ],
)
def test_new_customers_answer_to_the_price(price, response, factor):
    made = base({"price": {"per_customer": price, "response": response}, "customers": {"new_per_month": 8}})
    assert made.base["new_customers"][0] == pytest.approx(8 * factor)


def test_spread_among_customers_fades_as_there_are_more_of_them():
    def spread(start):
        section = {
            "price": {"per_answer": 0.01},
            "scenarios": 2000,
            "customers": {"start": start, "answers_each": {"median": 1000, "p90": 4000}},
        }
        values = run(BusinessPlan.model_validate({**section, "months": 2})).outcomes["mrr_end"]
        return values.std() / values.mean()

    few, many = spread(1), spread(100)
    assert many == pytest.approx(few / 10, rel=0.15)


UNCERTAIN = {
    "months": 24,
    "scenarios": 2500,
    "cash": 60_000,
    "price": {"per_answer": {"low": 0.003, "mode": 0.004, "high": 0.006}},
    "customers": {
        "start": 3,
        "new_per_month": {"low": 2, "mode": 5, "high": 12},
        "churn_per_month": {"mean": 0.04, "sd": 0.015},
        "answers_each": {"median": 20000, "p90": 80000},
        "collection_days": 30,
        "bad_debt": {"mean": 0.02, "sd": 0.01},
    },
    "costs": {
        "serving": {"machine_per_hour": 0.1, "capacity_per_second": {"mean": 20, "sd": 2}},
        "fixed": [{"name": "rent", "per_month": {"mean": 500, "sd": 100, "each": "month"}}],
        "payments": {"percentage": 0.03},
    },
    "team": [{"role": "dev", "salary_per_month": {"mean": 4000, "sd": 500}}],
    "funding": [{"name": "angel", "amount": 20_000, "month": 6, "probability": 0.5}],
    "risks": [{"name": "outage", "likelihood": 0.2, "effect": {"new_customers": 0.5}, "cost": 5000}],
    "tax": {"rate": 0.25},
    "correlations": [["customers.new_per_month", "customers.churn_per_month", 0.4]],
}


def test_equal_seeds_give_equal_plans_and_more_scenarios_keep_the_first():
    plan = BusinessPlan.model_validate(UNCERTAIN)
    one, other, longer = run(plan, seed=3), run(plan, seed=3), run(plan, seed=3, scenarios=5000)
    assert np.array_equal(one.outcomes["worth"], other.outcomes["worth"])
    assert np.array_equal(one.outcomes["worth"], longer.outcomes["worth"][:2500])
    assert not np.array_equal(one.outcomes["worth"], run(plan, seed=4).outcomes["worth"])
    assert run(BusinessPlan.model_validate({**UNCERTAIN, "seed": 3})).seed == 3


def test_quasi_random_rounds_are_16_scramblings():
    made = run(BusinessPlan.model_validate({**UNCERTAIN, "random": "quasi"}), seed=1)
    assert made.scenarios == 4096 and made.groups == 16
    found, low, high = made.probability("ruin_month")
    assert low <= found <= high


def test_beyond_exact_size_quantiles_are_the_means_of_the_blocks():
    plan = BusinessPlan.model_validate({**UNCERTAIN, "months": 6})
    exact, blocks = run(plan, scenarios=20_000), run(plan, scenarios=22_000)
    assert blocks.quantiles["mrr"] == pytest.approx(exact.quantiles["mrr"], rel=0.03)
    assert len(blocks.outcomes["worth"]) == 22_000 and len(blocks.outcomes["nrr"]) == 20_480


def test_cash_is_conserved():
    """What is on the account is what was there, plus what came, less what was paid; every month, every scenario."""
    made = simulate(UNCERTAIN, seed=2).run
    paid = (
        made.mean["cost_of_serving"]
        + made.mean["payroll_general"]
        + made.mean["fixed_general"]
        + made.mean["training"]
        + made.mean["risk_cost"]
        + made.mean["capital"]
        + made.mean["tax"]
    )
    flow = made.mean["collected"] - paid
    assert np.allclose(made.mean["cash_flow"], flow)


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(0, 50), st.floats(0, 20), st.floats(0, 0.5), st.floats(0, 200), st.floats(0, 5000), st.floats(0, 0.4))
def test_zero_volatility_equals_the_deterministic_run(start, new, churn, price, rent, tax):
    made = run(
        BusinessPlan.model_validate(
            {
                "months": 12,
                "scenarios": 3,
                "cash": 10_000,
                "price": {"per_customer": round(price, 6)},
                "tax": {"rate": tax},
                "customers": {"start": start, "new_per_month": new, "churn_per_month": churn},
                "costs": {"fixed": [{"name": "rent", "per_month": rent}]},
            }
        )
    )
    for name in made.base:
        assert np.allclose(made.mean[name], made.base[name], rtol=1e-12, atol=1e-9)
    for name, value in made.base_outcomes.items():
        assert np.allclose(made.outcomes[name], [value] * 3, rtol=1e-12, equal_nan=True)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(0, 200_000), st.floats(0, 200_000), st.integers(0, 5))
def test_more_capital_never_raises_ruin_at_one_seed(capital, more, seed):
    poor = run(BusinessPlan.model_validate({**UNCERTAIN, "scenarios": 400, "cash": capital}), seed=seed)
    rich = run(BusinessPlan.model_validate({**UNCERTAIN, "scenarios": 400, "cash": capital + more}), seed=seed)
    assert np.all(rich.outcomes["ruin_month"] >= poor.outcomes["ruin_month"])


MONEY = (
    "price.per_answer",
    "team.dev.salary_per_month",
    "costs.fixed.rent.per_month",
    "costs.serving.machine_per_hour",
    "cash",
    "funding.angel.amount",
    "risks.outage.cost",
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(0.1, 50))
def test_multiplying_every_money_input_scales_every_money_output(factor):
    from breakeven.economics.plan import replaced

    plan = BusinessPlan.model_validate({**UNCERTAIN, "scenarios": 300})
    drivers = plan.drivers()
    scaled = run(replaced(plan, {name: drivers[name].shifted(factor) for name in MONEY}), seed=1)
    plain = run(plan, seed=1)
    for name in ("worth", "funding_need", "mrr_end", "final_cash_unabsorbed"):
        assert np.allclose(scaled.outcomes[name], factor * plain.outcomes[name], rtol=1e-9, atol=1e-6)
    assert np.array_equal(scaled.outcomes["ruin_month"], plain.outcomes["ruin_month"])


def test_shares_have_intervals():
    hits = np.zeros(1600, dtype=bool)
    hits[:400] = True
    found, low, high = share(hits)
    assert (found, round(low, 3), round(high, 3)) == (0.25, 0.229, 0.272)
    assert share(hits, 16)[2] == pytest.approx(0.25 + 2.131 * np.std([1] * 4 + [0] * 12, ddof=1) / 4)
    assert share(np.zeros(10, dtype=bool))[1] == 0.0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (figures.ltv(500, 0.8, 0.05), 8000.0),
        (figures.cac(50_000, 25), 2000.0),
        (figures.magic_number(480_000 + 1, 1, 1_800_000), 1.07),
        (figures.quick_ratio(20, 8, 8), 3.5),
        (figures.burn_multiple(300, 100), 3.0),
        (figures.rule_of_40(0.5, -0.1), 40.0),
        (figures.payback_months(2000, 500, 0.8), 5.0),
        (figures.yearly_churn(0.02), 0.2153),
        (figures.monthly_churn(figures.yearly_churn(0.02)), 0.02),
        (figures.retention(100, 15, 8)[0], 1.07),
        (figures.retention(100, 15, 8)[1], 0.92),
    ],
)
def test_published_figures(found, expected):
    """LTV 500 x .8 / .05 = 8,000; CAC 50k / 25 = 2,000; 2% a month is 21.53% a year; magic number 480k x 4 / 1.8M =
    1.07; quick ratio 28/8 = 3.5; (100 + 15 - 8)/100 = 107% NRR, 92% GRR."""
    assert float(found) == pytest.approx(expected, rel=5e-3)


def test_a_ratio_without_a_base_has_no_meaning():
    assert np.isnan(figures.ratio(1.0, 0.0))


def test_one_lag_for_all_and_a_drawn_one_collect_alike():
    """A certain number of days moves whole rows, a doubtful one looks up every scenario's own."""
    billed = np.random.default_rng(0).random((9, 4))
    for days in (0.5, 30.0, 45.625, 91.25, 3650.0):
        assert cash.collected(billed, days) == pytest.approx(cash.collected(billed, np.full(4, days)))
