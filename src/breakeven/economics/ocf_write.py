"""A cap table as Open Cap Format files: texts by file name, for the caller to store.

The format has no place for some of what a table holds (promised options, anti-dilution, exact prices beyond ten
decimals); whatever is not carried is named, never dropped in silence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from breakeven.economics.cap_events import StockClass
from breakeven.economics.captable import CapTable
from breakeven.economics.ocf_transactions import Writer, number

OCF_VERSION = "1.2.1-alpha+main"


@dataclass(frozen=True)
class Issuer:
    """The company, as the manifest names it; `country` by its two letters."""

    legal_name: str
    formed: date
    country: str = "US"
    id: str = "issuer"


@dataclass(frozen=True)
class OcfFiles:
    """Texts by file name, and what the format could not carry."""

    files: Mapping[str, str]
    left_out: tuple[str, ...]


def write_ocf(
    table: CapTable,
    issuer: Issuer,
    *,
    as_of: date,
    generated: datetime,
    currency: str = "USD",
    institutions: Sequence[str] = (),
) -> OcfFiles:
    """The table up to a day. `institutions` are the holders that are no persons; `generated` is for the manifest."""
    writer = Writer(currency)
    for event in table.events:
        if event.date <= as_of:
            writer.event(event)
    lists = {
        "stakeholders": ("Stakeholders", [_stakeholder(each, each in institutions) for each in sorted(writer.holders)]),
        "stock_classes": ("StockClasses", [_stock_class(each, currency) for each in writer.state.classes.values()]),
        "stock_plans": ("StockPlans", writer.plans),
        "stock_legend_templates": ("StockLegends", []),
        "vesting_terms": ("VestingTerms", list(writer.terms.values())),
        "valuations": ("Valuations", []),
        "transactions": ("Transactions", writer.transactions),
    }
    files = {
        f"{name}.ocf.json": _text({"file_type": f"OCF_{kind.upper()}_FILE", "items": items})
        for kind, (name, items) in lists.items()
    }
    manifest: dict[str, Any] = {
        "ocf_version": OCF_VERSION,
        "file_type": "OCF_MANIFEST_FILE",
        "issuer": {
            "object_type": "ISSUER",
            "id": issuer.id,
            "legal_name": issuer.legal_name,
            "formation_date": issuer.formed.isoformat(),
            "country_of_formation": issuer.country,
        },
        "as_of": as_of.isoformat(),
        "generated_at": generated.isoformat(),
    }
    for kind, (name, _) in lists.items():
        digest = hashlib.md5(files[f"{name}.ocf.json"].encode(), usedforsecurity=False).hexdigest()
        manifest[f"{kind}_files"] = [{"filepath": f"./{name}.ocf.json", "md5": digest}]
    files["Manifest.ocf.json"] = _text(manifest)
    return OcfFiles(files, tuple(writer.left_out))


def _text(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _stakeholder(name: str, institution: bool) -> dict[str, Any]:
    return {
        "object_type": "STAKEHOLDER",
        "id": name,
        "name": {"legal_name": name},
        "stakeholder_type": "INSTITUTION" if institution else "INDIVIDUAL",
    }


def _stock_class(each: StockClass, currency: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "object_type": "STOCK_CLASS",
        "id": each.id,
        "name": each.id,
        "default_id_prefix": f"{each.id}-",
        "class_type": "PREFERRED" if each.preferred else "COMMON",
        "initial_shares_authorized": "UNLIMITED",
        "votes_per_share": "1",
        "seniority": str(each.seniority),
    }
    if each.preferred:
        row["liquidation_preference_multiple"] = number(each.multiple)
        if each.participation_cap is not None:
            row["participation_cap_multiple"] = number(each.participation_cap)
        elif each.participates:
            row["comments"] = ["participates without a cap"]
    return row
