from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from breakeven.ledger import Ledger
from breakeven.ledger.customers import Terms
from tests.serving.conftest import Answer, Caller
from tests.serving.fakes import EchoPackage, FakeTask, Stateful, Streaming, TwoMeters

Make = Callable[..., Caller]


def test_an_answer_is_metered_priced_and_in_the_ledger(call: Caller, ledger: Ledger) -> None:
    answer = call.predict("a", "b", "c")
    assert answer.status == 200
    found = answer.json
    assert found["outputs"] == [{"echo": "a"}, {"echo": "b"}, {"echo": "c"}]
    assert found["usage"] == [{"meter": "answers", "quantity": 3}]
    assert (found["price"], found["currency"], found["model"]) == ("0.012", "USD", "echo")
    (row,) = ledger.usage()
    assert (row["quantity"], row["price"], row["events"]) == (3, "0.012", 1)


def test_quantities_come_from_the_task_meter_by_meter(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(TwoMeters()), rates={"answers": "0.004", "input_tokens": "0.000001"})
    found = call.predict("one two three", "four").json
    assert {row["meter"]: row["quantity"] for row in found["usage"]} == {"answers": 2, "input_tokens": 4}
    assert Decimal(found["price"]) == Decimal("0.008004")
    assert {row["meter"]: row["quantity"] for row in ledger.usage()} == {"answers": 2, "input_tokens": 4}


def test_without_a_price_the_answer_is_counted_and_free(make: Make, ledger: Ledger) -> None:
    found = make(rates={}).predict("a").json
    assert found["price"] is None
    assert "currency" not in found
    assert ledger.usage()[0]["quantity"] == 1


def test_the_charge_is_on_the_disk_before_the_answer(call: Caller, ledger: Ledger) -> None:
    found = call.predict("a").json
    with ledger.stores.reading.connect() as connection:
        row = connection.exec_driver_sql("SELECT id, quantities FROM events").one()
    assert tuple(row) == (found["id"], '{"answers":1}')


def test_a_repeated_request_is_answered_again_and_charged_once(call: Caller, ledger: Ledger) -> None:
    first = call.predict("a", idempotency_key="k")
    second = call.predict("a", idempotency_key="k")
    assert first.body == second.body
    assert second.headers["idempotent-replayed"] == "true"
    assert sum(row["events"] for row in ledger.usage()) == 1


def test_another_body_under_the_same_key_is_refused(call: Caller) -> None:
    call.predict("a", idempotency_key="k")
    refused = call.predict("b", idempotency_key="k")
    assert (refused.status, refused.error["code"]) == (422, "idempotency-other-body")


def test_a_thousand_uses_of_one_key_at_once_are_one_charge(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(seconds=0.01))

    async def crowd() -> list[Any]:
        return await asyncio.gather(
            *(call.send("POST", "/v1/predict", {"inputs": ["a"]}, idempotency_key="same") for _ in range(1000))
        )

    answers = asyncio.run(crowd())
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert sum(row["events"] for row in ledger.usage()) == 1


def test_a_failed_request_may_be_tried_again_under_its_key(call: Caller, ledger: Ledger) -> None:
    assert call.predict("boom", idempotency_key="k").status == 500
    assert call.predict("boom", idempotency_key="k").status == 500
    assert ledger.usage() == []


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb", "schlüssel"])
def test_an_idempotency_key_has_a_form(call: Caller, key: str) -> None:
    assert call.predict("a", idempotency_key=key).status == 400


@pytest.mark.parametrize(("package", "code"), [("boom", "internal"), ("nan", "answer-broken")])
def test_a_model_that_fails_is_our_fault_and_free(call: Caller, ledger: Ledger, package: str, code: str) -> None:
    answer = call.predict("fine", package)
    assert (answer.status, answer.error["code"]) == (500, code)
    assert "boom" not in answer.body.decode()
    assert ledger.usage() == []


def test_a_quota_is_kept_by_the_server(call: Caller, ledger: Ledger) -> None:
    ledger.customers.set_terms("acme", Terms(quotas={"answers": 3}))
    assert call.predict("a", "b").status == 200
    refused = call.predict("a", "b")
    assert (refused.status, refused.error["code"]) == (429, "quota-exhausted")
    assert int(refused.headers["retry-after"]) > 0
    assert call.predict("a").status == 200
    assert ledger.usage()[0]["quantity"] == 3


def test_a_stopped_ledger_answers_nothing(call: Caller, ledger: Ledger) -> None:
    from breakeven.errors import EnvironmentFault

    ledger.writer.fault = EnvironmentFault("ledger-stopped", reason="disk I/O error")
    answer = call.predict("a")
    assert (answer.status, answer.error["code"]) == (503, "ledger-stopped")
    assert "retry-after" in answer.headers
    assert call("GET", "/readyz").status == 503
    ledger.writer.fault = None


def test_a_streamed_answer_comes_in_parts_and_is_charged_once(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(Streaming()), rates={"output_tokens": "0.01"})
    answer = call("POST", "/v1/predict", {"inputs": ["one two three"], "stream": True})
    events = [
        json.loads(line.removeprefix("data: "))
        for line in answer.body.decode().split("\n\n")
        if line and not line.endswith("[DONE]")
    ]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [event["part"] for event in events[:-1]] == ["one", "two", "three"]
    assert events[-1]["price"] == "0.03"
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert {row["meter"]: row["quantity"] for row in ledger.usage()} == {"answers": 1, "output_tokens": 3}


def test_a_client_that_leaves_a_stream_pays_for_what_was_sent(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(Streaming(), seconds=0.02))
    call("POST", "/v1/predict", {"inputs": ["word " * 200], "stream": True}, leave_after=3)
    quantity = {row["meter"]: row["quantity"] for row in ledger.usage()}["output_tokens"]
    assert 3 <= quantity < 50


def test_streams_are_counted_by_release(make: Make) -> None:
    call = make(EchoPackage(Streaming()))
    for text in ("a b", "a boom"):
        call("POST", "/v1/predict", {"inputs": [text], "stream": True})
    page = call("GET", "/metrics").body.decode()
    for outcome in ("answered", "failed"):
        assert f'breakeven_release_requests_total{{outcome="{outcome}",release="echo"}} 1.0' in page


def test_a_stream_that_breaks_says_so_inside(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(Streaming()))
    answer = call("POST", "/v1/predict", {"inputs": ["one boom"], "stream": True})
    assert b'"code":"internal"' in answer.body.replace(b"\\", b"")
    assert {row["meter"]: row["quantity"] for row in ledger.usage()}["output_tokens"] == 1


def test_what_does_not_stream_says_so(call: Caller) -> None:
    answer = call("POST", "/v1/predict", {"inputs": ["a"], "stream": True})
    assert (answer.status, answer.error["param"]) == (422, "stream")


def test_a_session_is_state_in_and_state_out(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(Stateful()))
    state = call("POST", "/v1/session/start", {"seed": 5}).json["state"]
    for word in ("ab", "cde"):
        found = call("POST", "/v1/session/step", {"state": state, "observation": word}).json
        state = found["state"]
    assert state == {"steps": 2, "sum": 10}
    assert found["outputs"] == [{"sum": 10}]
    assert ledger.usage()[0]["quantity"] == 2
    broken = call("POST", "/v1/session/step", {"state": {"mine": 1}, "observation": "a"})
    assert (broken.status, broken.error["param"]) == (422, "state")


def test_without_a_policy_there_are_no_sessions(call: Caller) -> None:
    assert call("POST", "/v1/session/start", {}).error["code"] == "session-not-offered"


def test_feedback_is_kept_for_an_answer_of_ones_own(call: Caller, ledger: Ledger) -> None:
    answered = call.predict("a", "b").json["id"]
    assert call("POST", "/v1/feedback", {"id": answered, "index": 1, "correct": False}).status == 200
    assert ledger.feedback.list()[0]["index"] == 1
    assert call("POST", "/v1/feedback", {"id": answered, "index": 2, "correct": False}).status == 422
    assert call("POST", "/v1/feedback", {"id": "nothing", "correct": False}).status == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"id": 5, "correct": True}, "id"),
        ({"id": "x"}, "correct"),
        ({"id": "x", "correct": "yes"}, "correct"),
        ({"id": "x", "correct": True, "index": True}, "index"),
        ({"id": "x", "rating": "5"}, "rating"),
        ({"id": "x", "label": "l" * 1001}, "label"),
        ({"id": "x", "correct": True, "tenant_id": "A"}, "tenant_id"),
    ],
)
def test_feedback_has_a_shape(call: Caller, body: dict[str, Any], param: str) -> None:
    answer = call("POST", "/v1/feedback", body)
    assert (answer.status, answer.error["param"]) == (422, param)


def test_usage_over_the_wire_is_the_customers_own(call: Caller, ledger: Ledger) -> None:
    call.predict("a")
    ledger.customers.add("other")
    secret, _ = ledger.keys.create("other")
    other = Caller(call.service, secret)
    other.predict("b", "c")
    assert [row["quantity"] for row in call("GET", "/v1/usage").json["usage"]] == [1]
    assert [row["quantity"] for row in other("GET", "/v1/usage").json["usage"]] == [2]
    assert other("GET", "/v1/usage?start=2999-01-01").json["usage"] == []
    assert call("GET", "/v1/usage?start=soon").status == 422
    assert call("GET", "/v1/usage?customer=acme").error["param"] == "customer"


def test_models_and_the_openapi_document_tell_the_task(make: Make) -> None:
    call = make(EchoPackage(TwoMeters()))
    (model,) = call("GET", "/v1/models").json["data"]
    assert (model["id"], model["meters"]) == ("echo", ["answers", "input_tokens"])
    document = call("GET", "/openapi.json").json
    assert document["components"]["schemas"]["Input"] == FakeTask().input_schema({})
    assert document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["examples"]


def test_every_route_is_in_the_document_and_every_answer_keeps_it(make: Make) -> None:
    import jsonschema

    from breakeven.serving.app import ROUTES

    call = make(EchoPackage(Stateful()))
    document = call("GET", "/openapi.json").json
    not_offered = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"}
    assert set(document["paths"]) == set(ROUTES) - {"/openapi.json", "/docs"} - not_offered
    schema = document["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(call.predict("a").json, {**schema, "components": document["components"]})


def test_the_page_to_read_loads_nothing_from_anywhere(call: Caller) -> None:
    answer = call("GET", "/docs", accept="text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert b"POST /v1/predict" in answer.body
    assert b"http" not in answer.body.replace(b'"type": "http"', b"")


def test_probes_and_figures_need_no_key(call: Caller) -> None:
    call.predict("a", "b")
    assert call("GET", "/livez", authorization=None).status == 200
    assert call("GET", "/readyz", authorization=None).json["model"] == "echo"
    page = call("GET", "/metrics", authorization=None).body.decode()
    assert 'breakeven_units_total{meter="answers"} 2.0' in page
    assert 'breakeven_requests_total{route="predict",status="200"} 1.0' in page


def test_labels_of_figures_are_bounded(call: Caller) -> None:
    for number in range(50):
        call("GET", f"/v1/nowhere/{number}")
    page = call("GET", "/metrics").body.decode()
    assert page.count("breakeven_requests_total{") == 1
    assert 'route="other",status="404"' in page


def test_a_draining_server_refuses_and_charges_nothing(call: Caller, ledger: Ledger) -> None:
    call.service.draining = True
    answer = call.predict("a")
    assert (answer.status, answer.headers["connection"]) == (503, "close")
    assert call("GET", "/readyz").status == 503
    assert ledger.usage() == []


def test_a_model_that_hangs_holds_nobody_past_the_deadline(make: Make, ledger: Ledger) -> None:
    hold = threading.Event()
    call = make(EchoPackage(hold=hold), request_seconds=0.1, stuck_seconds=0.2)
    answer = call.predict("a")  # it comes though the model is still held
    assert (answer.status, answer.error["code"]) == (504, "deadline-passed")
    ready = until(lambda: call("GET", "/readyz"), lambda answer: answer.status == 503)
    assert "has not answered" in ready.json["reason"]
    hold.set()
    assert until(lambda: call("GET", "/readyz"), lambda answer: answer.status == 200).status == 200
    assert ledger.usage() == []


def until(ask: Callable[[], Answer], holds: Callable[[Answer], bool]) -> Answer:
    """The first answer that holds, or the last of ten seconds."""
    late = time.monotonic() + 60
    while not holds(answer := ask()) and time.monotonic() < late:
        time.sleep(0.02)
    return answer
