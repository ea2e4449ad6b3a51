"""Every kind of rule: what makes it hold, what does not, and when nothing can be told."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from breakeven.cli.watching import costs_of
from breakeven.errors import Busy, ConfigError, EnvironmentFault, render
from breakeven.serving.watch import Watch
from breakeven.watching.alerting import holds
from breakeven.watching.history import History, View, parse
from breakeven.watching.measures import MEASURES, Books, CannotTell, Sources, measure
from breakeven.watching.ready_made import rules_of
from breakeven.watching.settings import Alerts, Rule, Watched, seconds
from breakeven.watching.sources import DriftReader, LedgerReader, Poll, ask_owner
from breakeven.watching.watcher import Clock
from breakeven.watching.wording import WATCHED

NOW = 1060.0


class Server:
    """A server's own counters, read as a page before and after something happened."""

    def __init__(self) -> None:
        self.queued = 0
        self.watch = Watch(lambda: self.queued, lambda: self.queued * 2)
        self.figures = self.watch.release("words-1")
        self.history = History()
        self.read(NOW - 60)

    def read(self, now: float = NOW) -> View:
        self.history.add(parse(self.watch.page().decode(), source="x"), now, longest=3600)
        return View({"http://x": self.history}, now)

    def answer(self, count: int, *, seconds: float = 0.02, status: int = 200, route: str = "predict") -> None:
        for _ in range(count):
            self.watch.answered(route, status, seconds)


def rule(watch: str, **more: Any) -> Rule:
    if "below" not in more:
        more.setdefault("above", 0.5)
    return Rule.model_validate({"name": "r", "watch": watch, **more})


def value(asked: Rule, sources: Sources) -> float:
    (found,) = measure(asked, sources).values()
    return found


def untold(asked: Rule, sources: Sources) -> str:
    with pytest.raises(CannotTell) as raised:
        measure(asked, sources)
    return render(raised.value.why["code"], raised.value.why["fields"], language="en")


def test_every_measure_has_its_words_and_its_setting() -> None:
    assert set(MEASURES) == set(WATCHED) == set(get_args(Watched))


def test_errors_of_a_route_are_its_own_and_those_of_watching_routes_nobodys() -> None:
    server = Server()
    server.answer(100, route="predict")
    server.answer(50, route="chat")
    server.answer(50, route="chat", status=500)
    server.answer(400, route="readyz", status=503)
    for code, status, count in (("internal", 500, 50), ("shutting-down", 503, 400)):
        for _ in range(count):
            server.watch.refused(code, status)
    sources = Sources(server.read())
    assert value(rule("error_share", route="predict"), sources) == 0.0
    assert value(rule("error_share", route="chat"), sources) == 0.5
    assert value(rule("error_share"), sources) == 0.25
    for _ in range(10):  # streams that broke after their 200
        server.watch.refused("model-failed", 500)
    assert value(rule("error_share"), Sources(server.read())) == pytest.approx(0.3)


def test_errors_count_by_class_and_against_requests_that_use_the_service() -> None:
    server = Server()
    server.answer(80)
    server.answer(20, status=500)
    server.answer(500, route="metrics")
    for code, status, count in (("internal", 500, 20), ("body-json", 422, 7), ("rate-limited", 429, 9)):
        for _ in range(count):
            server.watch.refused(code, status)
    sources = Sources(server.read())
    assert value(rule("error_share"), sources) == 0.2
    assert value(rule("error_share", errors=["rate_limit_error"]), sources) == 0.09
    assert holds(rule("error_share", above=0.1), 0.2, firing=False)
    assert "100, at least 200" in untold(rule("error_share", at_least=200), sources)


def test_refusals() -> None:
    server = Server()
    server.answer(30)
    server.answer(6, status=429)
    server.answer(4, status=503)
    sources = Sources(server.read())
    assert value(rule("refused_share"), sources) == 0.25
    assert value(rule("requests_per_second", below=1), sources) == pytest.approx(40 / 60)


def test_seconds_by_quantile_and_route() -> None:
    server = Server()
    server.answer(90, seconds=0.02)
    server.answer(10, seconds=3.0)
    server.answer(30, seconds=0.002, route="feedback")
    server.watch.first(0.3)
    sources = Sources(server.read())
    assert 2.5 < value(rule("request_seconds", route="predict"), sources) <= 5
    assert value(rule("request_seconds", quantile=0.5), sources) < 0.025
    assert value(rule("request_seconds", route="feedback"), sources) < 0.0025
    assert "too few" in untold(rule("request_seconds", route="chat"), sources)
    assert "1, at least 20" in untold(rule("first_part_seconds"), sources)
    assert 0.25 < value(rule("first_part_seconds", at_least=1), sources) <= 0.5


def test_queues_and_memory_are_the_newest() -> None:
    server = Server()
    server.queued = 7
    sources = Sources(server.read())
    assert value(rule("queue_cases"), sources) == 7 and value(rule("ledger_queue"), sources) == 14
    ((labels, megabytes),) = measure(rule("memory_mb"), sources).items()
    assert labels == (("server", "http://x"),) and 10 < megabytes < 10_000
    assert "no server could be read" in untold(rule("queue_cases"), Sources(View({}, NOW)))
    server.history.gauges = {}
    assert "does not tell" in untold(rule("memory_mb"), sources)


def test_units_money_and_what_an_answer_costs() -> None:
    from breakeven.ledger.plans import PricePlan

    server, plan = Server(), PricePlan.of({"answers": "0.004"})
    empty = Sources(server.read(NOW - 30))
    assert "nothing was charged" in untold(rule("charged_per_minute"), empty)
    assert "no server tells what an answer costs" in untold(rule("gross_margin", at_least=1), empty)
    server.watch.costs(lambda name: {"marginal": ("USD", 0.001), "at_volume": ("USD", 0.005)})
    for _ in range(50):
        server.watch.used({"answers": 2}, plan)
    server.figures.batch(100, 0.5)
    sources = Sources(server.read())
    assert value(rule("units_per_minute"), sources) == pytest.approx(100)
    assert value(rule("units_per_minute", meter="tokens"), sources) == 0
    assert value(rule("charged_per_minute"), sources) == pytest.approx(0.4)
    assert value(rule("cost_per_answer", cost="marginal"), sources) == pytest.approx(0.001)
    assert value(rule("gross_margin", cost="marginal"), sources) == pytest.approx(0.75)
    assert value(rule("gross_margin", below=0), sources) == pytest.approx(-0.25)
    assert holds(rule("gross_margin", below=0), -0.25, firing=False)
    assert 0 <= value(rule("cpu_seconds_per_answer"), sources) < 1
    assert "too few" in untold(rule("cost_per_answer", at_least=101), sources)
    assert "too few" in untold(rule("cpu_seconds_per_answer", at_least=101), sources)


def test_a_server_is_down_or_not_and_a_decision_is_followed_or_not() -> None:
    server = Server()
    why = CannotTell("alerts-not-ready", reason="shutting down").why
    found = measure(rule("server_down", above=0), Sources(server.read(), {"http://a": None, "http://b": why}))
    assert found == {(("server", "http://a"),): 0.0, (("server", "http://b"),): 1.0}
    assert value(rule("decision_refused"), Sources(server.read())) == 0
    server.watch.refuses(4, "parity-missing")
    assert measure(rule("decision_refused"), Sources(server.read())) == {(("code", "parity-missing"),): 1.0}
    server.watch.follows(5, {})
    assert value(rule("decision_refused"), Sources(server.read())) == 0


def books() -> Books:
    terms = {"spend_cap": "10", "quotas": {"answers": 1000, "rows": 0}}
    customers = [{"id": "cus_a", "terms": terms}, {"id": "cus_b", "terms": {"spend_cap": None, "quotas": {}}}]
    month = [
        {"customer": "cus_a", "meter": "answers", "quantity": 700, "price": "9.50"},
        {"customer": "cus_a", "meter": "answers", "quantity": 250, "price": None},
        {"customer": "cus_b", "meter": "answers", "quantity": 9000, "price": "90"},
    ]
    return Books(customers, month, {1800.0: 3})


def test_customers_near_their_cap_or_quota_and_silence() -> None:
    sources = Sources(View({}, NOW), books=books())
    assert measure(rule("spend_share"), sources) == {(("customer", "cus_a"),): 0.95}
    assert measure(rule("quota_share"), sources) == {(("customer", "cus_a"), ("meter", "answers")): 0.95}
    assert measure(rule("quota_share", meter="tokens"), sources) == {}
    assert value(rule("charges", below=1, window="30m"), sources) == 3
    assert "not asked for this window" in untold(rule("charges", below=1, window="1h"), sources)
    closed = Sources(View({}, NOW), books=CannotTell("alerts-no-owner"))
    for watch in ("spend_share", "quota_share", "charges"):
        assert "no running server owns the ledger" in untold(rule(watch), closed)


def test_the_ledger_is_asked_no_more_than_rules_need() -> None:
    asked: list[tuple[str, Any]] = []

    def ask(place: str, command: str, **arguments: Any) -> Any:
        asked.append((command, arguments.get("start")))
        row = {"customer": "a", "key": "k", "model": "m", "plan": "p", "quantity": 2, "events": 3, "price": "1"}
        usage = [{**row, "meter": "answers"}, {**row, "meter": "tokens"}, {**row, "meter": "answers", "key": "l"}]
        free = {"id": "a", "terms": {"spend_cap": None, "quotas": {}}}
        return [free] if command == "customers.list" else usage

    read = LedgerReader("x", [1800.0], ask=ask, clock=lambda: 1_795_000_000.0)()
    assert read.charges == {1800.0: 6} and read.month == []  # an event of two meters is one charge
    assert asked == [("customers.list", None), ("usage", "2026-11-18T10:36:40+00:00")]


def test_nobody_takes_the_lock_of_a_ledger_to_watch_it(tmp_path: Any) -> None:
    from breakeven.ledger import open_ledger

    with pytest.raises(EnvironmentFault, match="no running server owns"):
        ask_owner(str(tmp_path / "ledger.sqlite"), "customers.list")
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.lock is not None
        with pytest.raises(EnvironmentFault, match="no running server owns"):  # owned, but nobody answers at its desk
            ask_owner(str(tmp_path / "ledger.sqlite"), "customers.list")
    with pytest.raises(EnvironmentFault, match="no running server owns"):
        ask_owner(str(tmp_path / "ledger.sqlite"), "customers.list")
    assert Busy.exit_code == 6


def test_drift() -> None:
    sources = Sources(View({}, NOW), drift={"length": True, "label": False})
    assert measure(rule("drifted"), sources) == {(("column", "length"),): 1.0, (("column", "label"),): 0.0}
    assert "too few kept requests" in untold(rule("drifted"), Sources(View({}, NOW), drift={}))
    assert "boom" in untold(rule("drifted"), Sources(View({}, NOW), drift=CannotTell("alerts-drift", reason="boom")))


def test_drift_is_read_from_its_command() -> None:
    def reader(program: str, seconds: float = 30) -> DriftReader:
        return DriftReader([sys.executable, "-c", program], seconds=seconds)

    rows = [
        {"column": "a", "verdict": "small"},
        {"column": "a", "verdict": "drift"},
        {"column": "b", "verdict": "same"},
    ]
    assert reader(f"import json; print(json.dumps({{'statistics': {rows}}})); raise SystemExit(1)")() == {
        "a": True, "b": False}  # fmt: skip
    with pytest.raises(EnvironmentFault, match="drift could not be computed: no release"):
        reader('import sys; print(\'{"error": {"message": "no release"}}\'); sys.exit(2)')()
    with pytest.raises(EnvironmentFault, match="JSONDecodeError"):
        reader("print('x')")()
    with pytest.raises(EnvironmentFault, match="TimeoutExpired"):
        reader("import time; time.sleep(60)", seconds=0.5)()


def test_a_release_that_the_verdict_does_not_speak_of_has_no_cost(tmp_path: Path) -> None:
    find = costs_of(tmp_path)
    assert find("shop-1") == {}
    (tmp_path / "artifacts" / "evaluate").mkdir(parents=True)
    (tmp_path / "releases" / "shop-1").mkdir(parents=True)
    costs = {"marginal_per_1000": {"value": 2.0}, "at_volume_per_1000": {"value": 5.0}}
    verdict = {"currency": "EUR", "chosen": "words", "candidates": {"words": costs}}
    (tmp_path / "artifacts" / "evaluate" / "verdict.json").write_text(json.dumps(verdict))
    (tmp_path / "releases" / "shop-1" / "release.json").write_text('{"candidate": "words"}')
    assert find("shop-1") == {"marginal": ("EUR", 0.002), "at_volume": ("EUR", 0.005)}
    (tmp_path / "releases" / "shop-1" / "release.json").write_text('{"candidate": "another"}')
    assert find("shop-1") == {} and find("shop-2") == {}


def test_the_clock_follows_a_sleep_and_no_clock_that_is_set() -> None:
    wall, steady = [1000.0], [50.0]
    clock = Clock(lambda: wall[0], lambda: steady[0])
    assert clock() == 1000.0
    steady[0] += 5
    wall[0] -= 3600  # set back: time passes all the same
    assert clock() == 1005.0
    wall[0] = 1005.0 + 7200  # the machine slept
    assert clock() == 8205.0


def test_a_source_that_fails_or_hangs_is_said_and_stops_nobody() -> None:
    import threading

    def broken() -> int:
        raise ZeroDivisionError("no")

    assert "no answer: ZeroDivisionError" in str(render(*said(Poll(broken, every=60, patience=5).now())))
    hangs = threading.Event()
    poll = Poll(hangs.wait, every=60, patience=0.05)
    assert isinstance(poll.now(), CannotTell)
    began = time.monotonic()
    assert all(isinstance(poll.now(), CannotTell) for _ in range(100)) and time.monotonic() - began < 2
    hangs.set()
    until = time.monotonic() + 30
    while poll.now() is not True:
        assert time.monotonic() < until
    seeded: Poll[int] = Poll(lambda: 1, every=1000, patience=0)
    seeded.seed(7, age=10)
    assert seeded.now() == 7
    seeded.seed(7, age=3000)
    assert isinstance(seeded.wait(0), CannotTell)


def said(found: Any) -> tuple[str, dict[str, Any]]:
    assert isinstance(found, CannotTell)
    return found.why["code"], found.why["fields"]


def test_without_rules_the_ready_made_ones_are_judged() -> None:
    names = [one.name for one in rules_of(Alerts())]
    assert names == [
        "server-down",
        "errors",
        "slow",
        "refused",
        "decision-refused",
        "spend-cap",
        "quota",
        "losing-money",
    ]
    with_drift = rules_of(Alerts(), latency_ms=80, inputs_kept=True)
    assert with_drift[-1].name == "drift" and next(one for one in with_drift if one.name == "slow").threshold == 0.08
    own = Alerts.model_validate({"rules": [{"name": "errors", "watch": "error_share", "above": 0.5}]})
    assert [one.threshold for one in rules_of(own) if one.name == "errors"] == [0.5]
    alone = Alerts.model_validate({"ready_made": False, "rules": [{"name": "q", "watch": "queue_cases", "above": 9}]})
    assert [one.name for one in rules_of(alone)] == ["q"]


ALERTS = "version: 1\nwatching:\n  alerts:\n"
WRONG = {
    "    rules: [{name: a, watch: error_share, above: 1, below: 0}]": "exactly one of above and below",
    "    rules: [{name: a, watch: error_share}]": "exactly one of above and below",
    "    rules: [{name: a, watch: error_shar, above: 1}]": "error_share",
    "    rules: [{name: a, watch: error_share, above: .nan}]": "finite",
    "    rules: [{name: a, watch: error_share, above: 0.1, clear: 0.2}]": "clear on the good side",
    "    rules: [{name: a, watch: error_share, above: 1, for: 5 minutes}]": "5 minutes",
    "    rules: [{name: a, watch: error_share, above: 1, window: 0s}]": "a window of more than 0s",
    "    rules: [{name: a, watch: request_seconds, above: 90}]": "a threshold below 60",
    "    rules: [{name: a, watch: error_share, above: 1, hold: 5m}]": "unknown key",
    "    rules: [{name: a, watch: charges, above: 1}, {name: a, watch: charges, above: 2}]": "a name of its own",
    "    rules: [{name: a, watch: charges, above: 1, to: [ops]}]": "not declared: ops",
    "    servers: [localhost:8000]": "http://",
    "    interval: 0s": "at least 1s",
    "    receivers: {ops: {url: https://a.example, command: [x]}}": "exactly one of url, url_env and command",
    "    receivers: {ops: {url: ftp://a.example}}": "http://",
    "    receivers: {ops: {command: [x], secret_env: S}}": "secret_env for a webhook only",
    "    receivers: {ops: {command: []}}": "at least",
    "    receivers: {ops: {url: 'https://a.example/?token=abcdef123'}}": "secret",
}  # fmt: skip


@pytest.mark.parametrize("text", list(WRONG))
def test_settings_that_cannot_be_meant_are_refused_with_their_line(text: str, tmp_path: Any) -> None:
    from breakeven.project import open_settings

    path = tmp_path / "breakeven.yaml"
    path.write_text(ALERTS + text + "\n")
    with pytest.raises(ConfigError, match=r"breakeven\.yaml:4:") as raised:
        open_settings(path, ())
    assert WRONG[text] in str(raised.value)


def test_durations() -> None:
    assert [seconds(text) for text in ("30s", "5m", "1h30m", "7d")] == [30, 300, 5400, 604800]
