"""Price plans: the shorthand, the price of a request, and what is refused, in plain words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from breakeven.economics.fees import Flat, PerUnit, Seats, label
from breakeven.economics.money import InexactNumber
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.plans import Plan, plan_findings, price_text, rate, steady


def plan(**settings: Any) -> Plan:
    return Plan.model_validate(settings)


def tiers(*edges: Any, **more: Any) -> dict[str, Any]:
    return {"kind": "graduated", "tiers": [{"up_to": edge, "price": 1} for edge in edges], **more}


def test_shorthand_is_a_fee_on_a_meter() -> None:
    short = plan(per_answer=0.004, currency="EUR")
    assert isinstance(short.fees[0], PerUnit)
    assert (short.fees[0].meter, short.fees[0].price, short.currency) == ("answers", Decimal("0.004"), "EUR")
    assert plan(per_input_token=1).fees[0].meter == "input_tokens"  # type: ignore[union-attr]
    assert plan(per_audio_seconds=1).fees[0].meter == "audio_seconds"  # type: ignore[union-attr]
    assert price_text(plan(per_million_input_tokens="0.15"), {"input_tokens": 3}) == "0.00000045"
    assert price_text(plan(per_1000_answers=4), {"answers": 1}) == "0.004"


def test_shorthand_of_other_fees_joins_the_long_form() -> None:
    both = plan(per_month=49, per_seat=12, per_year=100, fees=[{"kind": "per_unit", "price": "0.01"}])
    assert [type(fee) for fee in both.fees] == [Flat, Seats, Flat, PerUnit]
    assert [label(fee) for fee in both.fees] == ["per_month", "seats", "per_year", "answers"]


def test_free_is_a_plan_without_fees() -> None:
    assert Plan.model_validate("free").fees == ()
    assert rate(Plan.model_validate("free"), {"answers": 5}) == 0


def test_the_price_of_a_request_is_exact_decimal_text() -> None:
    assert price_text(plan(per_answer="0.004"), {"answers": 3}) == "0.012"
    assert (
        price_text(
            plan(per_input_token="0.0000025", per_output_token="0.00001"),
            {"input_tokens": 1000, "output_tokens": "2.5"},
        )
        == "0.002525"
    )
    assert price_text(plan(fees=[{"kind": "revenue_share", "rate": "0.2"}]), {"revenue": "9.99"}) == "1.998"
    assert price_text(plan(per_month=49), {"answers": 3}) == "0"
    assert price_text(plan(fees=[{"kind": "free"}]), {"answers": 3}) == "0"


@pytest.mark.parametrize(
    "fee",
    [
        {"kind": "package", "price": 1, "size": 10},
        tiers(10, None),
        {"kind": "per_unit", "price": 1, "included": 5},
        {"kind": "per_unit", "price": 1, "minimum": 5},
    ],
)
def test_what_depends_on_the_period_is_not_known_until_the_invoice(fee: dict[str, Any]) -> None:
    assert rate(plan(fees=[fee]), {"answers": 1}) is None
    assert price_text(plan(fees=[fee]), {"answers": 1}) is None


def test_a_float_quantity_is_refused() -> None:
    with pytest.raises(InexactNumber, match=r"field answers: a float \(1.5\)"):
        rate(plan(per_answer=1), {"answers": 1.5})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"per_answer": -0.004}, "0 or more"),
        ({"per_answer": "0.1234567890123"}, "at most 12 decimals"),
        ({"per_answer": float("nan")}, "finite"),
        ({"currency": "usd"}, "ISO 4217"),
        ({"fees": [tiers(10, 10, None)]}, "ascending tiers that do not overlap"),
        ({"fees": [tiers(10, 5, None)]}, "up_to of tier 2 above 10"),
        ({"fees": [tiers(10, 20)]}, "up_to on every tier but the last"),
        ({"fees": [tiers(None, 20, None)]}, "up_to on every tier but the last"),
        ({"fees": [{"kind": "volume", "tiers": [{"up_to": 100}, {"above": 90}]}]}, "tier 2 above 100"),
        ({"fees": [{"kind": "volume", "tiers": [{"up_to": 100}, {"above": 101}]}]}, "tier 2 above 100"),
        ({"fees": [{"kind": "graduated_percentage", "tiers": [{"price": 2}]}]}, "between 0 and 1"),
        ({"fees": [{"kind": "graduated", "tiers": []}]}, "at least 1"),
        ({"fees": [{"kind": "package", "price": 1, "size": 0}]}, "greater than 0"),
        ({"fees": [{"kind": "percentage", "rate": 1.3}]}, "1.3% is 0.013"),
        ({"fees": [{"kind": "per_unit", "price": 1}, {"kind": "per_unit", "price": 2}]}, "a name of its own"),
        ({"discounts": [{"rate": 0.1, "amount": 3}]}, "either rate or amount"),
        ({"discounts": [{}]}, "either rate or amount"),
        ({"per_answer": 1, "coupons": [{"rate": 0.1, "fees": ["answer"]}]}, "fees among answers, found answer"),
        ({"order": ["tax", "credits"]}, "each of .* once, credits last"),
        ({"order": ["credits", "minimum", "discounts", "coupons", "tax"]}, "credits last"),
        ({"per_anwser_to_life": 1, "fee": []}, "Extra inputs"),
    ],
)
def test_plans_that_cannot_be_meant(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        plan(**settings)


def test_a_plan_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ValidationError, match="valid dictionary"):
        Plan.model_validate(5)


def test_tiers_may_say_where_they_start() -> None:
    edges = plan(fees=[{"kind": "graduated", "tiers": [{"above": 0, "up_to": 10}, {"above": 10}]}])
    assert len(edges.fees[0].tiers) == 2  # type: ignore[union-attr]


def test_a_volume_price_that_falls_at_an_edge_is_found() -> None:
    """Published volume example: 100 units cost 210, 101 cost 101 (billing engines document the cliff; ours warns)."""
    steep = plan(
        fees=[
            {
                "kind": "volume",
                "tiers": [
                    {"up_to": 100, "price": 2, "flat": 10},
                    {"up_to": 200, "price": 1},
                    {"price": "0.5", "flat": 150},
                ],
            }
        ]
    )
    findings = plan_findings(steep)
    assert [finding.fields["edge"] for finding in findings] == ["100"]
    assert "pays less for more" in str(findings[0])
    assert plan_findings(plan(fees=[tiers(10, None)])) == []


def test_the_steady_plan_is_what_a_later_month_bills() -> None:
    start = plan(
        per_month=5,
        per_year=120,
        fees=[{"kind": "one_off", "price": 900}, {"kind": "seats", "price": 1}],
        trial_days=30,
        coupons=[{"rate": 0.5, "periods": 1}, {"rate": 0.1}],
    )
    later = steady(start)
    assert [label(fee) for fee in later.fees] == ["per_month", "per_year", "seats"]
    assert later.fees[1] == Flat(name="per_year", price=Decimal(10))
    assert (later.trial_days, [coupon.rate for coupon in later.coupons]) == (0, [Decimal("0.1")])


def test_a_plan_in_the_business_section_is_in_its_currency() -> None:
    price = {"plan": {"per_answer": 1}}
    assert BusinessPlan.model_validate({"currency": "EUR", "price": price}).price.plan.currency == "EUR"  # type: ignore[union-attr]
    segments = {"a": {"price": price, "customers": {}}}
    parts = BusinessPlan.model_validate({"currency": "EUR", "segments": segments}).parts()
    assert parts["segments.a."].price.plan.currency == "EUR"  # type: ignore[union-attr]
    with pytest.raises(ValidationError, match="one currency; found EUR and a price plan in JPY"):
        BusinessPlan.model_validate({"currency": "EUR", "price": {"plan": {"per_answer": 1, "currency": "JPY"}}})
    with pytest.raises(ValidationError, match="valid dictionary"):
        BusinessPlan.model_validate([])
    with pytest.raises(ValidationError, match=r"price\.plan"):
        BusinessPlan.model_validate({"price": {"plan": 5}})


def test_a_fee_on_a_meter_that_nobody_counts_is_found() -> None:
    typo = plan(per_anser=1, per_month=5, per_image=2)
    found = plan_findings(typo, meters=["answers", "images"])
    assert [(finding.code, finding.fields["meter"]) for finding in found] == [("plan-meter-unknown", "ansers")]
    assert plan_findings(typo) == []
