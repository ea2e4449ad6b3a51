"""Answering batch files: line by line through the same queue, after everybody who waits; each line charged once.

A line's charge has the id of its batch and its number, so whoever resumes finds in the ledger what was charged before
and charges only the rest. Order of a chunk: answer, charge, write, save the state; a kill anywhere costs only work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from breakeven.errors import BreakevenError, InputError, Place, Refused
from breakeven.ledger import clock, schema
from breakeven.ledger.events import Charge
from breakeven.serving import routes
from breakeven.serving.batch_files import ENDED, Batch, BatchFolder, private
from breakeven.serving.exchange import read_object
from breakeven.serving.promises import at_most
from breakeven.serving.wire import HttpError, encode, error_response, status_of, wrong_field

if TYPE_CHECKING:
    from breakeven.ledger.keys import Key
    from breakeven.ledger.limits import Admission
    from breakeven.serving.app import Service
    from breakeven.serving.deployment import Deployment

log = logging.getLogger("breakeven.serving")

Made = TypeVar("Made")
CHUNK_LINES = 64
_CHUNK_BYTES = 1 << 20
_LONGEST_ID = 200
_FIELDS = frozenset({"id", "input"})
_EXAMPLE = '{"id": "...", "input": ...}'
_PAUSE = 1.0
_LOOK_SECONDS = 60.0
_CHUNK_SECONDS = 0.5  # of work, by the pace of late: what a kill may cost, and how soon a cancel is heard


@dataclass
class Line:
    """One line on its way. `before`: what the ledger says it was charged, where it was charged before."""

    number: int
    text: bytes | None  # None: longer than a line may be
    name: str | None = None
    payload: Any = None
    item: Any = None
    output: Any = None
    admission: Admission | None = None
    before: Mapping[str, int] | None = None
    row: dict[str, Any] | None = None
    charge: Charge | None = None
    error: BreakevenError | None = None


class Batches:
    """Works on all unfinished batches in turns, a chunk of each. Methods run on the event loop."""

    def __init__(self, service: Service, folder: BatchFolder | None) -> None:
        self.service = service
        self.folder = folder
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Resumes what a server before left, and works on what comes."""
        if self.folder is not None and (self._task is None or self._task.done()):
            self._wake = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._run(self.folder))
        self._wake.set()

    async def stop(self) -> None:
        """Finishes the chunk at hand; the rest is resumed by the next server."""
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, timeout=10)

    async def _run(self, folder: BatchFolder) -> None:
        active: deque[tuple[Batch, IO[Any]]] = deque()
        while not self.service.draining:
            try:
                if not active or self._wake.is_set():
                    self._wake.clear()
                    await _aside(folder.sweep)
                    await _aside(lambda: self._forget_erased(folder))
                    active.extend(await _aside(lambda: _locked(folder, {batch.id for batch, _ in active})))
                if active:
                    await self._turn(active)
                    continue
            except Exception as error:  # a defect must not end all batches for ever
                log.error("batch files stand still for a moment: %s", error, exc_info=error)
                await asyncio.sleep(_PAUSE)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), timeout=_LOOK_SECONDS)
        for _, lock in active:
            lock.close()

    def _forget_erased(self, folder: BatchFolder) -> None:
        """Removes files of erased customers: of an upload just under way, or where who erased did not reach them."""
        who = schema.customers.c
        with self.service.ledger.stores.reading.connect() as connection:
            gone = connection.execute(sa.select(who.id).where(who.erased.is_not(None))).scalars().all()
        for customer in gone:
            if (folder.root / customer).exists():
                folder.forget(customer)

    async def _turn(self, active: deque[tuple[Batch, IO[Any]]]) -> None:
        """A chunk of the first batch, which then stands last."""
        batch, lock = active[0]
        try:
            await self._chunk(batch)
        except BreakevenError as problem:
            error = problem
            if status_of(error) != 503:
                await _aside(lambda: batch.end("failed", self._keep, error))
            elif batch.folder.exists():  # the service, the ledger or the disk cannot now: nothing is lost, so try again
                log.warning("batch %s waits: %s", batch.id, error)
                await asyncio.sleep(_PAUSE)
        except OSError as problem:
            if batch.folder.exists():
                log.warning("batch %s waits: %s", batch.id, problem.strerror)
                await asyncio.sleep(_PAUSE)
        except Exception as problem:
            log.error("batch %s has met a defect: %s", batch.id, problem, exc_info=problem)
            await _aside(lambda: batch.end("failed", self._keep, HttpError(500, "internal")))
        finally:
            active.rotate(-1)
        if batch.state in ENDED or not batch.folder.exists():  # erased while it was worked on
            active.pop()
            lock.close()

    @property
    def _keep(self) -> int:
        assert self.folder is not None
        return self.folder.limits.keep_days

    async def _chunk(self, batch: Batch) -> None:
        if batch.cancelled:
            await _aside(lambda: batch.end("cancelled", self._keep))
            return
        if batch.state == "validating":
            await _aside(lambda: self._validate(batch))
            return
        key = await _aside(lambda: self._key(batch))
        with self.service.deployment(batch.model, key) as deployment:
            pace = deployment.batcher.pace
            most = max(1, min(CHUNK_LINES, int(_CHUNK_SECONDS / pace))) if pace else CHUNK_LINES
            read, offset = await _aside(lambda: self._read(batch, most))
            lines = [line for line in read if line.text is None or line.text.strip()]
            await self._answer(batch, deployment, key, lines)
        await _aside(lambda: _write(batch, lines, read=len(read), offset=offset))
        if batch.next >= (batch.lines or 0):
            await _aside(lambda: batch.end("done", self._keep))

    def _validate(self, batch: Batch) -> None:
        assert self.folder is not None
        with open(batch.path("input"), "rb") as stream:
            count = sum(1 for _ in _lines(stream, 1 << 20))
        if not 1 <= count <= self.folder.limits.lines:
            raise InputError("batch-lines", at=Place(field="file"), found=count, limit=self.folder.limits.lines)
        batch.lines, batch.state, batch.started = count, "running", clock.now()
        batch.save()

    def _key(self, batch: Batch) -> Key:
        """The key that sent it, if it is still in force."""
        found = [key for key in self.service.ledger.keys.list(batch.customer) if key.id == batch.key]
        moment = clock.now()
        if not found or found[0].revoked is not None:
            raise Refused("key-revoked", id=batch.key)
        if found[0].expires is not None and moment >= found[0].expires:
            raise Refused("key-expired", id=batch.key, when=clock.text(found[0].expires))
        return found[0]

    def _read(self, batch: Batch, most: int) -> tuple[list[Line], int]:
        """(the next lines, where the one after them begins). Cuts off what was written after the last saved state."""
        _cut(batch)
        longest = self.service.limits.max_bytes
        lines: list[Line] = []
        with open(batch.path("input"), "rb") as stream:
            stream.seek(batch.offset)
            size, offset = 0, batch.offset
            for text, end in _lines(stream, longest):
                lines.append(Line(batch.next + len(lines) + 1, text))
                size, offset = size + len(text or b""), batch.offset + end
                if len(lines) >= most or size >= _CHUNK_BYTES:
                    break
        return lines, offset

    async def _answer(self, batch: Batch, deployment: Deployment, key: Key, lines: list[Line]) -> None:
        service = self.service
        await _aside(lambda: _parse(lines, deployment, longest=deployment.limits.max_bytes))
        await _aside(lambda: self._charged_before(batch, lines))
        try:
            await self._admit(deployment, key, lines)
            asked = [line for line in lines if line.error is None]
            futures = [deployment.batcher.submit_later([line.item]) for line in asked]
            for line, found in zip(asked, await asyncio.gather(*futures, return_exceptions=True), strict=True):
                if isinstance(found, list):
                    line.output = found[0]
                elif isinstance(found, HttpError) and found.code == "shutting-down":
                    raise found
                else:
                    line.error = found if isinstance(found, BreakevenError) else HttpError(500, "answer-failed")
            for line in asked:
                self._settle(batch, deployment, key, line)
        except BaseException:
            for line in lines:
                service.ledger.release(line.admission)
            raise
        await self._commit(deployment, lines)

    async def _admit(self, deployment: Deployment, key: Key, lines: list[Line]) -> None:
        """What a limit does not let through is an error of its line."""
        for line in lines:
            if line.error is None and line.before is None:
                try:
                    expected = at_most(deployment.package, [line.item])
                    line.admission = await routes.admit(self.service, deployment, key, expected)
                except Refused as error:
                    line.error = error

    def _charged_before(self, batch: Batch, lines: list[Line]) -> None:
        """Looks up which lines a server before charged and did not write down."""
        ids = {_event(batch, line): line for line in lines}
        events = schema.events.c
        query = sa.select(events.id, events.quantities, events.request).where(
            events.source == self.service.source, events.id.in_(ids)
        )
        with self.service.ledger.stores.reading.connect() as connection:
            for name, quantities, request in connection.execute(query):
                line = ids[name]
                if line.error is None and request != self._request(batch, line):
                    line.error = Refused("idempotency-other-body")
                line.before = json.loads(quantities)

    def _request(self, batch: Batch, line: Line) -> str:
        """By what a line is known to have been charged: in this batch, not in one that had its id and was erased, whose
        charge would pay for the answer of another release.
        """
        return self.service.ledger.replay.request(f"{batch.model}\0{batch.created}\0".encode() + (line.text or b""))

    def _settle(self, batch: Batch, deployment: Deployment, key: Key, line: Line) -> None:
        """The line's row and, unless it was charged before, its charge."""
        if line.error is None:
            used = line.before or deployment.package.usage([line.item], [line.output])
            name = _event(batch, line)
            body = routes.answer_body(deployment, name, [], used)
            own = {
                "line": line.number,
                "id": line.name,
                "output": line.output,
                "charge": name,
                "model": deployment.name,
            }
            line.row = {**own, **{part: body[part] for part in ("usage", "price", "currency") if part in body}}
            try:
                encode(line.row)
            except (ValueError, TypeError):
                line.error = HttpError(500, "answer-broken")
            else:
                if line.before is None:
                    line.charge = Charge(
                        batch.customer, used, id=name, source=self.service.source, key=key.id,
                        release=deployment.name, plan=deployment.plan.version, request=self._request(batch, line),
                    )  # fmt: skip
        if line.charge is None:
            self.service.ledger.release(line.admission)
            line.admission = None

    async def _commit(self, deployment: Deployment, lines: list[Line]) -> None:
        """All in one commit of the ledger; nothing is written before it is done."""
        charged = [line for line in lines if line.charge is not None]
        found = await asyncio.gather(
            *(self.service.commit(line.admission, line.charge) for line in charged if line.charge is not None),
            return_exceptions=True,
        )
        for line, outcome in zip(charged, found, strict=True):
            if isinstance(outcome, BaseException) and getattr(outcome, "code", "") != "event-doubled":
                raise outcome
            if line.charge is not None and not isinstance(outcome, BaseException):
                self.service.charged(deployment, line.charge)
                if self.service.inputs is not None:
                    self.service.inputs.offer(line.charge, deployment.package.task, [line.item], [line.output])


def _locked(folder: BatchFolder, known: set[str]) -> list[tuple[Batch, IO[Any]]]:
    """Unfinished batches that nobody works on, each with its lock; read again under it."""
    mine = []
    for found in folder.unfinished():
        lock = None if found.id in known else found.lock()
        if lock is None:
            continue
        batch = folder.find(found.customer, found.id)
        if batch is None or batch.state in ENDED:
            lock.close()
        else:
            mine.append((batch, lock))
    return mine


def _event(batch: Batch, line: Line) -> str:
    return f"{batch.id}-{line.number}"


async def _aside(work: Callable[[], Made]) -> Made:
    """Work on the disk, off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


def _lines(stream: IO[bytes], longest: int) -> Iterator[tuple[bytes | None, int]]:
    """(line without its end, or None where it is longer than `longest`; offset after it), from where the stream is."""
    begin = stream.tell()
    while text := stream.readline(longest + 1):
        whole = text
        too_long = len(text) > longest and not text.endswith(b"\n")
        while too_long and not whole.endswith(b"\n") and (whole := stream.readline(1 << 20)):
            pass
        yield None if too_long else text.rstrip(b"\r\n"), stream.tell() - begin


def _parse(lines: list[Line], deployment: Deployment, *, longest: int) -> None:
    """Each line's input, or why it is none."""
    for line in lines:
        try:
            _read_line(line, longest)
            line.item = deployment.package.parse(line.payload)
        except InputError as error:
            inner = error.at.field
            field = "input" + (f".{inner}" if inner and inner != "input" else "")
            line.error = InputError(error.code, at=Place(field=field), **error.fields)
        except BreakevenError as error:
            line.error = error
        except Exception as error:  # a task's defect is that line's error, not the end of the file
            log.error("a task could not parse a line: %s", error)
            line.error = HttpError(500, "internal")


def _read_line(line: Line, longest: int) -> None:
    if line.text is None or len(line.text) > longest:
        raise HttpError(413, "body-too-large", limit=longest)
    text = line.text.removeprefix(b"\xef\xbb\xbf") if line.number == 1 else line.text
    found = read_object(text, _FIELDS, _EXAMPLE)
    name = found.get("id")
    if name is not None and (not isinstance(name, str) or len(name) > _LONGEST_ID):
        raise wrong_field("id", "expects-shorter", max_length=_LONGEST_ID)
    line.name = name
    if "input" not in found:
        raise wrong_field("input", "expects-input")
    line.payload = found["input"]


def _cut(batch: Batch) -> None:
    """Makes both files as long as the state says. One that is shorter was lost with the machine: all is made anew."""
    kinds = ("output", "errors")
    for kind in kinds:
        private(batch.path(kind), "ab").close()
    if any(batch.path(kind).stat().st_size < batch.sizes[kind] for kind in kinds):
        batch.next = batch.offset = batch.answered = batch.failed = 0
        batch.sizes = dict.fromkeys(kinds, 0)
        batch.save()
    for kind in kinds:
        with open(batch.path(kind), "r+b") as stream:
            stream.truncate(batch.sizes[kind])


def _write(batch: Batch, lines: list[Line], *, read: int, offset: int) -> None:
    rows: dict[str, list[str]] = {"output": [], "errors": []}
    for line in lines:
        if line.error is None and line.row is not None:
            rows["output"].append(encode(line.row))
        else:
            told = json.loads(error_response(line.error or HttpError(500, "internal"), "-").body)["error"]
            del told["request_id"]
            rows["errors"].append(encode({"line": line.number, "id": line.name, "error": told}))
    for kind, texts in rows.items():
        data = "".join(f"{text}\n" for text in texts).encode()
        with private(batch.path(kind), "ab") as stream:
            stream.write(data)
        batch.sizes[kind] += len(data)
    batch.next, batch.offset = batch.next + read, offset
    batch.answered += len(rows["output"])
    batch.failed += len(rows["errors"])
    batch.save()
