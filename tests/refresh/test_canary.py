"""The canary: false alarms are rare over all looks together, real harm is seen, and a real server goes on answering."""

from __future__ import annotations

import json
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from breakeven.ledger import open_ledger
from breakeven.ledger.commands import audit, kept_inputs
from breakeven.packaging.routing import Desk
from breakeven.refresh.canary import WATCHES, Counted, Limits, concluded, feedback_of, wrong
from breakeven.refresh.line import Refresh
from breakeven.refresh.watches import Tally, Watched
from breakeven.serving.launch import ServerProcess
from tests.serving.shelf import Shelf
from tests.small_shop import answered, breakeven

QUIET = {name: Watched() for name in WATCHES}


def test_any_watch_that_fires_ends_it_whatever_else_is_true() -> None:
    for name in WATCHES:
        found = concluded({**QUIET, name: Watched({"bad": 9}, True)}, Limits(), hours=0, answers=10**6)
        assert (found.step, found.watch, found.figures[name]) == ("back", name, {"bad": 9})


@pytest.mark.parametrize(("limits", "hours", "answers", "step"), [
    (Limits(answers=100), 0.0, 99, "wait"), (Limits(answers=100), 0.0, 100, "promote"),
    (Limits(answers=None), 9.0, 10**6, "wait"), (Limits(answers=None, hours=8), 9.0, 0, "promote"),
])  # fmt: skip
def test_it_serves_everybody_after_answers_or_hours(limits: Limits, hours: float, answers: int, step: str) -> None:
    assert concluded(QUIET, limits, hours=hours, answers=answers).step == step


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
def test_a_canary_whose_requests_fail_is_rolled_back(shelf: Shelf) -> None:
    open_ledger(shelf.root / "ledger.sqlite").close()
    red, green = shelf.names["red"], shelf.names["green"]
    well, ill = {"answered": 4000, "failed": 40}, {"answered": 1900, "failed": 100}
    line = Refresh(shelf.root)
    waits = line.watch(Limits(answers=10_000), Counted.of({"tried": {red: well, green: well}}))
    assert (waits["outcome"], waits["watches"]["failures"]["canary"]["bad"]) == ("waits", 40)
    before = Counted.of({"requests": {red: well, green: ill}})  # counted before it was a canary
    assert line.watch(Limits(answers=1), before)["outcome"] == "waits"
    done = line.watch(Limits(answers=1), Counted.of({"tried": {red: well, green: ill}}))
    assert (done["outcome"], done["watch"], done["champion"]) == ("rolled-back", "failures", red)
    assert done["decision"]["watch"]["figures"]["failures"]["canary"]["bad"] == 100


@pytest.mark.slow
def test_a_canary_that_the_server_cannot_take_is_not_promoted_by_hours(shelf: Shelf) -> None:
    (shelf.releases / shelf.names["green"] / "MODEL_CARD.md").rename(shelf.root / "card")
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=shelf.root / "ledger.sqlite"):
        done = breakeven(shelf.root, "refresh", "--watch", "--hours", "0", code=1)
        assert (done["outcome"], done["behind"]["decision"]) == ("waits", 2)
        (shelf.root / "card").rename(shelf.releases / shelf.names["green"] / "MODEL_CARD.md")
        (shelf.releases / "current.json").touch()
        time.sleep(2.5)
        assert breakeven(shelf.root, "refresh", "--watch", "--hours", "0")["outcome"] == "promoted"


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
        record = done["decision"]["watch"]
        assert (record["fired"], record["figures"]["feedback"]["canary"]["bad"]) == ("feedback", 60)
    assert feedback_of(kept_inputs(place), (red, green))[red] == Tally(0, 60)
    lines = [line for line in audit(place) if line["action"] == "releases.canary"]
    assert [line["subject"] for line in lines] == [red]


@pytest.mark.slow
def test_a_canary_that_answers_otherwise_is_rolled_back_and_one_that_does_not_waits(shelf: Shelf) -> None:
    red, green = shelf.names["red"], shelf.names["green"]
    time.sleep(1.1)  # a decision's time is in whole seconds
    answered(shelf.root, "Ann", [(f"text {n}", "red", None) for n in range(50)], release=green)
    waits = breakeven(shelf.root, "refresh", "--watch")
    assert (waits["outcome"], waits["watches"]["answers"]["all"]) == ("waits", 50)
    assert breakeven(shelf.root, "refresh", "--watch")["watches"] == waits["watches"], "no case is counted twice"
    answered(shelf.root, "Eve", [(f"more {n}", "green", None) for n in range(100)], release=green)
    allowed = breakeven(shelf.root, "refresh", "--watch", "--differ", "0.9")
    assert (allowed["outcome"], allowed["watches"]["answers"]["bad"]) == ("waits", 100)
    done = breakeven(shelf.root, "refresh", "--watch", code=1)
    assert (done["outcome"], done["watch"], done["champion"]) == ("rolled-back", "answers", red)
    seen = done["decision"]["watch"]
    assert (seen["fired"], seen["figures"]["answers"]["bad"]) == ("answers", 100)
    assert seen["figures"]["answers"]["low"] > 0.3


@pytest.mark.slow
@pytest.mark.alone
def test_a_canary_that_is_slower_is_rolled_back(tmp_path: Path) -> None:
    """The majority class is known without reading; the other model reads every word of a long text."""
    shelf = Shelf(tmp_path / "project").fill(("red",)).add("red", "naive-bayes", ("some", "words", "here"))
    shelf.ship("red")
    Desk(shelf.releases, shelf.key).canary(shelf.names["naive-bayes"], 0.5)
    text = " ".join(f"word{number % 997} {number}" for number in range(6000))
    with ServerProcess(shelf.releases, trust=shelf.trust, ledger=shelf.root / "ledger.sqlite") as server:
        statuses: list[int] = []
        send(server, shelf.names["red"], text, 550, statuses)
        fine = breakeven(shelf.root, "refresh", "--watch", "--answers", "100000")
        assert (fine["outcome"], fine["watches"]["latency"]) == ("waits", {})
        for _ in range(8):  # a busy machine makes some answers of both slow: then it takes more of them to be sure
            send(server, shelf.names["naive-bayes"], text, 50, statuses)
            done = breakeven(shelf.root, "refresh", "--watch", "--answers", "100000", code=(0, 1))
            if done["outcome"] != "waits":
                break
            send(server, shelf.names["red"], text, 200, statuses)
        assert set(statuses) == {200}
    assert (done["outcome"], done["watch"]) == ("rolled-back", "latency")
    assert (done["server"]["canary"], done["server"]["latency"]) == (None, {})
    seen = done["decision"]["watch"]["figures"]["latency"]
    assert seen["canary"]["low_ms"] > 1.5 * seen["champion"]["high_ms"]


def send(server: ServerProcess, model: str, text: str, count: int, statuses: list[int]) -> None:
    """So many requests to a release, one after another."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    head = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    for _ in range(count):
        connection.request("POST", "/v1/predict", json.dumps({"inputs": [text], "model": model}), head)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)


def ask(server: ServerProcess, stop: threading.Event, statuses: list[int]) -> None:
    """Asks on one connection that is kept, and notes every status; a broken connection is a status of 0."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    head = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    while not stop.is_set():
        try:
            connection.request("POST", "/v1/predict", json.dumps({"inputs": ["text"]}), head)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        except OSError:
            statuses.append(0)
