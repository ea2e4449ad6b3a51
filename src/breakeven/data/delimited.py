"""CSV and its kin: the delimiter is found and stated; what a lenient reader would swallow is an error with a line."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from breakeven.data.columns import check_names
from breakeven.data.limits import Limits, check_columns
from breakeven.data.numbers import Numbers
from breakeven.errors import DataError, Place

if TYPE_CHECKING:
    import polars as pl

DELIMITERS = (",", "\t", ";", "|")
_BLOCK = 1_000_000
_ROWS = 50_000


def read_delimited(
    data: bytes,
    name: str,
    limits: Limits,
    *,
    delimiter: str | None = None,
    quote: str | None = '"',
    names: list[str] | None = None,
    keep: Sequence[str] = (),
) -> tuple[pl.DataFrame, str]:
    """(the table, the delimiter) of UTF-8 bytes. Columns are text, but for those that surely hold plain numbers.

    `names`: where no header is; `quote` None: no quoting; `keep`: columns that are text whatever they hold.
    """
    if not (data[:_BLOCK].strip() or data.strip()):
        raise DataError("no-rows", at=Place(file=name), found="the file is empty")
    head = _head(data, name, limits)
    delimiter = delimiter or find_delimiter(head, quote)
    check_columns(data[: len(head)].split(b"\n", 1)[0].count(delimiter.encode()) + 1, name, limits)
    header = names is None
    found = names or _record(head, delimiter, quote)
    check_columns(len(found), name, limits)
    titles = check_names(found, name, 1 if header else None)
    _check_quotes(data, name, delimiter, quote)
    _check_lines(data, name, limits)
    shape = {"separator": delimiter, "quote_char": quote, "has_header": header, "new_columns": titles}
    frame = _read(data, name, shape, head, keep)
    if frame.width != len(titles):
        raise DataError("row-too-long", at=Place(file=name, line=1), found=frame.width, expected_fields=len(titles))
    if not frame.height:
        raise DataError("no-rows", at=Place(file=name), found="a header and no rows")
    return frame, delimiter


def _read(data: bytes, name: str, shape: dict[str, Any], head: str, keep: Sequence[str]) -> pl.DataFrame:
    """Plain numbers read as numbers where that loses nothing, else all as text, else record by record."""
    import polars as pl

    try:
        numbers = Numbers.of_head(head, shape, keep)
        if numbers and (frame := numbers.read(data)) is not None:
            return frame
        return pl.read_csv(data, **shape, infer_schema=False, truncate_ragged_lines=False)
    except pl.exceptions.NoDataError as error:
        raise DataError("no-rows", at=Place(file=name), found="a header and no rows") from error
    except pl.exceptions.PolarsError as error:
        return _slowly(data, name, shape, error)


def read_lines(data: bytes, name: str, limits: Limits, *, column: str = "text") -> pl.DataFrame:
    """One text a line; empty lines are left out."""
    import polars as pl

    _check_lines(data, name, limits)
    texts = [line for line in data.decode().replace("\r\n", "\n").split("\n") if line.strip()]
    if not texts:
        raise DataError("no-rows", at=Place(file=name), found="the file is empty")
    return pl.DataFrame({column: texts})


def find_delimiter(head: str, quote: str | None = '"') -> str:
    """The delimiter that splits the first records into the same number of fields, at least two; else a comma."""
    best, most = ",", 1
    for candidate in DELIMITERS:
        rows = list(itertools.islice(_records(head, candidate, quote), 30))
        widths = {len(row) for row in rows if row}
        if len(widths) == 1 and (width := widths.pop()) > most:
            best, most = candidate, width
    if most == 1:
        first = head.split("\n", 1)[0]
        best = max(DELIMITERS, key=first.count)
        return best if first.count(best) else ","
    return best


def _head(data: bytes, name: str, limits: Limits) -> str:
    block = data[:_BLOCK]
    end = block.rfind(b"\n")
    if end < 0 and len(data) > _BLOCK:
        widest = max(DELIMITERS, key=lambda mark: block.count(mark.encode()))
        check_columns(block.count(widest.encode()) + 1, name, limits)
        raise DataError("cell-too-large", at=Place(file=name, line=1), limit=limits.max_cell_mb)
    return block[: end + 1 if end >= 0 and len(data) > _BLOCK else None].decode("utf-8", "replace")


def _records(text: str | bytes, delimiter: str, quote: str | None) -> Any:
    csv.field_size_limit(2**31 - 1)
    rows = (
        io.StringIO(text, newline="")
        if isinstance(text, str)
        else io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    )
    if quote is None:
        return csv.reader(rows, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(rows, delimiter=delimiter, quotechar=quote)


def _record(text: str, delimiter: str, quote: str | None) -> list[str]:
    for row in _records(text, delimiter, quote):
        return list(row)
    return []


def _check_quotes(data: bytes, name: str, delimiter: str, quote: str | None) -> None:
    """A quote that nobody closes would swallow the rest of the file; the line where it opened is named."""
    # Most files hold no quote at all, and to look for one is ten times faster than to count them.
    if quote is None or quote.encode() not in data or data.count(quote.encode()) % 2 == 0:
        return
    line = _open_quote(data, delimiter, quote)
    if line is not None:
        raise DataError("quote-unclosed", at=Place(file=name, line=line), quote=quote)


def _open_quote(data: bytes, delimiter: str, quote: str) -> int | None:
    """Line of the first quoted field that never ends, or ends in the middle of a field; None where there is none.

    A quote inside a field that does not begin with one (5" screen) is plain text.
    """
    q, d = re.escape(quote).encode(), re.escape(delimiter).encode()
    opening = re.compile(rb"(?:^|(?<=[\n\r])|(?<=" + d + rb"))" + q)
    closing = re.compile(q + rb"(?!" + q + rb")|" + q + q)
    follows = re.compile(rb"\s*(?:" + d + rb"|[\r\n]|$)")
    position = 0
    while match := opening.search(data, position):
        position = match.end()
        while ends := closing.search(data, position):
            position = ends.end()
            if len(ends.group()) == 1:
                break
        else:
            return data.count(b"\n", 0, match.start()) + 1
        if not follows.match(data, position):
            return data.count(b"\n", 0, match.start()) + 1
    return None


def _check_lines(data: bytes, name: str, limits: Limits) -> None:
    """No line longer than the largest cell; a file that small cannot hold one."""
    step = limits.cell_bytes
    if len(data) <= step:
        return
    start = 0
    while len(data) - start > step:
        end = data.rfind(b"\n", start, start + step)
        if end < 0:
            line = data.count(b"\n", 0, start) + 1
            raise DataError("cell-too-large", at=Place(file=name, line=line), limit=limits.max_cell_mb)
        start = end + 1


def _slowly(data: bytes, name: str, shape: dict[str, Any], error: Exception) -> pl.DataFrame:
    """Record by record, for what the fast reader refuses: finds the line that is wrong, or that nothing is.

    Nothing is wrong with a quote in the middle of a plain field, as in 5" screen.
    """
    import polars as pl

    delimiter, quote, titles = shape["separator"], shape["quote_char"], shape["new_columns"]
    schema = dict.fromkeys(titles, pl.String)
    reader = _records(data, delimiter, quote)
    parts: list[pl.DataFrame] = []
    try:
        rows = _whole(reader, name, len(titles))
        for _ in range(shape["has_header"]):
            next(rows, None)
        # Cell by cell Python takes many times the file; in blocks that never holds for more than one of them.
        while block := list(itertools.islice(rows, _ROWS)):
            parts.append(pl.DataFrame(block, schema=schema, orient="row"))
    except csv.Error as broken:
        raise DataError("table-broken", at=Place(file=name, line=reader.line_num), reason=str(broken)) from error
    line = None if quote is None else _open_quote(data, delimiter, quote)
    if line is not None:
        raise DataError("quote-unclosed", at=Place(file=name, line=line), quote=quote) from error
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def _whole(reader: Any, name: str, width: int) -> Iterator[list[str | None]]:
    """Records with as many cells as the header, empty ones as None; empty records are left out."""
    for row in reader:
        if len(row) > width:
            raise DataError(
                "row-too-long", at=Place(file=name, line=reader.line_num), found=len(row), expected_fields=width
            )
        if any(row):
            yield [cell or None for cell in row] + [None] * (width - len(row))
