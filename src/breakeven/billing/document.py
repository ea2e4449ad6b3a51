"""The document itself: canonical JSON with seller, buyer, lines, taxes, totals and the rules behind them.

Everything a reader sees is made from this and nothing else, so a document is the same HTML, PDF and XML for ever.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import fingerprint
from breakeven.billing.drawn import Account, Drawn
from breakeven.economics.fees import PerUnit, label
from breakeven.economics.invoice_book import Line
from breakeven.economics.money import Money, exponent, fraction, plain
from breakeven.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from breakeven.billing.settings import Settings

FORMAT = 1
OFF = ("discount", "coupon", "tax contained")  # kinds of lines that take away


def compose(drawn: Drawn, account: Account, settings: Settings, *, issued: datetime.date) -> dict[str, Any]:
    """A document without its number: what `issue` completes, and what a draft shows."""
    bill = drawn.invoice
    language = account.buyer.language or settings.language
    lines = [_line(number, line, drawn) for number, line in enumerate(bill.lines, start=1)]
    return {
        "format": FORMAT,
        "kind": "invoice",
        "number": None,
        "customer": account.name,
        "customer_id": account.id,
        "issued": issued.isoformat(),
        "due_date": (issued + datetime.timedelta(days=settings.payment_days)).isoformat(),
        "language": language,
        "currency": bill.currency,
        "seller": None if settings.seller is None else settings.seller.model_dump(mode="json", exclude_none=True),
        "buyer": {"name": account.name, **_buyer(account)},
        "month": drawn.month,
        "period": bill.period.as_json(),
        "plans": [dict(plan) for plan in drawn.plans],
        "lines": lines,
        "taxes": _taxes(drawn, settings),
        "subtotal": bill.subtotal.as_json(),
        "tax": bill.tax.as_json(),
        "total": bill.total.as_json(),
        "credits": bill.credits.as_json(),
        "due": bill.due.as_json(),
        "credits_left": bill.credits_left.as_json(),
        "in_trial": {meter: plain(count) for meter, count in sorted(bill.in_trial.items())},
        "unpriced": {meter: plain(count) for meter, count in sorted(bill.unpriced.items())},
        "late": [dict(row) for row in drawn.late],
        **({"given_back": dict(drawn.given_back)} if drawn.given_back else {}),
        "events": drawn.events,
        "order": list(bill.plan.order),
        "rounding": bill.plan.rounding.model_dump(),
        "prorate": bill.plan.prorate,
        "note": settings.note,
        "references": None,
        "reason": None,
    }


def _buyer(account: Account) -> dict[str, Any]:
    known = account.buyer.as_json()
    kept = ("name", "street", "street_more", "postcode", "city", "region", "country", "tax_id", "email", "reference")
    return {name: known[name] for name in kept if name in known}


def _line(number: int, line: Line, drawn: Drawn) -> dict[str, Any]:
    unit = _unit_price(line, drawn)
    off = {"of": _taken_off(line, drawn)} if line.kind in ("discount", "coupon") else {}
    return {
        "line": number,
        "name": line.name,
        "kind": line.kind,
        "meter": line.meter,
        "quantity": None if line.quantity is None else plain(line.quantity),
        "unit_price": None if unit is None else plain(unit[0]),
        "per": None if unit is None else unit[1],
        "share": None if line.share in (None, 1) else str(line.share),
        "amount": text_of(line.minor, drawn.invoice.currency),
        "minor": line.minor,
        "unrounded": plain(line.exact),
        "taxed": line.taxed,
        "plan": line.plan,
        **off,
    }


def _taken_off(off: Line, drawn: Drawn) -> list[int]:
    """The lines that a discount is taken off, so that a credit note over one of them knows what goes with it."""
    bill = drawn.invoice
    total = after_tax(off.kind, bill.plan.order) and bool(bill.taxes)
    return [
        number
        for number, line in enumerate(bill.lines, start=1)
        if line.kind not in OFF
        and (total or line.taxed == off.taxed)
        and (not off.fees or line.name in off.fees)
        and (off.plan is None or line.plan in (None, off.plan))
    ]


def after_tax(kind: str, order: Sequence[str]) -> bool:
    """Whether lines of this kind are taken off a sum with its taxes."""
    step = {"discount": "discounts", "coupon": "coupons"}.get(kind)
    return step is not None and order.index("tax") < order.index(step)


def _unit_price(line: Line, drawn: Drawn) -> tuple[Decimal, int] | None:
    """The price of a unit (and for how many units it is meant), where the line is quantity times price."""
    if line.quantity is None:
        return None
    for fee in drawn.invoice.plan.fees:
        if isinstance(fee, PerUnit) and label(fee) == line.name:
            if fraction(line.quantity) * Fraction(fee.unit_price) == fraction(line.exact):
                return fee.price, fee.per
            return None
    return None


def _taxes(drawn: Drawn, settings: Settings) -> list[dict[str, Any]]:
    """A row for each tax, also for those of nothing: the law wants to read why no tax is due."""
    bill, rule = drawn.invoice, drawn.rule
    base = sum(line.minor for line in bill.lines if line.taxed)
    free = sum(line.minor for line in bill.lines if not line.taxed)
    rates = [tax.rate for tax in bill.plan.taxes] if rule is None else [rule.rate] * len(bill.taxes)
    rows = [
        _tax_row(line.name, "standard" if rate else "zero", rate, base, line.minor, None, bill.currency)
        for line, rate in zip(bill.taxes, rates, strict=True)
    ]
    if rule is not None and not rule.rate:
        rows.append(_tax_row(rule.name, rule.category, Decimal(0), base, 0, rule.reason, bill.currency))
    if free and rows:
        reason, outside = settings.untaxed_reason, rule is not None and rule.category == "outside_scope"
        category = "outside_scope" if outside else "exempt"
        rows.append(_tax_row(rows[0]["name"], category, Decimal(0), free, 0, reason, bill.currency, taxed=False))
    return rows


def _tax_row(
    name: str, category: str, rate: Decimal, base: int, minor: int, reason: str | None, currency: str, *,
    taxed: bool = True,
) -> dict[str, Any]:  # fmt: skip
    return {
        "name": name,
        "category": category,
        "rate": plain(rate),
        "base": text_of(base, currency),
        "base_minor": base,
        "amount": text_of(minor, currency),
        "minor": minor,
        "reason": reason,
        "taxed": taxed,
    }


def text_of(minor: int, currency: str) -> str:
    """Minor units as decimal text."""
    return f"{Money(minor, currency).amount:f}"


def require_parties(document: Mapping[str, Any]) -> None:
    """What no invoice may lack, whatever its form: a seller; and with reverse charge the VAT identifiers of both."""
    if document["seller"] is None:
        raise UsageError("invoice-no-seller")
    if any(row["category"] == "reverse_charge" for row in document["taxes"]):
        if not document["seller"].get("tax_id"):
            raise UsageError("invoice-lacks", setting="billing.seller.tax_id")
        if not document["buyer"].get("tax_id"):
            raise UsageError("invoice-lacks-buyer", customer=document["customer"], option="--tax-id")


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical JSON, without the hash itself."""
    return fingerprint({name: value for name, value in document.items() if name != "hash"})


def verified(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as it was issued; IntegrityError where hash or sum do not hold."""
    lines, taxes = (sum(row["minor"] for row in document[name]) for name in ("lines", "taxes"))
    if document.get("hash") != digest(document) or lines + taxes != document["total"]["minor"]:
        raise IntegrityError("invoice-changed", number=document.get("number"))
    return dict(document)


def places(document: Mapping[str, Any]) -> int:
    """Decimals of the document's currency."""
    return exponent(document["currency"])
