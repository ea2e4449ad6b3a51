"""Invoices: the published billing examples, and what holds for every plan and every history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.economics.invoice import Customer, Event, Invoice, invoice
from breakeven.economics.money import Money
from breakeven.economics.plans import Discount, Plan, Tax
from breakeven.economics.proration import Period
from breakeven.economics.statement import itemise
from breakeven.errors import DataError, UsageError

JANUARY = Period.month(2026, 1)
START = JANUARY.start
HALF = START + (JANUARY.end - START) / 2


def bill(fees: Any, *used: tuple[str, Any], customer: dict[str, Any] | None = None, **more: Any) -> Invoice:
    events = [(START + timedelta(hours=hour), f"e{hour}", meter, count) for hour, (meter, count) in enumerate(used)]
    plan = Plan.model_validate({"fees": fees if isinstance(fees, list) else [fees], **more})
    return invoice(events, plan, Customer("c", **(customer or {})), JANUARY)


def amounts(document: Invoice) -> list[str]:
    return [f"{Money(line.minor, document.currency).amount}" for line in (*document.lines, *document.taxes)]


GRADUATED = {
    "kind": "graduated",
    "tiers": [{"up_to": 10, "price": 10, "flat": 2}, {"up_to": 20, "price": 5, "flat": 3}, {"price": 5, "flat": 3}],
}
VOLUME = {
    "kind": "volume",
    "tiers": [{"up_to": 100, "price": 2, "flat": 10}, {"up_to": 200, "price": 1}, {"price": 0.5, "flat": 50}],
}
PAYMENTS = [("payments", amount) for amount in (50, 100, 250, 400)]
RATE = {"kind": "percentage", "rate": 0.013, "fixed": 2}


@pytest.mark.parametrize(("units", "due"), [(0, "2"), (1, "12"), (10, "102"), (11, "110"), (21, "163")])
def test_graduated_with_flat_fees(units: int, due: str) -> None:
    """Lago documentation, graduated pricing with flat fees: the first tier's flat fee is charged at 0 units."""
    assert bill(GRADUATED, ("answers", units)).total.amount == Decimal(due)


@pytest.mark.parametrize(("units", "due"), [(100, "210"), (101, "101"), (300, "200")])
def test_volume(units: int, due: str) -> None:
    """Lago documentation, volume pricing: all units at the price of the tier that the total falls into."""
    assert bill(VOLUME, ("answers", units)).total.amount == Decimal(due)


@pytest.mark.parametrize(("included", "due"), [(0, "1300"), (10, "1200")])
def test_package(included: int, due: str) -> None:
    """Lago documentation, package pricing: 100 per begun 10 units; with 10 free units a package less."""
    fee = {"kind": "package", "price": 100, "size": 10, "included": included}
    assert bill(fee, ("answers", 121)).total.amount == Decimal(due)


@pytest.mark.parametrize(
    ("more", "due"),
    [
        ({}, "18.40"),
        ({"free_events": 3}, "7.20"),
        ({"free_events": 3, "free_amount": 250}, "11.15"),
        ({"free_amount": 250}, "11.15"),
        ({"free_events": 9}, "0.00"),
        ({"free_amount": 10000}, "0.00"),
    ],
)
def test_percentage(more: dict[str, Any], due: str) -> None:
    """Lago documentation, percentage pricing: 4 payments at 1.3% + 2, free events, and a free amount of 250 besides."""
    assert bill({**RATE, **more}, *PAYMENTS).total.amount == Decimal(due)


def test_free_events_are_the_first_in_time_not_in_arrival() -> None:
    plan = Plan.model_validate({"fees": [{**RATE, "free_events": 3}]})
    events = [(START + timedelta(hours=h), f"e{h}", "payments", q) for h, q in ((3, 400), (0, 50), (2, 250), (1, 100))]
    assert invoice(events, plan, Customer("c"), JANUARY).total.amount == Decimal("7.20")


def test_coupon_before_tax_credits_after() -> None:
    """Lago documentation, invoice: 50 + 20 - coupon 10 = 60, +10% tax = 66, - credits 50 = 16."""
    document = bill(
        [{"kind": "flat", "price": 50}, {"kind": "per_unit", "price": 1}],
        ("answers", 20),
        coupons=[{"amount": 10}],
        taxes=[{"rate": 0.1}],
        customer={"credits": Money(5000, "USD")},
    )
    parts = (document.subtotal, document.tax, document.total, document.credits, document.due)
    found = [str(amount) for amount in parts]
    assert found == ["60.00 USD", "6.00 USD", "66.00 USD", "50.00 USD", "16.00 USD"]


@pytest.mark.parametrize(("per", "total"), [("document", "6527.80"), ("line", "6527.81")])
def test_rounding_once_or_per_line(per: str, total: str) -> None:
    """odoo/odoo issue 37896: 348.35 x 16, -4%, +22%, rounded globally and per line; both are legal."""
    document = bill(
        {"kind": "per_unit", "price": 348.35},
        ("answers", 16),
        discounts=[{"rate": 0.04}],
        taxes=[{"rate": 0.22}],
        rounding={"per": per},
    )
    assert document.total.amount == Decimal(total)
    assert document.subtotal + document.tax == document.total
    assert document.as_json()["rounding"]["per"] == per
    assert Plan().rounding.per == "line"


def test_graduated_percentage() -> None:
    """Lago documentation, graduated percentage: 500 costs 205, then 550 costs 306, then 4,000 cost 80."""
    fee = {
        "kind": "graduated_percentage",
        "tiers": [
            {"up_to": 1000, "price": 0.01, "flat": 200},
            {"up_to": 10000, "price": 0.02, "flat": 300},
            {"price": 0.03, "flat": 400},
        ],
    }
    sums = [bill(fee, ("answers", total)).total.amount for total in (500, 1050, 5050)]
    assert sums == [205, 205 + 306, 205 + 306 + 80]


def test_the_unrounded_amount_is_kept() -> None:
    document = bill({"kind": "per_unit", "price": "0.0005"}, ("answers", 15))
    assert (document.lines[0].minor, document.lines[0].exact) == (1, Decimal("0.0075"))
    assert document.as_json()["lines"][0]["unrounded"] == "0.0075"


@pytest.mark.parametrize(
    ("fee", "used", "due"),
    [
        ({"kind": "free"}, [("answers", 9)], "0"),
        ({"kind": "per_mille", "price": 4.5}, [("impressions", 3000)], "13.5"),
        ({"kind": "days", "price": 1200}, [("days", Decimal("2.5"))], "3000"),
        ({"kind": "revenue_share", "rate": 0.2}, [("revenue", 1000)], "200"),
        (
            {"kind": "graduated_percentage", "tiers": [{"up_to": 1000, "price": 0.03}, {"price": 0.02, "flat": 1}]},
            [("answers", 1500)],
            "41",
        ),
        ({**GRADUATED, "flat_at_zero": False}, [("answers", 0)], "0"),
        ({**VOLUME, "flat_at_zero": False}, [], "0"),
        ({"kind": "per_unit", "price": 2, "included": 5}, [("answers", 7)], "4"),
        ({"kind": "per_unit", "price": 2, "included": 5}, [("answers", 3)], "0"),
        ({"kind": "per_unit", "price": 2, "minimum": 20}, [("answers", 3)], "20"),
        ({"kind": "one_off", "price": 700}, [], "700"),
        ({"kind": "package", "price": 3, "size": "2.5"}, [("answers", 5)], "6"),
    ],
)
def test_each_kind_of_fee(fee: dict[str, Any], used: list[tuple[str, Any]], due: str) -> None:
    assert bill(fee, *used).total.amount == Decimal(due)


def test_seats_are_prorated_or_counted_at_the_peak_or_the_end() -> None:
    seats = ((START, 4), (HALF, 8))
    for count, due in (("prorated", "60"), ("peak", "80"), ("end", "80")):
        fee = {"kind": "seats", "price": 10, "count": count}
        assert bill(fee, customer={"seats": seats}).total.amount == Decimal(due)
    fee = {"kind": "seats", "price": 10, "included": 5, "minimum": 6}
    assert bill(fee, customer={"seats": seats}).total.amount == Decimal(20)  # (6 - 5) half, (8 - 5) half
    assert bill({**fee, "count": "peak"}, customer={"seats": ((START, 5),)}).total.amount == 10
    assert (
        bill(
            {"kind": "seats", "price": 10, "count": "peak"},
            customer={"started": START, "ended": START + timedelta(days=1)},
            trial_days=9,
        ).total.amount
        == 0
    )


def test_a_one_off_is_charged_in_the_period_of_the_start_only() -> None:
    fee = {"kind": "one_off", "price": 700}
    assert bill(fee, customer={"started": HALF}).total.amount == 700
    assert bill(fee, customer={"started": START - timedelta(days=40)}).total.amount == 0


@pytest.mark.parametrize(
    ("started", "due"),
    [
        (datetime(2025, 1, 10, tzinfo=UTC), 120),
        (datetime(2025, 3, 10, tzinfo=UTC), 0),
        (datetime(2026, 1, 5, tzinfo=UTC), 120),
    ],
)
def test_a_yearly_fee_falls_due_on_the_anniversary(started: datetime, due: int) -> None:
    assert bill({"kind": "flat", "price": 120, "every": "year"}, customer={"started": started}).total.amount == due


def test_the_anniversary_of_a_leap_day_is_the_28th() -> None:
    plan = Plan.model_validate({"per_year": 120})
    customer = Customer("c", started=datetime(2024, 2, 29, tzinfo=UTC))
    assert invoice([], plan, customer, Period.month(2026, 2)).total.amount == 120
    assert invoice([], plan, customer, Period.month(2026, 3)).total.amount == 0


def test_half_a_period_is_half_the_flat_fee_and_half_the_included_units() -> None:
    fees = [{"kind": "flat", "price": 31}, {"kind": "per_unit", "price": 1, "included": 100, "minimum": 10}]
    document = bill(fees, ("answers", 70), customer={"started": HALF})
    assert amounts(document) == ["15.50", "20.00"]
    assert document.as_json()["lines"][0]["share"] == "1/2"
    assert amounts(bill(fees, ("answers", 3), customer={"ended": HALF})) == ["15.50", "5.00"]


@pytest.mark.parametrize(
    ("prorate", "due"), [("seconds", "15.50"), ("days", "16.00"), ("30/360", "15.50"), ("none", "31.00")]
)
def test_ways_to_prorate(prorate: str, due: str) -> None:
    assert amounts(bill({"kind": "flat", "price": 31}, customer={"started": HALF}, prorate=prorate)) == [due]


def test_a_plan_changed_in_the_period_rates_each_part_by_its_own() -> None:
    later = Plan.model_validate({"name": "pro", "per_month": 40, "per_answer": 2})
    customer = {"plans": ((HALF, later),)}
    events = [(START, "a", "answers", 10), (HALF, "b", "answers", 10)]
    plan = Plan.model_validate({"per_month": 20, "per_answer": 1})
    document = invoice(events, plan, Customer("c", **customer), JANUARY)
    assert amounts(document) == ["10.00", "10.00", "20.00", "20.00"]
    assert [line.plan for line in document.lines] == ["standard 1", "standard 1", "pro 1", "pro 1"]
    assert document.plan is later
    past = Customer("c", plans=((START - timedelta(days=9), later),))
    assert amounts(invoice(events, plan, past, JANUARY)) == ["40.00", "40.00"]


def test_a_later_plan_in_another_currency_is_refused() -> None:
    with pytest.raises(UsageError, match="USD and EUR are mixed"):
        bill([], customer={"plans": ((HALF, Plan(currency="EUR")),)})


def test_the_trial_gives_its_usage_and_its_part_of_the_fee_away() -> None:
    fees = [{"kind": "flat", "price": 31}, {"kind": "per_unit", "price": 1}]
    document = bill(fees, *[("answers", 1)] * 480, customer={"started": START}, trial_days=15)
    assert amounts(document) == ["16.00", "120.00"]
    assert document.in_trial == {"answers": 360}
    assert document.as_json()["in_trial"] == {"answers": "360"}


def test_usage_without_a_fee_is_shown() -> None:
    document = bill({"kind": "per_unit", "price": 1}, ("answers", 1), ("images", 2), ("images", 3))
    assert document.as_json()["unpriced"] == {"images": "5"}


def test_a_commitment_is_topped_up_and_prorated() -> None:
    assert amounts(bill({"kind": "per_unit", "price": 1}, ("answers", 30), minimum=100)) == ["30.00", "70.00"]
    assert amounts(bill({"kind": "per_unit", "price": 1}, ("answers", 130), minimum=100)) == ["130.00"]
    assert amounts(bill({"kind": "per_unit", "price": 1}, customer={"started": HALF}, minimum=100)) == ["0.00", "50.00"]


def test_credits_bought_pay_usage_but_not_their_own_price() -> None:
    fees = [{"kind": "prepaid", "price": 100, "credits": 120}, {"kind": "per_unit", "price": 1}]
    document = bill(fees, ("answers", 50), taxes=[{"rate": 0.1}])
    assert [str(amount) for amount in (document.total, document.credits, document.due, document.credits_left)] == [
        "155.00 USD",
        "55.00 USD",
        "100.00 USD",
        "65.00 USD",
    ]
    assert bill({"kind": "prepaid", "price": 100}).credits_left == Money(10000, "USD")


def test_a_coupon_never_takes_more_than_there_is_and_ends() -> None:
    assert amounts(bill({"kind": "flat", "price": 5}, coupons=[{"amount": 10}])) == ["5.00", "-5.00"]
    assert amounts(bill([], coupons=[{"amount": 10}])) == []
    once = {"coupons": (Discount(rate=Decimal("0.5"), periods=1),)}
    assert bill({"kind": "flat", "price": 5}, customer=once).total.amount == Decimal("2.50")
    assert bill({"kind": "flat", "price": 5}, customer={**once, "periods_billed": 1}).total.amount == 5


def test_a_discount_may_be_of_one_fee_and_spares_untaxed_lines() -> None:
    fees = [{"kind": "flat", "price": 60}, {"kind": "one_off", "price": 40, "taxed": False}]
    document = bill(fees, discounts=[{"rate": 0.1}], taxes=[{"rate": 0.5}])
    assert amounts(document) == ["60.00", "40.00", "-6.00", "-4.00", "27.00"]
    assert amounts(bill(fees, discounts=[{"rate": 0.1, "fees": ["one_off"]}])) == ["60.00", "40.00", "-4.00"]


def test_a_coupon_after_tax_leaves_the_tax_alone() -> None:
    order = ["minimum", "discounts", "tax", "coupons", "credits"]
    document = bill({"kind": "flat", "price": 100}, coupons=[{"rate": 0.1}], taxes=[{"rate": 0.1}], order=order)
    assert (document.tax.amount, document.total.amount) == (10, 99)
    assert document.as_json()["order"] == order


def test_inclusive_prices_contain_their_tax() -> None:
    document = bill({"kind": "flat", "price": 119}, taxes=[{"name": "VAT", "rate": 0.19, "inclusive": True}])
    assert (document.subtotal.amount, document.tax.amount, document.total.amount) == (100, 19, 119)
    exempt = bill({"kind": "flat", "price": 119}, taxes=[{"rate": 0.19}], customer={"taxes": ()})
    assert exempt.total.amount == 119
    assert bill({"kind": "flat", "price": 100}, customer={"taxes": (Tax(rate=Decimal("0.07")),)}).total.amount == 107


def test_a_customer_not_served_in_the_period_owes_nothing() -> None:
    gone = {"ended": START - timedelta(days=1), "credits": Money(500, "USD")}
    document = bill({"kind": "flat", "price": 5}, customer=gone, minimum=9)
    assert (document.lines, document.total.minor, document.credits_left) == ((), 0, Money(500, "USD"))
    with pytest.raises(DataError, match="the customer was not served"):
        bill({"kind": "flat", "price": 5}, ("answers", 1), customer=gone)


def test_use_outside_of_the_service_is_billed_next_to_it() -> None:
    document = bill({"kind": "per_unit", "price": 1}, ("answers", 7), customer={"started": HALF})
    assert document.total.amount == 7
    late = Customer("c", plans=((HALF, Plan.model_validate({"per_answer": 2})),), ended=HALF + timedelta(days=1))
    events = [(JANUARY.end - timedelta(hours=1), "z", "answers", 1)]
    assert invoice(events, Plan.model_validate({"per_answer": 1}), late, JANUARY).total.amount == 2


def test_events_of_other_periods_are_not_of_this_one() -> None:
    plan = Plan.model_validate({"per_answer": 1})
    edges = [
        (START - timedelta(microseconds=1), "a", "answers", 1),
        (START, "b", "answers", 2),
        (JANUARY.end - timedelta(microseconds=1), "c", "answers", 4),
        (JANUARY.end, "d", "answers", 8),
    ]
    assert invoice(edges, plan, Customer("c"), JANUARY).total.amount == 6


def test_the_hour_that_comes_twice_keeps_its_order() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    early, late = (datetime(2026, 10, 25, 2, 30 - 20 * fold, tzinfo=berlin, fold=fold) for fold in (0, 1))
    plan = Plan.model_validate({"fees": [{**RATE, "fixed": 0, "free_events": 1}]})
    events = [(late, "late", "payments", 1000), (early, "early", "payments", 500)]
    assert invoice(events, plan, Customer("c"), Period.month(2026, 10, berlin)).total.amount == 13


def test_events_may_be_mappings_with_text_times() -> None:
    rows = [
        {"time": "2026-01-31T23:30:00-05:00", "id": 1, "meter": "answers", "quantity": 1},
        {"time": "2026-01-31T23:30:00+00:00", "id": 2, "meter": "answers", "quantity": "1.5"},
    ]
    assert invoice(rows, Plan.model_validate({"per_answer": 1}), Customer("c"), JANUARY).total.amount == Decimal("1.50")


@pytest.mark.parametrize(
    ("row", "error", "said"),
    [
        ((START, "a", "answers", -1), DataError, "negative quantity"),
        ((START, "a", "answers", 1.5), UsageError, "a float"),
        ((START, "a", "answers", 10**41), DataError, "40 digits"),
        ((START, "a", "answers"), DataError, "no usage event"),
        ({"time": START}, DataError, "no usage event"),
        (7, DataError, "no usage event"),
        ((datetime(2026, 1, 2), "a", "answers", 1), UsageError, "no moment in time"),
        (("yesterday", "a", "answers", 1), UsageError, "no moment in time"),
        (Event(datetime(2026, 1, 2), "a", "answers", 1), UsageError, "no moment in time"),
    ],
)
def test_events_that_cannot_be_billed(row: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        invoice([row], Plan.model_validate({"per_answer": 1}), Customer("c"), JANUARY)


def test_the_very_same_event_counts_once() -> None:
    event = Event(START, "a", "answers", 7)
    assert invoice([event, event], Plan.model_validate({"per_answer": 1}), Customer("c"), JANUARY).total.amount == 7


def test_one_id_with_two_contents_stops_the_invoice() -> None:
    with pytest.raises(DataError, match="reported twice"):
        invoice([(START, "a", "answers", 1), (START, "a", "answers", 2)], Plan(), Customer("c"), JANUARY)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 31 * 24 - 1).map(lambda hour: START + timedelta(hours=hour)),
        st.integers(0, 10**6).map(str),
        st.sampled_from(["answers", "payments", "images"]),
        st.one_of(st.integers(0, 10**6), st.decimals(0, 1000, places=4)),
    ),
    max_size=25,
    unique_by=lambda event: event[1],
)
SHARES = st.decimals(0, 1, places=4)
PRICES = st.decimals(0, 50, places=6)
FEES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"kind": st.just("per_unit"), "price": PRICES, "included": st.integers(0, 50)}),
        st.fixed_dictionaries({"kind": st.just("flat"), "price": PRICES, "taxed": st.booleans()}),
        st.fixed_dictionaries({"kind": st.just("package"), "price": PRICES, "size": st.integers(1, 20)}),
        st.fixed_dictionaries(
            {"kind": st.just("percentage"), "rate": SHARES, "fixed": PRICES, "free_events": st.integers(0, 5)}
        ),
        st.fixed_dictionaries(
            {
                "kind": st.just("graduated"),
                "tiers": st.tuples(PRICES, PRICES).map(
                    lambda prices: [{"up_to": 10, "price": prices[0]}, {"price": prices[1], "flat": 1}]
                ),
            }
        ),
    ),
    max_size=4,
).map(lambda fees: [{**fee, "name": f"fee{number}"} for number, fee in enumerate(fees)])
PLANS = st.fixed_dictionaries(
    {
        "currency": st.sampled_from(["USD", "JPY", "KWD"]),
        "fees": FEES,
        "minimum": PRICES,
        "discounts": st.lists(
            st.one_of(st.fixed_dictionaries({"rate": SHARES}), st.fixed_dictionaries({"amount": PRICES})), max_size=2
        ),
        "taxes": st.lists(st.fixed_dictionaries({"rate": SHARES, "inclusive": st.booleans()}), max_size=2),
        "rounding": st.fixed_dictionaries({"per": st.sampled_from(["line", "document"])}),
    }
).map(Plan.model_validate)


@given(EVENTS, PLANS, st.randoms(use_true_random=False))
def test_invoices_conserve_and_do_not_depend_on_arrival(events: list[Any], plan: Plan, random: Any) -> None:
    first = invoice(events, plan, Customer("c"), JANUARY)
    assert sum(line.minor for line in (*first.lines, *first.taxes)) == first.total.minor
    assert first.due + first.credits == first.total
    assert first.total.minor >= 0
    again = [Event.of(event) for event in events] * 2
    random.shuffle(again)
    assert invoice(again, plan, Customer("c"), JANUARY) == first
    if plan.rounding.per == "document":
        exact = sum((Fraction(line.exact) for line in (*first.lines, *first.taxes)), Fraction(0))
        assert Money.of(exact, plan.currency) == first.total


def test_a_statement_prices_every_event() -> None:
    share = {"kind": "revenue_share", "rate": "0.1"}
    plan = Plan.model_validate({"per_answer": "0.004", "per_month": 5, "fees": [share]})
    used = [("answers", 3), ("revenue", Decimal("9.9")), ("images", 7)]
    events = [(START + timedelta(hours=hour), f"e{hour}", meter, count) for hour, (meter, count) in enumerate(used)]
    items = itemise([*events[::-1], *events], plan, Customer("c"), JANUARY)
    assert [(item.id, item.amount) for item in items] == [("e0", Decimal("0.012")), ("e1", Decimal("0.99")), ("e2", 0)]


def test_a_statement_follows_the_tiers_in_the_order_of_time() -> None:
    plan = Plan.model_validate({"fees": [GRADUATED]})
    events = [(START + timedelta(hours=hour), f"e{hour}", "answers", count) for hour, count in ((1, 1), (0, 10))]
    events.append((START, "other", "images", 1))
    items = itemise(events, plan, Customer("c"), JANUARY)
    assert [(item.id, item.amount) for item in items] == [("e0", 100), ("other", 0), ("e1", 8)]


@given(EVENTS, FEES, st.booleans())
def test_a_statement_adds_up_to_the_fees(events: list[Any], fees: list[Any], switched: bool) -> None:
    metered = [fee for fee in fees if fee["kind"] != "flat"]
    customer = Customer("c", plans=((HALF, Plan.model_validate({"fees": metered[:1]})),) if switched else ())
    plan = Plan.model_validate({"fees": metered})
    used, unused = (
        sum((Fraction(line.exact) for line in invoice(rows, plan, customer, JANUARY).lines), Fraction(0))
        for rows in (events, [])
    )
    items = itemise(events, plan, customer, JANUARY)
    assert sum((Fraction(item.amount) for item in items), Fraction(0)) == used - unused


# ------------------------------------------------------------------ discounts of plans that change within a period


def changed(before: dict[str, Any], after: dict[str, Any], **more: Any) -> Invoice:
    """Half a month under each of two plans, each 100 a month."""
    flat = {"fees": [{"kind": "flat", "price": 100}]}
    plans = [Plan.model_validate({"name": name, **flat, **each}) for name, each in (("a", before), ("b", after))]
    return invoice([], plans[0], Customer("c", plans=((HALF, plans[1]),), **more), JANUARY)


def test_each_plan_takes_its_own_discounts_off_its_own_part_of_the_period() -> None:
    half = {"discounts": [{"rate": "0.5"}]}
    assert amounts(changed({}, half)) == ["50.00", "50.00", "-25.00"]
    assert amounts(changed(half, {})) == ["50.00", "50.00", "-25.00"]
    assert amounts(changed(half, half)) == ["50.00", "50.00", "-25.00", "-25.00"]
    # An amount counts by the plan's part of the time, and never takes more than its lines.
    assert amounts(changed({"coupons": [{"amount": 20}]}, {})) == ["50.00", "50.00", "-10.00"]
    assert amounts(changed({"coupons": [{"amount": 900}]}, {})) == ["50.00", "50.00", "-50.00"]


def test_a_coupon_that_ended_is_gone_and_a_customers_own_is_off_all_lines() -> None:
    three = {"coupons": [{"rate": "0.5", "periods": 3}]}
    assert amounts(changed(three, {}, periods_billed=2)) == ["50.00", "50.00", "-25.00"]
    assert amounts(changed(three, {}, periods_billed=3)) == ["50.00", "50.00"]
    own = (Discount(rate=Decimal("0.1"), periods=3),)
    assert amounts(changed({}, {}, coupons=own)) == ["50.00", "50.00", "-10.00"]
    assert amounts(changed({}, {}, coupons=own, periods_billed=3)) == ["50.00", "50.00"]


def test_discounts_build_on_one_another_also_where_the_plan_changed() -> None:
    both = {"discounts": [{"rate": "0.5"}], "coupons": [{"rate": "0.5"}]}
    assert amounts(changed(both, {})) == ["50.00", "50.00", "-25.00", "-12.50"]
    late = {"order": ["minimum", "discounts", "tax", "coupons", "credits"], "taxes": [{"rate": "0.1"}]}
    after_tax = changed({"coupons": [{"rate": "0.1"}], **late}, {"coupons": [{"rate": "0.1"}], **late})
    assert amounts(after_tax) == ["50.00", "50.00", "-5.50", "-5.50", "10.00"]
    raised = changed({"minimum": 400}, {"minimum": 400, "discounts": [{"rate": "0.5"}]})
    # Commitments of both halves, 400 in all; the second plan's discount is off its own half and the rise.
    assert amounts(raised) == ["50.00", "50.00", "300.00", "-175.00"]


def test_a_trial_and_a_coupon_in_one_month() -> None:
    fees, coupons = {"kind": "flat", "price": 100}, [{"rate": "0.5", "periods": 1}]
    made = bill(fees, customer={"started": START}, trial_days=15, coupons=coupons)
    free = Fraction(15, 31)
    assert amounts(made) == [f"{float(100 * (1 - free)):.2f}", f"-{float(50 * (1 - free)):.2f}"]


def test_two_plans_that_are_named_alike_keep_their_own_discounts() -> None:
    before = Plan.model_validate({"fees": [{"kind": "flat", "price": 31}], "discounts": [{"rate": "0.5"}]})
    after = Plan.model_validate({"fees": [{"kind": "flat", "price": 31}]})
    month, at = Period.month(2026, 1), datetime(2026, 1, 16, tzinfo=UTC)
    bill = invoice([], before, Customer("acme", plans=((at, after),)), month)
    assert [(line.plan, line.minor) for line in bill.lines] == [
        ("standard 1, 2026-01-01", 1500), ("standard 1, 2026-01-16", 1600), ("standard 1, 2026-01-01", -750),
    ]  # fmt: skip


def test_a_tier_at_zero_units_is_free_in_a_month_of_trial() -> None:
    tiers = [{"up_to": 10, "price": 1, "flat": 25}, {"price": 2}]
    plan = Plan.model_validate({"fees": [{"kind": "graduated", "tiers": tiers}], "trial_days": 60})
    start = datetime(2026, 1, 1, tzinfo=UTC)
    used = [Event(start, "e", "answers", 5)]
    assert invoice(used, plan, Customer("acme", started=start), Period.month(2026, 1)).total.minor == 0
    long_ago = datetime(2025, 1, 1, tzinfo=UTC)
    assert invoice([], plan, Customer("acme", started=long_ago), Period.month(2026, 1)).total.minor == 2500


def test_what_is_due_once_stands_on_one_invoice() -> None:
    plan = Plan.model_validate({"per_month": 10, "fees": [{"kind": "one_off", "price": 99}]})
    here = Customer("acme", started=datetime(2026, 1, 5, tzinfo=UTC))
    names = [[line.name for line in invoice([], plan, here, Period.month(2026, month)).lines] for month in (1, 2)]
    assert names == [["per_month", "one_off"], ["per_month"]]
