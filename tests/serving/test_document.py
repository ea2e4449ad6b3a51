"""The OpenAPI document is true: its examples are answered, answers keep its schemas, it lists what is offered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest

from breakeven.packaging.package import Package
from tests.conformance.test_contract import ENTRIES
from tests.serving.conftest import Caller
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
