"""What a request is promised before it is answered: that a retry is known again, and that a limit is not passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from breakeven.errors import Place
from breakeven.serving.wire import HttpError

if TYPE_CHECKING:
    from breakeven.ledger.replay import Replay
    from breakeven.serving.exchange import Exchange


def known_by(replay: Replay, exchange: Exchange, body: bytes) -> str:
    """By what a retry is known: what was sent, and where to. The same bytes at another address are another request."""
    path = exchange.scope["path"]
    if path != "/v1/predict":
        body = f"{path}\0{exchange.header(b'inference-header-content-length')}\0".encode() + body
    return replay.request(body)


def check_once(exchange: Exchange) -> None:
    """HttpError 422 where an Idempotency-Key would promise what is not kept: an answer to give a second time."""
    if b"idempotency-key" in exchange.headers:
        raise HttpError(422, "idempotency-not-here", at=Place(field="Idempotency-Key"))


def at_most(package: Any, inputs: list[Any]) -> dict[str, int]:
    """What is reserved for some answers, by meter: what the task says each can use at most, else one of each meter."""
    found: dict[str, int] = dict.fromkeys(package.task.meters, len(inputs))
    for item in inputs if hasattr(package.task, "most") else ():
        for meter, quantity in package.task.most(item).items():
            found[meter] += quantity - 1
    return found
