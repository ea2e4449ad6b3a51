"""Keep-alive HTTP connections for proofs: exactly the bytes they are told to send, no retry that nobody asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

BROKEN = (OSError, asyncio.IncompleteReadError, ValueError)


@dataclass(frozen=True)
class Heard:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code; "" for what is no error."""
        found = self.json if self.body[:1] == b"{" else {}
        error = found.get("error") if isinstance(found, dict) else None
        return str(error["code"] if isinstance(error, dict) else found.get("code", "") if error else "")


class Line:
    """One connection. `ask` raises one of BROKEN where it breaks before the answer is whole."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, url: str, host: str | None = None) -> Line:
        """`host`: the address of ours that the server sees, another one of 127.0.0.0/8."""
        address = urlsplit(url)
        local = (host, 0) if host else None
        return cls(*await asyncio.open_connection(address.hostname, address.port, local_addr=local))

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str | None
    ) -> Heard:
        """`body`: an object, or bytes as they are. `headers`: `idempotency_key="a"`; None leaves one out."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given: dict[str, str | None] = {"Host": "x", "Content-Type": "application/json"}
        given |= {"Authorization": f"Bearer {key}"} if key is not None else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        given["Content-Length"] = str(len(content))
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
        return await self.hear(method)

    async def hear(self, method: str = "POST") -> Heard:
        """The next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *rows = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        return Heard(int(status.split()[1]), headers, b"" if method == "HEAD" else await self._content(headers))

    async def _content(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("content-length", "0")))
        content = b""
        while size := int((await self.reader.readline()).strip() or b"0", 16):
            content += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return content

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def lines(url: str, count: int, *more: str) -> AsyncIterator[list[Line]]:
    """`count` connections, spread over the servers at these URLs in turn."""
    urls = (url, *more)
    found = await asyncio.gather(*(Line.open(urls[number % len(urls)]) for number in range(count)))
    try:
        yield list(found)
    finally:
        for line in found:
            line.close()


def ask(url: str, method: str, path: str, body: Any = None, **more: Any) -> Heard:
    """One request on a connection of its own, for tests that are not asynchronous. `host` as in `Line.open`."""
    host = more.pop("host", None)

    async def once() -> Heard:
        line = await Line.open(url, host)
        try:
            return await line.ask(method, path, body, **more)
        finally:
            line.close()

    return asyncio.run(once())
