"""Bytes on the wire that no ordinary client sends, against a real server; the others stand in tests/serving."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit

import pytest

from breakeven.serving.launch import ServerProcess

pytestmark = pytest.mark.slow


def test_an_extension_of_a_megabyte_is_refused() -> None:
    """What stands behind the size of a chunk is read by nobody, so nobody may send a megabyte of it."""
    with ServerProcess("nowhere", module="tests.serving.echo_server") as server:
        address = urlsplit(server.url)
        head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        with socket.create_connection((address.hostname, address.port), timeout=90) as client:
            with contextlib.suppress(OSError):
                client.sendall(head.encode() + b"2;" + b"a" * (1 << 20) + b"\r\n{}\r\n0\r\n\r\n")
            answer = client.recv(65536)
        assert answer.split(b" ", 2)[1] == b"400", answer[:200]
