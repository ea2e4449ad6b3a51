"""A document in words: the labels, dates and amounts that its page (HTML) and its print (PDF) both show."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from breakeven.billing.document import text_of
from breakeven.errors import render

_KINDS = {
    "minimum": "invoice-word-minimum",
    "discount": "invoice-word-discount",
    "coupon": "invoice-word-coupon",
    "tax contained": "invoice-word-contained",
}
_ROUNDED = {"line": "invoice-word-rounded-line", "document": "invoice-word-rounded-document"}
_MODES = {
    "half_up": "invoice-word-mode-half-up",
    "half_even": "invoice-word-mode-half-even",
    "half_down": "invoice-word-mode-half-down",
    "up": "invoice-word-mode-up",
    "down": "invoice-word-mode-down",
    "ceiling": "invoice-word-mode-ceiling",
    "floor": "invoice-word-mode-floor",
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of the table, in words."""

    number: str
    name: str
    detail: str
    quantity: str
    price: str
    amount: str


class Shown:
    """The words of one document, in its language."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.language: str = document["language"]
        self.currency: str = document["currency"]

    def word(self, code: str, **fields: Any) -> str:
        """A label of the catalogue."""
        return render(code, fields, language=self.language)

    def day(self, text: str | None) -> str:
        """A date: `1 November 2026`, or as Chinese readers write it."""
        if not text:
            return ""
        day = datetime.date.fromisoformat(text[:10])
        if self.language == "zh":
            return f"{day.year}年{day.month}月{day.day}日"
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"

    def money(self, minor: int, *, code: bool = False) -> str:
        """Minor units with the thousands set apart; with `code`, the currency after it."""
        text = f"{Decimal(text_of(minor, self.currency)):,f}"
        return f"{text} {self.currency}" if code else text

    @property
    def title(self) -> str:
        """What the document is called."""
        if self.document["kind"] == "credit_note":
            return self.word("invoice-word-credit-note")
        return self.word("invoice-word-invoice" if self.document["number"] else "invoice-word-draft")

    @property
    def period(self) -> tuple[str, str]:
        """First and last day."""
        end = datetime.datetime.fromisoformat(self.document["period"]["end"])
        last = (end - datetime.timedelta(microseconds=1)).date().isoformat()
        return self.day(self.document["period"]["start"]), self.day(last)

    def facts(self) -> list[tuple[str, str]]:
        """The box beside the title: number, dates, period, references."""
        document, buyer = self.document, self.document["buyer"]
        rows = [
            ("invoice-word-number", document["number"] or "-"),
            ("invoice-word-date", self.day(document["issued"])),
            ("invoice-word-period", self.word("invoice-word-from-to", first=self.period[0], last=self.period[1])),
        ]
        if document["kind"] == "invoice":
            rows.insert(2, ("invoice-word-due-date", self.day(document["due_date"])))
        else:
            rows.append(("invoice-word-refers", document["references"]["number"]))
        if buyer.get("tax_id"):
            rows.append(("invoice-word-your-tax-id", buyer["tax_id"]))
        if buyer.get("reference"):
            rows.append(("invoice-word-your-reference", buyer["reference"]))
        return [(self.word(code), text) for code, text in rows]

    def address(self, party: Mapping[str, Any] | None) -> list[str]:
        """Name and address, a line each."""
        if party is None:
            return []
        town = " ".join(party[name] for name in ("postcode", "city") if party.get(name))
        lines = [party["name"], party.get("street"), party.get("street_more"), town, party.get("region")]
        return [line for line in [*lines, party.get("country")] if line]

    def seller_facts(self) -> list[str]:
        """What the foot of the page says of the seller: numbers, register, ways to reach it."""
        seller = self.document["seller"] or {}
        labels = {
            "tax_id": "invoice-word-tax-id",
            "tax_number": "invoice-word-tax-number",
            "registration": "invoice-word-register",
        }
        facts = [f"{self.word(code)} {seller[name]}" for name, code in labels.items() if seller.get(name)]
        return [*facts, *(seller[name] for name in ("email", "phone") if seller.get(name))]

    def rows(self) -> list[Row]:
        """The table."""
        return [self._row(line) for line in self.document["lines"]]

    def _row(self, line: Mapping[str, Any]) -> Row:
        name = line["name"]
        if line["kind"] in _KINDS and name in (line["kind"], "discount"):
            name = self.word(_KINDS[line["kind"]])
        elif line["kind"] == "tax contained":
            name = self.word("invoice-word-contained-of", name=name)
        detail = []
        if line["share"] is not None:
            detail.append(self.word("invoice-word-share", share=line["share"]))
        if not line["taxed"] and self.document["taxes"]:
            detail.append(self.word("invoice-word-untaxed"))
        if len(self.document["plans"]) > 1 and line["plan"]:
            detail.append(self.word("invoice-word-plan", plan=line["plan"]))
        return Row(
            str(line["line"]), name, ", ".join(detail), self._quantity(line), self._price(line),
            self.money(line["minor"])
        )  # fmt: skip

    def _quantity(self, line: Mapping[str, Any]) -> str:
        text = line["quantity"]
        if text is None or "/" in text:
            return text or ""
        unit = "" if line["meter"] in (None, line["name"]) else f" {line['meter']}"
        return f"{Decimal(text):,f}{unit}"

    def _price(self, line: Mapping[str, Any]) -> str:
        if line["unit_price"] is None:
            return ""
        if line["per"] == 1:
            return str(line["unit_price"])
        return self.word("invoice-word-per", price=line["unit_price"], count=f"{line['per']:,}")

    def taxes(self) -> list[tuple[str, str]]:
        """A row for each tax, and why there is none where there is none."""
        return [
            (
                self.word("invoice-word-tax-row", name=row["name"], rate=percent(row["rate"]),
                          base=self.money(row["base_minor"])),
                self.money(row["minor"]),
            )
            for row in self.document["taxes"]
        ]  # fmt: skip

    def totals(self) -> list[tuple[str, str, bool]]:
        """(label, amount, whether it is the sum that counts)."""
        document = self.document
        paid = document["credits"]["minor"]
        rows = [(self.word("invoice-word-subtotal"), self.money(document["subtotal"]["minor"]), False)]
        rows += [(label, amount, False) for label, amount in self.taxes()]
        total = "invoice-word-credited" if document["kind"] == "credit_note" else "invoice-word-total"
        rows.append((self.word(total), self.money(document["total"]["minor"], code=True), not paid))
        if paid:
            codes = ("invoice-word-credits", "invoice-word-due")
            if document["kind"] == "credit_note":
                codes = ("invoice-word-credits-back", "invoice-word-due-back")
            rows.append((self.word(codes[0]), self.money(-paid), False))
            rows.append((self.word(codes[1]), self.money(document["due"]["minor"], code=True), True))
        return rows

    def payment(self) -> list[tuple[str, str]]:
        """How to pay what is due."""
        bank = (self.document["seller"] or {}).get("bank")
        if not bank or self.document["kind"] != "invoice" or self.document["due"]["minor"] <= 0:
            return []
        rows = [
            ("invoice-word-holder", bank.get("holder") or self.document["seller"]["name"]),
            ("invoice-word-iban", _grouped(bank.get("iban"))),
            ("invoice-word-account", bank.get("account")),
            ("invoice-word-bic", bank.get("bic")),
            ("invoice-word-bank", bank.get("name")),
            ("invoice-word-purpose", self.document["number"]),
        ]
        return [(self.word(code), text) for code, text in rows if text]

    def remarks(self) -> list[str]:
        """What else the reader must know: why no tax, what came late, what the credit is for, how it was rounded."""
        document = self.document
        said = [row["reason"] for row in document["taxes"] if row["reason"]]
        if document["reason"]:
            said.append(self.word("invoice-word-reason", reason=document["reason"]))
        for row in document["late"]:
            less = row["quantity"] < 0
            code = "invoice-word-late-less" if less else "invoice-word-late"
            said.append(self.word(code, **{**row, "quantity": abs(row["quantity"])}))
        said += [
            self.word("invoice-word-given-back", meter=meter, quantity=number)
            for meter, number in document.get("given_back", {}).items()
        ]
        said += [
            self.word("invoice-word-in-trial", meter=meter, quantity=number)
            for meter, number in document["in_trial"].items()
        ]
        if document["kind"] == "invoice" and document["due"]["minor"] > 0 and document["number"]:
            said.append(self.word("invoice-word-pay-by", day=self.day(document["due_date"])))
        if document["note"]:
            said.append(document["note"])
        mode = self.word(_MODES[document["rounding"]["mode"]])
        said.append(self.word(_ROUNDED[document["rounding"]["per"]], mode=mode))
        return said

    def proof(self) -> str:
        """The last line: by what the document can be checked."""
        found = self.document.get("hash")
        return self.word("invoice-word-hash", hash=found) if found else self.word("invoice-word-not-issued")


def percent(rate: str) -> str:
    """A share as a percentage without trailing zeros."""
    number = (Decimal(rate) * 100).normalize()
    return f"{number:f}"


def _grouped(iban: str | None) -> str | None:
    return None if iban is None else " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))
