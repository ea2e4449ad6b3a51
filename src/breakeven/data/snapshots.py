"""Remote data read once: an HTTP answer or a query's rows are kept under their hash and used until a refresh."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import fingerprint, now, read_json, write_atomic, write_json
from breakeven.data import archives, packages
from breakeven.data.limits import Limits, check_columns, check_size
from breakeven.data.web import Web
from breakeven.errors import DataError, EnvironmentFault, Place

if TYPE_CHECKING:
    import polars as pl

    from breakeven.data.sources import Source

INDEX = "index.json"
_BLOCK = 10_000


@dataclass
class Snapshots:
    """Snapshots of a project, in `folder`. `refresh` ignores what is kept. `web` makes a fetch: a seam for tests."""

    folder: Path
    refresh: bool = False
    web: Any = Web
    cache: Path | None = None
    used: dict[str, str] = field(default_factory=dict)

    def data(self, source: Source, limits: Limits) -> tuple[bytes, dict[str, Any]]:
        """(bytes, stamp for the card) of an address or of a package's member."""
        if source.package is not None:
            return self._package(source, limits)
        data, stamp = self._kept(source, "body", lambda: self._fetched(source))
        if source.sha256 is not None and stamp["sha256"] != source.sha256:
            raise DataError("source-hash", at=Place(file=source.location), found=stamp["sha256"], wanted=source.sha256)
        return data, stamp

    def table(self, source: Source, limits: Limits) -> tuple[pl.DataFrame, dict[str, Any]]:
        """(rows, stamp) of a query."""
        import polars as pl

        data, stamp = self._kept(source, "parquet", lambda: (_queried(source, limits), {}))
        return pl.read_parquet(io.BytesIO(data)), stamp

    def digest(self, source: Source) -> str | None:
        """The content hash that is kept for a source now; None where nothing is."""
        entry = self._index().get(_key(source))
        return None if entry is None else str(entry["sha256"])

    def _package(self, source: Source, limits: Limits) -> tuple[bytes, dict[str, Any]]:
        wanted = packages.Package(str(source.package), str(source.sha256), source.archive, source.index)
        web = self.web(max_mb=source.max_mb, timeout_seconds=source.timeout_seconds)
        archive = packages.fetch(wanted, web, cache=self.cache)
        data = archives.member(archive, str(source.member), wanted.file_name, limits)
        stamp = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "fetched": now(),
            "archive_sha256": wanted.sha256,
        }
        return data, stamp

    def _fetched(self, source: Source) -> tuple[bytes, dict[str, str]]:
        web = self.web(max_mb=source.max_mb, timeout_seconds=source.timeout_seconds, allow_private=source.allow_private)
        body, headers = web.get(str(source.url))
        if "text/html" in headers.get("content-type", "") and body.lstrip()[:1] == b"<":
            raise DataError("web-page", at=Place(file=source.location))
        return body, {name: headers[name] for name in ("etag", "last-modified") if name in headers}

    def _kept(self, source: Source, suffix: str, fetch: Any) -> tuple[bytes, dict[str, Any]]:
        key, index = _key(source), self._index()
        entry = index.get(key)
        if entry is not None and not self.refresh:
            path = self.folder / entry["file"]
            data = path.read_bytes() if path.is_file() else b""
            if hashlib.sha256(data).hexdigest() == entry["sha256"]:
                return data, {name: entry[name] for name in ("sha256", "bytes", "fetched")}
        data, extra = fetch()
        digest = hashlib.sha256(data).hexdigest()
        write_atomic(self.folder / f"{digest}.{suffix}", data)
        stamp = {"sha256": digest, "bytes": len(data), "fetched": now()}
        write_json(self.folder / INDEX, {**index, key: {**stamp, **extra, "file": f"{digest}.{suffix}"}})
        return data, stamp

    def _index(self) -> dict[str, Any]:
        path = self.folder / INDEX
        found = read_json(path) if path.is_file() else {}
        return found if isinstance(found, dict) else {}


def _key(source: Source) -> str:
    return fingerprint([source.url, source.url_env, source.query])[:32]


def _queried(source: Source, limits: Limits) -> bytes:
    """The rows of a query as Parquet bytes; read in blocks, rolled back, bounded by the memory budget."""
    import polars as pl

    parts = list(_blocks(source, limits))
    if not parts:
        raise DataError("no-rows", at=Place(file=source.location), found="the query gave 0 rows")
    kinds = {name: {part.schema[name] for part in parts} - {pl.Null()} for name in parts[0].columns}
    # One block of whole numbers and one of fractions share no type that keeps every digit: they become text.
    texts = [pl.col(name).cast(pl.String) for name, found in kinds.items() if len(found) > 1]
    frame = pl.concat([part.with_columns(texts) for part in parts], how="vertical_relaxed")
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _block(rows: Sequence[Any], names: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    columns = {name: [_plain(row[place]) for row in rows] for place, name in enumerate(names)}
    try:
        return pl.DataFrame(columns, strict=True, infer_schema_length=None)
    except (TypeError, pl.exceptions.PolarsError, OverflowError):
        return pl.DataFrame(
            {name: [None if cell is None else str(cell) for cell in cells] for name, cells in columns.items()}
        )


def _blocks(source: Source, limits: Limits) -> Iterator[pl.DataFrame]:
    """The rows of a query, block by block, until they would not fit the memory budget."""
    import sqlalchemy as sa

    from breakeven.data.columns import check_names

    place = Place(file=source.location)
    address = os.environ.get(str(source.url_env))
    if not address:
        raise EnvironmentFault("sql-no-url", at=place, variable=source.url_env)
    try:
        engine = sa.create_engine(address)
    except ModuleNotFoundError as error:
        raise EnvironmentFault("sql-driver", at=place, package=error.name) from error
    except sa.exc.ArgumentError as error:
        raise EnvironmentFault("sql-url", at=place, variable=source.url_env) from error
    size, limit = 0, _Limit(source.timeout_seconds)
    try:
        with engine.connect() as connection, limit.of(connection.connection.driver_connection):
            # The statement goes to the driver as it stands: a colon or a percent sign in it is no parameter.
            asking = connection.execution_options(stream_results=True, no_parameters=True)
            result = asking.exec_driver_sql(str(source.query))
            if not result.returns_rows:
                raise DataError("sql-not-a-query", at=place)
            names = check_names(list(result.keys()), source.location, None)
            check_columns(len(names), source.location, limits)
            while rows := result.fetchmany(_BLOCK):
                block = _block(rows, names)
                size += int(block.estimated_size())
                check_size(size, source.location, limits)
                yield block
            connection.rollback()
    except sa.exc.SQLAlchemyError as error:
        if limit.passed:
            raise EnvironmentFault("sql-slow", at=place, limit=source.timeout_seconds) from error
        if isinstance(error, sa.exc.OperationalError):
            raise EnvironmentFault("sql-failed", at=place, reason=_safe(error)) from error
        raise DataError("sql-failed", at=place, reason=_safe(error)) from error
    finally:
        engine.dispose()


class _Limit:
    """A time limit on a query: when it has passed, the driver is told to stop, in its own way."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.passed = seconds, False

    @contextlib.contextmanager
    def of(self, connection: Any) -> Iterator[None]:
        """Holds for whatever runs on this connection of a driver."""
        timer = threading.Timer(self.seconds, self._stop, (connection,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _stop(self, connection: Any) -> None:
        self.passed = True
        # sqlite3 calls it interrupt, psycopg, oracledb and others cancel; a driver with neither ends by its own limit.
        stop = getattr(connection, "interrupt", None) or getattr(connection, "cancel", None)
        if stop is not None:
            stop()


def _safe(error: Exception) -> str:
    """The driver's own words: SQLAlchemy's would repeat the statement and its values."""
    return str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0][:200]


def _plain(cell: Any) -> Any:
    import datetime
    import decimal
    import uuid

    if isinstance(cell, decimal.Decimal | uuid.UUID | datetime.date | datetime.time):
        return str(cell)
    if isinstance(cell, bytes | memoryview):
        return bytes(cell).hex()
    if isinstance(cell, int) and not isinstance(cell, bool) and not -(2**63) <= cell < 2**63:
        return str(cell)
    return cell
