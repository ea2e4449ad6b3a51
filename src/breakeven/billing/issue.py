"""From the ledger to an issued document: drafts, invoices with their numbers, credit notes, months given up."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from breakeven.billing.cii import require_record
from breakeven.billing.document import compose, require_parties, verified
from breakeven.billing.drawn import Account, draw, month_period
from breakeven.billing.settings import Buyer, Settings
from breakeven.economics.money import Money
from breakeven.economics.proration import moment
from breakeven.errors import BreakevenError, Refused, UsageError

if TYPE_CHECKING:
    from breakeven.economics.plan import BusinessPlan

_TRIES = 5  # a month of another time may receive an event while it is drawn; five times in a row is no accident


@dataclass(frozen=True)
class Office:
    """Who issues: the ledger's place, the declared price, the settings, and today's date (UTC)."""

    ledger: str
    business: BusinessPlan | None
    settings: Settings
    today: datetime.date

    @classmethod
    def of(cls, ledger: str, business: BusinessPlan | None, settings: Settings | None = None) -> Office:
        """An office that dates its documents by the clock."""
        return cls(ledger, business, settings or Settings(), datetime.datetime.now(datetime.UTC).date())


def draft(business: BusinessPlan | None, ledger: str, customer: str, month: str) -> dict[str, Any]:
    """A draft (JSON) of one customer's events in a calendar month, UTC, with default settings."""
    return draw_draft(Office.of(ledger, business), customer, month)


def draw_draft(office: Office, customer: str, month: str, *, given_back: bool = False) -> dict[str, Any]:
    """What the month comes to so far. Nothing is numbered, kept or closed. `given_back`: see `draw`."""
    period = month_period(month)
    if period.start.date() > office.today:
        raise UsageError("invoice-future", month=month, today=office.today.isoformat())
    document, _ = _drawn(office, customer, month, given_back=given_back)
    return {**document, "draft": True, **period.as_json()}


def finalize(office: Office, customer: str, month: str, *, given_back: bool = False) -> dict[str, Any]:
    """The invoice of a month that is over: numbered, kept for ever, the month closed. Asked again, the same one.

    `given_back`: see `draw`.
    """
    period = month_period(month)
    if period.end.date() > office.today:
        raise UsageError("month-not-over", month=month, ends=period.end.isoformat())
    for _ in range(_TRIES):
        found = _issued_of(office, customer, month)
        if found is not None:
            return {**found, "already": True}
        try:
            return _issue(office, customer, month, given_back=given_back)
        except Refused as error:
            if error.code != "invoice-moved":
                raise
            moved = error
    raise moved


def _issue(office: Office, customer: str, month: str, *, given_back: bool) -> dict[str, Any]:
    from breakeven.ledger import commands

    document, seen = _drawn(office, customer, month, given_back=given_back)
    if not document["events"] and not document["total"]["minor"]:
        raise Refused("invoice-empty", customer=document["customer"], month=month)
    require_parties(document)
    needed, series = office.settings.e_invoice, office.settings.series
    if needed:
        require_record(document)
    body = {**document, "series": series}
    slot = f"{document['customer_id']}/{month}"
    issued: dict[str, Any] = commands.call(office.ledger, "invoices.issue", body=body, slot=slot, seen=seen)
    return issued


def _issued_of(office: Office, customer: str, month: str) -> dict[str, Any] | None:
    from breakeven.ledger import commands

    rows = commands.call(office.ledger, "invoices.list", customer=customer, month=month)
    numbers = [row["number"] for row in rows if row["kind"] == "invoice"]
    return show(office.ledger, numbers[0]) if numbers else None


def finalize_all(office: Office, month: str) -> Iterator[dict[str, Any]]:
    """Every customer's invoice of a month, oldest customer first: `{customer, document}` or `{customer, error}`.

    Customers without anything to bill are left out; one that cannot be billed does not stop the others.
    """
    from breakeven.ledger import commands

    for row in commands.customers_list(office.ledger):
        try:
            yield {"customer": row["name"], "document": finalize(office, row["id"], month)}
        except BreakevenError as error:
            if error.code in ("month-not-over", "invoice-no-seller"):  # the same for all
                raise
            if error.code != "invoice-empty":
                yield {"customer": row["name"], "error": error}


def credit(
    office: Office, number: str, *, lines: Sequence[int] | None, share: Decimal, reason: str, key: str | None = None
) -> dict[str, Any]:
    """A credit note over what is left of an invoice, some of its lines, or a share of them.

    The same `key` for the same invoice gives the same note, however often it is asked for.
    """
    from breakeven.billing.credit import credit_note
    from breakeven.ledger import commands

    slot = f"credit/{number}/{key or secrets.token_hex(8)}"[:160]
    for _ in range(_TRIES):
        found = commands.call(office.ledger, "invoices.get", number=number)
        kept = next((note for note in found["notes"] if note.get("key") == key and key), None)
        if kept is not None:
            return {**verified(kept), "already": True}
        body = credit_note(
            verified(found["document"]), found["notes"], lines=lines, share=Fraction(share), reason=reason,
            series=office.settings.credit_series, issued=office.today,
        )  # fmt: skip
        _enough_credits(office, body)
        seen = {"notes": len(found["notes"])}
        try:
            issued: dict[str, Any] = commands.call(
                office.ledger, "invoices.issue", body={**body, "key": key}, slot=slot, seen=seen
            )
            return issued
        except Refused as error:
            if error.code != "invoice-moved":
                raise
            moved = error
    raise moved


def _enough_credits(office: Office, note: Mapping[str, Any]) -> None:
    """Money for credits that were bought is not given back where they have paid for something by now."""
    change = note["credits_change"]["minor"]
    if change < 0:
        row, _ = buyer_of(office.ledger, note["customer_id"])
        held = row["credits"]["minor"] if row["credits"] else 0
        if held + change < 0:
            left, wanted = (str(Money(minor, note["currency"])) for minor in (held, -change))
            raise Refused("credit-credits-used", number=note["references"]["number"], left=left, wanted=wanted)


def show(ledger: str, number: str) -> dict[str, Any]:
    """An issued document, its hash and sum checked; IntegrityError where they do not hold."""
    from breakeven.ledger import commands

    found = commands.call(ledger, "invoices.get", number=number)
    return verified(found["document"])


def void(office: Office, customer: str, month: str, reason: str) -> dict[str, Any]:
    """Gives a draft up: the month is closed and nobody is billed for it. Refused where an invoice is issued."""
    from breakeven.ledger import commands

    found = _issued_of(office, customer, month)
    if found is not None:
        raise Refused("invoice-issued", number=found["number"])
    if not reason.strip() or not reason.isprintable():
        raise UsageError("credit-reason")
    row: dict[str, Any] = commands.call(
        office.ledger, "invoices.void", customer=customer, month=month, reason=reason.strip()
    )
    return row


def buyer_of(ledger: str, customer: str) -> tuple[dict[str, Any], Buyer]:
    """The ledger's row of a customer, and what is known of them as a buyer."""
    from breakeven.ledger import commands

    row: dict[str, Any] = commands.call(ledger, "invoices.account", customer=customer)
    return row, Buyer.model_validate(row["buyer"])


def _drawn(office: Office, customer: str, month: str, *, given_back: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """(document without a number, what it was made from: the check that nothing came between)."""
    from breakeven.ledger import commands

    row, buyer = buyer_of(office.ledger, customer)
    count = commands.call(office.ledger, "invoices.seen", customer=row["id"], month=month)
    period = month_period(month)
    events = list(_events(office.ledger, row["id"], period.start.isoformat(), period.end.isoformat()))
    account = Account(row["id"], row["name"], moment(row["created"]), buyer, row["credits"], row["billed"])
    drawn = draw(events, account, month, business=office.business, settings=office.settings, given_back=given_back)
    document = compose(drawn, account, office.settings, issued=office.today)
    return document, {"events": count, "billed": row["billed"], "credits": row["credits"]}


def _events(ledger: str, customer: str, start: str, end: str) -> Iterator[dict[str, Any]]:
    """The ledger's events with the rates that they were shown, as exact decimals."""
    from breakeven.ledger import commands

    known: dict[str, Mapping[str, Decimal]] = {}
    for page in commands.event_pages(ledger, customer, start, end):
        missing = sorted({row["plan"] for row in page} - known.keys())
        if missing:
            found = commands.call(ledger, "invoices.rates", versions=missing)
            known |= {name: {meter: Decimal(rate) for meter, rate in rates.items()} for name, rates in found.items()}
        for row in page:
            yield {
                "time": moment(row["time"]),
                "counted": moment(row["counted"]),
                "id": row["id"],
                "source": row["source"],
                "about": row["about"],
                "rates": known[row["plan"]],
                "quantities": row["quantities"],
            }
