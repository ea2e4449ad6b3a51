"""The OpenAPI document of a running service, true to its releases: their tasks' own schemas, limits and an example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import canonical

if TYPE_CHECKING:
    from breakeven.serving.deployment import Deployment, Standing
    from breakeven.serving.tensors import Layout

_TEXT = {"type": "string"}
_WHO = "without it the current release answers, or its canary for customers in its share"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "code", "message", "param", "hint", "request_id"],
            "properties": {
                "type": {"type": "string"},
                "code": {"type": "string"},
                "message": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "hint": {"type": ["string", "null"]},
                "request_id": {"type": "string"},
            },
        }
    },
}


@dataclass(frozen=True)
class Kind:
    """Releases that take and give the same. `suffix`: of the names of their schemas, "" with the current one."""

    deployments: tuple[Deployment, ...]
    suffix: str

    @property
    def first(self) -> Deployment:
        """One of them."""
        return self.deployments[0]

    @property
    def model(self) -> dict[str, Any]:
        """What `model` may say to be answered by one of them."""
        return {"enum": [one.name for one in self.deployments]}

    def ref(self, name: str) -> dict[str, Any]:
        """A reference to their own schema of that name."""
        return _ref(name + self.suffix)


def kinds(standing: Standing) -> list[Kind]:
    """The releases that answer, those alike together; the current one is in the first."""
    found: dict[str, list[Deployment]] = {}
    for one in [standing.current, *(one for one in standing.served.values() if one is not standing.current)]:
        task, facts, limits = one.package.task, one.package.facts, one.limits
        told = [task.name, task.input_schema(facts), task.output_schema(facts), limits.max_inputs, limits.max_bytes]
        found.setdefault(canonical(told), []).append(one)
    groups = list(found.values())
    return [Kind(tuple(group), "" if place == 0 else f".{group[0].name}") for place, group in enumerate(groups)]


def document(standing: Standing) -> dict[str, Any]:
    """OpenAPI 3.1 of the releases that answer, as a JSON-able object: each with its own schemas and limits."""
    from breakeven import __version__
    from breakeven.serving import openapi_formats

    groups = kinds(standing)
    schemas: dict[str, Any] = {"Error": _ERROR}
    for kind in groups:
        task, facts = kind.first.package.task, kind.first.package.facts
        schemas["Input" + kind.suffix] = task.input_schema(facts)
        schemas["Output" + kind.suffix] = task.output_schema(facts)
        usage = {"meter": {"enum": list(task.meters)}, "quantity": {"type": "integer", "minimum": 0}}
        schemas["Usage" + kind.suffix] = _object(usage)
    task = standing.current.package.task
    found = {
        "openapi": "3.1.0",
        "info": {
            "title": standing.current.name,
            "version": __version__,
            "description": f"{task.name}; every answer is metered in {', '.join(task.meters)}.",
        },
        "paths": _paths(standing, groups),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "bek_..."}},
        },
        "x-releases": {one.name: _about(standing, one) for kind in groups for one in kind.deployments},
    }
    return openapi_formats.completed(found, standing)


def _about(standing: Standing, one: Deployment) -> dict[str, Any]:
    """What a reader must know of a release that a JSON Schema cannot say."""
    named = one not in (standing.current, standing.canary)
    role = "by-name" if named else "current" if one is standing.current else "canary"
    limits = {"max_inputs": one.limits.max_inputs, "max_bytes": one.limits.max_bytes}
    return {"role": role, "task": one.package.task.name, "meters": list(one.package.task.meters), **limits}


def _paths(standing: Standing, groups: list[Kind]) -> dict[str, Any]:
    answer = _one_of([_answer(kind) for kind in groups])
    operation = _operation("Answers inputs and charges for them", body=_predict_body(standing, groups), answer=answer,
                           parameters=[_header("Idempotency-Key")])  # fmt: skip
    operation["requestBody"]["description"] = _largest(groups)
    nothing = {"type": "object"}
    paths = {
        "/v1/predict": {"post": operation},
        "/v1/feedback": {"post": _operation("Says whether an answer was right", body=_feedback_body(), answer=nothing)},
        "/v1/usage": {
            "get": _operation("What this customer used", answer=nothing, parameters=[_query("start"), _query("end")])
        },
        "/v1/models": {"get": _operation("What is served", answer=nothing)},
        "/livez": {"get": _operation("Whether the process answers", answer=nothing, key=False)},
        "/readyz": {"get": _operation("Whether requests are taken", answer=nothing, key=False)},
        "/metrics": {"get": _operation("Prometheus figures", answer=None, key=False)},
    }
    return paths | inference_paths(groups) | _session_paths(standing, groups)


def _largest(groups: list[Kind]) -> str:
    """The largest body, by release."""
    told = (f"{one.name}: {one.limits.max_bytes:,} bytes at most" for kind in groups for one in kind.deployments)
    return "; ".join(told)


def _session_paths(standing: Standing, groups: list[Kind]) -> dict[str, Any]:
    """The routes of stateful policies, where a release is one."""
    stateful = [kind for kind in groups if _is_stateful(kind.first)]
    if not stateful:
        return {}
    anything: dict[str, Any] = {}
    start, step = [], []
    for kind in stateful:
        needed = () if kind.first is standing.current else ("model",)
        seed = {"type": "integer", "minimum": 0}
        start.append(_object({"seed": seed, "model": kind.model}, required=needed))
        said = {"state": anything, "observation": kind.ref("Input"), "model": kind.model}
        step.append(_object(said, required=("state", "observation", *needed)))
    first = _object({"id": _TEXT, "model": {"enum": [one.name for kind in stateful for one in kind.deployments]},
                     "state": anything})  # fmt: skip
    answer = _one_of([_answer(kind, state=anything) for kind in stateful])
    return {
        "/v1/session/start": {"post": _operation("The first state of a session", body=_one_of(start), answer=first)},
        "/v1/session/step": {"post": _operation("The next state and an answer", body=_one_of(step), answer=answer)},
    }


def _is_stateful(one: Deployment) -> bool:
    return hasattr(one.package, "session") and one.package.session() is not None


def inference_paths(groups: list[Kind]) -> dict[str, Any]:
    """The routes of the Open Inference Protocol, with the tensors of each release."""
    from breakeven.serving import inference

    yes = {"type": "boolean"}
    flag = _object({"ready": yes, "live": yes, "name": _TEXT, "reason": _TEXT}, required=("ready",))
    paths: dict[str, Any] = {
        "/v2": {"get": _operation("Who answers", answer={"type": "object"}, key=False)},
        "/v2/health/live": {"get": _operation("Whether the process answers", answer={"type": "object"}, key=False)},
        "/v2/health/ready": {"get": _operation("Whether requests are taken", answer=flag, key=False)},
    }
    names = [one.name for kind in groups for one in kind.deployments]
    for place, values in (("{model}", 1), ("{model}/versions/{version}", 2)):
        named = [_segment("model", names), _segment("version", [inference.VERSION])][:values]
        paths[f"/v2/models/{place}"] = {
            "get": _operation("The model's tensors", answer={"type": "object"}, parameters=named)
        }
        paths[f"/v2/models/{place}/ready"] = {
            "get": _operation("Whether the model answers", answer=flag, key=False, parameters=named)
        }
        operation = _operation(
            "Answers tensors and charges for them",
            body=_any_of([_asked(kind) for kind in groups]),
            answer=_one_of([_inferred(kind) for kind in groups]),
            parameters=[*named, _header("Idempotency-Key"), _header("Inference-Header-Content-Length")],
        )
        paths[f"/v2/models/{place}/infer"] = {"post": operation}
    return paths


def _asked(kind: Kind) -> dict[str, Any]:
    from breakeven.serving import inference

    wanted = {"type": "array", "items": _object({"name": _TEXT, "parameters": {"type": "object"}}, required=("name",))}
    inputs = _tensors(inference.inputs_of(kind.first))
    return _object({"id": _TEXT, "parameters": {"type": "object"}, "inputs": inputs, "outputs": wanted},
                   required=("inputs",))  # fmt: skip


def _inferred(kind: Kind) -> dict[str, Any]:
    from breakeven.serving import inference

    outputs = _tensors(inference.outputs_of(kind.first))
    return _object({"model_name": kind.model, "model_version": _TEXT, "id": _TEXT, "parameters": {"type": "object"},
                    "outputs": outputs})  # fmt: skip


def _tensors(layout: Layout) -> dict[str, Any]:
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2}
    names = [tensor.name for tensor in layout.tensors]
    one = {"name": {"enum": names}, "datatype": _TEXT, "shape": shape, "parameters": {"type": "object"}}
    item = _object({**one, "data": {"type": "array"}}, required=("name", "datatype", "shape"))
    return {"type": "array", "minItems": 1, "maxItems": len(names), "items": item}


def _segment(name: str, values: list[str]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"enum": values}}


def _predict_body(standing: Standing, groups: list[Kind]) -> dict[str, Any]:
    """The bodies that are taken; an example each, the current release's first."""
    bodies, shown = [], []
    for kind in groups:
        current = kind.first is standing.current
        inputs = {"type": "array", "minItems": 1, "maxItems": kind.first.limits.max_inputs, "items": kind.ref("Input")}
        properties: dict[str, Any] = {
            "inputs": inputs,
            "model": {**kind.model, "description": _WHO} if current else kind.model,
        }
        if kind.first.package.task.streams:
            properties["stream"] = {"type": "boolean", "default": False}
        bodies.append(_object(properties, required=("inputs",) if current else ("inputs", "model")))
        example = getattr(kind.first.package, "info", {}).get("example")
        if example is not None:
            shown.append({"inputs": [example]} if current else {"inputs": [example], "model": kind.first.name})
    return {**_one_of(bodies), "examples": shown} if shown else _one_of(bodies)


def _feedback_body() -> dict[str, Any]:
    return _object(
        {
            "id": {"type": "string"},
            "index": {"type": "integer", "minimum": 0},
            "correct": {"type": "boolean"},
            "label": {"type": "string", "maxLength": 1000},
            "rating": {"type": "number"},
            "comment": {"type": "string", "maxLength": 10_000},
        },
        required=("id",),
    )


def _answer(kind: Kind, **more: Any) -> dict[str, Any]:
    price = {"type": ["string", "null"], "description": "exact decimal, not rounded"}
    properties = {
        "id": {"type": "string"},
        "model": kind.model,
        "outputs": {"type": "array", "items": kind.ref("Output")},
        "usage": {"type": "array", "items": kind.ref("Usage")},
        "price": price,
        "currency": {"type": "string"},
        **more,
    }
    return _object(properties, required=("id", "model", "outputs", "usage", "price", *more))


def _one_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"oneOf": schemas}


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the address names the release, a body may fit several."""
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _object(properties: dict[str, Any], required: tuple[str, ...] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(properties if required is None else required),
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    }


def _query(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string", "description": "ISO 8601"}}


def _operation(
    summary: str,
    *,
    answer: dict[str, Any] | None,
    body: dict[str, Any] | None = None,
    key: bool = True,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    kind = "application/json" if answer is not None else "text/plain"
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": "done", "content": {kind: {"schema": answer or {"type": "string"}}}},
            "default": {"description": "refused or failed", "content": {"application/json": {"schema": _ref("Error")}}},
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if parameters:
        operation["parameters"] = parameters
    if key:
        operation["security"] = [{"key": []}]
    return operation


def page(standing: Standing) -> str:
    """The document as one self-contained HTML page: every route, its words, its request as JSON Schema."""
    import html
    import json

    parts = []
    for path, methods in document(standing)["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            shown = f"<pre>{html.escape(json.dumps(body, indent=2, ensure_ascii=False))}</pre>" if body else ""
            parts.append(
                f"<h2>{method.upper()} {html.escape(path)}</h2><p>{html.escape(operation['summary'])}</p>{shown}"
            )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(standing.current.name)}</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "pre{background:#f4f4f4;padding:1rem;overflow:auto}</style>"
        f"<h1>{html.escape(standing.current.name)}</h1>"
        "<p>The exact document: <a href=/openapi.json>/openapi.json</a></p>" + "".join(parts) + "</html>"
    )
