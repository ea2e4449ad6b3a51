"""The Open Inference Protocol, sentence by sentence of its specification (HTTP/REST, with JSON)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from tests.conformance.test_contract import ENTRIES
from tests.serving.conftest import Caller

Make = Callable[..., Caller]
TEXT, TEXTS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
SIZES = {"type": "array", "items": {"type": "integer"}}
TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {"name": TEXT, "datatype": TEXT, "shape": SIZES},
}
TYPES = {
    "BOOL",
    "BYTES",
    "FP16",
    "FP32",
    "FP64",
    *(f"{sign}INT{size}" for sign in ("", "U") for size in (8, 16, 32, 64)),
}


def says(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


SERVER = says(["name", "version", "extensions"], name=TEXT, version=TEXT, extensions=TEXTS)
MODEL = says(["name", "platform", "inputs", "outputs"], name=TEXT, versions=TEXTS, platform=TEXT,
             inputs={"type": "array", "items": TENSOR}, outputs={"type": "array", "items": TENSOR})  # fmt: skip
WITH_DATA = {**TENSOR, "required": ["name", "datatype", "shape", "data"]}
ANSWER = says(
    ["model_name", "outputs"],
    model_name=TEXT,
    model_version=TEXT,
    id=TEXT,
    parameters={"type": "object"},
    outputs={"type": "array", "items": WITH_DATA},
)
ERROR = says(["error"], error=TEXT)
ONE = {"name": "input", "shape": [1], "datatype": "BYTES", "data": ["a"]}


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_metadata(call: Caller, path: str) -> None:
    answer = call("GET", path, authorization=None)
    assert answer.status == 200
    jsonschema.validate(answer.json, SERVER)


def test_health_of_server_and_model(call: Caller) -> None:
    for path, name, fields in (
        ("/v2/health/live", None, {"live": True}),
        ("/v2/health/ready", None, {"live": True, "ready": True}),
        ("/v2/models/echo/ready", "echo", {"ready": True}),
        ("/v2/models/echo/versions/1/ready", "echo", {"ready": True}),
    ):
        answer = call("GET", path, authorization=None)
        assert (answer.status, answer.json.get("name")) == (200, name)
        assert fields.items() <= answer.json.items()
    call.service.draining = True
    for path in ("/v2/health/ready", "/v2/models/echo/ready"):
        answer = call("GET", path)
        assert (answer.status, answer.json["ready"]) == (503, False), "a Kubernetes probe reads the status"
    assert call("GET", "/v2/health/live").status == 200


@pytest.mark.parametrize("path", ["/v2/models/echo", "/v2/models/echo/versions/1"])
def test_model_metadata_name_the_versions_that_may_be_asked_for(call: Caller, path: str) -> None:
    found = call("GET", path).json
    jsonschema.validate(found, MODEL)
    assert found["versions"] == ["1"]
    for tensor in found["inputs"] + found["outputs"]:
        assert tensor["datatype"] in TYPES
        assert -1 in tensor["shape"], "sizes that vary are -1"


@pytest.mark.parametrize("path", ["/v2/models/echo/infer", "/v2/models/echo/versions/1/infer"])
def test_inference_gives_back_the_identifier_and_all_outputs(call: Caller, path: str) -> None:
    asked = {"id": "42", "parameters": {"mine": 1}, "inputs": [{**ONE, "parameters": {"content_type": "str"}}]}
    answer = call("POST", path, asked)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    jsonschema.validate(answer.json, ANSWER)
    assert (answer.json["id"], answer.json["model_name"], answer.json["model_version"]) == ("42", "echo", "1")
    for output in answer.json["outputs"]:
        size = 1
        for dimension in output["shape"]:
            size *= dimension
        assert len(output["data"]) == size, "flattened in row-major order"


def test_only_the_outputs_that_are_asked_for_come_back(make: Make, tmp_path: Any) -> None:
    call = make(ENTRIES["naive-bayes"].package(tmp_path))
    outputs = [{"name": "probabilities", "parameters": {}}]
    found = call("POST", "/v2/models/one/infer", {"inputs": [ONE], "outputs": outputs}).json
    assert [output["name"] for output in found["outputs"]] == ["probabilities"]
    assert found["outputs"][0]["shape"] == [1, 2]


@pytest.mark.parametrize("data", [["a", "b"], [["a"], ["b"]]])
def test_data_may_be_flat_or_nested_as_the_shape_says(call: Caller, data: list[Any]) -> None:
    shape = [2] if data == ["a", "b"] else [2, 1]
    answer = call("POST", "/v2/models/echo/infer", {"inputs": [{**ONE, "shape": shape, "data": data}]})
    assert answer.json["outputs"][0]["data"] == ["a", "b"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v2/models/other", None, 404),
        ("GET", "/v2/models/echo/versions/9", None, 404),
        ("GET", "/v2/models/other/ready", None, 404),
        ("POST", "/v2/models/other/infer", {"inputs": [ONE]}, 404),
        ("POST", "/v2/models/echo/infer", {}, 422),
        ("POST", "/v2/models/echo/infer", {"inputs": [{**ONE, "shape": [7]}]}, 422),
        ("POST", "/v2/models/echo/infer", {"inputs": [{**ONE, "datatype": "FP32"}]}, 422),
        ("POST", "/v2/models/echo/infer", b"{", 400),
        ("POST", "/v2", {}, 405),
        ("GET", "/v2/nowhere", None, 404),
    ],
)
def test_a_failure_is_an_error_status_and_a_text(call: Caller, method: str, path: str, body: Any, status: int) -> None:
    answer = call(method, path, body)
    assert answer.status == status
    jsonschema.validate(answer.json, ERROR)
    assert answer.json["code"] and answer.json["request_id"] == answer.headers["x-request-id"]


def test_an_unknown_key_gets_the_same_shape(call: Caller) -> None:
    answer = call("GET", "/v2/models/echo", authorization=None)
    assert answer.status == 401
    jsonschema.validate(answer.json, ERROR)
