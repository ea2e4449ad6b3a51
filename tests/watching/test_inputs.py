"""The input log: only with consent, off the request's path, gone when its time, its customer or the consent goes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from breakeven.errors import InputError
from breakeven.ledger import Ledger, clock, commands, inputs, schema, subjects
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.writer import Between
from breakeven.serving import inputs as serving_inputs
from breakeven.serving.inputs import InputLog, Keep, drawn
from tests.serving.conftest import Caller
from tests.serving.fakes import EchoPackage, FakeTask, Stateful, Streaming

CONSENT = Terms(consent=True)


class Task(FakeTask):
    def payload(self, item: Any) -> Any:
        return item


class StatefulTask(Stateful):
    def payload(self, item: Any) -> Any:
        return item


class StreamingTask(Streaming):
    def payload(self, item: Any) -> Any:
        return item


def kept(book: Ledger) -> list[dict[str, Any]]:
    rows, after = [], None
    while True:
        found = inputs.page(book, after=after)
        rows += found["rows"]
        after = found["after"]
        if after is None:
            return rows


class Log:
    """An input log whose outcomes are counted."""

    def __init__(self, book: Ledger, wanted: Keep | None = None, *, pause: float = 60.0) -> None:
        self.counts: Counter[str] = Counter()
        self.log = InputLog(
            book, wanted or Keep(), lambda outcome, cases: self.counts.update({outcome: cases}), pause=pause
        )

    def close(self) -> dict[str, int]:
        self.log.close()
        return {outcome: cases for outcome, cases in self.counts.items() if cases}


@pytest.fixture
def acme(ledger: Ledger) -> str:
    return ledger.customers.set_terms("acme", CONSENT).id


def logged(make: Callable[..., Caller], wanted: Keep | None = None) -> tuple[Caller, Log]:
    caller = make(EchoPackage(Task()))
    log = Log(caller.service.ledger, wanted)
    caller.service.inputs = log.log
    return caller, log


def test_nothing_is_kept_without_consent(make: Callable[..., Caller], ledger: Ledger) -> None:
    caller, log = logged(make)
    assert caller.predict("secret").status == 200
    assert log.close() == {"no-consent": 1}
    assert kept(ledger) == []


def test_nothing_is_kept_where_the_project_keeps_nothing(
    make: Callable[..., Caller], acme: str, ledger: Ledger
) -> None:
    assert make(EchoPackage(Task())).predict("a").status == 200
    assert kept(ledger) == []


@pytest.mark.parametrize("consent", [True, False])
def test_a_sessions_observations_are_kept_like_any_input(
    make: Callable[..., Caller], ledger: Ledger, consent: bool
) -> None:
    ledger.customers.set_terms("acme", Terms(consent=consent))
    caller = make(EchoPackage(StatefulTask()))
    log = Log(ledger)
    caller.service.inputs = log.log
    state = caller("POST", "/v1/session/start", {"seed": 5}).json["state"]
    found = caller("POST", "/v1/session/step", {"state": state, "observation": "abc"}).json
    broken = caller("POST", "/v1/session/step", {"state": {"mine": 1}, "observation": "a"})
    assert (found["outputs"], broken.status) == ([{"sum": 8}], 422)
    assert log.close() == {"kept" if consent else "no-consent": 1}
    rows = [(row["event"], row["input"], row["output"]) for row in kept(ledger)]
    assert rows == ([(found["id"], "abc", {"sum": 8})] if consent else []), "the state is the customer's"


def test_a_consenting_customers_requests_are_kept_with_their_feedback(
    make: Callable[..., Caller],
    acme: str,
    ledger: Ledger,
) -> None:
    caller, log = logged(make)
    answer = caller.predict("good 好", "bad").json
    assert caller("POST", "/v1/feedback", {"id": answer["id"], "index": 1, "label": "worse"}).status == 200
    assert caller.predict("boom").status == 500
    assert log.close() == {"kept": 2}
    rows = kept(ledger)
    assert [(row["item"], row["input"], row["output"]) for row in rows] == [
        (0, "good 好", {"echo": "good 好"}),
        (1, "bad", {"echo": "bad"}),
    ]
    assert [row["feedback"] for row in rows] == [[], [{"index": 1, "label": "worse"}]]
    assert {row["event"] for row in rows} == {answer["id"]}
    assert {row["release"] for row in rows} == {answer["model"]}
    assert {row["customer"] for row in rows} == {acme}


def test_a_retry_is_kept_once(make: Callable[..., Caller], acme: str, ledger: Ledger) -> None:
    caller, log = logged(make)
    for _ in range(2):
        assert caller.predict("a", idempotency_key="k").status == 200
    assert log.close() == {"kept": 1}


def test_a_stream_is_kept_as_it_was_sent(make: Callable[..., Caller], acme: str, ledger: Ledger) -> None:
    caller = make(EchoPackage(StreamingTask()))
    log = Log(ledger)
    caller.service.inputs = log.log
    assert caller("POST", "/v1/predict", {"inputs": ["a b"], "stream": True}).status == 200
    log.close()
    assert [(row["input"], row["output"]) for row in kept(ledger)] == [("a b", ["a", "b"])]


def test_outputs_alone_are_kept_without_a_word_of_the_input(
    make: Callable[..., Caller],
    acme: str,
    ledger: Ledger,
) -> None:
    caller, log = logged(make, Keep(inputs=False))
    caller.predict("a")
    log.close()
    assert [(row["input"], row["output"]) for row in kept(ledger)] == [(None, {"echo": "a"})]


def test_an_answer_does_not_wait_for_a_ledger_that_is_busy(make: Callable[..., Caller], acme: str) -> None:
    caller, log = logged(make)
    free, held = threading.Event(), threading.Event()
    caller.predict("first")

    def hold(_stores: Any) -> None:
        held.set()
        free.wait(30)

    log.log._ending.set()  # it writes now, and finds the writer held
    waiting = threading.Thread(target=lambda: caller.service.ledger.writer.wait(Between(hold)))
    waiting.start()
    held.wait(10)
    charge = Charge(acme, {"answers": 1})
    for _ in range(1000):
        log.log.offer(charge, Task(), ["x"], [{"echo": "x"}])
    assert waiting.is_alive()  # the writer was held all the time
    free.set()
    waiting.join()
    log.close()


def test_what_does_not_fit_is_dropped_and_counted(
    acme: str,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving_inputs, "MOST_REQUESTS", 3)
    log = Log(ledger)
    for number in range(5):
        log.log.offer(Charge(acme, {"answers": 1}, id=f"e{number}"), Task(), ["x"], ["y"])
    assert log.close() == {"dropped": 2, "kept": 3}
    large = Log(ledger)
    large.log.offer(Charge(acme, {"answers": 1}, id="f"), Task(), ["x" * (17 << 20)], ["y"])
    large.log.offer(Charge(acme, {"answers": 1}, id="g"), Task(), ["x" * (1 << 20)], ["y"])
    assert large.close() == {"dropped": 1, "too-large": 1}


def test_a_broken_payload_costs_nobody_else_more_than_their_turn(acme: str, ledger: Ledger) -> None:
    log = Log(ledger)
    log.log.offer(Charge(acme, {"answers": 1}, id="e"), Task(), [object()], ["y"])
    assert log.close() == {"failed": 1}


def test_rows_end_at_their_time(make: Callable[..., Caller], acme: str, ledger: Ledger) -> None:
    caller, log = logged(make, Keep(seconds=0.05))
    caller.predict("a")
    log.close()
    time.sleep(0.06)
    assert kept(ledger) == []  # not shown from that moment on
    assert ledger.replay.sweep() == 1


def count(book: Ledger) -> int:
    with book.stores.private_reading.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(schema.inputs)).scalar_one())


def test_withdrawn_consent_erases_what_was_kept_and_tells_whoever_has_copies(
    make: Callable[..., Caller],
    acme: str,
    ledger: Ledger,
) -> None:
    caller, log = logged(make)
    event = caller.predict("a", "b").json["id"]
    log.close()
    ledger.customers.set_terms("acme", Terms(quotas={"answers": 5}, consent=True))
    assert count(ledger) == 2
    ledger.customers.set_terms("acme", Terms())
    assert count(ledger) == 0
    assert subjects.subjects(ledger).events == {event}
    assert ledger.verify()["holds"]


def test_what_waits_is_not_kept_after_consent_or_customer_have_gone(acme: str, ledger: Ledger) -> None:
    rows = [inputs.Kept("e1", 0, acme, '"a"', '"b"')]
    ledger.customers.set_terms("acme", Terms())
    assert inputs.keep(ledger, rows, expires=clock.now() + 10**9) == 0
    ledger.customers.set_terms("acme", CONSENT)
    ledger.record([Charge(acme, {"answers": 1}, id="e1"), Charge(acme, {"answers": 1}, id="e2")])
    subjects.erase(ledger, "acme", subjects.Selection(("e1",)))
    more = [*rows, inputs.Kept("e2", 0, acme, '"a"', '"b"')]
    assert inputs.keep(ledger, more, expires=clock.now() + 10**9) == 1
    subjects.erase(ledger, "acme")
    assert count(ledger) == 0
    assert inputs.keep(ledger, more, expires=clock.now() + 10**9) == 0


def test_an_erased_customer_leaves_no_byte(make: Callable[..., Caller], acme: str, ledger: Ledger) -> None:
    caller, log = logged(make)
    caller.predict("wombat-7731")
    log.close()
    assert subjects.erase(ledger, "acme")["erased"]["inputs"] == 1
    assert ledger.stores.path is not None
    for file in ledger.stores.path.parent.glob("*.sqlite*"):
        assert b"wombat-7731" not in file.read_bytes(), file.name


def test_rows_are_read_in_pages_and_by_time(acme: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PAGE_ROWS", 3)
    day = 86_400_000_000
    times = [clock.now() - (7 - number) * day for number in range(7)]
    ledger.record(Charge(acme, {"answers": 1}, id=f"e{number}", time=times[number]) for number in range(7))
    rows = [inputs.Kept(f"e{number}", item, acme, json.dumps(number), '"y"') for number in range(7) for item in (0, 1)]
    assert inputs.keep(ledger, rows, expires=clock.now() + day) == 14
    assert [(row["input"], row["item"]) for row in kept(ledger)] == [(n, item) for n in range(7) for item in (0, 1)]
    recent = inputs.page(ledger, since=clock.text(times[5]), after=["e4", 1])["rows"]
    assert [row["event"] for row in recent] == ["e5", "e5", "e6"]
    with pytest.raises(InputError, match="no customer"):
        inputs.page(ledger, customer="nobody")


def test_the_door_reads_through_the_owner_of_the_ledger(acme: str, ledger: Ledger) -> None:
    from breakeven.ledger.owner import Desk

    ledger.record([Charge(acme, {"answers": 1}, id="e1")])
    inputs.keep(ledger, [inputs.Kept("e1", 0, acme, '"a"', '{"label": "x"}')], expires=clock.now() + 10**9)
    desk = Desk(ledger, commands.COMMANDS)
    try:
        rows = list(commands.kept_inputs(str(ledger.stores.path)))
    finally:
        desk.close()
    assert [(row["input"], row["output"], row["feedback"]) for row in rows] == [("a", {"label": "x"}, [])]


def test_consent_is_a_truth_value() -> None:
    with pytest.raises(InputError, match="no consent"):
        Terms.from_json({"consent": "yes"})


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_larger_share_holds_a_smaller_one(one: float, other: float) -> None:
    small, large = sorted((one, other))
    events = [f"{number:028x}" for number in range(300)]
    inside = {event for event in events if drawn(event, small)}
    assert inside <= {event for event in events if drawn(event, large)}
    assert abs(len(inside) / 300 - small) < 0.15


def test_metrics_tell_what_became_of_the_cases(make: Callable[..., Caller], acme: str) -> None:
    caller = make(EchoPackage(Task()))
    caller.service.inputs = InputLog(caller.service.ledger, Keep(), caller.service.watch.kept)
    caller.predict("a", "b")
    caller.service.inputs.close()
    page = asyncio.run(caller.send("GET", "/metrics")).body.decode()
    assert 'breakeven_inputs_total{outcome="kept"} 2.0' in page
