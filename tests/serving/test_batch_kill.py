"""kill -9 in the middle of batch files: the next server goes on, every line is answered, and charged exactly once."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from breakeven.ledger import open_ledger
from breakeven.serving.launch import ServerProcess

pytestmark = pytest.mark.slow

LINES = 3000
KILLS = 3


def ask(server: ServerProcess, key: str, method: str, path: str, body: bytes | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    with urlopen(Request(server.url + path, data=body, headers=headers, method=method), timeout=90) as answer:
        found: bytes = answer.read()
        return found


def dealt_with(server: ServerProcess, key: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ask(server, key, "GET", f"/v1/batches/{name}"))
    return found


def server_at(place: Path, module: str = "tests.serving.echo_server") -> ServerProcess:
    return ServerProcess("nowhere", module=module, ledger=place / "ledger.sqlite")


def test_a_server_killed_in_the_middle_resumes_without_a_second_charge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_WORK", "0.001")
    source = random.Random(3)
    body = b"".join(json.dumps({"input": f"line {n}"}).encode() + b"\n" for n in range(1, LINES + 1))
    key, name, seen = "", "", []
    for _ in range(KILLS):
        with server_at(tmp_path) as server:
            if not name:
                key = server.key
                name = json.loads(ask(server, key, "POST", "/v1/batches", body))["id"]
            before = seen[-1] if seen else 0
            while (now := dealt_with(server, key, name)["counts"]["dealt_with"]) == before:
                time.sleep(0.01)
            seen.append(now)
            time.sleep(0.05 * source.random())
            server.kill()
    assert 0 < seen[0] < seen[-1] < LINES, "killed in the middle"
    check(tmp_path, key, name, LINES)


def test_lines_that_were_charged_and_not_written_are_not_charged_again(tmp_path: Path) -> None:
    body = b"".join(json.dumps({"input": f"line {n}"}).encode() + b"\n" for n in range(1, 901))
    key, name = "", ""
    for _ in range(2):
        with server_at(tmp_path, "tests.serving.dying_server") as server:
            if not name:
                key = server.key
                name = json.loads(ask(server, key, "POST", "/v1/batches", body))["id"]
            until = time.monotonic() + 90
            while server.alive() and time.monotonic() < until:
                time.sleep(0.01)
            assert not server.alive()
        with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
            charged = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        (state,) = [json.loads(path.read_text()) for path in tmp_path.glob("batches/*/*/state.json")]
        assert charged > state["answered"] > 0, "the window was hit"
    check(tmp_path, key, name, 900)


def check(place: Path, key: str, name: str, count: int) -> None:
    """One more server ends the batch; every line is there in order, and charged once."""
    with server_at(place) as server:
        until = time.monotonic() + 150
        while (batch := dealt_with(server, key, name))["state"] != "done" and time.monotonic() < until:
            time.sleep(0.05)
        output = [json.loads(line) for line in ask(server, key, "GET", f"/v1/batches/{name}/output").splitlines()]
        errors = ask(server, key, "GET", f"/v1/batches/{name}/errors")
    assert (batch["state"], batch["counts"]["answered"], errors) == ("done", count, b"")
    assert [(row["line"], row["output"]["echo"]) for row in output] == [(n, f"line {n}") for n in range(1, count + 1)]
    with sqlite3.connect(place / "ledger.sqlite") as connection:
        charged = [row[0] for row in connection.execute("SELECT id FROM events")]
    assert sorted(charged) == sorted(row["charge"] for row in output)
    assert len(set(charged)) == count
    with open_ledger(place / "ledger.sqlite") as ledger:
        assert ledger.verify()["holds"]
        assert ledger.usage()[0]["quantity"] == count


def test_files_that_the_machine_lost_are_made_anew_and_nothing_is_charged_twice(tmp_path: Path) -> None:
    body = b"".join(json.dumps({"input": f"line {n}"}).encode() + b"\n" for n in range(1, 301))
    with server_at(tmp_path) as server:
        key = server.key
        name = json.loads(ask(server, key, "POST", "/v1/batches", body))["id"]
        while dealt_with(server, key, name)["state"] != "done":
            time.sleep(0.02)
        whole = ask(server, key, "GET", f"/v1/batches/{name}/output")
    (folder,) = tmp_path.glob(f"batches/*/{name}")
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "state": "running", "ended": None, "expires": None}))
    (folder / "output.jsonl").write_bytes(whole[:5000])  # the state reached the disk, the end of the file did not
    with server_at(tmp_path) as server:
        while dealt_with(server, key, name)["state"] != "done":
            time.sleep(0.02)
        assert ask(server, key, "GET", f"/v1/batches/{name}/output") == whole
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        assert len(ledger.events()) == 300


def test_a_server_told_to_end_leaves_the_rest_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_WORK", "0.002")
    body = b"".join(json.dumps({"input": f"line {n}"}).encode() + b"\n" for n in range(1, LINES + 1))
    with server_at(tmp_path) as server:
        key = server.key
        name = json.loads(ask(server, key, "POST", "/v1/batches", body))["id"]
        while not dealt_with(server, key, name)["counts"]["answered"]:
            time.sleep(0.02)
        started = time.monotonic()
        server.stop(100)
        assert time.monotonic() - started < 90, "it did not end by itself"
        assert "Traceback" not in server.stderr(), server.stderr()
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        held = len(ledger.events())
    (state,) = [json.loads(path.read_text()) for path in tmp_path.glob("batches/*/*/state.json")]
    assert state["state"] == "running"
    assert 0 < state["answered"] == held < LINES
