"""A webhook's receiver: a real HTTP server that keeps what it was sent and answers as it is told."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """`answers`: statuses one after another, the last one for ever. `pause`: seconds before an answer; `gate`: none is
    given until it is set.
    """

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [200])
    pause: float = 0.0
    gate: threading.Event | None = None
    location: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(content) for _, content in self.got]

    def told(self) -> list[tuple[str, str]]:
        """(status, rule) of every message."""
        return [(body["status"], body["groupLabels"]["alertname"]) for body in self.bodies]

    def wait(self, count: int, seconds: float = 90.0) -> list[tuple[str, str]]:
        until = time.monotonic() + seconds
        while len(self.got) < count:
            assert time.monotonic() < until, self.told()
            time.sleep(0.02)
        return self.told()


@contextlib.contextmanager
def receiving(**how: Any) -> Iterator[Receiver]:
    held = Receiver(**how)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            held.got.append(({name.lower(): value for name, value in self.headers.items()}, content))
            time.sleep(held.pause)
            if held.gate is not None:
                held.gate.wait(120)
            status = held.answers.pop(0) if len(held.answers) > 1 else held.answers[0]
            with contextlib.suppress(OSError):
                self.send_response(status)
                if held.location:
                    self.send_header("location", held.location)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    held.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
