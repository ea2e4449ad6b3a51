"""Columns of text into typed columns, without losing a digit; names that can be told apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from breakeven.errors import DataError, Finding, Place

if TYPE_CHECKING:
    import polars as pl

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
EXACT = 2.0**53
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def check_names(names: Sequence[str], file: str, line: int | None = 1) -> list[str]:
    """Column names stripped, or an error: empty, twice, or alike but for case and width; `_` at the front is ours."""
    seen: dict[str, str] = {}
    stripped = [str(name).strip() for name in names]
    for number, name in enumerate(stripped, 1):
        place = Place(file=file, line=line, field=name or None)
        if not name:
            raise DataError("column-without-name", at=place, number=number, names=stripped[:20])
        if name in ("_id", "_split", "_unit"):
            raise DataError("column-name-taken", at=place)
        key = unicodedata.normalize("NFKC", name).casefold()
        if key in seen:
            raise DataError(
                "column-twice" if seen[key] == name else "column-alike", at=place, first=seen[key], number=number
            )
        seen[key] = name
    return stripped


def typed(frame: pl.DataFrame, *, keep: Sequence[str] = ()) -> tuple[pl.DataFrame, list[Finding]]:
    """Text columns that hold nothing but numbers as numbers, and findings for those that must stay text.

    Leading zeros, whole numbers from 2^63 and numbers beyond 2^53 that a float would round stay text. `keep` names
    columns that are text whatever they hold (ids, labels, the text itself).
    """
    import polars as pl

    findings: list[Finding] = []
    changed = []
    for series in frame.get_columns():
        if series.dtype != pl.String or series.name in keep or not _may_be_number(series):
            continue
        number, reason = _as_number(series)
        if number is not None:
            changed.append(number)
        elif reason:
            findings.append(Finding(reason, "warning", "collect", series.name, {"field": series.name}))
    return frame.with_columns(changed), findings


def _may_be_number(series: pl.Series) -> bool:
    sample = [value for value in series.head(200).to_list() if value not in MISSING and value is not None]
    return bool(sample or series.null_count() < len(series)) and all(
        _NUMBER.fullmatch(value.strip()) for value in sample
    )


def _as_number(series: pl.Series) -> tuple[pl.Series | None, str | None]:
    import polars as pl

    # The cheap test first: most columns of numbers hold no leading zero at all.
    zeros = series.str.starts_with("0").any() or series.str.starts_with("-0").any()
    if zeros and series.str.contains(r"^[+-]?0[0-9]").any():
        return None, "kept-as-text-zeros"
    whole = series.cast(pl.Int64, strict=False)
    if whole.null_count() == series.null_count():
        return whole, None
    cleaned = series.str.strip_chars()
    cleaned = cleaned.set(cleaned.is_in(MISSING), None)
    missing = cleaned.null_count()
    if missing == len(series):
        return None, None
    whole = cleaned.cast(pl.Int64, strict=False)
    if whole.null_count() == missing:
        return whole, None
    real = cleaned.cast(pl.Float64, strict=False)
    if real.null_count() != missing or not real.drop_nulls().is_finite().all():
        return None, None
    if cleaned.str.contains(r"^[+-]?[0-9]{19,}$").any():
        return None, "kept-as-text-large"
    if (real.abs() > EXACT).any():
        return None, "kept-as-text-precision"
    return real, None
