"""The OpenAPI document's part on wire formats: forms, batch files, OpenAI-compatible routes, errors under /v2."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import canonical
from breakeven.serving import multipart, openai
from breakeven.serving.batch_files import ENDED
from breakeven.serving.batches import LINES

if TYPE_CHECKING:
    from breakeven.serving.deployment import Deployment, Standing

_TEXT: dict[str, Any] = {"type": "string"}
EVENTS: dict[str, Any] = {"description": "server-sent events, each with a JSON object as data; the last one is [DONE]"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_ERROR = {"$ref": "#/components/schemas/Error"}
Content = dict[str, dict[str, Any]]


def schemas() -> dict[str, Any]:
    """What the paths of this page refer to."""
    told = {"code": _TEXT, "message": _TEXT, "param": _MAYBE_TEXT, "hint": _MAYBE_TEXT}
    state = {"enum": sorted(ENDED | {"validating", "running"})}
    batch = {
        "id": _TEXT, "object": {"const": "batch"}, "state": state, "cancelling": {"type": "boolean"},
        "model": _MAYBE_TEXT, "bytes": _object(dict.fromkeys(("input", "output", "errors"), _COUNT)),
        "counts": _object({"lines": {"type": ["integer", "null"]},
                           **dict.fromkeys(("answered", "failed", "dealt_with"), _COUNT)}),
        **dict.fromkeys(("created", "started", "ended", "expires"), _MAYBE_TEXT),
        "error": {"oneOf": [{"type": "null"}, _object(told)]},
    }  # fmt: skip
    used = dict.fromkeys(("prompt_tokens", "total_tokens"), _COUNT)
    flat = {"error": _TEXT, "type": _TEXT, "code": _TEXT, "param": _MAYBE_TEXT, "hint": _MAYBE_TEXT}
    return {
        "Batch": _object(batch),
        "FlatError": _object({**flat, "request_id": _TEXT}),
        "Tokens": _object({**used, "completion_tokens": _COUNT}, needed=tuple(used)),
    }


def paths(standing: Standing) -> dict[str, Any]:
    """The paths that this server offers beside /v1/predict."""
    found = _batches(standing)
    named = [_parameter("model", "path", enum=list(standing.served))]
    found["/v1/models/{model}"] = {
        "get": _operation("One of those that are served", {"200": _json({"type": "object"})}, parameters=named)
    }
    offers = {kind for one in standing.served.values() for kind in getattr(one.package.task, "generates", ())}
    if "chat" in offers:
        found["/v1/chat/completions"] = {"post": _generation(standing, "chat")}
    if "text" in offers:
        found["/v1/completions"] = {"post": _generation(standing, "text")}
    if any(getattr(one.package.task, "embeds", False) for one in standing.served.values()):
        found["/v1/embeddings"] = {"post": _embedding(standing)}
    return found


def completed(document: dict[str, Any], standing: Standing) -> dict[str, Any]:
    """The document with these paths, forms for /v1/predict where they are taken, and the protocol's own errors."""
    document["paths"] |= paths(standing)
    document["components"]["schemas"] |= schemas()
    if any(one.package.task.streams for one in standing.served.values()):
        document["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["text/event-stream"] = {
            "schema": EVENTS
        }
    inputs = [multipart.schema_of(one) for one in standing.served.values()]
    forms = {canonical(schema): multipart.form_schema(schema) for schema in inputs if multipart.takes_forms(schema)}
    if forms:
        content = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
        first, *others = forms.values()
        content[multipart.FORM] = {"schema": {"anyOf": [first, *others]} if others else first}
    for path, methods in document["paths"].items():
        if path.startswith("/v2"):
            for operation in methods.values():
                content = operation["responses"]["default"]["content"]
                content["application/json"]["schema"] = {"$ref": "#/components/schemas/FlatError"}
    return document


def _object(properties: dict[str, Any], needed: tuple[str, ...] | None = None) -> dict[str, Any]:
    return {
        "type": "object", "additionalProperties": False, "properties": properties,
        "required": list(properties if needed is None else needed),
    }  # fmt: skip


def _operation(
    summary: str,
    answers: dict[str, Content],
    *,
    body: Content | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    responses = {status: {"description": "done", "content": content} for status, content in answers.items()}
    refused = {"description": "refused or failed", "content": {"application/json": {"schema": _ERROR}}}
    operation: dict[str, Any] = {"summary": summary, "responses": {**responses, "default": refused}}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    if parameters:
        operation["parameters"] = parameters
    return {**operation, "security": [{"key": []}]}


def _json(schema: dict[str, Any]) -> Content:
    return {"application/json": {"schema": schema}}


def _parameter(name: str, place: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string", **schema}}


_IDEMPOTENCY = _parameter("Idempotency-Key", "header", minLength=1, maxLength=255)


def _batches(standing: Standing) -> dict[str, Any]:
    named = [_parameter("batch", "path", pattern="^bat_[0-9a-f]{28}$")]
    batch = _json({"$ref": "#/components/schemas/Batch"})
    lines: dict[str, Any] = {"schema": {"type": "string", "description": "JSON Lines: {id, input} each"}}
    example = getattr(standing.current.package, "info", {}).get("example")
    if example is not None:
        lines["examples"] = {"one": {"value": json.dumps({"id": "1", "input": example}, ensure_ascii=False) + "\n"}}
    form = _object({"file": {"type": "string", "contentMediaType": LINES[0]}, "model": _TEXT}, needed=("file",))
    body = {**dict.fromkeys(LINES, lines), multipart.FORM: {"schema": form}}
    rows = {"type": "array", "items": batch["application/json"]["schema"]}
    listed = _json(_object({"object": {"const": "list"}, "data": rows}))
    found = {
        "/v1/batches": {
            "post": _operation("Answers a file of lines, when nobody else waits", {"202": batch}, body=body,
                               parameters=[_parameter("model", "query"), _IDEMPOTENCY]),
            "get": _operation("This customer's batches, newest first", {"200": listed}),
        },
        "/v1/batches/{batch}": {
            "get": _operation("How far a batch is", {"200": batch}, parameters=named),
            "delete": _operation("Stops a batch; erase=true removes its files once it has ended",
                                 {"200": batch, "202": batch},
                                 parameters=[*named, _parameter("erase", "query", enum=["true", "false"])]),
        },
    }  # fmt: skip
    for name, summary in (
        ("output", "A line an answered line"),
        ("errors", "A line a line without an answer, and why"),
    ):
        answer = {LINES[0]: {"schema": _TEXT}}
        operation = _operation(
            summary, {"200": answer, "206": answer}, parameters=[*named, _parameter("Range", "header")]
        )
        found[f"/v1/batches/{{batch}}/{name}"] = {"get": operation}
    return found


def _names(standing: Standing, offered: str) -> dict[str, Any]:
    def offers(one: Deployment) -> bool:
        task = one.package.task
        return bool(task.embeds) if offered == "embedding" else offered in task.generates

    return {"enum": [name for name, one in standing.served.items() if offers(one)]}


def _generation(standing: Standing, kind: str) -> dict[str, Any]:
    content = {"type": "object", "required": ["role", "content"], "properties": {"role": {"enum": list(openai.ROLES)}}}
    said: dict[str, Any] = {"messages": {"type": "array", "minItems": 1, "items": content}}
    example: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
    if kind == "text":
        said = {"prompt": {"oneOf": [_TEXT, {"type": "array", "minItems": 1, "items": _TEXT}]}}
        example = {"prompt": "hello"}
    tasks = [one.package.task for one in standing.served.values() if kind in getattr(one.package.task, "generates", ())]
    honoured = set().union(*(task.sampling for task in tasks))
    options = {name: {"description": words} for name, (words, _) in openai.OPTIONS.items() if name in honoured}
    stream = {"stream": {"type": "boolean"}, "stream_options": {"type": "object"}, "user": _TEXT}
    properties = {"model": _names(standing, kind), **said, **options, **stream}
    body = {**_object(properties, needed=tuple(said)), "examples": [example]}
    choice = {"index": _COUNT, "finish_reason": {"enum": ["stop", "length", "content_filter"]}, "logprobs": {}}
    choice |= {"message": {"type": "object"}} if kind == "chat" else {"text": _TEXT}
    answer = _answer({"choices": {"type": "array", "items": _object(choice)}, "created": _COUNT})
    content_types = {**_json(answer), "text/event-stream": {"schema": EVENTS}}
    words = "Answers a chat" if kind == "chat" else "Goes on with a text"
    return _operation(f"{words}, as OpenAI's API does", {"200": content_types}, body=_json(body),
                      parameters=[_IDEMPOTENCY])  # fmt: skip


def _embedding(standing: Standing) -> dict[str, Any]:
    texts = {"oneOf": [_TEXT, {"type": "array", "minItems": 1, "items": _TEXT}]}
    form = {"enum": ["float", "base64"], "default": "float"}
    names = _names(standing, "embedding")
    properties = {"model": names, "input": texts, "encoding_format": form, "user": _TEXT}
    body = {**_object(properties, needed=("input",)), "examples": [{"input": "hello"}]}
    vector = {"oneOf": [{"type": "array", "items": {"type": "number"}}, _TEXT]}
    row = _object({"object": {"const": "embedding"}, "index": _COUNT, "embedding": vector})
    answer = _answer({"data": {"type": "array", "items": row}})
    return _operation("Embeds texts, as OpenAI's API does", {"200": _json(answer)}, body=_json(body),
                      parameters=[_IDEMPOTENCY])  # fmt: skip


def _answer(properties: dict[str, Any]) -> dict[str, Any]:
    known = {"id": _TEXT, "object": _TEXT, "model": _TEXT, "usage": {"$ref": "#/components/schemas/Tokens"}}
    paid = {"price": {"type": "string", "description": "exact decimal, not rounded"}, "currency": _TEXT}
    return _object({**known, **properties, **paid}, needed=(*known, *properties))
