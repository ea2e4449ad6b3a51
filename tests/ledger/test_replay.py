from __future__ import annotations

import pytest

from breakeven.errors import InputError, Refused
from breakeven.ledger import Ledger, clock
from breakeven.ledger.events import Charge


def kept(ledger: Ledger, expires: int) -> tuple[str, str]:
    name, request = ledger.replay.name("c", "my key"), ledger.replay.request(b"body")
    ledger.settle(None, Charge("c", {"answers": 1}, idempotency=name, request=request, body=b"answer", expires=expires))
    return name, request


def test_the_same_request_gets_the_stored_answer(ledger: Ledger) -> None:
    stored = ledger.replay.find(*kept(ledger, clock.now() + clock.DAY))
    assert stored is not None
    assert stored.body == b"answer"


def test_another_body_under_the_same_key_is_refused(ledger: Ledger) -> None:
    name, _ = kept(ledger, clock.now() + clock.DAY)
    with pytest.raises(Refused, match="another request"):
        ledger.replay.find(name, ledger.replay.request(b"other"))


def test_after_a_day_the_answer_is_gone_and_the_charge_is_not_repeated(ledger: Ledger) -> None:
    name, request = kept(ledger, clock.now() - 1)
    assert ledger.replay.sweep() == 1
    with pytest.raises(Refused, match="no longer kept"):
        ledger.replay.find(name, request)
    assert ledger.usage()[0]["events"] == 1


def test_keys_of_two_customers_do_not_meet(ledger: Ledger) -> None:
    assert ledger.replay.name("a", "k") != ledger.replay.name("b", "k")
    assert ledger.replay.name("a", "bk") != ledger.replay.name("ab", "k")


def test_feedback_needs_a_request_of_ones_own(ledger: Ledger) -> None:
    charge = Charge("mine", {"answers": 2}, answers=2)
    ledger.settle(None, charge)
    ledger.feedback.add(charge.id, {"correct": False}, customer="mine", index=1)
    assert ledger.feedback.list("mine")[0]["correct"] is False
    for customer, event in (("theirs", charge.id), ("mine", "nothing")):
        with pytest.raises(InputError, match="no request"):
            ledger.feedback.add(event, {"correct": True}, customer=customer)
    with pytest.raises(InputError, match="outside the request's 2 answers"):
        ledger.feedback.add(charge.id, {"correct": True}, customer="mine", index=2)
    with pytest.raises(InputError, match="price"):
        ledger.feedback.add(charge.id, {"price": 0}, customer="mine")
