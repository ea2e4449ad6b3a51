"""The Open Inference Protocol, version 2, over HTTP with JSON: the same keys, queue, charge and errors as /v1/predict.

Tensors may stand as bytes behind the JSON object, in requests and in answers (`binary_tensors`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from breakeven.errors import InputError, Place
from breakeven.serving import binary_tensors as binary
from breakeven.serving import routes, tensors
from breakeven.serving.exchange import Exchange, read_object
from breakeven.serving.wire import Response, json_response, wrong_field

if TYPE_CHECKING:
    from breakeven.ledger.keys import Key
    from breakeven.serving.app import Service
    from breakeven.serving.deployment import Deployment

VERSION = "1"  # a release never changes and has a name of its own, so it has one version
_FIELDS = frozenset({"id", "parameters", "inputs", "outputs"})
_EXAMPLE = '{"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "data": ["..."]}]}'
_LONGEST_ID = 200


async def server(_service: Service, _exchange: Exchange) -> Response:
    """GET /v2: who answers, and the one extension."""
    from breakeven import __version__

    return json_response(200, {"name": "breakeven", "version": __version__, "extensions": [binary.EXTENSION]})


async def live(_service: Service, _exchange: Exchange) -> Response:
    """GET /v2/health/live."""
    return json_response(200, {"live": True})


async def ready(service: Service, _exchange: Exchange) -> Response:
    """GET /v2/health/ready: 200, or 503 and why not. The specification calls the field `live`, its servers `ready`."""
    return _ready(service, {"live": service.ready() is None})


async def model_ready(service: Service, exchange: Exchange) -> Response:
    """GET /v2/models/{model}/ready."""
    return _ready(service, {"name": service.named(_model_of(exchange)).name})


def _ready(service: Service, named: dict[str, Any]) -> Response:
    reason = service.ready()
    if reason is None:
        return json_response(200, {**named, "ready": True})
    return json_response(503, {**named, "ready": False, "reason": reason}, {"retry-after": "1"})


async def model(service: Service, exchange: Exchange) -> Response:
    """GET /v2/models/{model}: its tensors."""
    await service.access.key(exchange, "predict")
    deployment = service.named(_model_of(exchange))
    return json_response(
        200,
        {
            "name": deployment.name,
            "versions": [VERSION],
            "platform": "breakeven",
            "inputs": [tensor.as_json() for tensor in inputs_of(deployment).tensors],
            "outputs": [tensor.as_json() for tensor in outputs_of(deployment).tensors],
        },
    )


def inputs_of(deployment: Deployment) -> tensors.Layout:
    """The tensors that the served task takes."""
    return tensors.layout(deployment.package.task.input_schema(deployment.package.facts), "input")


def outputs_of(deployment: Deployment) -> tensors.Layout:
    """The tensors that the served task gives."""
    return tensors.layout(deployment.package.task.output_schema(deployment.package.facts), "output")


def _model_of(exchange: Exchange) -> str:
    """The name in the address; "", which nothing is called, where the version is none."""
    name = exchange.named["model"] if exchange.named.get("version", VERSION) == VERSION else ""
    return unquote(name) if "%" in name else name


async def infer(service: Service, exchange: Exchange) -> Response:
    """POST /v2/models/{model}/infer: tensors in, tensors out; `parameters` of the answer hold its charge."""
    model = _model_of(exchange)
    exchange.binary = binary.HEADER.encode() in exchange.headers
    key, rates, body = await routes.taken(service, exchange, model)
    with service.deployment(model, key) as deployment:
        return await _inferred(service, deployment, exchange, key, body=body, rates=rates)


async def _inferred(
    service: Service, deployment: Deployment, exchange: Exchange, key: Key, *, body: bytes, rates: Mapping[str, str]
) -> Response:
    routes.check_size(deployment, len(body))
    length = exchange.header(binary.HEADER.encode()) if exchange.binary else None
    request, inputs = await routes.parsed(body, lambda: _parse(deployment, body, length))
    as_bytes = binary.wanted(request)
    asked = [item["name"] for item in request["outputs"]] if request.get("outputs") else None

    def shape(deployment: Deployment, charge: str, outputs: list[Any], quantities: Mapping[str, int]) -> Any:
        own = routes.answer_body(deployment, charge, [], quantities)
        paid = {name: own[name] for name in ("price", "currency") if own.get(name) is not None}
        answer = {
            "model_name": deployment.name,
            "model_version": VERSION,
            "id": request.get("id", charge),
            "parameters": {"charge": charge, **{f"usage_{meter}": n for meter, n in quantities.items()}, **paid},
            "outputs": tensors.written(outputs_of(deployment), outputs, asked),
        }
        return binary.joined(answer, as_bytes) if any(as_bytes.values()) else answer

    response = await routes.charged(service, deployment, exchange, key, inputs, body=body, rates=rates, shape=shape)
    if any(as_bytes.values()):
        length = str(binary.header_of(response.body))
        others = [header for header in response.headers if header[0] != b"content-type"]
        response.headers = [(b"content-type", binary.KIND.encode()), (binary.HEADER.encode(), length.encode()), *others]
    return response


def _parse(deployment: Deployment, body: bytes, length: str | None) -> tuple[dict[str, Any], list[Any]]:
    head, rest = binary.split(body, length)
    request = read_object(head, _FIELDS, _EXAMPLE)
    name = request.get("id", "-")
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_ID:
        raise wrong_field("id", "expects-shorter", max_length=_LONGEST_ID)
    if not isinstance(request.get("parameters", {}), dict):
        raise wrong_field("parameters", "expects-object")
    _check_wanted(request.get("outputs", []), [tensor.name for tensor in outputs_of(deployment).tensors])
    layout = inputs_of(deployment)
    try:
        return request, routes.items(deployment, tensors.payloads(layout, binary.filled(request.get("inputs"), rest)))
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
