"""Rounds of watching: written down before anything is sent, and going on when the disk does not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from breakeven.errors import Busy
from breakeven.watching.alerting import Change
from breakeven.watching.history import Page
from breakeven.watching.measures import Books, CannotTell
from breakeven.watching.settings import Alerts
from breakeven.watching.sources import Server
from breakeven.watching.watcher import STATE, Watched, Watcher, alone, kept_state

DOWN = {"name": "down", "watch": "server_down", "above": 0, "keep_firing_for": "0s"}
QUEUE = {"name": "queue", "watch": "queue_cases", "above": 5, "keep_firing_for": "0s"}
CAP = {"name": "cap", "watch": "spend_share", "above": 0.9}
REFUSED = Server(why=CannotTell("alerts-unreachable", reason="refused").why)


def page(queued: float, started: float = 1.0) -> Server:
    gauges = {("breakeven_queue_cases", ()): queued, ("process_start_time_seconds", ()): started}
    return Server(Page({}, gauges))


class World:
    """Servers that answer as they are told, a clock that is moved, a receiver that keeps what it gets."""

    def __init__(self, folder: Path, **alerts: Any) -> None:
        section = {"servers": ["http://a", "http://b"], "interval": "10s", "ready_made": False, **alerts}
        section.setdefault("receivers", {"ops": {"command": ["true"]}})
        self.alerts, self.folder, self.moment = Alerts.model_validate(section), folder, 1_000_000.0
        self.answers: dict[str, Server] = {"http://a": page(0), "http://b": page(0)}
        self.books: Books | Exception = Books()
        self.sent: list[tuple[str, str, bool]] = []

    def watcher(self) -> Watcher:
        watched = Watched("shop", self.folder, self.folder / "w", self.alerts, self.alerts.rules, "x")
        one = Watcher(watched, now=lambda: self.moment, read=lambda address: self._page(address), send=self._send,
                      ledger=self._books)  # fmt: skip
        one.load()
        return one

    def _page(self, address: str) -> Server:
        found = self.answers[address]
        return Server(found.page, found.why)

    def _books(self) -> Books:
        if isinstance(self.books, Exception):
            raise self.books
        return self.books

    def _send(self, receiver: str, message: str, said: Mapping[str, Any]) -> None:
        kept = kept_state(self.folder / "w").get("outbox", [])
        self.sent.append((said["groupLabels"]["alertname"], said["status"], message in {one["id"] for one in kept}))

    def round(self, watcher: Watcher, seconds: float = 10.0) -> list[tuple[str, str]]:
        """One round as the loop makes it; what changed."""
        self.moment += seconds
        changes = watcher._round()
        watcher.outbox.begin(self.moment)
        while watcher.outbox.busy:
            watcher._hear(0.5)
        return [(change.rule.name, change.status) for change in changes]


def test_what_changed_is_on_the_disk_before_it_is_sent(tmp_path: Path) -> None:
    world = World(tmp_path, rules=[DOWN])
    watcher = world.watcher()
    assert world.round(watcher) == []
    world.answers["http://b"] = REFUSED
    assert world.round(watcher) == [("down", "firing")]
    assert world.sent == [("down", "firing", True)] and kept_state(tmp_path / "w")["outbox"] == []
    again = world.watcher()
    assert world.round(again) == [] and len(world.sent) == 1
    world.answers["http://b"] = page(0)
    assert world.round(again) == [("down", "resolved")]


def test_a_disk_that_takes_nothing_stops_no_alert(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path, rules=[DOWN])
    (tmp_path / "w").write_text("a file where the folder should be")
    watcher = world.watcher()
    world.answers["http://a"] = REFUSED
    assert world.round(watcher) == [("down", "firing")]
    assert world.sent == [("down", "firing", False)] and "alerts.json" in caplog.text


def test_with_one_server_gone_the_other_is_still_judged(tmp_path: Path) -> None:
    world = World(tmp_path, rules=[QUEUE], no_data_for="30s")
    watcher = world.watcher()
    world.answers = {"http://a": REFUSED, "http://b": page(9)}
    assert world.round(watcher) == [("queue", "firing")]
    assert [world.round(watcher) for _ in range(3)] == [[], [], [("cannot-tell", "firing")]]
    world.answers = {"http://a": page(9), "http://b": page(0)}
    assert world.round(watcher) == [("cannot-tell", "resolved")]
    world.answers["http://a"] = REFUSED  # what waited there waits no longer
    assert world.round(watcher) == [("queue", "resolved")]
    world.answers["http://b"] = page(9)
    assert [world.round(watcher) for _ in range(3)] == [[("queue", "firing")], [], [("cannot-tell", "firing")]]
    world.answers = {"http://a": REFUSED, "http://b": REFUSED}
    assert world.round(watcher) == []
    assert {alert.rule: alert.shown for alert in watcher.board.firing()} == {"queue": "firing", "cannot-tell": "firing"}
    world.answers = {"http://a": page(1), "http://b": page(1)}
    assert world.round(watcher) == [("queue", "resolved"), ("cannot-tell", "resolved")]
    # a second process behind the same address is told, and its counters are left out
    world.answers["http://a"] = page(9, started=0.0 - 100)
    assert [world.round(watcher) for _ in range(4)][-1] == [("cannot-tell", "firing")]
    note = next(alert.note for alert in watcher.board.firing())
    assert note is not None and note["code"] == "alerts-many"


def test_a_ledger_that_cannot_be_read_is_told_only_while_a_server_is_up(tmp_path: Path) -> None:
    world = World(tmp_path, rules=[DOWN, CAP], no_data_for="0s", ledger_interval="1s")
    world.books = Busy("ledger-owned", pid=1)
    watcher = world.watcher()
    assert world.round(watcher) == [("cannot-tell", "firing")]
    world.answers = {"http://a": REFUSED, "http://b": REFUSED}
    assert sorted(world.round(watcher)) == [("cannot-tell", "resolved"), ("down", "firing"), ("down", "firing")]


def test_messages_of_one_rule_and_round_are_one(tmp_path: Path) -> None:
    world = World(tmp_path, rules=[DOWN], receivers={"ops": {"command": ["true"]}, "more": {"command": ["true"]}},
                  to=["ops"])  # fmt: skip
    watcher = world.watcher()
    world.answers = {"http://a": REFUSED, "http://b": REFUSED}
    assert world.round(watcher) == [("down", "firing")] * 2
    assert len(world.sent) == 1


def test_a_rule_that_is_taken_away_is_resolved_for_those_who_heard_of_it(tmp_path: Path) -> None:
    world = World(tmp_path, rules=[DOWN, QUEUE])
    world.answers["http://a"] = page(9)
    assert world.round(world.watcher()) == [("queue", "firing")]
    world.alerts = Alerts.model_validate({**world.alerts.model_dump(by_alias=True), "rules": [DOWN]})
    assert world.round(world.watcher()) == [("queue", "resolved")]


def test_a_clock_that_is_set_back_between_two_processes_loses_no_alert(tmp_path: Path) -> None:
    world = World(tmp_path, rules=[DOWN])
    world.answers["http://a"] = REFUSED
    assert world.round(world.watcher()) == [("down", "firing")]
    world.moment -= 86_400
    later = world.watcher()
    assert world.round(later) == [] and later.board.firing()
    world.answers["http://a"] = page(0)
    assert world.round(later) == [("down", "resolved")]


def test_it_ends_when_told_and_only_one_watches(tmp_path: Path) -> None:
    world = World(tmp_path, rules=[DOWN], interval="1s")
    world.answers["http://a"] = REFUSED
    watched = Watched("shop", tmp_path, tmp_path / "w", world.alerts, world.alerts.rules, "x")
    told: list[Change] = []
    watcher = Watcher(watched, read=world._page, send=world._send)
    thread = threading.Thread(target=watcher.run, args=(told.extend,), daemon=True)
    with alone(tmp_path / "w"):
        thread.start()
        until = time.monotonic() + 10
        while not world.sent and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(Busy, match="watches this project already"), alone(tmp_path / "w"):
            pass
        watcher.stop()
        thread.join(5)
    assert not thread.is_alive() and len(told) == len(world.sent) == 1
    assert json.loads((tmp_path / "w" / STATE).read_text())["outbox"] == []
    with alone(tmp_path / "w"):
        pass
