"""Many rows in one statement, by the driver's own way: what SQLAlchemy adds per row costs more than the row does."""

from __future__ import annotations

import functools
import itertools
import sqlite3
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection

ROWS = 64  # of one statement of SQLite's: it runs without Python's lock, so that the event loop goes on meanwhile
Writing = Connection | sqlite3.Connection  # the driver's own where even a statement's layers would cost too much
Into = tuple[str, tuple[str, ...]]  # a table and its columns

_NUMBERS = frozenset({"seq", "time", "answers", "counted", "hour", "quantity", "events"})
_BETWEEN = "\x1f"
_NUMBER_ARRAY = "string_to_array(%s, E'\\x1f', '')::bigint[]"
_TEXT_ARRAY = "string_to_array(%s, E'\\x1f')"


def is_sqlite(connection: Writing) -> bool:
    """Whether a connection writes SQLite; the driver's own always does."""
    return isinstance(connection, sqlite3.Connection) or connection.dialect.name == "sqlite"


def run(connection: Writing, sql: str, values: tuple[Any, ...]) -> tuple[list[Any], int]:
    """(rows that RETURNING found, rows changed) of one statement."""
    if isinstance(connection, sqlite3.Connection):
        cursor = connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else [], cursor.rowcount
    result = connection.exec_driver_sql(sql, values)
    return list(result.all()) if result.returns_rows else [], result.rowcount


def insert_rows(connection: Writing, into: Into, rows: list[Any], rest: str = "") -> list[Any]:
    """Inserts rows, with `rest` (ON CONFLICT, RETURNING) after them; what RETURNING found.

    SQLite: one prepared statement for each number of rows. PostgreSQL: one statement with an array a column.
    """
    if not is_sqlite(connection):
        return run(connection, *_arrays(into, rows, rest))[0]
    found = []
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        found += run(connection, _values(into, len(part), rest), tuple(itertools.chain.from_iterable(part)))[0]
    return found


def insert_together(driver: Any, parts: Sequence[tuple[Into, list[Any], str]]) -> None:
    """Rows of several tables by one statement on a psycopg connection that commits by itself: one round trip for all.

    A part is (table and columns, rows, what follows: ON CONFLICT).
    """
    made = [_arrays(*part) for part in parts]
    *before, last = (sql for sql, _ in made)
    named = ", ".join(f"part_{number} AS ({sql})" for number, sql in enumerate(before))
    driver.execute(f"WITH {named} {last}", [value for _, values in made for value in values])


@functools.cache
def _values(into: Into, count: int, rest: str) -> str:
    table, columns = into
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * count)} {rest}"  # noqa: S608


def _arrays(into: Into, rows: list[Any], rest: str) -> tuple[str, tuple[Any, ...]]:
    table, columns = into
    sent = [_array(name, values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)]
    arrays = ", ".join(how for _, how in sent)
    sql = f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays}) {rest}"  # noqa: S608
    return sql, tuple(value for value, _ in sent)


def _array(name: str, values: tuple[Any, ...]) -> tuple[Any, str]:
    """(what is sent for a column's values, how it is read): one text, where the driver would go through a list value by
    value.
    """
    if name in _NUMBERS:
        return _BETWEEN.join(["" if value is None else str(value) for value in values]), _NUMBER_ARRAY
    text = _BETWEEN.join(values)
    if not text or text.count(_BETWEEN) != len(values) - 1:  # an empty text would be an empty array
        return list(values), "%s::text[]"
    return text, _TEXT_ARRAY
