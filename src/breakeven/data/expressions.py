"""Filters and derived columns: SQL expressions over the columns of one table. They read no files and run no code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from breakeven.errors import ConfigError, DataError, Place

if TYPE_CHECKING:
    import polars as pl


def expression(text: str, setting: str) -> pl.Expr:
    """A checked SQL expression; an error points at the setting."""
    import polars as pl

    try:
        return pl.sql_expr(text)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ConfigError("expression-broken", at=Place(field=setting), text=text, reason=_reason(error)) from error


def kept(frame: pl.DataFrame, where: str | None, setting: str) -> tuple[pl.DataFrame, int]:
    """(rows that meet the condition, how many did not). A condition that is null for a row does not hold."""
    if where is None:
        return frame, 0
    import polars as pl

    condition = expression(where, setting)
    try:
        mask = frame.select(condition.alias("_")).to_series()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _unfit(error, frame, where, setting) from error
    if mask.dtype != pl.Boolean or len(mask) != frame.height:
        raise ConfigError("condition-not-boolean", at=Place(field=setting), text=where, found=str(mask.dtype))
    left = frame.filter(mask)
    if frame.height and not left.height:
        raise DataError("no-rows-left", at=Place(field=setting), text=where, rows=frame.height)
    return left, frame.height - left.height


def derived(frame: pl.DataFrame, columns: Mapping[str, str], setting: str) -> pl.DataFrame:
    """The table with new columns, each an expression over the former ones."""
    import polars as pl

    for name, text in columns.items():
        made = expression(text, f"{setting}.{name}")
        try:
            frame = frame.with_columns(made.alias(name))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _unfit(error, frame, text, f"{setting}.{name}") from error
    return frame


def constants(frame: pl.DataFrame, values: Mapping[str, Any]) -> pl.DataFrame:
    """The table with columns of one value each."""
    import polars as pl

    return frame.with_columns([pl.lit(value).alias(name) for name, value in values.items()])


def _unfit(error: BaseException, frame: pl.DataFrame, text: str, setting: str) -> ConfigError:
    return ConfigError(
        "expression-unfit", at=Place(field=setting), text=text, reason=_reason(error), columns=frame.columns[:30]
    )


def _reason(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
