"""On PostgreSQL rules over the ledger are read beside the servers, and nothing is written by looking."""

from __future__ import annotations

import pytest

from breakeven.ledger import open_ledger
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.plans import PricePlan
from breakeven.watching.history import View
from breakeven.watching.measures import Sources, measure
from breakeven.watching.settings import Rule
from breakeven.watching.sources import LedgerReader
from tests.ledger.conftest import cluster, database  # noqa: F401  fixtures of the ledger

pytestmark = pytest.mark.slow


def test_caps_quotas_and_charges_are_read_from_postgresql(database: str) -> None:  # noqa: F811
    with open_ledger(database) as ledger:
        terms = Terms.from_json({"spend_cap": "1", "quotas": {"answers": 400}})
        customer = ledger.customers.add("acme", terms=terms)
        plan = ledger.keep_plan(PricePlan.of({"answers": "0.004"}))
        ledger.record([Charge(customer.id, {"answers": 100}, id=f"e{n}", plan=plan.version) for n in range(2)])
        before = ledger.verify()
        sources = Sources(View({}, 0.0), books=LedgerReader(database, [3600.0])())
        assert ledger.verify() == before

    def value(watch: str, **more: object) -> float:
        (found,) = measure(Rule.model_validate({"name": "r", "watch": watch, **more}), sources).values()
        return found

    assert value("spend_share", above=0.9) == 0.8
    assert value("quota_share", above=0.9) == 0.5
    assert value("charges", below=1, window="1h") == 2
