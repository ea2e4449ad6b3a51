"""What a request is held to before it is answered: a retry is known again, a limit is not passed, a say is not had for
ever.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from breakeven.errors import Place
from breakeven.serving.wire import HttpError

if TYPE_CHECKING:
    from breakeven.ledger.replay import Replay
    from breakeven.serving.exchange import Exchange


MOST_REMARKS = 20
_KNOWN_ANSWERS = 100_000


class Remarks:
    """How often customers said something about an answer of late: what they say is kept and learnt from, and costs them
    nothing.
    """

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, int | None], int] = OrderedDict()

    def check(self, event: str, index: int | None) -> None:
        """HttpError 429 for an answer about which enough was said."""
        if self._said.get((event, index), 0) >= MOST_REMARKS:
            raise HttpError(429, "feedback-enough", at=Place(field="id"), limit=MOST_REMARKS)

    def count(self, event: str, index: int | None) -> None:
        """One remark more was kept."""
        self._said[event, index] = self._said.pop((event, index), 0) + 1
        if len(self._said) > _KNOWN_ANSWERS:
            self._said.popitem(last=False)


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
