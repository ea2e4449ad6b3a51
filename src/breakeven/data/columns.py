"""Columns of text into typed columns, without losing a digit; names that can be told apart."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from breakeven.errors import DataError, Finding, Place

if TYPE_CHECKING:
    import polars as pl

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
EXACT = 2.0**53  # from here on a float stands for more than one whole number: 2^53 + 1 reads as 2^53
_ZEROS = r"^[+-]?0[0-9]"
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
    texts = [series for series in frame.get_columns() if series.dtype == pl.String and series.name not in keep]
    names = [series.name for series in texts if may_be_number(series)]
    # One pass for all columns: Polars spreads it over the cores. Most columns of numbers need no more than this.
    whole = frame.select(pl.col(names).cast(pl.Int64, strict=False))
    zeros = frame.select((pl.col(names).str.starts_with("0") | pl.col(names).str.starts_with("-0")).any())
    others = [name for name in names if whole[name].null_count() > frame[name].null_count()]
    real = frame.select(pl.col(others).cast(pl.Float64, strict=False))
    changed = []
    for name in names:
        number, reason = _as_number(
            frame[name], real[name] if name in others else whole[name], zeros=bool(zeros[name][0])
        )
        if number is not None:
            changed.append(number)
        elif reason:
            findings.append(Finding(reason, "warning", "collect", name, {"field": name}))
    return frame.with_columns(changed), findings


def may_be_number(series: pl.Series) -> bool:
    """Whether the first values of a column of texts are written as numbers, missing ones left out."""
    sample = [value for value in series.head(200).to_list() if value not in MISSING and value is not None]
    return bool(sample or series.null_count() < len(series)) and all(
        _NUMBER.fullmatch(value.strip()) for value in sample
    )


def _as_number(series: pl.Series, number: pl.Series, *, zeros: bool) -> tuple[pl.Series | None, str | None]:
    """(the column as numbers or None, why it must stay text or None).

    `number`: the column cast, null where a text is no number. `zeros`: some value begins with a zero.
    """
    import polars as pl

    if zeros and series.str.contains(_ZEROS).any():
        return None, "kept-as-text-zeros"
    if number.dtype == pl.Int64:
        return number, None
    if number.null_count() > series.null_count() or not _finite(number):
        series = series.str.strip_chars()
        series = series.set(series.is_in(MISSING), None)
        if series.str.contains(_ZEROS).any():
            return None, "kept-as-text-zeros"
        number = series.cast(pl.Int64, strict=False)
        if number.null_count() == series.null_count() < len(series):
            return number, None
        number = series.cast(pl.Float64, strict=False)
        if not series.null_count() == number.null_count() < len(series) or not _finite(number):
            return None, None
    if float(number.abs().max() or 0) < EXACT:
        return number, None
    large = series.str.contains(r"^[+-]?[0-9]{19,}$").any()
    return None, "kept-as-text-large" if large else "kept-as-text-precision"


def _finite(number: pl.Series) -> bool:
    # A sum is NaN or infinite as soon as one of its parts is: one pass instead of one a test.
    return math.isfinite(number.sum()) or bool(number.is_finite().fill_null(True).all())
