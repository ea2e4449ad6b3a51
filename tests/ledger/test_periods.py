from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.errors import InputError, UsageError
from breakeven.ledger import Ledger, clock, open_ledger
from breakeven.ledger.events import Charge

NOW = datetime.datetime.now(datetime.UTC)
THIS = f"{NOW:%Y-%m}"
LAST = f"{NOW.replace(day=1) - datetime.timedelta(days=1):%Y-%m}"
START, END = clock.month_bounds(LAST)


def quantity(ledger: Ledger, start: int | None, end: int | None, customer: str = "acme") -> int:
    return sum(row["quantity"] for row in ledger.usage(customer, start, end))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    place = tmp_path / "ledger.sqlite" if request.param == "sqlite" else request.getfixturevalue("database")
    with open_ledger(place) as opened:
        opened.customers.add("acme")
        yield opened


def test_what_comes_for_a_closed_month_counts_in_the_next_and_says_so(book: Ledger) -> None:
    owner = book.customers.find("acme")
    book.record([Charge(owner, {"answers": 3}, time=START + 5, id="early")])
    assert book.close_month("acme", LAST, reference="2026-0001")
    book.record([Charge(owner, {"answers": 4}, time=START + 6, id="late")])
    assert quantity(book, START, END) == 3
    assert quantity(book, END, None) == 4
    row = book.events("acme", END)[0]
    assert (row["id"], row["late"]) == ("late", True)
    assert row["time"].startswith(LAST)
    assert row["counted"].startswith(THIS)
    assert [row["late"] for row in book.events("acme", START, END)] == [False]
    assert book.verify()["holds"]
    assert book.closed_months("acme")[0]["reference"] == "2026-0001"


def test_closing_twice_changes_nothing(book: Ledger) -> None:
    assert book.close_month("acme", LAST, reference="one")
    assert not book.close_month("acme", LAST, reference="two")
    assert [row["reference"] for row in book.closed_months()] == ["one"]
    assert [row["action"] for row in book.audit()].count("month.close") == 1


def test_a_month_closes_for_one_customer_only(book: Ledger) -> None:
    other = book.customers.add("other").id
    book.close_month("acme", LAST)
    book.record([Charge(other, {"answers": 1}, time=START)])
    assert quantity(book, START, END, "other") == 1


def test_a_month_that_is_not_over_stays_open(book: Ledger) -> None:
    with pytest.raises(UsageError, match="is not over"):
        book.close_month("acme", THIS)


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "last", "9999-12", "2026-11-01", "٢٠٢٦-١١"])
def test_what_is_no_month_is_refused(ledger: Ledger, text: str) -> None:
    ledger.customers.add("acme")
    with pytest.raises(UsageError, match="YYYY-MM"):
        ledger.close_month("acme", text)


def test_an_event_that_has_not_happened_is_refused_and_a_fast_clock_is_not(book: Ledger) -> None:
    book.record([Charge("c", {"answers": 1}, time=clock.now() + 60_000_000)])
    with pytest.raises(InputError, match="has not come yet"):
        book.record([Charge("c", {"answers": 1}), Charge("c", {"answers": 1}, time=clock.now() + clock.HOUR)])
    assert sum(row["quantity"] for row in book.usage()) == 1


def test_the_place_where_a_late_event_counts_cannot_be_changed_unseen(place: Path) -> None:
    import sqlite3

    for change in (f"counted = {START}", "counted = NULL", "counted = counted + 1"):
        place.unlink(missing_ok=True)
        with open_ledger(place) as ledger:
            owner = ledger.customers.add("acme").id
            ledger.close_month("acme", LAST)
            ledger.record([Charge(owner, {"answers": 4}, time=START)])
        with sqlite3.connect(place) as connection:
            connection.execute(f"UPDATE events SET {change}")
        connection.close()
        with open_ledger(place) as ledger:
            assert any(item["where"] == "writer main" for item in ledger.verify()["broken"])


def test_whatever_is_written_while_a_month_closes_counts_once(book: Ledger) -> None:
    """What the month held when it closed is all that it ever holds; the rest is in the next one."""
    owner = book.customers.find("acme")
    ready, held = threading.Barrier(5), []

    def write(number: int) -> None:
        ready.wait()
        for part in range(20):
            book.record([Charge(owner, {"answers": 1}, time=START + number * 1000 + part)])

    def close() -> None:
        ready.wait()
        book.close_month("acme", LAST)
        held.append(quantity(book, START, END))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)] + [threading.Thread(target=close)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert quantity(book, START, END) == held[0]
    assert quantity(book, None, None) == 80
    assert book.verify()["holds"]
