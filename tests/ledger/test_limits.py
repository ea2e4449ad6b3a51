from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path

import pytest

from breakeven.errors import BreakevenError, InputError, Refused
from breakeven.ledger import Ledger, open_ledger
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.keys import Key
from breakeven.ledger.plans import PricePlan

PLAN = PricePlan.of({"answers": "0.1"})


def key_with(ledger: Ledger, terms: Terms) -> Key:
    ledger.customers.add("acme", terms=terms)
    return ledger.keys.create("acme")[1]


def use(ledger: Ledger, key: Key, quantity: int = 1) -> None:
    admission = ledger.admit(key, {"answers": quantity}, PLAN)
    ledger.settle(admission, Charge(key.customer, {"answers": quantity}, plan=PLAN.version))


def workers(ledger: Ledger, key: Key, each: int, count: int = 32) -> int:
    granted: list[int] = []

    def work() -> None:
        for _ in range(each):
            try:
                use(ledger, key)
            except Refused:
                continue
            granted.append(1)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(granted)


def test_thirty_two_workers_get_exactly_the_quota(ledger: Ledger) -> None:
    ledger.keep_plan(PLAN)
    key = key_with(ledger, Terms(quotas={"answers": 1000}))
    assert workers(ledger, key, 40) == 1000
    assert ledger.usage()[0]["quantity"] == 1000


def test_the_spend_cap_is_exact_money(ledger: Ledger) -> None:
    ledger.keep_plan(PLAN)
    key = key_with(ledger, Terms(spend_cap=Decimal("0.3")))
    for _ in range(3):  # 0.1 + 0.1 + 0.1 is 0.3 here, and more than 0.3 in floating point
        use(ledger, key)
    with pytest.raises(Refused, match="spend cap"):
        use(ledger, key)


def test_use_survives_a_restart(place: Path) -> None:
    with open_ledger(place) as ledger:
        ledger.keep_plan(PLAN)
        key = key_with(ledger, Terms(quotas={"answers": 2}, spend_cap=Decimal("0.25")))
        use(ledger, key, 2)
    with open_ledger(place) as ledger, pytest.raises(Refused, match="quota of 2 answers"):
        use(ledger, key)


def test_what_failed_is_given_back(ledger: Ledger) -> None:
    key = key_with(ledger, Terms(quotas={"answers": 1}))
    admission = ledger.admit(key, {"answers": 1}, PLAN)
    with pytest.raises(Refused, match="used up"):
        ledger.admit(key, {"answers": 1}, PLAN)
    ledger.release(admission)
    use(ledger, key)


def test_a_replayed_answer_uses_no_quota(ledger: Ledger) -> None:
    key = key_with(ledger, Terms(quotas={"answers": 2}))
    for expected in (True, False):
        admission = ledger.admit(key, {"answers": 1}, PLAN)
        assert ledger.settle(admission, Charge(key.customer, {"answers": 1}, idempotency="k", body=b"")) is expected
    use(ledger, key)


def test_new_terms_hold_from_the_next_request(ledger: Ledger) -> None:
    key = key_with(ledger, Terms())
    use(ledger, key)
    ledger.customers.set_terms("acme", Terms(quotas={"answers": 1}))
    with pytest.raises(Refused, match="used up"):
        use(ledger, key)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"quotas": {"answers": -1}}, "quotas.answers"),
        ({"spend_cap": "NaN"}, "spend_cap"),
        ({"spend_cap": "lots"}, "spend_cap"),
        ({"role": "admin"}, "role"),
    ],
)
def test_terms_that_mean_nothing_are_refused(terms: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=field):
        Terms.from_json(terms)


@pytest.mark.parametrize("rate", ["-1", "NaN", "0.0000000000001"])
def test_prices_that_mean_nothing_are_refused(rate: str) -> None:
    with pytest.raises(BreakevenError, match="not a price"):
        PricePlan.of({"answers": rate})


def test_a_plan_is_known_by_what_it_says() -> None:
    assert PricePlan.of({"a": "0.10"}).version == PricePlan.of({"a": 0.1}).version != PricePlan.of({"a": "0.2"}).version
    assert PricePlan.of({"a": "1000"}).price({"a": 3, "free": 9}) == "3000"
