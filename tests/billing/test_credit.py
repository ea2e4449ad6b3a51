"""Credit notes: never more than is left, and all of them together exactly the invoice."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.billing.credit import credit_note
from breakeven.billing.document import compose
from breakeven.billing.drawn import Account, draw
from breakeven.billing.issue import credit, finalize
from breakeven.billing.settings import Buyer
from breakeven.errors import Refused, UsageError
from breakeven.ledger import commands
from tests.billing.conftest import PLAN, TODAY, office

DAY = datetime.datetime(2024, 10, 5, tzinfo=datetime.UTC)


def invoice_of(plan: dict[str, Any], quantity: int, **declared: Any) -> dict[str, Any]:
    """An issued invoice without a ledger."""
    here = office("nowhere", plan=plan, **declared)
    account = Account("cus_1", "acme", DAY, Buyer(since=datetime.date(2024, 1, 1)))
    row = {"time": DAY, "counted": DAY, "id": "e", "source": "s", "about": None, "rates": {},
           "quantities": {"answers": quantity}}  # fmt: skip
    drawn = draw([row], account, "2024-10", business=here.business, settings=here.settings)
    return {**compose(drawn, account, here.settings, issued=TODAY), "number": "INV-2024-0001", "hash": "0" * 64}


def back(invoice: dict[str, Any], earlier: list[Any], lines: list[int] | None = None, share: Any = 1) -> dict[str, Any]:
    return credit_note(
        invoice, earlier, lines=lines, share=Fraction(share), reason="an outage", series="CN", issued=TODAY
    )


PLANS = st.fixed_dictionaries(
    {
        "currency": st.sampled_from(["EUR", "JPY", "KWD"]),
        "price": st.decimals("0.001", "9", places=3),
        "flat": st.integers(0, 500),
        "untaxed": st.booleans(),
        "off": st.sampled_from(["0", "0.1", "0.333"]),
        "rate": st.sampled_from([None, "0.19", "0.077"]),
        "inclusive": st.booleans(),
        "per": st.sampled_from(["line", "document"]),
        "after_tax": st.booleans(),
        "only": st.booleans(),
        "prepaid": st.sampled_from([0, 20, 5000]),
    }
).map(
    lambda found: {
        "currency": found["currency"],
        "fees": [
            {"kind": "per_unit", "meter": "answers", "price": str(found["price"])},
            {"kind": "flat", "price": found["flat"], "taxed": not found["untaxed"]},
            *([{"kind": "prepaid", "price": found["prepaid"]}] if found["prepaid"] else []),
        ],
        "discounts": [{"rate": found["off"], "fees": ["answers"] if found["only"] else []}, {"amount": "1.5"}]
        if found["off"] != "0"
        else [],
        "order": ["minimum", "tax", "discounts", "coupons", "credits"]
        if found["after_tax"]
        else ["minimum", "discounts", "coupons", "tax", "credits"],
        "taxes": [{"rate": found["rate"], "inclusive": found["inclusive"]}] if found["rate"] else [],
        "rounding": {"per": found["per"]},
    }
)


def adds_up(document: dict[str, Any]) -> bool:
    lines, taxes = (sum(row["minor"] for row in document[name]) for name in ("lines", "taxes"))
    bases = sum(row["base_minor"] for row in document["taxes"])
    return lines + taxes == document["total"]["minor"] and (not document["taxes"] or bases == lines)


@given(PLANS, st.integers(1, 10**6), st.lists(st.sampled_from(["1/3", "1/10", "1/2", "1/7"]), max_size=4))
def test_lines_and_taxes_add_up_and_notes_mirror_the_invoice(plan: Any, quantity: int, shares: list[str]) -> None:
    invoice = invoice_of(plan, quantity)
    assert adds_up(invoice)
    notes: list[dict[str, Any]] = []
    for share in [*shares, "all"]:
        try:
            note = back(invoice, notes) if share == "all" else back(invoice, notes, share=Fraction(share))
        except Refused as error:
            assert error.code in ("credit-nothing-left", "credit-more-than-left")
            continue
        assert adds_up(note) and note["total"]["minor"] > 0
        notes.append(note)
        assert sum(one["total"]["minor"] for one in notes) <= invoice["total"]["minor"]
    if invoice["total"]["minor"]:
        assert sum(one["total"]["minor"] for one in notes) == invoice["total"]["minor"]
        assert sum(one["tax"]["minor"] for one in notes) == invoice["tax"]["minor"]
        assert sum(one["due"]["minor"] for one in notes) == invoice["due"]["minor"]
        change = sum(one["credits_change"]["minor"] for one in notes)
        assert invoice["credits_left"]["minor"] + change == 0  # what was bought is gone, what was used is back


def test_a_line_takes_its_share_of_the_discount_and_the_tax_along() -> None:
    invoice = invoice_of(PLAN, 500)
    note = back(invoice, [], lines=[2])
    # 2.00 less its 10% (0.20), and 19% of that
    assert [line["amount"] for line in note["lines"]] == ["2.00", "-0.20"]
    assert (note["tax"]["amount"], note["total"]["amount"]) == ("0.34", "2.14")
    rest = back(invoice, [note])
    assert rest["total"]["minor"] + note["total"]["minor"] == invoice["total"]["minor"]


def test_a_discount_of_one_fee_goes_with_that_fee_alone() -> None:
    fees = [{"kind": "flat", "price": 100, "name": name} for name in "AB"]
    plan = {**PLAN, "fees": fees, "discounts": [{"rate": "0.5", "fees": ["A"]}, {"rate": "0.1"}], "taxes": []}
    invoice = invoice_of(plan, 0)  # A: 100 less 50 less 5, B: 100 less 10
    assert [back(invoice, [], lines=[line])["total"]["amount"] for line in (1, 2)] == ["45.00", "90.00"]
    old = {**invoice, "lines": [{name: line[name] for name in line if name != "of"} for line in invoice["lines"]]}
    assert back(old, [])["total"] == invoice["total"]  # issued before lines said what a discount was taken off


def test_a_discount_after_tax_is_not_given_back_with_its_lines() -> None:
    invoice = invoice_of({**PLAN, "order": ["minimum", "tax", "discounts", "coupons", "credits"]}, 500)
    assert [line["amount"] for line in invoice["lines"]] == ["49.00", "2.00", "-6.07"]
    assert back(invoice, [])["total"] == invoice["total"]
    assert back(invoice, [], share="1/2")["total"]["amount"] == "27.31"


def test_what_prepaid_credits_paid_goes_back_to_them(place: Path) -> None:
    prepaid = {"kind": "prepaid", "price": 80, "credits": 100}
    plan = {**PLAN, "fees": [*PLAN["fees"], prepaid], "taxes": [], "discounts": []}
    here = office(place, plan=plan)
    first = finalize(here, "acme", "2024-10")
    assert (first["total"]["amount"], first["due"]["amount"]) == ("131.00", "80.00")  # 51 of 100 credits are used

    def left() -> str:
        return str(commands.call(place, "invoices.account", customer="acme")["credits"]["amount"])

    note = credit(here, first["number"], lines=[1], share=Decimal(1), reason="an outage")
    assert (note["total"]["amount"], note["credits"]["amount"], note["due"]["amount"]) == ("49.00", "49.00", "0.00")
    assert left() == "98.00"
    with pytest.raises(Refused, match=r"100\.00 EUR of them would go back, and only 98\.00 EUR are left"):
        credit(here, first["number"], lines=[3], share=Decimal(1), reason="pack returned")
    rest = credit(here, first["number"], lines=None, share=Decimal(1), reason="all of it")
    assert (rest["credits"]["amount"], rest["due"]["amount"]) == ("2.00", "80.00")
    assert commands.call(place, "invoices.account", customer="acme")["credits"] is None


def test_never_more_than_is_left() -> None:
    invoice = invoice_of(PLAN, 500)
    half = back(invoice, [], lines=[1], share="1/2")
    with pytest.raises(Refused, match=r"line 1 of INV-2024-0001 has only 24\.50 EUR left"):
        back(invoice, [half], lines=[1], share="2/3")
    everything = back(invoice, [half])
    with pytest.raises(Refused, match="nothing of INV-2024-0001 is left"):
        back(invoice, [half, everything])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lines": [3]}, "has no line 3 that can be credited; expected some of 1, 2"),
        ({"lines": [0]}, "has no line 0"),
        ({"share": 0}, "a credit note of 0 of an invoice"),
        ({"share": "3/2"}, "a credit note of 3/2"),
        ({"share": -1}, "a credit note of -1"),
    ],
)
def test_what_cannot_be_credited(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        back(invoice_of(PLAN, 500), [], **wrong)


def test_a_note_has_a_number_of_its_own_and_names_its_invoice(place: Path) -> None:
    invoice = finalize(office(place), "acme", "2024-10")
    note = credit(office(place), invoice["number"], lines=[2], share=Decimal(1), reason="an outage", key="ticket 7")
    assert note["number"] == "CN-2024-0001" and note["references"]["number"] == "INV-2024-0001"
    again = credit(office(place), invoice["number"], lines=[2], share=Decimal(1), reason="an outage", key="ticket 7")
    assert again["already"] and again["number"] == note["number"]
    assert len(commands.call(place, "invoices.list")) == 2
    with pytest.raises(UsageError, match="CN-2024-0001 is a credit note"):
        credit(office(place), note["number"], lines=None, share=Decimal(1), reason="twice")
    with pytest.raises(UsageError, match="the reason must say something"):
        credit(office(place), invoice["number"], lines=None, share=Decimal(1), reason=" ")
