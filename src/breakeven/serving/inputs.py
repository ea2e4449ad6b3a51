"""Keeping inputs and outputs of answered requests, beside the request's path: a thread writes them once a second.

Nothing waits for it. What does not fit is dropped and counted; who has not consented leaves nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from breakeven.ledger import clock
from breakeven.ledger.inputs import Kept, keep

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger
    from breakeven.ledger.events import Charge

log = logging.getLogger("breakeven.serving")

MOST_REQUESTS = 4096
MOST_BYTES = 16 << 20
LONGEST_CASE = 256 << 10  # of a case's JSON; a longer one is not kept
_ROWS_AT_ONCE = 200  # few enough that a commit of charges does not feel them
_PAUSE = 1.0
_LAST_WRITE_SECONDS = 10.0
_UNKNOWN_SIZE = 1024


@dataclass(frozen=True)
class Keep:
    """What is kept of the requests of customers who consented. `share`: of the requests; `seconds`: how long;
    `inputs` False: outputs alone.
    """

    share: float = 1.0
    seconds: float = 30 * 86_400.0
    inputs: bool = True


@dataclass(frozen=True, slots=True)
class _Request:
    charge: Charge
    task: Any
    inputs: list[Any]
    outputs: list[Any]
    size: int


class InputLog:
    """The kept requests of one server. `count(outcome, cases)` hears kept, no-consent, dropped, too-large, failed."""

    def __init__(
        self, ledger: Ledger, wanted: Keep, count: Callable[[str, int], None], *, pause: float = _PAUSE
    ) -> None:
        self._ledger = ledger
        self._wanted = wanted
        self._count = count
        self._pause = pause
        self._lock = threading.Lock()
        self._waiting: list[_Request] = []
        self._size = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="input-log", daemon=True)
        self._thread.start()

    def offer(self, charge: Charge, task: Any, inputs: list[Any], outputs: list[Any]) -> None:
        """Takes a charged request's parsed inputs and its outputs, if it is drawn and there is room. Never waits."""
        if not drawn(charge.id, self._wanted.share):
            return
        size = sum(len(item) if isinstance(item, (str, bytes)) else _UNKNOWN_SIZE for item in inputs)
        with self._lock:
            room = len(self._waiting) < MOST_REQUESTS and self._size + size <= MOST_BYTES
            if room:
                self._waiting.append(_Request(charge, task, inputs, outputs, size))
                self._size += size
        if not room:
            self._count("dropped", len(inputs))

    def close(self) -> None:
        """Writes what waits and ends the thread. Before the ledger is closed."""
        self._ending.set()
        self._thread.join(_LAST_WRITE_SECONDS)

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ending.wait(self._pause)
            with self._lock:
                taken, self._waiting, self._size = self._waiting, [], 0
            try:
                self._write(taken)
            except Exception as error:  # nobody's answer depends on it; the next second tries with what comes then
                self._count("failed", sum(len(request.inputs) for request in taken))
                log.warning("inputs could not be kept: %s", type(error).__name__)

    def _write(self, requests: list[_Request]) -> None:
        rows = []
        for request in requests:
            if self._ledger.customers.terms(request.charge.customer).consent:
                rows += list(self._rows(request))
            else:
                self._count("no-consent", len(request.inputs))
        expires = clock.now() + round(self._wanted.seconds * 1_000_000)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            kept = keep(self._ledger, part, expires=expires)
            self._count("kept", kept)
            self._count("no-consent", len(part) - kept)

    def _rows(self, request: _Request) -> Iterator[Kept]:
        for index, (item, output) in enumerate(zip(request.inputs, request.outputs, strict=True)):
            payload = _json(request.task.payload(item)) if self._wanted.inputs else "null"
            answer = _json(output)
            if len(payload) + len(answer) > LONGEST_CASE:
                self._count("too-large", 1)
                continue
            yield Kept(request.charge.id, index, request.charge.customer, payload, answer)


def drawn(event: str, share: float) -> bool:
    """Whether a request is in the sample: by a hash of its id, so a request is in or out with all of its cases, and a
    larger share holds all of a smaller one.
    """
    if share >= 1.0:
        return True
    digest = hashlib.blake2b(event.encode(), digest_size=8, person=b"inputs").digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_bytes)


def _bytes(value: Any) -> str:
    """Bytes as the task takes them back: base64."""
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
