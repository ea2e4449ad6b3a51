"""Credit notes: what goes back of an issued invoice, line by line and to the cent, never more than is left of it.

Lines that sell something can be credited; discounts, and taxes contained in prices, follow them in proportion. All is
rounded on the running sum over every note of the invoice, so notes over all of it come to exactly its total.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from breakeven.billing.document import OFF, after_tax, text_of
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
    body |= _settled(invoice, body, _credits_back(invoice, earlier, body), _credits_sold(invoice, gone, amounts))
    return {**body, "reason": reason.strip(), "series": series, "issued": issued.isoformat(),
            "due_date": issued.isoformat()}  # fmt: skip


def _settled(invoice: Document, body: Document, back: int, sold: int) -> dict[str, Any]:
    """What of a note goes back to prepaid credits, what is money, and what both change of the credits that are left."""
    currency = invoice["currency"]
    return {
        "credits": Money(back, currency).as_json(),
        "due": Money(body["total"]["minor"] - back, currency).as_json(),
        "credits_change": Money(back - sold, currency).as_json(),
    }


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
    """The share of each discount (and contained tax) that goes with what has gone back of the lines it was taken off.

    Each takes off what those before it have left, so it weighs on every line by what is left of it.
    """
    sold = {line["line"]: line["minor"] for line in invoice["lines"] if line["kind"] not in OFF}
    part = {at: Fraction(gone[at] + amounts[at], minor) if minor else Fraction(1) for at, minor in sold.items()}
    net = {at: Fraction(minor) for at, minor in sold.items()}
    found = {}
    for line in invoice["lines"]:
        if line["kind"] in OFF:
            weights = _weights(invoice, line, net)
            whole_weight = sum(weights.values())
            if whole_weight:
                due = sum(line["minor"] * weight * part[at] for at, weight in weights.items()) / whole_weight
            else:
                due = Fraction(line["minor"] * all(part[at] == 1 for at in weights))
            found[line["line"]] = whole(due) - gone[line["line"]]
            for at, weight in weights.items() if whole_weight else ():
                net[at] += line["minor"] * weight / whole_weight
    return found


def _weights(invoice: Document, off: Document, net: Mapping[int, Fraction]) -> dict[int, Fraction]:
    """By line, how much of what `off` was taken off is that line: with its taxes where that was after tax."""
    total = bool(invoice["taxes"]) and after_tax(off["kind"], invoice["order"])
    rates = sum((Fraction(row["rate"]) for row in invoice["taxes"] if row["taxed"]), Fraction(0))
    return {
        line["line"]: net[line["line"]] * (1 + rates if total and line["taxed"] else 1)
        for line in invoice["lines"]
        if line["line"] in net
        and (line["line"] in off["of"] if "of" in off else total or line["taxed"] == off["taxed"])
    }


def _payable(document: Document) -> int:
    """What prepaid credits pay of a document: everything but the buying of credits."""
    bought = sum(int(line["minor"]) for line in document["lines"] if line["kind"] == "prepaid")
    return int(document["total"]["minor"]) - bought


def _credits_back(invoice: Document, earlier: Sequence[Document], body: Document) -> int:
    """Of a note, what goes back to the prepaid credits that paid for it; the rest is money."""
    whole_paid, payable = invoice["credits"]["minor"], _payable(invoice)
    if not whole_paid or payable <= 0:
        return 0
    back = _payable(body) + sum(_payable(note) for note in earlier)
    due = whole(Fraction(whole_paid * back, payable)) - sum(note["credits"]["minor"] for note in earlier)
    return int(max(0, min(due, _payable(body))))


def _credits_sold(invoice: Document, gone: Mapping[int, int], amounts: Mapping[int, int]) -> int:
    """The prepaid credits that were bought with what a note gives the money back for."""
    taken = 0
    for line in invoice["lines"]:
        if line["kind"] == "prepaid" and line["minor"]:
            sold, before = _sold_credits(line, invoice["currency"]), gone[line["line"]]
            now = before + amounts[line["line"]]
            taken += whole(Fraction(sold * now, line["minor"])) - whole(Fraction(sold * before, line["minor"]))
    return taken


def _sold_credits(line: Document, currency: str) -> int:
    return int(line["minor"]) if line["quantity"] is None else Money.of(line["quantity"], currency).minor


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
