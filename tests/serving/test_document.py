"""The OpenAPI document is true: its examples are answered, answers keep its schemas, it lists what is offered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from breakeven.packaging.package import Package
from breakeven.serving.deployment import Standing
from tests.conformance.test_contract import ENTRIES
from tests.serving.conftest import Caller
from tests.serving.fakes import EchoPackage, FakeTask
from tests.serving.test_batches import ended, together

Make = Callable[..., Caller]
OFFERED: dict[str, set[str]] = {
    "naive-bayes": set(),
    "continuation": {"/v1/chat/completions", "/v1/completions"},
    "letters": {"/v1/embeddings"},
    "pictures": set(),
    "two-meters": set(),
}


@pytest.fixture(scope="module", params=OFFERED)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Package]]:
    yield request.param, ENTRIES[request.param].package(tmp_path_factory.mktemp(request.param))


def keeps(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema.validate(value, {**schema, "components": document["components"]})


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(path, type of body, body) of every example that the document gives."""
    for path, methods in document["paths"].items():
        for kind, content in methods.get("post", {}).get("requestBody", {}).get("content", {}).items():
            for body in content["schema"].get("examples", []):
                yield path, kind, body
            for named in content.get("examples", {}).values():
                yield path, kind, named["value"]


def test_every_example_is_answered_as_the_document_says(make: Make, package: tuple[str, Package]) -> None:
    name, opened = package
    call = make(opened)
    document = call("GET", "/openapi.json").json
    seen = set()
    for path, kind, body in examples(document):
        sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()

        async def work(path: str = path, sent: bytes = sent, kind: str = kind) -> Any:
            answer = await call.send("POST", path, sent, content_type=kind)
            return answer, await ended(call, answer.json["id"]) if path == "/v1/batches" else None

        answer, batch = together(call, work) if path == "/v1/batches" else (call("POST", path, sent), None)
        assert answer.status in (200, 202), (path, answer.body)
        content = document["paths"][path]["post"]["responses"][str(answer.status)]["content"]
        keeps(document, content["application/json"]["schema"], answer.json)
        assert batch is None or batch["counts"]["answered"] == 1
        call.service.draining = False
        seen.add(path)
    assert seen >= {"/v1/predict", "/v1/batches"} | OFFERED[name]


def test_it_lists_what_is_offered_and_nothing_else(make: Make, package: tuple[str, Package]) -> None:
    name, opened = package
    document = make(opened)("GET", "/openapi.json").json
    openai = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"}
    assert set(document["paths"]) & openai == OFFERED[name]
    kinds = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert ("multipart/form-data" in kinds) == (name == "pictures")


def test_errors_keep_the_shapes_that_the_document_states(make: Make) -> None:
    call = make()
    document = call("GET", "/openapi.json").json
    for path, method, body in (
        ("/v1/predict", "POST", {"inputs": []}),
        ("/v1/batches/bat_0", "GET", None),
        ("/v2/models/echo/infer", "POST", {}),
        ("/v2/models/echo", "GET", None),
        ("/v1/usage", "GET", None),
    ):
        answer = call(method, path, body, authorization=None)
        named = path.replace("echo", "{model}").replace("bat_0", "{batch}")
        schema = document["paths"][named][method.lower()]["responses"]["default"]["content"]["application/json"][
            "schema"
        ]
        assert answer.status == 401
        keeps(document, schema, answer.json)


def test_a_batch_and_its_list_keep_their_schemas(make: Make) -> None:
    call = make()
    document = call("GET", "/openapi.json").json

    async def work() -> Any:
        answer = await call.send("POST", "/v1/batches", b'{"input": "a"}\n', content_type="application/jsonl")
        return await ended(call, answer.json["id"]), (await call.send("GET", "/v1/batches")).json

    batch, listed = together(call, work)
    keeps(document, {"$ref": "#/components/schemas/Batch"}, batch)
    content = document["paths"]["/v1/batches"]["get"]["responses"]["200"]["content"]
    keeps(document, content["application/json"]["schema"], listed)


class Short(EchoPackage):
    """Another task beside the echo: it takes less, and answers numbers."""

    def __init__(self) -> None:
        super().__init__(Counting())
        self.info = {"candidate": "short", "limits": {"max_inputs": 2, "max_bytes": 60}, "example": "abc"}

    def render(self, raw: list[str], answers: list[str]) -> list[Any]:
        return [len(answer) for answer in answers]


class Counting(FakeTask):
    name = "count"

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "integer", "minimum": 0}


@pytest.fixture
def both(make: Make) -> Caller:
    """A service of two releases that are not alike, and a third that is like the first."""
    call = make()
    service = call.service
    served = {"echo": service.current}
    for name, package in (("short", Short()), ("twin", EchoPackage())):
        served[name] = service.deploy(package, None, name=name)
    service.stand(Standing(service.current, served=served))
    return call


def test_every_release_has_its_own_schemas_and_examples(both: Caller) -> None:
    document = both("GET", "/openapi.json").json
    body = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    answer = document["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert [example.get("model") for example in body["examples"]] == [None, "short"]
    for sent in [*body["examples"], {"inputs": ["a"], "model": "twin"}]:
        keeps(document, body, sent)
        keeps(document, answer, both("POST", "/v1/predict", sent).json)
    for wrong in ({"inputs": ["a"], "model": "nobody"}, {"inputs": ["a"] * 3, "model": "short"}):
        with pytest.raises(jsonschema.ValidationError, match=r"is not valid under any|is too long"):
            keeps(document, body, wrong)
        assert both("POST", "/v1/predict", wrong).status in (404, 422)
    assert document["components"]["schemas"]["Output.short"] == {"type": "integer", "minimum": 0}
    assert {name: (one["role"], one["max_bytes"]) for name, one in document["x-releases"].items()} == {
        "echo": ("current", 1 << 20), "twin": ("by-name", 1 << 20), "short": ("by-name", 60)}  # fmt: skip


def test_tensors_of_every_release_keep_the_document(both: Caller) -> None:
    document = both("GET", "/openapi.json").json
    operation = document["paths"]["/v2/models/{model}/infer"]["post"]
    assert operation["parameters"][0]["schema"] == {"enum": ["echo", "twin", "short"]}
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    sent = {"inputs": [{"name": "input", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}
    for name, status in (("echo", 200), ("twin", 200), ("short", 413)):
        answer = both("POST", f"/v2/models/{name}/infer", sent)
        assert answer.status == status
        if status == 200:
            keeps(document, schema, answer.json)


def test_one_release_can_be_asked_for_alone(both: Caller) -> None:
    document = both("GET", "/openapi.json?model=short").json
    assert (document["info"]["title"], list(document["x-releases"])) == ("short", ["short"])
    assert document["components"]["schemas"]["Output"] == {"type": "integer", "minimum": 0}
    content = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert content["schema"]["properties"]["inputs"]["maxItems"] == 2
    assert "short: 60 bytes" in document["paths"]["/v1/predict"]["post"]["requestBody"]["description"]
    assert both("GET", "/openapi.json?model=nobody").status == 404
    assert both("GET", "/openapi.json?release=short").error["param"] == "release"
    assert b"<h1>short</h1>" in both("GET", "/docs?model=short", accept="text/html").body


def test_a_body_is_as_large_as_its_own_release_takes(both: Caller) -> None:
    for name, status in (("echo", 200), ("twin", 200), ("short", 413)):
        answer = both("POST", "/v1/predict", {"inputs": ["x" * 60], "model": name})
        assert answer.status == status
    assert "60" in answer.error["message"]
    assert both("POST", "/v1/predict", {"inputs": ["x"], "model": "short"}).json["outputs"] == [1]

    async def work() -> Any:
        made = await both.send("POST", "/v1/batches?model=short", b'{"input": "%s"}\n{"input": "x"}\n' % (b"x" * 60),
                               content_type="application/jsonl")  # fmt: skip
        return await ended(both, made.json["id"])

    assert together(both, work)["counts"] == {"lines": 2, "answered": 1, "failed": 1, "dealt_with": 2}
