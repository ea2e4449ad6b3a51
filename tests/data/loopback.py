"""A real HTTP server on loopback that answers from a table: for downloads that must meet one."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What is sent. `cut`: so many bytes of the body, then the connection is closed, though all were promised."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass
class Server:
    """Its address, what it answers (an answer, or a function of how often it was asked), and what it was asked."""

    url: str
    answers: dict[str, Answer | Callable[[int], Answer]]
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """The server while the block runs; a path that is not in its table is a 404. With `tls` it speaks https."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        scheme = "https" if tls else "http"
        if tls is not None:
            http.socket = tls.wrap_socket(http.socket, server_side=True)
        http.table = Server(f"{scheme}://127.0.0.1:{http.server_address[1]}", {})  # type: ignore[attr-defined]
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield http.table  # type: ignore[attr-defined]
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        table: Server = self.server.table  # type: ignore[attr-defined]
        table.asked.append(self.path)
        found = table.answers.get(self.path, Answer(status=404))
        answer = found(table.asked.count(self.path)) if callable(found) else found
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(answer.body[: answer.cut])
        if answer.cut is not None:
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815  the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Says nothing."""
