"""From usage to an issued document: numbers, closed months, what comes late, what is refused."""

from __future__ import annotations

import datetime
import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from breakeven.billing import draft
from breakeven.billing.document import digest
from breakeven.billing.issue import credit, draw_draft, finalize, finalize_all, show, void
from breakeven.economics.plans import steady
from breakeven.errors import ConfigError, DataError, InputError, IntegrityError, Refused, UsageError
from breakeven.ledger import commands
from breakeven.ledger.reconcile import billed_quantities
from tests.billing.conftest import BUYER, PLAN, TODAY, business, know, office, use

DECEMBER = datetime.date(2024, 12, 3)


def test_a_draft_changes_nothing(place: Path) -> None:
    before = commands.verify(place)
    document = draw_draft(office(place), "acme", "2024-10")
    assert document["draft"] and document["number"] is None and document["total"]["amount"] == "54.62"
    # (49 + 500 x 0.004) x 0.9 = 45.90, and 19% of that is 8.72
    assert [line["amount"] for line in document["lines"]] == ["49.00", "2.00", "-5.10"]
    assert (document["subtotal"]["amount"], document["tax"]["amount"]) == ("45.90", "8.72")
    assert commands.verify(place)["audit"] == before["audit"]
    assert draft(business(PLAN), str(place), "acme", "2024-10")["total"] == document["total"]


def test_an_invoice_has_a_number_a_hash_and_all_it_was_made_from(place: Path) -> None:
    document = finalize(office(place), "acme", "2024-10")
    assert document["number"] == "INV-2024-0001" and document["issued"] == TODAY.isoformat()
    assert document["due_date"] == "2024-11-16"
    assert document["seller"]["name"] == "Reviewly GmbH" and document["buyer"]["tax_id"] == "NL123456789B01"
    assert document["plans"][0]["name"] == "growth" and len(document["plans"][0]["fingerprint"]) == 64
    kept = show(str(place), "INV-2024-0001")
    assert kept["hash"] == digest(kept) and {**kept, "already": False} == document


def test_asked_again_the_same_invoice_comes_back_whatever_changed(place: Path) -> None:
    first = finalize(office(place), "acme", "2024-10")
    other = office(place, plan={**PLAN, "taxes": []}, today=DECEMBER, series="XX")
    again = finalize(other, "acme", "2024-10")
    assert again["already"] and {**again, "already": False} == first
    assert len(commands.call(place, "invoices.list")) == 1


def test_numbers_run_by_series_and_year(place: Path) -> None:
    use(place, "other", ["2024-10-03", "2024-11-03", "2024-12-20"])
    assert finalize(office(place), "acme", "2024-10")["number"] == "INV-2024-0001"
    assert finalize(office(place), "other", "2024-10")["number"] == "INV-2024-0002"
    assert finalize(office(place, today=DECEMBER), "other", "2024-11")["number"] == "INV-2024-0003"
    january = office(place, today=datetime.date(2025, 1, 2))
    assert finalize(january, "other", "2024-12")["number"] == "INV-2025-0001"
    credited = credit(january, "INV-2024-0003", lines=None, share=Decimal(1), reason="an outage")
    assert credited["number"] == "CN-2025-0001"


def test_what_comes_for_a_billed_month_is_on_the_next_invoice(place: Path) -> None:
    finalize(office(place), "acme", "2024-10")
    use(place, "acme", ["2024-10-30T12:00:00"], quantity=70)
    # It counts from the moment it came, which is the clock's month; the summary says which month it is of.
    month = max(event["counted"] for event in commands.events(place, "acme"))[:7]
    document = draw_draft(office(place, today=datetime.date(2100, 1, 1)), "acme", month)
    assert document["late"] == [{"month": "2024-10", "meter": "answers", "quantity": 70}]
    assert document["lines"][1]["quantity"] == "70"


def test_a_correction_upward_and_downward_is_netted(place: Path) -> None:
    with_events = [event["id"] for event in commands.events(place, "acme")]
    from breakeven.ledger import open_ledger
    from breakeven.ledger.events import Charge

    with open_ledger(place) as ledger:
        owner, moment = ledger.customers.find("acme"), ledger.events()[0]["time"]
        time = int(datetime.datetime.fromisoformat(moment).timestamp()) * 10**6
        ledger.record([Charge(owner, {"answers": -40}, kind="correction", about=with_events[0], time=time, answers=0)])
    document = draw_draft(office(place), "acme", "2024-10")
    assert document["lines"][1]["quantity"] == "460" and document["events"] == 5


def test_a_correction_of_a_billed_month_is_taken_off_or_refused(place: Path) -> None:
    from breakeven.ledger import open_ledger
    from breakeven.ledger.events import Charge

    event = commands.events(place, "acme")[0]
    finalize(office(place), "acme", "2024-10")
    time = int(datetime.datetime.fromisoformat(event["time"]).timestamp()) * 10**6

    def correct(quantity: int) -> None:
        with open_ledger(place) as ledger:
            owner = ledger.customers.find("acme")
            ledger.record(
                [Charge(owner, {"answers": quantity}, kind="correction", about=event["id"], time=time, answers=0)]
            )

    correct(-40)
    now = max(event["counted"] for event in commands.events(place, "acme"))
    far = office(place, today=datetime.date(2100, 1, 1))
    with pytest.raises(DataError, match="40 more answers away than this month has"):
        draw_draft(far, "acme", now[:7])
    credited = draw_draft(far, "acme", now[:7], given_back=True)
    assert credited["lines"][1]["quantity"] == "0" and credited["given_back"] == {"answers": 40}
    assert credited["late"] == []
    assert billed_quantities(credited) == {"answers": -40}  # what the ledger has of that month
    use(place, "acme", [now], quantity=100)
    document = draw_draft(far, "acme", now[:7])
    assert "given_back" not in document
    assert document["lines"][1]["quantity"] == "60"
    assert document["late"] == [{"month": "2024-10", "meter": "answers", "quantity": -40}]


def test_what_comes_late_of_a_customer_who_left_is_billed_by_use_alone(place: Path) -> None:
    know(place, "acme", until="2024-11-01")
    plan = {**PLAN, "minimum": 20, "fees": [*PLAN["fees"], {"kind": "prepaid", "price": 10}, {"kind": "per_unit",
            "meter": "answers", "name": "beyond", "price": "0.01", "included": 1000, "minimum": 5}]}  # fmt: skip
    finalize(office(place, plan=plan), "acme", "2024-10")
    use(place, "acme", ["2024-10-30T12:00:00"], quantity=70)  # its month is closed: it counts now, after the end
    month = max(event["counted"] for event in commands.events(place, "acme"))[:7]
    document = draw_draft(office(place, plan=plan, today=datetime.date(2100, 1, 1)), "acme", month)
    fees = [(line["name"], line["quantity"], line["amount"]) for line in document["lines"][:-1]]
    assert fees == [("answers", "70", "0.28"), ("beyond", "70", "0.70")] and document["due"]["amount"] == "1.05"


def test_use_before_the_first_day_that_is_billed_says_what_to_do(place: Path) -> None:
    know(place, "acme", since="2024-11-01")
    with pytest.raises(DataError, match=r"in 2024-10 and is billed only from 2024-11-01.*--since DAY.*invoice void"):
        finalize(office(place), "acme", "2024-10")


def test_a_month_given_up_is_closed_and_an_issued_one_cannot_be(place: Path) -> None:
    use(place, "other", ["2024-10-03"])
    assert void(office(place), "other", "2024-10", "a gift")["closed"]
    with pytest.raises(Refused, match="closed already, without an invoice"):
        finalize(office(place), "other", "2024-10")
    finalize(office(place), "acme", "2024-10")
    with pytest.raises(Refused, match="INV-2024-0001 is issued, and what is issued stays"):
        void(office(place), "acme", "2024-10", "oops")
    assert "void: a gift" in json.dumps(commands.audit(place))


def test_all_customers_at_once_and_one_that_fails_stops_nobody(place: Path) -> None:
    use(place, "no tax id", ["2024-10-03"])
    use(place, "zebra", ["2024-10-03"])
    with_rule = office(place, taxes={"eu": {"category": "reverse_charge", "reason": "Reverse charge"}})
    know(place, "no tax id", tax="eu", tax_id=None)
    commands.customers_add(place, "nothing used")
    rows = {row["customer"]: row for row in finalize_all(with_rule, "2024-10")}
    assert rows.keys() == {"acme", "no tax id", "zebra"}
    assert "needs what --tax-id says" in str(rows["no tax id"]["error"])
    assert rows["zebra"]["document"]["number"] == "INV-2024-0002"


def test_prepaid_credits_are_carried_to_the_next_invoice(place: Path) -> None:
    plan = {**PLAN, "fees": [*PLAN["fees"], {"kind": "prepaid", "price": 100}], "taxes": [], "discounts": []}
    use(place, "acme", ["2024-11-03"])
    first = finalize(office(place, plan=plan), "acme", "2024-10")
    assert (first["credits"]["amount"], first["credits_left"]["amount"]) == ("51.00", "49.00")
    second = draw_draft(office(place, plan=plan), "acme", "2024-11")
    assert second["credits"]["amount"] == "49.40" and second["credits_left"]["amount"] == "99.60"


def test_a_changed_document_is_told(place: Path) -> None:
    finalize(office(place), "acme", "2024-10")
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE invoices SET document = replace(document, '54.62', '44.62')")
    connection.close()
    with pytest.raises(IntegrityError, match="INV-2024-0001 is not what was issued"):
        show(str(place), "INV-2024-0001")


def test_a_document_that_was_changed_with_its_hash_or_taken_out_is_found(place: Path) -> None:
    """Who can write the file can write the hash as well, but not the audit log's chain."""
    finalize(office(place), "acme", "2024-10")
    assert commands.verify(place)["holds"]
    with sqlite3.connect(place) as connection:
        body = json.loads(connection.execute("SELECT document FROM invoices").fetchone()[0])
        body["lines"][0]["minor"], body["total"]["minor"] = 3900, body["total"]["minor"] - 1000
        body["hash"] = digest(body)
        connection.execute("UPDATE invoices SET document = ?, hash = ?", (json.dumps(body), body["hash"]))
    connection.close()
    assert show(str(place), "INV-2024-0001")["total"]["minor"] == 4462  # in itself it is sound
    broken = commands.verify(place)["broken"]
    assert [(row["where"], row["what"]) for row in broken] == [
        ("document INV-2024-0001", "is not what the audit log says was issued")
    ]
    with sqlite3.connect(place) as connection:
        connection.execute("DELETE FROM invoices")
    connection.close()
    assert [row["what"] for row in commands.verify(place)["broken"]] == ["was issued and is missing"]


# Bad input, a row each.


def test_a_month_in_the_future(place: Path) -> None:
    with pytest.raises(UsageError, match="2024-12 has not begun: today is 2024-11-02"):
        draw_draft(office(place), "acme", "2024-12")


@pytest.mark.parametrize("month", ["2024-13", "2024-1", "october", "", "2024-10-05", "٢٠٢٤-١٠"])
def test_what_is_no_month(place: Path, month: str) -> None:
    with pytest.raises(UsageError, match="expected YYYY-MM"):
        draw_draft(office(place), "acme", month)


def test_a_month_that_is_not_over(place: Path) -> None:
    with pytest.raises(UsageError, match="2024-11 is not over"):
        finalize(office(place), "acme", "2024-11")


def test_an_unknown_customer(place: Path) -> None:
    with pytest.raises(InputError, match="no customer 'nobody'"):
        draw_draft(office(place), "nobody", "2024-10")


def test_an_empty_month_is_not_billed_and_stays_open(place: Path) -> None:
    commands.customers_add(place, "idle")
    know(place, "idle", since="2024-11-01")
    with pytest.raises(Refused, match="nothing to bill 'idle' for in 2024-10"):
        finalize(office(place), "idle", "2024-10")
    assert commands.call(place, "invoices.account", customer="idle")["closed"] == {}


def test_no_seller(place: Path) -> None:
    with pytest.raises(UsageError, match=r"must say who sends it; expected a section billing\.seller"):
        finalize(office(place, seller=None), "acme", "2024-10")


def test_a_customer_without_an_address_where_records_are_asked_for(place: Path) -> None:
    use(place, "bare", ["2024-10-03"])
    with pytest.raises(
        UsageError, match="'bare' needs what --city says; breakeven invoice customer 'bare' --city"
    ) as caught:
        finalize(office(place, e_invoice=True), "bare", "2024-10")
    assert [error.fields["option"] for error in caught.value.more] == ["--country"]
    assert commands.call(place, "invoices.list") == []


def test_a_plan_that_changed_in_the_middle_of_the_month(place: Path) -> None:
    older = {**PLAN, "name": "starter", "version": 1, "fees": [{"kind": "flat", "price": 31, "name": "base fee"},
             {"kind": "per_unit", "meter": "answers", "price": "0.01"}]}  # fmt: skip
    changed = office(place, earlier_plans=[{"until": "2024-10-16", "plan": older}])
    document = draw_draft(changed, "acme", "2024-10")
    amounts = {(line["plan"], line["name"]): line["amount"] for line in document["lines"]}
    # 15 of 31 days at 31, 300 answers at 0.01; 16 of 31 days at 49, 200 answers at 0.004
    assert amounts["starter 1", "base fee"] == "15.00" and amounts["starter 1", "answers"] == "3.00"
    assert amounts["growth 2", "base fee"] == "25.29" and amounts["growth 2", "answers"] == "0.80"
    assert [plan["name"] for plan in document["plans"]] == ["starter", "growth"]


def test_a_price_that_was_shown_and_is_declared_nowhere(place: Path) -> None:
    from breakeven.ledger import open_ledger
    from breakeven.ledger.plans import PricePlan

    with open_ledger(place) as ledger:
        shown = ledger.keep_plan(PricePlan.of({"answers": "0.003"}, "EUR"))
    use(place, "acme", ["2024-10-03"], plan=shown.version)
    with pytest.raises(
        DataError, match=r"was shown at 0\.003 for one of answers, and the declared plan .* says 0\.004"
    ):
        finalize(office(place), "acme", "2024-10")
    cheap = {**PLAN, "fees": [PLAN["fees"][0], {"kind": "per_unit", "meter": "answers", "price": "0.003"}]}
    fitting = office(place, earlier_plans=[{"until": "2024-10-04", "plan": cheap}])
    assert finalize(fitting, "acme", "2024-10")["events"] == 6


def test_a_tax_that_is_declared_nowhere(place: Path) -> None:
    know(place, "acme", tax="luxury")
    with pytest.raises(UsageError, match="there is no tax 'luxury'"):
        draw_draft(office(place), "acme", "2024-10")


def test_reverse_charge_needs_both_tax_identifiers(place: Path) -> None:
    rule = {"taxes": {"eu": {"category": "reverse_charge", "reason": "Reverse charge"}}, "tax": "eu"}
    seller = {"name": "Reviewly GmbH", "tax_number": "12/345/6789"}
    with pytest.raises(UsageError, match=r"needs billing\.seller\.tax_id"):
        finalize(office(place, seller=seller, **rule), "acme", "2024-10")


def test_an_unknown_number(place: Path) -> None:
    with pytest.raises(InputError, match="no document 'INV-2024-0009'"):
        credit(office(place), "INV-2024-0009", lines=None, share=Decimal(1), reason="x")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seller": {"name": "A\nB"}}, "one line"),
        ({"seller": {"name": "A", "country": "Germany"}}, "two letters of ISO 3166"),
        ({"seller": {"name": "A", "bank": {"bic": "BYLADEM1001"}}}, "either iban or account"),
        ({"taxes": {"vat": {"rate": 0}}}, "a rate above 0 where the category is standard"),
        ({"taxes": {"ex": {"category": "exempt"}}}, "a reason, as the law wants it"),
        ({"tax": "vat"}, "one of billing.taxes"),
        ({"series": "CN"}, "two different ones"),
        ({"series": "inv 1"}, "billing.series"),
        (
            {"earlier_plans": [{"until": "2024-10-05", "plan": "free"}, {"until": "2024-10-01", "plan": "free"}]},
            "rising",
        ),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    from breakeven.project import open_settings

    path = tmp_path / "breakeven.yaml"
    path.write_text(json.dumps({"version": 1, "billing": wrong}))
    with pytest.raises(ConfigError) as caught:
        open_settings(path)
    assert said in str(caught.value) and "breakeven.yaml:1:" in str(caught.value)


def test_what_is_known_of_a_buyer_is_private_and_can_be_erased(place: Path) -> None:
    finalize(office(place), "acme", "2024-10")
    assert commands.call(place, "invoices.account", customer="acme")["buyer"]["name"] == BUYER["name"]
    commands.call(place, "invoices.buyer", customer="acme", body={})
    assert commands.call(place, "invoices.account", customer="acme")["buyer"] == {}
    assert show(str(place), "INV-2024-0001")["buyer"]["name"] == BUYER["name"]  # an issued invoice must be kept


def test_a_copied_plan_bills_its_own_fees_and_not_the_originals() -> None:
    plan = business({**PLAN, "fees": [*PLAN["fees"], {"kind": "one_off", "price": 9, "name": "setup"}]}).price.plan
    assert [name for _, name, *_ in plan.billed] == ["base fee", "answers", "setup"]
    assert [name for _, name, *_ in steady(plan).billed] == ["base fee", "answers"]
