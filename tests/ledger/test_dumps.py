"""The drill on PostgreSQL: dumped while it is written to, restored elsewhere, proved by its heads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from breakeven.errors import Busy, EnvironmentFault, IntegrityError, UsageError
from breakeven.ledger import Ledger, dumps, open_ledger
from breakeven.ledger.backups import heads_of, restore, write_backup
from breakeven.ledger.events import Charge
from tests.ledger.cluster import Cluster
from tests.ledger.test_migrations import SECRET, former_postgres, holds_everything

pytestmark = pytest.mark.slow


def filled(ledger: Ledger, count: int) -> None:
    ledger.record([Charge("c", {"answers": 1}) for _ in range(count)])


def schemas(url: str) -> list[str]:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [name for name in sa.inspect(connection).get_schema_names() if name.startswith("before_restore")]


def test_a_dump_of_a_busy_ledger_is_restored_whole(cluster: Cluster, database: str, tmp_path: Path) -> None:
    file, stop = tmp_path / "ledger.backup", threading.Event()
    with open_ledger(database) as ledger:
        secret, key = ledger.keys.create(ledger.customers.add("acme").id)
        ledger.settle(
            None, Charge(key.customer, {"answers": 1}, idempotency="k", request="r", body=b"kept", expires=1 << 60)
        )
        before = {row["id"] for row in ledger.events()}

        def work() -> None:
            while not stop.is_set():
                ledger.settle(None, Charge(key.customer, {"answers": 1}))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            facts = write_backup(ledger, str(file))
        finally:
            stop.set()
            thread.join()
        assert file.stat().st_mode & 0o077 == 0
        assert ledger.verify(heads_of(file))["holds"]
    elsewhere = cluster.create()
    assert restore(elsewhere, file)["kept"] == []
    with open_ledger(elsewhere) as copy:
        found = copy.verify(heads_of(file))
        assert found["holds"], found["broken"]
        assert found["events"] == facts["events"]
        assert before <= {row["id"] for row in copy.events()}
        assert copy.keys.check(secret).customer == key.customer
        stored = copy.replay.find("k", "r")
        assert stored is not None
        assert stored.body == b"kept"
        filled(copy, 3)
        assert copy.verify(heads_of(file))["holds"]
    cluster.drop(elsewhere)


def test_what_is_there_is_kept_when_it_is_replaced(database: str, tmp_path: Path) -> None:
    with open_ledger(database) as ledger:
        filled(ledger, 1)
        write_backup(ledger, str(tmp_path / "b"))
        filled(ledger, 1)
    with pytest.raises(UsageError, match="--replace"):
        restore(database, tmp_path / "b")
    done = restore(database, tmp_path / "b", replace=True)
    assert done["kept"] == schemas(database)
    assert len(done["kept"]) == 2
    with open_ledger(database) as ledger:
        assert ledger.verify()["events"] == 1
        with ledger.stores.reading.connect() as connection:
            old = connection.exec_driver_sql(f'SELECT count(*) FROM "{done["kept"][0]}".events').scalar_one()
    assert old == 2


def test_a_dump_that_cannot_be_read_leaves_everything_as_it_was(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_ledger(database) as ledger:
        filled(ledger, 1)
        write_backup(ledger, str(tmp_path / "b"))
        filled(ledger, 1)
    heads = heads_of(tmp_path / "b")["heads"]
    (tmp_path / "dump").write_bytes(b"PGDMP, and then nothing of use")
    with pytest.raises(EnvironmentFault, match="pg_restore failed"):
        dumps.restore(database, tmp_path / "dump", heads, replace=True)
    with pytest.raises(IntegrityError, match="chains do not hold"):
        put_wrong(database, tmp_path)
    assert schemas(database) == []
    with open_ledger(database) as ledger:
        assert ledger.verify()["events"] == 2


def put_wrong(database: str, folder: Path) -> None:
    """A sound dump beside heads of another moment."""
    with open_ledger(database) as ledger:
        dumps.write(ledger.stores.reading, folder / "later")
    dumps.restore(database, folder / "later", {}, replace=True)


def test_a_database_in_use_is_not_replaced(database: str, tmp_path: Path) -> None:
    with open_ledger(database) as ledger:
        filled(ledger, 1)
        write_backup(ledger, str(tmp_path / "b"))
        with pytest.raises(Busy, match="other connections"):
            restore(database, tmp_path / "b", replace=True)
        assert ledger.verify()["events"] == 1


def test_a_backup_of_the_other_database_is_refused(database: str, ledger: Ledger, tmp_path: Path) -> None:
    write_backup(ledger, str(tmp_path / "b"))
    with pytest.raises(UsageError, match="a backup of a ledger on SQLite"):
        restore(database, tmp_path / "b")
    with open_ledger(database) as other:
        write_backup(other, str(tmp_path / "c"))
    with pytest.raises(UsageError, match="a backup of a ledger on PostgreSQL"):
        restore(tmp_path / "new.sqlite", tmp_path / "c")
    assert not (tmp_path / "new.sqlite").exists()


def test_a_dump_of_a_former_schema_is_migrated(
    cluster: Cluster, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former_postgres(database, 2)
    engine = sa.create_engine(database.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    facts = dumps.write(engine, tmp_path / "dump")
    assert facts["schema"] == 2
    elsewhere = cluster.create()
    dumps.restore(elsewhere, tmp_path / "dump", facts["heads"], replace=False)
    with open_ledger(elsewhere) as ledger:
        holds_everything(ledger, SECRET["postgres"])
    cluster.drop(elsewhere)


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dumps, "_PROGRAMS", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="pg_dump is not installed"):
        dumps.program("pg_dump")


def test_the_password_is_in_nobody_elses_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    class Done:
        returncode, stderr = 0, ""

    def run(command: list[str], *, env: dict[str, str], **_more: object) -> Done:
        seen.append((command, env))
        return Done()

    monkeypatch.setattr(dumps.subprocess, "run", run)
    monkeypatch.setattr(dumps, "program", str)
    dumps._run("pg_dump", sa.make_url("postgresql+psycopg://me:secret@host:5/db?sslmode=require"))
    command, environment = seen[0]
    assert "secret" not in " ".join(command)
    assert "--dbname=postgresql://me@host:5/db?sslmode=require" in command
    assert environment["PGPASSWORD"] == "secret"
