"""The ledger's commands as a person meets them: corrections, closed months, copies, events out and in, erasure."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from breakeven.cli import books, ledgers
from breakeven.cli.keys import keys
from breakeven.errors import InputError, IntegrityError, Refused, UsageError
from breakeven.ledger import commands, open_ledger
from breakeven.ledger.events import Charge
from tests.cli.test_books import asked, call, project
from tests.ledger.test_periods import LAST, START
from tests.ledger.test_reconcile import answered

__all__ = ["project"]


def test_an_event_is_corrected_voided_and_shown(project: Path) -> None:
    at = ("-C", str(project))
    assert "it now counts as: answers 1" in call(
        ledgers.ledger, "correct", "e1", "--quantity", "answers=1", "--reason", "twice", *at
    )
    again = call(ledgers.ledger, "correct", "e1", "--quantity", "answers=1", "--reason", "twice", *at)
    assert "nothing was added" in again
    assert asked(ledgers.ledger, "void", "e2", "--reason", "a test", *at)["quantities"] == {"answers": 0}
    shown = call(ledgers.ledger, "show", "e1", *at)
    assert "twice" in shown
    assert "it counts as: answers 1" in shown
    assert asked(ledgers.ledger, "verify", *at)["holds"]
    with pytest.raises(InputError, match="no event 'e9'"):
        call(ledgers.ledger, "void", "e9", "--reason", "x", *at)
    call(ledgers.ledger, "correct", "e1", "--quantity", "answers=-1", "--reason", "x", *at, code=2)


def test_a_month_is_closed_once_and_listed(project: Path) -> None:
    at = ("-C", str(project))
    assert "no month is closed" in call(ledgers.ledger, "close", *at)
    assert f"closed {LAST} for acme" in call(ledgers.ledger, "close", "acme", LAST, "--reference", "R-1", *at)
    assert "nothing changed" in call(ledgers.ledger, "close", "acme", LAST, *at)
    assert "R-1" in call(ledgers.ledger, "close", *at)
    with pytest.raises(UsageError, match="YYYY-MM"):
        call(ledgers.ledger, "close", "acme", "soon", *at)
    with open_ledger(project / "ledger.sqlite") as ledger:
        ledger.record([Charge(ledger.customers.find("acme"), {"answers": 9}, id="late", time=START)])
    assert "counts at" in call(ledgers.ledger, "show", "late", *at)


def test_a_backup_is_restored_and_proved_by_its_heads(project: Path) -> None:
    at, file = ("-C", str(project)), project / "b.backup"
    assert "3 events" in call(ledgers.ledger, "backup", str(file), *at)
    assert asked(ledgers.ledger, "verify", "--against", str(file), *at)["holds"]
    with pytest.raises(UsageError, match="--replace"):
        call(ledgers.ledger, "restore", str(file), *at)
    assert "chains as they were" in call(ledgers.ledger, "restore", str(file), "--replace", *at)
    (project / "heads.json").write_text(json.dumps({"heads": {"main": {"seq": 3, "hash": "0" * 64}}}))
    with pytest.raises(IntegrityError, match="kept elsewhere is missing or changed"):
        call(ledgers.ledger, "verify", "--against", str(project / "heads.json"), *at)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "lago", "openmeter"])
def test_events_are_carried_to_another_ledger(project: Path, tmp_path: Path, form: str) -> None:
    file, other = tmp_path / f"events.{form}", tmp_path / "other"
    call(ledgers.ledger, "export", "--format", form, "--out", str(file), "-C", str(project))
    commands.customers_add(other / "ledger.sqlite", "somebody")
    arguments = ("import", str(file), "--format", form, "--add-customers", "-C", str(other))
    assert "would take 3 events of 3; 0" in call(ledgers.ledger, *arguments, "--dry-run")
    assert "took 3 events of 3; 0" in call(ledgers.ledger, *arguments)
    assert asked(ledgers.ledger, *arguments) == {"events": 3, "new": 0, "there": 3, "dry_run": False}


def test_answers_that_were_given_are_compared(project: Path) -> None:
    at, file = ("-C", str(project)), project / "answers.jsonl"
    file.write_text("".join(answered(f"e{number}", number + 1) for number in range(3)))
    assert "answers and ledger agree: 3 compared" in call(ledgers.ledger, "reconcile", "--answers", str(file), *at)
    with file.open("a") as stream:
        stream.write(json.dumps({"id": "lost", "usage": []}) + "\n")
    with pytest.raises(Refused, match="answers: not charged: 1; lost"):
        call(ledgers.ledger, "reconcile", "--answers", str(file), *at)
    found = asked(ledgers.ledger, "reconcile", "--answers", str(file), *at, code=1)
    assert found["answers"]["differences"]["not_charged"]["ids"] == ["lost"]
    with pytest.raises(click.UsageError, match="compare with what"):
        CliRunner().invoke(ledgers.ledger, ["reconcile", *at], standalone_mode=False, catch_exceptions=False)


def test_a_customer_is_exported_and_erased(project: Path) -> None:
    at = ("-C", str(project))
    lines = [json.loads(line) for line in call(books.customers, "export", "acme", *at).splitlines()]
    assert [line["table"] for line in lines].count("events") == 3
    assert CliRunner().invoke(books.customers, ["erase", "acme", *at], input="n\n").exit_code == 1
    assert asked(books.customers, "list", *at)[0]["name"] == "acme"
    assert "erased" in call(books.customers, "erase", "acme", "--yes", *at)
    assert asked(books.customers, "list", *at)[0]["name"].startswith("erased cus_")
    assert asked(ledgers.ledger, "verify", *at)["holds"]
    with pytest.raises(InputError, match="no customer 'acme'"):
        call(books.customers, "erase", "acme", "--yes", *at)


def test_a_key_is_rotated(project: Path) -> None:
    at = ("-C", str(project))
    made = commands.keys_create(project / "ledger.sqlite", "acme")
    row = asked(keys, "rotate", made["id"], "--overlap", "7d", *at)
    assert row["replaces"] == made["id"]
    assert row["old"]["expires"] is not None
    call(keys, "rotate", row["id"], "--overlap", "soon", *at, code=2)
