"""Which side of the split a row is on: by keyed hash (stable as data grows), stratified, grouped, or by time."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_MOST_DIGITS = 18  # whole numbers of up to so many digits are hashed as numbers


def keyed(keys: Sequence[str] | pl.Series, seed: int) -> np.ndarray:
    """[n] uniform numbers in [0, 1), a function of each key and the seed alone; the same on every machine and version.

    Not a secret: it spreads rows evenly, it does not hide them. Keys that are whole numbers are hashed as numbers.
    """
    import numpy as np
    import polars as pl

    series = pl.Series(keys, dtype=pl.String) if not isinstance(keys, pl.Series) else keys.cast(pl.String)
    numbers = series.cast(pl.Int64, strict=False)
    values = numbers.fill_null(0).to_numpy()
    # Written as the number itself is written: no leading zero, no plus, no "-0".
    whole = (
        (numbers.is_not_null() & (series.str.len_bytes() == pl.Series(_written(values)))).fill_null(False).to_numpy()
    )
    words = values.astype(np.uint64)
    if not whole.all():
        texts = series.filter(pl.Series(~whole)).fill_null("").to_list()
        words[~whole] = np.fromiter((_word(text.encode()) for text in texts), np.uint64, len(texts))
    return (_mixed(words, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _written(values: np.ndarray) -> np.ndarray:
    """[n] characters that each whole number takes; 0 where it has too many digits."""
    import numpy as np

    sizes = np.abs(values)
    digits = np.ones(len(values), np.uint32)
    for power in range(1, _MOST_DIGITS + 1):
        if not len(sizes) or 10**power > sizes.max():
            break
        digits += sizes >= 10**power
    digits[(sizes >= 10**_MOST_DIGITS) | (sizes < 0)] = 0
    written: np.ndarray = np.where(digits, digits + (values < 0), 0).astype(np.uint32)
    return written


def _word(data: bytes) -> int:
    # Two checksums from different ends of the text: 64 bits, computed in C.
    return zlib.crc32(data) << 32 | zlib.crc32(data[::-1], 0x9E3779B9)


def _mixed(words: np.ndarray, seed: int) -> np.ndarray:
    """SplitMix64's finaliser over words shifted by the seed."""
    import numpy as np

    with np.errstate(over="ignore"):
        mixed = words + np.uint64((seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def by_hash(keys: Sequence[str] | pl.Series, validation: float, test: float, seed: int) -> pl.Series:
    """[n] side names. A key's side depends on nothing but the key, the shares and the seed."""
    return _sides(keyed(keys, seed), validation, test)


def _sides(places: np.ndarray, validation: float, test: float) -> pl.Series:
    """Side names of places in [0, 1): test first, then validation, the rest train."""
    import numpy as np
    import polars as pl

    names = pl.Series("side", [TEST, VALIDATION, TRAIN])
    after = (places >= test).astype(np.uint32) + (places >= test + validation)
    return names.gather(pl.Series(after))


def stratified(
    keys: Sequence[str] | pl.Series, strata: Sequence[Any], validation: float, test: float, seed: int
) -> pl.Series:
    """[n] side names with the exact shares in every stratum, keys whole. Rows may change side as data grows.

    Equal keys stay together: a key belongs to the stratum of its first row.
    """
    import polars as pl

    table = pl.DataFrame({"key": pl.Series(keys, dtype=pl.String), "stratum": pl.Series([str(x) for x in strata])})
    firsts = table.group_by("key", maintain_order=True).agg(pl.col("stratum").first(), pl.len().alias("n"))
    firsts = firsts.with_columns(pl.Series("place", keyed(firsts["key"], seed))).sort("place")
    # A key is cut by its middle, so that a rare class gives its nearest whole number of rows to each side.
    before = pl.col("n").cum_sum().over("stratum") - pl.col("n") / 2
    shares = firsts.select((before / pl.col("n").sum().over("stratum")).alias("share")).to_series()
    firsts = firsts.with_columns(_sides(shares.to_numpy(), validation, test))
    return table.join(firsts.select("key", "side"), on="key", how="left", maintain_order="left")["side"]


def temporal(times: pl.Series, validation: float, test: float) -> pl.Series:
    """[n] side names: the newest rows test, those before validation, the oldest train. Equal times stay together."""
    import polars as pl

    # Counted from the newest row back; equal times go where the first of them goes.
    later = len(times) - times.rank("min").cast(pl.Float64).to_numpy() + 0.5
    return _sides(later / max(len(times), 1), validation, test)
