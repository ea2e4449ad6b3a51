"""What goes over the wire: a strict JSON reader, and one shape for every error."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from breakeven.errors import BreakevenError, Busy, EnvironmentFault, InputError, Place, render

LONGEST_INTEGER = 40
DEEPEST = 64
LONGEST_SHOWN = 300

_STATUS_OF_CODE = {
    "key-missing": 401,
    "key-in-query": 401,
    "key-malformed": 401,
    "key-unknown": 401,
    "key-revoked": 401,
    "key-expired": 401,
    "key-not-yet": 401,
    "key-attempts": 429,
    "key-scope-missing": 403,
    "quota-exhausted": 429,
    "spend-cap-reached": 429,
    "rate-exceeded": 429,
    "idempotency-other-body": 422,
    "idempotency-expired": 409,
    "idempotency-key": 400,
    "event-doubled": 409,
    "request-not-found": 404,
    "batch-too-many": 429,
    "batch-too-many-kept": 429,
    "batch-too-much": 413,
}
_TYPE_OF_STATUS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "method_not_allowed_error",
    409: "conflict_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class HttpError(BreakevenError):
    """A refusal that only exists on the wire: it brings its own status and headers."""

    def __init__(
        self,
        status: int,
        code: str,
        *,
        headers: Mapping[str, str] | None = None,
        at: Place | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(code, at=at, **fields)
        self.status = status
        self.headers = dict(headers or {})


def wrong_field(field: str, expected: str, /, **about: Any) -> HttpError:
    """HttpError 422: a field that is missing or of the wrong type; `expected` is the code of what it should be."""
    return HttpError(422, "body-field", at=Place(field=field), expected=render(expected, about))


@dataclass(slots=True)
class Response:
    """An answer before it is sent: a status, a body of bytes and headers in lower case."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]


JSON_TYPE = (b"content-type", b"application/json")
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    extra = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in (headers or {}).items()]
    return Response(status, encode(value).encode(), [JSON_TYPE, *extra])


def status_of(error: BreakevenError) -> int:
    """The HTTP status of any expected failure."""
    if isinstance(error, HttpError):
        return error.status
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    if isinstance(error, InputError):
        return 422
    return 503 if isinstance(error, (EnvironmentFault, Busy)) else 500


def type_of(status: int) -> str:
    """The class of an error, by its status."""
    return _TYPE_OF_STATUS.get(status, "server_error" if status >= 500 else "invalid_request_error")


def error_response(error: BreakevenError, request_id: str, *, flat: bool = False) -> Response:
    """`{"error": {type, code, message, param, hint, request_id}}` with the words of the catalogue. `flat`: `error` is
    the message and the rest stands beside it, as the Open Inference Protocol wants it.
    """
    status = status_of(error)
    extra = error.headers if isinstance(error, HttpError) else {}
    fields = tuple((name, _shown(value)) for name, value in error.fields.items())
    at = error.at if len(error.at.field or "") <= LONGEST_SHOWN else replace(error.at, field=_shown(error.at.field))
    words = (status, error.code, at, fields, tuple(extra.items()), flat)
    try:
        head, headers = _words(*words)
    except TypeError:  # a field that cannot be a key of the cache
        head, headers = _words.__wrapped__(*words)
    return Response(status, head + encode(request_id).encode() + (b"}" if flat else b"}}"), list(headers))


def _shown(value: Any) -> Any:
    """A text of a client's, cut: an answer is no echo, and the cache below keeps what was told."""
    return f"{value[:LONGEST_SHOWN]}..." if isinstance(value, str) and len(value) > LONGEST_SHOWN else value


@functools.lru_cache(maxsize=512)
def _words(
    status: int,
    code: str,
    at: Place,
    fields: tuple[tuple[str, Any], ...],
    extra: tuple[tuple[str, str], ...],
    flat: bool,
) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    """The body up to the request id, and the headers. Kept: a flood must be refused in microseconds."""
    known = BreakevenError(code, at=at, **dict(fields)).as_json()
    shown = {"type": type_of(status), "code": code, "message": known["message"], "param": known["param"]}
    shown["hint"] = known["hint"]
    headers = dict(extra)
    for name, value in fields:
        if name == "retry_after":
            headers.setdefault("retry-after", str(value))
    if status == 503:
        headers.setdefault("retry-after", "1")
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    pairs = tuple((name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items())
    body = {"error": shown.pop("message"), **shown} if flat else {"error": shown}
    head = encode(body)[: -1 if flat else -2] + ',"request_id":'
    return head.encode(), (JSON_TYPE, *pairs)


def _integer(text: str) -> int:
    if len(text) > LONGEST_INTEGER:
        raise HttpError(400, "json-number", digits=len(text), limit=LONGEST_INTEGER)
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise HttpError(400, "json-number", digits=text[:20], limit="a double")
    return value


def _constant(name: str) -> Any:
    raise HttpError(400, "json-broken", reason=f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise HttpError(422, "json-doubled", at=Place(field=name[:100].encode("ascii", "replace").decode()))
            seen.add(name)
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)


def read_json(body: bytes) -> Any:
    """The value of a body, strictly: UTF-8, no doubled keys, no NaN, no huge numbers, no deep nests, no broken
    characters.

    Raises HttpError 400 or 422. Depth is counted on the bytes before parsing, so that no nest can reach the stack.
    """
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        _check_depth(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HttpError(400, "json-encoding", offset=error.start) from error
    try:
        value = _decoder.decode(text)
    except RecursionError as error:
        raise HttpError(400, "json-deep", limit=DEEPEST) from error
    except ValueError as error:
        raise HttpError(400, "json-broken", reason=str(error)[:200]) from error
    if b"\\u" in body and (b"\\ud" in body.lower() or b"\\u0000" in body):
        _check_characters(value, "")
    return value


def _check_depth(body: bytes) -> None:
    """Brackets outside strings; a string's bytes are skipped with one search each."""
    depth, index, size = 0, 0, len(body)
    while index < size:
        byte = body[index]
        if byte == 0x22:
            index = _string_end(body, index + 1)
        elif byte in (0x5B, 0x7B):
            depth += 1
            if depth > DEEPEST:
                raise HttpError(400, "json-deep", limit=DEEPEST)
        elif byte in (0x5D, 0x7D):
            depth -= 1
        index += 1


def _string_end(body: bytes, start: int) -> int:
    while True:
        end = body.find(b'"', start)
        if end < 0:
            return len(body)
        slashes = end - len(body[start:end].rstrip(b"\\")) - start
        if slashes % 2 == 0:
            return end
        start = end + 1


def _check_characters(value: Any, field: str) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise HttpError(422, "json-character", at=Place(field=field or None), character="NUL")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise HttpError(
                422, "json-character", at=Place(field=field or None), character="half of a surrogate pair"
            ) from None
    elif isinstance(value, dict):
        for name, part in value.items():
            _check_characters(name, field)
            _check_characters(part, f"{field}.{name}" if field else name)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check_characters(part, f"{field}[{index}]")
