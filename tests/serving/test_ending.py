"""SIGTERM while everything is under way: it finishes within the deadline or is cut off at it, and is charged so."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from breakeven.ledger import open_ledger, schema
from breakeven.ledger.customers import Terms
from breakeven.serving.launch import ServerProcess
from tests.ledger.conftest import cluster, database  # noqa: F401  fixtures of the ledger
from tests.serving.lines import Line
from tests.serving.test_batch_kill import dealt_with

pytestmark = pytest.mark.slow

WORDS = " ".join(f"word{n}" for n in range(20))


def server_at(ledger: Path | str, **limits: float) -> ServerProcess:
    return ServerProcess("nowhere", module="tests.serving.ending_server", ledger=ledger, limits=limits)


class Talk(Line):
    """A request whose answer is heard piece by piece."""

    async def tell(self, server: ServerProcess, path: str, body: bytes, *, length: int | None = None) -> Talk:
        kind = "application/x-ndjson" if "batches" in path else "application/json"
        head = (f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Type: {kind}\r\n"
                f"Content-Length: {len(body) if length is None else length}\r\n\r\n")  # fmt: skip
        self.writer.write(head.encode() + body)
        await self.writer.drain()
        return self

    async def part(self) -> Any:
        """The next event of a stream, None at its end; its head is passed over."""
        while (line := (await self.reader.readline()).strip()) or not self.reader.at_eof():
            if line.startswith(b"data: "):
                return None if line == b"data: [DONE]" else json.loads(line[6:])
        raise EOFError

    async def parts(self) -> list[Any]:
        found = []
        while (part := await self.part()) is not None:
            found.append(part)
        return found


async def stream(server: ServerProcess, text: str) -> Talk:
    talk = await Talk.open(server.url)
    await talk.tell(server, "/v1/predict", json.dumps({"inputs": [text], "stream": True}).encode())
    return talk


def charged(ledger: Path | str) -> dict[str, int]:
    """Units of every stream that was charged, by the charge; the chain holds and nothing is reserved any more."""
    with open_ledger(ledger) as book:
        assert book.verify()["holds"]
        with book.stores.reading.connect() as connection:
            assert not any(row.reserved for row in connection.execute(schema.balances.select()))
        return {row["id"]: row["quantities"].get("output_tokens", 0) for row in book.events()}


def limited(ledger: Path | str) -> None:
    """A customer with a quota: what it reserves must come back."""
    with open_ledger(ledger) as book:
        book.customers.add("load test", terms=Terms(quotas={"answers": 10**6, "output_tokens": 10**6}))


def test_what_runs_finishes_and_batches_go_on_with_the_next_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_SECONDS", "0.1")
    ledger, lines = tmp_path / "ledger.sqlite", b"".join(b'{"input": "line %d"}\n' % n for n in range(400))
    limited(ledger)

    async def work(server: ServerProcess) -> tuple[list[Any], str, str, Any]:
        batch, upload, late = [await Talk.open(server.url) for _ in range(3)]
        name = json.loads((await (await batch.tell(server, "/v1/batches", lines)).hear()).body)["id"]
        talk = await stream(server, WORDS)
        first = await talk.part()
        await upload.tell(server, "/v1/batches", lines[:50], length=len(lines))
        await asyncio.sleep(0.5)
        os.kill(server.pid, signal.SIGTERM)
        await asyncio.sleep(0.3)
        try:
            await late.ask("POST", "/v1/predict", {"inputs": ["new"]}, key=server.key)
            refused = None
        except (OSError, asyncio.IncompleteReadError) as error:  # an idle connection is closed at once
            refused = error
        upload.writer.write(lines[50:])
        received = (await upload.hear()).json
        return [first, *await talk.parts()], name, received["id"], refused

    with server_at(ledger) as server:
        parts, name, received, refused = asyncio.run(work(server))
        assert server._process is not None and server._process.wait(40) == 143
    assert refused is not None
    assert [part["part"] for part in parts[:-1]] == WORDS.split() and "error" not in parts[-1]
    assert charged(ledger)[parts[-1]["id"]] == 20
    with server_at(ledger) as second:
        until = time.monotonic() + 120
        while {dealt_with(second, second.key, one)["state"] for one in (name, received)} != {"done"}:
            assert time.monotonic() < until
            time.sleep(0.2)
    events = [event for event in charged(ledger) if event.startswith("bat_")]
    assert len(events) == len(set(events)) == 800


async def cut(server: ServerProcess) -> tuple[list[Any], Any, float]:
    """(events of a stream, the answer of an upload that stalls, seconds until the end), with a reader that is stuck."""
    upload, stuck = await Talk.open(server.url), await stream(server, " ".join(["x" * 100_000] * 9))
    await upload.tell(server, "/v1/batches", b'{"input": "a"}\n' * 30_000, length=10**6)
    talk = await stream(server, " ".join([WORDS] * 40))
    first = await talk.part()
    began = time.monotonic()
    os.kill(server.pid, signal.SIGTERM)
    answer = asyncio.ensure_future(upload.hear())
    for _ in range(30):
        upload.writer.write(b'{"input": "b"}\n')
        await asyncio.sleep(0.05)
    parts = [first, *await talk.parts()]
    heard = await answer
    stuck.close()
    while server.alive():
        await asyncio.sleep(0.02)
    return parts, heard, time.monotonic() - began


def check_cut(server: ServerProcess, ledger: Path | str, files: Path) -> None:
    parts, upload, seconds = asyncio.run(cut(server))
    assert server._process is not None and server._process.wait() == 143
    assert seconds < 20
    assert parts[-1]["error"]["code"] == "shutting-down"
    assert (upload.status, upload.code) == (503, "shutting-down")
    units = charged(ledger)
    assert units[parts[-1]["id"]] == len(parts) - 1 < 800, "what was sent is charged, and nothing else"
    assert len(units) == 2 and 0 < min(units.values()) <= 9, "a reader that took nothing more is charged for its parts"
    assert not [path for path in files.rglob("*") if path.is_file() and ".new-" in str(path)]


def test_at_the_deadline_streams_and_uploads_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_SECONDS", "0.02")
    limited(tmp_path / "ledger.sqlite")
    with server_at(tmp_path / "ledger.sqlite", shutdown_seconds=2) as server:
        check_cut(server, tmp_path / "ledger.sqlite", tmp_path)


def test_at_the_deadline_nothing_stays_reserved_on_postgresql(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    database: str,  # noqa: F811
) -> None:
    monkeypatch.setenv("ECHO_SECONDS", "0.02")
    monkeypatch.setenv("BREAKEVEN_FILES", str(tmp_path))
    limited(database)
    with server_at(database, shutdown_seconds=2) as server:
        check_cut(server, database, tmp_path)


def test_a_request_that_takes_longer_is_told_and_not_charged(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    limited(ledger)

    async def work(server: ServerProcess) -> Any:
        talk = await Talk.open(server.url)
        await talk.tell(server, "/v1/predict", b'{"inputs": ["slow"]}')
        await asyncio.sleep(0.5)
        os.kill(server.pid, signal.SIGTERM)
        return await talk.hear()

    with server_at(ledger, shutdown_seconds=1) as server:
        heard = asyncio.run(work(server))
        assert (heard.status, heard.code, heard.headers["connection"]) == (503, "shutting-down", "close")
        assert server._process is not None and server._process.wait(40) == 143
    assert charged(ledger) == {}
