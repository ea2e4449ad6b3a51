"""Who used what: customers, keys, usage events, feedback, audit. SQLAlchemy Core, no web framework, no prices kept."""

from __future__ import annotations

from breakeven.ledger.book import Ledger, ledger_place, open_ledger

__all__ = ["Ledger", "ledger_place", "open_ledger"]
