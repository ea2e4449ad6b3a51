"""Binary tensors of the Open Inference Protocol: the same answers as JSON; a length that cannot be is refused."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.serving.binary_tensors import FORMATS, HEADER, KIND, filled, joined, split
from breakeven.serving.tensors import Layout, Tensor, payloads, written
from breakeven.serving.wire import HttpError
from tests.conformance.test_contract import ENTRIES
from tests.serving.conftest import Answer, Caller

Make = Callable[..., Caller]
TEXT = {"name": "input", "datatype": "BYTES", "shape": [2]}
PATH = "/v2/models/echo/infer"


def texts(*values: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def request(data: bytes, tensor: dict[str, Any] | None = None, **more: Any) -> tuple[bytes, str]:
    """(body, header) of one tensor of bytes."""
    one = {**(tensor or TEXT), "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [one], **more}).encode()
    return head + data, str(len(head))


def ask(call: Caller, body: bytes, length: str | None, path: str = PATH, **headers: Any) -> Answer:
    kind = headers.pop("content_type", KIND)
    given = {} if length is None else {HEADER.replace("-", "_"): length}
    return call("POST", path, body, content_type=kind, **given, **headers)


def read(answer: Answer) -> tuple[dict[str, Any], bytes]:
    """(JSON object, bytes behind it) of an answer."""
    length = int(answer.headers[HEADER])
    return json.loads(answer.body[:length]), answer.body[length:]


def test_the_server_names_the_extension(call: Caller) -> None:
    assert call("GET", "/v2").json["extensions"] == ["binary_tensor_data"]


@pytest.mark.parametrize("kind", [KIND, "application/json", None])
def test_texts_as_bytes_are_answered_as_texts_in_json(call: Caller, kind: str | None) -> None:
    body, length = request(texts("grüß".encode(), b"b"))
    answer = ask(call, body, length, content_type=kind)
    plain = call("POST", PATH, {"inputs": [{**TEXT, "data": ["grüß", "b"]}]})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["outputs"] == plain.json["outputs"]
    assert answer.json["outputs"][0]["data"] == ["grüß", "b"]


def test_answers_come_as_bytes_where_they_are_wanted_so(make: Make, tmp_path: Any) -> None:
    call = make(ENTRIES["naive-bayes"].package(tmp_path))
    path = "/v2/models/one/infer"
    plain = call("POST", path, {"inputs": [{**TEXT, "data": ["good", "bad"]}]}).json["outputs"]
    wanted = [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}]
    body, length = request(texts(b"good", b"bad"), parameters={"binary_data_output": True}, outputs=wanted)
    answer = ask(call, body, length, path)
    assert (answer.status, answer.headers["content-type"]) == (200, KIND)
    found, rest = read(answer)
    expected = {output["name"]: output for output in plain}
    label, probabilities = found["outputs"]
    assert label == expected["label"] and "data" not in probabilities
    assert probabilities["parameters"] == {**expected["probabilities"]["parameters"], "binary_data_size": len(rest)}
    assert list(struct.unpack("<4d", rest)) == expected["probabilities"]["data"]


def test_bytes_may_be_wanted_of_a_request_in_json_and_a_retry_gets_the_same(call: Caller) -> None:
    asked = {"inputs": [{**TEXT, "data": ["a", "b"]}], "parameters": {"binary_data_output": True}}
    first, again = (call("POST", PATH, asked, idempotency_key="k") for _ in range(2))
    assert read(first)[1] == texts(b"a", b"b") == read(again)[1]
    assert again.headers["idempotent-replayed"] == "true" and again.body == first.body
    assert (again.headers["content-type"], again.headers[HEADER]) == (KIND, first.headers[HEADER])


def test_files_are_sent_as_they_are(make: Make, tmp_path: Any) -> None:
    call = make(ENTRIES["pictures"].package(tmp_path))
    picture = bytes(range(256))
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    names = {item["name"] for item in call("GET", "/v2/models/one").json["inputs"]}
    assert "image" in names
    body, length = request(texts(picture), tensor)
    as_json = call("POST", "/v1/predict", {"inputs": [{"image": base64.b64encode(picture).decode()}]})
    answer = ask(call, body, length, "/v2/models/one/infer")
    assert (answer.status, as_json.status) == (200, 200), answer.body
    found = {output["name"]: output["data"][0] for output in answer.json["outputs"]}
    assert found["bytes"] == 256 and found.items() <= as_json.json["outputs"][0].items()


def test_a_request_is_charged_like_any_other(call: Caller) -> None:
    body, length = request(texts(b"a", b"b"))
    found = ask(call, body, length).json["parameters"]
    assert (found["usage_answers"], found["price"]) == (2, "0.008")


GOOD, LENGTH = request(texts(b"a", b"b"))
HEAD = int(LENGTH)


@pytest.mark.parametrize(
    ("body", "length", "status", "param"),
    [
        (GOOD, "0", 400, HEADER),
        (GOOD, "-1", 400, HEADER),
        (GOOD, "1e2", 400, HEADER),
        (GOOD, "²", 400, HEADER),
        (GOOD, "9" * 5000, 400, HEADER),
        (GOOD, str(len(GOOD) + 1), 400, HEADER),
        (GOOD, str(HEAD - 1), 400, None),
        (GOOD, str(HEAD + 1), 400, None),
        (GOOD, str(len(GOOD)), 400, None),
        (GOOD + b"x", LENGTH, 400, "inputs"),
        (GOOD[:-1], LENGTH, 422, "inputs[0].parameters.binary_data_size"),
        (*request(b"\xff\xff\xff\xff" + b"a"), 422, "inputs[0].data[0]"),
        (*request(texts(b"a") + b"\1\0"), 422, "inputs[0].data[1]"),
        (*request(texts(b"a")), 422, "inputs[0].shape"),
        (*request(texts(b"a", b"\xff")), 422, "inputs[0].data[1]"),
        (*request(texts(b"a", b"\0")), 422, "inputs[0].data[1]"),
        (*request(b"12345678", {**TEXT, "datatype": "FP64"}), 422, "inputs[0].datatype"),
        (*request(b"123", {**TEXT, "datatype": "INT32"}), 422, "inputs[0].parameters.binary_data_size"),
        (*request(b"123", {**TEXT, "datatype": "COMPLEX"}), 422, "inputs[0].datatype"),
        (*request(texts(b"a", b"b"), {**TEXT, "data": ["a", "b"]}), 422, "inputs[0].data"),
        (*request(texts(b"a", b"b"), parameters={"binary_data_output": 1}), 422, "parameters.binary_data_output"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_the_protocols_shape(
    call: Caller, body: bytes, length: str, status: int, param: str | None
) -> None:
    answer = call.service  # the service goes on after each
    found = ask(call, body, length) if length.isascii() else ask(call, body, length.encode().decode("latin-1"))
    assert (found.status, answer.ready()) == (status, None), found.body
    assert isinstance(found.json["error"], str) and found.error["param"] == param
    assert ask(call, GOOD, LENGTH).status == 200


def test_sizes_without_the_header_and_bytes_without_json_are_refused(call: Caller) -> None:
    size = {"inputs": [{**TEXT, "parameters": {"binary_data_size": 10}}]}
    assert call("POST", PATH, size).error["param"] == "inputs[0].parameters.binary_data_size"
    assert ask(call, GOOD, None).status == 415
    for wrong in (-1, 1.5, "10", True, None):
        size["inputs"][0]["parameters"]["binary_data_size"] = wrong  # type: ignore[index]
        assert call("POST", PATH, size).status == 422
    assert call("POST", "/v1/predict", b"{}", content_type=KIND, inference_header_content_length="2").status == 415


@given(st.data(), st.sampled_from(sorted(FORMATS)))
def test_numbers_survive_both_ways(data: Any, datatype: str) -> None:
    low, high = (0, 255) if datatype.startswith("U") else (-128, 127)
    number = st.floats(width=16, allow_nan=False, allow_infinity=False) if datatype.startswith("FP") else (
        st.booleans() if datatype == "BOOL" else st.integers(low, high))  # fmt: skip
    values = data.draw(st.lists(number, max_size=20))
    binary = joined(
        {"outputs": [{"name": "x", "datatype": datatype, "shape": [len(values)], "data": values}]}, {None: True}
    )
    head = json.loads(binary[: binary.index(b"]}") + 2])
    rest = binary[binary.index(b"]}") + 2 :]
    assert filled(head["outputs"], rest)[0]["data"] == values


@given(st.binary(max_size=60), st.integers(0, 70), st.sampled_from(["BYTES", *FORMATS]))
def test_any_bytes_are_data_or_a_refusal(rest: bytes, size: int, datatype: str) -> None:
    tensor = {"name": "x", "datatype": datatype, "shape": [1], "parameters": {"binary_data_size": size}}
    try:
        found = filled([tensor], rest)
    except HttpError as error:
        assert error.status in (400, 422)
    else:
        assert size == len(rest) and isinstance(found[0]["data"], list)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_has_no_word_for_are_refused(value: float) -> None:
    layout = Layout((Tensor("x", "FP64"),), False)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}}
    with pytest.raises(HttpError, match="a valid number"):
        payloads(layout, filled([tensor], struct.pack("<f", value)))


def test_an_absent_value_stays_in_the_json_object() -> None:
    layout = Layout((Tensor("x", "FP64", required=False), Tensor("y", "FP64")), False)
    answer = {"outputs": written(layout, [{"y": 1.0}, {"x": 2.0, "y": 3.0}])}
    found = joined(answer, {None: True})
    head, rest = split(found, str(len(found) - 16))
    first, second = json.loads(head)["outputs"]
    assert first["data"] == [None, 2.0] and second["parameters"] == {"binary_data_size": 16}
    assert struct.unpack("<2d", rest) == (1.0, 3.0)
