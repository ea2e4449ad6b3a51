"""A person's right to have it all and to have it gone: no byte is left, and the chain still holds."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from breakeven.errors import InputError, Refused
from breakeven.ledger import Ledger, open_ledger, schema
from breakeven.ledger.events import Charge
from breakeven.ledger.store import private_path
from breakeven.ledger.subjects import Selection, erase, export, subjects
from tests.ledger.test_migrations import former, former_postgres

WORDS = ("Zoë Quux", "quux@example.com", "my secret complaint", "the private answer", "her laptop")
INPUT = "write to quux@example.com"


def filled(ledger: Ledger, count: int = 40) -> tuple[str, str]:
    """(customer, key) with private rows of every kind, among those of another customer."""
    owner = ledger.customers.add("Zoë Quux").id
    secret, _ = ledger.keys.create(owner, name="her laptop")
    for customer, who in ((owner, "quux@example.com"), (ledger.customers.add("other").id, "other@example.com")):
        for number in range(count):
            name = ledger.replay.name(customer, f"{who}{number}")
            charge = Charge(customer, {"answers": 1}, id=f"{who[:1]}{number}", idempotency=name,
                            body=f"the private answer to {who} {number}".encode(), expires=1 << 60)  # fmt: skip
            ledger.settle(None, charge)
            ledger.feedback.add(charge.id, {"comment": f"my secret complaint {who} " + "x" * number * 30})
        row = {"event": f"{who[:1]}1", "item": 0, "customer": customer, "payload": f"write to {who}", "output": "{}",
               "expires": 1 << 60}  # fmt: skip
        ledger.change(lambda _, private, row=row: private().execute(sa.insert(schema.inputs), row) and None)
    ledger.correct("q1", None, reason="my secret complaint of quux@example.com")
    return owner, secret


def left(place: Path, words: tuple[str, ...]) -> list[str]:
    return [
        f"{word} in {file.name}"
        for file in place.parent.iterdir()
        if file.is_file()
        for word in words
        if word.encode() in file.read_bytes()
    ]


def test_no_byte_of_a_customer_is_left_and_the_chain_holds(place: Path) -> None:
    with open_ledger(place) as ledger:
        owner, secret = filled(ledger)
        assert left(place, WORDS)
        done = erase(ledger, "Zoë Quux")
        assert done["erased"]["feedback"] == done["erased"]["answers"] == 40
        assert left(place, (*WORDS[:2], "her laptop")) == []  # while it is open: in the log and in free pages too
        assert ledger.verify()["holds"]
        assert sum(row["quantity"] for row in ledger.usage(owner)) == 39  # what was used stays billable
        assert [row["id"] for row in ledger.feedback.list(owner)] == []
        assert len(ledger.feedback.list()) == 40
        with pytest.raises(Refused, match="revoked"):
            ledger.keys.check(secret)
        with pytest.raises(InputError, match="no customer"):
            ledger.customers.find("Zoë Quux")
    assert left(place, (*WORDS[:2], "her laptop")) == []
    assert left(place, ("other@example.com",))
    with open_ledger(place) as ledger:
        assert ledger.verify()["holds"]
        assert erase(ledger, owner)["erased"]["feedback"] == 0


def test_a_name_in_the_audit_log_of_a_former_version_goes_too(place: Path) -> None:
    with open_ledger(former(place, 1)) as ledger:
        done = erase(ledger, "Müller & Co")
        assert done["lines"] == 1
        assert len(done["copies"]) == 2
        found = ledger.verify()
        assert found["holds"], found["broken"]
    for copy in done["copies"]:
        Path(copy).unlink()
    assert left(place, ("Müller", "Herr")) == []


def test_words_of_an_audit_line_do_not_go_unseen(place: Path) -> None:
    with open_ledger(place) as ledger:
        ledger.note("me", "plan.change", "x", price="1")
        ledger.note("me", "plan.change", "x", price="2")
    with sqlite3.connect(place) as connection:
        connection.execute("UPDATE audit SET detail = '{\"erased\":true}' WHERE position = 1")
    connection.close()
    with open_ledger(place) as ledger:
        assert ledger.verify()["broken"][0]["where"] == "audit"


@pytest.mark.parametrize(
    "selection", [Selection(containing="QUUX@example.com"), Selection(events=("q1",)), Selection(containing='Zoë "q"')]
)
def test_one_person_among_a_customers_requests(place: Path, selection: Selection) -> None:
    with open_ledger(place) as ledger:
        owner = ledger.customers.add("agency").id
        for name, who in (("q1", 'quux@example.com, "Zoë \\"q\\""'), ("o1", "other@example.com")):
            charge = Charge(owner, {"answers": 1}, id=name, idempotency=name, body=who.encode(), expires=1 << 60)
            ledger.settle(None, charge)
            ledger.feedback.add(name, {"comment": f"from {who.replace(chr(92), '')}"})
        rows = export(ledger, "agency", selection)
        assert {row.get("event", "q1") for row in rows} == {"q1"}
        assert {row["table"] for row in rows} == {"answers", "feedback"}
        done = erase(ledger, "agency", selection)
        assert (done["requests"], done["erased"]["answers"], done["erased"]["feedback"]) == (1, 1, 1)
        gone = subjects(ledger)
        assert gone.holds(owner, "q1")
        assert not gone.holds(owner, "o1")
        assert subjects(ledger, gone.position).events == frozenset()
        assert [row["id"] for row in ledger.feedback.list(owner)] == ["o1"]
        assert ledger.verify()["holds"]
    assert left(place, ("quux@example.com", "Zoë")) == []
    assert left(place, ("other@example.com",))


def test_everything_about_a_customer_is_exported_and_nothing_of_others(ledger: Ledger) -> None:
    owner, secret = filled(ledger, 3)
    rows = export(ledger, "Zoë Quux")
    text = json.dumps(rows, ensure_ascii=False)
    assert {"customers", "keys", "answers", "feedback", "inputs", "notes", "audit"} <= {row["table"] for row in rows}
    for word in WORDS:
        assert word in text
    assert "other@example.com" not in text
    assert secret[4:] not in text
    assert all("salt" not in row for row in rows if row["table"] == "keys")
    assert subjects(ledger).customers == frozenset()
    erase(ledger, owner)
    assert subjects(ledger).customers == {owner}


def test_whose_request_it_is_matters_and_an_empty_text_finds_nobody(ledger: Ledger) -> None:
    filled(ledger, 2)
    with pytest.raises(InputError, match="no request"):
        erase(ledger, "Zoë Quux", Selection(events=("o1",)))
    with pytest.raises(InputError, match="must not be empty"):
        erase(ledger, "Zoë Quux", Selection(containing=" "))
    with pytest.raises(InputError, match="no customer"):
        erase(ledger, "nobody")
    assert len(ledger.feedback.list()) == 4


def test_every_private_table_is_a_customers() -> None:
    assert {table.name for table in schema.private.sorted_tables if "customer" not in table.c} == {"facts"}


@pytest.mark.slow
def test_no_row_of_a_customer_is_left_on_postgresql(database: str) -> None:
    import psycopg

    with open_ledger(former_postgres(database, 1)) as ledger:
        owner, _ = filled(ledger, 5)
        for name in (owner, "Müller & Co"):
            erase(ledger, name)
        found = ledger.verify()
        assert found["holds"], found["broken"]
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'private')"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()
            assert not [row for (row,) in rows if "uux" in row or "Müller" in row], table
    assert private_path(Path("x")).name == "x.private.sqlite"


def test_erasing_while_requests_run(ledger: Ledger) -> None:
    import threading

    filled(ledger, 3)
    other, stop, failed = ledger.customers.find("other"), threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            try:
                ledger.settle(None, Charge(other, {"answers": 1}))
                ledger.usage(other)
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    erase(ledger, "Zoë Quux")
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert ledger.verify()["holds"]
