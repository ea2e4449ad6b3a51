"""One HTTP request: its head, its body within limits, its id."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from breakeven.errors import Place
from breakeven.serving.wire import HttpError, read_json

if TYPE_CHECKING:
    from breakeven.ledger.keys import Key
    from breakeven.serving.intake import Intake
    from breakeven.serving.traces import Trace

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_ANSWERS = frozenset(
    {
        "application/json",
        "application/*",
        "text/event-stream",
        "application/x-ndjson",
        "application/jsonl",
        "application/octet-stream",
    }
)
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")
_FORMS = ("multipart/form-data",)
_BYTES = ("application/octet-stream", "")  # some clients name no type
_CLOSE = {"connection": "close"}
_IDS_AT_ONCE = 256
_QUERY_FIELDS = 50
_JSON = b"application/json"


def _drawn_ids() -> Iterator[str]:
    """Random names; drawn many at a time, because every look at the system's generator is a call of the system."""
    while True:
        drawn = secrets.token_hex(12 * _IDS_AT_ONCE)
        for start in range(0, len(drawn), 24):
            yield drawn[start : start + 24]


_random_ids = _drawn_ids()


class Exchange:
    """A request while it is answered. Header names are lower-case bytes; a doubled header keeps its first value."""

    __slots__ = (
        "began", "begun", "binary", "failure", "forms", "headers", "held", "id", "intake", "key", "method", "named",
        "receive", "scope", "send", "status", "trace",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self.named: dict[str, str] = {}  # what the address names: model, version
        self.id = self._request_id()
        self.began = time.perf_counter()
        self.key: Key | None = None  # once it is checked
        self.trace: Trace | None = None
        self.failure: str | None = None  # the code of the error that answered it
        self.status = 200  # of an answer that its handler sends itself
        self.begun = False  # whether its head is sent
        self.forms = False  # whether a form may be the body
        self.binary = False  # whether bytes may follow a JSON object
        self.intake: Intake | None = None  # where the bytes of a large body are counted
        self.held = 0  # how many of them

    def _request_id(self) -> str:
        given = self.headers.get(b"x-request-id", b"").decode("latin-1")
        if given and len(given) <= 100 and _ID_CHARACTERS.issuperset(given):
            return given
        return "req_" + next(_random_ids)

    def header(self, name: bytes) -> str:
        """A header's text, "" where it is absent."""
        return self.headers.get(name, b"").decode("latin-1")

    def query(self) -> dict[str, str]:
        """The query's fields; the last of a doubled name. HttpError 400 for more than anybody asks for."""
        text = self.scope.get("query_string", b"").decode("latin-1")
        try:
            return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_QUERY_FIELDS))
        except ValueError as error:
            raise HttpError(400, "query-fields", limit=_QUERY_FIELDS) from error

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
        if kinds.isdisjoint(_ANSWERS):
            raise HttpError(406, "accept-type", found=accept[:80])

    @property
    def kind(self) -> str:
        """The body's type in lower case, without parameters."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    @property
    def is_form(self) -> bool:
        """Whether the body is a form, where one may be."""
        return self.forms and self.kind == "multipart/form-data"

    def check_body(self, limit: int, *kinds: str) -> None:
        """415 for a body that is none of `kinds` or encoded, 413 where its stated length is over the limit."""
        plain = self.headers.get(b"content-type") == _JSON and "application/json" in kinds  # nearly always
        if not plain and not self._known(kinds):
            found = self.header(b"content-type")[:80] or "nothing"
            raise HttpError(415, "body-type", found=found, allowed=list(kinds), headers=_CLOSE)
        if self.header(b"content-encoding") not in ("", "identity"):
            raise HttpError(415, "body-encoding", found=self.header(b"content-encoding")[:40], headers=_CLOSE)
        length = self.header(b"content-length")
        if length.isdecimal() and int(length[:18]) > limit:
            raise HttpError(413, "body-too-large", limit=limit, headers=_CLOSE)

    def stated(self, limit: int) -> int:
        """How long the body says it is; `limit` where it does not."""
        length = self.header(b"content-length")
        return min(int(length[:18]), limit) if length.isdecimal() else limit

    def _known(self, kinds: tuple[str, ...]) -> bool:
        charset = self.header(b"content-type").partition(";")[2].strip().lower().replace('"', "")
        return self.kind in kinds and (self.is_form or charset in ("", "charset=utf-8", "charset=utf8"))

    async def body(self, limit: int) -> bytes:
        """The whole body; 415 for what is neither JSON nor a form where forms are taken, 413 as soon as it is known
        to be too large.
        """
        self.check_body(limit, "application/json", *(_FORMS if self.forms else _BYTES if self.binary else ()))
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body"):  # nearly always: all of it in one piece
            whole: bytes = message.get("body", b"")
            if len(whole) > limit:
                raise HttpError(413, "body-too-large", limit=limit, headers=_CLOSE)
            return whole
        return await self._rest(message, limit)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, for who checks its size and kind."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise HttpError(400, "client-left")
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends the head of an answer whose body its handler sends itself."""
        given = {"cache-control": "no-store", "x-content-type-options": "nosniff", "x-request-id": self.id, **headers}
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()]
        self.begun = True
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})

    async def _rest(self, message: MutableMapping[str, Any], limit: int) -> bytes:
        parts = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise HttpError(400, "client-left")
            piece = message.get("body", b"")
            self._hold(len(piece))
            parts += piece
            if len(parts) > limit:
                raise HttpError(413, "body-too-large", limit=limit, headers=_CLOSE)
            if not message.get("more_body"):
                return bytes(parts)
            message = await self.receive()

    def _hold(self, size: int) -> None:
        """Counts bytes of a body that came in pieces; HttpError 503 where the server holds enough of such."""
        if self.intake is not None:
            self.intake.take(self._lane(), size)
            self.held += size

    def let_go(self) -> None:
        """Gives back what `_hold` counted, once the request is answered."""
        if self.intake is not None and self.held:
            self.intake.give(self._lane(), self.held)
            self.held = 0

    def _lane(self) -> str:
        return self.key.id if self.key is not None else ""


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
