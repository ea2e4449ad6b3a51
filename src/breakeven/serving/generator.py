"""The load generator, a process of its own: prepared bodies in, latencies out. It checks its own punctuality.

Standard library only, so that it starts at once and takes little of the machine. Reads one JSON job on stdin, writes
one JSON result on stdout.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import random
import re
import sys
import time
from typing import Any
from urllib.parse import urlsplit

_SPIN_SECONDS = 0.0015  # timers of an event loop are a millisecond coarse: the last of the wait is spent awake
_LATENCIES = 20_000
_EXAMPLES = 50  # different texts of errors that are kept
_EXAMPLE = 500  # characters of each
_REQUEST_ID = re.compile(r',?\s*"request_id":\s*"[^"]*"')


class Connection(asyncio.Protocol):
    """One keep-alive connection: a request out, a response in."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.due = 0.0
        self.busy = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for a request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes, due: float) -> None:
        """Sends a request whose latency counts from `due`."""
        self.due, self.busy = due, True
        if self.transport is None or self.transport.is_closing():
            self.load.failed(self, "closed")
            return
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Counts a response when its last byte is here. What a server says as it closes an idle connection is none."""
        if not self.busy:
            return
        self.buffer = self.buffer + data if self.buffer else data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = self.buffer[:head].lower()
        place = lower.find(b"content-length:")
        length = int(lower[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self.buffer) < head + 4 + length:
            return
        body = self.buffer[head + 4 : head + 4 + length]
        status = int(self.buffer[9:12])
        self.buffer = self.buffer[head + 4 + length :]
        self.busy = False
        self.load.answered(self, status, body)

    def connection_lost(self, _exc: Exception | None) -> None:
        """A connection lost in mid-request is an error; in any case a new one takes its place."""
        if self.busy:
            self.load.failed(self, "reset")
        self.load.lost(self)


class Load:
    """One run over a set of connections."""

    def __init__(self, job: dict[str, Any]) -> None:
        address = urlsplit(job["url"])
        self.host, self.port = address.hostname or "127.0.0.1", address.port or 80
        head = (
            f"POST {address.path or '/'} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
            + (f"Authorization: Bearer {job['key']}\r\n" if job.get("key") else "")
        )
        self.requests = [f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode() for body in job["bodies"]]
        self.latencies: list[tuple[float, float]] = []  # due (seconds from the start), latency
        self.refusals: list[float] = []
        self.waits: list[float] = []  # for a free connection
        self.errors: collections.Counter[str] = collections.Counter()
        self.examples: collections.Counter[str] = collections.Counter()
        self.free: collections.deque[Connection] = collections.deque()
        self.waiting: collections.deque[tuple[bytes, float]] = collections.deque()
        self.running = 0
        self.sent = 0
        self.closed_until: float | None = None
        self.started = 0.0

    async def connect(self, count: int) -> None:
        """Opens the connections before the clock starts."""
        for _ in range(count):
            await self._open()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(self), self.host, self.port)
        except OSError as error:
            self.errors[f"connect {error.errno}"] += 1
            return
        self.free.append(connection)
        self.pump()

    def put(self, index: int, due: float) -> None:
        """Sends request `index` now, or as soon as a connection is free; its latency counts from `due` either way."""
        self.sent += 1
        self.running += 1
        self.waiting.append((self.requests[index % len(self.requests)], due))
        self.pump()

    def pump(self) -> None:
        """Gives waiting requests to free connections."""
        while self.waiting and self.free:
            connection = self.free.popleft()
            if connection.transport is not None and not connection.transport.is_closing():
                request, due = self.waiting.popleft()
                self.waits.append(time.perf_counter() - due)
                connection.send(request, due)

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        """A whole response is here."""
        self.running -= 1
        if status == 200:
            self.latencies.append((connection.due - self.started, time.perf_counter() - connection.due))
        else:
            self.refusals.append(time.perf_counter() - connection.due)
            self._error(str(status), body.decode("utf-8", "replace"))
        self.free.append(connection)
        if self.closed_until is not None and time.perf_counter() < self.closed_until:
            self.put(self.sent, time.perf_counter())
        else:
            self.pump()

    def failed(self, connection: Connection, why: str) -> None:
        """A request that will not be answered."""
        connection.busy = False
        self.running -= 1
        self._error(why, why)

    def _error(self, name: str, example: str) -> None:
        self.errors[name] += 1
        told = _REQUEST_ID.sub("", f"{name}: {example[:_EXAMPLE]}")
        if told in self.examples or len(self.examples) < _EXAMPLES:
            self.examples[told] += 1

    def lost(self, connection: Connection) -> None:
        """Opens a new connection for a lost one."""
        if connection in self.free:
            self.free.remove(connection)
        if self.errors.total() < 1000 and asyncio.get_event_loop().is_running():
            asyncio.get_running_loop().create_task(self._open())


async def run(job: dict[str, Any]) -> dict[str, Any]:
    """Runs a job: `{mode: open | closed, url, key, bodies, rate, seconds, connections, drain, seed}`."""
    load = Load(job)
    await load.connect(job["connections"])
    load.started = time.perf_counter() + 0.02
    lags = await (_open_loop(load, job) if job["mode"] == "open" else _closed_loop(load, job))
    behind = load.running
    sending = time.perf_counter() - load.started
    limit = time.perf_counter() + job["drain"]
    while load.running and time.perf_counter() < limit:
        await asyncio.sleep(0.005)
    if load.running:
        load.errors["timeout"] += load.running
    return _result(load, lags, sending=sending, behind=behind)


async def _open_loop(load: Load, job: dict[str, Any]) -> list[float]:
    draw = random.Random(job["seed"])
    due, lags, index = load.started, [], 0
    end = load.started + job["seconds"]
    while due < end:
        while (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left - _SPIN_SECONDS if left > 2 * _SPIN_SECONDS else 0)
        lags.append(time.perf_counter() - due)
        load.put(index, due)
        index += 1
        due += draw.expovariate(job["rate"])
        if lags[-1] > 0:  # behind: let answers in before the next one
            await asyncio.sleep(0)
    return lags


async def _closed_loop(load: Load, job: dict[str, Any]) -> list[float]:
    load.closed_until = load.started + job["seconds"]
    load.started = time.perf_counter()
    for _ in range(job["connections"]):
        load.put(load.sent, time.perf_counter())
    while time.perf_counter() < load.closed_until:
        await asyncio.sleep(0.005)
    return [0.0]


def _quantile(values: list[float], share: float) -> float | None:
    """The value that `share` of the sorted values do not exceed."""
    return values[min(len(values) - 1, max(0, -(-int(share * 1e6) * len(values) // 1_000_000) - 1))] if values else None


def _result(load: Load, lags: list[float], *, sending: float, behind: int) -> dict[str, Any]:
    values = sorted(latency for _, latency in load.latencies)
    last = max((due + latency for due, latency in load.latencies), default=sending)
    inside = sum(1 for due, latency in load.latencies if due + latency <= sending)
    lags.sort()
    refused = _quantile(sorted(load.refusals), 0.99)
    return {
        "sent": load.sent,
        "answers": len(values),
        "errors": dict(load.errors),
        "examples": dict(load.examples),
        "seconds": sending,
        "achieved": inside / sending if sending > 0 else 0.0,
        "last": last,
        "behind": behind,
        "latency_ms": {
            name: None if (value := _quantile(values, share)) is None else value * 1000
            for name, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
        },
        "refused_p99_ms": None if refused is None else refused * 1000,
        "connection_wait_ms": (_quantile(sorted(load.waits), 0.99) or 0.0) * 1000,
        "growth_ms": _growth(load.latencies),
        "lag_ms": {"p99": (_quantile(lags, 0.99) or 0.0) * 1000, "max": (lags[-1] if lags else 0.0) * 1000},
        "latencies_ms": [round(value * 1000, 3) for _, value in sorted(load.latencies)[:_LATENCIES]],
    }


def _growth(latencies: list[tuple[float, float]]) -> float:
    """Mean latency of the last third of requests minus that of the first: a queue that grows shows here."""
    third = len(latencies) // 3
    if third < 3:
        return 0.0
    ordered = [latency for _, latency in sorted(latencies)]
    return (sum(ordered[-third:]) - sum(ordered[:third])) / third * 1000


def main() -> None:
    """One job in, one result out."""
    job = json.load(sys.stdin)
    if job.get("cpu") is not None:
        os.sched_setaffinity(0, {job["cpu"]})
    import contextlib
    import gc

    with contextlib.suppress(OSError):
        os.nice(-10)  # only the privileged may; a generator that waits for its core measures the core
    gc.disable()  # a collection in mid-run would be counted as the server's slowness
    json.dump(asyncio.run(run(job)), sys.stdout)


if __name__ == "__main__":
    main()
