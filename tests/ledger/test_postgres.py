"""The same ledger on PostgreSQL, where one is installed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from breakeven.errors import EnvironmentFault, Refused
from breakeven.ledger import Ledger, open_ledger
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.plans import PricePlan
from tests.ledger.cluster import Cluster

pytestmark = pytest.mark.slow

QUOTA = 1000
PLAN = PricePlan.of({"answers": "0.1"})


@pytest.fixture
def ledgers(cluster: Cluster) -> Iterator[list[Ledger]]:
    """Two ledgers over one database, as two server processes have them."""
    opened = [open_ledger(cluster.url) for _ in range(2)]
    yield opened
    for ledger in opened:
        ledger.close()


def test_two_writers_share_a_ledger_and_every_chain_holds(ledgers: list[Ledger]) -> None:
    one, other = ledgers
    customer = one.customers.add("shared").id
    for ledger in ledgers:
        ledger.record([Charge(customer, {"answers": 1}) for _ in range(20)])
    assert sum(row["quantity"] for row in other.usage("shared")) == 40
    assert one.verify()["holds"]


def test_a_key_revoked_by_one_is_refused_by_the_other_within_a_second(ledgers: list[Ledger]) -> None:
    one, other = ledgers
    one.customers.add("keys")
    secret, key = one.keys.create("keys")
    other.keys.check(secret)
    one.keys.revoke(key.id)
    time.sleep(0.6)
    with pytest.raises(Refused, match="revoked"):
        other.keys.check(secret)


def test_one_idempotency_key_in_two_processes_is_one_charge(ledgers: list[Ledger]) -> None:
    won: list[bool] = []

    def ask(ledger: Ledger, number: int) -> None:
        charge = Charge("twice", {"answers": 1}, idempotency="same key", body=str(number).encode(), expires=1 << 60)
        won.append(ledger.settle(None, charge))

    threads = [threading.Thread(target=ask, args=(ledgers[number % 2], number)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
    assert sum(row["events"] for row in ledgers[0].usage() if row["customer"] == "twice") == 1


def test_thirty_two_workers_of_two_processes_get_exactly_the_quota(ledgers: list[Ledger]) -> None:
    one = ledgers[0]
    one.keep_plan(PLAN)
    one.customers.add("quota", terms=Terms(quotas={"answers": QUOTA}))
    key = one.keys.create("quota")[1]
    granted: list[int] = []

    def work(ledger: Ledger) -> None:
        for _ in range(QUOTA // 32 + 2):
            try:
                admission = ledger.admit(key, {"answers": 1}, PLAN)
            except Refused:
                continue
            ledger.settle(admission, Charge(key.customer, {"answers": 1}, plan=PLAN.version))
            granted.append(1)

    threads = [threading.Thread(target=work, args=(ledgers[number % 2],)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == QUOTA
    assert sum(row["quantity"] for row in one.usage("quota")) == QUOTA


def goes_on(acknowledged: list[str], more: int) -> None:
    """Waits until so many more were acknowledged, and a little, so that the kill meets a commit."""
    wanted, end = len(acknowledged) + more, time.monotonic() + 150
    while len(acknowledged) < wanted:
        assert time.monotonic() < end, "nothing is acknowledged any more"
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.05))


def test_a_database_that_is_killed_loses_and_doubles_nothing(cluster: Cluster) -> None:
    with open_ledger(cluster.url) as ledger:
        acknowledged: list[str] = []
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                charge = Charge("killed", {"answers": 1})
                try:
                    ledger.settle(None, charge)
                except EnvironmentFault:
                    continue
                acknowledged.append(charge.id)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                goes_on(acknowledged, 30)
                cluster.stop("immediate")
                cluster.start()
            goes_on(acknowledged, 30)
        finally:
            stop.set()
        for thread in threads:
            thread.join()
        ids = [row["id"] for row in ledger.events() if row["customer"] == "killed"]
        assert len(ids) == len(set(ids))
        assert set(acknowledged) <= set(ids)
        assert ledger.verify()["holds"]


def test_a_database_that_is_not_there_is_an_environment_fault() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(EnvironmentFault, match="does not answer") as caught:
        open_ledger("postgresql://nobody:secret@127.0.0.1:9/none")
    assert caught.value.exit_code == 5
    assert "secret" not in str(caught.value)


def test_a_month_closed_by_one_process_is_closed_for_what_another_writes_then(ledgers: list[Ledger]) -> None:
    from tests.ledger.test_periods import END, LAST, START, quantity

    one, other = ledgers
    owner = one.customers.add("closing").id
    stop, held = threading.Event(), []

    def work() -> None:
        number = 0
        while not stop.is_set():
            other.record([Charge(owner, {"answers": 1}, time=START + number)])
            number += 1

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while quantity(one, START, END, "closing") < 5:
        time.sleep(0.01)
    one.close_month("closing", LAST)
    held.append(quantity(one, START, END, "closing"))
    while quantity(one, END, None, "closing") < 5:
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert quantity(one, START, END, "closing") == held[0]
    assert all(row["late"] for row in one.events("closing", END))
    assert one.verify()["holds"]
