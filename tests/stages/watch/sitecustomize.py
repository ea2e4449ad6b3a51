"""Put on PYTHONPATH by test_outbound: writes down every address that this process, or a child of it, reaches for."""

import os
import sys

_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto")


def _watch(event: str, arguments: tuple) -> None:
    path = os.environ.get("WATCH_FILE")
    if path and event in _EVENTS:
        found = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(f"{event} {found!r} {sys.argv[:1]}\n")


sys.addaudithook(_watch)
