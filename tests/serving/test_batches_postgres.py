"""Batch files over a ledger on PostgreSQL: two servers share the folder, each batch is one server's, lines once."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakeven.ledger import open_ledger
from breakeven.serving.launch import ServerProcess
from tests.ledger.cluster import Cluster, programs
from tests.serving.test_batch_kill import ask, dealt_with

pytest.importorskip("psycopg")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(programs() is None, reason="no PostgreSQL here")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    found = programs()
    assert found is not None
    with tempfile.TemporaryDirectory(prefix="breakeven-pg-") as folder:
        os.chmod(folder, 0o755)
        cluster = Cluster(Path(folder), found)
        try:
            yield cluster.create()
        finally:
            cluster.stop()


def server_at(url: str) -> ServerProcess:
    return ServerProcess("nowhere", module="tests.serving.echo_server", ledger=url)


def test_two_servers_share_batches_and_one_takes_over_from_a_killed_one(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAKEVEN_FILES", str(tmp_path))
    monkeypatch.setenv("ECHO_WORK", "0.001")
    count = 1200
    body = b"".join(json.dumps({"input": f"line {n}"}).encode() + b"\n" for n in range(1, count + 1))
    with server_at(url) as first, server_at(url) as second:
        names = [json.loads(ask(first, first.key, "POST", "/v1/batches", body))["id"] for _ in range(2)]
        assert dealt_with(second, first.key, names[0])["id"] == names[0], "either server answers for it"
        while not dealt_with(second, first.key, names[1])["counts"]["answered"]:
            time.sleep(0.05)
        first.kill()
        more = json.loads(ask(second, second.key, "POST", "/v1/batches", body[:200].rsplit(b"\n", 1)[0]))["id"]
        until = time.monotonic() + 200
        while time.monotonic() < until:
            states = [dealt_with(second, second.key, name)["state"] for name in (*names, more)]
            if states == ["done"] * 3:
                break
            time.sleep(0.2)
        assert states == ["done"] * 3
        output = [
            json.loads(row) for row in ask(second, second.key, "GET", f"/v1/batches/{names[0]}/output").splitlines()
        ]
    assert [row["line"] for row in output] == list(range(1, count + 1))
    with open_ledger(url) as ledger:
        events = [event["id"] for event in ledger.events() if event["id"].startswith(names[0])]
        assert len(events) == len(set(events)) == count
        assert ledger.verify()["holds"]
