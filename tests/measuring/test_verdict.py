from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from breakeven.economics.drivers import Driver
from breakeven.errors import ConfigError, Finding
from breakeven.measuring.market import Business
from breakeven.measuring.quality import quantiles
from breakeven.measuring.settings import Settings
from breakeven.measuring.verdict import bench_of, conclude
from breakeven.measuring.worth import enough_draws
from breakeven.metrics.classification import Classification
from breakeven.task import Cases
from breakeven.tasks.text_classification import TextClassification

from .synthetic import CLASSES, PAYOFF, cases, files, raw, verdict

SOLD = Business("USD", Driver.of(0.004), Driver.of(60_000.0))


def codes(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings}


def test_the_files_have_the_documented_shape_and_are_plain_json() -> None:
    result = verdict({"majority": 0.6, "linear": 0.9}, business=SOLD)
    shown = json.loads(json.dumps(result.verdict, allow_nan=False))
    assert {
        "format",
        "task",
        "metric",
        "currency",
        "n_test",
        "test_looks",
        "basis",
        "demand",
        "price",
        "alternatives",
        "base_rates",
        "candidates",
        "chosen",
        "margin",
        "sentence",
        "findings",
    } <= set(shown)
    linear = shown["candidates"]["linear"]
    assert {
        "metric",
        "metrics",
        "per_class",
        "per_slice",
        "pictures",
        "latency_ms_p95",
        "marginal_per_1000",
        "rule",
        "at_volume_per_1000",
        "cost_parts",
        "machine",
        "value_per_1000",
        "value_at_test_rates_per_1000",
        "floor_per_1000",
        "ceiling_per_1000",
        "recommended_per_1000",
        "contribution_per_month",
        "probability_best",
        "point_worth_per_month",
        "gates",
        "within_gates",
        "pays",
        "why_not",
        "still_improving",
    } <= set(linear)
    assert (
        linear["per_slice"]["shop"]["east"]["macro_f1"]["low"]
        < linear["per_slice"]["shop"]["east"]["macro_f1"]["value"]
    )
    for quantity in result.measurements["linear"].values():
        assert {"value", "low", "high", "unit", "origin", "n", "method", "hardware", "source"} <= set(quantity)


def test_value_is_the_outcomes_times_the_payoff() -> None:
    held = cases()
    result = verdict({"linear": 0.9})
    right = sum(
        said == true
        for said, true in zip(
            ["bad" if row[0] > 0.5 else "good" for row in raw(held, 0.9)], held.targets or [], strict=True
        )
    )
    # Elkan's threshold is 0.5 for a symmetric payoff, so the likelier class is answered.
    expected = 1000 * (right * 0.02 - (400 - right) * 0.10) / 400
    assert result.verdict["candidates"]["linear"]["value_per_1000"]["value"] == pytest.approx(expected)


def test_the_cheaper_one_is_chosen_where_the_better_one_does_not_earn_its_machine() -> None:
    result = verdict({"linear": 0.9, "encoder": 0.92}, capacities={"linear": 900, "encoder": 0.03}, business=SOLD)
    assert result.verdict["chosen"] == "linear"
    assert result.verdict["sentence"]["code"] == "verdict-rival-costs-more"
    assert "'encoder' is" in result.verdict["sentence"]["text"] and "costs" in result.verdict["sentence"]["text"]
    assert result.verdict["margin"]["rival"] == "encoder"


def test_the_better_one_is_chosen_where_it_costs_no_more() -> None:
    result = verdict({"linear": 0.85, "encoder": 0.95}, business=SOLD)
    assert result.verdict["chosen"] == "encoder" and result.verdict["margin"]["rival"] == "linear"
    shares = [one["probability_best"] for one in result.verdict["candidates"].values()]
    assert sum(shares) + result.verdict["probability_none"] == pytest.approx(1)
    assert (
        result.verdict["chosen_value_corrected_per_1000"]
        <= result.verdict["candidates"]["encoder"]["value_per_1000"]["value"]
    )


def test_a_single_candidate_that_passes_is_shipped_alone() -> None:
    assert verdict({"linear": 0.95}, business=SOLD).verdict["sentence"]["code"] == "verdict-only"


def test_none_pays_says_what_would_have_to_change() -> None:
    result = verdict({"linear": 0.9}, business=Business("USD", Driver.of(0.05), Driver.of(60_000.0)))
    assert result.verdict["chosen"] is None and result.verdict["sentence"]["code"] == "verdict-none"
    changes = {change["kind"] for change in result.verdict["candidates"]["linear"]["changes"]}
    assert "price" in changes and "would have to change" in result.verdict["sentence"]["text"]


def test_no_gate_passed_ships_nothing() -> None:
    result = verdict({"linear": 0.9}, business=SOLD, gates={"macro_f1": {"min": 0.99}})
    one = result.verdict["candidates"]["linear"]
    assert result.verdict["chosen"] is None and not one["within_gates"] and one["gates"][0]["passes"] == "no"
    assert "macro F1" in one["why_not"]


def test_a_gate_inside_the_interval_is_refused_on_the_bound_and_passed_on_the_point() -> None:
    strict = verdict({"linear": 0.9}, gates={"accuracy": {"min": 0.89}})
    assert strict.verdict["candidates"]["linear"]["gates"][0]["passes"] == "no"
    assert "gate-straddled" in codes(strict.findings)
    lenient = verdict({"linear": 0.9}, gates={"accuracy": {"min": 0.89, "judge": "point"}})
    assert lenient.verdict["candidates"]["linear"]["gates"][0]["passes"] == "yes"


def test_a_latency_inside_its_gate_asks_for_a_quieter_machine_not_for_more_rows() -> None:
    value = verdict({"linear": 0.9}).measurements["linear"]["latency_ms_p95"]["value"]
    result = verdict({"linear": 0.9}, gates={"latency_ms_p95": {"max": value + 0.01}})
    assert "gate-straddled-speed" in codes(result.findings)
    assert result.verdict["candidates"]["linear"]["gates"][0]["cases_needed"] is None


def test_too_few_cases_cannot_be_told_and_do_not_pass() -> None:
    result = verdict({"linear": 0.95}, n=20, gates={"accuracy": {"min": 0.5}})
    assert result.verdict["candidates"]["linear"]["gates"][0]["passes"] == "cannot_tell"
    assert not result.verdict["candidates"]["linear"]["within_gates"]
    assert {"gate-cannot-tell", "test-small"} <= codes(result.findings)


def test_another_latency_gate_re_reads_the_same_trail() -> None:
    wide, narrow = (verdict({"linear": 0.9}, gates={"latency_ms_p95": {"max": limit}}) for limit in (500, 20))
    capacities = [one.measurements["linear"]["capacity_per_second"]["value"] for one in (wide, narrow)]
    assert capacities[1] < 0.9 * capacities[0]


def test_a_faster_machine_is_assumed_and_a_small_one_holds_nothing() -> None:
    machines = [
        {"name": "tiny", "price_per_hour": 0.01, "memory_gb": 0.1},
        {
            "name": "fast",
            "price_per_hour": 0.4,
            "memory_gb": 8,
            "cores": 4,
            "measured": 2.0,
            "source": "https://example.org/prices",
            "as_of": "2026-01-01",
        },
    ]
    one = verdict({"linear": 0.9}, machines=machines, business=SOLD).verdict["candidates"]["linear"]
    assert one["machine"]["name"] == "fast"
    assert one["cost_parts"]["machines"]["inputs"] == {
        "machine/fast": "quoted",
        "linear/capacity": "assumed",
        "answers_per_month": "declared",
        "peak_factor": "assumed",
    }


def test_market_rates_move_the_value_and_the_test_rates_stay_beside_it() -> None:
    payoff = {"true_bad_pred_bad": 0.1, "true_bad_pred_good": -0.1, "true_good_pred_bad": -0.01}
    rare = verdict({"linear": 0.9}, payoff=payoff, base_rates={"bad": 0.05, "good": 0.95}).verdict
    one = rare["candidates"]["linear"]
    assert one["value_per_1000"]["value"] < 0.5 * one["value_at_test_rates_per_1000"]["value"]
    assert rare["base_rates"]["market"] == {"bad": 0.05, "good": 0.95}
    assert one["value_per_1000"]["inputs"]["base_rates"] == "declared"


def test_an_uncertain_payoff_widens_the_value() -> None:
    sure = verdict({"linear": 0.9}).verdict["candidates"]["linear"]["value_per_1000"]
    doubted = verdict({"linear": 0.9}, payoff={"correct": {"low": 0.0, "mode": 0.02, "high": 0.04}, "wrong": -0.1})
    found = doubted.verdict["candidates"]["linear"]["value_per_1000"]
    assert found["value"] == pytest.approx(sure["value"]) and found["origin"] == "assumed"
    assert found["high"] - found["low"] > 1.5 * (sure["high"] - sure["low"])


def test_a_loss_by_column_is_valued_row_by_row() -> None:
    held = cases()
    result = verdict({"linear": 0.9}, payoff={"wrong": "-0.01 * amount"})
    answers = ["bad" if row[0] > 0.5 else "good" for row in raw(held, 0.9)]
    lost = sum(
        -0.01 * amount
        for said, true, amount in zip(answers, held.targets or [], held.columns["amount"], strict=True)
        if said != true
    )
    assert result.verdict["candidates"]["linear"]["value_per_1000"]["value"] == pytest.approx(1000 * lost / 400)


def test_one_more_point_is_worth_what_turning_errors_right_brings() -> None:
    held = cases()
    found = {"linear": files(held)}
    settings = Settings.model_validate({"payoff": PAYOFF, "metric": "accuracy", "draws": 200})
    bench = bench_of(TextClassification(), held, found, settings, 0)
    worth = bench.judge(raw(held, 0.9))
    point = bench.point_worth(worth, "accuracy")
    assert point is not None and point.point == pytest.approx(
        0.01 * 0.12, rel=1e-6
    )  # a wrong answer made right: 0.02 + 0.10
    assert bench.point_worth(worth, "log_loss") is None


def test_the_best_constant_answer_is_what_the_customer_can_have_for_nothing() -> None:
    payoff = {"true_good_pred_good": 0.05, "true_bad_pred_good": -0.01}
    shown = verdict({"linear": 0.9}, payoff=payoff).verdict
    assert shown["alternatives"]["constant"]["answer"] == "good"
    one = shown["candidates"]["linear"]
    assert one["ceiling_per_1000"]["value"] < one["value_per_1000"]["value"] / 3


def test_candidates_are_judged_by_the_same_draws() -> None:
    twins = verdict({"one": 0.9, "two": 0.9}, business=SOLD).verdict
    assert twins["margin"]["value_more_per_1000"]["value"] == pytest.approx(0)
    assert twins["margin"]["value_more_per_1000"]["low"] is None  # no difference in any draw


def test_no_payoff_is_a_finding_and_not_a_crash() -> None:
    result = verdict({"linear": 0.9}, payoff={})
    assert result.verdict["chosen"] is None and "payoff-missing" in codes(result.findings)


def test_a_candidate_stopped_by_its_budget_is_said_so() -> None:
    result = verdict({"linear": 0.9, "encoder": 0.95}, still_improving=("encoder",))
    assert result.verdict["candidates"]["encoder"]["still_improving"]
    assert "verdict-still-improving" in codes(result.findings)


def test_a_weak_slice_and_a_gap_between_groups_are_named() -> None:
    held = cases(600)
    held.groups = {"age": [("young", "old")[i % 2] for i in range(600)]}
    answers = raw(held, 0.95)
    for index in range(0, 600, 4):  # half of the east, which is half of the young
        answers[index] = [0.9, 0.1] if (held.targets or [])[index] == "good" else [0.1, 0.9]
    settings = Settings.model_validate({"payoff": PAYOFF, "draws": 200})
    found = {"linear": files(held)}
    bench = bench_of(TextClassification(), held, found, settings, 0)
    result = conclude(bench, found, {"linear": answers}, settings=settings, business=Business(), looks=25)
    texts = [str(finding) for finding in result.findings]
    assert any("where shop is 'east'" in text for text in texts)
    assert any("groups of age" in text and "'young'" in text for text in texts)
    assert any("25 different sets" in text for text in texts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"payoff": {"corect": 1}}, "no such outcome.*did you mean 'correct'"),
        ({"base_rates": {"goood": 1.0}}, "no class of the data.*did you mean 'good'"),
        ({"gates": {"macro_f2": {"min": 0.5}}}, "nothing measures.*did you mean 'macro_f1'"),
        ({"payoff": {"wrong": "-1 * amuont"}}, "no numeric column 'amuont'.*amount"),
    ],
)
def test_names_that_nothing_has_are_refused_with_a_suggestion(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        verdict({"linear": 0.9}, **settings)


def test_a_market_class_without_test_rows_cannot_be_valued() -> None:
    held = Cases(["a", "b"], ["x", "y"], ["good", "good"], units=["a", "b"])
    settings = Settings.model_validate({"payoff": PAYOFF, "base_rates": {"bad": 0.5, "good": 0.5}})
    with pytest.raises(ConfigError, match="no case of it"):
        bench_of(TextClassification(), held, {"linear": files(held)}, settings, 0)


def test_units_are_resampled_whole_so_the_interval_is_wider() -> None:
    held = cases(400)
    answers = raw(held, 0.85)
    settings = Settings.model_validate({"payoff": PAYOFF, "draws": 400})
    widths = []
    for size in (1, 20):
        held.units = [f"u{i // size}" for i in range(400)]
        blocks = np.array(answers).reshape(-1, 20, 2).mean(axis=1).repeat(20, axis=0) if size > 1 else np.array(answers)
        bench = bench_of(TextClassification(), held, {"linear": files(held)}, settings, 0)
        found = bench.metrics(Classification().decide(list(blocks), bench.rule()), list(blocks))["accuracy"]
        widths.append((found.high or 0) - (found.low or 0))
        assert found.n == 400 // size
    assert widths[1] > widths[0]


def test_energy_and_carbon_are_assumed_without_a_counter() -> None:
    found = verdict({"linear": 0.9}).measurements["linear"]
    assert found["energy_wh_per_1000"]["origin"] == "assumed"
    assert found["energy_wh_per_1000"]["value"] == pytest.approx(
        found["cpu_seconds_per_answer"]["value"] * 8 * 1000 / 3600
    )
    assert found["carbon_g_per_1000"]["value"] == pytest.approx(found["energy_wh_per_1000"]["value"] * 0.4)


def test_every_class_is_named_in_the_rule_that_serving_will_apply() -> None:
    rule = verdict({"linear": 0.9}).verdict["candidates"]["linear"]["rule"]
    assert rule["classes"] == CLASSES and rule["threshold"] == pytest.approx(0.5)


def test_a_very_large_test_set_gets_fewer_draws() -> None:
    assert [enough_draws(2000, rows) for rows in (100, 50_000, 100_000, 10_000_000)] == [2000, 2000, 1000, 400]


def test_somebody_elses_answers_cost_their_quoted_price_and_need_no_machine() -> None:
    held = cases()
    api, own = files(held), files(held)
    quoted = {"value": 0.001, "source": "https://example.org/prices", "as_of": "2026-01-01"}
    api = replace(
        api, speed=None, quality={**api.quality, "price_per_answer": quoted, "latency_ms": quantiles([300.0] * 40)}
    )
    settings = Settings.model_validate({"payoff": PAYOFF, "draws": 200, "gates": {"latency_ms_p95": {"max": 500}}})
    found = {"linear": own, "theirs": api}
    bench = bench_of(TextClassification(), held, found, settings, 0)
    answers = {"linear": raw(held, 0.9), "theirs": raw(held, 0.96)}
    result = conclude(bench, found, answers, settings=settings, business=SOLD, looks=1)
    theirs = result.verdict["candidates"]["theirs"]
    assert theirs["machine"] is None and theirs["marginal_per_1000"]["value"] == pytest.approx(1.0)
    assert theirs["cost_parts"]["api"]["origin"] == "quoted" and theirs["gates"][0]["passes"] == "yes"
    assert result.verdict["chosen"] == "theirs" and "speed-missing" not in codes(result.findings)
