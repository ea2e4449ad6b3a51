"""A ledger on PostgreSQL into a backup and out of it, by the database's own pg_dump and pg_restore.

The dump shows the database at the very moment at which the chains were walked (one exported snapshot), so its heads are
those that stand beside it. Before anything is put in place, what is there moves into schemas of another name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from breakeven.errors import Busy, EnvironmentFault, IntegrityError, Place, UsageError
from breakeven.ledger import schema
from breakeven.ledger.migrations import declared
from breakeven.ledger.store import connect, prepare
from breakeven.ledger.verify import verify

_PROGRAMS = "/usr/lib/postgresql"  # where Debian keeps those that are not in the path


def program(name: str) -> str:
    """Where pg_dump or pg_restore is; EnvironmentFault `program-missing`."""
    found = shutil.which(name)
    if found is None:
        kept = sorted(Path(_PROGRAMS).glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
        found = str(kept[-1]) if kept else None
    if found is None:
        raise EnvironmentFault("program-missing", program=name)
    return found


def write(engine: Engine, file: Path) -> dict[str, Any]:
    """Dumps a ledger that may be in use into `file`; its facts, of the same moment: ledger, schema, events, heads ...

    IntegrityError where its chains do not hold.
    """
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        snapshot = connection.execute(sa.select(sa.func.pg_export_snapshot())).scalar_one()
        place = connection.execute(sa.select(sa.func.current_schema())).scalar_one()
        facts = _facts(connection)
        tables = [f'--table="{table.schema or place}"."{table.name}"' for table in _tables()]
        options = ["--format=custom", "--compress=1", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
        _run("pg_dump", engine.url, *options, *tables, f"--file={file}")
    file.chmod(0o600)
    return facts


def _facts(connection: Connection) -> dict[str, Any]:
    cell = schema.facts.c
    known = {row.name: row.value for row in connection.execute(sa.select(cell.name, cell.value))}
    found = verify(connection, known["ledger"])
    if not found["holds"]:
        first = found["broken"][0]
        raise IntegrityError("ledger-does-not-hold", where=first["where"], what=first["what"])
    return {**found, "ledger": known["ledger"], "schema": int(known["schema"])}


def _tables() -> list[sa.Table]:
    declared()
    return [*schema.public.sorted_tables, *schema.private.sorted_tables]


def _run(name: str, url: sa.URL, *arguments: str) -> None:
    """One of PostgreSQL's programs; the password goes by the environment, where no other user reads it."""
    address = url._replace(drivername="postgresql", password=None).render_as_string()
    environment = {**os.environ, "PGPASSWORD": url.password} if url.password else dict(os.environ)
    command = [program(name), f"--dbname={address}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit {done.returncode}"]
        raise EnvironmentFault("program-failed", program=name, reason=said[0][:300])


def restore(place: str, file: Path, heads: dict[str, Any], *, replace: bool) -> list[str]:
    """Puts a dump into the database, brings it to this schema and compares it with the heads of its backup. The schemas
    that hold what was there. Whatever fails, what was there is there again.
    """
    stores = connect(place, create=True)
    try:
        with _moved(stores.writing, replace=replace) as kept:
            with stores.writing.begin() as connection:
                connection.execute(sa.schema.CreateSchema(schema.PRIVATE, if_not_exists=True))
            options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
            _run("pg_restore", stores.writing.url, *options, str(file))
            prepare(stores)
            with stores.writing.connect() as connection:
                found = _facts(connection)
            if found["heads"] != heads:
                raise IntegrityError("backup-broken", at=Place(file=str(file)), reason="its chains do not hold")
        return kept
    except sa.exc.OperationalError as error:
        raise EnvironmentFault("ledger-unreachable", reason=str(error.orig).strip().splitlines()[0]) from error
    finally:
        stores.dispose()


@contextlib.contextmanager
def _moved(engine: Engine, *, replace: bool) -> Iterator[list[str]]:
    """Moves the ledger that is there aside; brings it back where the work fails."""
    with engine.begin() as connection:
        _alone(connection)
        there = [table for table in _tables() if sa.inspect(connection).has_table(table.name, schema=table.schema)]
        if there and not replace:
            raise UsageError("ledger-there")
        home = connection.execute(sa.select(sa.func.current_schema())).scalar_one()
        names = _aside(connection, there, home) if there else {}
    try:
        yield sorted(set(names.values()))
    except BaseException:
        with engine.begin() as connection:
            for table in _tables():
                connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{table.schema or home}"."{table.name}"')
            for table in there:
                old = names[table.schema]
                connection.exec_driver_sql(f'ALTER TABLE "{old}"."{table.name}" SET SCHEMA "{table.schema or home}"')
            for name in set(names.values()):
                connection.exec_driver_sql(f'DROP SCHEMA "{name}"')
        raise


def _aside(connection: Connection, there: list[sa.Table], home: str) -> dict[str | None, str]:
    """Two new schemas that hold the halves of what is there: {half: name}."""
    label = f"before_restore_{time.strftime('%Y%m%dT%H%M%S').lower()}"
    names = {None: label, schema.PRIVATE: f"{label}_private"}
    for name in names.values():
        connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')
    for table in there:
        connection.exec_driver_sql(
            f'ALTER TABLE "{table.schema or home}"."{table.name}" SET SCHEMA "{names[table.schema]}"'
        )
    return names


def _alone(connection: Connection) -> None:
    """Busy where somebody else has the database open: what they write meanwhile would be lost."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    others = connection.exec_driver_sql(query).scalar_one()
    if others:
        raise Busy("database-in-use", connections=others)
