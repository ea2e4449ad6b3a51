from __future__ import annotations

import csv
import io
import json

import pytest

from breakeven.ledger import Ledger, commands
from breakeven.ledger.events import Charge
from breakeven.ledger.export import COLUMNS, as_csv, cloud_event, jsonl, parquet


@pytest.fixture
def rows(ledger: Ledger) -> list[dict[str, object]]:
    owner = ledger.customers.add("acme").id
    ledger.record([
        Charge(owner, {"answers": 2, "input_tokens": 30}, id="a", key="k", release="r", plan="p", time=1_000_000),
        Charge(owner, {"answers": 1}, id="b", time=1_500_000, kind="correction", about="a"),
    ])  # fmt: skip
    return ledger.events(limit=10)


def test_a_cloud_event_has_what_the_standard_requires(rows: list[dict[str, object]]) -> None:
    first, second = (json.loads(line) for line in b"".join(jsonl([rows])).splitlines())
    assert {"specversion", "id", "source", "type"} <= set(first)
    assert (first["specversion"], first["type"], first["time"]) == ("1.0", "breakeven.usage", "1970-01-01T00:00:01Z")
    assert first["data"]["quantities"] == {"answers": 2, "input_tokens": 30}
    assert (second["type"], second["data"]["about"]) == ("breakeven.correction", "a")
    assert first == cloud_event(rows[0])


def test_a_table_has_a_row_an_event_and_meter(rows: list[dict[str, object]]) -> None:
    found = list(csv.DictReader(io.StringIO(b"".join(as_csv([rows[:1], rows[1:]])).decode(), newline="")))
    assert [(row["id"], row["meter"], row["quantity"]) for row in found] == [
        ("a", "answers", "2"), ("a", "input_tokens", "30"), ("b", "answers", "1"),
    ]  # fmt: skip
    assert tuple(found[0]) == COLUMNS


def test_parquet_holds_the_same_rows(rows: list[dict[str, object]]) -> None:
    import polars as pl

    table = pl.read_parquet(io.BytesIO(b"".join(parquet([rows]))))
    assert table.columns == list(COLUMNS)
    assert table["quantity"].to_list() == [2, 30, 1]
    assert str(table["time"][2]) == "1970-01-01 00:00:01.500000+00:00"


def test_nothing_used_is_an_empty_table() -> None:
    import polars as pl

    assert b"".join(jsonl([])) == b""
    assert b"".join(as_csv([])).decode() == ",".join(COLUMNS) + "\r\n"
    assert pl.read_parquet(io.BytesIO(b"".join(parquet([])))).height == 0


def test_pages_hold_every_event_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    from breakeven.ledger.owner import Desk

    owner = ledger.customers.add("acme").id
    ledger.record(Charge(owner, {"answers": 1}, id=f"{n}", time=10_000_000 - n * 500_000) for n in range(10))
    monkeypatch.setattr(commands, "PAGE_EVENTS", 3)
    desk = Desk(ledger, commands.COMMANDS)
    try:
        place = ledger.stores.url
        assert [len(page) for page in commands.event_pages(place)] == [3, 3, 3, 1]
        assert [row["id"] for row in commands.events(place)] == [str(n) for n in reversed(range(10))]
        assert [row["id"] for row in commands.events(place, "acme", "1970-01-01T00:00:09.5Z")] == ["1", "0"]
    finally:
        desk.close()
