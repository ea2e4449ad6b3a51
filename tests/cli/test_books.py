"""Customers, the ledger and the load test as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from breakeven.cli import books, ledgers
from breakeven.cli.load import load
from breakeven.errors import BreakevenError, EnvironmentFault, InputError, IntegrityError, UsageError
from breakeven.ledger import commands, open_ledger
from breakeven.ledger.events import Charge


def call(command: Any, *arguments: str, code: int = 0) -> str:
    # Wide, so that no table wraps its last column, whatever terminal the tests run in.
    done = CliRunner().invoke(command, arguments, env={"COLUMNS": "400"})
    if isinstance(done.exception, BreakevenError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def asked(command: Any, *arguments: str, code: int = 0) -> Any:
    return json.loads(call(command, *arguments, "--json", code=code))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        owner = ledger.customers.add("acme").id
        ledger.record(Charge(owner, {"answers": number + 1}, id=f"e{number}") for number in range(3))
    return tmp_path


def test_customers_are_added_listed_and_limited(tmp_path: Path) -> None:
    at = ("-C", str(tmp_path))
    assert "no customers yet" in call(books.customers, "list", *at)
    added = asked(books.customers, "add", "Müller & Co", "--quota", "answers=1000", "--spend-cap", "20.50", *at)
    assert added["terms"] == {"quotas": {"answers": 1000}, "spend_cap": "20.50", "requests_per_second": None,
                              "burst": None, "consent": False}  # fmt: skip
    changed = asked(books.customers, "terms", "Müller & Co", "--rate", "5", "--quota", "answers=none", *at)
    assert changed["terms"] == {"quotas": {}, "spend_cap": "20.50", "requests_per_second": 5.0, "burst": None,
                                "consent": False}  # fmt: skip
    assert asked(books.customers, "terms", added["id"], *at)["terms"] == changed["terms"]
    assert asked(books.customers, "add", "Müller & Co", *at)["terms"] == changed["terms"]
    assert "5 requests a second" in call(books.customers, "list", *at)
    lifted = call(books.customers, "terms", "Müller & Co", "--rate", "none", "--spend-cap", "none", *at)
    assert "without limit" in lifted


@pytest.mark.parametrize("wrong", [("--quota", "answers"), ("--quota", "=3"), ("--quota", "a=x"), ("--rate", "fast")])
def test_terms_that_cannot_be_read_are_refused(tmp_path: Path, wrong: tuple[str, str]) -> None:
    call(books.customers, "add", "acme", *wrong, "-C", str(tmp_path), code=2)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_quota_of_what_nothing_counts_is_refused_and_an_old_one_can_be_lifted(tmp_path: Path) -> None:
    at = ("-C", str(tmp_path))
    call(books.customers, "add", "acme", "--quota", "answer=5", *at)  # no project says what is counted
    (tmp_path / "breakeven.yaml").write_text("version: 1\nproduct: {name: a, task: text-classification}\n")
    with pytest.raises(InputError, match=r"nothing counts the meter 'answer'.*one of answers"):
        call(books.customers, "terms", "acme", "--quota", "answer=8", *at)
    lifted = asked(books.customers, "terms", "acme", "--quota", "answer=none", "--quota", "answers=8", *at)
    assert lifted["terms"]["quotas"] == {"answers": 8}


def test_a_negative_cap_and_an_unknown_customer_are_refused(project: Path) -> None:
    with pytest.raises(InputError, match="from 0 up"):
        call(books.customers, "terms", "acme", "--spend-cap", "-1", "-C", str(project))
    with pytest.raises(InputError, match="no customer 'nobody'"):
        call(books.customers, "terms", "nobody", "-C", str(project))


def test_a_ledger_that_holds_says_so_and_a_changed_one_is_exit_4(project: Path) -> None:
    import sqlite3

    assert "3 events" in call(ledgers.ledger, "verify", "-C", str(project))
    with sqlite3.connect(project / "ledger.sqlite") as connection:
        connection.execute("UPDATE events SET quantities = '{\"answers\":900}' WHERE id = 'e1'")
    connection.close()
    with pytest.raises(IntegrityError, match="does not hold") as caught:
        call(ledgers.ledger, "verify", "-C", str(project))
    assert caught.value.exit_code == 4
    assert len(caught.value.more) == 1  # the chain, and the total that no longer fits
    assert not asked(ledgers.ledger, "verify", "-C", str(project), code=4)["holds"]


def test_events_are_exported_whole_to_a_file_or_not_at_all(project: Path) -> None:
    import polars as pl

    at = ("-C", str(project))
    lines = [json.loads(line) for line in call(ledgers.ledger, "export", *at).splitlines()]
    assert [line["data"]["quantities"]["answers"] for line in lines] == [1, 2, 3]
    for form in ("csv", "parquet"):
        call(ledgers.ledger, "export", "--format", form, "--out", str(project / f"usage.{form}"), *at)
    assert pl.read_csv(project / "usage.csv")["quantity"].sum() == 6
    assert pl.read_parquet(project / "usage.parquet")["quantity"].sum() == 6
    assert call(ledgers.ledger, "export", "--to", "2000-01-01", *at) == ""
    with pytest.raises(InputError, match="not a time"):
        call(ledgers.ledger, "export", "--from", "soon", "--out", str(project / "never"), *at)
    assert not (project / "never").exists()


def test_the_audit_log_names_who_did_what(project: Path) -> None:
    commands.keys_create(project / "ledger.sqlite", "acme")
    actions = [row["action"] for row in asked(ledgers.ledger, "audit", "-C", str(project))]
    assert "key.create" in actions
    assert "customer.add" in call(ledgers.ledger, "audit", "-C", str(project))


@pytest.mark.parametrize(("url", "words"), [
    ("https://127.0.0.1", "plain HTTP"), ("http://", "not the address"), ("http://127.0.0.1:99999", "not the address"),
    ("http://192.0.2.1", "is not this machine"), ("http://localhost.evil.example", "is not this machine"),
])  # fmt: skip
def test_a_load_test_stays_on_this_machine(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call(load, url, "--key", "k", "--rate", "1")


def test_a_load_test_needs_a_server(tmp_path: Path) -> None:
    from breakeven.serving.run import listen

    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with pytest.raises(EnvironmentFault, match="no server answers"):
        call(load, f"127.0.0.1:{port}", "--key", "k", "--rate", "1")


@pytest.mark.slow
def test_a_load_test_of_a_real_server(tmp_path: Path) -> None:
    from breakeven.serving.launch import ServerProcess

    (tmp_path / "inputs.txt").write_text('one\n"two"\n')
    with ServerProcess("nowhere", module="tests.serving.echo_server") as server:
        found = asked(load, server.url, "--key", server.key, "--rate", "40", "--seconds", "0.5")
        assert found["answers"] == found["sent"] > 0
        shown = call(load, server.url, "--key", server.key, "--rate", "20", "--seconds", "0.3", "--p95", "60000",
                     "--file", str(tmp_path / "inputs.txt"))  # fmt: skip
        assert "answers a second" in shown
        assert call(load, server.url, "--key", "wrong", "--rate", "20", "--seconds", "0.2", code=1).count("401") == 1
