from __future__ import annotations

import sqlite3
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.errors import InputError
from breakeven.ledger import Ledger, chain, open_ledger
from breakeven.ledger.events import Charge
from breakeven.ledger.plans import PricePlan
from breakeven.ledger.store import private_path


def test_usage_adds_up_and_is_priced_exactly(ledger: Ledger) -> None:
    plan = ledger.keep_plan(PricePlan.of({"answers": "0.004", "input_tokens": "0.000000000001"}))
    customer = ledger.customers.add("acme").id
    for _ in range(3):
        ledger.settle(None, Charge(customer, {"answers": 1, "input_tokens": 7}, plan=plan.version))
    rows = {row["meter"]: row for row in ledger.usage("acme")}
    assert (rows["answers"]["quantity"], rows["answers"]["price"]) == (3, "0.012")
    assert (rows["input_tokens"]["quantity"], Decimal(rows["input_tokens"]["price"])) == (21, Decimal("2.1e-11"))
    assert ledger.verify()["holds"]


def test_events_can_be_read_one_by_one(ledger: Ledger) -> None:
    customer = ledger.customers.add("acme").id
    ledger.record([Charge(customer, {"answers": 2}, time=time, id=str(time)) for time in (3, 1, 2)])
    rows = ledger.events("acme", 1, 3)
    assert [(row["id"], row["quantities"]) for row in rows] == [("1", {"answers": 2}), ("2", {"answers": 2})]
    assert rows[0]["time"].startswith("1970-01-01T00:00:00")


def test_an_event_is_counted_once(ledger: Ledger) -> None:
    charges = [Charge("c", {"answers": 1}, id="one", source="s"), Charge("c", {"answers": 1}, id="two", source="s")]
    assert ledger.record(charges) == 2
    assert ledger.record([charges[0], Charge("c", {"answers": 5}, id="three", source="s")]) == 1
    assert ledger.record([Charge("c", {"answers": 1}, id="one", source="elsewhere")]) == 1
    assert sum(row["quantity"] for row in ledger.usage()) == 8
    assert ledger.verify()["holds"]


def test_money_and_fractions_never_enter(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="whole number"):
        ledger.record([Charge("c", {"answers": 0.5})])  # type: ignore[dict-item]
    with pytest.raises(InputError, match="not printable"):
        ledger.record([Charge("c", {"answers": 1}, source="a\x1fb")])


def test_one_idempotency_key_is_charged_once_whoever_comes_first(ledger: Ledger) -> None:
    won: list[bool] = []

    def ask(number: int) -> None:
        won.append(
            ledger.settle(
                None,
                Charge("c", {"answers": 1}, idempotency="key", request="r", body=str(number).encode(), expires=1 << 60),
            )
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
    assert sum(row["events"] for row in ledger.usage()) == 1
    assert ledger.replay.find("key", "r") is not None


def test_a_group_with_one_bad_event_keeps_the_others(ledger: Ledger) -> None:
    ledger.record([Charge("c", {"answers": 1}, id="x")])
    assert ledger.record([Charge("c", {"answers": 1}, id=name) for name in ("a", "x", "b")]) == 2
    assert ledger.verify()["holds"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET quantities = '{\"answers\":1}' WHERE seq = 2",
        "UPDATE events SET customer = 'other' WHERE seq = 2",
        "DELETE FROM events WHERE seq = 2",
        "DELETE FROM events WHERE seq = 3",
        "UPDATE totals SET quantity = quantity - 1",
        "UPDATE audit SET actor = 'nobody' WHERE position = 1",
    ],
)
def test_verify_sees_what_was_changed_behind_our_back(place: Path, change: str) -> None:
    with open_ledger(place) as ledger:
        ledger.customers.add("acme")
        ledger.record([Charge("c", {"answers": 2}) for _ in range(3)])
        assert ledger.verify()["holds"]
    with sqlite3.connect(place) as connection:
        connection.execute(change)
    with open_ledger(place) as ledger:
        found = ledger.verify()
    assert not found["holds"]
    assert found["broken"]


def test_the_chain_goes_on_after_a_restart(place: Path) -> None:
    for _ in range(3):
        with open_ledger(place) as ledger:
            ledger.record([Charge("c", {"answers": 1})])
    with open_ledger(place) as ledger:
        found = ledger.verify()
    assert (found["holds"], found["events"], found["writers"]) == (True, 3, 1)


def test_what_must_be_erasable_lies_apart(place: Path) -> None:
    with open_ledger(place) as ledger:
        customer = ledger.customers.add("acme")
        charge = Charge(customer.id, {"answers": 1}, idempotency="k", body=b"secret answer", expires=1 << 60)
        ledger.settle(None, charge)
        ledger.feedback.add(charge.id, {"comment": "secret comment"}, customer=customer.id)
    assert b"secret" not in place.read_bytes()
    assert b"secret answer" in private_path(place).read_bytes()


def test_a_change_that_fails_takes_no_other_with_it(ledger: Ledger) -> None:
    """All in one commit: the writer is held until everything is queued."""
    hold, outcomes = threading.Event(), {}

    def fails(connection: object, private: object) -> None:
        raise ZeroDivisionError

    def tell(name: str, work: object) -> None:
        try:
            outcomes[name] = work()  # type: ignore[operator]
        except Exception as error:
            outcomes[name] = type(error).__name__

    works = {
        "hold": lambda: ledger.change(lambda *_: hold.wait(60)),
        "before": lambda: ledger.customers.add("before").name,
        "fails": lambda: ledger.change(fails),
        "charge": lambda: ledger.settle(None, Charge("c", {"answers": 1})),
        "after": lambda: ledger.customers.add("after").name,
    }
    threads = []
    for name, work in works.items():
        threads.append(threading.Thread(target=tell, args=(name, work)))
        threads[-1].start()
        threading.Event().wait(0.05)
    hold.set()
    for thread in threads:
        thread.join()
    assert outcomes == {"hold": True, "before": "before", "fails": "EnvironmentFault", "charge": True, "after": "after"}
    assert {customer.name for customer in ledger.customers.list()} == {"before", "after"}
    assert ledger.verify()["holds"]


def test_what_a_failed_commit_rolled_back_is_told_to_nobody_as_done(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy as sa

    from breakeven.errors import EnvironmentFault
    from breakeven.ledger import writer

    def full(*_: object, **_more: object) -> None:
        raise sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(writer, "append", full)
    hold = threading.Event()
    first = threading.Thread(target=lambda: ledger.change(lambda *_: hold.wait(60)))
    caught: list[str] = []

    def add() -> None:
        try:
            ledger.customers.add("acme")
        except EnvironmentFault as error:
            caught.append(error.code)

    def charge() -> None:
        try:
            ledger.settle(None, Charge("c", {"answers": 1}))
        except EnvironmentFault as error:
            caught.append(error.code)

    threads = [first, threading.Thread(target=add), threading.Thread(target=charge)]
    for thread in threads:
        thread.start()
        threading.Event().wait(0.05)
    hold.set()
    for thread in threads:
        thread.join()
    assert caught == ["ledger-busy", "ledger-busy"]
    assert ledger.customers.list() == []


@given(values=st.lists(st.text() | st.integers(), min_size=14, max_size=14), counted=st.none() | st.integers())
def test_the_spelled_out_link_is_the_link(values: list[object], counted: int | None) -> None:
    whole = values if counted is None else [*values, counted]
    assert len(chain.EVENT_FIELDS) == 14
    assert chain.link_event("before", values, counted) == chain.link("before", whole)
