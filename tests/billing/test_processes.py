"""Numbers without a gap and without a double, whoever finalizes at once and however a process ends."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from breakeven.billing.issue import credit, show
from breakeven.errors import Refused
from breakeven.ledger import clock, commands, open_ledger
from breakeven.ledger.events import Charge
from tests.billing.conftest import office

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MONTH = "2024-10"


def customers(place: str, count: int) -> list[str]:
    names = [f"c{number:02d}" for number in range(count)]
    moment = clock.moment("2024-10-05", "time") or 0
    with open_ledger(place) as ledger:
        owners = [ledger.customers.add(name).id for name in names]
        ledger.record(Charge(owner, {"answers": 10 + at}, time=moment) for at, owner in enumerate(owners))
    return names


def start(place: str, names: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.billing.finalizing", place, MONTH, *names]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def issued(place: str) -> list[dict[str, Any]]:
    for _ in range(600):
        try:
            rows: list[dict[str, Any]] = commands.call(place, "invoices.list")
            return rows
        except Exception as error:
            if getattr(error, "code", "") != "ledger-owned":
                raise
            time.sleep(0.1)
    raise AssertionError("the ledger stayed owned")


def check(place: str, names: Sequence[str]) -> None:
    """One invoice a customer, numbered 1 to n, every document whole."""
    rows = issued(place)
    assert [row["number"] for row in rows] == [f"INV-2024-{at:04d}" for at in range(1, len(names) + 1)]
    assert sorted(row["name"] for row in rows) == sorted(names)
    for row in rows:
        assert show(place, row["number"])["hash"] == row["hash"]
    assert commands.verify(place)["holds"]


def at_once(place: str, names: Sequence[str], processes: int) -> None:
    running = [start(place, random.Random(seed).sample(names, len(names))) for seed in range(processes)]
    told: list[set[str]] = []
    for process in running:
        out, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        told.append(set(out.splitlines()[1:]))
    assert all(one == told[0] for one in told)  # everybody was told the same numbers and hashes
    check(place, names)


def killed(place: str, names: Sequence[str], seconds: float) -> None:
    """Kills a finalizing process again and again, at moments of chance; what it acknowledged must be there."""
    chance, acknowledged, left = random.Random(7), set(), list(names)
    for _ in range(8):
        process = start(place, left)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(chance.random() * seconds)
        process.kill()
        out, _ = process.communicate()
        whole = out.splitlines(keepends=True)
        acknowledged |= {line.strip() for line in whole if line.endswith("\n")}
        rows = issued(place)
        assert [row["number"] for row in rows] == [f"INV-2024-{at:04d}" for at in range(1, len(rows) + 1)]
        assert {line.split()[0] for line in acknowledged} <= {row["number"] for row in rows}
        left = [name for name in names if name not in {row["name"] for row in rows}]
        if not left:
            break
    process = start(place, names)
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert acknowledged <= set(out.splitlines())  # the same number and hash for the same customer as before the kill
    check(place, names)


def test_three_processes_at_once_on_a_file(tmp_path: Path) -> None:
    place = str(tmp_path / "ledger.sqlite")
    at_once(place, customers(place, 4), 3)


def test_three_processes_at_once_on_postgresql(database: str) -> None:
    at_once(database, customers(database, 6), 3)


def test_kills_leave_no_gap_on_a_file(tmp_path: Path) -> None:
    place = str(tmp_path / "ledger.sqlite")
    killed(place, customers(place, 6), 0.5)


def test_kills_leave_no_gap_on_postgresql(database: str) -> None:
    killed(database, customers(database, 6), 1.5)


def test_credits_at_once_never_give_back_more_than_there_is(database: str) -> None:
    from concurrent.futures import ThreadPoolExecutor
    from decimal import Decimal

    customers(database, 1)
    process = start(database, ["c00"])
    assert process.communicate(timeout=240)[0]
    number = issued(database)[0]["number"]

    def half(at: int) -> str:
        try:
            made = credit(office(database), number, lines=[1], share=Decimal("0.5"), reason=f"outage {at}")
            return str(made["number"])
        except Refused as error:
            return error.code

    with ThreadPoolExecutor(6) as pool:
        found = sorted(pool.map(half, range(6)))
    rows = [row for row in issued(database) if row["kind"] == "credit_note"]
    assert [row["number"] for row in rows] == ["CN-2024-0001", "CN-2024-0002"]
    assert found[:2] == ["CN-2024-0001", "CN-2024-0002"] and set(found[2:]) <= {
        "credit-more-than-left",
        "invoice-moved",
    }


@pytest.mark.parametrize("where", ["a file", "postgresql"])
def test_use_that_comes_while_a_month_is_finalized_is_billed_once(where: str, tmp_path: Path, request: Any) -> None:
    """Events keep coming for the month; each is on this invoice or counts in a later month, none in neither."""
    place = str(tmp_path / "ledger.sqlite") if where == "a file" else request.getfixturevalue("database")
    moment = clock.moment("2024-10-05", "time") or 0
    with open_ledger(place) as ledger:
        owner = ledger.customers.add("c00").id
        ledger.record([Charge(owner, {"answers": 1}, time=moment)])
        import threading

        stop, written = threading.Event(), [1]

        def write() -> None:
            while not stop.is_set():
                ledger.record([Charge(owner, {"answers": 1}, time=moment)])
                written[0] += 1
                time.sleep(0.002)

        writer = threading.Thread(target=write)
        writer.start()
        body = {"customer": "c00", "customer_id": owner, "month": MONTH, "kind": "invoice", "series": "INV",
                "issued": "2024-11-02", "references": None, "total": {"amount": "0"}, "currency": "EUR"}  # fmt: skip
        seen = {"events": commands.COMMANDS["invoices.seen"](ledger, owner, MONTH), "billed": 0}
        before = written[0]
        while written[0] < before + 2:  # one of these began after the month was looked at
            time.sleep(0.001)
        with pytest.raises(Refused, match="came in while the document was made"):
            commands.COMMANDS["invoices.issue"](ledger, dict(body), "slot", seen)
        while True:
            seen = {"events": commands.COMMANDS["invoices.seen"](ledger, owner, MONTH), "billed": 0}
            try:
                made = commands.COMMANDS["invoices.issue"](ledger, {**body, "seen": seen["events"]}, "slot", seen)
                break
            except Refused as error:
                assert error.code == "invoice-moved"
        time.sleep(0.05)
        stop.set()
        writer.join()
        billed = made["seen"][0]
        inside = [event for event in ledger.events("c00") if event["counted"].startswith(MONTH)]
        assert len(inside) == billed and len(ledger.events("c00")) == written[0] > billed
        assert commands.COMMANDS["invoices.seen"](ledger, owner, MONTH)[0] == billed
