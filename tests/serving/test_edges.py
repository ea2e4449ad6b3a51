"""What a client can do to a connection that no honest one does, against a real server with short deadlines."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator

import psutil
import pytest

from breakeven.serving.launch import ServerProcess
from tests.serving.test_clients import closes_on, connect, exchange, read_all, request, status

pytestmark = pytest.mark.slow

ROOM = 40
GUARD = {"head_seconds": 1.0, "body_seconds": 3.0, "write_seconds": 1.5, "idle_seconds": 1.0, "connections": ROOM}
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
ONE = b'{"inputs":["a b"]}'


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    limits = {"max_bytes": 24 << 20}
    with ServerProcess("nowhere", module="tests.serving.echo_server", guard=GUARD, limits=limits) as running:
        yield running


def test_who_was_refused_cannot_hold_the_connection_by_dripping_its_body(server: ServerProcess) -> None:
    with connect(server) as client:
        client.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")
        assert status(client.recv(65536)) == 401
        assert closes_on(client, b"x")


def test_empty_lines_between_requests_hold_no_connection(server: ServerProcess) -> None:
    with connect(server) as client:
        client.sendall(LIVEZ)
        assert status(client.recv(65536)) == 200
        assert closes_on(client, b"\r\n")


def test_fields_behind_the_body_are_no_part_of_the_head(server: ServerProcess) -> None:
    """A proxy in front checks heads; a key or an Idempotency-Key that it never saw must not count."""
    head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    trailer = f"Authorization: Bearer {server.key}\r\n\r\n".encode()
    answer = exchange(server, head + b"Transfer-Encoding: chunked\r\n\r\n12\r\n" + ONE + b"\r\n0\r\n" + trailer)
    assert status(answer) == 401


@pytest.mark.parametrize("name", ["Upgrade", "upgrade", "UPGRADE"])
def test_a_wish_for_another_protocol_loses_no_body(server: ServerProcess, name: str) -> None:
    """As the HTTP clients of some languages send it with every first request."""
    data = request(
        server, "Connection: Upgrade, HTTP2-Settings", f"{name}: h2c", f"Content-Length: {len(ONE)}", body=ONE
    )
    with connect(server) as client:
        client.sendall(data + LIVEZ)
        answer = read_all(client)
    assert answer.count(b"HTTP/1.1 200") == 1 + (b"connection: close" not in answer)
    assert b'"echo":"a b"' in answer


def test_an_oddly_written_wish_ends_the_connection(server: ServerProcess) -> None:
    answer = exchange(server, b"GET /livez HTTP/1.1\r\nConnection: uPgRaDe\r\nuPgRaDe: foo\r\n\r\n" + LIVEZ * 3)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer


def test_requests_that_wait_behind_one_another_are_bounded(server: ServerProcess) -> None:
    answer = exchange(server, b"GET /livez HTTP/1.1\r\n\r\n" * 5000)
    assert 32 <= answer.count(b"HTTP/1.1 200") <= 200
    assert answer.count(b"connection: close") == 1


def test_a_flood_of_waiting_requests_stops_nobody(server: ServerProcess) -> None:
    with contextlib.ExitStack() as stack:
        before = psutil.Process(server.pid).memory_info().rss
        for _ in range(20):
            client = stack.enter_context(connect(server))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError, OSError):
                client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 20_000)
        started = time.monotonic()
        assert status(exchange(server, LIVEZ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == 200
        assert time.monotonic() - started < 5
        assert psutil.Process(server.pid).memory_info().rss - before < 60e6


def test_half_a_request_behind_another_does_not_take_its_answer(server: ServerProcess) -> None:
    first = request(server, f"Content-Length: {len(ONE)}", body=ONE).replace(b"Connection: close\r\n", b"")
    broken = request(server, "Transfer-Encoding: chunked", body=b"zz\r\n").replace(b"Connection: close\r\n", b"")
    answer = exchange(server, first + broken)
    assert status(answer) == 200
    assert answer.count(b"HTTP/1.1") == 1
    assert b'"echo":"a b"' in answer


def test_idle_connections_make_room_for_who_has_something_to_ask(server: ServerProcess) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(ROOM)]
        for client in idle:
            client.sendall(LIVEZ)
        assert all(status(client.recv(65536)) == 200 for client in idle)
        seen = []
        until = time.monotonic() + 1.6
        while time.monotonic() < until:
            seen.append(status(exchange(server, LIVEZ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))))
            time.sleep(0.05)
    assert 200 in seen[: len(seen) * 3 // 4]


def test_a_reader_who_goes_on_reading_is_not_cut(server: ServerProcess) -> None:
    """The answer is larger than what the system holds for a connection, and is taken at a steady, slow pace."""
    text = "a" * 20_000_000
    body = json.dumps({"inputs": [text]}).encode()
    with socket.socket() as client:
        client.settimeout(30)
        client.connect(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
        client.sendall(request(server, f"Content-Length: {len(body)}", body=body))
        found, until = 0, time.monotonic() + 4.5
        while time.monotonic() < until:
            found += len(client.recv(100_000))
            time.sleep(0.02)
        while part := client.recv(1 << 20):
            found += len(part)
    assert found > len(text)


def test_large_bodies_together_are_bounded(server: ServerProcess) -> None:
    """Each within its limit; half of what is held at once is one key's, so that others have room."""
    size, pieces = 20 << 20, []
    with contextlib.ExitStack() as stack:
        for _ in range(9):
            client = stack.enter_context(connect(server))
            client.settimeout(10)
            with contextlib.suppress(OSError):
                client.sendall(request(server, f"Content-Length: {size}", body=b" " * (size - 1)))
            pieces.append(client)
        for client in pieces:
            with contextlib.suppress(OSError):
                client.sendall(b" ")
        statuses = [status(answer) for client in pieces if (answer := read_all(client))]
    assert set(statuses) <= {400, 503, 408}, statuses
    assert 503 in statuses
    assert status(exchange(server, request(server, "Content-Length: 18", body=ONE))) == 200
