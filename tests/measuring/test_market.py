from __future__ import annotations

from typing import Any

import pytest

from breakeven.economics.plan import BusinessPlan
from breakeven.measuring.market import of_plan, settings_read

CUSTOMERS = {"start": 10, "answers_each": 1000}


def plan(**settings: Any) -> BusinessPlan:
    return BusinessPlan.model_validate({"price": {"per_answer": 0.004}, "customers": CUSTOMERS, **settings})


def test_price_and_the_demand_of_day_one() -> None:
    found = of_plan(plan())
    assert found.price is not None and found.price.mean == 0.004
    assert found.answers_per_month is not None and found.answers_per_month.mean == 10_000
    assert of_plan(None).price is None and of_plan(plan(customers={})).answers_per_month is None


@pytest.mark.parametrize(
    ("start", "answers_each", "sd"),
    [
        (10, {"mean": 1000, "sd": 300}, 10**0.5 * 300),  # customers that differ even out
        (10, {"mean": 1000, "sd": 300, "each": "month"}, 10 * 300),  # what moves all of them does not
        ({"mean": 10, "sd": 2}, 1000, 2 * 1000),
        ({"mean": 10, "sd": 2}, {"mean": 1000, "sd": 300}, (10 * 300**2 + 2000**2) ** 0.5),
    ],
)
def test_demand_carries_the_doubt_of_customers_and_use(start: Any, answers_each: Any, sd: float) -> None:
    found = of_plan(plan(customers={"start": start, "answers_each": answers_each})).answers_per_month
    assert found is not None and found.mean == pytest.approx(10_000) and found.sd == pytest.approx(sd)
    assert found.origin == "assumed" and found.support[0] >= 0


def test_the_doubt_of_customers_that_differ_is_that_of_their_drawn_sum() -> None:
    from breakeven.economics.draws import draw

    settings = plan(customers={"start": 3, "answers_each": {"median": 20000, "p90": 80000}})
    (part,) = settings.parts().values()
    drawn = sum(draw(part.customers.answers_each, 0, f"customer {number}", 200_000) for number in range(3))
    found = of_plan(settings).answers_per_month
    assert found is not None
    assert found.mean == pytest.approx(float(drawn.mean()), rel=0.02)
    assert found.sd == pytest.approx(float(drawn.std()), rel=0.1)


def test_a_monthly_fee_is_spread_over_a_customers_answers() -> None:
    found = of_plan(plan(price={"per_answer": 0.001, "per_customer": 5}))
    assert found.price is not None and found.price.mean == pytest.approx(0.006)
    alone = of_plan(plan(price={"per_customer": {"low": 4, "mode": 5, "high": 6}}))
    assert alone.price is not None and alone.price.mean == pytest.approx(0.005) and not alone.price.certain


def test_a_price_plan_is_rated_at_the_mean_use() -> None:
    fees = [{"kind": "flat", "price": "5"}, {"kind": "per_unit", "meter": "answers", "price": "0.002"}]
    found = of_plan(plan(price={"plan": {"name": "basic", "currency": "USD", "fees": fees}}))
    assert found.price is not None and found.price.mean == pytest.approx(0.007)


def test_segments_weigh_by_their_answers() -> None:
    segments = {
        "small": {"price": {"per_answer": 0.01}, "customers": {"start": 10, "answers_each": 100}},
        "large": {"price": {"per_answer": 0.002}, "customers": {"start": 1, "answers_each": 3000}},
    }
    found = of_plan(BusinessPlan.model_validate({"segments": segments}))
    assert found.answers_per_month is not None and found.answers_per_month.mean == 4000
    assert found.price is not None and found.price.mean == pytest.approx(0.25 * 0.01 + 0.75 * 0.002)


def test_costs_besides_machines_are_taken_over() -> None:
    serving = {"per_answer": 0.001, "review_per_answer": 0.002, "liability_per_answer": 0.003, "per_customer": 7}
    costs = {"serving": {**serving, "minimum_machines": 2}, "payments": {"percentage": 0.03, "per_invoice": 0.3}}
    found = of_plan(plan(costs=costs))
    assert {name: driver.mean for name, driver in found.per_answer.items()} == {
        "per_answer": 0.001,
        "review_per_answer": 0.002,
        "liability_per_answer": 0.003,
    }
    assert found.monthly["per_customer"].mean == 70 and found.liability == 0.003 and found.minimum_machines == 2
    assert found.payment.percentage == 0.03 and found.payment.answers_per_invoice == 1000


def test_only_what_the_verdict_reads_makes_it_stale() -> None:
    first = settings_read(plan())
    assert settings_read(plan(months=12, team=[{"role": "sales", "salary_per_month": 1}])) == first
    assert settings_read(plan(price={"per_answer": 0.005})) != first
    assert settings_read(None) == {}
