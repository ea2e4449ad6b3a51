from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from breakeven.ledger import open_ledger
from breakeven.serving.app import create_app
from tests.serving.conftest import Caller
from tests.serving.fakes import EchoPackage


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """One server for the whole page: none of these requests may leave a trace."""
    with open_ledger(tmp_path_factory.mktemp("requests") / "ledger.sqlite") as ledger:
        ledger.customers.add("acme")
        service = create_app(EchoPackage(), None, ledger)
        yield Caller(service, ledger.keys.create("acme")[0])
        service.close()


def charged(call: Caller) -> int:
    return call.service.ledger.writer.head.seq


@pytest.mark.parametrize(
    ("method", "allowed"), [("GET", "POST"), ("PUT", "POST"), ("TRACE", "POST"), ("OPTIONS", "POST")]
)
def test_a_wrong_method_names_the_right_ones(call: Caller, method: str, allowed: str) -> None:
    answer = call(method, "/v1/predict")
    assert (answer.status, answer.headers["allow"], answer.error["code"]) == (405, allowed, "method-not-allowed")


def test_head_is_get_without_a_body(call: Caller) -> None:
    answer = call("HEAD", "/livez")
    assert (answer.status, answer.body) == (200, b"")
    assert call("POST", "/livez", {}).headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "",
        None,
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
    ],
)
def test_a_wrong_type_is_415(call: Caller, kind: str | None) -> None:
    answer = call("POST", "/v1/predict", {"inputs": ["a"]}, content_type=kind)
    assert (answer.status, answer.error["code"]) == (415, "body-type")


def test_a_compressed_body_is_415(call: Caller) -> None:
    assert call("POST", "/v1/predict", {"inputs": ["a"]}, content_encoding="gzip").status == 415


@pytest.mark.parametrize(
    ("accept", "status"),
    [("text/html", 406), ("application/json", 200), ("text/html, */*", 200), ("application/*;q=0.5", 200)],
)
def test_answers_are_json_or_refused(call: Caller, accept: str, status: int) -> None:
    assert call.predict("a", accept=accept).status == status


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "json-broken"),
        (b"{", 400, "json-broken"),
        (b"{} {}", 400, "json-broken"),
        (b'{"inputs": NaN}', 400, "json-broken"),
        (b'{"inputs": [1e999]}', 400, "json-number"),
        (b'{"inputs": [' + b"9" * 5000 + b"]}", 400, "json-number"),
        (b'{"inputs": [' + b"9" * 41 + b"]}", 400, "json-number"),
        (b"[" * 100_000, 400, "json-deep"),
        (b'{"a":' * 100_000, 400, "json-deep"),
        (b'{"inputs": ["\xff"]}', 400, "json-encoding"),
        (b'\xef\xbb\xbf{"inputs": ["a"]}', 400, "json-broken"),
        (b'{"inputs": ["a"], "inputs": ["b"]}', 422, "json-doubled"),
        (b'{"inputs": ["a\\ud800"]}', 422, "json-character"),
        (b'{"inputs": ["\\uDFFF"]}', 422, "json-character"),
        (b'{"inputs": ["a\\u0000b"]}', 422, "json-character"),
        (b"[]", 422, "body-not-object"),
        (b"{}", 422, "body-field"),
        (b'{"inputs": "a"}', 422, "body-field"),
        (b'{"inputs": []}', 422, "inputs-count"),
        (b'{"inputs": ["a"], "stream": 1}', 422, "body-field"),
        (b'{"inputs": [1]}', 422, "input-not-text"),
        (b'{"inputs": ["a"], "role": "admin"}', 422, "body-unknown-field"),
        (b'{"inputs": ["a"], "price": 0, "tenant_id": "A"}', 422, "body-unknown-field"),
    ],
)
def test_bad_bodies_are_named(call: Caller, body: bytes, status: int, code: str) -> None:
    before, started = charged(call), time.process_time()
    answer = call("POST", "/v1/predict", body)
    assert (answer.status, answer.error["code"]) == (status, code)
    assert time.process_time() - started < 0.5
    assert charged(call) == before


def test_brackets_and_escapes_inside_texts_are_texts(call: Caller) -> None:
    text = "[" * 500 + '\\"{' * 500 + "\\"
    assert call.predict(text, "\\ud800 is text").json["outputs"][0] == {"echo": text}
    assert call("POST", "/v1/predict", b'{"inputs": ["\\ud83d\\ude00"]}').json["outputs"] == [{"echo": "\U0001f600"}]


def test_the_field_names_the_input(call: Caller) -> None:
    assert call.predict("a", "b", 3).error["param"] == "inputs[2]"


def test_too_many_inputs_name_the_limit(call: Caller) -> None:
    answer = call.predict(*["a"] * 65)
    assert (answer.status, answer.error["param"]) == (422, "inputs")
    assert "64" in answer.error["message"]


def test_a_large_body_is_refused_by_its_length_before_it_is_read(call: Caller) -> None:
    answer = call("POST", "/v1/predict", b"", content_length=str(10 << 20))
    assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_a_large_body_without_a_length_is_refused_while_it_is_read(call: Caller) -> None:
    read: list[bytes] = [b"x" * 65536] * 400
    answer = call("POST", "/v1/predict", chunks=read)
    assert (answer.status, answer.headers["connection"]) == (413, "close")


def test_a_body_in_pieces_is_a_body(call: Caller) -> None:
    assert call("POST", "/v1/predict", chunks=[b'{"inp', b'uts": ["a"', b"]}"]).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/v1//predict",
        "/v1/predict/",
        "/v1/%2e%2e/predict",
        "/v1/predict%00",
        "/v1/predict;x=1",
        "/../v1/predict",
        "/%76%31/predict",
        "/V1/predict",
    ],
)
def test_no_other_path_reaches_a_route(call: Caller, path: str) -> None:
    assert call("POST", path, {"inputs": ["a"]}).status == 404


def test_a_long_path_is_414(call: Caller) -> None:
    assert call("GET", "/" + "a" * 9000).status == 414
    assert call("GET", "/livez?" + "a" * 9000).status == 414


def test_every_answer_has_safe_headers_and_no_cors(call: Caller) -> None:
    for answer in (
        call.predict("a", origin="https://evil.example"),
        call("GET", "/nothing"),
        call("OPTIONS", "/v1/predict"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"] == "application/json"
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("a" * 101, False), ("a b", False), ("a\r\nb: c", False)]
)
def test_a_request_id_is_kept_if_it_is_harmless(call: Caller, given: str, kept: bool) -> None:
    assert (call("GET", "/livez", x_request_id=given).headers["x-request-id"] == given) is kept


def test_made_request_ids_never_repeat(call: Caller) -> None:
    made = [call("GET", "/livez").headers["x-request-id"] for _ in range(600)]  # more than are drawn at once
    assert len(set(made)) == 600
    assert all(re.fullmatch("req_[0-9a-f]{24}", one) for one in made)


def test_a_defect_says_nothing_of_the_inside(call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    answer = call.predict("boom")
    assert "Traceback" not in answer.body.decode()
    assert answer.error["request_id"] in caplog.text


def test_unknown_websockets_are_closed(call: Caller) -> None:
    import asyncio

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(call.service({"type": "websocket"}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1000}]
