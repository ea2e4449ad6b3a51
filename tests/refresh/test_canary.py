"""The canary: false alarms are rare over all looks together, real harm is seen, and a real server goes on answering."""

from __future__ import annotations

import json
import random
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.ledger import open_ledger
from breakeven.ledger.commands import audit
from breakeven.packaging.routing import Desk
from breakeven.refresh.canary import Limits, Tally, bounds, feedback_of, look, wrong
from breakeven.serving.launch import ServerProcess
from tests.refresh.customers import answered
from tests.refresh.world import breakeven
from tests.serving.shelf import Shelf

NOTHING = {"feedback": Tally(), "failures": Tally()}


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.001, 0.5))
def test_bounds_hold_the_rate_found_and_a_smaller_alarm_widens_them(bad: int, good: int, alarm: float) -> None:
    tally = Tally(bad, bad + good)
    low, high = bounds(tally, alarm)
    wider = bounds(tally, alarm / 4)
    rate = bad / tally.all if tally.all else 0.5
    assert 0 <= wider[0] <= low <= rate <= high <= wider[1] <= 1


def test_bounds_narrow_and_know_nothing_of_nothing() -> None:
    assert bounds(Tally(), 0.05) == (0.0, 1.0)
    few, many = bounds(Tally(2, 20), 0.05), bounds(Tally(200, 2000), 0.05)
    assert many[1] - many[0] < (few[1] - few[0]) / 4


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_looking_after_every_answer_raises_few_false_alarms(rate: float) -> None:
    draw, runs, alarms = random.Random(4), 150, 0
    for _ in range(runs):
        bad = [0, 0]
        for count in range(1, 201):
            bad = [found + (draw.random() < rate) for found in bad]
            sides = [{"feedback": Tally(found, count), "failures": Tally()} for found in bad]
            if look(sides[0], sides[1], Limits(answers=None), hours=0, answers=0).step == "back":
                alarms += 1
                break
    assert alarms <= 0.05 * runs


def test_harm_is_seen_by_either_watch() -> None:
    worse, good = Tally(60, 100), Tally(10, 100)
    for name in NOTHING:
        found = look({**NOTHING, name: worse}, {**NOTHING, name: good}, Limits(), hours=0, answers=10**6)
        assert (found.step, found.watch) == ("back", name)
    assert (
        look({**NOTHING, "feedback": good}, {**NOTHING, "feedback": worse}, Limits(), hours=0, answers=0).step == "wait"
    )


@pytest.mark.parametrize(("limits", "hours", "answers", "step"), [
    (Limits(answers=100), 0.0, 99, "wait"), (Limits(answers=100), 0.0, 100, "promote"),
    (Limits(answers=None), 9.0, 10**6, "wait"), (Limits(answers=None, hours=8), 9.0, 0, "promote"),
])  # fmt: skip
def test_it_serves_everybody_after_answers_or_hours(limits: Limits, hours: float, answers: int, step: str) -> None:
    assert look(NOTHING, NOTHING, limits, hours=hours, answers=answers).step == step


@pytest.mark.parametrize(("words", "found"), [
    ([], None), ([{"rating": 1}], None), ([{"correct": True}], False), ([{"correct": False}], True),
    ([{"label": "good"}], False), ([{"label": "bad"}], True), ([{"label": "bad"}, {"correct": True}], False),
    ([{"correct": True}, {"correct": False}, {"comment": "no"}], True),
])  # fmt: skip
def test_wrong_by_the_last_word(words: list[dict[str, Any]], found: bool | None) -> None:
    assert wrong(words, {"label": "good"}) is found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A project that serves `red` to most and `green` to some."""
    made = Shelf(tmp_path / "project").fill(("red", "green"))
    made.ship("red")
    Desk(made.releases, made.key).canary(made.names["green"], 0.5)
    return made


@pytest.mark.slow
def test_without_a_server_or_words_it_waits_and_after_hours_it_is_promoted(shelf: Shelf) -> None:
    open_ledger(shelf.root / "ledger.sqlite").close()
    assert breakeven(shelf.root, "refresh", "--watch")["outcome"] == "waits"
    done = breakeven(shelf.root, "refresh", "--watch", "--hours", "0")
    assert (done["outcome"], done["decision"]["release"]) == ("promoted", shelf.names["green"])
    assert breakeven(shelf.root, "refresh", "--watch")["outcome"] == "no-canary"


@pytest.mark.slow
def test_a_canary_called_wrong_is_rolled_back_without_a_dropped_request(shelf: Shelf) -> None:
    red, green = shelf.names["red"], shelf.names["green"]
    time.sleep(1.1)  # a decision's time is in whole seconds
    answered(shelf.root, "Ann", [(f"text {n}", "green", {"label": "red"}) for n in range(60)], release=green)
    answered(shelf.root, "Bob", [(f"text {n}", "red", {"correct": True}) for n in range(60)], release=red)
    place, stop, statuses = shelf.root / "ledger.sqlite", threading.Event(), []
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=place) as server:
        asking = threading.Thread(target=ask, args=(server, stop, statuses))
        asking.start()
        while len(statuses) < 20:
            time.sleep(0.01)
        done = breakeven(shelf.root, "refresh", "--watch", "--alarm", "0.01", code=1)
        after = len(statuses)
        while len(statuses) < after + 20 and asking.is_alive():
            time.sleep(0.01)
        stop.set()
        asking.join()
        assert (done["outcome"], done["watch"]) == ("rolled-back", "feedback")
        assert done["watches"]["feedback"]["canary"]["bad"] == 60
        assert (done["server"]["decision"], done["server"]["canary"]) == (done["decision"]["number"], None)
        assert set(statuses) == {200}
    assert feedback_of(place, (red, green), "2020-01-01")[red] == Tally(0, 60)
    lines = [line for line in audit(place) if line["action"] == "releases.canary"]
    assert [line["subject"] for line in lines] == [red]


def ask(server: ServerProcess, stop: threading.Event, statuses: list[int]) -> None:
    """Asks on one connection that is kept, and notes every status; a broken connection is a status of 0."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    head = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    while not stop.is_set():
        try:
            connection.request("POST", "/v1/predict", json.dumps({"inputs": ["text"]}), head)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        except OSError:
            statuses.append(0)
