"""HTTP/1.1 under guard: bounded heads, deadlines for slow clients, a bound on connections, one shape for every refusal.

uvicorn parses; it sets no deadline for a head, a body or a reader. One sweep a second over all connections does, which
costs a request nothing.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from breakeven.serving.wire import HttpError, error_response


@dataclass(frozen=True)
class Guard:
    """Bounds of the transport. Seconds are deadlines for the whole of each part; a body's moves on as long as its
    sender keeps up `body_rate` bytes a second, so that large files pass and dripping ones do not.
    """

    head_bytes: int = 64 << 10
    head_seconds: float = 10.0
    body_seconds: float = 20.0
    body_rate: float = 65_536.0
    write_seconds: float = 20.0
    connections: int = 2000


class GuardedProtocol(HttpToolsProtocol):  # type: ignore[misc]
    """uvicorn's protocol, which remembers since when it waits and for what."""

    guard = Guard()

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Refuses what is over the bound before it costs anything."""
        super().connection_made(transport)
        self.waits_since = self.loop.time()
        self.in_head = True
        self.head_size = 0
        self.head_start = b""
        self.body_size = 0
        self.unread = 0  # bytes since a part of a body came out of them
        self.stalled_since: float | None = None
        self.active: Any = None
        if len(self.connections) > self.guard.connections:
            self.refuse(HttpError(503, "overloaded", retry_after=1))

    def data_received(self, data: bytes) -> None:
        """Counts a head's bytes, which the parser would collect without end."""
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

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.in_head = False
        self.head_size = self.body_size = self.unread = 0
        self.head_start = b""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body: what came with it was read."""
        self.unread = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """What follows is the keep-alive wait, which uvicorn ends itself."""
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
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:  # a whole request is being answered: it is, and what followed it is not
                cycle.keep_alive = False
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

    def overdue(self, moment: float) -> None:
        """Ends this connection if it has kept us waiting too long."""
        waited = moment - self.waits_since
        if self.transport.get_write_buffer_size() == 0:
            self.stalled_since = None
        elif self.stalled_since is None:
            self.stalled_since = moment
        elif moment - self.stalled_since > self.guard.write_seconds:
            if self.active is not None:
                self.active.disconnected = True
            self.transport.abort()
            return
        cycle = self.cycle
        in_body = not self.in_head and cycle is not None and cycle.more_body and not cycle.response_complete
        allowed = self.guard.body_seconds + self.body_size / self.guard.body_rate
        if (self.in_head and waited > self.guard.head_seconds) or (in_body and waited > allowed):
            self.refuse(HttpError(408, "client-slow"))


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
