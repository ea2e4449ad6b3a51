"""Times as the ledger keeps them: whole microseconds since 1970 in UTC."""

from __future__ import annotations

import datetime
import time
from typing import Any

from breakeven.errors import InputError, Place

HOUR = 3_600_000_000
DAY = 24 * HOUR
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def now() -> int:
    """The wall clock, in microseconds."""
    return time.time_ns() // 1000


def text(moment: int | None) -> str | None:
    """ISO 8601 in UTC."""
    if moment is None:
        return None
    return (_EPOCH + datetime.timedelta(microseconds=moment)).isoformat().replace("+00:00", "Z")


def moment(value: Any, field: str) -> int | None:
    """Microseconds from a datetime, a date, an ISO 8601 text or None; a time without a zone is UTC."""
    if value is None or isinstance(value, int):
        return value
    try:
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value.strip())
        elif not isinstance(value, datetime.datetime):
            value = datetime.datetime(value.year, value.month, value.day)
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.UTC)
        return int((value - _EPOCH) / datetime.timedelta(microseconds=1))
    except (ValueError, OverflowError, AttributeError) as error:
        raise InputError("time-invalid", at=Place(field=field), found=str(value)[:40]) from error


def month(moment: int) -> str:
    """The billing period a time falls in: `2026-11`, UTC."""
    date = _EPOCH + datetime.timedelta(microseconds=moment)
    return f"{date.year:04d}-{date.month:02d}"


def month_bounds(period: str) -> tuple[int, int]:
    """[start, end) of a period in microseconds."""
    year, number = (int(part) for part in period.split("-"))
    start = datetime.datetime(year, number, 1, tzinfo=datetime.UTC)
    end = datetime.datetime(year + number // 12, number % 12 + 1, 1, tzinfo=datetime.UTC)
    return moment_of(start), moment_of(end)


def moment_of(value: datetime.datetime) -> int:
    """Microseconds of an aware datetime."""
    return int((value - _EPOCH) / datetime.timedelta(microseconds=1))
