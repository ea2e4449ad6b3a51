from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.errors import InputError, Refused
from breakeven.ledger import Ledger, clock, open_ledger
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.export import cloud_event
from breakeven.ledger.plans import PricePlan
from tests.ledger.test_periods import END, LAST, START, quantity


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    place = tmp_path / "ledger.sqlite" if request.param == "sqlite" else request.getfixturevalue("database")
    with open_ledger(place) as opened:
        owner = opened.customers.add("acme").id
        opened.record([Charge(owner, {"answers": 5, "input_tokens": 50}, id="e", source="s", time=START)])
        yield opened


def answers(ledger: Ledger, start: int | None = None, end: int | None = None) -> int:
    return sum(row["quantity"] for row in ledger.usage("acme", start, end) if row["meter"] == "answers")


def test_a_correction_is_appended_and_seen_by_usage_export_and_verify(book: Ledger) -> None:
    done = book.correct("e", {"answers": 2}, reason="counted twice")
    assert (done["changed"], done["quantities"]) == (True, {"answers": 2, "input_tokens": 50})
    assert answers(book) == 2
    assert {row["events"] for row in book.usage("acme")} == {1}  # a correction is no request
    assert {row["events"] for row in book.usage("acme", START, START + 1)} == {1}
    first, second = book.events("acme")
    assert first["quantities"] == {"answers": 5, "input_tokens": 50}
    assert (second["kind"], second["about"], second["quantities"]) == ("correction", "e", {"answers": -3})
    assert cloud_event(second)["type"] == "breakeven.correction"
    assert book.verify()["holds"]
    told = book.history("e")
    assert told["quantities"] == {"answers": 2, "input_tokens": 50}
    assert told["corrections"][0]["reason"] == "counted twice"
    assert book.audit()[0]["action"] == "event.correct"
    assert "counted twice" not in str(book.audit())


def test_the_same_correction_again_changes_nothing(book: Ledger) -> None:
    book.correct("e", {"answers": 2}, reason="counted twice")
    assert not book.correct("e", {"answers": 2}, reason="counted twice")["changed"]
    assert book.correct("e", {"answers": 4}, reason="once was right")["changed"]
    assert answers(book) == 4
    assert book.verify()["events"] == 3


def test_a_void_event_counts_for_nothing_and_stays_readable(book: Ledger) -> None:
    assert book.correct("e", None, reason="a test run")["changed"]
    assert not book.correct("e", None, reason="a test run")["changed"]
    assert {row["quantity"] for row in book.usage("acme")} == {0}
    assert book.verify()["events"] == 2
    assert book.correct("e", {"answers": 1}, reason="it was none")["quantities"]["answers"] == 1


def test_a_correction_counts_in_the_month_of_its_event_until_that_is_closed(book: Ledger) -> None:
    book.correct("e", {"answers": 4}, reason="open month")
    assert answers(book, START, END) == 4
    book.close_month("acme", LAST)
    book.correct("e", {"answers": 1}, reason="closed month")
    assert answers(book, START, END) == 4
    assert answers(book, END) == -3
    assert [row["late"] for row in book.events("acme")] == [False, False, True]
    assert book.verify()["holds"]


def test_a_correction_of_a_late_event_counts_where_that_does(book: Ledger) -> None:
    book.close_month("acme", LAST)
    book.record([Charge(book.customers.find("acme"), {"answers": 9}, id="late", time=START + 1)])
    book.correct("late", {"answers": 8}, reason="one less")
    assert quantity(book, START, END) == 55
    first, second = book.events("acme", END)
    assert first["counted"] == second["counted"]


def test_many_at_once_make_one_difference(book: Ledger) -> None:
    threads = [
        threading.Thread(target=book.correct, args=("e", {"answers": 1}), kwargs={"reason": "all say so"})
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers(book) == 1
    assert book.verify()["events"] == 2


@pytest.mark.parametrize(
    ("event", "quantities", "reason", "words"),
    [
        ("nothing", {"answers": 1}, "x", "no event 'nothing'"),
        ("e", {"anwsers": 1}, "x", "no such meter.*answers, input_tokens"),
        ("e", {"answers": -1}, "x", "whole number from 0 up"),
        ("e", {"answers": 1.5}, "x", "whole number from 0 up"),
        ("e", {"answers": True}, "x", "whole number from 0 up"),
        ("e", {"answers": 1}, " ", "needs a reason"),
        ("e", {"answers": 1}, "a\x00b", "needs a reason"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    book: Ledger, event: str, quantities: dict[str, int], reason: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        book.correct(event, quantities, reason=reason)
    assert book.verify()["events"] == 1


def test_a_correction_is_not_corrected_and_a_doubled_id_needs_its_source(book: Ledger) -> None:
    made = book.correct("e", {"answers": 1}, reason="x")
    with pytest.raises(InputError, match="itself a correction"):
        book.correct(made["id"], None, reason="x")
    book.record([Charge("c", {"answers": 7}, id="e", source="elsewhere")])
    with pytest.raises(InputError, match="elsewhere, s"):
        book.correct("e", None, reason="x")
    assert book.correct("e", None, reason="x", source="elsewhere")["quantities"] == {"answers": 0}
    assert answers(book) == 1


def test_imports_and_corrections_move_what_is_left_of_a_quota(book: Ledger) -> None:
    plan = book.keep_plan(PricePlan.of({"answers": "0.1"}))
    book.customers.add("limited", terms=Terms(quotas={"answers": 3}))
    key = book.keys.create("limited")[1]
    book.release(book.admit(key, {"answers": 3}, plan))
    book.record([Charge(key.customer, {"answers": 2}, id="imported", time=clock.now(), plan=plan.version)])
    with pytest.raises(Refused, match="quota"):
        book.admit(key, {"answers": 2}, plan)
    book.correct("imported", None, reason="it was none")
    book.release(book.admit(key, {"answers": 3}, plan))
