"""Answers in parts, as server-sent events. A stream is settled at its end, or when the client leaves, for what
was sent.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from breakeven.errors import BreakevenError, Place
from breakeven.ledger.events import Charge, new_id
from breakeven.serving.exchange import Exchange
from breakeven.serving.wire import HttpError, encode, error_response

if TYPE_CHECKING:
    from breakeven.ledger.keys import Key
    from breakeven.serving.app import Service
    from breakeven.serving.batcher import Parts
    from breakeven.serving.deployment import Deployment

log = logging.getLogger("breakeven.serving")

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),
]


async def stream(service: Service, deployment: Deployment, exchange: Exchange, key: Key, inputs: list[Any]) -> None:
    """Sends `data: {"id", "part"}` a part, then `data: {"id", "model", "outputs", "usage", "price"}`, then `[DONE]`."""
    from breakeven.serving.routes import answer_body

    if not deployment.package.task.streams:
        raise HttpError(422, "stream-not-offered", at=Place(field="stream"))
    if len(inputs) != 1:
        raise HttpError(422, "stream-one-input", at=Place(field="inputs"), found=len(inputs))
    admission = service.ledger.admit(key, dict.fromkeys(deployment.package.task.meters, 1), deployment.plan)
    charge_id, sent = new_id(), []
    try:
        parts = deployment.stream(lambda: deployment.package.stream(inputs[0]))
    except BaseException:
        service.ledger.release(admission)
        raise
    await exchange.send(
        {"type": "http.response.start", "status": 200, "headers": [*_HEADERS, (b"x-request-id", exchange.id.encode())]}
    )
    gone = asyncio.ensure_future(_left(exchange))
    failure: BreakevenError | None = None
    try:
        async for part in _until(parts, gone):
            sent.append(part)
            await _event(exchange, {"id": charge_id, "part": part})
    except Exception as error:  # the head is sent: the error goes into the stream
        log.error("stream %s failed: %s", exchange.id, error)
        failure = error if isinstance(error, BreakevenError) else HttpError(500, "internal")
    finally:
        parts.left = True
        left = gone.done()
        gone.cancel()
    quantities = deployment.package.usage(inputs, [sent]) if sent else {}
    charge = Charge(
        key.customer,
        quantities,
        id=charge_id,
        source=service.source,
        key=key.id,
        release=deployment.name,
        plan=deployment.plan.version,
    )
    if quantities:
        await service.commit(admission, charge)
        service.watch.used(quantities)
    else:
        service.ledger.release(admission)
    if not left:
        await _finish(service, exchange, answer_body(deployment, charge.id, [sent], quantities), failure)


async def _finish(service: Service, exchange: Exchange, body: dict[str, Any], failure: BreakevenError | None) -> None:
    if failure is not None:
        service.watch.refused(failure.code)
        body["error"] = error_response(failure, exchange.id).body.decode()
    await _event(exchange, body)
    await exchange.send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _event(exchange: Exchange, value: Any) -> None:
    await exchange.send(
        {"type": "http.response.body", "body": b"data: " + encode(value).encode() + b"\n\n", "more_body": True}
    )


async def _left(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


async def _until(parts: Parts, gone: asyncio.Future[None]) -> Any:
    """The parts until they end or the client is gone."""
    while True:
        following = asyncio.ensure_future(parts.__anext__())
        await asyncio.wait([following, gone], return_when=asyncio.FIRST_COMPLETED)
        if not following.done():
            following.cancel()
            return
        try:
            yield following.result()
        except StopAsyncIteration:
            return
