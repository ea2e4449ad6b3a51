"""Answers in parts, as server-sent events. A stream is settled at its end, or when the client leaves, for what
was sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from breakeven.errors import BreakevenError, Place
from breakeven.ledger.events import Charge, new_id
from breakeven.serving import routes
from breakeven.serving.exchange import Exchange
from breakeven.serving.promises import at_most, check_once
from breakeven.serving.wire import HttpError, encode, error_response, status_of

if TYPE_CHECKING:
    from breakeven.ledger.keys import Key
    from breakeven.serving.app import Service
    from breakeven.serving.deployment import Deployment
    from breakeven.serving.parts import Parts as WorkerParts

log = logging.getLogger("breakeven.serving")

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-accel-buffering", b"no"),
]


_STILL_ALLOWED = 1.0  # seconds after which a stream's key is looked at again: one that was revoked ends it


class Events(Protocol):
    """What a stream's reader is sent: an event a part, and those at its end."""

    def part(self, charge: str, part: Any) -> dict[str, Any]:
        """The event of one part; `charge` is the id that the stream will be charged under."""

    def end(self, charge: str, sent: list[Any], quantities: Mapping[str, int]) -> list[dict[str, Any]]:
        """The events after the last part."""


class Parts:
    """`{"id", "part"}` a part, then `{"id", "model", "outputs", "usage", "price"}`."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def part(self, charge: str, part: Any) -> dict[str, Any]:
        """See Events."""
        return {"id": charge, "part": part}

    def end(self, charge: str, sent: list[Any], quantities: Mapping[str, int]) -> list[dict[str, Any]]:
        """See Events."""
        return [routes.answer_body(self._deployment, charge, [sent], quantities)]


async def stream(
    service: Service,
    deployment: Deployment,
    exchange: Exchange,
    key: Key,
    inputs: list[Any],
    *,
    events: Events | None = None,
) -> None:
    """Sends the events of one answer (None: `Parts`), then `[DONE]`."""
    if not deployment.package.task.streams:
        raise HttpError(422, "stream-not-offered", at=Place(field="stream"))
    check_once(exchange)
    if len(inputs) != 1:
        raise HttpError(422, "stream-one-input", at=Place(field="inputs"), found=len(inputs))
    events = events or Parts(deployment)
    admission = await routes.admit(service, deployment, key, at_most(deployment.package, inputs))
    charge_id = new_id()
    try:
        parts = deployment.stream(lambda: deployment.package.stream(inputs[0]), lane=key.id)
    except BaseException:
        service.ledger.release(admission)
        raise
    headers = [*_HEADERS, (b"x-request-id", exchange.id.encode())]
    try:
        exchange.begun = True
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        sent, left, failure = await _sent(service, exchange, parts, lambda part: events.part(charge_id, part))
        quantities = deployment.package.usage(inputs, [sent]) if sent else {}
    except BaseException:
        parts.left = True
        service.ledger.release(admission)
        raise
    charge = Charge(key.customer, quantities, id=charge_id, source=service.source, key=key.id, release=deployment.name,
                    plan=deployment.plan.version)  # fmt: skip
    if quantities:
        await service.commit(admission, charge)
        service.charged(deployment, charge)
        if service.inputs is not None:
            service.inputs.offer(charge, deployment.package.task, inputs, [sent])
    else:
        service.ledger.release(admission)
    if failure is None:
        deployment.count_answered()
    else:
        deployment.count_failed()
    if not left:
        await _finish(service, exchange, events.end(charge_id, sent, quantities), failure)


async def _sent(
    service: Service, exchange: Exchange, parts: WorkerParts, shown: Callable[[Any], dict[str, Any]]
) -> tuple[list[Any], bool, BreakevenError | None]:
    """(the parts that were sent, whether the reader left, what ended them early)."""
    gone = asyncio.ensure_future(_left(exchange))
    service.streams.add(parts)
    checked = time.monotonic()
    sent: list[Any] = []
    failure: BreakevenError | None = None
    cut = False
    if exchange.trace is not None:
        exchange.trace.cases = 1
        exchange.trace.mark("taken")
    try:
        async for part in _until(parts, gone):
            if not sent:
                service.watch.first(time.perf_counter() - exchange.began)
            sent.append(part)
            await _event(exchange, shown(part))
            if time.monotonic() - checked > _STILL_ALLOWED:
                await service.access.key(exchange, "predict")
                checked = time.monotonic()
    except Exception as error:  # the head is sent: the error goes into the stream
        failure = error if isinstance(error, BreakevenError) else HttpError(500, "internal")
        log.error("stream %s failed: %s", exchange.id, type(error).__name__)
    except asyncio.CancelledError:  # its reader took nothing more until the server's time was over
        if not service.draining:
            raise
        failure, cut = HttpError(503, "shutting-down"), True
    finally:
        parts.left = True
        service.streams.discard(parts)
        left = gone.done() or cut
        gone.cancel()
        if exchange.trace is not None:
            exchange.trace.mark("answered")
    return sent, left, failure


async def _finish(
    service: Service, exchange: Exchange, events: list[dict[str, Any]], failure: BreakevenError | None
) -> None:
    if failure is not None:
        exchange.failure = failure.code
        service.watch.refused(failure.code, status_of(failure))
        events[-1] = {**events[-1], **json.loads(error_response(failure, exchange.id).body)}
    for event in events:
        await _event(exchange, event)
    await exchange.send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _event(exchange: Exchange, value: Any) -> None:
    await exchange.send(
        {"type": "http.response.body", "body": b"data: " + encode(value).encode() + b"\n\n", "more_body": True}
    )


async def _left(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


async def _until(parts: WorkerParts, gone: asyncio.Future[None]) -> Any:
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
