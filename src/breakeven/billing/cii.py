"""The document as an EN 16931 record: UN/CEFACT Cross Industry Invoice, profile EN 16931 of Factur-X and ZUGFeRD.

What the norm cannot say (two taxes on one line, three decimals, a discount after tax) is refused in words, not bent.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from breakeven.billing.document import OFF, places, text_of
from breakeven.billing.shown import percent
from breakeven.errors import BreakevenError, IntegrityError, UsageError, need_package

PROFILE = "urn:cen.eu:en16931:2017"
CODES = {"standard": "S", "zero": "Z", "exempt": "E", "reverse_charge": "AE", "export": "G", "outside_scope": "O"}
_INVOICE, _CREDIT_NOTE = "380", "381"
_UNIT = "C62"  # one: a unit without a measure
_TRANSFER, _SEPA, _UNDEFINED = "30", "58", "1"


def lacking(document: Mapping[str, Any]) -> list[BreakevenError]:
    """What the document lacks for a record; empty where one can be made."""
    if document["seller"] is None:
        return [UsageError("invoice-no-seller")]
    seller, buyer = document["seller"], document["buyer"]
    categories = {row["category"] for row in document["taxes"]}
    found: list[BreakevenError] = [
        UsageError("invoice-lacks", setting=f"billing.seller.{name}")
        for name in ("city", "country") if not seller.get(name)
    ]  # fmt: skip
    if not (seller.get("tax_id") or seller.get("tax_number")):
        found.append(UsageError("invoice-lacks", setting="billing.seller.tax_id"))
    if categories & {"reverse_charge", "export"} and not seller.get("tax_id"):
        found.append(UsageError("invoice-lacks", setting="billing.seller.tax_id"))
    found += [
        UsageError("invoice-lacks-buyer", customer=document["customer"], option=f"--{name}")
        for name in ("city", "country") if not buyer.get(name)
    ]  # fmt: skip
    if "reverse_charge" in categories and not buyer.get("tax_id"):
        found.append(UsageError("invoice-lacks-buyer", customer=document["customer"], option="--tax-id"))
    return [*found, *_unsayable(document)]


def _unsayable(document: Mapping[str, Any]) -> list[BreakevenError]:
    """What EN 16931 has no place for."""
    found: list[BreakevenError] = []
    taxes = document["taxes"]
    if not taxes:
        found.append(UsageError("invoice-lacks", setting="billing.taxes"))
    if sum(row["taxed"] for row in taxes) > 1:
        found.append(UsageError("invoice-xml-taxes", names=[row["name"] for row in taxes if row["taxed"]]))
    if any(row["category"] == "exempt" and not row["reason"] for row in taxes):
        found.append(UsageError("invoice-lacks", setting="billing.untaxed_reason"))
    if places(document) > 2:
        found.append(UsageError("invoice-xml-decimals", currency=document["currency"]))
    order = document["order"]
    if any(line["kind"] in ("discount", "coupon") for line in document["lines"]) and order.index("tax") < max(
        order.index("discounts"), order.index("coupons")
    ):
        found.append(UsageError("invoice-xml-order"))
    return found


def require_record(document: Mapping[str, Any]) -> None:
    """Raises what `lacking` tells: the first, the others in its `more`."""
    problems = lacking(document)
    if problems:
        problems[0].more = problems[1:]
        raise problems[0]


def to_xml(document: Mapping[str, Any]) -> bytes:
    """The record, valid by the schema of its profile. Raises as `require_record` does."""
    require_record(document)
    try:
        from drafthorse.models.document import Document
        from lxml import etree
    except ModuleNotFoundError as error:
        raise need_package(str(error.name), "invoices", purpose="EN 16931 invoices") from error
    record = Document()
    _header(record, document)
    _parties(record.trade.agreement, document)
    items, parts = _split(document)
    for line in items:
        record.trade.items.add(_item(line, document))
    record.trade.delivery.event.occurrence = _last_day(document)
    _settlement(record.trade.settlement, document, parts)
    try:
        made: bytes = record.serialize(schema="FACTUR-X_EN16931")
    except etree.XMLSyntaxError as error:
        raise IntegrityError("invoice-xml-invalid", reason=str(error)[:200]) from error
    return made


def _header(record: Any, document: Mapping[str, Any]) -> None:
    from drafthorse.models.note import IncludedNote

    credit = document["kind"] == "credit_note"
    record.context.guideline_parameter.id = PROFILE
    record.header.id = document["number"] or "draft"
    record.header.type_code = _CREDIT_NOTE if credit else _INVOICE
    record.header.issue_date_time = datetime.date.fromisoformat(document["issued"])
    for said in (document["reason"], document["note"]):
        if said:
            note = IncludedNote()
            note.content = said
            record.header.notes.add(note)


def _parties(agreement: Any, document: Mapping[str, Any]) -> None:
    seller, buyer = document["seller"], document["buyer"]
    # A sale outside the scope of tax must not name tax identifiers (BR-O-02).
    outside = any(row["category"] == "outside_scope" for row in document["taxes"])
    _party(agreement.seller, seller, tax=not outside)
    if seller.get("registration"):
        agreement.seller.legal_organization.id = seller["registration"]
    elif outside or not seller.get("tax_id"):  # some identifier there must be (BR-CO-26)
        agreement.seller.id = seller.get("tax_number") or seller["tax_id"]
    if seller.get("email") and seller.get("phone"):
        agreement.seller.contact.person_name = seller["name"]
        agreement.seller.contact.telephone.number = seller["phone"]
        agreement.seller.contact.email.address = seller["email"]
    _party(agreement.buyer, buyer, tax=not outside)
    if buyer.get("reference"):
        agreement.buyer_reference = buyer["reference"]


def _party(element: Any, party: Mapping[str, Any], *, tax: bool) -> None:
    from drafthorse.models.party import TaxRegistration

    element.name = party["name"]
    address = element.address
    for field, name in (
        ("postcode", "postcode"), ("line_one", "street"), ("line_two", "street_more"), ("city_name", "city"),
        ("country_id", "country"), ("country_subdivision", "region"),
    ):  # fmt: skip
        if party.get(name):
            setattr(address, field, party[name])
    if party.get("email"):
        element.electronic_address.uri_ID = ("EM", party["email"])
    for scheme, name in (("VA", "tax_id"), ("FC", "tax_number")):
        if tax and party.get(name):
            registration = TaxRegistration()
            registration.id = (scheme, party[name])
            element.tax_registrations.add(registration)


def _split(document: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Lines that sell something, and those that take away from the whole; the norm wants prices that are not negative.

    A document must have a line: one that only takes away, or has nothing, gets one of zero.
    """
    parts = [line for line in document["lines"] if line["kind"] in OFF or line["minor"] < 0]
    items = [line for line in document["lines"] if line not in parts]
    empty = {"line": 0, "name": "-", "minor": 0, "quantity": None, "unit_price": None, "per": None, "taxed": True}
    return items or [empty], parts


def _item(line: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    from drafthorse.models.tradelines import LineItem

    amount = text_of(line["minor"], document["currency"])
    item = LineItem()
    item.document.line_id = str(line["line"] or 1)
    item.product.name = line["name"]
    quantity, price, per = "1", amount, None
    if line["unit_price"] is not None:
        quantity, price, per = line["quantity"], line["unit_price"], str(line["per"])
    elif line["quantity"] is not None:
        item.product.description = f"{line['quantity']} {line.get('meter') or ''}".strip()
    item.agreement.net.amount = price
    if per is not None:
        item.agreement.net.basis_quantity = (per, _UNIT)
    item.delivery.billed_quantity = (quantity, _UNIT)
    tax = item.settlement.trade_tax
    tax.type_code = "VAT"
    row = _tax_of(line, document)
    tax.category_code = CODES[row["category"]]
    if row["category"] != "outside_scope":
        tax.rate_applicable_percent = percent(row["rate"])
    item.settlement.monetary_summation.total_amount = amount
    return item


def _tax_of(line: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    rows: list[Mapping[str, Any]] = document["taxes"]
    return next((row for row in rows if row["taxed"] == line["taxed"]), rows[0])


def _settlement(settlement: Any, document: Mapping[str, Any], parts: list[Mapping[str, Any]]) -> None:
    from drafthorse.models.payment import PaymentTerms

    settlement.currency_code = document["currency"]
    _payment(settlement, document)
    for row in _by_category(document["taxes"]):
        settlement.trade_tax.add(_breakdown(row, document["currency"]))
    settlement.period.start = datetime.date.fromisoformat(document["period"]["start"][:10])
    settlement.period.end = _last_day(document)
    for line in parts:
        settlement.allowance_charge.add(_allowance(line, document))
    if document["kind"] == "invoice":
        terms = PaymentTerms()
        terms.due = datetime.date.fromisoformat(document["due_date"])
        settlement.terms.add(terms)
    else:
        reference = settlement.invoice_referenced_document
        reference.issuer_assigned_id = document["references"]["number"]
        reference.issue_date_time = datetime.date.fromisoformat(document["references"]["issued"])
        if document["due"]["minor"] > 0:
            terms = PaymentTerms()
            terms.description = document["reason"]
            settlement.terms.add(terms)
    _sums(settlement.monetary_summation, document, parts)


def _last_day(document: Mapping[str, Any]) -> datetime.date:
    end = datetime.datetime.fromisoformat(document["period"]["end"])
    return (end - datetime.timedelta(microseconds=1)).date()


def _payment(settlement: Any, document: Mapping[str, Any]) -> None:
    from drafthorse.models.payment import PaymentMeans

    bank, means = document["seller"].get("bank"), PaymentMeans()
    if bank is None or document["kind"] != "invoice":
        means.type_code = _UNDEFINED
    else:
        means.type_code = _SEPA if bank.get("iban") and document["currency"] == "EUR" else _TRANSFER
        if bank.get("iban"):
            means.payee_account.iban = bank["iban"]
        else:
            means.payee_account.proprietary_id = bank["account"]
        means.payee_account.account_name = bank.get("holder") or document["seller"]["name"]
        if bank.get("bic"):
            means.payee_institution.bic = bank["bic"]
        settlement.payment_reference = document["number"] or "draft"
    settlement.payment_means.add(means)


def _by_category(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The breakdown that the norm wants: one row a category and rate (BR-E-01, BR-O-01), with every reason."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        held = found.setdefault((row["category"], row["rate"]), {**row, "base_minor": 0, "minor": 0, "reason": None})
        held["base_minor"] += row["base_minor"]
        held["minor"] += row["minor"]
        held["reason"] = "; ".join(dict.fromkeys(said for said in (held["reason"], row["reason"]) if said)) or None
    return list(found.values())


def _breakdown(row: Mapping[str, Any], currency: str) -> Any:
    from drafthorse.models.accounting import ApplicableTradeTax

    tax = ApplicableTradeTax()
    tax.calculated_amount = text_of(row["minor"], currency)
    tax.type_code = "VAT"
    if row["reason"] and row["category"] not in ("standard", "zero"):
        tax.exemption_reason = row["reason"]
    tax.basis_amount = text_of(row["base_minor"], currency)
    tax.category_code = CODES[row["category"]]
    if row["category"] != "outside_scope":
        tax.rate_applicable_percent = percent(row["rate"])
    return tax


def _allowance(line: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    from drafthorse.models.accounting import CategoryTradeTax, TradeAllowanceCharge

    row, part, tax = _tax_of(line, document), TradeAllowanceCharge(), CategoryTradeTax()
    part.indicator = line["minor"] > 0
    part.actual_amount = text_of(abs(line["minor"]), document["currency"])
    part.reason = line["name"]
    tax.type_code = "VAT"
    tax.category_code = CODES[row["category"]]
    if row["category"] != "outside_scope":
        tax.rate_applicable_percent = percent(row["rate"])
    part.trade_tax.add(tax)
    return part


def _sums(sums: Any, document: Mapping[str, Any], parts: list[Mapping[str, Any]]) -> None:
    currency = document["currency"]
    taken = -sum(line["minor"] for line in parts if line["minor"] < 0)
    added = sum(line["minor"] for line in parts if line["minor"] > 0)
    sums.line_total = text_of(document["subtotal"]["minor"] + taken - added, currency)
    if added:
        sums.charge_total = text_of(added, currency)
    if taken:
        sums.allowance_total = text_of(taken, currency)
    sums.tax_basis_total = Decimal(document["subtotal"]["amount"])
    sums.tax_total = (document["tax"]["amount"], currency)
    sums.grand_total = Decimal(document["total"]["amount"])
    if document["credits"]["minor"]:
        sums.prepaid_total = document["credits"]["amount"]
    sums.due_amount = document["due"]["amount"]
