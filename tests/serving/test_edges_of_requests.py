"""What a client can write into a request to get an answer twice, for nothing, or the server's defects told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from breakeven.ledger import Ledger
from breakeven.serving.intake import Intake
from breakeven.serving.wire import HttpError
from tests.serving.conftest import Caller
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
