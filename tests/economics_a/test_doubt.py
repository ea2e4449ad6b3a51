import numpy as np
import pytest

from breakeven.economics import normal
from breakeven.economics.assessment import assess, decisions_of, next_steps, summary
from breakeven.economics.demand import LogitDemand
from breakeven.economics.doubt import (
    CHANCE,
    correlated_groups,
    plan_indices,
    sobol_indices,
    tornado,
    value_of_knowing,
    what_to_measure,
)
from breakeven.economics.drivers import Driver
from breakeven.economics.goal import Goal, moved, seek
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.price_studies import Studied
from breakeven.economics.research_sections import Research
from breakeven.economics.results import simulate
from breakeven.economics.risks import RAISED, raised, register
from breakeven.errors import Finding

SECTION = {
    "months": 18,
    "scenarios": 1500,
    "cash": 60_000,
    "price": {"per_answer": {"low": 0.003, "mode": 0.004, "high": 0.005}},
    "customers": {
        "start": 3,
        "new_per_month": {"low": 2, "mode": 5, "high": 12},
        "churn_per_month": {"mean": 0.04, "sd": 0.015},
        "answers_each": 20000,
    },
    "team": [{"role": "dev", "salary_per_month": 5000}],
}


def plan(**more):
    return BusinessPlan.model_validate({**SECTION, **more})


def ishigami(z, other_chance):
    x = (2.0 * normal.cdf(z) - 1.0) * np.pi
    return np.sin(x[0]) + 7.0 * np.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * np.sin(x[0])


def test_sobol_indices_of_ishigami():
    """Ishigami with a = 7, b = .1: first .3139, .4424, 0; total .5576, .4424, .2437."""
    found = {index.name: index for index in sobol_indices(ishigami, {"a": [0], "b": [1], "c": [2]}, 3, runs=4096)}
    for name, first, total in (("a", 0.3139, 0.5576), ("b", 0.4424, 0.4424), ("c", 0.0, 0.2437)):
        assert found[name].first == pytest.approx(first, abs=0.02)
        assert found[name].total == pytest.approx(total, abs=0.02)
        assert found[name].total_error < 0.05


@pytest.mark.slow
def test_sobol_indices_agree_with_salib():
    salib = pytest.importorskip("SALib")
    from SALib.analyze import sobol as analyze
    from SALib.sample import sobol as sample

    problem = {"num_vars": 2, "names": ["a", "b"], "bounds": [[0, 1], [0, 1]]}
    points = sample.sample(problem, 1024, calc_second_order=False, seed=1)

    def function(u):
        return u[0] ** 2 + 3.0 * u[0] * u[1]

    theirs = analyze.analyze(problem, function(points.T), calc_second_order=False, seed=1)
    ours = {i.name: i for i in sobol_indices(lambda z, _: function(normal.cdf(z)), {"a": [0], "b": [1]}, 2, runs=2048)}
    assert salib and [ours["a"].total, ours["b"].total] == pytest.approx(theirs["ST"].tolist(), abs=0.02)
    assert [ours["a"].first, ours["b"].first] == pytest.approx(theirs["S1"].tolist(), abs=0.03)


def test_a_constant_has_no_indices():
    index = sobol_indices(lambda z, _: np.zeros(z.shape[1]), {"a": [0]}, 1, runs=8)[0]
    assert (index.first, index.total) == (0.0, 0.0)


def test_correlated_drivers_are_one_group():
    groups = correlated_groups(["a", "b", "c", "d"], [("a", "b", 0.5), ("b", "c", 0.2)])
    assert groups == {"a + b + c": [0, 1, 2], "d": [3]}


def test_indices_of_a_plan_add_chance_where_there_is_any():
    quiet = plan_indices(plan(), runs=256)
    assert {index.name for index in quiet} == {
        "price.per_answer",
        "customers.new_per_month",
        "customers.churn_per_month",
    }
    assert quiet[0].name == "customers.new_per_month"
    noisy = plan_indices(
        plan(
            other_per_month={"mean": 0, "sd": 3000, "each": "month"},
            funding=[{"name": "x", "amount": 1, "probability": 0.5}],
            correlations=[["customers.new_per_month", "customers.churn_per_month", 0.5]],
        ),
        runs=256,
    )
    assert {index.name for index in noisy} == {
        "price.per_answer",
        "customers.new_per_month + customers.churn_per_month",
        CHANCE,
    }
    chance = next(index for index in noisy if index.name == CHANCE)
    assert chance.total > 0.02


def test_whole_customers_are_chance():
    whole = plan(customers={**SECTION["customers"], "counting": "whole"})
    assert CHANCE in {index.name for index in plan_indices(whole, runs=64)}


def test_a_tornado_is_sorted_and_centred_on_the_base_case():
    base, bars = tornado(plan())
    assert base == pytest.approx(simulate(plan()).run.base_outcomes["worth"])
    assert [bar.swing for bar in bars] == sorted((bar.swing for bar in bars), reverse=True)
    churn = next(bar for bar in bars if bar.driver == "customers.churn_per_month")
    assert churn.at_low > base > churn.at_high


def test_knowing_is_worth_what_it_changes():
    """Launch pays x - 0.5 on average, x ~ N(0, 1): knowing x is worth E[max(x - .5, 0)] = .19780 over not launching."""
    rng = np.random.default_rng(0)
    x, other = rng.standard_normal(40_000), rng.standard_normal(40_000)
    found = value_of_knowing({"launch": x - 0.5 + 2.0 * rng.standard_normal(40_000)}, {"x": x, "other": other})
    assert found.best == "do not launch" and found.changes_decision
    assert [worth.driver for worth in found.assumptions] == ["x", "other"]
    assert found.assumptions[0].value == pytest.approx(0.1978, abs=4 * found.assumptions[0].error + 0.005)
    assert found.assumptions[1].value <= 2 * found.assumptions[1].error + 1e-3
    assert found.assumptions[0].share == pytest.approx(0.2, abs=0.02)


def test_where_no_measurement_changes_the_decision_the_ranking_is_by_variance():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5000))
    found = value_of_knowing({"launch": 100.0 + 3 * x + y}, {"y": y, "x": x})
    assert not found.changes_decision
    assert [worth.driver for worth in found.assumptions] == ["x", "y"]
    still = value_of_knowing({"launch": np.full(100, 5.0)}, {"x": x[:100]})
    assert still.assumptions[0].share == 0.0


def test_what_to_measure_compares_decisions_on_the_same_numbers():
    dear = plan(team=[{"role": "dev", "salary_per_month": 6000}])
    found = what_to_measure({"lean": plan(), "dear": dear}, scenarios=3000)
    assert found.best in ("lean", "do not launch")
    assert {worth.driver for worth in found.assumptions} == {
        "price.per_answer",
        "customers.new_per_month",
        "customers.churn_per_month",
    }


def test_goal_seek_finds_the_price_that_breaks_even():
    goal = Goal("operating_month", 18, 0.8)
    found = seek(plan(), "price.per_answer", goal, low=0.001, high=0.04, scenarios=500)
    assert found.reachable and len(found.solutions) == 1
    at = seek(
        plan(), "price.per_answer", goal, low=found.solutions[0] * 0.999, high=found.solutions[0] * 1.001, scenarios=500
    )
    assert at.solutions[0] == pytest.approx(found.solutions[0], rel=2e-3)
    assert found.found_now < 0.8 < found.best_probability


def test_goal_seek_says_what_is_best_where_nothing_reaches_it():
    found = seek(plan(), "customers.churn_per_month", Goal("payback_month", 6, 0.99), low=0.0, high=0.5, scenarios=300)
    assert not found.reachable
    assert found.best_probability < 0.99


def test_goal_seek_on_a_cost_falls():
    found = seek(
        plan(), "team.dev.salary_per_month", Goal("ruin_month", 18, 0.9), low=100.0, high=20_000.0, scenarios=300
    )
    assert found.reachable and found.best_value == 100.0
    everywhere = seek(
        plan(), "team.dev.salary_per_month", Goal("ruin_month", 18, 0.9), low=1.0, high=2.0, scenarios=300
    )
    assert everywhere.solutions == (1.0,)


def test_goal_seek_refuses_what_it_cannot_search():
    with pytest.raises(ValueError, match="no driver is called 'rent'"):
        seek(plan(), "rent", low=0.0, high=1.0)
    with pytest.raises(ValueError, match="expected low below high"):
        seek(plan(), "price.per_answer", low=1.0, high=1.0)
    assert moved(Driver.of(0.0), 3.0).mean == 3.0


RISKS = [
    {
        "name": "supplier",
        "likelihood": 0.4,
        "effect": {"new_customers": 0.3},
        "owner": "cto",
        "mitigations": [
            {"name": "second supplier", "cost_per_month": 10, "likelihood": 0.1},
            {"name": "prayer", "cost": 9000, "effect": 0.99, "chosen": True},
        ],
    },
    {"name": "storm", "likelihood": 0.1, "cost": 500},
]


def test_the_register_prices_every_mitigation():
    entries = register(plan(risks=RISKS), scenarios=2048)
    assert [entry.name for entry in entries] == ["supplier", "storm"]
    assert entries[0].residual.npv < 0.0 and entries[0].residual.ruin >= 0.0
    by_name = {item.name: item for item in entries[0].mitigations}
    assert by_name["second supplier"].pays and not by_name["second supplier"].chosen
    assert not by_name["prayer"].pays and by_name["prayer"].chosen
    assert entries[0].as_json()["mitigations"][0]["npv"] > 0
    # A tenth of 500, discounted over the months in which it may strike, where nobody is ruined first.
    safe = register(plan(risks=RISKS[1:], cash=1e6), scenarios=4096)[0].residual
    assert safe.npv == pytest.approx(-50 * 1.15 ** (-9.5 / 12), abs=3 * safe.npv_error)


def test_findings_of_other_stages_raise_risks():
    found = raised([Finding("verdict-still-improving", stage="evaluate"), Finding("drift"), Finding("nothing")])
    assert [risk.source for risk in found] == ["evaluate: verdict-still-improving", "unknown: drift"]
    assert found[0].likelihood.origin == "assumed"
    assert len(raised([Finding(code) for code in RAISED])) == len(RAISED)


def test_suggested_risks_stand_in_the_register_with_what_they_would_do():
    suggested = raised(
        [Finding("single-supplier", stage="business"), Finding("rights-not-established", stage="collect")]
    )
    section = plan(costs={"serving": {"per_answer": 0.001}})
    entries = {entry.source: entry for entry in register(section, suggested=suggested, seed=1)}
    objects = entries["collect: rights-not-established"]
    assert not objects.counted and objects.residual.npv < 0 and objects.residual.ruin >= 0
    counted = section.model_copy(update={"risks": suggested})
    assert all(entry.counted for entry in register(counted, suggested=suggested, seed=1))


def test_the_summary_answers_what_a_founder_asks():
    made = simulate(plan(risks=RISKS, what="labels for reviews", buyers="shops"))
    found = assess(made)
    lines = summary(made, found)
    codes = [line.code for line in lines]
    assert codes[:5] == ["summary-what", "summary-end", "summary-break-even-rare", "summary-runway", "summary-ruin"]
    assert codes.count("summary-assumption") == 3
    assert str(lines[0]) == "you sell labels for reviews, to shops"
    assert {"next-price", "next-funding", "next-mitigate"} <= set(codes)
    assert all("?" not in str(line) for line in lines)
    data = found.as_json()
    assert data["goal"]["solutions"] and data["risks"] and data["tornado"]["bars"]


def test_a_runway_beyond_the_plan_is_said_in_words():
    made = simulate(plan(cash=10**9))
    said = [str(line) for line in summary(made, assess(made)) if line.code.startswith("summary-runway")]
    assert said == ["runway: fewer than one in ten runs out of cash within 18 months"]


def test_a_certain_plan_says_what_it_needs():
    made = simulate({"months": 6, "price": {"per_customer": 5}, "team": [{"role": "dev", "salary_per_month": 1000}]})
    said = next(str(line) for line in summary(made, assess(made)) if line.code == "summary-end")
    assert "nine in ten need no more than 7,200 USD from outside" in said and "[0, 0]" in said


def test_half_of_the_scenarios_is_said_only_where_half_get_there():
    made = simulate(plan(cash=60_000))
    assert made.runway().p10 is not None and made.runway().p50 is None
    said = {line.code: str(line) for line in summary(made, assess(made))}
    assert "most last longer than 18 months" in said["summary-runway-most"]
    rich = simulate(plan(price={"per_answer": 0.05}))
    month = rich.months("operating_month").p50
    lines = [str(line) for line in summary(rich, assess(rich))]
    assert any(line.endswith(f"half of all have it by month {month:.0f}") for line in lines)


def test_the_low_end_of_what_founders_get_may_be_nothing():
    table = {"events": [{"kind": "issue", "date": "2025-01-01", "holder": "Ann", "shares": 10}]}
    made = simulate(plan(cash=30_000, cap_table=table, exit={"arr_multiple": 3}))
    assert made.ownership.payout().low == 0.0 < made.ownership.payout().value
    said = next(str(line) for line in summary(made, assess(made)) if line.code == "summary-exit")
    assert "[0, " in said


def test_the_best_price_of_each_segment_is_said():
    curve = LogitDemand(6.0, 0.1)
    few = np.random.default_rng(1)
    asked = Studied("per_customer", Research.model_validate({"gabor_granger": "g"}), None, None, "gabor_granger", curve,
                    (few.normal(6.0, 0.3, 200), few.lognormal(np.log(0.1), 0.05, 200)), 300)  # fmt: skip
    part = {"price": {"per_customer": 30}, "customers": {"new_per_month": 3, "churn_per_month": 0.05}}
    made = simulate({"months": 12, "scenarios": 100, "segments": {"b2b": part, "b2c": part}}, studied={"b2b": asked})
    said = [str(line) for line in summary(made, assess(made)) if line.code.startswith("summary-research")]
    assert len(said) == 1 and said[0].startswith("price research, segment b2b: ")


def test_the_summary_of_a_plan_without_cash_and_with_a_verdict():
    section = {key: value for key, value in SECTION.items() if key not in ("cash", "team")}
    made = simulate(section)
    judged = {
        "value_per_1000": {"value": 20.0},
        "at_volume_per_1000": {"value": 0.3},
        "recommended_per_1000": {"value": 9.0},
    }
    lines = summary(made, assess(made), judged)
    assert "summary-runway" not in [line.code for line in lines]
    assert str(lines[0]) == "the product: plan"
    alone = simulate({**section, "what": "labels"})
    assert str(summary(alone, assess(alone), product="x")[0]) == "you sell labels"
    refused = summary(made, assess(made), {**judged, "pays": False}, product="Sorts mail.")
    assert str(refused[0]) == "the product: Sorts mail."
    assert refused[1].code == "summary-does-not-pay"
    assert "worth 20 USD, sold at 4 USD, costing 0.3 USD" in str(lines[1])
    unpriced = simulate({"customers": {"start": 3}, "months": 4, "scenarios": 50})
    assert [finding.code for finding in unpriced.findings] == ["plan-no-cash", "plan-no-price"]
    assert "sold at 9 USD" in str(summary(unpriced, assess(unpriced), judged)[1])
    assert next_steps(unpriced, assess(unpriced)) == []


def test_a_price_may_be_beyond_reach_or_free():
    hopeless = simulate(plan(team=[{"role": "many", "salary_per_month": 5e6}]))
    found = assess(hopeless)
    assert found.sought is not None and not found.sought.reachable
    assert "next-no-price" in [line.code for line in next_steps(hopeless, found)]
    free = simulate(plan(price={"per_customer": 0}))
    assert assess(free).sought is None


def test_a_measurement_that_would_change_the_decision():
    doubtful = simulate(plan(cash=1e6, months=36, team=[{"role": "dev", "salary_per_month": 5000}]))
    found = assess(doubtful)
    assert found.knowledge.changes_decision
    measure = next(line for line in next_steps(doubtful, found) if line.code == "next-measure")
    assert measure.fields["driver"] == "customers.new_per_month"


def test_where_customers_answer_to_the_price_it_is_a_decision_too():
    response = {"reference": 0.004, "elasticity": {"low": -3, "mode": -1.5, "high": -0.2}}
    made = simulate(plan(price={"per_answer": 0.004, "response": response}))
    assert next(iter(decisions_of({"a": made.settings}))) == "a at 0.002"
    found = assess(made).knowledge
    assert found.changes_decision
    assert found.assumptions[0].driver == "price.response.elasticity"
    lean = assess(simulate(plan(team=[], price={"per_answer": 0.004, "response": {**response, "elasticity": -0.2}})))
    assert lean.knowledge.best == "plan at 0.008"
    assert list(decisions_of({"a": plan()})) == ["a"]


def test_a_decision_that_no_measurement_changes():
    sure = simulate(plan(cash=1e6, team=[]))
    lines = next_steps(sure, assess(sure))
    assert [line.code for line in lines] == ["next-nothing-changes"]
