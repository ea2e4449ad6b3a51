from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakeven.errors import EnvironmentFault
from breakeven.ledger import commands
from breakeven.serving.app import ROUTES, Limits
from breakeven.serving.generator import _growth, _quantile
from breakeven.serving.launch import ServerProcess
from breakeven.serving.load import LoadResult, closed_loop, find_capacity, holds, open_loop
from breakeven.serving.protocol import Guard
from breakeven.serving.session import reference_load
from tests.serving.lines import Heard, Line, lines

BODIES = ['{"inputs":["hello"]}', '{"inputs":["world"]}']


def result(**changes: Any) -> LoadResult:
    found: dict[str, Any] = {
        "rate": 10.0, "seconds": 1.0, "sent": 10, "answers": 10, "errors": {}, "achieved": 10.0, "p50_ms": 5.0,
        "p95_ms": 50.0, "p99_ms": 60.0, "max_ms": 70.0, "growth_ms": 0.0, "lag_ms": 0.1,
    }  # fmt: skip
    return LoadResult(**{**found, **changes})


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, True), ({"p95_ms": 100.1}, False), ({"errors": {"503": 1}}, False), ({"growth_ms": 21.0}, False),
    ({"p95_ms": None}, False), ({"growth_ms": -50.0}, True),
])  # fmt: skip
def test_a_load_holds_inside_the_gate_and_steady(changes: dict[str, Any], expected: bool) -> None:
    assert holds(result(**changes), 100.0) is expected


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_quantiles_are_of_the_values_themselves(share: float, expected: int) -> None:
    assert _quantile([float(value) for value in range(1, 101)], share) == expected


def test_a_growing_queue_shows_as_growth() -> None:
    assert _growth([(float(due), 0.001 * due) for due in range(90)]) == pytest.approx(60.0)
    assert _growth([(float(due), 0.01) for due in range(90)]) == pytest.approx(0.0)


def test_the_reference_load_counts_its_own_cpu_time() -> None:
    found = reference_load(0.05)
    assert found["per_second"] == pytest.approx(found["rounds"] / found["cpu_seconds"], rel=0.05)


def test_the_page_on_serving_is_true() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(?:GET|POST) (/[^`]*)`", page)) == set(ROUTES)
    limits, guard = Limits(), Guard()
    numbers = [limits.max_batch, f"{limits.max_queue:,}", f"{limits.window_ms:g} ms", f"{limits.request_seconds:g} s"]
    numbers += [f"{limits.stuck_seconds:g} s", f"{guard.head_seconds:g} s", f"{guard.connections:,}"]
    for number in numbers:
        assert str(number) in page


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("nowhere", module="tests.serving.echo_server") as running:
        yield running


@pytest.mark.slow
@pytest.mark.alone
def test_an_open_loop_sends_at_its_rate_and_every_request_is_metered(server: ServerProcess) -> None:
    before = sum(row["quantity"] for row in commands.usage(server.ledger))
    found = open_loop(server.url, server.key, BODIES, 100, 2.0, lag_limit_ms=1000)
    assert found.errors == {}
    assert found.sent == found.answers == pytest.approx(200, rel=0.3)
    assert sum(row["quantity"] for row in commands.usage(server.ledger)) - before == found.answers
    cases, batches = server.batches()
    assert cases >= batches >= 1
    assert server.memory_mb() > 10
    assert server.cpu_seconds() > 0


@pytest.mark.slow
@pytest.mark.alone
def test_a_late_generator_is_refused(server: ServerProcess) -> None:
    with pytest.raises(EnvironmentFault, match="nothing about the server"):
        open_loop(server.url, server.key, BODIES, 50, 0.3, lag_limit_ms=-1)


@pytest.mark.slow
@pytest.mark.alone
def test_errors_are_counted_and_shown(server: ServerProcess) -> None:
    found = closed_loop(server.url, "no key", BODIES, 2, 0.3)
    assert found.answers == 0
    assert sum(found.errors.values()) == found.sent > 0


@pytest.mark.slow
@pytest.mark.alone
def test_a_server_that_stalls_cannot_hide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_SECONDS", "0.1")
    with ServerProcess("nowhere", module="tests.serving.echo_server", limits={"max_batch": 1}) as slow:
        found = open_loop(slow.url, slow.key, BODIES, 40, 0.6, connections=2, drain=20, lag_limit_ms=1000)
    # 40 a second arrive, 10 a second leave: counted from the sending an answer takes 0.2 s, from the due time seconds.
    assert found.p99_ms is not None
    assert found.p99_ms > 800


@pytest.mark.slow
@pytest.mark.alone
def test_the_search_finds_what_a_server_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_SECONDS", "0.02")
    with ServerProcess("nowhere", module="tests.serving.echo_server", limits={"max_batch": 1}) as fifty:
        found = find_capacity(fifty, BODIES, 250.0, seconds_budget=6)
    assert found.gate_held
    assert 0 < found.per_second < 60
    assert [probe["probe"] for probe in found.trail][:2] == ["closed", "open"]
    held = [probe["rate"] for probe in found.trail if probe.get("holds")]
    assert found.per_second == max(held)


@pytest.mark.slow
@pytest.mark.alone
def test_slow_answers_are_timed_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_SECONDS", "0.6")
    with ServerProcess("nowhere", module="tests.serving.echo_server") as slow:
        found = find_capacity(slow, BODIES, 5000.0, seconds_budget=4)
    assert found.slow
    assert [probe["probe"] for probe in found.trail] == ["alone", "four"]


@pytest.mark.slow
@pytest.mark.alone
def test_three_times_what_it_can_do_costs_no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot be answered soon hears so while the others still wait; all of those are answered; only they pay."""
    monkeypatch.setenv("ECHO_SECONDS", "0.3")
    limits = {"max_batch": 1, "queue_seconds": 0.3}  # room for two or three, one of them in the model
    with ServerProcess("nowhere", module="tests.serving.echo_server", limits=limits) as slow:
        warm = asyncio.run(crowd(slow, 1))  # the pace is known from now on
        heard = asyncio.run(crowd(slow, 15))
        charged = sum(row["quantity"] for row in commands.usage(slow.ledger))
    answered = [answer for answer in heard if answer.status == 200]
    assert {answer.status for answer in heard} == {200, 503} and len(heard) == 15
    assert heard[-1].status == 200, "a refusal came after the last answer"
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in heard if answer.status == 503)
    assert charged == len(warm) + len(answered)
    assert len({answer.json["id"] for answer in answered}) == len(answered)


async def crowd(server: ServerProcess, clients: int) -> list[Heard]:
    """One request of each client at the same moment, in the order in which they were answered."""
    heard: list[Heard] = []

    async def client(line: Line) -> None:
        heard.append(await line.ask("POST", "/v1/predict", {"inputs": ["hello"]}, key=server.key))

    async with lines(server.url, clients) as opened:
        await asyncio.gather(*(client(line) for line in opened))
    return heard
