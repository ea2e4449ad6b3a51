"""What each address does. A prediction: key, rate, body, parse, replay, admit, answer, commit, and only then the
answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from breakeven.errors import InputError, Place, Refused
from breakeven.ledger import clock
from breakeven.ledger.events import Charge, new_id
from breakeven.ledger.replay import RETENTION
from breakeven.serving.exchange import Exchange, read_object
from breakeven.serving.promises import at_most, known_by
from breakeven.serving.wire import JSON_TYPE, HttpError, Response, encode, json_response, wrong_field

if TYPE_CHECKING:
    from breakeven.ledger.keys import Key
    from breakeven.ledger.limits import Admission
    from breakeven.serving.app import Service
    from breakeven.serving.deployment import Deployment

log = logging.getLogger("breakeven.serving")

Parsed = TypeVar("Parsed")
Shape = Callable[["Deployment", str, list[Any], Mapping[str, int]], "dict[str, Any] | bytes"]

_PREDICT = frozenset({"inputs", "model", "stream"})
_EXAMPLE = '{"inputs": [...]}'
_SMALL_BODY = 1 << 16
_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"})
_REPLAYED = (b"idempotent-replayed", b"true")


async def predict(service: Service, exchange: Exchange) -> Response | None:
    """POST /v1/predict."""
    from breakeven.serving import multipart
    from breakeven.serving.streaming import stream

    exchange.forms = exchange.kind == multipart.FORM and multipart.offered(service)
    key, rates, body = await taken(service, exchange)
    size = len(body)
    if exchange.is_form:
        request, body = await parsed(body, lambda: multipart.read(service, exchange, body))
    else:
        request = await parsed(body, lambda: _parse(body))
    with service.deployment(named_model(request), key) as deployment:
        check_size(deployment, size)
        if exchange.is_form:
            request["inputs"] = multipart.payloads(request["inputs"], multipart.schema_of(deployment))
        inputs = await parsed(body, lambda: items(deployment, request["inputs"]))
        if request.get("stream", False):
            await stream(service, deployment, exchange, key, inputs)
            return None
        return await charged(service, deployment, exchange, key, inputs, body=body, rates=rates)


async def taken(service: Service, exchange: Exchange, model: str | None = None) -> tuple[Key, dict[str, str], bytes]:
    """(key, x-ratelimit headers, body) of a request for answers, or why it is not taken. `model`: where the address
    names it.
    """
    check_open(service)
    key = await service.access.key(exchange, "predict")
    # Before the body is read and a rate's token is taken: a flood must be cheap to refuse.
    service.deployment(model, key).batcher.check(1, service.limits.request_seconds, lane=key.id)
    rates = service.access.rate(key)
    return key, rates, await exchange.body(service.limits.max_bytes)


def check_size(deployment: Deployment, size: int) -> None:
    """HttpError 413 for a body that is too large for the release that is to answer; others may take larger ones."""
    if size > deployment.limits.max_bytes:
        raise HttpError(413, "body-too-large", limit=deployment.limits.max_bytes)


async def parsed(body: bytes, parse: Callable[[], Parsed]) -> Parsed:
    """What `parse` makes of a body. A large one takes long enough that others would feel it, so it goes to a thread."""
    if len(body) <= _SMALL_BODY:
        return parse()
    return await asyncio.get_running_loop().run_in_executor(None, parse)


async def charged(
    service: Service,
    deployment: Deployment,
    exchange: Exchange,
    key: Key,
    inputs: list[Any],
    *,
    body: bytes,
    rates: Mapping[str, str],
    shape: Shape | None = None,
) -> Response:
    """The answer to some inputs, charged once by its Idempotency-Key; `shape` writes its object (None: ours)."""
    shape = shape or answer_body
    if exchange.headers.get(b"idempotency-key") is None:
        response = await answer(service, deployment, key, inputs, shape=shape)
    else:
        response = await _once(service, deployment, exchange, key, inputs, body=body, shape=shape)
    if rates:
        response.headers.extend((name.encode(), value.encode()) for name, value in rates.items())
    return response


def check_open(service: Service) -> None:
    """Raises where no request is taken: the server ends, or the ledger cannot be written."""
    if service.draining:
        raise HttpError(503, "shutting-down", headers={"connection": "close"})
    if service.ledger.writer.fault is not None:
        raise service.ledger.writer.fault


def _parse(body: bytes) -> dict[str, Any]:
    request = read_object(body, _PREDICT, _EXAMPLE)
    if not isinstance(request.get("inputs"), list):
        raise wrong_field("inputs", "expects-inputs")
    if not isinstance(request.get("stream", False), bool):
        raise wrong_field("stream", "expects-boolean")
    return request


def items(deployment: Deployment, payloads: list[Any]) -> list[Any]:
    """What the package takes for some payloads; an error names the place of the one that is wrong."""
    limit = deployment.limits.max_inputs
    if not 1 <= len(payloads) <= limit:
        raise HttpError(422, "inputs-count", at=Place(field="inputs"), found=len(payloads), limit=limit)
    inputs = []
    for index, payload in enumerate(payloads):
        try:
            inputs.append(deployment.package.parse(payload))
        except InputError as error:
            inner = error.at.field
            field = f"inputs[{index}]" + (f".{inner}" if inner and inner != "input" else "")
            raise InputError(error.code, at=Place(field=field), **error.fields) from error
    return inputs


async def answer(
    service: Service,
    deployment: Deployment,
    key: Key,
    inputs: list[Any],
    *,
    shape: Shape,
    idempotency: str = "",
    request: str = "",
) -> Response:
    """Answers, charges, and returns the response: the charge is on the disk when this returns."""
    package = deployment.package
    admission = await admit(service, deployment, key, at_most(package, inputs))
    try:
        outputs = await deployment.answer(inputs, lane=key.id)
        quantities = package.usage(inputs, outputs)
        charge_id = new_id()
        try:
            shaped = shape(deployment, charge_id, outputs, quantities)
            body = shaped if isinstance(shaped, bytes) else encode(shaped).encode()
        except (ValueError, TypeError) as error:  # NaN, or something JSON cannot carry
            log.error("the model's outputs are not JSON: %s", type(error).__name__)
            raise HttpError(500, "answer-broken") from error
    except BaseException:
        service.ledger.release(admission)
        deployment.count_failed()
        raise
    charge = Charge(
        key.customer,
        quantities,
        answers=len(inputs),
        id=charge_id,
        source=service.source,
        key=key.id,
        release=deployment.name,
        plan=deployment.plan.version,
        request=request,
        idempotency=idempotency,
        body=body if idempotency else None,
        expires=clock.now() + RETENTION if idempotency else 0,
    )
    if not await service.commit(admission, charge):
        return await _replayed(service, idempotency, request)
    service.answered(deployment, charge)
    if service.inputs is not None:
        service.inputs.offer(charge, package.task, inputs, outputs)
    return Response(200, body, [JSON_TYPE])


async def admit(service: Service, deployment: Deployment, key: Key, expected: Mapping[str, int]) -> Admission:
    """Reserves in memory on SQLite; on PostgreSQL with a round trip, which must not hold the event loop."""
    plan = deployment.plan
    if service.ledger.stores.sqlite:
        return service.ledger.admit(key, expected, plan)
    return await asyncio.get_running_loop().run_in_executor(None, service.ledger.admit, key, expected, plan)


def answer_body(
    deployment: Deployment, charge_id: str, outputs: list[Any], quantities: Mapping[str, int]
) -> dict[str, Any]:
    """The answer's object; its `usage` is the ledger's row."""
    price = deployment.plan.price(quantities)
    body: dict[str, Any] = {
        "id": charge_id,
        "model": deployment.name,
        "outputs": outputs,
        "usage": [{"meter": meter, "quantity": quantity} for meter, quantity in quantities.items()],
        "price": price,
    }
    if price is not None:
        body["currency"] = deployment.plan.currency
    return body


async def _once(
    service: Service,
    deployment: Deployment,
    exchange: Exchange,
    key: Key,
    inputs: list[Any],
    *,
    body: bytes,
    shape: Shape,
) -> Response:
    """The same Idempotency-Key is answered once; who comes while it runs waits for that answer."""
    given = exchange.header(b"idempotency-key")
    if not 1 <= len(given) <= 255 or not given.isascii() or not given.isprintable():
        raise HttpError(400, "idempotency-key", at=Place(field="Idempotency-Key"))
    name, request = service.ledger.replay.name(key.customer, given), known_by(service.ledger.replay, exchange, body)
    running = service.running.get(name)
    if running is not None:
        if running[0] != request:
            raise Refused("idempotency-other-body")
        first = await asyncio.shield(running[1])
        return Response(first.status, first.body, [JSON_TYPE, _REPLAYED])
    outcome: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    outcome.add_done_callback(_heard)
    service.running[name] = request, outcome
    try:
        stored = await asyncio.get_running_loop().run_in_executor(None, service.ledger.replay.find, name, request)
        if stored is not None:
            response = Response(stored.status, stored.body, [JSON_TYPE, _REPLAYED])
        else:
            response = await answer(service, deployment, key, inputs, shape=shape, idempotency=name, request=request)
        outcome.set_result(response)
        return response
    except Exception as error:
        outcome.set_exception(error)
        raise
    finally:
        del service.running[name]
        outcome.cancel()


def _heard(outcome: asyncio.Future[Response]) -> None:
    """Nobody else may have waited for a failure; it was raised to the one who ran it."""
    if not outcome.cancelled():
        outcome.exception()


async def _replayed(service: Service, name: str, request: str) -> Response:
    """Another process answered this key between our look and our commit: its answer is the answer."""
    stored = await asyncio.get_running_loop().run_in_executor(None, service.ledger.replay.find, name, request)
    if stored is None:
        raise HttpError(500, "internal")
    return Response(stored.status, stored.body, [JSON_TYPE, _REPLAYED])


_FEEDBACK = frozenset({"id", "index", "correct", "label", "rating", "comment"})


async def feedback(service: Service, exchange: Exchange) -> Response:
    """POST /v1/feedback."""
    key = await service.access.key(exchange, "feedback")
    rates = service.access.rate(key)
    request = read_object(
        await exchange.body(min(service.limits.max_bytes, 1 << 16)), _FEEDBACK, '{"id": "...", "correct": false}'
    )
    _check_feedback(request)
    value: dict[str, Any] = {
        name: request[name] for name in ("correct", "label", "rating", "comment") if name in request
    }
    service.remarks.check(request["id"], request.get("index"))
    kept = await asyncio.get_running_loop().run_in_executor(
        None,
        lambda: service.ledger.feedback.add(request["id"], value, customer=key.customer, index=request.get("index")),
    )
    service.remarks.count(request["id"], request.get("index"))
    return json_response(200, kept, rates)


def _check_feedback(request: Mapping[str, Any]) -> None:
    if not isinstance(request.get("id"), str) or not request["id"]:
        raise wrong_field("id", "expects-answer-id")
    index = request.get("index")
    if "index" in request and (not isinstance(index, int) or isinstance(index, bool)):
        raise wrong_field("index", "expects-index")
    if "correct" in request and not isinstance(request["correct"], bool):
        raise wrong_field("correct", "expects-boolean")
    rating = request.get("rating")
    if "rating" in request and (isinstance(rating, bool) or not isinstance(rating, (int, float))):
        raise wrong_field("rating", "expects-number")
    for name, longest in (("label", 1000), ("comment", 10_000)):
        if name in request and (not isinstance(request[name], str) or len(request[name]) > longest):
            raise wrong_field(name, "expects-shorter", max_length=longest)
    if not any(name in request for name in ("correct", "label", "rating", "comment")):
        raise wrong_field("correct", "expects-some-of", allowed=["correct", "label", "rating", "comment"])


async def usage(service: Service, exchange: Exchange) -> Response:
    """GET /v1/usage?start=&end=: this key's customer only."""
    key = await service.access.key(exchange, "usage")
    rates = service.access.rate(key)
    query = exchange.query()
    for name in query:
        if name not in ("start", "end"):
            raise HttpError(422, "body-unknown-field", at=Place(field=name[:100]), allowed=["start", "end"])
    rows = await asyncio.get_running_loop().run_in_executor(
        None, service.ledger.usage, key.customer, query.get("start"), query.get("end")
    )
    return json_response(200, {"start": query.get("start"), "end": query.get("end"), "usage": rows}, rates)


async def models(service: Service, exchange: Exchange) -> Response:
    """GET /v1/models."""
    await service.access.key(exchange, "predict")
    return json_response(200, {"object": "list", "data": [described(one) for one in service.served.values()]})


def described(deployment: Deployment) -> dict[str, Any]:
    """A served release as /v1/models shows it."""
    package, task, plan = deployment.package, deployment.package.task, deployment.plan
    return {
        "id": deployment.name,
        "object": "model",
        "task": task.name,
        "meters": list(task.meters),
        "streams": task.streams,
        "input": task.input_schema(package.facts),
        "output": task.output_schema(package.facts),
        "price": plan.as_json() if plan.rates else None,
        "limits": {"max_inputs": deployment.limits.max_inputs, "max_bytes": deployment.limits.max_bytes},
    }


async def livez(_service: Service, _exchange: Exchange) -> Response:
    """GET /livez: the process answers."""
    return json_response(200, {"status": "alive"})


async def readyz(service: Service, _exchange: Exchange) -> Response:
    """GET /readyz: 200, or 503 and why not."""
    reason = service.ready()
    if reason is None:
        found: dict[str, Any] = {"status": "ready", "model": service.current.name}
        here = getattr(service.current.package, "here", {})
        if here.get("checked"):  # on another machine than the measured one
            found["runtime"] = {name: here[name] for name in ("runtime", "rows", "agree", "fell_back", "reason")}
        if service.refused is not None:
            found["refused"] = {"decision": service.refused[0], "code": service.refused[1]}
        return json_response(200, found)
    return json_response(503, {"status": "not ready", "reason": reason}, {"retry-after": "1"})


async def metrics(service: Service, exchange: Exchange) -> Response:
    """GET /metrics: for who reaches the server itself. What came through a proxy needs a key that may `admin`: figures
    of money are nobody's business, and a proxy that publishes everything is soon set up.
    """
    if not exchange.headers.keys().isdisjoint(_FORWARDED):
        await service.access.key(exchange, "admin")
    from breakeven.serving.watch import CONTENT_TYPE

    return Response(200, service.watch.page(), [(b"content-type", CONTENT_TYPE.encode())])


def named_model(request: Mapping[str, Any]) -> str | None:
    """The release that a request's `model` names; None: it names none."""
    model = request.get("model")
    if "model" in request and not isinstance(model, str):
        raise wrong_field("model", "expects-text")
    return model
