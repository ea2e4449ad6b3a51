"""A limit on rows that keeps the shares of classes and slices: seeded, and the same rows for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from breakeven.data.splits import keyed

if TYPE_CHECKING:
    import polars as pl


def limited(frame: pl.DataFrame, limit: int | None, strata: Sequence[str], seed: int) -> pl.DataFrame:
    """At most `limit` rows in the table's order. Every stratum gives its share, the largest remainders the rest."""
    if limit is None or frame.height <= limit:
        return frame
    import polars as pl

    numbered = frame.select([pl.col(name).cast(pl.String) for name in strata]).with_row_index("_row")
    order = keyed([str(row) for row in range(frame.height)], seed)
    numbered = numbered.with_columns(pl.Series("_order", order))
    if not strata:
        chosen = numbered.sort("_order").head(limit)["_row"].to_list()
        return frame[sorted(chosen)]
    groups = numbered.group_by(list(strata), maintain_order=True).agg(pl.len().alias("_n")).sort(list(strata))
    exact = groups.with_columns((pl.col("_n") * limit / frame.height).alias("_share"))
    exact = exact.with_columns(pl.col("_share").floor().cast(pl.Int64).alias("_take"))
    left = limit - int(exact["_take"].sum())
    ranks = (exact["_share"] - exact["_take"]).rank("ordinal", descending=True)
    exact = exact.with_columns(pl.col("_take") + (ranks <= left).cast(pl.Int64))
    ranked = numbered.with_columns(pl.col("_order").rank("ordinal").over(list(strata)).alias("_rank"))
    joined = ranked.join(exact, on=list(strata), how="left", nulls_equal=True)
    return frame[sorted(joined.filter(pl.col("_rank") <= pl.col("_take"))["_row"].to_list())]
