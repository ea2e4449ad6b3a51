"""Events for other programs: CloudEvents 1.0 as JSON Lines, or a table with a row an event and meter (CSV, Parquet).

Quantities are whole numbers and carry the plan's version; money is not exported, because none is kept.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

COLUMNS = ("id", "source", "kind", "about", "time", "customer", "key", "model", "plan", "meter", "quantity")
_DATA = ("customer", "key", "model", "plan", "about", "quantities")

Row = Mapping[str, Any]


def cloud_event(row: Row) -> dict[str, Any]:
    """One event as CloudEvents 1.0; (source, id) is unique, so whoever reads it twice counts it once."""
    return {
        "specversion": "1.0",
        "id": row["id"],
        "source": row["source"],
        "type": f"breakeven.{row['kind']}",
        "subject": row["customer"],
        "time": row["time"],
        "datacontenttype": "application/json",
        "data": {name: row[name] for name in _DATA if row[name] is not None},
    }


def flat(row: Row) -> Iterator[dict[str, Any]]:
    """A row an event and meter, in the order of COLUMNS."""
    for meter, quantity in row["quantities"].items():
        yield {name: row.get(name) for name in COLUMNS[:-2]} | {"meter": meter, "quantity": quantity}


def jsonl(pages: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """CloudEvents, one a line."""
    for page in pages:
        lines = (json.dumps(cloud_event(row), ensure_ascii=False, separators=(",", ":")) for row in page)
        yield "".join(f"{line}\n" for line in lines).encode()


def as_csv(pages: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """The table as CSV (RFC 4180, UTF-8), its head first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for page in pages:
        for row in page:
            writer.writerows(flat(row))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def parquet(pages: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """The table as one Parquet file; times are microseconds in UTC."""
    import polars as pl

    texts = dict.fromkeys(COLUMNS[:-1], pl.String)
    rows = [item for page in pages for row in page for item in flat(row)]
    table = pl.DataFrame(rows, schema={**texts, "quantity": pl.Int64}, orient="row")
    table = table.with_columns(pl.col("time").str.to_datetime(time_unit="us", time_zone="UTC", format="%+"))
    sink = io.BytesIO()
    table.write_parquet(sink)
    yield sink.getvalue()


FORMATS: dict[str, Callable[[Iterable[Iterable[Row]]], Iterator[bytes]]] = {
    "jsonl": jsonl,
    "csv": as_csv,
    "parquet": parquet,
}
