"""What the command line does to a ledger. Runs in the owner's process if there is one, else takes the lock for
a moment.

Every function takes the ledger's place (a path or URL, see `ledger_place`) and returns JSON-able rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from breakeven.errors import BreakevenError, Busy, InputError, Place
from breakeven.ledger import backups, clock, imports, inputs, invoices, servers, subjects
from breakeven.ledger.book import Ledger, open_ledger
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.keys import DEFAULT_SCOPES
from breakeven.ledger.owner import Command, Lock, ask

PAGE_EVENTS = 20_000


def _customers_add(ledger: Ledger, name: str, terms: dict[str, Any] | None = None) -> dict[str, Any]:
    customer = ledger.customers.add(name, terms=None if terms is None else Terms.from_json(terms), actor="command")
    return customer.as_json()


def _customers_terms(ledger: Ledger, customer: str, terms: dict[str, Any]) -> dict[str, Any]:
    return ledger.customers.set_terms(customer, Terms.from_json(terms), actor="command").as_json()


def _customers_list(ledger: Ledger) -> list[dict[str, Any]]:
    return [customer.as_json() for customer in ledger.customers.list()]


def _keys_create(
    ledger: Ledger,
    customer: str,
    scopes: list[str],
    expires: str | None = None,
    not_before: str | None = None,
    name: str = "",
) -> dict[str, Any]:
    ledger.customers.add(customer, actor="command") if not customer.startswith("cus_") else None
    secret, key = ledger.keys.create(
        customer, scopes=scopes, expires=expires, not_before=not_before, name=name, actor="command"
    )
    return {"secret": secret, **key.as_json()}


def _keys_list(ledger: Ledger, customer: str | None = None) -> list[dict[str, Any]]:
    return [key.as_json() for key in ledger.keys.list(customer)]


def _keys_revoke(ledger: Ledger, id: str) -> dict[str, Any]:  # noqa: A002  the wire's word
    return ledger.keys.revoke(id, actor="command").as_json()


def _usage(
    ledger: Ledger, customer: str | None = None, start: str | None = None, end: str | None = None
) -> list[dict[str, Any]]:
    return ledger.usage(customer, start, end)


def _events(
    ledger: Ledger,
    customer: str | None = None,
    start: str | None = None,
    end: str | None = None,
    after: int = 0,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    return ledger.events(customer, start, end, after=after, limit=limit)


def _feedback_add(ledger: Ledger, id: str, value: dict[str, Any], index: int | None = None) -> dict[str, Any]:  # noqa: A002
    return ledger.feedback.add(id, value, index=index)


def _feedback_list(ledger: Ledger, customer: str | None = None) -> list[dict[str, Any]]:
    return ledger.feedback.list(None if customer is None else ledger.customers.find(customer))


def _import(ledger: Ledger, rows: list[dict[str, Any]], add_customers: bool, write: bool) -> dict[str, Any]:
    taken: list[Charge] = []
    found: dict[str, Any] = ledger.change(
        lambda connection, _: imports.take(connection, rows, add_customers=add_customers, write=write, taken=taken)
    )
    ledger.customers.forget()
    ledger.account(taken)
    return found


def _correct(
    ledger: Ledger, event: str, quantities: dict[str, int] | None, reason: str, source: str | None = None
) -> dict[str, Any]:
    return ledger.correct(event, quantities, reason=reason, source=source, actor="command")


def _history(ledger: Ledger, event: str, source: str | None = None) -> dict[str, Any]:
    return ledger.history(event, source=source)


def _close(ledger: Ledger, customer: str, month: str, reference: str = "") -> bool:
    return ledger.close_month(customer, month, reference=reference, actor="command")


def _closed(ledger: Ledger, customer: str | None = None) -> list[dict[str, Any]]:
    return ledger.closed_months(customer)


def _rotate(ledger: Ledger, id: str, overlap: float) -> dict[str, Any]:  # noqa: A002  the wire's word
    secret, new, old = ledger.keys.rotate(id, overlap=overlap, actor="command")
    return {"secret": secret, **new.as_json(), "old": old.as_json()}


def _export_subject(ledger: Ledger, customer: str, events: list[str], containing: str | None) -> list[dict[str, Any]]:
    return subjects.export(ledger, customer, subjects.Selection(tuple(events), containing))


def _erase(
    ledger: Ledger, customer: str, events: list[str], containing: str | None, lines: Sequence[str] = ()
) -> dict[str, Any]:
    selection = subjects.Selection(tuple(events), containing, tuple(lines))
    return subjects.erase(ledger, customer, selection, actor="command")


def _erased(ledger: Ledger, after: int = 0) -> dict[str, Any]:
    found = subjects.subjects(ledger, after)
    return {"customers": sorted(found.customers), "events": sorted(found.events), "position": found.position}


def _backup(ledger: Ledger, file: str) -> dict[str, Any]:
    return backups.write_backup(ledger, file)


def _audit(ledger: Ledger, limit: int = 1000) -> list[dict[str, Any]]:
    return ledger.audit(limit)


def _verify(ledger: Ledger, against: dict[str, Any] | None = None) -> dict[str, Any]:
    return ledger.verify(against)


COMMANDS: dict[str, Command] = {
    "customers.add": _customers_add,
    "customers.terms": _customers_terms,
    "customers.list": _customers_list,
    "keys.create": _keys_create,
    "keys.list": _keys_list,
    "keys.revoke": _keys_revoke,
    "usage": _usage,
    "events": _events,
    "feedback.add": _feedback_add,
    "feedback.list": _feedback_list,
    "audit": _audit,
    "verify": _verify,
    "import": _import,
    "correct": _correct,
    "history": _history,
    "close": _close,
    "closed": _closed,
    "keys.rotate": _rotate,
    "subjects.export": _export_subject,
    "subjects.erase": _erase,
    "subjects": _erased,
    "backup": _backup,
    **inputs.COMMANDS,
    **servers.COMMANDS,
    **invoices.COMMANDS,
}


def call(place: str | Path, command: str, /, *, create: bool = False, **arguments: Any) -> Any:
    """Runs one command where it may run: in the owner's process, else here with the lock."""
    text = str(place)
    if not text.startswith("postgres"):
        path = Path(text.removeprefix("sqlite:///")).absolute()
        for wait in (0.0, 0.1, 0.3, 0.6):  # an owner that starts or stops is neither free nor listening for an instant
            time.sleep(wait)
            try:
                return _here(text, command, arguments, create=create)
            except Busy:
                if Lock.file(path).exists():
                    try:
                        return ask(path, command, arguments)
                    except Busy as error:
                        busy = error
        raise busy
    return _here(text, command, arguments, create=create)


def _here(place: str, name: str, arguments: dict[str, Any], *, create: bool) -> Any:
    with open_ledger(place, create=create) as ledger:
        return COMMANDS[name](ledger, **arguments)


def customers_add(place: str | Path, name: str, terms: dict[str, Any] | None = None) -> dict[str, Any]:
    """A new customer, or the one of that name."""
    row: dict[str, Any] = call(place, "customers.add", create=True, name=name, terms=terms)
    return row


def customers_terms(place: str | Path, customer: str, terms: dict[str, Any]) -> dict[str, Any]:
    """Sets a customer's quotas, spend cap and rate."""
    row: dict[str, Any] = call(place, "customers.terms", customer=customer, terms=terms)
    return row


def customers_list(place: str | Path) -> list[dict[str, Any]]:
    """All customers."""
    rows: list[dict[str, Any]] = call(place, "customers.list")
    return rows


def keys_create(
    place: str | Path,
    customer: str,
    *,
    scopes: tuple[str, ...] = DEFAULT_SCOPES,
    expires: str | None = None,
    not_before: str | None = None,
    name: str = "",
) -> dict[str, Any]:
    """A key for a customer (made if the name is new); `secret` is in this row and nowhere else, ever."""
    row: dict[str, Any] = call(
        place,
        "keys.create",
        create=True,
        customer=customer,
        scopes=list(scopes),
        expires=expires,
        not_before=not_before,
        name=name,
    )
    return row


def keys_list(place: str | Path, customer: str | None = None) -> list[dict[str, Any]]:
    """Keys without their secrets."""
    rows: list[dict[str, Any]] = call(place, "keys.list", customer=customer)
    return rows


def keys_revoke(place: str | Path, id: str) -> dict[str, Any]:  # noqa: A002  the wire's word
    """Ends a key within a second, in a running server too."""
    row: dict[str, Any] = call(place, "keys.revoke", id=id)
    return row


def usage(
    place: str | Path, customer: str | None = None, start: str | None = None, end: str | None = None
) -> list[dict[str, Any]]:
    """Quantities and exact prices in [start, end)."""
    rows: list[dict[str, Any]] = call(place, "usage", customer=customer, start=start, end=end)
    return rows


def event_pages(
    place: str | Path, customer: str | None = None, start: str | None = None, end: str | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Single events in [start, end) in the ledger's own order, a page at a time; an answer of the owner is bounded."""
    after = 0
    while True:
        page: list[dict[str, Any]] = call(
            place, "events", customer=customer, start=start, end=end, after=after, limit=PAGE_EVENTS
        )
        if page:
            yield page
            after = page[-1]["position"]
        if len(page) < PAGE_EVENTS:
            return


def events(
    place: str | Path, customer: str | None = None, start: str | None = None, end: str | None = None
) -> list[dict[str, Any]]:
    """Single events in [start, end), oldest first: id, source, time, customer, key, model, plan, quantities."""
    rows = [row for page in event_pages(place, customer, start, end) for row in page]
    return sorted(rows, key=lambda row: (clock.moment(row["time"], "time"), row["position"]))


def feedback_add(place: str | Path, id: str, value: dict[str, Any], index: int | None = None) -> dict[str, Any]:  # noqa: A002
    """A word on an answer: correct, label, rating, comment."""
    row: dict[str, Any] = call(place, "feedback.add", id=id, value=value, index=index)
    return row


def feedback_list(place: str | Path, customer: str | None = None) -> list[dict[str, Any]]:
    """All feedback, oldest first."""
    rows: list[dict[str, Any]] = call(place, "feedback.list", customer=customer)
    return rows


def audit(place: str | Path, limit: int = 1000) -> list[dict[str, Any]]:
    """The newest lines of the audit log."""
    rows: list[dict[str, Any]] = call(place, "audit", limit=limit)
    return rows


def verify(place: str | Path, against: dict[str, Any] | None = None) -> dict[str, Any]:
    """Whether every chain and total holds, and `against` (heads kept elsewhere) is still in the chains."""
    found: dict[str, Any] = call(place, "verify", against=against)
    return found


def import_events(
    place: str | Path,
    file: Path,
    form: str,
    *,
    source: str | None = None,
    add_customers: bool = False,
    dry_run: bool = False,
) -> dict[str, int]:
    """Takes a file's events, whole or not at all: `{events, new, there}`. All problems are raised at once, with lines.

    More events than PAGE_EVENTS are written a page at a time after all were checked: what a fault cuts off is finished
    by doing it again, and nothing is counted twice.
    """
    rows = imports.read(file, form, source)
    pages = [rows[start : start + PAGE_EVENTS] for start in range(0, len(rows), PAGE_EVENTS)]
    sums = {"events": len(rows), "new": 0, "there": 0}
    checks = [(False, pages)] if dry_run else [(False, pages), (True, pages)] if len(pages) > 1 else [(True, pages)]
    for write, parts in checks:
        sums.update(new=0, there=0)
        problems: list[BreakevenError] = []
        for page in parts:
            found = call(place, "import", create=not dry_run, rows=[row for _, row in page],
                         add_customers=add_customers, write=write)  # fmt: skip
            problems += [InputError(item["code"], at=Place(file=str(file), line=page[item["row"]][0]), **item["fields"])
                         for item in found["problems"]]  # fmt: skip
            sums["new"] += found["new"]
            sums["there"] += found["there"]
        if problems:
            problems[0].more = problems[1:]
            raise problems[0]
    return sums


def subjects_erased(place: str | Path, after: int = 0) -> subjects.Erased:
    """What was erased after a position: whoever keeps a copy of feedback or inputs drops the rows that it holds."""
    found = call(place, "subjects", after=after)
    return subjects.Erased(frozenset(found["customers"]), frozenset(found["events"]), found["position"])


def kept_inputs(place: str | Path, customer: str | None = None, since: str | None = None) -> Iterator[dict[str, Any]]:
    """Kept inputs and outputs of customers (id or name; None: all) who consented, with their feedback, in the order of
    their events; see `inputs.page`. Whoever copies them asks `subjects_erased` and drops what it holds.
    """
    after = None
    while True:
        found: dict[str, Any] = call(place, "inputs", customer=customer, since=since, after=after)
        yield from found["rows"]
        after = found["after"]
        if after is None:
            return
