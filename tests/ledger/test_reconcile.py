from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from breakeven.artifacts import fingerprint
from breakeven.errors import InputError, UsageError
from breakeven.ledger import Ledger, clock
from breakeven.ledger.events import Charge
from breakeven.ledger.reconcile import Columns, answers, bill, with_answers, with_bill, with_invoices


def answered(charge: str, quantity: int) -> str:
    """A line of the log of answers, as `serve --log json` writes it."""
    usage = [{"meter": "answers", "quantity": quantity}]
    return json.dumps({"time": clock.text(clock.now()), "id": charge, "usage": usage}) + "\n"


def test_a_log_of_answers_agrees_until_something_is_missing(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    for number in range(5):
        charge = Charge("c", {"answers": number + 1}, id=f"e{number}")
        ledger.settle(None, charge)
        with file.open("a") as log:
            log.write(answered(charge.id, number + 1))
    found = with_answers(ledger.events(), answers(file))
    assert (found["agrees"], found["compared"]) == (True, 5)
    lines = file.read_text().splitlines()
    lines[1] = lines[1].replace('"quantity": 2', '"quantity": 9')
    lines[3] = lines[3].replace('"e3"', '"unknown"')
    lines.append(lines[0])  # a replay is no second answer
    lines.append(json.dumps({"level": "info", "message": "started"}))
    file.write_text("\n".join(lines))
    found = with_answers(ledger.events(), answers(file))
    assert not found["agrees"]
    assert found["differences"] == {
        "not_charged": {"count": 1, "ids": ["unknown"]},
        "differs": {"count": 1, "ids": ["e1"]},
        "not_answered": {"count": 1, "ids": ["e3"]},
    }


def test_a_correction_does_not_change_what_was_answered(ledger: Ledger) -> None:
    ledger.settle(None, Charge("c", {"answers": 3}, id="e"))
    ledger.correct("e", {"answers": 1}, reason="x")
    assert with_answers(ledger.events(), {"e": {"quantities": {"answers": 3}, "time": None, "line": 1}})["agrees"]


def test_answers_as_clients_store_them_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "stored.jsonl"
    file.write_text(json.dumps({"id": "e", "model": "m", "outputs": ["secret"], "price": None,
                                "usage": [{"meter": "answers", "quantity": 1}]}))  # fmt: skip
    assert answers(file)["e"]["quantities"] == {"answers": 1}
    file.write_text('{"id": "e", "usage": [{"meter": "answers"}]}')
    with pytest.raises(InputError, match=r"stored.jsonl:1"):
        answers(file)


def document(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "number": "R-2026-0001", "kind": "invoice", "customer_id": "c", "month": "2026-10",
        "lines": [
            {"meter": "answers", "name": "use", "plan": "first", "quantity": "60"},
            {"meter": "answers", "name": "use", "plan": "second", "quantity": "40"},
            {"meter": "answers", "name": "a second fee", "plan": "second", "quantity": "40"},
            {"meter": None, "name": "base", "plan": "first", "quantity": None},
        ],
        "unpriced": {"input_tokens": "7"}, "in_trial": {"answers": "5"},
    } | changes  # fmt: skip
    return {**body, "hash": fingerprint(body)}


def test_invoices_agree_with_what_counts_in_their_months() -> None:
    used = {("c", "2026-10"): {"answers": 105, "input_tokens": 7}}
    assert with_invoices([document()], used)["agrees"]
    found = with_invoices([document(), {**document(), "month": "2026-11"}], used)
    assert found["differences"]["changed"]["ids"] == ["R-2026-0001"]
    assert found["differences"]["differs"]["count"] == 2
    found = with_invoices([document()], {("c", "2026-10"): {"answers": 104, "input_tokens": 7, "images": 1}})
    assert found["differences"]["differs"]["ids"] == [
        "R-2026-0001 answers: 105 billed, 104 in the ledger", "R-2026-0001 images: 0 billed, 1 in the ledger",
    ]  # fmt: skip


BILL = """lineItem/UsageStartDate,lineItem/UnblendedCost,product
2026-10-01T00:00:00Z,0.1,EC2
2026-10-31T23:59:59Z,0.2,EC2
2026-10-31T23:59:59Z,7,S3
2026-11-01T00:00:00+01:00,0.4,EC2
2026-11-01T00:00:00Z,100,EC2
"""


def test_a_cloud_bill_is_added_exactly_by_month_and_column(tmp_path: Path) -> None:
    file = tmp_path / "bill.csv"
    file.write_text(BILL)
    columns = Columns("lineItem/UsageStartDate", "lineItem/UnblendedCost", only=(("product", "EC2"),))
    found = bill(file, "2026-10", columns)
    assert found == {"cost": Decimal("0.7"), "rows": 3, "left_out": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "lacks the columns cost, time.*a, b"),
        ("", "lacks the columns"),
        ("time,cost\n2026-10-01,lots\n", r"bill.csv:2.*'lots' is not an amount"),
        ("time,cost\n2026-10-01,NaN\n", "is not an amount"),
        ("time,cost\n2026-10-01\n", "is not an amount"),
        ("time,cost\nsoon,1\n", r"bill.csv:2"),
        ("time,cost,in\n2026-10-01,1,USD\n", r"bill.csv:2.*in is 'USD', and the business is in EUR.*--only in=EUR"),
        ('time,cost\n"2026-10-01,1\n', "can be read as csv"),
    ],
)
def test_a_bill_that_cannot_be_read_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bill.csv"
    file.write_text(text)
    with pytest.raises((UsageError, InputError), match=words):
        bill(file, "2026-10", Columns("time", "cost", currency=("in", "EUR") if "in" in text.split("\n")[0] else None))


def test_bills_of_other_clouds_are_read_credits_included(tmp_path: Path) -> None:
    file = tmp_path / "bill.csv"
    file.write_text("\ufeffwhen,cost,in\n2026-10-05 00:00:00 UTC,12.5,EUR\n2026-10-31 23:00:00.5 UTC,-2.5,EUR\n")
    assert bill(file, "2026-10", Columns("when", "cost", currency=("in", "EUR")))["cost"] == Decimal("10.0")
    file.write_text("when,cost,in\n10/05/2026,12.5,EUR\n05/10/2026,1,EUR\n10/06/2026,9,USD\n")
    american = Columns("when", "cost", form="%m/%d/%Y", only=(("in", "EUR"),))
    assert bill(file, "2026-10", american) == {"cost": Decimal("12.5"), "rows": 1, "left_out": 2}
    with pytest.raises(InputError, match=r"bill\.csv:2.*not a time written as %Y"):
        bill(file, "2026-10", Columns("when", "cost", form="%Y-%m-%d"))


def test_a_bill_is_shared_by_measured_cost() -> None:
    customers = [
        {"name": "a", "revenue": "100", "at_volume_cost": 30.0},
        {"name": "b", "revenue": None, "at_volume_cost": 10.0},
    ]
    found = with_bill(Decimal("44"), customers, tolerance=0.1, expected=None)
    assert found["agrees"]
    assert [row["cost"] for row in found["customers"]] == [33.0, 11.0]
    assert [row["margin"] for row in found["customers"]] == [67.0, None]
    assert not with_bill(Decimal("45"), customers, tolerance=0.1, expected=None)["agrees"]
    assert not with_bill(Decimal("44"), customers, tolerance=0.1, expected=60.0)["agrees"]
    assert with_bill(Decimal(0), [], tolerance=0.1, expected=None)["agrees"]
