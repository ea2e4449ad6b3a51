from __future__ import annotations

import pytest

from breakeven.ledger import Ledger
from breakeven.ledger.customers import Terms
from breakeven.ledger.keys import new_secret
from breakeven.serving.access import Bucket
from tests.serving.conftest import Caller


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key-missing"),
        ("", "key-missing"),
        ("Bearer", "key-missing"),
        ("Bearer ", "key-missing"),
        ("Basic abc", "key-missing"),
        ("Bearer wrong", "key-malformed"),
        ("Bearer " + "a" * (1 << 20), "key-malformed"),
        ("Bearer schlüssel", "key-malformed"),
        (f"Bearer {new_secret()[1]}", "key-unknown"),
    ],
    ids=["none", "empty", "bare", "blank", "basic", "wrong", "a megabyte", "not ascii", "unknown"],
)
def test_no_key_no_answer(call: Caller, header: str | None, code: str) -> None:
    answer = call.predict("a", authorization=header)
    assert (answer.status, answer.error["code"], answer.headers["www-authenticate"]) == (401, code, "Bearer")


def test_a_key_in_the_address_is_refused(call: Caller) -> None:
    answer = call("POST", f"/v1/predict?key={call.secret}", {"inputs": ["a"]}, authorization=None)
    assert (answer.status, answer.error["code"]) == (401, "key-in-query")
    assert call.secret not in answer.body.decode()


def test_a_revoked_key_is_refused_at_the_next_request(call: Caller, ledger: Ledger) -> None:
    assert call.predict("a").status == 200
    ledger.keys.revoke(ledger.keys.list()[0].id)
    answer = call.predict("a")
    assert (answer.status, answer.error["code"]) == (401, "key-revoked")


@pytest.mark.parametrize(
    ("limits", "code"), [({"expires": "2020-01-01"}, "key-expired"), ({"not_before": "2999-01-01"}, "key-not-yet")]
)
def test_a_key_outside_its_time_is_401(call: Caller, ledger: Ledger, limits: dict[str, str], code: str) -> None:
    secret, _ = ledger.keys.create("acme", **limits)
    assert Caller(call.service, secret).predict("a").error["code"] == code


@pytest.mark.parametrize(
    ("scope", "path", "method"),
    [
        ("predict", "/v1/usage", "GET"),
        ("usage", "/v1/predict", "POST"),
        ("usage", "/v1/feedback", "POST"),
        ("feedback", "/v1/models", "GET"),
        ("usage", "/v1/session/start", "POST"),
        ("usage", "/v1/session/step", "POST"),
    ],
)
def test_a_key_may_only_do_what_it_was_made_for(
    call: Caller, ledger: Ledger, scope: str, path: str, method: str
) -> None:
    secret, _ = ledger.keys.create("acme", scopes=(scope,))
    answer = Caller(call.service, secret)(method, path, {})
    assert (answer.status, answer.error["code"]) == (403, "key-scope-missing")


def test_another_customers_request_does_not_exist(call: Caller, ledger: Ledger) -> None:
    mine = call.predict("a").json["id"]
    ledger.customers.add("other")
    other = Caller(call.service, ledger.keys.create("other")[0])
    answer = other("POST", "/v1/feedback", {"id": mine, "correct": False})
    unknown = other("POST", "/v1/feedback", {"id": "0" * 28, "correct": False})
    assert (answer.status, unknown.status) == (404, 404)
    assert answer.error["message"].replace(mine, "") == unknown.error["message"].replace("0" * 28, "")
    assert ledger.feedback.list() == []


def test_the_same_idempotency_key_of_two_customers_is_two_requests(call: Caller, ledger: Ledger) -> None:
    ledger.customers.add("other")
    other = Caller(call.service, ledger.keys.create("other")[0])
    one, two = (caller.predict("a", idempotency_key="k").json["id"] for caller in (call, other))
    assert one != two


def test_guessing_is_slowed_and_a_right_key_is_not(call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    statuses = [call.predict("a", authorization=f"Bearer {new_secret()[1]}").status for _ in range(100)]
    assert statuses[:50] == [401] * 50
    assert statuses[-10:] == [429] * 10
    assert call.predict("a").status == 200
    assert caplog.text.count("wrong API keys from 192.0.2.1") == 1


def test_a_rate_is_kept_and_told(call: Caller, ledger: Ledger) -> None:
    ledger.customers.set_terms("acme", Terms(requests_per_second=0.5, burst=3))
    answers = [call.predict("a") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[0].headers["x-ratelimit-limit-requests"] == "3"
    assert int(answers[3].headers["retry-after"]) in (1, 2)
    assert sum(row["events"] for row in ledger.usage()) == 3


def test_a_bucket_never_saves_more_than_its_burst_nor_goes_back() -> None:
    bucket = Bucket(rate=10, burst=5, tokens=5, seen=100.0)
    assert [bucket.take(100.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(100.0) == pytest.approx(0.1)
    assert bucket.take(99.0) > 0  # a clock that went back gives nothing
    assert [bucket.take(1e6) for _ in range(5)] == [0.0] * 5  # a machine that slept for days gets one burst
    assert bucket.take(1e6) > 0
