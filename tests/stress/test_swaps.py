"""50 swaps and rollbacks under keep-alive load; 100,000 answers to many customers, none mixed up; limits ten times."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from breakeven.ledger import commands, open_ledger
from breakeven.serving.launch import ServerProcess
from tests.serving.limits import one_key, quota
from tests.serving.mixing import mixed_up, prices_of
from tests.serving.shelf import Shelf
from tests.serving.swaps import swap_under_load

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]
SWAPS = int(os.environ.get("STRESS_SWAPS", "50"))
ANSWERS = int(os.environ.get("STRESS_ANSWERS", "100000"))


def test_swaps(tmp_path: Path, figures: Callable[..., None]) -> None:
    shelf = Shelf(tmp_path / "project").fill()
    shelf.ship("red")
    place = tmp_path / "ledger.sqlite"
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=place) as server:
        before = server.memory_mb()
        seen = asyncio.run(swap_under_load(server, shelf, SWAPS, clients=32, pause=0.3))
        after = server.memory_mb()
    with open_ledger(place) as ledger:
        found = ledger.verify()
    figures("swaps under load", swaps=SWAPS, clients=32, answers=sum(seen.models.values()),
            broken=[text[:500] for text in seen.broken],
            statuses=dict(seen.statuses),
            mixed=len(seen.mixed), releases=len(seen.models), events=found["events"],
            swaps_seen_on_a_connection=seen.changes, slowest_seconds=round(seen.slowest, 3),
            memory_mb_before=round(before), memory_mb_after=round(after))  # fmt: skip
    assert seen.broken == [] and seen.mixed == [] and found["holds"]
    assert found["events"] == sum(seen.models.values())


def test_mixing(tmp_path: Path, figures: Callable[..., None]) -> None:
    place = tmp_path / "ledger.sqlite"
    with ServerProcess("nowhere", module="tests.serving.echo_server", ledger=place) as server:
        found = mixed_up(server, answers=ANSWERS, connections=64, customers=32)
        cases, batches = server.batches()
    with sqlite3.connect(place) as connection:
        same = prices_of(connection) == found.charged
    figures("answers mixed up", answers=found.answers, requests=found.requests, customers=32, connections=64,
            refusals=dict(found.refusals),
            mean_batch=round(cases / batches, 1), mixed=len(found.wrong), statuses=dict(found.statuses),
            ledger_agrees=same)  # fmt: skip
    assert found.wrong == [] and same and set(found.statuses) <= {200, 503}


def test_limits_again_and_again(figures: Callable[..., None]) -> None:
    for _ in range(10):
        with ServerProcess("nowhere", module="tests.serving.echo_server") as server:
            once, told = one_key([server], 1000), quota([server], granted=1000)
            used = sum(row["quantity"] for row in commands.usage(server.ledger))
        assert once["charges"] == 1 and told["200"] == 1000 and used == 1001, (once, told, used)
    figures("one Idempotency-Key, and a quota", rounds=10, uses=1000, charges=1, workers=32, quota=1000, granted=1000)
