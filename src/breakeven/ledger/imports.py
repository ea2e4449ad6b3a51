"""Events from elsewhere, in the formats that `export` writes. A file enters whole or not at all.

Every row is read and checked first, and told with its line where something is wrong. An event is known by (source, id):
one that the ledger holds already is left alone if it says the same, and is an error if it does not.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.artifacts import unreadable
from breakeven.errors import BreakevenError, InputError, Place, UsageError
from breakeven.ledger import chain, clock, schema
from breakeven.ledger.events import Charge, held, quantities_text
from breakeven.ledger.periods import AHEAD
from breakeven.ledger.writer import Appending

Row = dict[str, Any]
Found = Iterator[tuple[int, Any]]  # (line or row, what stands there; an error where it cannot be read)

_METER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,59}")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_TEXTS = {"id": 64, "source": 200, "about": 64, "key": 16, "model": 120, "plan": 64, "customer": 200}
_NEEDED = ("id", "source", "customer")
_SAME = ("kind", "about", "time", "customer", "key", "model", "plan", "quantities")


def read(file: Path, form: str, source: str | None = None) -> list[tuple[int, Row]]:
    """(line, event) of a whole file. `source` fills in where the format has none. Raises every problem at once."""
    if not file.is_file():
        raise UsageError("import-file", at=Place(file=str(file)), form=form, reason="it is not a regular file")
    problems: list[BreakevenError] = []
    kept: dict[tuple[str, str], tuple[int, Row]] = {}
    try:
        for line, found in READERS[form](file):
            try:
                if isinstance(found, BreakevenError):
                    raise found
                row = _checked(found, source)
                _keep(kept, line, row, merge=form in ("csv", "parquet", "lago"))
            except BreakevenError as error:
                problems.append(error.located(file=str(file), line=line))
    except InputError as error:
        raise error.located(file=str(file)) from None
    except OSError as error:
        raise unreadable(file, error) from error
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
        raise InputError("import-file", at=Place(file=str(file)), form=form, reason=reason) from error
    except csv.Error as error:
        raise InputError("import-file", at=Place(file=str(file)), form=form, reason=str(error)) from error
    if problems:
        problems[0].more = problems[1:]
        raise problems[0]
    return list(kept.values())


def _keep(kept: dict[tuple[str, str], tuple[int, Row]], line: int, row: Row, *, merge: bool) -> None:
    """One event a (source, id); in a table its meters stand in rows of their own."""
    name = (row["source"], row["id"])
    before = kept.get(name)
    if before is None:
        kept[name] = (line, row)
        return
    held = before[1]
    same = {field: held[field] for field in _SAME if field != "quantities"} == {
        field: row[field] for field in _SAME if field != "quantities"
    }
    fresh = not held["quantities"].keys() & row["quantities"].keys()
    if same and merge and fresh:
        held["quantities"].update(row["quantities"])
    elif not same or any(held["quantities"].get(meter) != number for meter, number in row["quantities"].items()):
        raise InputError("import-twice", id=row["id"], source=row["source"])


def _wrong(field: str, found: Any, expected: str) -> InputError:
    return InputError("import-row", at=Place(field=field), found=str(found)[:80], expected=expected)


def _checked(found: Mapping[str, Any], source: str | None) -> Row:
    row: Row = {"kind": found.get("kind") or "usage", "time": _time(found.get("time"))}
    for field, longest in _TEXTS.items():
        text = found.get(field)
        text = source if field == "source" and text in (None, "") else text
        text = "" if text is None else text
        if not isinstance(text, str) or len(text) > longest or not chain.plain(text) or (field in _NEEDED and not text):
            raise _wrong(field, text, f"1 to {longest} printable characters" if field in _NEEDED else
                         f"at most {longest} printable characters")  # fmt: skip
        row[field] = text
    if row["kind"] not in ("usage", "correction"):
        raise _wrong("kind", row["kind"], "usage or correction")
    if (row["kind"] == "correction") != bool(row["about"]):
        raise _wrong("about", row["about"] or "nothing", "the id of an event for a correction, nothing for usage")
    quantities = found.get("quantities")
    if not isinstance(quantities, Mapping) or not quantities:
        raise _wrong("quantities", quantities, "at least one meter with a whole number")
    row["counted"] = _counted(found.get("counted"), row["time"])
    row["quantities"] = {_meter(meter): _whole(meter, number, row["kind"]) for meter, number in quantities.items()}
    answers = found.get("answers")
    row["answers"] = (
        max(row["quantities"].get("answers", 1), 0) if answers in (None, "") else _whole("answers", answers)
    )
    return row


def _counted(value: Any, time: int) -> int | None:
    """When an event counts where that is not when it happened: its month was closed before it came."""
    moment = time if value in (None, "") else _time(value)
    if moment < time:
        raise _wrong("counted", value, "no moment before the event's time")
    return None if moment == time else moment


def _meter(meter: Any) -> str:
    if not isinstance(meter, str) or _METER.fullmatch(meter) is None:
        raise _wrong("meter", meter, "a name of at most 60 letters, digits and _.:/-")
    return meter


def _whole(field: str, number: Any, kind: str = "usage") -> int:
    text = str(number).strip() if isinstance(number, (int, str)) and not isinstance(number, bool) else ""
    if _WHOLE.fullmatch(text) is None or (kind == "usage" and int(text) < 0):
        raise _wrong(field, number, "a whole number" + (" from 0 up" if kind == "usage" else ""))
    return int(text)


def _time(value: Any) -> int:
    """Microseconds: ISO 8601, or seconds since 1970 as Lago writes them."""
    text = str(value).strip()
    if re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,6})?", text):
        whole, _, rest = text.partition(".")
        return int(whole) * 1_000_000 + int(rest.ljust(6, "0"))
    if not isinstance(value, str) or (moment := clock.moment(value, "time")) is None:
        raise _wrong("time", value, "ISO 8601, or seconds since 1970")
    return moment


def _objects(file: Path) -> Found:
    """(line, JSON object) of a file of JSON Lines; empty lines are left out."""
    with file.open(encoding="utf-8-sig", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line, parse_constant=_no_constant, parse_float=str)
                if not isinstance(value, dict):
                    raise ValueError(f"it is {type(value).__name__}")
            except (ValueError, RecursionError) as error:
                yield number, InputError("import-json", reason=str(error)[:120] or type(error).__name__)
                continue
            yield number, value


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _cloud_events(file: Path) -> Found:
    for line, value in _objects(file):
        if isinstance(value, BreakevenError):
            yield line, value
            continue
        data = value.get("data")
        data = data if isinstance(data, dict) else {}
        kind = "correction" if value.get("type") == "breakeven.correction" else "usage"
        head = {"id": value.get("id"), "source": value.get("source"), "time": value.get("time"), "kind": kind}
        yield line, {**data, **head, "customer": value.get("subject") or data.get("customer")}


def _open_meter(file: Path) -> Found:
    """Each value of `data` that is a whole number is a meter; what else stands there describes the event."""
    for line, value in _objects(file):
        if isinstance(value, BreakevenError):
            yield line, value
            continue
        data = value.get("data")
        data = dict(data) if isinstance(data, dict) else {}
        labels = data.pop("breakeven", {})
        labels = labels if isinstance(labels, dict) else {}
        meters = {name: number for name, number in data.items() if _WHOLE.fullmatch(str(number))}
        head = {name: value.get(name) for name in ("id", "source", "time")}
        yield line, {**labels, **head, "customer": value.get("subject"), "quantities": meters}


def _lago(file: Path) -> Found:
    """An event, `{"event": ...}` or `{"events": [...]}` a line."""
    for line, value in _objects(file):
        if isinstance(value, BreakevenError):
            yield line, value
            continue
        many = value.get("events") if "events" in value else [value.get("event", value)]
        if not isinstance(many, list) or not all(isinstance(event, dict) for event in many):
            yield line, _wrong("events", type(many).__name__, "a list of events")
            continue
        for event in many:
            properties = event.get("properties")
            properties = properties if isinstance(properties, dict) else {}
            yield (
                line,
                {
                    **properties,
                    "id": properties.get("event") or event.get("transaction_id"),
                    "time": event.get("timestamp"),
                    "customer": event.get("external_subscription_id") or event.get("external_customer_id"),
                    "quantities": {event.get("code"): properties.get("quantity", properties.get("value", 1))},
                },
            )


def _csv(file: Path) -> Found:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        _columns(reader.fieldnames or [])
        for row in reader:
            if None in row or None in row.values():
                yield reader.line_num, _wrong("row", "another number of cells than the head", "one cell a column")
                continue
            yield reader.line_num, {**row, "quantities": {row["meter"]: row["quantity"]}}


def _columns(found: Any) -> None:
    missing = sorted({"id", "time", "customer", "meter", "quantity"} - set(found))
    if missing:
        raise InputError("import-columns", missing=", ".join(missing))


def _parquet(file: Path) -> Found:
    import polars as pl

    try:
        table = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError("import-file", at=Place(file=str(file)), form="parquet", reason=reason) from error
    _columns(table.columns)
    for number, row in enumerate(table.iter_rows(named=True), 1):
        times = {name: _text(row[name]) for name in ("time", "counted") if name in row}
        yield number, {**row, **times, "quantities": {row["meter"]: row["quantity"]}}


def _text(moment: Any) -> Any:
    return moment.isoformat() if hasattr(moment, "isoformat") else moment


READERS: dict[str, Callable[[Path], Found]] = {
    "jsonl": _cloud_events,
    "csv": _csv,
    "parquet": _parquet,
    "lago": _lago,
    "openmeter": _open_meter,
}


def take(
    connection: Connection, rows: list[Row], *, add_customers: bool, write: bool, taken: list[Charge]
) -> Appending | dict[str, Any]:
    """In the writer's transaction: all of some rows, or none. `taken` receives what is new.

    Result: `{new, there, problems: [{row, code, fields}]}`; with a problem nothing is written.
    """
    owners = _owners(connection, rows, add_customers)
    problems: list[dict[str, Any]] = []
    latest, held = clock.now() + AHEAD, _held(connection, rows)
    for number, row in enumerate(rows):
        owner = owners.get(row["customer"])
        there = held.get((row["source"], row["id"]))
        if owner is None:
            problems.append({"row": number, "code": "import-customer", "fields": {"customer": row["customer"]}})
        elif there is not None:
            other = _difference(there, {**row, "customer": owner})
            if other is not None:
                fields = {"id": row["id"], "source": row["source"], "field": other}
                problems.append({"row": number, "code": "event-differs", "fields": fields})
        elif (last := row.get("counted") or row["time"]) > latest:
            fields = {"found": clock.text(last), "now": clock.text(clock.now())}
            problems.append({"row": number, "code": "event-future", "fields": fields})
        else:
            taken.append(_charge(row, owner))
    found = {"new": len(taken), "there": len(rows) - len(taken) - len(problems), "problems": problems}
    if problems or not write:
        taken.clear()
        return found
    _add(connection, owners)
    return Appending(list(taken), found)


def _owners(connection: Connection, rows: list[Row], add: bool) -> dict[str, str]:
    """Customer ids by what the rows call them: an id or a name. A new one has an id that is not in the table yet."""
    me = schema.customers.c
    wanted = sorted({row["customer"] for row in rows})
    owners: dict[str, str] = {}
    for start in range(0, len(wanted), 400):
        part = wanted[start : start + 400]
        for row in connection.execute(sa.select(me.id, me.name).where(sa.or_(me.id.in_(part), me.name.in_(part)))):
            owners.update({name: row.id for name in (row.name, row.id) if name in part})
    if add:
        import secrets

        for name in wanted:
            own = re.fullmatch(r"cus_[0-9a-f]{16}", name)
            owners.setdefault(name, name if own else "cus_" + secrets.token_hex(8))
    return owners


def _add(connection: Connection, owners: Mapping[str, str]) -> None:
    from breakeven.ledger.audit import write_audit
    from breakeven.ledger.customers import Terms

    known = set(connection.execute(sa.select(schema.customers.c.id)).scalars())
    terms = json.dumps(Terms().as_json())
    for name, owner in owners.items():
        if owner not in known:
            row = {"id": owner, "name": name, "created": clock.now(), "terms": terms}
            connection.execute(sa.insert(schema.customers), row)
            write_audit(connection, "import", "customer.add", owner, {})


def _held(connection: Connection, rows: list[Row]) -> dict[tuple[str, str], Any]:
    pairs = [(row["source"], row["id"]) for row in rows]
    return {(row["source"], row["id"]): row for row in held(connection, pairs)}


def _difference(there: Any, row: Row) -> str | None:
    """The first field in which an event of the ledger differs from one of the file."""
    told = {**there, "model": there["release"], "quantities": json.loads(there["quantities"])}
    return next((field for field in _SAME if told[field] != row[field]), None)


def _charge(row: Row, owner: str) -> Charge:
    return Charge(
        owner,
        json.loads(quantities_text(row["quantities"])),
        answers=row["answers"],
        id=row["id"],
        source=row["source"],
        key=row["key"],
        release=row["model"],
        plan=row["plan"],
        time=row["time"],
        counted=row.get("counted"),
        kind=row["kind"],
        about=row["about"],
    )
