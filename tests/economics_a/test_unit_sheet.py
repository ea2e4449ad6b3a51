import pytest

import breakeven.economics as economics
from breakeven.economics.unit_sheet import of_verdict
from breakeven.quantity import Quantity

SOLD = {
    "price": {"per_answer": 0.004},
    "months": 18,
    "scenarios": 64,
    "customers": {"start": 10, "answers_each": 20_000, "bad_debt": 0.1},
    "costs": {
        "payments": {"percentage": 0.03, "per_invoice": 0.3},
        "serving": {"machine_per_hour": 0.1, "capacity_per_second": 20, "per_answer": 0.0001},
    },
}


def per_1000(value):
    return Quantity(value, "USD/1000 answers", "measured")


def test_a_plan_without_a_model_shows_what_its_simulation_spends():
    sheet = economics.simulate(SOLD).as_json()["unit"]
    parts = {name: part["value"] for name, part in sheet["cost_parts"].items()}
    answers = 200_000
    assert sheet["basis"] == "simulation" and sheet["value"] is None and sheet["ceiling"] is None
    assert parts["per_answer"] == pytest.approx(0.1)
    assert parts["machines"] == pytest.approx(1000 * 73.0 / answers)
    assert parts["payment"] == pytest.approx(1000 * (0.03 * 800 + 10 * 0.3) / answers)
    assert parts["bad_debt"] == pytest.approx(0.4)
    assert sheet["cost"]["value"] == pytest.approx(sum(parts.values()))
    assert sheet["price"]["value"] == pytest.approx(4.0)
    own = parts["per_answer"] + parts["machines"] + parts["bad_debt"] + 1000 * 3.0 / answers
    assert sheet["floor"]["value"] == pytest.approx(own / 0.97)


def test_where_no_answers_are_sold_there_is_no_sheet():
    plan = economics.simulate({"price": {"per_customer": 49}, "scenarios": 8, "customers": {"start": 3}})
    assert plan.as_json()["unit"] is None
    unpaid = economics.simulate({"scenarios": 8, "customers": {"start": 3, "answers_each": 100}})
    assert unpaid.as_json()["unit"]["price"] is None


def test_a_verdict_gives_worth_and_ceiling_and_its_recommendation_stands_where_no_price_is_declared():
    judged = {f"{name}_per_1000": per_1000(1.0).as_json() for name in ("value", "at_volume", "floor", "recommended")}
    judged |= {"ceiling_per_1000": None, "cost_parts": {"machines": per_1000(1.0).as_json()}}
    assert of_verdict(judged, None).price == per_1000(1.0)
    assert of_verdict(judged, per_1000(4.0)).price == per_1000(4.0)
    data = of_verdict(judged, None).as_json()
    assert (data["basis"], data["ceiling"], data["cost_parts"]["machines"]["value"]) == ("verdict", None, 1.0)


def test_break_even_is_a_rising_curve_with_what_never_comes():
    uncertain = {**SOLD, "team": [{"role": "founder", "salary_per_month": {"low": 200, "high": 1500}}]}
    plan = economics.simulate({**uncertain, "scenarios": 400})
    curve = plan.as_json()["break_even"]["operating"]
    assert curve["months"] == list(range(1, 19)) and len(curve["probability"]) == 18
    assert curve["probability"] == sorted(curve["probability"])
    assert curve["probability"][-1] + curve["never"] == pytest.approx(1.0)
    assert curve["probability"][-1] == pytest.approx(plan.run.probability("operating_month")[0])
    assert 0.0 < curve["never"] < 1.0
