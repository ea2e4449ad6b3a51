"""HTTP/1.1 under guard: bounded heads, deadlines for slow clients, a bound on connections, one shape for every refusal.

uvicorn parses; it sets no deadline for a head, a body or a reader. One sweep a second over all connections does, which
costs a request nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from breakeven.serving.wire import HttpError, error_response


@dataclass(frozen=True)
class Guard:
    """Bounds of the transport. Seconds are deadlines for the whole of each part; a body's moves on as long as its
    sender keeps up `body_rate` bytes a second, so that large files pass and dripping ones do not. A reader has taken
    `write_bytes` more within `write_seconds`. `pipelined`: requests that may wait behind the one that is answered.
    """

    head_bytes: int = 64 << 10
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    body_rate: float = 65_536.0
    write_seconds: float = 20.0
    write_bytes: int = 16 << 10
    idle_seconds: float = 75.0
    connections: int = 2000
    pipelined: int = 64


_UPGRADE = re.compile(rb"\r\nupgrade(?=:)", re.IGNORECASE)
_IDLE_LOOKED_AT = 256
_IDLE_AT_LEAST = 1.0


class GuardedProtocol(HttpToolsProtocol):  # type: ignore[misc]
    """uvicorn's protocol, which remembers since when it waits and for what."""

    guard = Guard()
    cycle: Any

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Refuses what is over the bound before it costs anything, unless another connection waits for nothing."""
        super().connection_made(transport)
        self.waits_since = self.loop.time()
        self.in_head = True
        self.in_body = False
        self.broken = False  # what comes now is read no more
        self.head_size = 0
        self.head_start = b""
        self.body_size = 0
        self.unread = 0  # bytes since a part of a body came out of them
        self.stalled: tuple[float, int] | None = None  # since when a reader has taken little, of how many bytes
        self.active: Any = None
        if len(self.connections) > self.guard.connections and not self._make_room():
            self.refuse(HttpError(503, "overloaded", retry_after=1))

    def _make_room(self) -> bool:
        """Closes a connection that has been idle or dripping: it goes before somebody new is turned away."""
        moment = self.loop.time()
        for other in itertools.islice(self.connections, _IDLE_LOOKED_AT):
            if other is not self and other.idle(moment) and not other.transport.is_closing():
                other.transport.close()
                return True
        return False

    def idle(self, moment: float) -> bool:
        """Whether nothing whole was asked for a moment, and nothing is being answered."""
        return self._answered() and not self.in_body and moment - self.waits_since > _IDLE_AT_LEAST

    def _answered(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def data_received(self, data: bytes) -> None:
        """Counts a head's bytes, which the parser would collect without end."""
        if self.broken:
            return
        if not self.in_body and (b"pgrade" in data or b"PGRADE" in data):
            data = _without_upgrade(data)
        if self.in_head:
            self.head_size += len(data)
            if len(self.head_start) < self.guard.head_bytes:
                self.head_start += data[: self.guard.head_bytes]
        else:
            self.body_size += len(data)
            self.unread += len(data)
        super().data_received(data)
        if self.unread > self.guard.head_bytes and not self.transport.is_closing():
            self.refuse(HttpError(400, "http-broken"))  # the extension of a chunk, which nobody reads
        if self.in_head and self.head_size > self.guard.head_bytes and not self.transport.is_closing():
            self.refuse(self._too_large())

    def _too_large(self) -> HttpError:
        if b"\r\n" not in self.head_start:
            return HttpError(414, "uri-too-long", found=f"over {self.guard.head_bytes}", limit=8192)
        if re.search(rb"\r\nauthorization:[^\r\n]*$", self.head_start, re.IGNORECASE):
            return HttpError(401, "key-malformed")
        return HttpError(431, "header-too-large", limit=self.guard.head_bytes)

    def on_message_begin(self) -> None:
        """A head starts; what came with it was counted with the last one's rest, which is at most a packet."""
        super().on_message_begin()
        self.in_head = True
        self.waits_since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; one behind a body is forgotten: whoever checked the head, a proxy say, never saw it."""
        if self.in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if len(self.pipeline) >= self.guard.pipelined:
            raise HttpError(400, "http-broken")  # which the parser hands to `send_400_response`
        self.in_head, self.in_body = False, True
        self.head_size = self.body_size = self.unread = 0
        self.head_start = b""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body: what came with it was read."""
        self.unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is whole, whether or not anybody waits for it."""
        self.in_body = False
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Another protocol that `_without_upgrade` did not see: what follows is not HTTP, so nothing of it is read."""
        self.broken = True
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """What follows is the keep-alive wait, which uvicorn ends unless something comes."""
        super().on_response_complete()
        self.waits_since = self.loop.time()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Of pipelined requests uvicorn remembers the last; the one that runs must hear of a lost connection too."""
        self.active = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever still answers, answers nobody."""
        super().connection_lost(exc)
        if self.active is not None and not self.active.response_complete:
            self.active.disconnected = True
            self.active.message_event.set()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are not HTTP get the same error shape as everything else."""
        self.refuse(HttpError(400, "http-broken"))

    def refuse(self, error: HttpError) -> None:
        """Answers outside of any request and closes."""
        if self.pipeline and self.cycle.more_body:  # half of one behind others: theirs are the next answers
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self.active
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # a whole request is being answered: it is, and what followed it is not
                cycle.keep_alive = False
                self.broken = True
                self.flow.pause_reading()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        response = error_response(error, "-")
        lines = [STATUS_LINE[response.status], b"x-content-type-options: nosniff\r\n"]
        lines += [name + b": " + value + b"\r\n" for name, value in response.headers]
        lines.append(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(response.body))
        self.transport.write(b"".join([*lines, response.body]))
        self.transport.close()

    def resume_writing(self) -> None:
        """The reader has taken most of what was written."""
        super().resume_writing()
        self.stalled = None

    def overdue(self, moment: float) -> None:
        """Ends this connection if it has kept us waiting too long."""
        if self._reader_stands_still(moment):
            if self.active is not None:
                self.active.disconnected = True
            self.transport.abort()
            return
        if self.pipeline:  # we keep them waiting
            return
        waited, guard, answered = moment - self.waits_since, self.guard, self._answered()
        if self.in_body and answered:  # refused by its head, and goes on sending
            if waited > guard.body_seconds:
                self.transport.abort()
        elif self.in_head or self.in_body:
            allowed = guard.head_seconds if self.in_head else guard.body_seconds + self.body_size / guard.body_rate
            if waited > allowed:
                self.refuse(HttpError(408, "client-slow"))
        elif answered and waited > guard.idle_seconds + 1:  # uvicorn's own timer ends with the first byte that comes
            self.transport.close()

    def _reader_stands_still(self, moment: float) -> bool:
        held = self.transport.get_write_buffer_size()
        if held == 0:
            self.stalled = None
        elif self.stalled is None or self.stalled[1] - held >= self.guard.write_bytes:
            self.stalled = (moment, held)
        else:
            self.stalled = (self.stalled[0], max(held, self.stalled[1]))
        return self.stalled is not None and moment - self.stalled[0] > self.guard.write_seconds


def _without_upgrade(data: bytes) -> bytes:
    """A head that asks for no other protocol: a server may ignore that wish, but the parser would drop the body."""
    head, end, rest = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-asked", head) + end + rest


def guarded(guard: Guard) -> type[GuardedProtocol]:
    """The protocol class with these bounds."""
    return type("GuardedProtocol", (GuardedProtocol,), {"guard": guard})


async def sweep(connections: Any) -> None:
    """Looks at every connection once a second, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1.0)
        moment = loop.time()
        for connection in list(connections):
            overdue = getattr(connection, "overdue", None)
            if overdue is not None:
                overdue(moment)
