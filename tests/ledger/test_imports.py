from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from breakeven.errors import BreakevenError, EnvironmentFault, InputError, UsageError
from breakeven.ledger import Ledger, clock, commands, imports, open_ledger
from breakeven.ledger.events import Charge
from breakeven.ledger.export import FORMATS
from breakeven.ledger.plans import PricePlan

FORMS = sorted(FORMATS)


def told(place: Path) -> list[Any]:
    names = ("id", "source", "kind", "about", "time", "key", "model", "plan", "quantities", "answers")
    rows = sorted(commands.events(place), key=lambda row: (row["source"], row["id"]))
    return [{name: row[name] for name in names} for row in rows]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A ledger with events of every kind, closed."""
    place = tmp_path / "from" / "ledger.sqlite"
    with open_ledger(place) as ledger:
        plan = ledger.keep_plan(PricePlan.of({"answers": "0.1"}))
        owner, other = ledger.customers.add("acme").id, ledger.customers.add('Müller, "Söhne"').id
        ledger.record([
            Charge(owner, {"answers": 2, "input_tokens": 30}, answers=2, id="a", key="k", release="r",
                   plan=plan.version, time=1_000_000_123_456),
            Charge(owner, {"answers": 1}, id="b", source="other place/x", time=1_500_000),
            Charge(other, {"answers": 7}, answers=7, id="c", time=clock.now()),
        ])  # fmt: skip
        ledger.correct("a", {"answers": 1}, reason="x")
    return place


@pytest.mark.parametrize("form", FORMS)
def test_what_came_late_counts_in_the_same_month_elsewhere(tmp_path: Path, form: str) -> None:
    """Else the invoice of a month would be another one in the ledger that the events were carried to."""
    place, other = tmp_path / "from" / "ledger.sqlite", tmp_path / "to" / "ledger.sqlite"
    with open_ledger(place) as ledger:
        owner = ledger.customers.add("acme").id
        ledger.record([Charge(owner, {"answers": 1, "images": 3}, id="in time", time=1_000_000)])
        ledger.close_month("acme", "1970-01")
        ledger.record([Charge(owner, {"answers": 2, "images": 5}, id="late", time=2_000_000)])
    file = exported(place, form, tmp_path / "events")
    assert commands.import_events(other, file, form, add_customers=True)["new"] == 2
    months = [{row["id"]: row["counted"] for row in commands.events(at)} for at in (place, other)]
    assert months[0] == months[1] and months[0]["late"] > "2024" and months[0]["in time"] < "1971"
    assert commands.import_events(other, file, form)["there"] == 2 and commands.verify(other)["holds"]


def exported(place: Path, form: str, to: Path) -> Path:
    to.write_bytes(b"".join(FORMATS[form](commands.event_pages(place))))
    return to


@pytest.mark.parametrize("form", FORMS)
def test_what_is_exported_is_imported_the_same_and_once(written: Path, tmp_path: Path, form: str) -> None:
    file, place = exported(written, form, tmp_path / "events"), tmp_path / "to" / "ledger.sqlite"
    open_ledger(place).close()
    with pytest.raises(InputError, match="no customer 'cus_"):
        commands.import_events(place, file, form)
    assert commands.events(place) == []
    tried = commands.import_events(place, file, form, add_customers=True, dry_run=True)
    assert (tried, commands.events(place)) == ({"events": 4, "new": 4, "there": 0}, [])
    assert commands.customers_list(place) == []
    assert commands.import_events(place, file, form, add_customers=True)["new"] == 4
    loses = ("answers",) if form in ("lago", "openmeter") else ()  # how many answers a request had
    for found, expected in zip(told(place), told(written), strict=True):
        for name in set(expected) - set(loses):
            assert found[name] == expected[name], name
    assert [row["customer"] for row in commands.events(place)] == [row["customer"] for row in commands.events(written)]
    assert commands.import_events(place, file, form, add_customers=True) == {"events": 4, "new": 0, "there": 4}
    assert commands.import_events(written, file, form)["there"] == 4
    assert commands.verify(place)["holds"]


def line(**changes: Any) -> str:
    event = {"specversion": "1.0", "id": "a", "source": "s", "type": "breakeven.usage", "subject": "acme",
             "time": "2026-01-01T00:00:00Z", "data": {"quantities": {"answers": 1}}}  # fmt: skip
    return json.dumps({**event, **changes})


@pytest.fixture(scope="module")
def one_event(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ledger with one event, made once and copied."""
    folder = tmp_path_factory.mktemp("one event")
    with open_ledger(folder / "ledger.sqlite") as ledger:
        owner = ledger.customers.add("acme").id
        ledger.record([Charge(owner, {"answers": 1}, id="there", source="s", time=1_767_225_600_000_000)])
    return folder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "it is list"),
        ("[" * 100_000, "not JSON"),
        (line(data={"quantities": {"answers": 0.5}}), "whole number from 0 up"),
        (line(data={"quantities": {"answers": -1}}), "whole number from 0 up"),
        (line(data={"quantities": {"answers": 10**30}}), "whole number"),
        (line(data={"quantities": {"answers": True}}), "whole number"),
        (line(data={"quantities": {'a":1,"b': 1}}), "letters, digits"),
        (line(data={"quantities": {}}), "at least one meter"),
        (line(data={}), "at least one meter"),
        (line(id=""), "1 to 64 printable"),
        (line(id=7), "1 to 64 printable"),
        (line(id="x" * 65), "1 to 64 printable"),
        (line(source="a\u001fb"), "printable"),
        (line(id="n", subject="nobody"), "no customer 'nobody'"),
        (line(time="yesterday"), "not a time"),
        (line(time=None), "ISO 8601"),
        (line(id="n", time="2999-01-01T00:00:00Z"), "has not come yet"),
        (line(type="breakeven.correction"), "id of an event"),
        (line(data={"quantities": {"answers": 2}}), "twice and differs"),
        (line(id="there", data={"quantities": {"answers": 2}}), "another quantities"),
        (line(id="there", time="2026-02-01T00:00:00Z"), "another time"),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_with_its_line_and_nothing_enters(
    one_event: Path, place: Path, tmp_path: Path, text: str, words: str
) -> None:
    for name in ("ledger.sqlite", "private.sqlite"):
        shutil.copy(one_event / name, place.with_name(name))
    file = tmp_path / "events.jsonl"
    file.write_text(f"{line()}\n\n{text}\n{line(id='z')}\n")
    with pytest.raises(InputError, match=words) as caught:
        commands.import_events(place, file, "jsonl")
    assert caught.value.exit_code == 3
    assert (caught.value.at.file, caught.value.at.line) == (str(file), 3)
    assert commands.verify(place)["events"] == 1


def test_every_bad_row_is_told_at_once(place: Path, tmp_path: Path) -> None:
    commands.customers_add(place, "acme")
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join([line(id=""), line(), line(source=""), "{"]))
    with pytest.raises(InputError, match="1 to 64") as caught:
        commands.import_events(place, file, "jsonl")
    assert [error.at.line for error in (caught.value, *caught.value.more)] == [1, 3, 4]
    file.write_text("\n".join([line(subject="x"), line(id="b"), line(id="c", subject="y")]))
    with pytest.raises(InputError, match="no customer 'x'") as caught:
        commands.import_events(place, file, "jsonl")
    assert [error.at.line for error in (caught.value, *caught.value.more)] == [1, 3]


def test_a_large_file_enters_in_pages_after_all_was_checked(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PAGE_EVENTS", 3)
    commands.customers_add(place, "acme")
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join([line(id=str(number)) for number in range(8)] + [line(id="bad", subject="nobody")]))
    with pytest.raises(InputError, match="nobody") as caught:
        commands.import_events(place, file, "jsonl")
    assert caught.value.at.line == 9
    assert commands.events(place) == []
    file.write_text("\n".join(line(id=str(number)) for number in range(8)))
    assert commands.import_events(place, file, "jsonl") == {"events": 8, "new": 8, "there": 0}
    assert commands.import_events(place, file, "jsonl") == {"events": 8, "new": 0, "there": 8}


def test_what_others_write_is_read(place: Path, tmp_path: Path) -> None:
    """The examples of Lago's and OpenMeter's own documentation."""
    file = tmp_path / "events"
    file.write_text(json.dumps({"event": {
        "transaction_id": "transaction_1234567890", "external_subscription_id": "sub_1234567890", "code": "storage",
        "timestamp": 1651240791.123, "properties": {"quantity": "10"},
    }}))  # fmt: skip
    commands.import_events(place, file, "lago", source="lago", add_customers=True)
    file.write_text(json.dumps({
        "specversion": "1.0", "type": "request", "id": "00001", "time": "2024-01-01T00:00:00.001Z",
        "source": "service-0", "subject": "customer-1",
        "data": {"duration_seconds": "12", "method": "GET", "route": "/hello"},
    }))  # fmt: skip
    commands.import_events(place, file, "openmeter", add_customers=True)
    assert [(row["id"], row["source"], row["quantities"], row["time"]) for row in commands.events(place)] == [
        ("transaction_1234567890", "lago", {"storage": 10}, "2022-04-29T13:59:51.123000Z"),
        ("00001", "service-0", {"duration_seconds": 12}, "2024-01-01T00:00:00.001000Z"),
    ]


@pytest.mark.parametrize(
    ("form", "content", "words"),
    [
        ("csv", b"", "lacks the columns"),
        ("csv", b"id,time\n1,2\n", "lacks the columns customer, meter, quantity"),
        ("csv", b"id,time,customer,meter,quantity,source\n1,2026-01-01,acme,answers,1\n", "number of cells"),
        ("csv", b'id,time,customer,meter,quantity\n1,"2', "unexpected end of data"),
        ("csv", b"id,time,customer,meter,quantity\n\xff,1,2,3,4\n", "not UTF-8"),
        ("parquet", b"PAR1 this is none", "cannot be read as parquet|can be read as parquet"),
        ("jsonl", b"\xff\xfe", "not UTF-8"),
        ("lago", b'{"events": 1}', "a list of events"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    place: Path, tmp_path: Path, form: str, content: bytes, words: str
) -> None:
    commands.customers_add(place, "acme")
    file = tmp_path / "events"
    file.write_bytes(content)
    with pytest.raises(BreakevenError, match=words) as caught:
        commands.import_events(place, file, form, source="s")
    assert caught.value.exit_code == 3
    assert str(file) in str(caught.value)


def test_what_is_no_file_is_refused(place: Path, tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "nothing"):
        with pytest.raises((UsageError, EnvironmentFault), match="not a regular file"):
            imports.read(path, "jsonl")


def test_imported_use_of_a_closed_month_counts_in_the_next(ledger: Ledger, tmp_path: Path) -> None:
    from breakeven.ledger.owner import Desk

    ledger.customers.add("acme")
    ledger.close_month("acme", "2026-01")
    desk = Desk(ledger, commands.COMMANDS)
    try:
        file = tmp_path / "events.jsonl"
        file.write_text(line())
        assert commands.import_events(ledger.stores.url, file, "jsonl")["new"] == 1  # through the running owner
    finally:
        desk.close()
    row = ledger.events("acme")[0]
    assert row["late"]
    assert row["time"].startswith("2026-01-01")
