"""Clients that are slow, broken or not HTTP at all, against a real server."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from breakeven.errors import EnvironmentFault
from breakeven.serving.launch import ServerProcess
from breakeven.serving.protocol import Guard
from breakeven.serving.run import listen

pytestmark = pytest.mark.slow

GUARD = {"head_seconds": 1.0, "body_seconds": 1.5, "write_seconds": 1.5, "connections": 60}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("nowhere", module="tests.serving.echo_server", guard=GUARD) as running:
        yield running


def connect(server: ServerProcess) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=90)


def exchange(server: ServerProcess, data: bytes) -> bytes:
    """All that comes back until the server closes."""
    with connect(server) as client:
        with contextlib.suppress(OSError):  # refused in mid-flight: what it said first is still to be read
            client.sendall(data)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    found = b""
    try:
        while part := client.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def request(server: ServerProcess, *headers: str, body: bytes = b"", line: str = "POST /v1/predict HTTP/1.1") -> bytes:
    given = [
        "Host: x",
        f"Authorization: Bearer {server.key}",
        "Content-Type: application/json",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([line, *given, "", ""]).encode() + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"\x00\xff" * 100,
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"hello\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
    ],
)
def test_what_is_not_http_is_400(server: ServerProcess, data: bytes) -> None:
    answer = exchange(server, data)
    assert status(answer) == 400
    assert b'"code":"http-broken"' in answer


@pytest.mark.parametrize(
    "body", [b"ffffffffffffffffff\r\n{}", b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n", b"2\r\n{}XX0\r\n\r\n"]
)
def test_broken_chunks_are_400(server: ServerProcess, body: bytes) -> None:
    assert status(exchange(server, request(server, "Transfer-Encoding: chunked", body=body))) == 400


def test_length_and_chunks_together_are_400(server: ServerProcess) -> None:
    data = request(server, "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")
    assert status(exchange(server, data)) == 400


def test_a_large_body_is_refused_early(server: ServerProcess) -> None:
    with connect(server) as client:
        client.sendall(request(server, f"Content-Length: {10 << 20}"))
        assert status(read_all(client)) == 413  # nothing of the body was sent; waiting for it ends in 408


def test_a_large_body_in_chunks_is_refused_early(server: ServerProcess) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    assert status(exchange(server, request(server, "Transfer-Encoding: chunked", body=chunk * 40))) == 413


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET /" + b"a" * 200_000, 414),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nConnection: close\r\n\r\n", 414),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000, 431),
        (b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * (1 << 20) + b"\r\n\r\n", 401),
    ],
)
def test_heads_are_bounded(server: ServerProcess, data: bytes, expected: int) -> None:
    assert status(exchange(server, data)) == expected


def test_a_slow_head_is_closed_at_its_deadline(server: ServerProcess) -> None:
    with connect(server) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
        assert closes_on(client, b"X-A: b\r\n")


def closes_on(client: socket.socket, piece: bytes) -> bool:
    """Whether the server closes the connection of a client who sends a piece five times a second, in a minute."""
    with contextlib.suppress(OSError):
        for _ in range(300):
            client.sendall(piece)
            time.sleep(0.2)
        return False
    return True


def upload(server: ServerProcess, rate: float, seconds: float) -> bytes:
    """A batch file that comes at `rate` bytes a second."""
    piece = b'{"input": "' + b"a" * (int(rate / 10) - 14) + b'"}\n'
    count = int(seconds * 10)
    head = request(server, f"Content-Length: {len(piece) * count}", line="POST /v1/batches HTTP/1.1")
    with connect(server) as client:
        client.sendall(head.replace(b"application/json", b"application/x-ndjson"))
        with contextlib.suppress(OSError):
            for _ in range(count):
                client.sendall(piece)
                time.sleep(0.1)
        return read_all(client)


@pytest.mark.alone
def test_a_long_upload_passes_while_it_keeps_up_its_pace(server: ServerProcess) -> None:
    # 1.5 s is what a body has; at twice the pace that is asked for it never runs out.
    assert status(upload(server, 2 * Guard().body_rate, 4.0)) == 202
    assert status(upload(server, Guard().body_rate / 16, 8.0)) == 408


def test_a_second_head_has_a_deadline_too(server: ServerProcess) -> None:
    with connect(server) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHo")
        answer = read_all(client)
    assert status(answer) == 200
    assert b"HTTP/1.1 408" in answer


def test_an_idle_connection_is_closed_at_its_deadline(server: ServerProcess) -> None:
    with connect(server) as client:
        assert status(read_all(client)) == 408


def test_a_slow_body_is_closed_at_its_deadline(server: ServerProcess) -> None:
    with connect(server) as client:
        client.sendall(request(server, "Content-Length: 1000"))
        assert closes_on(client, b" ")


def test_a_slow_reader_is_closed_at_its_deadline(server: ServerProcess) -> None:
    asks = b'{"inputs":["' + b"a" * 200_000 + b'"]}'
    with connect(server) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        piece = request(server, f"Content-Length: {len(asks)}", body=asks).replace(
            b"Connection: close", b"Connection: keep-alive"
        )
        client.settimeout(1)
        try:
            for _ in range(60):
                client.sendall(piece)
        except OSError:
            pass
        port = client.getsockname()[1]
        assert in_time(lambda: not connections_of(server, port))


def in_time(holds: Callable[[], object]) -> bool:
    """Whether it holds within a minute and a half: a busy machine may take a while."""
    deadline = time.monotonic() + 90
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return bool(held)


def connections_of(server: ServerProcess, port: int) -> list[object]:
    return [
        item
        for item in psutil.Process(server.pid).net_connections("tcp")
        if item.raddr and item.raddr.port == port and item.status == "ESTABLISHED"
    ]


def test_idle_connections_are_bounded(server: ServerProcess) -> None:
    clients = [connect(server) for _ in range(120)]
    try:
        time.sleep(0.3)  # the server takes them all
        every = psutil.Process(server.pid)
        assert in_time(lambda: sum(one.status == "ESTABLISHED" for one in every.net_connections("tcp")) <= 60)
    finally:
        for client in clients:
            client.close()
    time.sleep(0.2)
    assert status(exchange(server, request(server, "Content-Length: 16", body=b'{"inputs":["a"]}'))) == 200


def test_a_client_that_resets_disturbs_nobody(server: ServerProcess) -> None:
    import struct

    for _ in range(20):
        client = connect(server)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(request(server, "Content-Length: 1000", body=b'{"inputs":' + b" " * 190)[:300])
        client.close()
    assert status(exchange(server, request(server, "Content-Length: 16", body=b'{"inputs":["a"]}'))) == 200


@pytest.mark.parametrize(
    "line",
    [
        "POST // HTTP/1.1",
        "POST /v1/../v1/predict HTTP/1.1",
        "POST /%2e%2e/v1/predict HTTP/1.1",
        "POST /v1/predict%00 HTTP/1.1",
        "POST /v1/predict;a HTTP/1.1",
        "POST http://evil/ HTTP/1.1",
    ],
)
def test_tricks_with_paths_reach_nothing(server: ServerProcess, line: str) -> None:
    answer = exchange(server, request(server, "Content-Length: 16", body=b'{"inputs":["a"]}', line=line))
    assert status(answer) in (400, 404)


def test_pipelined_requests_are_answered_in_order(server: ServerProcess) -> None:
    keep = request(server, "Content-Length: 16", body=b'{"inputs":["a"]}').replace(
        b"Connection: close", b"Connection: keep-alive"
    )
    last = request(server, "Content-Length: 16", body=b'{"inputs":["b"]}')
    answer = exchange(server, keep + last)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b'{"echo":"a"}') < answer.index(b'{"echo":"b"}')


def test_bad_clients_leave_no_traceback(server: ServerProcess) -> None:
    assert "Traceback" not in server.stderr(), server.stderr()


def test_a_taken_port_names_its_owner() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            EnvironmentFault, match=f"port {port} of 127.0.0.1 is taken by process {os.getpid()}"
        ) as caught:
            listen("127.0.0.1", port)
    assert caught.value.exit_code == 5


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"package\.json|package"), ServerProcess(tmp_path):
        pass


def test_an_unsigned_package_stays_on_this_machine(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "breakeven.serving.run",
        str(tmp_path),
        "--unsigned",
        "--host",
        "0.0.0.0",
        "--ledger",
        str(tmp_path / "ledger.sqlite"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "this machine only" in done.stderr
    assert not (tmp_path / "ledger.sqlite").exists()


def test_no_orphan_is_left_when_the_parent_is_killed() -> None:
    code = (
        "from breakeven.serving.launch import ServerProcess\nimport os, signal\n"
        "server = ServerProcess('x', module='tests.serving.echo_server').start()\n"
        "print(server.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    assert in_time(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def test_commands_work_while_the_server_runs(server: ServerProcess) -> None:
    from breakeven.ledger import commands

    made = commands.keys_create(server.ledger, "somebody")
    good = request(server, "Content-Length: 16", body=b'{"inputs":["a"]}').replace(
        server.key.encode(), made["secret"].encode()
    )
    assert status(exchange(server, good)) == 200
    commands.keys_revoke(server.ledger, made["id"])
    assert status(exchange(server, good)) == 401
    assert commands.usage(server.ledger, "somebody")[0]["quantity"] == 1


def test_what_follows_a_whole_request_does_not_cost_its_answer(server: ServerProcess) -> None:
    keep = request(server, "Content-Length: 16", body=b'{"inputs":["a"]}').replace(
        b"Connection: close", b"Connection: keep-alive"
    )
    answer = exchange(server, keep + b"\x00\xff\x00 this is no request\r\n\r\n")
    assert status(answer) == 200
    assert b'{"echo":"a"}' in answer
