"""Credit notes: what goes back of an issued invoice, line by line and to the cent, never more than is left of it.

Lines that sell something can be credited; discounts, and taxes contained in prices, follow them in proportion. All is
rounded on the running sum over every note of the invoice, so notes over all of it come to exactly its total.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from breakeven.billing.document import OFF, text_of
from breakeven.economics.money import Money, plain, whole
from breakeven.errors import Refused, UsageError

Document = Mapping[str, Any]


def credit_note(
    invoice: Document,
    earlier: Sequence[Document],
    *,
    lines: Sequence[int] | None,
    share: Fraction,
    reason: str,
    series: str,
    issued: datetime.date,
) -> dict[str, Any]:
    """A credit note without its number, over what is left of some lines (None: all), or a `share` of those lines."""
    if invoice["kind"] != "invoice":
        raise UsageError("credit-of-credit", number=invoice["number"])
    if not reason.strip() or not reason.isprintable() or len(reason) > 300:
        raise UsageError("credit-reason")
    if not 0 < share <= 1:
        raise UsageError("credit-share", found=str(share))
    gone = {line["line"]: 0 for line in invoice["lines"]}
    for note in earlier:
        for line in note["lines"]:
            gone[line["line"]] += line["minor"]
    amounts = _sold(invoice, gone, lines, share)
    amounts |= _followed(invoice, gone, amounts)
    credited = [_line(line, amounts[line["line"]], invoice) for line in invoice["lines"] if amounts[line["line"]]]
    taxes = _taxes(invoice, earlier, credited)
    body = _body(invoice, credited, taxes)
    if body["total"]["minor"] <= 0:
        raise Refused("credit-nothing-left", number=invoice["number"])
    return {**body, "reason": reason.strip(), "series": series, "issued": issued.isoformat(),
            "due_date": issued.isoformat()}  # fmt: skip


def _sold(invoice: Document, gone: Mapping[int, int], chosen: Sequence[int] | None, share: Fraction) -> dict[int, int]:
    """What goes back of the lines that sell something."""
    sold = {line["line"]: line for line in invoice["lines"] if line["kind"] not in OFF}
    for number in chosen or ():
        if number not in sold:
            raise UsageError("credit-line", number=invoice["number"], found=number, allowed=sorted(sold))
    amounts = dict.fromkeys(sold, 0)
    for number in sorted(set(sold if chosen is None else chosen)):
        minor = sold[number]["minor"]
        left = minor - gone[number]
        amounts[number] = left if share == 1 else whole(minor * share)
        if abs(amounts[number]) > abs(left):
            left_text = str(Money(left, invoice["currency"]))
            raise Refused("credit-more-than-left", number=invoice["number"], line=number, left=left_text)
    return amounts


def _followed(invoice: Document, gone: Mapping[int, int], amounts: Mapping[int, int]) -> dict[int, int]:
    """The share of each discount (and contained tax) that goes with what has gone back of its lines."""
    found = {}
    for line in invoice["lines"]:
        if line["kind"] in OFF:
            base = [other for other in invoice["lines"] if other["kind"] not in OFF and other["taxed"] == line["taxed"]]
            whole_base = sum(other["minor"] for other in base)
            back = sum(gone[other["line"]] + amounts[other["line"]] for other in base)
            due = whole(Fraction(line["minor"] * back, whole_base)) if whole_base else 0
            found[line["line"]] = due - gone[line["line"]]
    return found


def _line(line: Document, minor: int, invoice: Document) -> dict[str, Any]:
    amount = {"amount": text_of(minor, invoice["currency"]), "minor": minor}
    if minor == line["minor"]:
        return {**line, **amount}
    unrounded = plain(Money(minor, invoice["currency"]).amount)
    return {**line, **amount, "quantity": None, "unit_price": None, "per": None, "share": None, "unrounded": unrounded}


def _taxes(invoice: Document, earlier: Sequence[Document], credited: Sequence[Document]) -> list[dict[str, Any]]:
    """Of each tax, the share that belongs to the part of its base that has gone back."""
    rows = []
    for at, tax in enumerate(invoice["taxes"]):
        base = sum(line["minor"] for line in credited if line["taxed"] == tax["taxed"])
        before = [note["taxes"][at] for note in earlier]
        back = base + sum(row["base_minor"] for row in before)
        whole_base = tax["base_minor"]
        due = whole(Fraction(tax["minor"] * back, whole_base)) if whole_base else 0
        minor = due - sum(row["minor"] for row in before)
        currency = invoice["currency"]
        rows.append({**tax, "base_minor": base, "base": text_of(base, currency), "minor": minor,
                     "amount": text_of(minor, currency)})  # fmt: skip
    return rows


def _body(invoice: Document, lines: list[dict[str, Any]], taxes: list[dict[str, Any]]) -> dict[str, Any]:
    currency = invoice["currency"]
    subtotal = Money(sum(line["minor"] for line in lines), currency)
    tax = Money(sum(row["minor"] for row in taxes), currency)
    nothing = Money(0, currency).as_json()
    kept = ("format", "customer", "customer_id", "language", "currency", "seller", "buyer", "month", "period", "plans",
            "order", "rounding", "prorate", "note")  # fmt: skip
    return {
        **{name: invoice[name] for name in kept},
        "kind": "credit_note",
        "lines": lines,
        "taxes": taxes,
        "subtotal": subtotal.as_json(),
        "tax": tax.as_json(),
        "total": (subtotal + tax).as_json(),
        "credits": nothing,
        "due": (subtotal + tax).as_json(),
        "credits_left": nothing,
        "in_trial": {},
        "unpriced": {},
        "late": [],
        "events": 0,
        "references": {"number": invoice["number"], "issued": invoice["issued"], "hash": invoice["hash"]},
    }
