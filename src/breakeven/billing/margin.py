"""Gross margin by customer: what a month brought, before tax, less what its answers cost to give, as measured.

Both costs are told: marginal (machine time alone) and at volume (the share of whole machines, at the declared demand).
Costs are measurements with intervals, so they are numbers here; revenue is money and stays exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from breakeven.artifacts import read_json
from breakeven.billing.drawn import month_period
from breakeven.billing.issue import Office, draw_draft, show
from breakeven.economics.proration import in_utc
from breakeven.errors import BreakevenError, UsageError, message, render, term
from breakeven.quantity import ORIGINS, Quantity

COSTS = ("marginal", "at_volume")


@dataclass
class Costs:
    """What 1,000 answers of each release cost, by kind of cost. `origins`: where that was read, in words."""

    verdict: Mapping[str, Any]
    releases: Path
    origins: dict[str, str] = field(default_factory=dict)

    def of(self, release: str) -> dict[str, Quantity]:
        """The costs of a release; one that is not known here is taken to cost what the chosen candidate does."""
        path = self.releases / release / "release.json"
        known = read_json(path).get("candidate") if release and path.is_file() else None
        candidates = self.verdict["candidates"]
        candidate = known if known in candidates else self.verdict.get("chosen")
        if candidate not in candidates:
            raise UsageError("margin-no-cost")
        said = "margin-cost-of" if known == candidate else "margin-cost-taken"
        found = {kind: Quantity.from_json(candidates[candidate][f"{kind}_per_1000"]) for kind in COSTS}
        for kind, cost in found.items():
            fields = {"release": release or "-", "candidate": candidate, "kind": message(_KINDS[kind]),
                      "value": f"{cost.value:.6g}", "unit": cost.unit, "origin": term(cost.origin)}  # fmt: skip
            self.origins[f"{release}/{kind}"] = render(said, fields)
        return found


_KINDS = {"marginal": "margin-kind-marginal", "at_volume": "margin-kind-at-volume"}


def customers_margin(office: Office, root: Path, month: str | None = None) -> dict[str, Any]:
    """`{month, currency, customers: [...], origins: [...]}`; raises UsageError `margin-no-cost` before any verdict."""
    from breakeven.ledger import commands

    month = month or f"{office.today:%Y-%m}"
    period = month_period(month)
    if period.start.date() > office.today:
        raise UsageError("invoice-future", month=month, today=office.today.isoformat())
    path = root / "artifacts" / "evaluate" / "verdict.json"
    if not path.is_file():
        raise UsageError("margin-no-cost")
    costs = Costs(read_json(path), root / "releases")
    used: dict[str, dict[str, int]] = {}
    start, end = (int(in_utc(moment).timestamp()) * 1_000_000 for moment in (period.start, period.end))
    for row in commands.call(office.ledger, "invoices.answers", start=start, end=end):
        used.setdefault(row["customer"], {})[row["release"]] = row["answers"]
    rows = [
        _row(office, row, month, used.get(row["id"], {}), costs)
        for row in commands.customers_list(office.ledger)
        if row["id"] in used
    ]
    return {"month": month, "currency": costs.verdict.get("currency"), "customers": rows,
            "origins": list(costs.origins.values())}  # fmt: skip


def _row(
    office: Office, customer: Mapping[str, Any], month: str, used: Mapping[str, int], costs: Costs
) -> dict[str, Any]:
    row: dict[str, Any] = {"customer": customer["id"], "name": customer["name"], "answers": sum(used.values())}
    spent = {kind: _spent(used, costs, kind) for kind in COSTS}
    row |= {f"{kind}_cost": round(cost.value, 9) for kind, cost in spent.items()}
    row["costs"] = {kind: cost.as_json() for kind, cost in spent.items()}
    try:
        revenue, source = _revenue(office, customer["id"], month, str(costs.verdict.get("currency")))
    except BreakevenError as error:
        return {**row, "revenue": None, "revenue_from": str(error), "margin": None, "margin_at_volume": None,
                "margin_share": None}  # fmt: skip
    row |= {"revenue": str(revenue), "revenue_from": source}
    row["margin"] = round(float(revenue) - spent["marginal"].value, 9)
    row["margin_at_volume"] = round(float(revenue) - spent["at_volume"].value, 9)
    row["margin_share"] = round(row["margin"] / float(revenue), 6) if revenue else None
    return row


def _spent(used: Mapping[str, int], costs: Costs, kind: str) -> Quantity:
    """What a customer's answers cost; its interval adds up those of the releases, which errs on the wide side."""
    parts = [costs.of(release)[kind].scaled(count / 1000, "") for release, count in sorted(used.items())]
    low = None if any(part.low is None for part in parts) else sum(part.low or 0.0 for part in parts)
    high = None if any(part.high is None for part in parts) else sum(part.high or 0.0 for part in parts)
    origin = min((part.origin for part in parts), key=ORIGINS.index)
    unit = f"{costs.verdict.get('currency')}/month"
    return Quantity(sum(part.value for part in parts), unit, origin, low=low, high=high)


def _revenue(office: Office, customer: str, month: str, currency: str) -> tuple[Decimal, str]:
    """Before tax: of the invoice less its credit notes where it is issued, else of the draft; and which of the two."""
    from breakeven.ledger import commands

    rows = commands.call(office.ledger, "invoices.list", customer=customer, month=month)
    if not any(row["kind"] == "invoice" for row in rows):
        return _subtotal(draw_draft(office, customer, month), currency), render("margin-from-draft", {})
    total = Decimal(0)
    for row in rows:
        amount = _subtotal(show(office.ledger, row["number"]), currency)
        total += amount if row["kind"] == "invoice" else -amount
    return total, render("margin-from-documents", {"numbers": [row["number"] for row in rows]})


def _subtotal(document: Mapping[str, Any], currency: str) -> Decimal:
    if document["currency"] != currency:
        raise UsageError("currency-mix", first=document["currency"], second=currency)
    return Decimal(document["subtotal"]["amount"])
