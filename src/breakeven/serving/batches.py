"""The routes of batch files: JSON Lines in, JSON Lines out. What is answered when, `batch_work` decides."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from breakeven.errors import BreakevenError, Place, Refused
from breakeven.ledger.events import new_id
from breakeven.serving import multipart
from breakeven.serving.batch_files import ENDED, Batch, BatchFolder, Kind, private
from breakeven.serving.exchange import Exchange
from breakeven.serving.wire import HttpError, Response, json_response, wrong_field

if TYPE_CHECKING:
    from breakeven.ledger.keys import Key
    from breakeven.serving.app import Service

LINES = ("application/x-ndjson", "application/jsonl")
_PIECE = 1 << 18
_LISTED = 100
_CANCEL_SECONDS = 2.0
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


async def create(service: Service, exchange: Exchange) -> Response:
    """POST /v1/batches?model=: a file of lines, as the body or as the part `file` of a form. 202 with the batch."""
    folder, key, rates = await _enter(service, exchange)
    if service.draining:
        raise HttpError(503, "shutting-down", headers={"connection": "close"})
    exchange.forms = True
    exchange.check_body(folder.limits.bytes, *LINES, multipart.FORM)
    model = _model(service, exchange, key)
    scratch = await _aside(folder.scratch, key.customer, exchange.stated(folder.limits.bytes))
    try:
        size, digest, named = await _receive(exchange, scratch / "input.jsonl", folder.limits.bytes)
        await service.access.key(exchange, "predict")  # who was erased while it came leaves nothing here
        model = model if named is None else named
        if model is not None:
            service.deployment(model, key)
        request = service.ledger.replay.request(f"{model}\0{digest}".encode())
        if not scratch.exists():
            raise HttpError(409, "batch-cut-off", retry_after=1)
        batch = Batch(scratch, _id(service, exchange, key), key.customer, key.id, model, request, size)
        made = await _aside(folder.adopt, scratch, batch)
    except BaseException:
        folder.discard(scratch)
        raise
    if made is None:
        return _known(await _aside(folder.find, key.customer, batch.id), request, rates)
    service.batches.start()
    headers = {**rates, "location": f"/v1/batches/{made.id}"}
    return json_response(202, await _aside(made.as_json), headers)


async def _aside(work: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


async def _enter(service: Service, exchange: Exchange) -> tuple[BatchFolder, Key, dict[str, str]]:
    key = await service.access.key(exchange, "predict")
    rates = service.access.rate(key)
    if service.batches.folder is None:
        raise HttpError(404, "batch-not-offered")
    return service.batches.folder, key, rates


def _model(service: Service, exchange: Exchange, key: Key) -> str | None:
    query = exchange.query()
    for name in query:
        if name != "model":
            raise HttpError(422, "body-unknown-field", at=Place(field=name[:100]), allowed=["model"])
    return query.get("model")


def _id(service: Service, exchange: Exchange, key: Key) -> str:
    """New, or made from the Idempotency-Key: then a retry meets the batch that is there."""
    if exchange.headers.get(b"idempotency-key") is None:
        return f"bat_{new_id()}"
    given = exchange.header(b"idempotency-key")
    if not 1 <= len(given) <= 255 or not given.isascii() or not given.isprintable():
        raise HttpError(400, "idempotency-key", at=Place(field="Idempotency-Key"))
    return f"bat_{service.ledger.replay.name(key.customer, 'batch ' + given)[:28]}"


def _known(batch: Batch | None, request: str, rates: dict[str, str]) -> Response:
    if batch is None or batch.request != request:
        raise Refused("idempotency-other-body")
    headers = {**rates, "location": f"/v1/batches/{batch.id}", "idempotent-replayed": "true"}
    return json_response(202, batch.as_json(), headers)


async def _receive(exchange: Exchange, path: Path, limit: int) -> tuple[int, str, str | None]:
    """(bytes, hash, model named in the form) of what is received into `path`, a piece at a time."""
    size, digest, model = 0, hashlib.sha256(), None
    pieces = _form(exchange, limit) if exchange.is_form else _raw(exchange, limit)
    with private(path, "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # whoever erases sees by it that more is coming
        async for name, piece in pieces:
            if name == "model":
                model = (model or "") + piece.decode("utf-8", "replace")
                if len(model) > multipart.LONGEST_NAME:
                    raise wrong_field("model", "expects-shorter", max_length=multipart.LONGEST_NAME)
                continue
            size += len(piece)
            digest.update(piece)
            await _aside(_write, stream, piece)
    if not size:
        raise wrong_field("file", "expects-file")
    return size, digest.hexdigest(), model


def _write(stream: IO[bytes], piece: bytes) -> None:
    from breakeven.errors import EnvironmentFault

    try:
        stream.write(piece)
        stream.flush()
    except OSError as error:
        free = shutil.disk_usage(Path(stream.name).parent).free
        raise EnvironmentFault("batch-disk", reason=error.strerror or str(error), free=free) from error


async def _raw(exchange: Exchange, limit: int) -> AsyncIterator[tuple[str, bytes]]:
    received, collected = 0, bytearray()
    async for piece in exchange.pieces():
        received += len(piece)
        if received > limit:
            raise HttpError(413, "body-too-large", limit=limit, headers={"connection": "close"})
        collected += piece
        if len(collected) >= _PIECE:
            yield "file", bytes(collected)
            collected.clear()
    if collected:
        yield "file", bytes(collected)


async def _form(exchange: Exchange, limit: int) -> AsyncIterator[tuple[str, bytes]]:
    """(part, bytes of it) of a form with `file` and perhaps `model`; nothing is held but a piece."""
    reader = multipart.Reader(multipart.boundary(exchange.header(b"content-type")), limit=2)
    seen: set[str] = set()
    async for _, piece in _raw(exchange, limit):
        for part, content in reader.feed(piece):
            if part not in ("file", "model"):
                raise HttpError(422, "body-unknown-field", at=Place(field="form"), allowed=["file", "model"])
            if content is None:
                if part in seen:
                    raise HttpError(422, "json-doubled", at=Place(field=part))
                seen.add(part)
            else:
                yield part, content
    reader.end()


async def listed(service: Service, exchange: Exchange) -> Response:
    """GET /v1/batches: this customer's newest."""
    folder, key, rates = await _enter(service, exchange)
    found = await _aside(lambda: [batch.as_json() for batch in folder.list(key.customer)[:_LISTED]])
    return json_response(200, {"object": "list", "data": found}, rates)


async def _find(service: Service, exchange: Exchange) -> tuple[Batch, dict[str, str]]:
    folder, key, rates = await _enter(service, exchange)
    batch = await _aside(folder.find, key.customer, exchange.named["batch"])
    if batch is None:
        raise HttpError(404, "batch-not-found")
    return batch, rates


async def read(service: Service, exchange: Exchange) -> Response:
    """GET /v1/batches/{batch}."""
    batch, rates = await _find(service, exchange)
    return json_response(200, await _aside(batch.as_json), rates)


async def cancel(service: Service, exchange: Exchange) -> Response:
    """DELETE /v1/batches/{batch}?erase=: stops it; what was answered stays and is charged. `erase=true` removes its
    files at once, where it has ended.
    """
    batch, rates = await _find(service, exchange)
    query = exchange.query()
    if set(query) - {"erase"} or query.get("erase", "false") not in ("true", "false"):
        raise wrong_field("erase", "expects-boolean")
    folder = service.batches.folder
    assert folder is not None
    until = asyncio.get_running_loop().time() + _CANCEL_SECONDS
    if batch.state not in ENDED:
        await _aside(batch.cancel)
        service.batches.start()
        while batch.state not in ENDED and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)
            batch = await _aside(folder.find, batch.customer, batch.id) or batch
    if query.get("erase") == "true":
        if batch.state not in ENDED:
            raise HttpError(409, "batch-not-ended", retry_after=1)
        await _aside(folder.discard, batch.folder)
    return json_response(200 if batch.state in ENDED else 202, batch.as_json(), rates)


async def output(service: Service, exchange: Exchange) -> None:
    """GET /v1/batches/{batch}/output: a line an answered line, in the order of the input."""
    await _file(service, exchange, "output")


async def errors(service: Service, exchange: Exchange) -> None:
    """GET /v1/batches/{batch}/errors: a line a line that got none, and why."""
    await _file(service, exchange, "errors")


async def _file(service: Service, exchange: Exchange, kind: Kind) -> None:
    """As much as is good, whole or the range that is asked for."""
    batch, rates = await _find(service, exchange)
    size = batch.sizes[kind]
    tag = f'"{batch.id[4:]}-{size}"'
    asked = exchange.header(b"range") if exchange.header(b"if-range") in ("", tag) else ""
    first, last = byte_range(asked, size)
    whole = (first, last) == (0, size - 1) and not asked
    headers = {"content-type": LINES[0], "accept-ranges": "bytes", "etag": tag, "x-batch-state": batch.state}
    headers |= {"content-length": str(last - first + 1), **rates}
    if not whole:
        headers["content-range"] = f"bytes {first}-{last}/{size}"
    exchange.status = 200 if whole else 206
    await exchange.begin(exchange.status, headers)
    if exchange.method != "HEAD" and last >= first:
        await _send(exchange, batch.path(kind), first, last)
    await exchange.send({"type": "http.response.body", "body": b""})


async def _send(exchange: Exchange, path: Path, first: int, last: int) -> None:
    with open(path, "rb") as stream:
        stream.seek(first)
        left = last - first + 1
        while left > 0:
            piece = await _aside(stream.read, min(_PIECE, left))
            if not piece:
                raise BreakevenError("internal")  # the connection is cut: the reader sees that something is missing
            left -= len(piece)
            await exchange.send({"type": "http.response.body", "body": piece, "more_body": True})


def byte_range(asked: str, size: int) -> tuple[int, int]:
    """(first, last) byte of a Range header; all of it without one, or with one that is not understood. HttpError 416
    for a range outside.
    """
    found = _RANGE.fullmatch(asked.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return 0, size - 1
    first, last = found.groups()
    if first:
        begin, end = int(first), min(int(last) if last else size - 1, size - 1)
    else:
        begin, end = max(0, size - int(last)), size - 1
    if begin > end:
        if last and first and int(first) > int(last):
            return 0, size - 1
        raise HttpError(416, "range-outside", headers={"content-range": f"bytes */{size}"}, size=size)
    return begin, end
