"""What a client can write into a request to get an answer twice, for nothing, or the server's defects told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from breakeven.ledger import Ledger
from breakeven.ledger.customers import Terms
from breakeven.serving import promises
from breakeven.serving.access import guesser
from breakeven.serving.intake import Intake
from breakeven.serving.promises import MOST_REMARKS
from breakeven.serving.wire import HttpError
from tests.serving.conftest import Answer, Caller
from tests.serving.fakes import EchoPackage, Stateful, Streaming

Make = Callable[..., Caller]
TENSOR = {"name": "input", "datatype": "BYTES", "shape": [1], "data": ["a"]}


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/v1/usage"])
def test_a_query_of_very_many_fields_is_refused(call: Caller, path: str) -> None:
    answer = call("GET", f"{path}?" + "&".join(f"a{n}=1" for n in range(60)))
    assert (answer.status, answer.error["code"]) == (400, "query-fields")


def test_a_key_used_at_one_address_is_not_answered_at_another(call: Caller, ledger: Ledger) -> None:
    """The same bytes may be a request to both; the answer of one is none of the other."""
    model = call.service.current.name
    first = call("POST", f"/v2/models/{model}/infer", {"inputs": [TENSOR]}, idempotency_key="k")
    other = call("POST", f"/v2/models/{model}/versions/1/infer", {"inputs": [TENSOR]}, idempotency_key="k")
    again = call("POST", f"/v2/models/{model}/infer", {"inputs": [TENSOR]}, idempotency_key="k")
    assert (first.status, again.status, other.status) == (200, 200, 422)
    assert other.error["code"] == "idempotency-other-body"
    assert again.body == first.body
    assert len(ledger.events()) == 1


def test_a_stream_promises_no_second_answer(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(Streaming()))
    asked = {"inputs": ["a b"], "stream": True}
    answer = call("POST", "/v1/predict", asked, idempotency_key="k")
    assert (answer.status, answer.error["code"], answer.error["param"]) == (
        422,
        "idempotency-not-here",
        "Idempotency-Key",
    )
    assert not ledger.events()
    assert call("POST", "/v1/predict", asked).status == 200


def test_a_step_of_a_session_promises_no_second_answer(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(Stateful()))
    step = {"state": {"steps": 0, "sum": 0}, "observation": "a"}
    answer = call("POST", "/v1/session/step", step, idempotency_key="k")
    assert (answer.status, answer.error["code"]) == (422, "idempotency-not-here")
    assert not ledger.events()


class Looking(EchoPackage):
    """Looks at how many bytes are held while it answers."""

    def raw(self, inputs: list[str]) -> list[str]:
        self.seen = self.look()
        return super().raw(inputs)

    look: Callable[[], int]
    seen = 0


def test_bodies_are_counted_from_their_arrival_to_their_answer(make: Make) -> None:
    package = Looking()
    call = make(package)
    package.look = lambda: call.service.intake.held
    pieces = [b'{"inp', b'uts": ["a"', b"]}"]
    assert call("POST", "/v1/predict", chunks=pieces).status == 200
    assert (package.seen, call.service.intake.held) == (len(b"".join(pieces)), 0)


def test_who_is_refused_in_mid_body_leaves_nothing_counted(call: Caller) -> None:
    call.service.intake = Intake(100)
    answer = call("POST", "/v1/predict", chunks=[b"x" * 40, b"x" * 40])
    assert (answer.status, answer.error["code"], answer.headers["connection"]) == (503, "overloaded", "close")
    assert call.service.intake.held == 0


def test_one_key_takes_half_of_the_room_for_bodies() -> None:
    intake = Intake(100)
    intake.take("a", 50)
    with pytest.raises(HttpError, match="more work"):
        intake.take("a", 1)
    intake.take("b", 50)
    with pytest.raises(HttpError, match="more work"):
        intake.take("c", 1)
    intake.give("a", 20)
    intake.take("c", 20)
    for lane, size in (("a", 30), ("b", 50), ("c", 20)):
        intake.give(lane, size)
    assert intake.held == 0


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/session/step", "/v1/feedback"])
def test_an_error_is_no_echo(call: Caller, path: str) -> None:
    """What was told is remembered for a while: a client's own text would fill the memory, 512 times."""
    name = "Z" * 20_000
    for body in ({name: "\ud800"}, {"inputs": [{name: {name: "\0"}}]}, {"inputs": ["a"], "model": name}, {name: 1}):
        answer = call("POST", path, body)
        assert answer.status in (404, 422)
        assert len(answer.body) < 2000
        assert answer.error["message"]


def test_an_answer_is_spoken_about_a_bounded_number_of_times(call: Caller, ledger: Ledger) -> None:
    """A remark is free and lies on the disk for long: a thousand on one answer are no opinion."""
    first, other = (call.predict("a").json["id"] for _ in range(2))
    statuses = [call("POST", "/v1/feedback", {"id": first, "correct": True}).status for _ in range(MOST_REMARKS + 2)]
    assert statuses == [200] * MOST_REMARKS + [429] * 2
    answer = call("POST", "/v1/feedback", {"id": first, "correct": True})
    assert answer.error["code"] == "feedback-enough"
    assert call("POST", "/v1/feedback", {"id": other, "correct": True}).status == 200
    assert len(ledger.feedback.list()) == MOST_REMARKS + 1


def test_what_was_said_of_very_many_answers_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promises, "_KNOWN_ANSWERS", 2)
    remarks = promises.Remarks()
    for _ in range(MOST_REMARKS):
        remarks.count("a", None)
    with pytest.raises(HttpError, match="20 remarks"):
        remarks.check("a", None)
    for event in "bc":
        remarks.count(event, 0)
    remarks.check("a", None)


class Wordy(Streaming):
    """Each answer may have up to four parts."""

    def most(self, item: str) -> dict[str, int]:
        return {"output_tokens": 4}


def test_many_at_once_pass_no_limit_together(make: Make, ledger: Ledger) -> None:
    """Ten tokens are left, each answer may have four: two are computed, and none that would not fit any more."""
    ledger.customers.set_terms("acme", Terms(quotas={"output_tokens": 10}))
    call = make(EchoPackage(Wordy(), seconds=0.02))

    async def work() -> list[Answer]:
        asked = {"inputs": ["a b c d"], "stream": True}
        return list(await asyncio.gather(*(call.send("POST", "/v1/predict", asked) for _ in range(8))))

    answers = asyncio.run(work())
    assert sorted(answer.status for answer in answers) == [200] * 2 + [429] * 6
    assert {row["meter"]: row["quantity"] for row in ledger.usage()} == {"answers": 2, "output_tokens": 8}


def test_a_stream_that_cannot_be_counted_gives_its_share_back(make: Make, ledger: Ledger) -> None:
    class Broken(EchoPackage):
        def usage(self, inputs: list[str], outputs: list[object]) -> dict[str, int]:
            raise ValueError("a defect")

    ledger.customers.set_terms("acme", Terms(quotas={"answers": 1}))
    call = make(Broken(Streaming()))
    for _ in range(3):
        call("POST", "/v1/predict", {"inputs": ["a"], "stream": True})
    assert ledger.admit(ledger.keys.list("acme")[0], {"answers": 1}, call.service.plan)


def test_a_key_that_is_revoked_ends_its_stream_and_pays_for_what_was_sent(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(Streaming(), seconds=0.05))

    async def work() -> Answer:
        asked = {"inputs": ["word " * 200], "stream": True}
        stream = asyncio.ensure_future(call.send("POST", "/v1/predict", asked))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(ledger.keys.revoke, ledger.keys.list("acme")[0].id)
        return await asyncio.wait_for(stream, 8)

    answer = asyncio.run(work())
    assert b'"code":"key-revoked"' in answer.body
    (used,) = [row["quantity"] for row in ledger.usage() if row["meter"] == "output_tokens"]
    assert 1 <= used == answer.body.count(b'"part"') < 100


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
def test_figures_of_money_are_not_for_who_comes_through_a_proxy(call: Caller, ledger: Ledger, header: str) -> None:
    name = header.replace("-", "_")
    assert call("GET", "/metrics", authorization=None).status == 200
    assert call("GET", "/metrics", authorization=None, **{name: "203.0.113.9"}).status == 401
    assert call("GET", "/metrics", **{name: "203.0.113.9"}).status == 403
    admin = Caller(call.service, ledger.keys.create("acme", scopes=["admin"])[0])
    assert admin("GET", "/metrics", **{name: "203.0.113.9"}).status == 200


def test_a_key_in_the_address_is_refused_though_the_header_has_one_too(call: Caller) -> None:
    answer = call("POST", f"/v1/predict?key={call.secret}", {"inputs": ["a"]})
    assert (answer.status, answer.error["code"]) == (401, "key-in-query")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("?", "?", True),
        (":odd", ":odd", True),
    ],
)
def test_who_guesses_is_known_by_the_network_that_is_theirs(one: str, other: str, same: bool) -> None:
    assert (guesser(one) == guesser(other)) is same
