"""Numbers of a delimited file read as numbers at once, where the file's own bytes show that no digit is lost by it.

A sample says which columns may be numbers; the whole file is then read that way, and whatever could have lost
something (leading zeros, floats beyond 2^53, infinities) is read again as text, column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from breakeven.data.columns import EXACT, may_be_number

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_SAMPLE = 200
_STEP = 1 << 17  # bytes looked at a time: what a processor keeps near


@dataclass(frozen=True)
class Numbers:
    """How a file is read: its shape as Polars takes it, and the columns that are read as numbers."""

    shape: dict[str, Any]
    kinds: dict[str, Any]

    @classmethod
    def of_head(cls, head: str, shape: dict[str, Any], keep: Sequence[str]) -> Numbers | None:
        """From the first records; None where no column looks like numbers."""
        import polars as pl

        try:
            sample = pl.read_csv(head.encode(), **shape, infer_schema=False, n_rows=_SAMPLE)
        except pl.exceptions.PolarsError:
            return None
        names = [column.name for column in sample.get_columns() if column.name not in keep and may_be_number(column)]
        whole = sample.select(pl.col(names).cast(pl.Int64, strict=False))
        kinds = {
            name: pl.Int64 if whole[name].null_count() == sample[name].null_count() else pl.Float64 for name in names
        }
        return cls(shape, kinds) if names else None

    def read(self, data: bytes) -> pl.DataFrame | None:
        """The table, all else as text; None where a value of these columns is not the number it should be."""
        import polars as pl

        schema = {name: self.kinds.get(name, pl.String) for name in self.shape["new_columns"]}
        try:
            frame = pl.read_csv(data, **self.shape, schema_overrides=list(schema.values()), truncate_ragged_lines=False)
        except pl.exceptions.PolarsError:
            return None
        if frame.columns != list(schema):
            return None
        doubtful = self._doubtful(frame, data)
        if not doubtful:
            return frame
        shape = self.shape | {"new_columns": doubtful, "columns": [frame.columns.index(name) for name in doubtful]}
        return frame.with_columns(pl.read_csv(data, **shape, infer_schema=False))

    def _doubtful(self, frame: pl.DataFrame, data: bytes) -> list[str]:
        """Columns whose numbers may not be what stood in the file."""
        if zeros_lead(data, self.shape["separator"], self.shape["quote_char"]):
            return list(self.kinds)
        import polars as pl

        floats = [name for name, kind in self.kinds.items() if kind == pl.Float64]
        # A sum of magnitudes is NaN or infinite as soon as one part is, and the largest of them is at most the sum.
        sums = frame.select(pl.col(floats).abs().sum())
        largest = frame.select(pl.col(floats).abs().max()) if floats else sums
        return [name for name in floats if not (sums[name][0] < float("inf") and (largest[name][0] or 0) < EXACT)]


def zeros_lead(data: bytes, delimiter: str, quote: str | None) -> bool:
    """Whether some field may begin with a zero and another digit, a sign or spaces before them or not."""
    import numpy as np

    if data[:1] in (b"0", b"+", b"-"):
        return True
    codes = np.frombuffer(data, np.uint8)
    opens = np.zeros(256, bool)
    opens[list(b"\n\r\t +" + delimiter.encode() + (quote or "").encode())] = True
    rooms = np.empty((3, _STEP), bool)  # written over for every block: new arrays would cost more than the work
    blocks = (codes[start : start + _STEP + 3] for start in range(0, max(len(codes) - 3, 0), _STEP))
    return any(_found(block, opens, ord(delimiter), rooms[:, : len(block) - 3]) for block in blocks)


def _found(codes: np.ndarray, opens: np.ndarray, delimiter: int, rooms: np.ndarray) -> bool:
    """Whether from the third byte on a zero stands before a digit and behind the opening of a field, or its sign."""
    import numpy as np

    zero, other, digits = rooms[0], rooms[1], rooms[2].view(np.uint8)
    before = codes[1:-2]
    np.equal(codes[2:-1], 48, out=zero)
    np.subtract(codes[3:], 48, out=digits)
    zero &= np.less(digits, 10, out=other)
    # Below the hyphen stand all marks that open a field, but for some delimiters; the table says which of them it is.
    np.less(before, 45, out=other)
    if delimiter >= 45:
        other |= before == delimiter
    other &= zero
    if other.any() and opens[before[other]].any():
        return True
    zero &= np.equal(before, 45, out=other)
    np.subtract(codes[:-3], 48, out=digits)
    # The hyphens of dates stand behind a digit.
    zero &= np.greater_equal(digits, 10, out=other)
    return bool(zero.any() and opens[codes[:-3][zero]].any())
