"""A ledger of every former schema is brought to this one, on both databases, and nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from breakeven.errors import Refused, UsageError
from breakeven.ledger import Ledger, open_ledger, schema
from breakeven.ledger.events import Charge
from breakeven.ledger.migrations import MIGRATIONS, Migration
from breakeven.ledger.store import Stores, connect, prepare, private_path

HERE = Path(__file__).parent
FORMER = (1, 2, 3)  # every schema that a release has had
SECRET = {  # the key of each fixture, which must go on to work
    "sqlite": "bek_OMIz3fvQ_dxlxKQFgdHqzIcmzzQLTXHxsYyXzIi12Q7kxD9tCudK2Aa2e9",
    "postgres": "bek_0MCMCjdD_OOnvOf8QYBcle8dGs7le6qwX3fkBuki8oQX5VgoQdCQ0rqYLf",
}


def former(place: Path, version: int) -> Path:
    for half, file in (("ledger", place), ("private", private_path(place))):
        with sqlite3.connect(file) as connection:
            connection.executescript((HERE / f"schema_{version}_{half}.sql").read_text(encoding="utf-8"))
        connection.close()
    return place


def former_postgres(url: str, version: int) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute((HERE / f"schema_{version}_postgres.sql").read_text(encoding="utf-8").encode())
    return url


def version_of(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return str(connection.execute("SELECT value FROM facts WHERE name = 'schema'").fetchone()[0])


def holds_everything(ledger: Ledger, secret: str) -> None:
    found = ledger.verify()
    assert found["holds"], found["broken"]
    assert found["events"] == 13
    assert sum(row["quantity"] for row in ledger.usage("Müller & Co") if row["meter"] == "answers") == 25
    assert {row["price"] for row in ledger.usage("Müller & Co") if row["meter"] == "answers"} == {"0.100"}
    key = ledger.keys.check(secret)
    assert ledger.customers.terms(key.customer).quotas == {"answers": 1000}
    stored = ledger.replay.find(ledger.replay.name(key.customer, "my key"), ledger.replay.request(b"body"))
    assert stored is not None
    assert stored.body.decode() == "the answer of Müller"
    assert ledger.feedback.list()[0]["comment"] == "Herr Müller disagrees"
    ledger.record([Charge(key.customer, {"answers": 1})])
    assert ledger.verify()["holds"]


def elsewhere(engine: sa.Engine) -> set[str]:
    """Names of indexes that are declared for the other database."""
    indexes = [index for table in schema.public.sorted_tables for index in table.indexes]
    return {str(one.name) for one in indexes if one._ddl_if is not None and one._ddl_if.dialect != engine.dialect.name}


def differences(stores: Stores) -> list[object]:
    """What the tables declared today and those in the databases do not share."""
    if stores.sqlite:
        plain = sa.MetaData()
        for table in schema.private.sorted_tables:
            copy = table.to_metadata(plain, schema=None)
            names = {tuple(index.columns.keys()): index.name for index in table.indexes}
            for index in copy.indexes:  # the file has no schema, the names of its indexes still speak of it
                index.name = names[tuple(index.columns.keys())]
        halves = [(stores.reading, schema.public), (stores.private_reading, plain)]
    else:
        both = sa.MetaData()
        for table in [*schema.public.sorted_tables, *schema.private.sorted_tables]:
            table.to_metadata(both)
        halves = [(stores.reading, both)]
    found: list[object] = []
    for engine, metadata in halves:
        with engine.connect() as connection:
            options = {"compare_type": True, "include_schemas": not stores.sqlite}
            found += compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    absent = {("add_index", name) for name in elsewhere(stores.reading)}
    return [one for one in found if not isinstance(one, tuple) or (one[0], getattr(one[1], "name", "")) not in absent]


@pytest.mark.parametrize("version", FORMER)
def test_a_former_ledger_is_migrated_after_a_backup(place: Path, version: int) -> None:
    with open_ledger(former(place, version)) as ledger:
        assert differences(ledger.stores) == []
        holds_everything(ledger, SECRET["sqlite"])
    assert version_of(place) == version_of(private_path(place)) == str(schema.SCHEMA)
    copies = sorted(place.parent.glob(f"*.before-{schema.SCHEMA}-from-{version}-*"))
    assert [version_of(copy) for copy in copies] == [str(version)] * 2
    assert all(copy.stat().st_mode & 0o077 == 0 for copy in copies)


@pytest.mark.slow
@pytest.mark.parametrize("version", FORMER)
def test_a_former_ledger_on_postgresql_is_migrated(database: str, version: int) -> None:
    with open_ledger(former_postgres(database, version)) as ledger:
        assert differences(ledger.stores) == []
        holds_everything(ledger, SECRET["postgres"])


def test_a_new_ledger_is_what_is_declared(ledger: Ledger) -> None:
    assert differences(ledger.stores) == []


def broken(half: str, step: Callable[[Operations, str | None], None]) -> dict[int, Migration]:
    def fails(op: Operations, named: str | None) -> None:
        step(op, named)
        raise RuntimeError("power cut")

    return {**MIGRATIONS, 1: dataclasses.replace(MIGRATIONS[1], **{half: fails})}


@pytest.mark.parametrize("half", ["public", "private"])
def test_a_migration_that_fails_changes_nothing(place: Path, half: str) -> None:
    stores = connect(former(place, 1), create=False)
    with pytest.raises(RuntimeError, match="power cut"):
        prepare(stores, migrations=broken(half, getattr(MIGRATIONS[1], half)))
    stores.dispose()
    assert version_of(place) == version_of(private_path(place)) == "1"
    with open_ledger(place) as ledger:
        holds_everything(ledger, SECRET["sqlite"])


def test_a_migration_cut_off_between_its_halves_is_finished(place: Path) -> None:
    former(place, 1)
    whole = place.with_name("aside.sqlite")
    whole.write_bytes(place.read_bytes())
    with open_ledger(place):
        pass
    place.write_bytes(whole.read_bytes())  # the private half was committed, the public one was not
    assert (version_of(place), version_of(private_path(place))) == ("1", str(schema.SCHEMA))
    with open_ledger(place) as ledger:
        assert differences(ledger.stores) == []
        holds_everything(ledger, SECRET["sqlite"])


@pytest.mark.slow
def test_a_migration_that_fails_on_postgresql_changes_nothing(database: str) -> None:
    stores = connect(former_postgres(database, 1), create=False)
    with pytest.raises(RuntimeError, match="power cut"):
        prepare(stores, migrations=broken("public", MIGRATIONS[1].public))
    stores.dispose()
    with open_ledger(database) as ledger:
        holds_everything(ledger, SECRET["postgres"])


@pytest.mark.slow
def test_processes_that_start_together_make_one_ledger(database: str) -> None:
    import threading

    opened: list[str] = []
    failed: list[Exception] = []

    def start() -> None:
        try:
            with open_ledger(database) as ledger:
                opened.append(ledger.genesis())
                ledger.record([Charge("c", {"answers": 1})])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with open_ledger(database) as ledger:
        assert ledger.verify()["events"] == 6


def test_a_schema_that_nobody_can_bring_here_is_refused(place: Path) -> None:
    stores = connect(former(place, 1), create=False)
    with pytest.raises(UsageError, match="schema 1 and this program cannot bring it to"):
        prepare(stores, migrations={})
    stores.dispose()
    assert version_of(place) == "1"


def test_every_former_version_can_be_brought_here() -> None:
    assert sorted(MIGRATIONS) == list(range(1, schema.SCHEMA))
    assert max(FORMER) == schema.SCHEMA - 1


def test_a_revoked_key_of_a_former_ledger_stays_revoked(place: Path) -> None:
    with open_ledger(former(place, 1)) as ledger:
        revoked = [key for key in ledger.keys.list() if key.revoked]
        assert len(revoked) == 1
        with pytest.raises(Refused, match="not an API key"):
            ledger.keys.check(revoked[0].id)
