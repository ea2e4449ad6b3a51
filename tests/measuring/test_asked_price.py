"""The price that research recommends: the verdict and the plan speak of the same one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics.demand import LogitDemand, best_logit_price, best_price
from breakeven.economics.plan import BusinessPlan
from breakeven.measuring.market import of_plan
from breakeven.measuring.settings import Settings
from breakeven.stages.business import candidates, simulate_all
from breakeven.stages.declared_files import research

from .synthetic import MACHINE, PAYOFF, verdict

CUSTOMERS = {"start": 200, "new_per_month": 2, "answers_each": 2000, "churn_per_month": 0.05}
COSTS = {"serving": {"review_per_answer": 0.0005, "per_customer": 0.4},
         "payments": {"percentage": 0.03, "per_invoice": 0.3}}  # fmt: skip


def asked(root: Path, unit: str, middle: float) -> dict[str, Any]:
    """A section whose file says that half of the people would pay `middle`."""
    rng = np.random.default_rng(3)
    prices = rng.choice([0.25, 0.5, 1.0, 1.5, 2.0], 400) * middle
    buys = rng.random(400) < 1 / (1 + np.exp(4 * (prices / middle - 1)))
    (root / "answers.csv").write_text(
        "price,bought\n" + "".join(f"{p},{int(b)}\n" for p, b in zip(prices, buys, strict=True))
    )
    return {"months": 6, "scenarios": 50, "customers": CUSTOMERS, "costs": COSTS,
            "research": {"gabor_granger": "answers.csv", "unit": unit}}  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "middle", "inside"),
    [
        ("per_answer", 0.004, True),
        ("per_1000_answers", 4.0, True),
        ("per_customer", 8.0, True),
        ("per_answer", 0.5, False),  # people would pay far above what it is worth: the ceiling holds in both
    ],
)
def test_verdict_and_plan_recommend_the_same_price(tmp_path: Path, unit: str, middle: float, inside: bool) -> None:
    section = BusinessPlan.model_validate(asked(tmp_path, unit, middle))
    evaluate = Settings.model_validate({"payoff": PAYOFF, "machines": [MACHINE]})
    result = verdict({"linear": 0.9}, business=of_plan(section, research(tmp_path, section)))
    judged = result.verdict["candidates"]
    told = judged["linear"]["recommended_per_1000"]
    plans = simulate_all(
        section,
        candidates(section, result.verdict, result.measurements, evaluate),
        seed=0,
        root=tmp_path,
        judged=judged,
    )
    advice = plans["linear"].advice
    assert advice is not None
    each = CUSTOMERS["answers_each"] if unit == "per_customer" else 1
    assert told["value"] == pytest.approx(1000 * advice.price.value / each, rel=0.002)
    floor, ceiling = judged["linear"]["floor_per_1000"]["value"], judged["linear"]["ceiling_per_1000"]["value"]
    if inside:
        assert floor * 1.05 < told["low"] < told["value"] < told["high"]
    assert (told["value"] < ceiling * 0.999) == inside
    assert judged["linear"]["pays"]


def test_without_research_the_room_is_shared(tmp_path: Path) -> None:
    section = BusinessPlan.model_validate({**asked(tmp_path, "per_answer", 0.008), "research": None})
    one = verdict({"linear": 0.9}, business=of_plan(section)).verdict["candidates"]["linear"]
    assert one["recommended_per_1000"]["origin"] == "assumed"
    floor, ceiling = one["floor_per_1000"]["value"], one["ceiling_per_1000"]["value"]
    assert floor < one["recommended_per_1000"]["value"] < (floor + ceiling) / 2


@given(st.floats(-3, 12), st.floats(0.05, 50), st.floats(0, 3))
def test_the_exact_price_is_the_one_that_the_search_finds(intercept: float, slope: float, cost: float) -> None:
    exact = float(best_logit_price(intercept, slope, cost))
    demand = LogitDemand(intercept, slope)
    profit = (exact - cost) * float(demand.share(exact))
    assert exact > cost
    assert profit >= best_price(demand, unit_cost=cost).profit * (1 - 1e-9)
