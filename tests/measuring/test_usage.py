"""Usage per answer: what the meters of a task count over the test answers, as the plan charges for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from breakeven.economics.plan import BusinessPlan
from breakeven.errors import ConfigError
from breakeven.measuring.market import Business
from breakeven.measuring.names import check_settings
from breakeven.measuring.settings import Settings
from breakeven.measuring.verdict import Result, bench_of, conclude
from breakeven.stages.business import candidates
from breakeven.task import Cases
from breakeven.tasks.text_classification import TextClassification

from .synthetic import MACHINE, PAYOFF, cases, files, raw, verdict

SECTION = {
    "price": {
        "plan": {
            "fees": [
                {"kind": "per_unit", "meter": "characters", "price": 0.001},
                {"kind": "per_unit", "meter": "words", "price": 0.01},
            ]
        }
    },
    "customers": {"start": 5, "answers_each": 1000},
}


class Metered(TextClassification):
    """Texts that are also charged by characters read and by words said."""

    meters: ClassVar[tuple[str, ...]] = ("answers", "characters", "words")

    def usage(self, item: Any, output: Any) -> dict[str, int]:
        return {"answers": 1, "characters": len(item), "words": len(str(output["label"]).split())}


def judged(held: Cases, settings: Settings) -> Result:
    found = {"linear": files(held)}
    bench = bench_of(Metered(), held, found, settings, 0)
    return conclude(bench, found, {"linear": raw(held, 0.9)}, settings=settings, business=Business(), looks=1)


def settings(**more: Any) -> Settings:
    return Settings.model_validate({"payoff": PAYOFF, "machines": [MACHINE], "draws": 400, **more})


def held() -> Cases:
    made = cases(200)
    lengths = np.random.default_rng(0).integers(10, 200, len(made.ids))
    return Cases(
        made.ids, ["x" * int(n) for n in lengths], made.targets, slices=made.slices, columns=made.columns,
        units=made.units,
    )  # fmt: skip


def test_every_meter_stands_in_the_measurements_with_its_interval() -> None:
    rows = held()
    found = judged(rows, settings()).measurements["linear"]
    lengths = [len(text) for text in rows.inputs]
    characters = found["characters_per_answer"]
    assert characters["value"] == pytest.approx(np.mean(lengths))
    assert (characters["unit"], characters["origin"], characters["n"]) == ("characters/answer", "measured", 200)
    # The interval of a mean: about two standard errors to each side.
    error = np.std(lengths) / np.sqrt(len(lengths))
    assert characters["high"] - characters["low"] == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert found["words_per_answer"]["value"] == 1.0
    assert "answers_per_answer" not in found


def test_the_plan_takes_the_ratios_of_the_meters_that_it_charges() -> None:
    result = judged(held(), settings())
    section = BusinessPlan.model_validate(SECTION)
    made = candidates(section, result.verdict, result.measurements, settings())["linear"]
    ratios: Mapping[str, Any] = made.meters
    assert set(ratios) == {"characters", "words"}
    assert ratios["characters"].mean == pytest.approx(result.measurements["linear"]["characters_per_answer"]["value"])


def test_a_task_that_counts_answers_alone_measures_no_ratio() -> None:
    assert not [name for name in verdict({"linear": 0.9}).measurements["linear"] if name.endswith("s_per_answer")
                and not name.startswith(("cpu", "joule"))]  # fmt: skip


def test_usage_can_be_a_gate_and_a_wrong_meter_is_told() -> None:
    wanted = settings(gates={"characters_per_answer": {"max": 5}})
    check_settings(wanted, Metered())
    (gate,) = judged(held(), wanted).verdict["candidates"]["linear"]["gates"]
    assert gate["passes"] == "no"
    with pytest.raises(ConfigError, match="characters_per_answer"):
        check_settings(wanted, TextClassification())
