"""A canary on two servers that share a PostgreSQL: a look sees what both counted, and what a server that ended did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from breakeven.cli.releases import status_of
from breakeven.ledger import open_ledger, servers
from breakeven.packaging.routing import Desk
from breakeven.serving.launch import ServerProcess
from breakeven.serving.reports import counted, together
from tests.ledger.conftest import cluster, database  # noqa: F401  fixtures of the ledger
from tests.serving.shelf import Shelf

ONE = {"tried": {"red": {"answered": 3, "failed": 1}}, "latency": {"red": {"0": {"5": 3}}}}
TWO = {"tried": {"red": {"answered": 4, "failed": 0}, "green": {"answered": 1, "failed": 0}},
       "latency": {"red": {"0": {"5": 1, "6": 1}, "2": {"9": 2}}}}  # fmt: skip


def test_counts_of_all_servers_are_summed_by_size_and_bucket() -> None:
    assert counted([ONE, TWO, {}]) == {
        "tried": {"red": {"answered": 7, "failed": 1}, "green": {"answered": 1, "failed": 0}},
        "latency": {"red": {"0": {"5": 4, "6": 1}, "2": {"9": 2}}},
    }


def word(name: str, decision: int, *, alive: bool = True, **more: Any) -> dict[str, Any]:
    return {"id": name, "decision": decision, "alive": alive, "refused": None, "requests": {}, "pid": 1, **ONE, **more}


def test_together_they_follow_what_all_of_them_follow() -> None:
    assert together([word("a", 3, alive=False)]) is None
    found = together([word("a", 4), word("b", 3, refused={"decision": 4}), word("c", 3, alive=False)])
    assert found is not None
    assert (found["servers"], found["decision"], found["refused"]) == (2, 3, {"decision": 4})
    assert found["tried"] == {"red": {"answered": 6, "failed": 2}}, "of this decision, of who has ended too"


def test_a_word_replaces_the_one_before_and_goes_when_it_is_old(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        servers.report(ledger, "one", 3, {"n": 1})
        servers.report(ledger, "one", 3, {"n": 2})
        servers.report(ledger, "two", 3, {"n": 3}, ended=True)
        servers.report(ledger, "one", 4, {"n": 4})
        found = {(row["id"], row["decision"]): (row["n"], row["alive"]) for row in servers.rows(ledger)}
        assert found == {("one", 3): (2, True), ("one", 4): (4, True), ("two", 3): (3, False)}
        assert [row["id"] for row in servers.rows(ledger, 4)] == ["one"]
        old = servers.servers.update().values(seen=0).where(servers.servers.c.decision == 3)
        ledger.change(lambda connection, _: connection.execute(old) and None)
        servers.report(ledger, "one", 4, {"n": 5})
        assert [(row["decision"], row["n"]) for row in servers.rows(ledger)] == [(4, 5)]


def breakeven(root: Path, url: str, *words: str, code: int = 0) -> Any:
    command = [sys.executable, "-m", "breakeven", *words, "-C", str(root), "--json"]
    environment = {**os.environ, "BREAKEVEN_DATABASE_URL": url, "BREAKEVEN_LANG": "en"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == code, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout)


def send(server: ServerProcess, model: str, text: str, count: int) -> None:
    head = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    for _ in range(count):
        body = json.dumps({"inputs": [text], "model": model}).encode()
        with urlopen(Request(f"{server.url}/v1/predict", body, head), timeout=60) as answer:
            assert answer.status == 200


def answered(url: str, name: str) -> int:
    status = status_of(url)
    return 0 if status is None else sum(status["tried"].get(name, {}).values())


def until(check: Any) -> None:
    end = time.monotonic() + 120
    while not check():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
def test_a_look_sees_all_servers_and_all_of_them_follow(tmp_path: Path, database: str) -> None:  # noqa: F811
    shelf = Shelf(tmp_path / "project").fill(("red", "green"))
    shelf.ship("red")
    assert breakeven(shelf.root, database, "releases")["server"] is None
    green = shelf.names["green"]
    Desk(shelf.releases, shelf.key).canary(green, 0.5)
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=database) as first:
        with ServerProcess(shelf.releases, trust=shelf.trust, ledger=database) as second:
            send(first, green, "text", 30)
            send(second, green, "text", 20)
            until(lambda: answered(database, green) == 50)
            status = breakeven(shelf.root, database, "releases")["server"]
            assert (status["servers"], status["decision"], status["requests"][green]["answered"]) == (2, 2, 50)
            assert sum(n for sizes in status["latency"][green].values() for n in sizes.values()) >= 40
        until(lambda: (status_of(database) or {})["servers"] == 1)
        send(first, green, "text", 30)
        until(lambda: answered(database, green) == 80)
        waits = breakeven(shelf.root, database, "refresh", "--watch", "--answers", "81")
        assert (waits["outcome"], waits["watches"]["failures"]["canary"]["all"]) == ("waits", 80)
        done = breakeven(shelf.root, database, "refresh", "--watch", "--answers", "80")
        assert (done["outcome"], done["server"]["decision"]) == ("promoted", done["decision"]["number"])
        assert done["server"]["current"] == green
    assert status_of(database) is None
