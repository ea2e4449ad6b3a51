"""Price research in a plan: from answers to the price that earns most and to who still comes at another one."""

import numpy as np
import pytest
from pydantic import ValidationError

import breakeven.economics as economics
from breakeven.economics.demand import LogitDemand, best_price
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.price_studies import advise, remarks, respond, study, unit_cost
from breakeven.economics.research_sections import Research
from breakeven.errors import DataError, UsageError

TRUE = LogitDemand(4.0, 0.08)


def buys(n=200, demand=TRUE, seed=0):
    asked = np.repeat([20.0, 30.0, 40.0, 50.0, 60.0, 80.0], n)
    said = np.random.default_rng(seed).random(len(asked)) < demand.share(asked)
    return [{"price": price, "bought": yes} for price, yes in zip(asked.tolist(), said.tolist(), strict=True)]


def four(n=150, around=50.0):
    prices = np.sort(np.random.default_rng(1).normal(around, 15.0, (n, 4)).clip(1.0), axis=1)
    return [
        dict(zip(("too_cheap", "cheap", "expensive", "too_expensive"), row, strict=True)) for row in prices.tolist()
    ]


def choices(n=400):
    generator, rows = np.random.default_rng(2), []
    for question in range(n):
        shown = [("none", 0.0), *((plan, float(generator.choice([20, 40, 60, 80]))) for plan in ("basic", "pro"))]
        worth = [{"none": 0.0, "basic": 1.5, "pro": 2.5}[plan] - 0.05 * price for plan, price in shown]
        pick = int(np.argmax(np.array(worth) + generator.gumbel(size=3)))
        rows += [
            {"question": question, "plan": plan, "price": price, "chosen": int(place == pick)}
            for place, (plan, price) in enumerate(shown)
        ]
    return rows


CBC = {
    "file": "cbc.csv",
    "attributes": ["plan"],
    "ours": {"plan": "pro"},
    "against": [{"plan": "none", "price": 0}, {"plan": "basic", "price": 40}],
}
SECTION = {
    "months": 12,
    "scenarios": 1000,
    "price": {"per_customer": 30},
    "customers": {"new_per_month": 10},
    "costs": {"serving": {"per_customer": 5}, "payments": {"percentage": 0.03, "per_invoice": 0.3}},
}
TABLES = {"gabor_granger": buys(), "van_westendorp": four(), "conjoint": choices()}


def studied(settings, leading="per_customer", **tables):
    return study(Research.model_validate(settings), {**TABLES, **tables}, leading=leading)


def test_the_curve_found_is_near_the_true_one_and_so_is_the_price_that_earns_most():
    plan = BusinessPlan.model_validate(SECTION)
    found = studied({"gabor_granger": "gg.csv"})
    advice = advise(plan, found)
    true = best_price(TRUE, unit_cost=unit_cost(plan, "per_customer"))
    assert unit_cost(plan, "per_customer") == pytest.approx(5.3 / 0.97)
    assert advice.price.low < true.price < advice.price.high
    assert advice.price.value == pytest.approx(true.price, rel=0.1)
    assert advice.elasticity.value == pytest.approx(float(TRUE.elasticity(true.price)), rel=0.2)
    assert advice.declared.value > advice.elasticity.value  # less elastic at the lower price
    assert advice.gain > 0.0 and advice.price.n == 1200
    assert advise(plan, found, low=60.0).price.value == pytest.approx(60.0)
    assert advise(plan, found, high=20.0).price.value == pytest.approx(20.0)
    assert advise(plan, found, low=60.0, high=20.0).price.value == pytest.approx(60.0)


def test_new_customers_answer_to_the_price_by_the_curve_and_its_doubt_reaches_the_plan():
    found = studied({"gabor_granger": "gg.csv", "reference": 40})
    plan = economics.simulate(SECTION, studied=found)
    factor = found.demand.share(30.0) / found.demand.share(40.0)
    assert plan.run.base["new_customers"][0] == pytest.approx(10 * float(factor), rel=1e-6)
    assert plan.figure("mrr_end").high > plan.figure("mrr_end").low
    names = {item.driver for item in economics.assess(plan).knowledge.assumptions}
    assert {"price.response.demand.intercept", "price.response.demand.slope"} <= names
    # Drawn apart, intercept and slope would be many times more doubtful than the curve is.
    shares = [LogitDemand(a, b).share(30.0) for a, b in zip(*found.drawn, strict=True)]
    new = plan.run.outcomes["customers_end"] / 120
    ratio = np.array(shares) / [LogitDemand(a, b).share(40.0) for a, b in zip(*found.drawn, strict=True)]
    assert new.std() == pytest.approx(ratio.std(), rel=0.25)


def test_without_a_price_the_advised_one_is_asked():
    bare = {**SECTION, "price": None}
    plan = economics.simulate(bare, studied=studied({"gabor_granger": "g", "unit": "per_customer"}, leading=None))
    assert plan.settings.price.per_customer.mean == pytest.approx(plan.advice.price.value)
    assert plan.filled["price.per_customer"] == plan.advice.price
    assert plan.as_json()["price_advice"]["elasticity_at_declared"] is None
    assert plan.advice.declared is None and plan.advice.gain is None
    line = next(line for line in economics.summary(plan, economics.assess(plan)) if line.code == "summary-research")
    assert "USD a customer and month would earn most" in str(line)


def test_prices_asked_for_1000_answers_are_of_one():
    found = studied({"gabor_granger": "g", "van_westendorp": "v", "unit": "per_1000_answers"})
    section = {**SECTION, "price": {"per_answer": 0.03}, "customers": {"new_per_month": 10, "answers_each": 100}}
    plan = economics.simulate(section, studied=found)
    assert found.unit == "per_answer"
    true = best_price(LogitDemand(4.0, 80.0), unit_cost=5.3 / 100 / 0.97)
    assert plan.advice.price.value == pytest.approx(true.price, rel=0.1)
    data = found.as_json()
    assert data["van_westendorp"]["optimal"] == pytest.approx(0.05, rel=0.2)
    assert max(data["curve"]["prices"]) == pytest.approx(2 * 6 / 80, rel=0.1)


def test_the_cost_of_a_unit_counts_machines_reviews_and_fees():
    serving = {
        "per_answer": 0.001,
        "review_per_answer": 0.002,
        "machine_per_hour": 3.6,
        "capacity_per_second": 1.0,
        "peak_factor": 2.0,
        "per_customer": 4,
    }
    section = {"customers": {"answers_each": 1000}, "costs": {"serving": serving, "payments": {"per_invoice": 1}}}
    plan = BusinessPlan.model_validate(section)
    assert unit_cost(plan, "per_answer") == pytest.approx(0.001 + 0.002 + 0.002 + 5 / 1000)
    assert unit_cost(plan, "per_customer") == pytest.approx(5 + 1000 * 0.005)
    assert unit_cost(BusinessPlan(), "per_answer") == 0.0


def test_a_conjoint_gives_the_curve_of_our_profile_against_what_else_is_on_offer():
    found = studied({"conjoint": CBC})
    # Utility 2.5 - 0.05 p against an opt-out at 0 and basic at 1.5 - 2 = -0.5.
    true = LogitDemand(2.5 - np.log(1 + np.exp(-0.5)), 0.05)
    assert found.demand.share(40.0) == pytest.approx(float(true.share(40.0)), abs=0.08)
    data = found.as_json()
    assert data["conjoint"]["questions"] == 400 and data["curve"]["study"] == "conjoint"
    low, high = np.array(data["curve"]["p10"]), np.array(data["curve"]["p90"])
    shares = np.array(data["curve"]["share"])
    assert (low <= shares + 1e-9).all() and (shares <= high + 1e-9).all()
    assert economics.simulate(SECTION, studied=found).settings.price.response.demand is not None


def test_a_range_alone_gives_no_curve_and_warns_of_a_price_outside():
    found = studied({"van_westendorp": "vw.csv"})
    plan = economics.simulate({**SECTION, "price": {"per_customer": 5}}, studied=found)
    assert plan.advice is None and plan.settings.price.response is None
    assert [finding.code for finding in plan.findings] == ["plan-no-cash", "research-price-outside"]
    inside = economics.simulate({**SECTION, "price": {"per_customer": 50}}, studied=found)
    assert [finding.code for finding in inside.findings] == ["plan-no-cash"]
    assert found.as_json()["curve"] is None and plan.as_json()["price_advice"] is None
    lonely = four(1)
    assert studied({"van_westendorp": "v"}, van_westendorp=lonely).as_json()["van_westendorp"]["respondents"] == 1


def test_what_was_declared_stands():
    found = studied({"gabor_granger": "g"})
    declared = {"per_customer": 30, "response": {"reference": 30, "elasticity": -1}}
    for price in (declared, {"plan": {"per_month": 30, "currency": "USD"}}, {"per_customer": 0}):
        plan = BusinessPlan.model_validate({**SECTION, "price": price})
        assert respond(plan, found, advise(plan, found)) is plan
    parts = {"a": {"price": {"per_customer": 1}, "customers": {"start": 1}}}
    split = BusinessPlan.model_validate({"segments": parts})
    assert respond(split, found, advise(split, found)) is split
    by_answer = BusinessPlan.model_validate({**SECTION, "price": {"per_answer": 1, "per_customer": 30}})
    assert respond(by_answer, found, advise(by_answer, found)) is by_answer
    best = BusinessPlan.model_validate(
        {**SECTION, "price": {"per_customer": round(advise(split, found).price.value, 6)}}
    )
    assert remarks(best, found, advise(best, found), "plan") == []
    below = BusinessPlan.model_validate({**SECTION, "price": {"per_customer": 2}})
    assert advise(below, found).gain is None
    nobody = BusinessPlan.model_validate({**SECTION, "price": {"per_customer": 1e9}})
    assert advise(nobody, found).gain is None


def test_studies_that_were_not_read_are_told():
    plan = economics.simulate({**SECTION, "research": {"gabor_granger": "g.csv"}})
    assert "research-unread" in [finding.code for finding in plan.findings]


@pytest.mark.parametrize(
    ("settings", "tables", "said"),
    [
        (
            {"gabor_granger": {"file": "g", "bought": "said"}},
            {},
            "g: has no column 'said'; expected one of price, bought",
        ),
        ({"gabor_granger": "g"}, {"gabor_granger": []}, "has no column 'bought'"),
        ({"gabor_granger": "g"}, {"gabor_granger": [{"price": 1, "bought": "maybe"}]}, "row 1, field bought: 'maybe'"),
        ({"gabor_granger": "g"}, {"gabor_granger": [{"price": "cheap", "bought": 1}]}, "'cheap' is not a number"),
        ({"van_westendorp": "v"}, {"van_westendorp": [{**four(1)[0], "cheap": None}]}, "'None' is not a number"),
        ({"conjoint": {**CBC, "ours": {"plan": "gold"}}}, {}, "'gold' is no level of plan in the answers"),
        ({"gabor_granger": "g"}, {"gabor_granger": buys(demand=LogitDemand(-4.0, -0.08))}, "more people would buy"),
        (
            {"gabor_granger": "g"},
            {"gabor_granger": [{"price": p, "bought": int(p < 3)} for p in (1, 2, 3, 4)]},
            "leave the demand curve open",
        ),
    ],
)
def test_answers_that_cannot_be_used_are_refused(settings, tables, said):
    with pytest.raises(DataError, match=said):
        studied(settings, **tables)


def test_prices_that_are_for_nothing_named_are_refused():
    with pytest.raises(UsageError, match="not said what the asked prices are for"):
        studied({"gabor_granger": "g"}, leading=None)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "van_westendorp, gabor_granger or conjoint"),
        ({"gabor_granger": "g", "curve": "conjoint"}, "the study conjoint where the curve is taken from it"),
        ({"gabor_granger": "g", "conjoint": CBC}, "curve: gabor_granger or conjoint"),
        ({"gabor_granger": "g", "reference": 0}, "a reference price above 0"),
        ({"conjoint": {**CBC, "ours": {}}}, "in ours a level for each of plan"),
        ({"conjoint": {**CBC, "against": [{"plan": "none"}]}}, "in against a value for each of plan, price"),
    ],
)
def test_research_that_cannot_be_meant_is_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Research.model_validate(settings)


def test_each_segment_answers_to_its_price_by_its_own_answers():
    found = studied({"gabor_granger": "g"})
    part = {"price": {"per_customer": 60}, "customers": {"new_per_month": 5, "churn_per_month": 0.05}}
    asked = {**part, "research": {"gabor_granger": "g"}}
    split = {"months": 12, "scenarios": 200, "segments": {"b2b": asked, "b2c": part}}
    plan = economics.simulate(split, studied={"b2b": found})
    response = plan.settings.segments["b2b"].price.response
    assert response.demand is not None and plan.settings.segments["b2c"].price.response is None
    names = {name for pair in plan.settings.correlations for name in pair[:2]}
    assert names == {f"segments.b2b.price.response.demand.{end}" for end in ("intercept", "slope")}
    advised = plan.as_json()["price_advice_by_segment"]["b2b"]
    assert advised["price"]["low"] < advised["price"]["value"] < advised["price"]["high"] < 60
    codes = {finding.code: str(finding) for finding in plan.findings}
    assert "segment b2b: by the answers" in codes["research-better-price-of-segment"]
    assert "research-unread" not in codes
    # The same price as for a plan of that segment alone, and a dearer one brings fewer customers.
    single = economics.simulate({"price": {"per_customer": 60}, "scenarios": 200}, studied=found)
    assert advised["price"]["value"] == pytest.approx(single.advice.price.value)
    dear = {**split, "segments": {**split["segments"], "b2b": {**asked, "price": {"per_customer": 90, "response": {
        "reference": 60, "demand": {"intercept": 6.0, "slope": 0.1}}}}}}  # fmt: skip
    assert economics.simulate(dear).run.base["new_customers"][0] < plan.run.base["new_customers"][0]


def test_research_of_a_segment_that_was_not_read_is_told():
    part = {"price": {"per_customer": 60}, "customers": {"start": 1}, "research": {"gabor_granger": "g"}}
    plan = economics.simulate({"months": 3, "scenarios": 20, "segments": {"b2b": part}})
    assert "research-unread" in {finding.code for finding in plan.findings}
    with pytest.raises(ValueError, match="market and research; found both"):
        BusinessPlan.model_validate({"segments": {"b2b": part}, "research": {"gabor_granger": "g"}})
