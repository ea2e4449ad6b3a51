"""Many rows in one statement, by the driver's own way: what SQLAlchemy adds per row costs more than the row does."""

from __future__ import annotations

import functools
import itertools
from typing import Any

from sqlalchemy.engine import Connection

ROWS = 64  # of one statement of SQLite's: it runs without Python's lock, so that the event loop goes on meanwhile
Into = tuple[str, tuple[str, ...]]  # a table and its columns

_NUMBERS = frozenset({"seq", "time", "answers", "counted", "hour", "quantity", "events"})
_BETWEEN = "\x1f"
_NUMBER_ARRAY = "string_to_array(%s, E'\\x1f', '')::bigint[]"
_TEXT_ARRAY = "string_to_array(%s, E'\\x1f')"


def insert_rows(connection: Connection, into: Into, rows: list[Any], rest: str = "") -> list[Any]:
    """Inserts rows, with `rest` (ON CONFLICT, RETURNING) after them; what RETURNING found.

    SQLite: one prepared statement for each number of rows. PostgreSQL: one statement with an array a column.
    """
    if connection.dialect.name != "sqlite":
        return _found(connection.exec_driver_sql(*_arrays(into, rows, rest)))
    found = []
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        values = tuple(itertools.chain.from_iterable(part))
        found += _found(connection.exec_driver_sql(_values(into, len(part), rest), values))
    return found


def _found(result: Any) -> list[Any]:
    return list(result.all()) if result.returns_rows else []


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
