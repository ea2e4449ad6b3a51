"""Where the declared price meets the meter: rates for the server, drafts, invoices that a customer can be sent."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breakeven.billing.issue import draft
    from breakeven.billing.pricing import meter_plan, price_plan

__all__ = ["draft", "meter_plan", "price_plan"]

# Every command reads the settings of this room, few make documents: those modules are imported on use.
_PLACES = {"draft": "issue", "meter_plan": "pricing", "price_plan": "pricing"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
