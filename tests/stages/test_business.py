import json
from types import SimpleNamespace

import pytest

import breakeven.economics as economics
from breakeven.artifacts import Store
from breakeven.economics.risks import raised, uncovered
from breakeven.errors import Finding, UsageError
from breakeven.measuring.settings import Settings as Evaluate
from breakeven.pipeline import Context, Quiet, Setup
from breakeven.quantity import Quantity
from breakeven.stages import business

SECTION = {
    "months": 12,
    "scenarios": 300,
    "cash": 20_000,
    "price": {"per_answer": 0.004},
    "customers": {"start": 3, "new_per_month": 5, "churn_per_month": {"mean": 0.04, "sd": 0.01}, "answers_each": 20000},
}
MACHINES = [
    {"name": "small", "price_per_hour": 0.1, "cores": 2, "measured": 0.5},
    {"name": "spare", "price_per_hour": 9},
]


def quantity(value, unit="x", **more):
    return Quantity(value, unit, "measured", **more).as_json()


def judged(machine="small", **more):
    return {
        "machine": {"name": machine, "count": 1, "utilization": 0.1} if machine else None,
        "pays": True,
        "value_per_1000": quantity(20.0),
        "at_volume_per_1000": quantity(1.2),
        "recommended_per_1000": quantity(9.0),
        "cost_parts": {"training": quantity(0.5)},
        **more,
    }


def verdict(chosen="linear", **candidates):
    return {"chosen": chosen, "demand": {"answers_per_month": quantity(60_000.0)}, "candidates": candidates}


MEASURED = {"linear": {"capacity_per_second": quantity(50.0, low=45.0, high=55.0)}, "api": {}}


@pytest.fixture
def setup(tmp_path):
    def make(section=SECTION):
        settings = business.Settings.model_validate(section)
        product = SimpleNamespace(name="sorter", description=None)
        config = SimpleNamespace(
            product=product, business=settings, evaluate=Evaluate.model_validate({"machines": MACHINES})
        )
        return Setup(tmp_path, config, None, 7)

    return make


def ran(setup, tmp_path, found, said=None):
    (step,) = business.steps(setup)
    store = Store(tmp_path / "artifacts")
    folder = store.folder(business.VERDICT)
    folder.mkdir(parents=True)
    (folder / "verdict.json").write_text(json.dumps(found))
    (folder / "measurements.json").write_text(json.dumps(MEASURED))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for name, findings in (said or {}).items():
        store.folder(name).mkdir(parents=True, exist_ok=True)
        (store.folder(name) / "findings.json").write_text(json.dumps([finding.as_json() for finding in findings]))
    context = Context(setup, store, step, scratch, "f", Quiet())
    step.run(context)
    return json.loads((scratch / business.PLAN).read_text()), scratch, context


def test_every_candidate_is_simulated_at_its_measured_costs(setup, tmp_path):
    found = verdict(linear=judged(), api=judged(None, cost_parts={"api": quantity(2.0)}, pays=False))
    plan, folder, _ = ran(setup(), tmp_path, found)
    assert set(plan["candidates"]) == {"linear", "api"}
    filled = plan["candidates"]["linear"]["filled"]
    # Two cores, each half as fast as the one that was measured.
    assert filled["costs.serving.capacity_per_second"]["value"] == pytest.approx(50.0)
    assert filled["costs.serving.machine_per_hour"]["value"] == pytest.approx(0.1)
    assert filled["costs.training.per_run"]["value"] == pytest.approx(0.5 * 60 * 12)
    assert plan["candidates"]["api"]["filled"]["costs.serving.per_answer"]["value"] == pytest.approx(0.002)
    assert plan["candidates"]["linear"]["npv"]["value"] > plan["candidates"]["api"]["npv"]["value"]
    assert (plan["chosen"], plan["shown"], plan["seed"]) == ("linear", "linear", 7)
    assert plan["doubt"]["what_to_measure"]["assumptions"]
    unit = plan["candidates"]["linear"]["unit"]
    assert unit["basis"] == "verdict" and unit["value"]["value"] == 20.0
    assert unit["price"]["value"] == pytest.approx(4.0)
    assert "worth 20 USD, sold at 4 USD, costing 1.2 USD" in plan["summary"][1]["text"]
    import polars as pl

    series = pl.read_parquet(folder / business.SERIES)
    assert set(series["candidate"]) == {"linear", "api"} and series["month"].max() == 12


def test_where_none_pays_the_best_plan_is_shown(setup, tmp_path):
    found = verdict(None, linear=judged(pays=False), api=judged(None, cost_parts={"api": quantity(9.0)}, pays=False))
    plan, _, context = ran(setup({**SECTION, "cash": None, "price": None, "seed": 3}), tmp_path, found)
    assert plan["chosen"] is None and plan["shown"] == "linear"
    assert [line["code"] for line in plan["summary"]][:2] == ["summary-product", "summary-does-not-pay"]
    assert plan["seed"] == 3
    assert plan["candidates"]["linear"]["filled"]["price.per_answer"]["value"] == pytest.approx(0.009)
    assert {finding.code for finding in context.findings} == {"plan-no-cash"}


def test_where_nothing_serves_the_only_candidate_the_plan_is_still_made(setup, tmp_path):
    nothing = dict.fromkeys(("at_volume_per_1000", "floor_per_1000", "recommended_per_1000"))
    found = verdict(None, linear=judged(None, cost_parts={}, pays=False, ceiling_per_1000=quantity(9.0), **nothing))
    plan, _, _ = ran(setup(), tmp_path, found)
    assert plan["shown"] == "linear" and plan["candidates"]["linear"]["unit"]["cost"] is None
    assert "summary-unit" not in [line["code"] for line in plan["summary"]]


def test_where_people_were_asked_their_price_stands_instead_of_half_the_room(setup, tmp_path):
    asked = [(price, int(price + n / 3 < 14)) for price in (2, 6, 10, 14) for n in range(40)]
    lines = "\n".join(f"{price},{bought}" for price, bought in asked)
    (tmp_path / "answers.csv").write_text(f"price,bought\n{lines}\n")
    study = {"gabor_granger": "answers.csv", "unit": "per_1000_answers"}
    limits = {"floor_per_1000": quantity(1.0), "ceiling_per_1000": quantity(5.0)}
    found = verdict(linear=judged(**limits), api=judged(None, cost_parts={"api": quantity(2.0)}))
    plan, _, _ = ran(setup({**SECTION, "price": None, "research": study}), tmp_path, found)
    linear, api = plan["candidates"]["linear"], plan["candidates"]["api"]
    assert linear["filled"]["price.per_answer"]["value"] == pytest.approx(0.005)  # no dearer than it is worth
    assert api["filled"]["price.per_answer"]["value"] > 0.005  # no ceiling is known of it
    assert linear["price_advice"]["elasticity"]["value"] < 0 and plan["research"]["curve"]["n"] == 160
    assert linear["unit"]["price"]["value"] == pytest.approx(5.0)


SAID = {
    "collect": [Finding("rights-not-established", "warning", "collect", "reviews.csv")],
    "evaluate/verdict": [
        Finding("gate-straddled", "warning", "evaluate", "linear"),
        Finding("gate-straddled", "warning", "evaluate", "other"),
    ],
}


def test_findings_of_other_stages_stand_in_the_register_with_what_they_would_do(setup, tmp_path):
    found = verdict(linear=judged(), other=judged(None, cost_parts={"api": quantity(2.0)}))
    training = tmp_path / "artifacts" / "train" / "linear"
    training.mkdir(parents=True)
    (training / "training.json").write_text(json.dumps({"base": {"weights": "w", "licence": "not stated"}}))
    plan, _, _ = ran(setup(), tmp_path, found, SAID)
    risks = {entry["source"]: entry for entry in plan["doubt"]["risks"]}
    assert set(risks) == {"collect: rights-not-established", "evaluate: gate-straddled", "train: licence-unknown"}
    assert not any(entry["counted"] for entry in risks.values())
    assert all(entry["residual"]["npv"] < 0 for entry in risks.values())


@pytest.mark.parametrize("choice", ["count", "ignore"])
def test_what_findings_suggest_may_be_counted_or_left(setup, tmp_path, choice):
    section = {**SECTION, "raised_risks": choice}
    found = verdict("other", other=judged(None, cost_parts={"api": quantity(2.0)}))
    plan, _, _ = ran(setup(section), tmp_path, found, SAID)
    shown = [(entry["source"], entry["counted"]) for entry in plan["doubt"]["risks"]]
    assert len(shown) == (3 if choice == "count" else 0) and all(counted for _, counted in shown)
    declared = {**section, "risks": [{"name": "theirs", "likelihood": 0.5, "source": "business: single-supplier"}]}
    settings = business.Settings.model_validate(declared)
    assert settings.raised_risks == choice


def test_a_risk_that_the_plan_states_is_not_suggested_again():
    own = {"name": "the only supplier raises prices or leaves", "likelihood": 0.3}
    settings = business.Settings.model_validate({**SECTION, "risks": [own]})
    found = raised([Finding("single-supplier", stage="business"), Finding("drift", stage="serve")])
    assert [risk.source for risk in uncovered(settings, found)] == ["serve: drift"]


def test_without_demand_training_cannot_be_told_and_nothing_below_zero_is_drawn(setup):
    wild = {"linear": {"capacity_per_second": quantity(1.0, low=-1.0, high=3.0)}}
    found = {**verdict(linear=judged()), "demand": {"answers_per_month": None}}
    settings = setup().config
    made = business.candidates(settings.business, found, wild, settings.evaluate)["linear"]
    assert made.training is None
    assert made.capacity_per_second.certain


def test_the_step_reads_every_setting_and_the_seed(setup):
    (step,) = business.steps(setup())
    assert step.needs == (business.VERDICT,)
    assert step.settings["seed"] == 7 and "business.customers" in step.settings
    assert business.STAGE.steps is business.steps


def test_a_project_without_a_business_has_no_such_step(setup):
    bare = setup()
    bare.config.business = None
    assert business.steps(bare) == []


def test_a_section_alone_is_simulated_without_a_model():
    plan = business.simulate_file(business.Settings.model_validate(SECTION), seed=2)
    assert plan.run.seed == 2
    with pytest.raises(UsageError, match="a plan without a model needs a price"):
        business.simulate_file(business.Settings.model_validate({"customers": {"start": 1}}))


def test_where_none_is_chosen_the_nearest_to_paying_is_shown():
    plans = {name: business.simulate_file(business.Settings.model_validate(SECTION)) for name in ("a", "b")}
    far = {"ceiling_per_1000": {"value": 1.0}, "floor_per_1000": {"value": 9.0}}
    near = {"ceiling_per_1000": {"value": 8.0}, "floor_per_1000": {"value": 9.0}}
    assert business.nearest(plans, {"a": far, "b": near}) == "b"
    assert business.nearest(plans, {}) in plans
    unserved = {"ceiling_per_1000": {"value": 99.0}, "floor_per_1000": None}
    assert business.nearest(plans, {"a": unserved, "b": far}) == "b"
    assert business.product_of(SimpleNamespace(product=None)) is None


def test_files_hold_no_nan():
    assert business.finite({"a": [float("nan"), 1.0, (float("inf"), "x")]}) == {"a": [None, 1.0, [None, "x"]]}


def test_differences_of_plans_are_paired_over_the_same_scenarios():
    section = {"months": 12, "scenarios": 500, "price": {"per_customer": 9},
               "customers": {"new_per_month": {"low": 1, "high": 9}, "churn_per_month": 0.05}}  # fmt: skip
    cheap = {**section, "costs": {"fixed": [{"name": "rent", "per_month": 10}]}}
    dear = {**section, "costs": {"fixed": [{"name": "rent", "per_month": 11}]}}
    found = business.differences({name: economics.simulate(each, seed=3) for name, each in (("a", cheap), ("b", dear))})
    worth = found["a"]["b"]
    # Their doubt is the same and falls out: a unit of money a month, discounted.
    assert worth["value"] == pytest.approx(sum(1.15 ** (-month / 12) for month in range(1, 13)))
    assert worth["high"] - worth["low"] == pytest.approx(0.0, abs=1e-6)
