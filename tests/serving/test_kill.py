"""kill -9 under load: every answer that a client got is in the ledger exactly once. At length: make stress."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from breakeven.ledger import open_ledger
from breakeven.ledger.commands import keys_create
from tests.serving.killing import Crowd, Told, judged, kill_often, rows_of, server_at

pytestmark = pytest.mark.slow

KILLS = 5
RATE = 150
SECONDS = 0.5


def test_every_acknowledged_answer_is_charged_exactly_once(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    told = kill_often(place, KILLS, rate=RATE, seconds=SECONDS)
    assert not any(judged(told, rows_of(place)).values()), judged(told, rows_of(place))
    assert len(told.careless) > 10 * KILLS and len(told.answered) > 10 * KILLS
    assert set(told.statuses) == {200}
    with open_ledger(place) as ledger:
        assert ledger.verify()["holds"]


def test_the_same_test_catches_a_writer_that_acknowledges_before_it_commits(tmp_path: Path) -> None:
    """Now and then a kill meets a moment in which everything is committed; of ten, one that does not is enough."""

    def lost(place: Path) -> int:
        place.parent.mkdir()
        return judged(kill_often(place, 1, rate=400, seconds=SECONDS, module="broken_server"), rows_of(place))["lost"]

    assert any(lost(tmp_path / str(number) / "ledger.sqlite") for number in range(10))


def test_the_commit_that_runs_is_finished_when_the_server_is_told_to_end(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    keys = (keys_create(place, "careful")["secret"], keys_create(place, "careless")["secret"])
    told = Told()
    with server_at(place, "echo_server") as server:
        started = time.monotonic()
        asyncio.run(Crowd([server.url], keys, told).run(RATE, 0.4, lambda: server.stop(150)))
    assert time.monotonic() - started < 140, "it did not end by itself"
    answered = set(told.careless) | set(told.answered.values())
    assert {charge for charge, _ in rows_of(place)} == answered, "a server told to end answers whatever it charges"
    with open_ledger(place) as ledger:
        assert ledger.verify()["holds"]
