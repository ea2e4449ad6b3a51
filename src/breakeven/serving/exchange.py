"""One HTTP request: its head, its body within limits, its id."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from breakeven.errors import Place
from breakeven.serving.wire import HttpError, read_json

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")
_CLOSE = {"connection": "close"}


class Exchange:
    """A request while it is answered. Header names are lower-case bytes; a doubled header keeps its first value."""

    __slots__ = ("headers", "id", "method", "named", "receive", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self.named: dict[str, str] = {}  # what the address names: model, version
        self.id = self._request_id()

    def _request_id(self) -> str:
        given = self.headers.get(b"x-request-id", b"").decode("latin-1")
        if given and len(given) <= 100 and _ID_CHARACTERS.issuperset(given):
            return given
        return "req_" + secrets.token_hex(12)

    def header(self, name: bytes) -> str:
        """A header's text, "" where it is absent."""
        return self.headers.get(name, b"").decode("latin-1")

    def query(self) -> dict[str, str]:
        """The query's fields; the last of a doubled name."""
        return dict(
            parse_qsl(self.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True, max_num_fields=50)
        )

    def client(self) -> str:
        """The address the request came from."""
        client = self.scope.get("client")
        return str(client[0]) if client else "?"

    def check_accept(self) -> None:
        """406 unless the client takes JSON (or anything)."""
        accept = self.header(b"accept")
        if not accept or "*/*" in accept:
            return
        kinds = {part.split(";")[0].strip().lower() for part in accept.split(",")}
        if kinds.isdisjoint({"application/json", "application/*", "text/event-stream"}):
            raise HttpError(406, "accept-type", found=accept[:80])

    async def body(self, limit: int) -> bytes:
        """The whole body; 415 for what is not JSON, 413 as soon as it is known to be too large."""
        kind, _, parameters = self.header(b"content-type").partition(";")
        charset = parameters.strip().lower().replace('"', "")
        if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", "charset=utf8"):
            raise HttpError(415, "body-type", found=self.header(b"content-type")[:80] or "nothing", headers=_CLOSE)
        if self.header(b"content-encoding") not in ("", "identity"):
            raise HttpError(415, "body-encoding", found=self.header(b"content-encoding")[:40], headers=_CLOSE)
        length = self.header(b"content-length")
        if length.isdigit() and int(length[:18]) > limit:
            raise HttpError(413, "body-too-large", limit=limit, headers=_CLOSE)
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body"):  # nearly always: all of it in one piece
            whole: bytes = message.get("body", b"")
            if len(whole) > limit:
                raise HttpError(413, "body-too-large", limit=limit, headers=_CLOSE)
            return whole
        return await self._rest(message, limit)

    async def _rest(self, message: MutableMapping[str, Any], limit: int) -> bytes:
        parts = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise HttpError(400, "client-left")
            parts += message.get("body", b"")
            if len(parts) > limit:
                raise HttpError(413, "body-too-large", limit=limit, headers=_CLOSE)
            if not message.get("more_body"):
                return bytes(parts)
            message = await self.receive()


def read_object(body: bytes, allowed: frozenset[str], example: str) -> dict[str, Any]:
    """The body's JSON object, with no field but those allowed: a field nobody asked for is refused, never applied."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise HttpError(422, "body-not-object", example=example)
    for name in value:
        if name not in allowed:
            shown = name[:100].encode("ascii", "replace").decode()
            raise HttpError(422, "body-unknown-field", at=Place(field=shown), allowed=sorted(allowed))
    return value
