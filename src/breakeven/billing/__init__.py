"""Where the declared price meets the meter: rates for the server, drafts, invoices that a customer can be sent."""

from __future__ import annotations

from breakeven.billing.issue import draft
from breakeven.billing.pricing import meter_plan, price_plan

__all__ = ["draft", "meter_plan", "price_plan"]
