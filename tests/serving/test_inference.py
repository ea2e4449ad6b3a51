"""The Open Inference Protocol: the tensors of a task, and the same key, charge and refusals as everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breakeven.errors import InputError, Place
from breakeven.ledger import Ledger
from breakeven.serving.tensors import layout, payloads, written
from breakeven.serving.wire import HttpError
from tests.serving.conftest import Caller
from tests.serving.fakes import EchoPackage, FakeTask

Make = Callable[..., Caller]
TABLE = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"}, "age": {"type": "integer"}, "owner": {"type": "boolean"},
        "plan": {"enum": ["a", "b"]}, "note": {"type": ["string", "null"]},
    },
    "required": ["amount", "age", "owner", "plan"],
}  # fmt: skip


def tensor(name: str, datatype: str, *data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)] if shape is None else shape, "data": list(data)}


def infer(call: Caller, *inputs: dict[str, Any], path: str = "/v2/models/echo/infer", **more: Any) -> Any:
    headers = {name: more.pop(name) for name in ("authorization", "idempotency_key") if name in more}
    return call("POST", path, {"inputs": list(inputs), **more}, **headers)


def test_texts_in_and_a_tensor_a_field_out(call: Caller) -> None:
    answer = infer(call, tensor("input", "BYTES", "a", "b"), id="mine").json
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("echo", "1", "mine")
    assert answer["outputs"] == [{"name": "echo", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}]


def test_it_is_charged_as_any_answer_is(call: Caller, ledger: Ledger) -> None:
    answer = infer(call, tensor("input", "BYTES", "a", "b", shape=[2, 1])).json
    (event,) = ledger.events()
    assert answer["parameters"] == {"charge": event["id"], "usage_answers": 2, "price": "0.008", "currency": "USD"}
    assert answer["id"] == event["id"]
    assert event["quantities"] == {"answers": 2}


def test_a_retry_under_its_key_is_charged_once(call: Caller, ledger: Ledger) -> None:
    answers = [infer(call, tensor("input", "BYTES", "a"), idempotency_key="k") for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len(ledger.events()) == 1


@pytest.mark.parametrize("path", ["/v2/models/other/infer", "/v2/models/echo/versions/2/infer"])
def test_another_model_or_version_is_not_served(call: Caller, ledger: Ledger, path: str) -> None:
    assert infer(call, tensor("input", "BYTES", "a"), path=path).error["code"] == "model-not-found"
    assert ledger.events() == []


@pytest.mark.parametrize("path", [
    "/v2/models/{model}", "/v2/models/echo/versions", "/v2/models/echo/versions/1/x", "/v2/models/", "/v2/models/echo/",
    "/v2/models/echo//infer", "/v2/models/echo/versions/1/versions/1",
])  # fmt: skip
def test_what_is_no_route_is_404(call: Caller, path: str) -> None:
    assert call("GET", path).status == 404


def test_its_answers_need_a_key_and_its_probes_do_not(call: Caller) -> None:
    assert infer(call, tensor("input", "BYTES", "a"), authorization=None).status == 401
    assert call("GET", "/v2/models/echo", authorization=None).status == 401
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/echo/ready", "/v2/models/echo/versions/1/ready"):
        assert call("GET", path, authorization=None).status == 200
    assert call("GET", "/v2", authorization=None).json["extensions"] == ["binary_tensor_data"]
    call.service.draining = True
    assert (call("GET", "/v2/health/ready").status, call("GET", "/v2/models/echo/ready").status) == (503, 503)


def test_the_model_tells_its_tensors(call: Caller) -> None:
    found = call("GET", "/v2/models/echo/versions/1").json
    assert found["versions"] == ["1"]
    assert found["inputs"] == [{"name": "input", "datatype": "BYTES", "shape": [-1]}]
    assert found["outputs"] == [{"name": "echo", "datatype": "BYTES", "shape": [-1]}]


@pytest.mark.parametrize(("inputs", "param"), [
    ([], "inputs"), (["x"], "inputs[0].name"), ([tensor("text", "BYTES", "a")], "inputs[0].name"),
    ([tensor("input", "BYTES", "a"), tensor("input", "BYTES", "a")], "inputs[1].name"),
    ([tensor("input", "FP32", 1.0)], "inputs[0].datatype"), ([tensor("input", "BYTES", 1)], "inputs[0].data[0]"),
    ([tensor("input", "BYTES", "a", shape=[2])], "inputs[0].shape"),
    ([tensor("input", "BYTES", "a", shape=[1, 2])], "inputs[0].shape"),
    ([tensor("input", "BYTES", "a", shape=[])], "inputs[0].shape"),
    ([{"name": "input", "datatype": "BYTES", "shape": [1]}], "inputs[0].data"),
])  # fmt: skip
def test_a_wrong_tensor_is_named(call: Caller, ledger: Ledger, inputs: list[Any], param: str) -> None:
    answer = infer(call, *inputs)
    assert (answer.status, answer.error["param"]) == (422, param)
    assert ledger.events() == []


@pytest.mark.parametrize(("field", "value"), [
    ("id", 7), ("id", ""), ("parameters", []), ("outputs", "echo"), ("outputs", [{"name": "other"}]),
    ("outputs", [{"name": ["echo"]}]), ("outputs", [{"name": "echo"}, {"name": "echo"}]), ("stream", True),
])  # fmt: skip
def test_a_wrong_field_is_named(call: Caller, field: str, value: Any) -> None:
    answer = infer(call, tensor("input", "BYTES", "a"), **{field: value})
    assert (answer.status, answer.error["param"]) == (422, field)


def test_too_many_cases_are_refused(call: Caller) -> None:
    assert infer(call, tensor("input", "BYTES", *["a"] * 65)).error["code"] == "inputs-count"


class Rows(FakeTask):
    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return TABLE


class RowsPackage(EchoPackage):
    def parse(self, payload: Any) -> Any:
        if payload["amount"] < 0:
            raise InputError("input-not-text", at=Place(field="amount"), found="negative")
        return json.dumps(payload)


def test_a_row_is_an_element_of_every_column(make: Make) -> None:
    call = make(RowsPackage(Rows()))
    columns = [tensor("amount", "FP32", 1.5, 2), tensor("age", "INT64", 30, 40), tensor("owner", "BOOL", True, False),
               tensor("plan", "BYTES", "a", "b")]  # fmt: skip
    rows = infer(call, *columns).json["outputs"][0]["data"]
    assert json.loads(rows[1]) == {"amount": 2, "age": 40, "owner": False, "plan": "b"}
    assert infer(call, *columns[:-1]).error["param"] == "inputs"
    assert infer(call, *columns[:-1], tensor("plan", "BYTES", "a")).error["param"] == "inputs"
    columns[0]["data"][1] = -1
    assert infer(call, *columns).error["param"] == "inputs[0].data[1]"


def test_a_value_that_may_be_absent_travels_as_json() -> None:
    rows = layout(TABLE, "input")
    note = next(item for item in rows.tensors if item.name == "note")
    assert (note.datatype, note.is_json, note.required) == ("BYTES", True, False)
    plain = [tensor("amount", "FP64", 1), tensor("age", "INT8", 1), tensor("owner", "BOOL", True),
             tensor("plan", "BYTES", "a")]  # fmt: skip
    assert payloads(rows, [*plain, tensor("note", "BYTES", "null")])[0]["note"] is None
    with pytest.raises(HttpError, match="not JSON"):
        payloads(rows, [*plain, tensor("note", "BYTES", "nil")])
    with pytest.raises(HttpError, match="valid integer"):
        payloads(rows, [plain[0], tensor("age", "INT8", 1.5), *plain[2:]])


def test_probabilities_are_a_matrix_with_named_columns() -> None:
    from breakeven.tasks.text_classification import TextClassification

    task, facts = TextClassification(), {"classes": ["no", "yes"]}
    assert [item.name for item in layout(task.input_schema(facts), "input").tensors] == ["input"]
    outputs = layout(task.output_schema(facts), "output")
    answer = {"label": "yes", "probability": 0.75, "probabilities": {"yes": 0.75, "no": 0.25}}
    label, probability, matrix = written(outputs, [answer, answer])
    assert (label["datatype"], label["data"]) == ("BYTES", ["yes", "yes"])
    assert (probability["datatype"], probability["data"]) == ("FP64", [0.75, 0.75])
    assert (matrix["shape"], matrix["data"]) == ([2, 2], [0.25, 0.75, 0.25, 0.75])
    assert json.loads(matrix["parameters"]["labels"]) == ["no", "yes"]
    assert [item["name"] for item in written(outputs, [answer], ["label"])] == ["label"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["amount", "age", "owner", "plan", "note", "input"])
datatypes = st.sampled_from(["BYTES", "FP32", "INT64", "BOOL"])
tensors = st.fixed_dictionaries(
    {},
    optional={"name": names | values, "datatype": datatypes | values, "shape": st.just([1]) | values, "data": values},
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_inputs=st.lists(tensors, max_size=5) | values)
@pytest.mark.parametrize("schema", [TABLE, {"type": "string"}, {"type": "array"}])
def test_whatever_is_sent_is_read_or_refused_by_name(schema: dict[str, Any], given_inputs: Any) -> None:
    try:
        cases = payloads(layout(schema, "input"), given_inputs)
    except HttpError as error:
        assert error.status in (400, 422)
    else:
        assert isinstance(cases, list)


def test_the_document_describes_what_is_answered(make: Make) -> None:
    import jsonschema

    call = make()
    paths = call("GET", "/openapi.json").json["paths"]
    told = paths["/v2/models/{model}/infer"]["post"]
    request = {"inputs": [tensor("input", "BYTES", "a")], "outputs": [{"name": "echo"}]}
    jsonschema.validate(request, told["requestBody"]["content"]["application/json"]["schema"])
    answer = call("POST", "/v2/models/echo/infer", request).json
    jsonschema.validate(answer, told["responses"]["200"]["content"]["application/json"]["schema"])
    assert told["parameters"][0]["schema"] == {"enum": ["echo"]}
    assert "security" not in paths["/v2/models/{model}/ready"]["get"]
