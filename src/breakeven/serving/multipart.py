"""multipart/form-data for inputs that hold bytes (images, sound): read in memory within limits, no temporary files.

Which inputs those are, the task's own input schema says: a text with `contentEncoding: base64` is bytes. In JSON it is
base64, in a form it is the bytes themselves; everything else of a request is the same in both.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from breakeven.errors import Place
from breakeven.serving.wire import HttpError, read_json, wrong_field

if TYPE_CHECKING:
    from breakeven.serving.app import Service
    from breakeven.serving.deployment import Deployment
    from breakeven.serving.exchange import Exchange

FORM = "multipart/form-data"
LONGEST_NAME = 200
_HEADER_BYTES = 1024
_HEADERS = 8
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046
_CASE = re.compile(r"inputs\[(0|[1-9][0-9]{0,5})\](?:\.(.+))?")
_REQUEST = ("model", "stream")


@dataclass(frozen=True)
class Part:
    """One part of a form: its name, its type in lower case, its bytes. A file's name is checked and forgotten."""

    name: str
    kind: str
    content: bytes


def holds_bytes(schema: Mapping[str, Any]) -> bool:
    """Whether a schema describes bytes."""
    return schema.get("contentEncoding") == "base64"


def takes_forms(schema: Mapping[str, Any]) -> bool:
    """Whether an input is bytes, or an object with a field that is."""
    return holds_bytes(schema) or any(map(holds_bytes, _fields(schema).values()))


def _fields(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = schema.get("properties", {}) if schema.get("type") == "object" else {}
    return fields


def boundary(content_type: str) -> str:
    """The boundary that a Content-Type names; HttpError 400 where there is none or it cannot be one."""
    from multipart import parse_options_header

    found = parse_options_header(content_type)[1].get("boundary", "")
    if _BOUNDARY.fullmatch(found) is None:
        raise HttpError(400, "form-boundary")
    return str(found)


class Reader:
    """Reads a form piece by piece, at most `limit` parts; HttpError 400 for what is no form."""

    def __init__(self, separator: str, *, limit: int) -> None:
        from multipart import PushMultipartParser

        self._limit = limit
        self._head: Any = None
        self._parser = PushMultipartParser(
            separator, strict=True, max_header_size=_HEADER_BYTES, max_header_count=_HEADERS, max_segment_count=limit
        )

    @property
    def kind(self) -> str:
        """The type of the part at hand, in lower case."""
        return self._head.content_type or ""

    def feed(self, piece: bytes) -> Iterator[tuple[str, bytes | None]]:
        """(name of a part, bytes of it); None where a part begins."""
        with self._refusing():
            for event in self._parser.parse(piece):
                if isinstance(event, (bytes, bytearray)):
                    yield self._head.name, bytes(event)
                elif event is not None:
                    _check_head(event)
                    self._head = event
                    yield event.name, None

    def end(self) -> None:
        """All is read: a form that is cut short is no form."""
        with self._refusing():
            self._parser.close()

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        from multipart import MultipartError, ParserLimitReached

        try:
            yield
        except ParserLimitReached as error:
            raise HttpError(400, "form-limits", limit=self._limit, header=_HEADER_BYTES) from error
        except MultipartError as error:
            raise HttpError(400, "form-broken", reason=str(error).split(":")[0][:100]) from error


def read_parts(body: bytes, separator: str, *, limit: int) -> list[Part]:
    """The parts of a whole body, at most `limit` of them; HttpError 400 for what is no form."""
    found: list[tuple[str, str, bytearray]] = []
    reader = Reader(separator, limit=limit)
    for name, content in reader.feed(body):
        if content is None:
            found.append((name, reader.kind, bytearray()))
        else:
            found[-1][2].extend(content)
    reader.end()
    return [Part(name, kind, bytes(content)) for name, kind, content in found]


def _check_head(head: Any) -> None:
    """Names that mean something to a file system are refused even though no file is written."""
    if not head.name or len(head.name) > LONGEST_NAME or not head.name.isprintable():
        raise HttpError(400, "form-name", limit=LONGEST_NAME)
    file = head.filename
    if file is not None and (len(file) > LONGEST_NAME or not file.isprintable() or re.search(r"[/\\]|^\.\.?$", file)):
        raise HttpError(400, "form-filename", at=Place(field=_shown(head.name)), limit=LONGEST_NAME)
    if head.header("Content-Transfer-Encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
        raise HttpError(400, "form-broken", reason="Content-Transfer-Encoding")


def digest(parts: Iterable[Part]) -> bytes:
    """What a form says, whatever its boundary was: a retry of the same form is the same request."""
    found = hashlib.sha256()
    for part in parts:
        for text in (part.name.encode(), part.kind.encode(), part.content):
            found.update(len(text).to_bytes(8, "big") + text)
    return found.digest()


def request_of(parts: Iterable[Part]) -> tuple[dict[str, Any], list[Part]]:
    """(`model` and `stream` of a request where they are given, the parts that are its inputs)."""
    request: dict[str, Any] = {}
    inputs = []
    for part in parts:
        if part.name not in _REQUEST:
            inputs.append(part)
        elif part.name in request:
            raise HttpError(422, "json-doubled", at=Place(field=part.name))
        else:
            request[part.name] = _text(part)
    if "stream" in request:
        if request["stream"] not in ("true", "false"):
            raise wrong_field("stream", "expects-boolean")
        request["stream"] = request["stream"] == "true"
    return request, inputs


def payloads(parts: Iterable[Part], schema: Mapping[str, Any]) -> list[Any]:
    """The payloads that parts hold, for `Task.parse`: `inputs` repeated, or `inputs[0].field`, or `field` for one case.

    Bytes where the schema says bytes; texts as they are; any other value is JSON.
    """
    fields = _fields(schema)
    cases: dict[int, Any] = {}
    for part in parts:
        index, field = _place(part.name, len(cases), whole=not fields)
        if field is None and not fields:
            cases[index] = _value(part, schema)
            continue
        case = cases.setdefault(index, {})
        if field is None or field not in fields:
            raise HttpError(422, "body-unknown-field", at=Place(field=_shown(part.name)), allowed=_allowed(fields))
        if field in case:
            raise HttpError(422, "json-doubled", at=Place(field=_shown(part.name)))
        case[field] = _value(part, fields[field])
    if sorted(cases) != list(range(len(cases))):
        raise wrong_field("inputs", "expects-cases-numbered")
    return [cases[index] for index in range(len(cases))]


def _place(name: str, known: int, *, whole: bool) -> tuple[int, str | None]:
    """(case, field) of a part; a whole input is the next case."""
    if whole and name == "inputs":
        return known, None
    found = _CASE.fullmatch(name)
    if found is not None and not whole and found[2]:
        return int(found[1]), found[2]
    if whole or found is not None:
        raise HttpError(422, "body-unknown-field", at=Place(field=_shown(name)), allowed=["inputs", *_REQUEST])
    return 0, name


def _allowed(fields: Iterable[str]) -> list[str]:
    names = list(fields)
    return [*names, *(f"inputs[0].{name}" for name in names[:1]), *_REQUEST]


def _value(part: Part, schema: Mapping[str, Any]) -> Any:
    if holds_bytes(schema):
        return part.content
    if part.kind == "application/json" or not _is_text(schema):
        return read_json(part.content)
    return _text(part)


def _is_text(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "string" or all(isinstance(value, str) for value in schema.get("enum", (None,)))


def _text(part: Part) -> str:
    try:
        text = part.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HttpError(400, "json-encoding", at=Place(field=_shown(part.name)), offset=error.start) from error
    if "\x00" in text:
        raise HttpError(422, "json-character", at=Place(field=_shown(part.name)), character="NUL")
    return text


def _shown(name: str) -> str:
    return name[:100].encode("ascii", "replace").decode()


def schema_of(deployment: Deployment) -> Mapping[str, Any]:
    """The input schema of a served release."""
    schema: Mapping[str, Any] = deployment.package.task.input_schema(deployment.package.facts)
    return schema


def offered(service: Service) -> bool:
    """Whether any served release takes forms."""
    return any(takes_forms(schema_of(deployment)) for deployment in service.served.values())


def read(service: Service, exchange: Exchange, body: bytes) -> tuple[dict[str, Any], bytes]:
    """(the request, its `inputs` as parts still; what it is known by when it is sent again)."""
    most = max(deployment.limits.max_inputs for deployment in service.served.values())
    fields = max(len(_fields(schema_of(deployment))) for deployment in service.served.values())
    limit = most * max(fields, 1) + len(_REQUEST)
    parts = read_parts(body, boundary(exchange.header(b"content-type")), limit=limit)
    request, inputs = request_of(parts)
    return {**request, "inputs": inputs}, digest(parts)


def form_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The form of a request as OpenAPI states it: bytes are `contentMediaType` without an encoding."""

    def plain(part: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in part.items() if not (holds_bytes(part) and name == "contentEncoding")}

    fields = _fields(schema)
    more: dict[str, Any] = {"model": {"type": "string"}, "stream": {"enum": ["true", "false"]}}
    if not fields:
        inputs = {"type": "array", "items": plain(schema), "minItems": 1}
        return {"type": "object", "properties": {"inputs": inputs, **more}, "required": ["inputs"]}
    named = {name: plain(part) for name, part in fields.items()}
    return {"type": "object", "properties": {**named, **more}, "required": list(schema.get("required", fields))}
