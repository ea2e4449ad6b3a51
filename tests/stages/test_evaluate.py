"""The evaluate stage over real process, train and packaging; the load test is faked at its step."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from breakeven import pipeline
from breakeven.artifacts import HashCache, Store, read_json, write_json
from breakeven.economics.plan import BusinessPlan
from breakeven.errors import ConfigError
from breakeven.pipeline import Context, Setup, Step
from breakeven.stages import collect, evaluate, process, train
from breakeven.tasks.text_classification import TextClassification

from ..measuring.synthetic import MACHINE, PAYOFF, step

WORDS = {"good": ["fine", "great", "lovely", "works", "quick"], "bad": ["broken", "late", "awful", "slow", "refund"]}


def business(price: float = 0.004) -> BusinessPlan:
    customers = {"start": 3, "answers_each": {"median": 20000, "p90": 80000}}
    return BusinessPlan.model_validate({"price": {"per_answer": price}, "customers": customers})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    rng = random.Random(0)
    lines = ["text,label,shop"]
    for number in range(900):
        label = "good" if rng.random() < 0.6 else "bad"
        words = [rng.choice(WORDS[label]) for _ in range(3)] + [
            rng.choice(WORDS["good"] + WORDS["bad"]) for _ in range(2)
        ]
        rng.shuffle(words)
        lines.append(f"{' '.join(words)} order {number},{label},{rng.choice(['east', 'west'])}")
    (root / "rows.csv").write_text("\n".join(lines) + "\n")
    return root


def setup(root: Path, *, sold: BusinessPlan | None = None, **settings: Any) -> Setup:
    options: dict[str, Any] = {"payoff": PAYOFF, "machines": [MACHINE], "draws": 300, "runtimes": 1, **settings}
    config = SimpleNamespace(
        collect=collect.Settings.model_validate(
            {"source": "rows.csv", "fields": {"inputs": ["text"], "target": "label", "slices": ["shop"]}}
        ),
        process=process.Settings.model_validate({"deduplicate": "exact"}),
        train=train.Settings.model_validate({"candidates": [{"name": "majority", "model": "majority"}]}),
        evaluate=evaluate.Settings.model_validate(options),
        business=sold,
        product=SimpleNamespace(name="reviews", task="text-classification"),
    )
    return Setup(root, config, TextClassification(), 0)


def fake_speed(context: Context) -> None:
    names = [need.split("/")[1] for need in context.step.needs if need.startswith("evaluate/")]
    from breakeven.measuring.speed import _figures

    rounds = [{"trail": [step(rate, 500.0) for rate in (100, 300, 450, 600)], "steady": step(350, 500.0)}] * 3
    entry = {**_figures(rounds, "box"), "rounds": rounds}
    write_json(context.folder / "speed.json", {"hardware": {"key": "box"}, "candidates": dict.fromkeys(names, entry)})


def run(given: Setup, *, faked: bool = True) -> list[str]:
    stages = (collect.STAGE, process.STAGE, train.STAGE, evaluate.STAGE)
    steps: Iterable[Step] = [one for stage in stages for one in stage.steps(given)]
    if faked:
        steps = [replace(one, run=fake_speed) if one.name == "evaluate/speed" else one for one in steps]
    store = Store(given.root / "artifacts")
    planned = pipeline.plan(list(steps), store, HashCache(given.root / "artifacts" / "hashes.json"))
    return pipeline.run(planned, given, store, pipeline.Quiet())


def verdict(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(root / "artifacts" / "evaluate" / "verdict.json")
    return found


@pytest.fixture(scope="module")
def evaluated(project: Path) -> Path:
    run(setup(project))
    return project


def test_every_step_leaves_its_files(evaluated: Path) -> None:
    folder = evaluated / "artifacts" / "evaluate"
    assert (folder / "majority" / "package" / "package.json").is_file()
    quality = read_json(folder / "majority" / "quality.json")
    with np.load(folder / "majority" / "test.npz", allow_pickle=False) as stored:
        assert len(stored["ids"]) == quality["n"] == len(stored["probabilities"])
    assert quality["facts"]["classes"] == ["bad", "good"] and quality["validation"]["accuracy"] > 0.4
    assert set(verdict(evaluated)["candidates"]) == {"majority"} == set(read_json(folder / "measurements.json"))


def test_a_majority_that_answers_alike_for_everyone_is_worth_no_more_than_a_constant(evaluated: Path) -> None:
    one = verdict(evaluated)["candidates"]["majority"]
    assert not one["pays"] and verdict(evaluated)["chosen"] is None
    assert one["ceiling_per_1000"]["value"] <= 1e-9


@pytest.mark.parametrize(
    "change",
    [
        {"payoff": {"correct": 0.03, "wrong": -0.05}},
        {"machines": [{"name": "big", "price_per_hour": 1.0}]},
        {"gates": {"latency_ms_p95": {"max": 20}}},
        {"base_rates": {"good": 0.9, "bad": 0.1}},
        {"switching_cost": 0.001},
        {"metric": "accuracy"},
        {"demand": {"answers_per_month": 1000}},
        {"reject": "never"},
    ],
)
def test_declared_numbers_re_run_the_verdict_alone(evaluated: Path, change: dict[str, Any]) -> None:
    run(setup(evaluated))
    assert run(setup(evaluated, **change)) == ["evaluate/verdict"]
    assert run(setup(evaluated, **change)) == []


def test_a_new_price_re_runs_the_verdict_alone(evaluated: Path) -> None:
    run(setup(evaluated, sold=business(0.004)))
    assert run(setup(evaluated, sold=business(0.005))) == ["evaluate/verdict"]
    shown = verdict(evaluated)
    assert shown["price"]["declared"]["value"] == pytest.approx(5.0)
    assert shown["demand"]["answers_per_month"]["value"] == pytest.approx(3 * 35_932, rel=0.01)


def test_load_settings_and_runtimes_measure_again(evaluated: Path) -> None:
    run(setup(evaluated))
    assert run(setup(evaluated, load={"seconds": 61})) == ["evaluate/speed", "evaluate/verdict"]
    assert run(setup(evaluated, load={"seconds": 61}, tolerance=0.02)) == [
        "evaluate/majority",
        "evaluate/speed",
        "evaluate/verdict",
    ]


def test_looks_at_one_test_set_are_counted_once_each(project: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes((project / "rows.csv").read_bytes())
    looks = []
    for payoff in (PAYOFF, {"correct": 1}, PAYOFF, {"correct": 2}):
        run(setup(tmp_path, payoff=payoff))
        looks.append(verdict(tmp_path)["test_looks"])
    assert looks == [1, 2, 2, 3]
    run(setup(tmp_path, payoff={"correct": 2}, switching_cost=0.01))
    assert verdict(tmp_path)["test_looks"] == 3  # a price shows nothing new of the test rows


def test_a_candidate_cannot_take_the_name_of_a_step(project: Path) -> None:
    given = setup(project)
    given.config.train = train.Settings.model_validate({"candidates": [{"name": "speed", "model": "majority"}]})
    with pytest.raises(ConfigError, match="cannot be called 'speed'"):
        evaluate.STAGE.steps(given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gates": {"macro_f2": {"min": 0.5}}}, "nothing measures.*did you mean 'macro_f1'"),
        ({"gates": {"latency_p95": {"max": 5}}}, "did you mean 'latency_ms_p95'"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"payoff": {"corect": 1}}, "no such outcome.*did you mean 'correct'"),
        (
            {"runtimes": ["reference", "onxx-fp32"]},
            "no candidate has a runtime 'onxx-fp32'.*expected some of: reference",
        ),
    ],
)
def test_a_name_that_means_nothing_is_refused_before_anything_runs(
    project: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate.STAGE.steps(setup(project, **settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"payoff": {"wrong": "-1 times amount"}}, "found '-1 times amount'"),
        ({"payoff": {"wrong": None}}, "wrong"),
        ({"gates": {"macro_f1": {}}}, "exactly one of min and max"),
        ({"gates": {"macro_f1": {"min": 0, "max": 1}}}, "exactly one"),
        ({"base_rates": {"a": 0.7, "b": 0.7}}, "sum to 1"),
        ({"machines": [MACHINE, MACHINE]}, "used once"),
        ({"machines": [{"name": "x", "price_per_hour": -1}]}, "at least 0"),
        ({"reject": 1.5}, "less than 1"),
        ({"lod": {}}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate.Settings.model_validate(settings)


def test_settings_survive_a_round_trip_and_have_a_schema() -> None:
    full = {
        "payoff": PAYOFF,
        "machines": [MACHINE],
        "gates": {"macro_f1": {"min": 0.7}},
        "reject": 0.8,
        "alternatives": {"agency": {"value": 0.02, "price": {"low": 0.01, "mode": 0.02, "high": 0.03}}},
    }
    settings = evaluate.Settings.model_validate(full)
    dumped = settings.model_dump(mode="json")
    assert evaluate.Settings.model_validate(dumped).model_dump(mode="json") == dumped
    assert "payoff" in evaluate.Settings.model_json_schema()["properties"]


@pytest.mark.slow
@pytest.mark.alone
def test_the_real_server_is_loaded_once_and_a_new_payoff_loads_nothing(project: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes((project / "rows.csv").read_bytes())
    load = {"load": {"seconds": 4, "rounds": 2}}
    assert "evaluate/speed" in run(setup(tmp_path, **load), faked=False)
    speed = read_json(tmp_path / "artifacts" / "evaluate" / "speed" / "speed.json")
    one = speed["candidates"]["majority"]
    assert len(one["rounds"]) == 2 and one["latency_ms_p95"]["value"] > 0 and speed["reference"]["per_second"] > 0
    assert one["batch_cases"]["value"] >= 1 and one["cpu_seconds_per_answer"]["value"] > 0
    assert sum(step["answers"] for step in one["rounds"][0]["trail"]) > 20
    assert run(setup(tmp_path, payoff={"correct": 1}, **load), faked=False) == ["evaluate/verdict"]
    again = read_json(tmp_path / "artifacts" / "evaluate" / "speed" / "speed.json")
    assert again == speed


def test_an_estimate_follows_rows_runtimes_and_the_load_tests(project: Path) -> None:
    ladder = [{"name": "majority", "model": "majority"}, {"name": "encoder", "model": "minilm-l6"}]

    def minutes(**settings: Any) -> dict[str, float]:
        given = setup(project, **settings)
        given.config.train = train.Settings.model_validate({"candidates": ladder})
        return {row["step"]: row["minutes"] for row in evaluate.estimate(given)}

    one, all_three = minutes(runtimes=1), minutes(runtimes=None, load={"seconds": 600})
    assert one["evaluate/majority"] < one["evaluate/encoder"] < all_three["evaluate/encoder"]
    assert all_three["evaluate/speed"] - one["evaluate/speed"] == pytest.approx((600 - 24) / 60)
