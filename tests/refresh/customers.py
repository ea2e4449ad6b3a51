"""Customers of a real ledger: answers that were charged, inputs kept with consent, and what was said of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from breakeven.ledger import open_ledger
from breakeven.ledger.clock import now
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.inputs import Kept, keep

Said = tuple[str, str, dict[str, Any] | None]  # input, label answered, feedback


def answered(root: Path, customer: str, cases: Iterable[Said], *, consent: bool = True, release: str = "") -> list[str]:
    """Charges a request a case, keeps what may be kept, and writes the feedback; returns the requests' ids."""
    events = []
    with open_ledger(root / "ledger.sqlite") as ledger:
        owner = ledger.customers.add(customer, terms=Terms(consent=consent)).id
        for text, label, words in cases:
            charge = Charge(owner, {"answers": 1}, release=release)
            ledger.settle(None, charge)
            row = Kept(charge.id, 0, owner, json.dumps(text), json.dumps({"label": label, "probability": 0.9}))
            keep(ledger, [row], expires=now() + 10**12)
            if words is not None:
                ledger.feedback.add(charge.id, words, index=0)
            events.append(charge.id)
    return events
