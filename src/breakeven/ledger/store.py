"""Opening the two databases: SQLite files with one writing connection, or PostgreSQL with a schema for the
private part.

SQLite's write-ahead log can be damaged when two connections write or checkpoint at once (fixed in 3.51.3; Python often
carries an older one). So exactly one connection writes and checkpoints; readers never do.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from breakeven.errors import EnvironmentFault, IntegrityError, Place, UsageError
from breakeven.ledger import schema
from breakeven.ledger.migrations import MIGRATIONS, Migration, declared, operations

_CHECKPOINT_PAGES = 8000  # 32 MB of log between checkpoints: fewer than one commit in a hundred waits for one
_CACHE_KIB = 32 << 10  # the ends of the indexes stay in memory
# A prepared statement for every number of rows that a commit may have (`events`).
_DRIVER = {"check_same_thread": False, "timeout": 5.0, "cached_statements": 512}
_SCHEMA_LOCK = 0x62726B73  # one process at a time makes or migrates the tables on PostgreSQL


@dataclass
class Stores:
    """Engines of one ledger: one writing and one reading engine each for the public and the private part."""

    url: str
    path: Path | None  # the SQLite file, None on PostgreSQL
    writing: Engine
    private_writing: Engine
    reading: Engine
    private_reading: Engine

    @property
    def sqlite(self) -> bool:
        """Whether one process owns the whole ledger."""
        return self.path is not None

    def dispose(self) -> None:
        """Closes readers first: the last connection to close a write-ahead log also checkpoints it."""
        for engine in (self.reading, self.private_reading, self.writing, self.private_writing):
            engine.dispose()


def private_path(path: Path) -> Path:
    """Where what must be erasable lies: `private.sqlite` beside `ledger.sqlite`."""
    return path.with_name("private.sqlite" if path.stem == "ledger" else f"{path.stem}.private.sqlite")


def connect(place: str | Path, *, create: bool) -> Stores:
    """The stores behind a path or a SQLAlchemy URL. Nothing is created or migrated yet."""
    text = str(place)
    if text.startswith(("postgresql", "postgres:")):
        return _postgresql(text)
    if "://" in text and not text.startswith("sqlite:///"):
        raise UsageError("ledger-url", url=text.split("@")[-1])
    path = Path(text.removeprefix("sqlite:///")).absolute()
    if not path.exists() and not create:
        raise EnvironmentFault("ledger-missing", at=Place(file=str(path)))
    return _sqlite(path)


def _sqlite(path: Path) -> Stores:
    private = private_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file in (path, private):
            if not file.exists():
                file.touch(mode=0o600)
            file.chmod(0o600)  # whatever the umask was
    except OSError as error:
        raise EnvironmentFault(
            "file-unwritable", at=Place(file=str(path)), reason=error.strerror or str(error)
        ) from error
    unnamed = {"schema_translate_map": {schema.PRIVATE: None}}
    return Stores(
        str(path),
        path,
        _sqlite_engine(path, writes=True),
        _sqlite_engine(private, writes=True).execution_options(**unnamed),
        _sqlite_engine(path, writes=False),
        _sqlite_engine(private, writes=False).execution_options(**unnamed),
    )


def _sqlite_engine(path: Path, *, writes: bool) -> Engine:
    pool = {"poolclass": sa.StaticPool} if writes else {"pool_size": 4, "max_overflow": 4}
    engine = sa.create_engine(f"sqlite:///{path}", connect_args=_DRIVER, **pool)

    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's own BEGIN below, not the driver's
        cursor = connection.cursor()
        if writes:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            cursor.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
        else:
            cursor.execute("PRAGMA query_only=1")
            cursor.execute("PRAGMA wal_autocheckpoint=0")
        cursor.close()

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def _postgresql(url: str) -> Stores:
    url = "postgresql+psycopg://" + url.split("://", 1)[1]
    # The writer never waits for a reader's connection; a reader waits 50 ms at most, then the answer is 503.
    try:
        writing = sa.create_engine(url, pool_size=3, max_overflow=0, pool_pre_ping=True)
        reading = sa.create_engine(url, pool_size=16, max_overflow=0, pool_timeout=0.05, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            "package-missing", package=error.name, extra="postgres", purpose="a ledger on PostgreSQL"
        ) from error
    return Stores(url, None, writing, writing, reading, reading)


def prepare(stores: Stores, *, migrations: Mapping[int, Migration] = MIGRATIONS, target: int = schema.SCHEMA) -> None:
    """Creates the tables of a new ledger, refuses a newer one, migrates an older one after a backup."""
    declared()
    try:
        with stores.writing.connect() as connection:
            found = _version(connection, schema.facts)
        if found is None:
            _create(stores, target)
            return
    except sa.exc.DatabaseError as error:
        raise _unreadable(stores, error) from error
    if found > target:
        raise UsageError(
            "ledger-newer", at=Place(file=stores.url if stores.sqlite else None), found=found, known=target
        )
    if found < target:
        _migrate(stores, found, target, migrations)


def _unreadable(stores: Stores, error: sa.exc.DatabaseError) -> Exception:
    reason = str(error.orig).strip().splitlines()[0]
    where = Place(file=stores.url) if stores.sqlite else Place()
    if isinstance(error.orig, sqlite3.DatabaseError) and not isinstance(error.orig, sqlite3.OperationalError):
        return IntegrityError("ledger-broken", at=where, reason=reason)
    return EnvironmentFault("ledger-unreachable", at=where, reason=reason)


def _version(connection: Connection, facts: sa.Table) -> int | None:
    named = facts.schema if connection.dialect.name == "postgresql" else None
    if not sa.inspect(connection).has_table("facts", schema=named):
        return None
    found = connection.execute(sa.select(facts.c.value).where(facts.c.name == "schema")).scalar()
    return None if found is None else int(found)


@contextlib.contextmanager
def _halves(stores: Stores) -> Iterator[tuple[Connection, Connection]]:
    """(public, private) connections in transactions that commit together on PostgreSQL, and the private one first on
    SQLite: a ledger that says it is complete always finds its other half.
    """
    with stores.writing.begin() as connection:
        if not stores.sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            yield connection, connection
            return
        with stores.private_writing.begin() as private:
            yield connection, private


def _create(stores: Stores, target: int) -> None:
    import secrets

    with _halves(stores) as (connection, private):
        if not stores.sqlite:
            connection.execute(sa.schema.CreateSchema(schema.PRIVATE, if_not_exists=True))
        schema.private.create_all(private)
        if _version(private, schema.private_facts) is None:
            private.execute(sa.insert(schema.private_facts), {"name": "schema", "value": str(target)})
        schema.public.create_all(connection)
        if _version(connection, schema.facts) is not None:  # another process was quicker
            return
        if not stores.sqlite:
            _unsample(connection)
        connection.execute(
            sa.insert(schema.facts),
            [
                {"name": "schema", "value": str(target)},
                {"name": "ledger", "value": secrets.token_hex(8)},
                {"name": "salt", "value": secrets.token_hex(32)},
            ],
        )


def _unsample(connection: Connection) -> None:
    """On PostgreSQL: no samples of what must be erasable."""
    for table in (*schema.public.sorted_tables, *schema.private.sorted_tables):
        place = f'"{table.schema}"."{table.name}"' if table.schema else f'"{table.name}"'
        for column in schema.UNSAMPLED.get(table.name, ()):
            connection.exec_driver_sql(f'ALTER TABLE {place} ALTER COLUMN "{column}" SET STATISTICS 0')


def _migrate(stores: Stores, found: int, target: int, migrations: Mapping[int, Migration]) -> None:
    missing = [version for version in range(found, target) if version not in migrations]
    if missing:
        raise UsageError("ledger-too-old", found=found, known=target)
    if stores.path is not None:
        copy_halves(stores.path, f"before-{target}-from-{found}")
    with _halves(stores) as (connection, private):
        # Each half by its own number: of a migration that was cut off, the private half may be done already.
        for half, facts, name in ((private, schema.private_facts, "private"), (connection, schema.facts, "public")):
            op = operations(half)
            named = schema.PRIVATE if name == "private" and not stores.sqlite else None
            for version in range(_version(half, facts) or found, target):
                getattr(migrations[version], name)(op, named)
            half.execute(facts.update().where(facts.c.name == "schema").values(value=str(target)))


def copy_halves(path: Path, label: str) -> list[Path]:
    """Copies both SQLite files, write-ahead log included, to `<name>.<label>-<time>`; returns the copies."""
    copies = []
    for file in (path, private_path(path)):
        copy = file.with_name(f"{file.name}.{label}-{time.strftime('%Y%m%dT%H%M%S')}")
        copy_file(file, copy)
        copies.append(copy)
    return copies


def copy_file(file: Path, copy: Path) -> None:
    """Copies a SQLite file that may be in use, as it is at one moment; readable by its owner only."""
    if shutil.disk_usage(copy.parent).free < 2 * file.stat().st_size:
        raise EnvironmentFault("file-unwritable", at=Place(file=str(copy)), reason="not enough free space for a backup")
    copy.touch(mode=0o600)
    source, sink = sqlite3.connect(file), sqlite3.connect(copy)
    try:
        source.execute("PRAGMA wal_autocheckpoint=0")  # only the writer checkpoints
        source.backup(sink)
        sink.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    finally:
        sink.close()
        source.close()
