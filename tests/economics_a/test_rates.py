"""What a price plan's customers pay in the simulation: every meter, seat and one-off fee, exactly where fees add up."""

import numpy as np
import pytest
from pydantic import ValidationError

import breakeven.economics as economics
from breakeven.economics.drivers import Driver
from breakeven.economics.measured import Measured, fill
from breakeven.economics.plan import BusinessPlan
from breakeven.economics.plans import Plan
from breakeven.economics.rates import Use, mean_bill, once_of, revenue_of, table


def plan(*fees, **more):
    return Plan.model_validate({"currency": "USD", "fees": fees, **more})


def month(section, stream="mrr", n=0):
    made = economics.simulate({"months": 6, "scenarios": 64, **section}).run
    return float(made.base[stream][n])


def sold(*fees, customers, **more):
    return {"price": {"plan": {"currency": "USD", "fees": fees, **more}}, "customers": customers}


TOKENS = {"kind": "per_unit", "meter": "input_tokens", "price": 2, "per": 1000}


def test_other_meters_earn_by_their_ratio_to_answers_and_by_the_month():
    meters = {"input_tokens": {"per_answer": 50, "per_month": 10_000}, "days": {"per_month": 2}}
    section = sold(
        TOKENS, {"kind": "days", "price": 600}, customers={"start": 4, "answers_each": 300, "meters": meters}
    )
    assert month(section) == pytest.approx(4 * (2 * (50 * 300 + 10_000) / 1000 + 1200), rel=1e-5)


def test_seats_earn_in_the_mean_over_how_many_each_customer_has():
    seats = {"kind": "seats", "price": 10, "included": 2}
    spread = {"values": [1, 3, 8], "weights": [0.25, 0.5, 0.25]}
    section = sold(seats, customers={"start": 4, "seats_each": spread})
    # One customer in four has fewer seats than are included, and pays nothing: not what the mean customer pays.
    assert month(section) == pytest.approx(4 * (0.25 * 0 + 0.5 * 10 + 0.25 * 60))
    assert month(sold({"kind": "seats", "price": 10}, customers={"start": 4})) == pytest.approx(40)


def test_one_off_fees_are_paid_by_new_customers_and_recur_never():
    fees = ({"kind": "one_off", "name": "setup", "price": 500}, {"kind": "flat", "price": 20})
    section = sold(*fees, customers={"start": 3, "new_per_month": 2})
    assert month(section, "mrr") == pytest.approx(5 * 20)
    assert month(section, "revenue") == pytest.approx(5 * 20 + 2 * 500)
    off = {"discounts": [{"rate": "0.1", "fees": ["setup"]}, {"amount": 5}, {"rate": "0.5", "fees": ["flat"]}]}
    assert once_of(plan(*fees, **off)) == pytest.approx(450)
    assert once_of(plan(fees[1])) == 0.0


def test_a_setup_price_beside_a_plan_cannot_be_and_both_kinds_of_once_do_not_mix():
    with pytest.raises(ValidationError, match="either a plan"):
        BusinessPlan.model_validate({"price": {"plan": "free", "per_new_customer": 5}})


def test_a_commitment_is_paid_by_those_who_use_less():
    fee = {"kind": "per_unit", "price": "0.01"}
    spread = {"values": [100, 9900], "weights": [0.5, 0.5]}
    section = sold(fee, customers={"start": 2, "answers_each": spread}, minimum=30)
    assert month(section) == pytest.approx(30 + 99, rel=1e-3)


def test_prepaid_credits_are_revenue_once_when_they_are_sold():
    fees = ({"kind": "prepaid", "price": 50}, {"kind": "per_unit", "price": "0.01"})
    assert revenue_of(plan(*fees), 3000) == pytest.approx(50)  # 30 of use is paid from 50
    assert revenue_of(plan(*fees), 8000) == pytest.approx(80)  # 50 from credits, 30 billed
    taxed = plan(*fees, taxes=[{"rate": "0.2"}])
    # 80 of use and 16 of tax, 50 of it from credits: 80 - 50 / 1.2 is billed besides the credits.
    assert revenue_of(taxed, 8000) == pytest.approx(50 + 80 - 50 / 1.2, abs=0.01)
    bonus = plan({"kind": "prepaid", "price": 50, "credits": 60}, fees[1])
    assert revenue_of(bonus, 8000) == pytest.approx(50 + 80 - 60)


def test_fees_by_event_count_events_of_the_declared_size():
    fee = {"kind": "percentage", "meter": "payments", "rate": "0.013", "fixed": 2}
    some = Use({"payments": 800.0}, sizes={"payments": 200.0})
    assert revenue_of(plan(fee), 0, some) == pytest.approx(800 * 0.013 + 4 * 2)
    many = Use({"payments": 100_000.0}, sizes={"payments": 100.0})
    assert revenue_of(plan(fee), 0, many) == pytest.approx(1300 + 1000 * 2)
    section = sold(fee, customers={"start": 3, "meters": {"payments": {"per_month": 800, "per_event": 200}}})
    assert month(section) == pytest.approx(3 * 18.4)


def test_a_trial_leaves_out_the_part_of_a_month_that_is_free():
    section = sold({"kind": "flat", "price": 100}, customers={"new_per_month": 12}, trial_days=45)
    free = 45 / (365 / 12)
    assert month(section, n=0) == pytest.approx(0.0)
    assert month(section, n=1) == pytest.approx(100 * (24 - 12 - 12 * (free - 1)))
    assert month(section, n=5) == pytest.approx(100 * (72 - 12 * free))


def test_a_doubtful_ratio_moves_what_is_paid_and_is_named_among_the_doubts():
    ratio = {"p10": 40, "p90": 60, "shape": "lognormal"}
    customers = {"start": 4, "answers_each": 300, "meters": {"input_tokens": {"per_answer": ratio}}}
    made = economics.simulate({"months": 3, "scenarios": 4000, **sold(TOKENS, customers=customers)})
    low, middle, high = made.run.quantiles["mrr"][:, 0]
    assert (low, middle, high) == pytest.approx((4 * 24, 4 * 0.6 * 2400**0.5, 4 * 36), rel=0.01)
    assert economics.assess(made).bars[0].driver == "customers.meters.input_tokens.per_answer"


def test_a_doubtful_ratio_is_exact_where_tiers_bend():
    tiers = {"kind": "graduated", "meter": "input_tokens", "tiers": [{"up_to": 10_000, "price": 1}, {"price": "0.5"}]}
    customers = BusinessPlan.model_validate(
        sold(
            tiers, customers={"answers_each": 300, "meters": {"input_tokens": {"per_answer": {"low": 20, "high": 60}}}}
        )
    ).customers
    rated = table(plan(tiers), customers, "")
    nodes, _ = rated.ratios["customers.meters.input_tokens.per_answer"]
    inputs = {"customers.meters.input_tokens.per_answer": nodes}
    paid = rated.recurring(np.full((1, len(nodes)), 300.0), inputs)[0]
    units = 300 * nodes
    exact = np.minimum(units, 10_000) + 0.5 * np.maximum(units - 10_000, 0)
    assert paid == pytest.approx(exact, rel=1e-3)


def test_the_mean_bill_counts_every_meter_and_seat():
    fees = (TOKENS, {"kind": "seats", "price": 10})
    customers = {"answers_each": 100, "seats_each": 3, "meters": {"input_tokens": {"per_answer": 50}}}
    settings = BusinessPlan.model_validate(sold(*fees, customers=customers))
    assert mean_bill(settings.price.plan, settings.customers) == pytest.approx(10 + 30)


def test_equal_questions_are_rated_once():
    settings = BusinessPlan.model_validate(sold(TOKENS, customers={"answers_each": 7}))
    again = settings.model_copy(deep=True)
    assert table(settings.price.plan, settings.customers) is table(again.price.plan, again.customers)


def test_a_fee_on_a_meter_of_which_no_use_is_known_is_told():
    plan_ = economics.simulate({"scenarios": 8, **sold(TOKENS, customers={"start": 1})})
    found = [finding for finding in plan_.findings if finding.code == "plan-meter-unknown"]
    assert found and "earns nothing" in str(found[0])


def test_counted_meters_fill_what_a_plan_charges_for_and_nobody_declared():
    ratio = Driver.of(120.0, "input_tokens", "measured")
    counted = Measured("linear", meters={"input_tokens": ratio, "images": ratio})
    bare = BusinessPlan.model_validate(sold(TOKENS, customers={"start": 1, "answers_each": 10}))
    made = fill(bare, counted)
    assert made.plan.customers.meters["input_tokens"].per_answer == ratio
    assert set(made.filled) == {"customers.meters.input_tokens.per_answer"}
    declared = {"start": 1, "meters": {"input_tokens": {"per_answer": 5}}}
    kept = fill(BusinessPlan.model_validate(sold(TOKENS, customers=declared)), counted)
    assert kept.plan.customers.meters["input_tokens"].per_answer.mean == 5
    assert set(kept.overruled) == {"customers.meters.input_tokens"}
    parts = {"a": sold(TOKENS, customers={"start": 1}), "b": {"price": {"per_customer": 1}, "customers": {"start": 1}}}
    split = fill(BusinessPlan.model_validate({"segments": parts}), counted).plan
    assert set(split.segments["a"].customers.meters) == {"input_tokens"} and not split.segments["b"].customers.meters


@pytest.mark.parametrize(
    ("meters", "said"),
    [
        ({"input_tokens": {}}, "per_answer, per_month or both"),
        ({"answers": {"per_month": 1}}, "answers_each for the meter answers"),
        ({"x": {"per_month": 1, "per_event": 0}}, "greater than 0"),
        ({"x": {"per_month": -1}}, "at least 0"),
    ],
)
def test_use_that_cannot_be_meant_is_refused(meters, said):
    with pytest.raises(ValidationError, match=said):
        BusinessPlan.model_validate({"customers": {"meters": meters}})


# ------------------------------------------------------------------ discounts that end


FLAT = {"kind": "flat", "price": 100}


def months(customers, **more):
    section = sold(FLAT, customers=customers, **more)
    return economics.simulate({"months": 6, "scenarios": 16, **section}).run.base["mrr"].tolist()


def test_a_discount_that_ends_is_taken_off_each_new_customers_first_invoices():
    half = {"coupons": [{"rate": "0.5", "periods": 3}]}
    # Those who were there before have had theirs: 4 x 100, and of each two new ones three half months.
    assert months({"start": 4, "new_per_month": 2}, **half) == [500, 600, 700, 900, 1100, 1300]
    assert months({"start": 4, "new_per_month": 2}) == [600, 800, 1000, 1200, 1400, 1600]


def test_discounts_of_different_length_end_one_after_the_other_and_leavers_take_theirs_along():
    offs = {"discounts": [{"rate": "0.5", "periods": 3}], "coupons": [{"amount": 10, "periods": 2}]}
    found = months({"new_per_month": 2, "churn_per_month": 0.5}, **offs)
    # Ages 0 and 1 pay 40, age 2 pays 50, later 100; half of each age leaves every month.
    paid = [40, 40, 50, 100, 100, 100]
    expected = [sum(2 * 0.5**age * paid[age] for age in range(month + 1)) for month in range(6)]
    assert found == pytest.approx(expected)


def test_a_trial_comes_before_the_discount_on_what_is_left_of_it():
    found = months({"new_per_month": 2}, trial_days=31, coupons=[{"rate": "0.5", "periods": 2}])
    free = 31 / (365 / 12) - 1
    assert found[:3] == pytest.approx([0, 2 * (1 - free) * 50, 2 * (1 - free) * 50 + 2 * 100])


def test_the_invoice_and_the_simulation_agree_on_when_a_discount_ends():
    billed = plan(FLAT, coupons=[{"rate": "0.5", "periods": 3}])
    assert [revenue_of(billed, 0, billed=number) for number in range(5)] == [50, 50, 50, 100, 100]
    assert revenue_of(billed, 0) == 100


def test_a_discount_on_use_and_seats_ends_too():
    fees = ({"kind": "per_unit", "price": "0.01"}, {"kind": "seats", "price": 10})
    customers = {"new_per_month": 1, "answers_each": 1000, "seats_each": {"values": [1, 3], "weights": [0.5, 0.5]}}
    section = sold(*fees, customers=customers, discounts=[{"rate": "0.2", "periods": 1}])
    assert month(section) == pytest.approx(0.8 * (10 + 20), rel=1e-3)
    assert month(section, n=1) == pytest.approx(1.8 * (10 + 20), rel=1e-3)
