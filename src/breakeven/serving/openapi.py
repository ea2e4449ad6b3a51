"""The OpenAPI document of a running service, true to its release: the task's own schemas, limits and an example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breakeven.serving.app import Service
    from breakeven.serving.tensors import Layout

_TEXT = {"type": "string"}
_MODEL = {"type": "string", "description": "a release of /v1/models; without it the current one answers"}
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


def document(service: Service) -> dict[str, Any]:
    """OpenAPI 3.1 as a JSON-able object."""
    from breakeven import __version__
    from breakeven.serving import openapi_formats

    facts, task = service.current.package.facts, service.current.package.task
    schemas = {
        "Input": task.input_schema(facts),
        "Output": task.output_schema(facts),
        "Error": _ERROR,
        "Usage": _object({"meter": {"enum": list(task.meters)}, "quantity": {"type": "integer", "minimum": 0}}),
    }
    found = {
        "openapi": "3.1.0",
        "info": {
            "title": service.current.name,
            "version": __version__,
            "description": f"{task.name}; every answer is metered in {', '.join(task.meters)}.",
        },
        "paths": _paths(service),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "bek_..."}},
        },
    }
    return openapi_formats.completed(found, service)


def _paths(service: Service) -> dict[str, Any]:
    paths = {
        "/v1/predict": {
            "post": _operation(
                "Answers inputs and charges for them",
                body=_predict_body(service),
                answer=_answer(service),
                parameters=[_header("Idempotency-Key")],
            )
        },
        "/v1/feedback": {
            "post": _operation("Says whether an answer was right", body=_feedback_body(), answer={"type": "object"})
        },
        "/v1/usage": {
            "get": _operation(
                "What this customer used", answer={"type": "object"}, parameters=[_query("start"), _query("end")]
            )
        },
        "/v1/models": {"get": _operation("What is served", answer={"type": "object"})},
        "/livez": {"get": _operation("Whether the process answers", answer={"type": "object"}, key=False)},
        "/readyz": {"get": _operation("Whether requests are taken", answer={"type": "object"}, key=False)},
        "/metrics": {"get": _operation("Prometheus figures", answer=None, key=False)},
    }
    paths |= inference_paths(service)
    if hasattr(service.current.package, "session") and service.current.package.session() is not None:
        anything: dict[str, Any] = {}
        paths["/v1/session/start"] = {
            "post": _operation(
                "The first state of a session",
                body=_object({"seed": {"type": "integer", "minimum": 0}, "model": _MODEL}, required=()),
                answer=_object({"id": {"type": "string"}, "model": {"type": "string"}, "state": anything}),
            )
        }
        paths["/v1/session/step"] = {
            "post": _operation(
                "The next state and an answer",
                body=_object(
                    {"state": anything, "observation": _ref("Input"), "model": _MODEL},
                    required=("state", "observation"),
                ),
                answer=_answer(service, state=anything),
            )
        }
    return paths


def inference_paths(service: Service) -> dict[str, Any]:
    """The routes of the Open Inference Protocol, with the tensors of this release."""
    from breakeven.serving import inference

    yes = {"type": "boolean"}
    flag = _object({"ready": yes, "live": yes, "name": _TEXT, "reason": _TEXT}, required=("ready",))
    paths: dict[str, Any] = {
        "/v2": {"get": _operation("Who answers", answer={"type": "object"}, key=False)},
        "/v2/health/live": {"get": _operation("Whether the process answers", answer={"type": "object"}, key=False)},
        "/v2/health/ready": {"get": _operation("Whether requests are taken", answer=flag, key=False)},
    }
    for place, values in (("{model}", 1), ("{model}/versions/{version}", 2)):
        named = [_segment("model", service.current.name), _segment("version", inference.VERSION)][:values]
        paths[f"/v2/models/{place}"] = {
            "get": _operation("The model's tensors", answer={"type": "object"}, parameters=named)
        }
        paths[f"/v2/models/{place}/ready"] = {
            "get": _operation("Whether the model answers", answer=flag, key=False, parameters=named)
        }
        paths[f"/v2/models/{place}/infer"] = {
            "post": _operation(
                "Answers tensors and charges for them",
                body=_object(
                    {"id": _TEXT, "parameters": {"type": "object"},
                     "inputs": _tensors(inference.inputs_of(service.current)),
                     "outputs": {"type": "array", "items": _object({"name": _TEXT})}},
                    required=("inputs",),
                ),
                answer=_object(
                    {"model_name": _TEXT, "model_version": _TEXT, "id": _TEXT, "parameters": {"type": "object"},
                     "outputs": _tensors(inference.outputs_of(service.current))}
                ),
                parameters=[*named, _header("Idempotency-Key")],
            )
        }  # fmt: skip
    return paths


def _tensors(layout: Layout) -> dict[str, Any]:
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2}
    names = [tensor.name for tensor in layout.tensors]
    one = {"name": {"enum": names}, "datatype": _TEXT, "shape": shape, "parameters": {"type": "object"}}
    item = _object({**one, "data": {"type": "array"}}, required=("name", "datatype", "shape", "data"))
    return {"type": "array", "minItems": 1, "maxItems": len(names), "items": item}


def _segment(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"const": value}}


def _predict_body(service: Service) -> dict[str, Any]:
    properties = {
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": service.current.limits.max_inputs,
            "items": _ref("Input"),
        },
        "model": _MODEL,
    }
    if service.current.package.task.streams:
        properties["stream"] = {"type": "boolean", "default": False}
    body = _object(properties, required=("inputs",))
    example = getattr(service.current.package, "info", {}).get("example")
    if example is not None:
        body["examples"] = [{"inputs": [example]}]
    return body


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


def _answer(service: Service, **more: Any) -> dict[str, Any]:
    price = {"type": ["string", "null"], "description": "exact decimal, not rounded"}
    properties = {
        "id": {"type": "string"},
        "model": {"const": service.current.name},
        "outputs": {"type": "array", "items": _ref("Output")},
        "usage": {"type": "array", "items": _ref("Usage")},
        "price": price,
        "currency": {"type": "string"},
        **more,
    }
    return _object(properties, required=("id", "model", "outputs", "usage", "price", *more))


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


def page(service: Service) -> str:
    """The document as one self-contained HTML page: every route, its words, its request as JSON Schema."""
    import html
    import json

    parts = []
    for path, methods in document(service)["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            shown = f"<pre>{html.escape(json.dumps(body, indent=2, ensure_ascii=False))}</pre>" if body else ""
            parts.append(
                f"<h2>{method.upper()} {html.escape(path)}</h2><p>{html.escape(operation['summary'])}</p>{shown}"
            )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(service.current.name)}</title>"
        "<style>body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "pre{background:#f4f4f4;padding:1rem;overflow:auto}</style>"
        f"<h1>{html.escape(service.current.name)}</h1>"
        "<p>The exact document: <a href=/openapi.json>/openapi.json</a></p>" + "".join(parts) + "</html>"
    )
