"""What the server says about itself: lines for people, or JSON for machines (`--log json`), with a line a request.

No payload, key or header is ever written. What other code puts into an exception may be a customer's text, so of an
exception that is not ours only its type and where it arose are told.
"""

from __future__ import annotations

import datetime
import json
import logging
import logging.handlers
import math
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, TextIO

from breakeven.errors import BreakevenError, phrased, reader_language, sayings

if TYPE_CHECKING:
    from breakeven.ledger.events import Charge
    from breakeven.serving.exchange import Exchange

Kind = Literal["text", "json"]
REQUESTS = "breakeven.requests"
_WAITING = 10_000  # lines that may wait for a reader that stands still; more are counted and dropped
_FRAMES = 30
_SAME_LINES = 20
_SAME_SECONDS = 10.0
_KINDS = 256
# A text that somebody else chose can neither look like a line of ours nor speak to a terminal.
_PLAIN = {**dict.fromkeys([*range(32), *range(127, 160)], "?"), ord("\n"): "\n  ", ord("\t"): " "}


def configure(kind: Kind = "text", stream: TextIO | None = None) -> Lines:
    """Sends the log of this process to `stream` (None: standard error); `json` adds a line a request."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLine() if kind == "json" else TextLine())
    lines = Lines(handler)
    logging.basicConfig(level=logging.WARNING, handlers=[lines], force=True)
    logging.getLogger(REQUESTS).setLevel(logging.INFO if kind == "json" else logging.WARNING)
    return lines


class Repeats:
    """Counts lines that say the same: who makes the server say something very often must not fill a disk with it."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}  # since when, and how many

    def passes(self, record: logging.LogRecord, moment: float) -> bool:
        """Whether a line is one of the first of its kind in a stretch of time."""
        kind = (record.name, str(record.msg)[:200])
        if kind not in self._kinds and len(self._kinds) >= _KINDS:
            return True
        began, count = self._kinds.get(kind, (moment, 0))
        self._kinds[kind] = began, count + 1
        return count < _SAME_LINES

    def ended(self, moment: float) -> Iterator[logging.LogRecord]:
        """Forgets stretches that are over; a line for each kind of which some were left out."""
        for (name, text), (began, count) in list(self._kinds.items()):
            if moment - began >= _SAME_SECONDS:
                del self._kinds[name, text]
                if count > _SAME_LINES:
                    words = "%d more lines like this were left out: %s"
                    yield _own(words, count - _SAME_LINES, text)


def _own(text: str, *arguments: Any) -> logging.LogRecord:
    levels = {"levelno": logging.WARNING, "levelname": "WARNING"}
    return logging.makeLogRecord({"name": "breakeven.log", **levels, "msg": text, "args": arguments})


class Lines(logging.handlers.QueueHandler):
    """Writes on a thread of its own: a reader of the log that stands still must not stop the service."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__(queue.Queue(_WAITING))
        self.queue: queue.Queue[logging.LogRecord | None]
        self._out = handler
        self._dropped = 0
        self._repeats = Repeats()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """As it is: it stays in this process, and its formatter decides what of it may be told."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Never waits. Of lines that repeat themselves only the first are taken, but for those of requests."""
        if record.name != REQUESTS:
            moment = time.monotonic()
            for told in self._repeats.ended(moment):
                self._put(told)
            if not self._repeats.passes(record, moment):
                return
        self._put(record)

    def _put(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        while (record := self.queue.get()) is not None:
            if self._dropped:
                count, self._dropped = self._dropped, 0
                self._out.handle(_own("%d lines of the log were dropped: nobody read them", count))
            self._out.handle(record)

    def close(self) -> None:
        """Writes what waits (for at most two seconds), then ends the thread."""
        if self._thread.is_alive():
            for told in self._repeats.ended(math.inf):
                self._put(told)
            try:
                self.queue.put(None, timeout=1)
            except queue.Full:
                return
            self._thread.join(timeout=1)
        super().close()


def said(record: logging.LogRecord, language: str = "en") -> str:
    """A record's message; an exception in it that is not ours is told by its type alone."""
    arguments, words = record.args, sayings("logs", language)
    if isinstance(arguments, tuple):
        told = (_told(value) for value in arguments)
        arguments = tuple(phrased(value, "logs", language) if isinstance(value, str) else value for value in told)
    text = words.get(str(record.msg), record.msg)
    try:
        return str(text) % arguments if arguments else _told(text, as_text=True)
    except (TypeError, ValueError):
        return str(record.msg)


def _told(value: Any, *, as_text: bool = False) -> Any:
    if isinstance(value, BaseException) and not isinstance(value, BreakevenError):
        return type(value).__name__
    return str(value) if as_text else value


def stack(error: BaseException) -> list[str]:
    """Where an exception arose, newest last, without its words and without values."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


class TextLine(logging.Formatter):
    """`WARNING breakeven.serving: words`, then where an exception arose."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        line = f"{record.levelname} {record.name}: {said(record, reader_language())}".translate(_PLAIN)
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return line
        return "\n".join([line, *(f"  {place}" for place in stack(error)), f"  {type(error).__name__}"])


class JsonLine(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and for a request its `request`."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": said(record),
        }
        line.update(getattr(record, "told", {}))
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line["exception"] = {"type": type(error).__name__, "stack": stack(error)}
        return json.dumps(line, ensure_ascii=False, default=str)


class RequestLog:
    """A line for every answered request: who, what, how it ended, how long it took; nothing of what was in it."""

    def __init__(self) -> None:
        self._log = logging.getLogger(REQUESTS)

    @classmethod
    def if_wanted(cls) -> RequestLog | None:
        """None where nobody wants such lines, so that they cost nothing."""
        return cls() if logging.getLogger(REQUESTS).isEnabledFor(logging.INFO) else None

    def answered(self, exchange: Exchange, route: str, status: int, seconds: float) -> None:
        """Writes the line. `route` is a name of ours: the address itself may hold what its sender put there."""
        told = {
            "request_id": exchange.id,
            "method": exchange.method if exchange.method.isalpha() else "?",
            "route": route,
            "status": status,
            "seconds": round(seconds, 6),
            "key": exchange.key.id if exchange.key is not None else None,
            "customer": exchange.key.customer if exchange.key is not None else None,
            "error": exchange.failure,
            "trace_id": exchange.trace.trace_id if exchange.trace is not None else None,
        }
        self._log.info("request", extra={"told": {name: value for name, value in told.items() if value is not None}})

    def charged(self, charge: Charge) -> None:
        """Writes what was charged for an answer, once it is on the disk: what `ledger reconcile --answers` compares."""
        usage = [{"meter": meter, "quantity": quantity} for meter, quantity in charge.quantities.items()]
        told = {"id": charge.id, "usage": usage, "customer": charge.customer, "release": charge.release}
        self._log.info("charged", extra={"told": told})
