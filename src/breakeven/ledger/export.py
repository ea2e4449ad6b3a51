"""Events for other programs: CloudEvents 1.0 as JSON Lines, a table with a row an event and meter (CSV, Parquet), and
what the meters of Lago and OpenMeter take.

Quantities are whole numbers and carry the plan's version; money is not exported, because none is kept.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from breakeven.ledger import clock

COLUMNS = (
    "id", "source", "kind", "about", "time", "counted", "customer", "key", "model", "plan", "answers", "meter",
    "quantity",
)  # fmt: skip
_DATA = ("customer", "key", "model", "plan", "about", "answers", "quantities")
_LABELS = ("source", "kind", "about", "key", "model", "plan")
LAGO_BATCH = 100  # the most events that Lago takes in one request

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
        "data": {name: row[name] for name in _DATA if row[name] is not None} | _late(row),
    }


def _late(row: Row) -> dict[str, Any]:
    """When an event counts, where its month was closed before it came."""
    return {"counted": row["counted"]} if row["late"] else {}


def open_meter(row: Row) -> dict[str, Any]:
    """One event as OpenMeter takes it: a CloudEvent of one type whose data is flat, so that a meter sums
    `$.<meter>`. A correction is an event with negative quantities, so the sums come out right.
    """
    labels = {name: row[name] for name in ("kind", "about", "key", "model", "plan") if row[name]} | _late(row)
    return {
        "specversion": "1.0",
        "id": row["id"],
        "source": row["source"],
        "type": "breakeven.usage",
        "subject": row["customer"],
        "time": row["time"],
        "datacontenttype": "application/json",
        "data": {"breakeven": labels, **row["quantities"]},
    }


def lago_events(row: Row) -> Iterator[dict[str, Any]]:
    """One event as Lago takes it: one for each meter, which is the code of a billable metric that sums `quantity`."""
    moment = clock.moment(row["time"], "time") or 0
    for meter, quantity in row["quantities"].items():
        yield {
            "transaction_id": f"{row['source']}/{row['id']}/{meter}",
            "external_subscription_id": row["customer"],
            "code": meter,
            "timestamp": f"{moment // 1_000_000}.{moment % 1_000_000:06d}",
            "properties": {"quantity": quantity, "event": row["id"]}
            | {name: row[name] for name in _LABELS if row[name]}
            | _late(row),
        }


def flat(row: Row) -> Iterator[dict[str, Any]]:
    """A row an event and meter, in the order of COLUMNS."""
    for meter, quantity in row["quantities"].items():
        yield {name: row.get(name) for name in COLUMNS[:-2]} | {"meter": meter, "quantity": quantity}


def jsonl(pages: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """CloudEvents, one a line."""
    for page in pages:
        yield "".join(f"{_compact(cloud_event(row))}\n" for row in page).encode()


def openmeter(pages: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """OpenMeter's CloudEvents, one a line."""
    for page in pages:
        yield "".join(f"{_compact(open_meter(row))}\n" for row in page).encode()


def lago(pages: Iterable[Iterable[Row]]) -> Iterator[bytes]:
    """Bodies of Lago's `POST /api/v1/events/batch`, one a line, each of at most 100 events."""
    batch: list[dict[str, Any]] = []
    for page in pages:
        batch += [event for row in page for event in lago_events(row)]
        while len(batch) >= LAGO_BATCH:
            yield f"{_compact({'events': batch[:LAGO_BATCH]})}\n".encode()
            batch = batch[LAGO_BATCH:]
    if batch:
        yield f"{_compact({'events': batch})}\n".encode()


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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

    types = {**dict.fromkeys(COLUMNS[:-1], pl.String), "answers": pl.Int64, "quantity": pl.Int64}
    rows = [item for page in pages for row in page for item in flat(row)]
    table = pl.DataFrame(rows, schema=types, orient="row")
    table = table.with_columns(pl.col("time", "counted").str.to_datetime(time_unit="us", time_zone="UTC", format="%+"))
    sink = io.BytesIO()
    table.write_parquet(sink)
    yield sink.getvalue()


FORMATS: dict[str, Callable[[Iterable[Iterable[Row]]], Iterator[bytes]]] = {
    "jsonl": jsonl,
    "csv": as_csv,
    "parquet": parquet,
    "lago": lago,
    "openmeter": openmeter,
}
