"""How a group of charges reaches the tables: sums by the number of their row, rows by one statement, and what fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from breakeven.errors import BreakevenError
from breakeven.ledger import Ledger, open_ledger, schema
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.limits import NOTHING, Admission
from breakeven.ledger.rows import ROWS, insert_rows
from breakeven.ledger.totals import Totals
from breakeven.ledger.writer import Between, Entry

HOUR = 3_600_000_000


def together(ledger: Ledger, charges: list[Charge]) -> list[Entry]:
    """Charges that queue while the writer is held, so that one commit writes them all."""
    hold, done, heard = threading.Event(), threading.Event(), list[Entry]()

    def deliver(entries: list[Entry]) -> None:
        heard.extend(entries)
        if len(heard) == len(charges):
            done.set()

    holder = threading.Thread(target=lambda: ledger.change(lambda *_: hold.wait(60)))
    holder.start()
    while ledger.writer.queued():
        threading.Event().wait(0.001)
    for charge in charges:
        ledger.settle_soon(None, charge, deliver)
    hold.set()
    assert done.wait(60)
    holder.join()
    return heard


@pytest.mark.parametrize("count", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5])
def test_a_group_of_any_size_is_written_whole(ledger: Ledger, count: int) -> None:
    for _ in range(2):  # the second time every sum is there, and changed by the number of its row
        together(ledger, [Charge(f"c{n % 7}", {"answers": 1, "tokens": n}, key=str(n)) for n in range(count)])
    assert ledger.verify()["holds"]
    assert sum(row["quantity"] for row in ledger.usage() if row["meter"] == "answers") == 2 * count


def test_rows_that_are_numbered_anew_are_looked_for_again(ledger: Ledger) -> None:
    together(ledger, [Charge(f"c{n}", {"answers": 1}) for n in range(20)])

    def renumber(stores: Any) -> None:
        held = stores.writing.raw_connection()
        held.cursor().execute("UPDATE totals SET rowid = 1000 - rowid")  # as VACUUM may
        held.close()

    ledger.record([Charge("late", {"answers": 1})])
    ledger.writer.wait(Between(renumber))
    heard = together(ledger, [Charge(f"c{n}", {"answers": 1}) for n in reversed(range(20))])
    assert [entry.error for entry in heard] == [None] * 20
    assert ledger.verify()["holds"]


def test_sums_of_a_commit_that_failed_are_not_remembered(ledger: Ledger) -> None:
    def pages(most: int) -> None:
        ledger.change(lambda _, private: private().exec_driver_sql(f"PRAGMA max_page_count={most}") and None)

    pages(1)  # of the private part: the answer is kept after the sums were changed
    with pytest.raises(BreakevenError, match="full"):
        ledger.settle(None, Charge("new", {"answers": 5}, idempotency="k", body=b"x" * 100_000, expires=1 << 60))
    pages(1 << 30)
    ledger.record([Charge("new", {"answers": 2})])
    assert ledger.verify()["holds"]
    assert [row["quantity"] for row in ledger.usage()] == [2]


def test_a_doubled_event_is_refused_alone(ledger: Ledger) -> None:
    ledger.record([Charge("c", {"answers": 1}, id="there")])
    heard = together(ledger, [Charge("new", {"answers": 1}), Charge("c", {"answers": 5}, id="there")])
    assert [entry.error.code if entry.error else None for entry in heard] == [None, "event-doubled"]
    ledger.record([Charge("new", {"answers": 2})])
    assert ledger.verify()["holds"]
    assert {row["customer"]: row["quantity"] for row in ledger.usage()} == {"c": 1, "new": 3}


def test_a_sum_that_somebody_else_removed_stops_that_commit_only(ledger: Ledger) -> None:
    ledger.record([Charge("c", {"answers": 1})])
    ledger.change(lambda connection, _: connection.execute(sa.delete(schema.totals)) and None)
    with pytest.raises(BreakevenError, match="ledger"):
        ledger.record([Charge("c", {"answers": 1}, id="lost")])
    assert [row["id"] for row in ledger.events() if row["id"] == "lost"] == []
    ledger.record([Charge("c", {"answers": 1})])  # and nothing is remembered any more
    assert sum(row["quantity"] for row in ledger.usage()) == 1


def test_a_full_disk_refuses_that_group_only(ledger: Ledger) -> None:
    def pages(most: int) -> None:
        ledger.change(lambda connection, _: connection.exec_driver_sql(f"PRAGMA max_page_count={most}") and None)

    ledger.record([Charge("c", {"answers": 1})])
    pages(1)  # SQLite takes it for the pages that there are
    with pytest.raises(BreakevenError, match="full"):
        for _ in range(100):
            ledger.record([Charge("c", {"answers": 1}) for _ in range(50)])
    kept = ledger.verify()
    pages(1 << 30)
    ledger.record([Charge("c", {"answers": 1})])
    found = ledger.verify()
    assert found["holds"]
    assert found["events"] == kept["events"] + 1


def test_reservations_of_a_commit_become_use_together(ledger: Ledger) -> None:
    settled: list[int] = []
    settle = ledger.balances.settle

    def counting(pairs: Any) -> None:
        settled.append(len(pairs))
        settle(pairs)

    ledger.balances.settle = counting  # type: ignore[method-assign]
    owner = ledger.customers.add("acme", terms=Terms(quotas={"answers": 50})).id
    key = ledger.keys.create(owner)[1]
    admissions = [ledger.admit(key, {"answers": 1}, ledger.plan("")) for _ in range(50)]
    done, heard = threading.Event(), list[Entry]()

    def deliver(entries: list[Entry]) -> None:
        heard.extend(entries)
        if len(heard) == 50:
            done.set()

    for admission in admissions:
        ledger.settle_soon(admission, Charge(owner, {"answers": 1}), deliver)
    assert done.wait(60)
    assert sum(settled) == 50
    with pytest.raises(BreakevenError, match="used up"):
        ledger.admit(key, {"answers": 1}, ledger.plan(""))


def test_a_reservation_without_use_is_given_back(ledger: Ledger) -> None:
    admission = Admission("nobody", "2026-01", {"answers": 3})
    ledger.balances.reserve("nobody", "2026-01", {"answers": 3}, {"answers": 3})
    ledger.balances.settle([(admission, NOTHING)])
    ledger.balances.reserve("nobody", "2026-01", {"answers": 3}, {"answers": 3})


PLANS = {
    "an id alone": sa.select(schema.events.c.customer).where(schema.events.c.id == "x"),
    "ids of a source": sa.select(schema.events.c.id).where(
        schema.events.c.id.in_(["x", "y"]), schema.events.c.source == "s"
    ),
    "a stretch of time": sa.select(schema.events.c.id).where(schema.events.c.time >= 5, schema.events.c.time < 9),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_every_request_asks_is_found_by_an_index(ledger: Ledger, name: str) -> None:
    with ledger.stores.reading.connect() as connection:
        text = str(PLANS[name].compile(connection.engine, compile_kwargs={"literal_binds": True}))
        plan = " ".join(str(row) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
    assert "SEARCH events" in plan
    assert "SCAN" not in plan


@pytest.mark.slow
@pytest.mark.parametrize(
    "texts",
    [["", ""], [""], ["a\x1fb", "c"], ["ü", "a'\\ b"], ["{}", "{1,2}"]],
    ids=["empty", "one", "unit", "q", "array"],
)
def test_texts_reach_postgresql_as_they_are(database: str, texts: list[str]) -> None:
    columns = ("customer", "hour", "key", "release", "plan", "meter", "quantity", "events")
    rows = [(text, HOUR * n, "k", "r", "p", "m", n, 1) for n, text in enumerate(texts)]
    with open_ledger(database) as ledger, ledger.stores.writing.begin() as connection:
        insert_rows(connection, ("totals", columns), rows)
        found = connection.execute(sa.select(schema.totals.c.customer).order_by(schema.totals.c.hour)).scalars().all()
    assert list(found) == texts


@pytest.mark.slow
def test_a_doubled_event_on_postgresql_is_refused_alone(database: str) -> None:
    with open_ledger(database) as ledger:
        ledger.record([Charge("c", {"answers": 1}, id="there")])
        heard = together(ledger, [Charge("c", {"answers": 1}), Charge("c", {"answers": 1}, id="there")])
        assert [entry.error.code if entry.error else None for entry in heard] == [None, "event-doubled"]
        assert ledger.verify()["holds"]
        assert ledger.verify()["events"] == 2


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breakeven.ledger.totals._MOST", 3)
    sums = Totals()
    remember: Callable[[int], None] = lambda n: sums._fresh.update({(n,): n})  # noqa: E731
    for number in range(5):
        remember(number)
        sums.committed()
        assert len(sums._places) <= 3
