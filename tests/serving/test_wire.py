from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.errors import BreakevenError, Busy, EnvironmentFault, InputError, Refused
from breakeven.serving.wire import DEEPEST, HttpError, error_response, read_json, status_of

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
)


@given(VALUES, st.booleans())
def test_what_is_json_is_read_as_it_is(value: Any, ascii_only: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        read_json(body)
    except HttpError as error:
        assert error.status in (400, 422)


@given(st.text(max_size=50))
def test_a_deep_nest_is_seen_behind_any_text(text: str) -> None:
    body = json.dumps(text).encode() + b"," if text else b""
    with pytest.raises(HttpError, match=f"at most {DEEPEST} levels"):
        read_json(b"[" + body + b"[" * DEEPEST + b"]" * DEEPEST + b"]")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (HttpError(418, "not-found"), 418),
        (Refused("key-unknown"), 401),
        (Refused("quota-exhausted"), 429),
        (InputError("input-empty"), 422),
        (InputError("request-not-found"), 404),
        (EnvironmentFault("ledger-busy"), 503),
        (Busy("ledger-owned"), 503),
        (BreakevenError("internal"), 500),
        (Refused("idempotency-expired"), 409),
    ],
)
def test_every_failure_has_its_status(error: BreakevenError, status: int) -> None:
    assert status_of(error) == status
    response = error_response(error, "req_1")
    found = json.loads(response.body)["error"]
    assert found["request_id"] == "req_1"
    assert (status == 503) <= ("retry-after" in {name.decode() for name, _ in response.headers})
