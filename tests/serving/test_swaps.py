"""Swaps, rollbacks and a canary in a real server under keep-alive load; at length: python -m tests.serving.swaps."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from breakeven.ledger import open_ledger
from breakeven.packaging.routing import Desk
from breakeven.serving.launch import ServerProcess
from tests.serving import swaps
from tests.serving.shelf import Shelf

pytestmark = pytest.mark.slow

SWAPS = 6
CUSTOMERS = 120


@pytest.fixture
def shelf(filled: Shelf, tmp_path: Path) -> Shelf:
    found = filled.copy(tmp_path / "project")
    found.ship("red")
    return found


@pytest.fixture
def server(shelf: Shelf, tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=tmp_path / "ledger.sqlite") as running:
        yield running


def test_swaps_and_rollbacks_under_load_drop_and_mix_nothing(
    server: ServerProcess, shelf: Shelf, tmp_path: Path
) -> None:
    seen = asyncio.run(swaps.swap_under_load(server, shelf, SWAPS, clients=8, pause=0.15))
    assert seen.broken == [] and seen.mixed == []
    assert set(seen.models) == set(shelf.names.values())
    assert seen.changes >= SWAPS  # connections lived through swaps
    server.stop()
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        found = ledger.verify()
    assert found["holds"] and found["events"] == sum(seen.models.values())


def test_the_canary_has_its_share_of_customers_and_each_stays(server: ServerProcess, shelf: Shelf) -> None:
    share = 0.3
    met = swaps.canary_share(server, shelf, share, CUSTOMERS)
    assert all(len(set(models)) == 1 for models in met.values())
    chosen = sum(models[0] == shelf.names["blue"] for models in met.values())
    assert abs(chosen - share * CUSTOMERS) < 6 * (CUSTOMERS * share * (1 - share)) ** 0.5  # otherwise: 4 in 10^9
    status = swaps.status_of(server)
    assert status["requests"][shelf.names["blue"]]["answered"] == 2 * chosen


def test_a_server_notices_a_decision_by_itself_and_keeps_it_over_a_restart(shelf: Shelf, tmp_path: Path) -> None:
    desk = Desk(shelf.releases, shelf.key)
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=tmp_path / "ledger.sqlite") as server:
        desk.canary(shelf.names["blue"], 0.5)
        until = time.monotonic() + 90
        while swaps.status_of(server)["decision"] != 2:
            assert time.monotonic() < until, swaps.status_of(server)
            time.sleep(0.1)
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=tmp_path / "ledger.sqlite") as server:
        assert swaps.status_of(server)["canary"] == shelf.names["blue"]


def breakeven(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "breakeven", "releases", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_line_routes_and_the_server_says_that_it_follows(filled: Shelf, tmp_path: Path) -> None:
    shelf = filled.copy(tmp_path / "project")
    shelf.ship("red")
    shelf.ship("green")
    told = breakeven(shelf.root)
    assert told.returncode == 0 and "no server of this project runs here" in told.stdout
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=shelf.root / "ledger.sqlite") as server:
        told = breakeven(shelf.root, "rollback", "--reason", "green was wrong", "--json")
        assert told.returncode == 0, told.stderr
        found = json.loads(told.stdout)
        assert (found["decision"]["release"], found["server"]["decision"]) == (shelf.names["red"], 3)
        told = breakeven(shelf.root, "canary", shelf.names["blue"], "25%")
        assert f"{shelf.names['blue']} to 25% of the customers" in told.stdout, told.stderr
        assert f"(process {server.pid}) follows decision 4" in told.stdout
        (shelf.releases / shelf.names["green"] / "parity.json").write_text("{}")
        shelf.ship("green")  # as a publisher would that went wrong
        told = breakeven(shelf.root)
        assert "it does not follow decision 5" in told.stdout or "follows decision 4" in told.stdout
        with urlopen(server.url + "/readyz") as ready:
            assert ready.status == 200
    with open_ledger(shelf.root / "ledger.sqlite") as ledger:
        noted = {(line["actor"], line["action"]): line["detail"] for line in ledger.audit()}
    assert noted["command", "releases.rollback"]["reason"] == "green was wrong"
    assert noted["server", "releases.follow"]


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["canary", "demo-gone", "0.1"], 2, "no release is called"),
    (["canary", "demo-gone", "2"], 2, "must be more than 0 and less than 1"),
    (["canary", "demo-gone"], 2, "must be more than 0 and less than 1"),
    (["promote"], 2, "no canary is running"),
    (["rollback"], 2, "nothing has been released"),
])  # fmt: skip
def test_what_cannot_be_routed_is_said(
    filled: Shelf, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    shelf = filled.copy(tmp_path / "project")
    if arguments != ["rollback"]:
        shelf.ship("red")
    told = breakeven(shelf.root, *arguments)
    assert (told.returncode, told.stdout) == (code, "")
    assert words in told.stderr and "Traceback" not in told.stderr


def test_a_request_that_never_ends_holds_a_server_that_is_told_to_end_no_longer_than_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHO_SECONDS", "600")
    with ServerProcess(tmp_path, ledger=tmp_path / "ledger.sqlite", module="tests.serving.echo_server",
                       limits={"shutdown_seconds": 1, "request_seconds": 500}) as server:  # fmt: skip
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(post(server)))
        asking.start()
        time.sleep(0.5)
        began = time.monotonic()
        server.stop(120)
        took = time.monotonic() - began
        asking.join(60)
    assert took < 110, "it did not end by itself"
    assert answers != [200]
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.events() == []


def post(server: ServerProcess) -> int:
    """The status of one prediction; 0 where the connection was closed."""
    head = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    try:
        with urlopen(Request(server.url + "/v1/predict", data=b'{"inputs": ["a"]}', headers=head)) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return 0
