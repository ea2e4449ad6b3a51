"""The Open Inference Protocol, version 2, over HTTP with JSON: the same keys, queue, charge and errors as /v1/predict.

Binary tensors are not taken. Errors have this service's one shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from breakeven.errors import InputError, Place
from breakeven.serving import routes, tensors
from breakeven.serving.exchange import Exchange, read_object
from breakeven.serving.wire import HttpError, Response, json_response, wrong_field

if TYPE_CHECKING:
    from breakeven.serving.app import Service

VERSION = "1"  # a release never changes and has a name of its own, so it has one version
_FIELDS = frozenset({"id", "parameters", "inputs", "outputs"})
_EXAMPLE = '{"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "data": ["..."]}]}'
_LONGEST_ID = 200


async def server(_service: Service, _exchange: Exchange) -> Response:
    """GET /v2: who answers; no extension is offered."""
    from breakeven import __version__

    return json_response(200, {"name": "breakeven", "version": __version__, "extensions": []})


async def live(_service: Service, _exchange: Exchange) -> Response:
    """GET /v2/health/live."""
    return json_response(200, {"live": True})


async def ready(service: Service, _exchange: Exchange) -> Response:
    """GET /v2/health/ready: 200, or 503 and why not."""
    return _ready(service, {})


async def model_ready(service: Service, exchange: Exchange) -> Response:
    """GET /v2/models/{model}/ready."""
    _check_model(service, exchange)
    return _ready(service, {"name": service.name})


def _ready(service: Service, named: dict[str, Any]) -> Response:
    reason = service.ready()
    if reason is None:
        return json_response(200, {**named, "ready": True})
    return json_response(503, {**named, "ready": False, "reason": reason}, {"retry-after": "1"})


async def model(service: Service, exchange: Exchange) -> Response:
    """GET /v2/models/{model}: its tensors."""
    await service.access.key(exchange, "predict")
    _check_model(service, exchange)
    return json_response(
        200,
        {
            "name": service.name,
            "versions": [VERSION],
            "platform": "breakeven",
            "inputs": [tensor.as_json() for tensor in inputs_of(service).tensors],
            "outputs": [tensor.as_json() for tensor in outputs_of(service).tensors],
        },
    )


def inputs_of(service: Service) -> tensors.Layout:
    """The tensors that the served task takes."""
    return tensors.layout(service.package.task.input_schema(service.package.facts), "input")


def outputs_of(service: Service) -> tensors.Layout:
    """The tensors that the served task gives."""
    return tensors.layout(service.package.task.output_schema(service.package.facts), "output")


def _check_model(service: Service, exchange: Exchange) -> None:
    named = exchange.named
    if named["model"] not in (service.name, quote(service.name, safe="")) or named.get("version", VERSION) != VERSION:
        raise HttpError(404, "model-not-found", model=service.name)


async def infer(service: Service, exchange: Exchange) -> Response:
    """POST /v2/models/{model}/infer: tensors in, tensors out; `parameters` of the answer hold its charge."""
    key, rates, body = await routes.taken(service, exchange)
    _check_model(service, exchange)
    request, inputs = await routes.parsed(body, lambda: _parse(service, body))
    asked = [item["name"] for item in request["outputs"]] if request.get("outputs") else None

    def shape(service: Service, charge: str, outputs: list[Any], quantities: Mapping[str, int]) -> dict[str, Any]:
        own = routes.answer_body(service, charge, [], quantities)
        paid = {name: own[name] for name in ("price", "currency") if own.get(name) is not None}
        return {
            "model_name": service.name,
            "model_version": VERSION,
            "id": request.get("id", charge),
            "parameters": {"charge": charge, **{f"usage_{meter}": n for meter, n in quantities.items()}, **paid},
            "outputs": tensors.written(outputs_of(service), outputs, asked),
        }

    return await routes.charged(service, exchange, key, inputs, body=body, rates=rates, shape=shape)


def _parse(service: Service, body: bytes) -> tuple[dict[str, Any], list[Any]]:
    request = read_object(body, _FIELDS, _EXAMPLE)
    name = request.get("id", "-")
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_ID:
        raise wrong_field("id", "expects-shorter", max_length=_LONGEST_ID)
    if not isinstance(request.get("parameters", {}), dict):
        raise wrong_field("parameters", "expects-object")
    _check_wanted(request.get("outputs", []), [tensor.name for tensor in outputs_of(service).tensors])
    layout = inputs_of(service)
    try:
        return request, routes.items(service, tensors.payloads(layout, request.get("inputs")))
    except InputError as error:
        raise InputError(error.code, at=Place(field=_placed(error.at.field or "", layout)), **error.fields) from error


def _placed(field: str, layout: tensors.Layout) -> str:
    """`inputs[3].amount` of /v1/predict counts cases; here `inputs` counts tensors, and `data` cases."""
    found = re.fullmatch(r"inputs\[(\d+)\](?:\.(.*))?", field)
    if found is None:
        return field
    case, inner = found.groups()
    names = [tensor.name for tensor in layout.tensors]
    index = names.index(inner) if not layout.whole and inner in names else 0
    return f"inputs[{index}].data[{case}]"


def _check_wanted(wanted: Any, known: list[str]) -> None:
    if isinstance(wanted, list):
        names = [item.get("name") if isinstance(item, dict) else None for item in wanted]
        if all(name in known for name in names) and len(set(names)) == len(names):
            return
    raise wrong_field("outputs", "expects-tensor-names", names=known)
