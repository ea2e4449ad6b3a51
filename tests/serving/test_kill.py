"""kill -9 under load: every answer that a client got is in the ledger exactly once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from breakeven.ledger import open_ledger
from breakeven.serving.launch import ServerProcess

pytestmark = pytest.mark.slow

KILLS = 5
CLIENTS = 24


async def client(server: ServerProcess, acknowledged: list[str]) -> None:
    """Asks until the connection breaks; keeps the ids of the answers it got whole."""
    address = urlsplit(server.url)
    body = b'{"inputs":["a"]}'
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    try:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        while True:
            writer.write(head + body)
            answered = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(answered.split(b"content-length: ")[1].split(b"\r\n")[0])
            found = json.loads(await reader.readexactly(length))
            if not answered.startswith(b"http/1.1 200"):
                return
            acknowledged.append(found["id"])
    except (OSError, asyncio.IncompleteReadError):
        return


async def until_killed(server: ServerProcess, acknowledged: list[str]) -> None:
    clients = [asyncio.ensure_future(client(server, acknowledged)) for _ in range(CLIENTS)]
    await asyncio.sleep(0.4)
    server.kill()
    await asyncio.gather(*clients)


def lost_and_doubled(place: Path, acknowledged: list[str]) -> tuple[int, int]:
    with sqlite3.connect(place) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM events")]
    return len(set(acknowledged) - set(ids)), len(ids) - len(set(ids))


def kill_often(place: Path, module: str, kills: int) -> tuple[list[str], list[float]]:
    acknowledged: list[str] = []
    back: list[float] = []
    for _ in range(kills):
        with ServerProcess(place.parent, ledger=place, module=module) as server:
            back.append(server.start_seconds)
            asyncio.run(until_killed(server, acknowledged))
    return acknowledged, back


def test_every_acknowledged_answer_is_charged_exactly_once(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    acknowledged, back = kill_often(place, "tests.serving.echo_server", KILLS)
    assert len(acknowledged) > 50 * KILLS
    assert lost_and_doubled(place, acknowledged) == (0, 0)
    with open_ledger(place) as ledger:
        assert ledger.verify()["holds"]
    assert min(back) < 3


def test_the_same_test_catches_a_writer_that_acknowledges_before_it_commits(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    acknowledged, _ = kill_often(place, "tests.serving.broken_server", 2)
    lost, _ = lost_and_doubled(place, acknowledged)
    assert lost > 0


def test_the_commit_that_runs_is_finished_when_the_server_is_told_to_end(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    acknowledged: list[str] = []

    async def gentle(server: ServerProcess) -> None:
        clients = [asyncio.ensure_future(client(server, acknowledged)) for _ in range(8)]
        await asyncio.sleep(0.3)
        await asyncio.get_running_loop().run_in_executor(None, server.stop)
        await asyncio.gather(*clients)

    with ServerProcess(tmp_path, ledger=place, module="tests.serving.echo_server") as server:
        started = time.monotonic()
        asyncio.run(gentle(server))
    assert time.monotonic() - started < 20
    with open_ledger(place) as ledger:
        found = ledger.verify()
    assert found["holds"]
    assert found["events"] == len(acknowledged)
