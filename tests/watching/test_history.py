"""What servers counted: over restarts, over several processes, through thinning, in quantiles."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from breakeven.errors import EnvironmentFault
from breakeven.serving.watch import SECONDS, Watch
from breakeven.watching.history import History, Page, View, parse, quantile
from breakeven.watching.settings import _LONGEST_SECONDS

REQUESTS = ("breakeven_requests_total", (("route", "predict"), ("status", "200")))
STARTED = ("process_start_time_seconds", ())


def page(count: float, started: float = 100.0) -> Page:
    return Page({REQUESTS: count}, {STARTED: started})


@given(
    st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.integers(1, 30)), min_size=2, max_size=60),
    st.integers(20, 400),
)
def test_growth_is_what_was_counted_whatever_restarts_and_thinning(
    steps: list[tuple[int, bool, int]], longest: int
) -> None:
    history, now, raw, started, counted = History(), 1000.0, 7.0, 100.0, 0.0
    true: list[tuple[float, float]] = []
    for place, (more, restart, wait) in enumerate(steps):
        now += wait
        if restart and place:
            raw, started = 0.0, started + 1000.0  # may count past the old value: only the start time tells
        raw += more
        counted += more if place else 0
        history.add(page(raw, started), now, longest=longest)
        true.append((now, counted))
    covered, grown = history.grown(longest, now)
    assert covered > 0
    at = dict(true)
    assert grown[REQUESTS] == pytest.approx(counted - at[now - covered])
    # the window is met to a twentieth, but for the pause between two looks
    assert covered <= longest + longest / 20 + 31 or len(history.times) == 2


def test_old_samples_are_thinned_and_the_sums_stay() -> None:
    history = History()
    for place in range(5000):
        history.add(page(place), place * 15.0, longest=86_400.0)
    assert len(history.times) < 220
    assert history.grown(300.0, 4999 * 15.0)[1][REQUESTS] == 20
    covered, grown = history.grown(3600.0, 4999 * 15.0)
    assert 3600 <= covered <= 3800 and grown[REQUESTS] == covered / 15


def test_a_later_process_goes_on_where_the_former_was(tmp_path: object) -> None:
    history = History()
    history.add(page(10), 1.0, longest=60)
    history.add(page(15), 11.0, longest=60)
    kept = json.loads(json.dumps(history.as_json()))
    again = History.from_json(kept, now=20.0)
    again.add(page(3, started=200.0), 21.0, longest=60)  # the server was started anew meanwhile
    assert again.grown(60.0, 21.0) == (20.0, {REQUESTS: 8.0})
    assert History.from_json(kept, now=5.0).times == []  # the clock was set back: nothing of it can be placed


def test_a_series_that_appears_is_counted_from_nothing() -> None:
    errors = ("breakeven_errors_total", (("code", "internal"), ("type", "server_error")))
    history = History()
    history.add(page(10), 1.0, longest=60)
    history.add(Page({REQUESTS: 20.0, errors: 3.0}, {STARTED: 100.0}), 16.0, longest=60)
    assert history.grown(60.0, 16.0)[1][errors] == 3


def test_one_reading_or_an_old_one_tells_nothing() -> None:
    history = History()
    history.add(page(10), 1.0, longest=60)
    assert history.grown(60.0, 2.0) == (0.0, {})
    history.add(page(12), 10.0, longest=60)
    assert history.grown(60.0, 100.0) == (0.0, {})


def test_several_processes_are_summed_and_one_address_for_several_is_refused() -> None:
    first, second = History(), History()
    for place, moment in enumerate((0.0, 10.0)):
        first.add(page(100 * place), moment, longest=60)
        second.add(page(7 * place + 3, started=50.0), moment, longest=60)
    view = View({"a": first, "b": second}, 10.0)
    assert view.total("breakeven_requests_total", 60.0, status="200") == 107
    assert view.total("breakeven_requests_total", 60.0, status="500") == 0
    assert View({"a": History()}, 10.0).total("breakeven_requests_total", 60.0) is None
    mixed = History()
    mixed.add(page(5, started=100.0), 0.0, longest=60)
    mixed.add(page(9, started=300.0), 10.0, longest=60)
    with pytest.raises(EnvironmentFault, match="several processes answer"):
        mixed.add(page(6, started=100.0), 20.0, longest=60)
    mixed.add(page(10, started=300.0), 30.0, longest=600)
    for place in range(9):
        with pytest.raises(EnvironmentFault, match="several processes answer"):
            mixed.add(page(2, started=100.0), 40.0 + place, longest=600)
    mixed.add(page(2, started=100.0), 50.0, longest=600)  # nobody else answers any more: a clock that was set back
    assert mixed.grown(600.0, 50.0)[1][REQUESTS] == 9 + 1 + 2


def test_quantiles_are_prometheus_own() -> None:
    registry = CollectorRegistry()
    seconds = Histogram("breakeven_request_seconds", "s", ["route"], buckets=SECONDS, registry=registry)
    draw = random.Random(4)
    taken = sorted(draw.lognormvariate(-3, 1) for _ in range(4000))
    for value in taken:
        seconds.labels("predict").observe(value)
    read = parse(generate_latest(registry).decode(), source="x")
    buckets = {float(dict(labels)["le"]): count for (name, labels), count in read.counters.items() if "bucket" in name}
    for share in (0.5, 0.95, 0.99):
        exact = taken[int(share * len(taken))]
        low, high = max([b for b in (0.0, *SECONDS) if b <= exact]), min(b for b in SECONDS if b >= exact)
        found = quantile(share, buckets)
        assert found is not None and low <= found <= high
    assert quantile(0.5, {1.0: 10.0, 2.0: 10.0, float("inf"): 10.0}) == 0.5
    assert quantile(0.99, {1.0: 1.0, float("inf"): 10.0}) == 1.0  # in the last bucket: its lower bound
    assert quantile(0.5, {}) is None and quantile(0.5, {1.0: 0.0, float("inf"): 0.0}) is None
    assert max(SECONDS) == _LONGEST_SECONDS


@pytest.mark.parametrize("text", ["<html>it works</html>", "", "go_goroutines 5\n", "breakeven_x{ 1\n", "\x00\xff"])
def test_what_is_no_page_of_ours_is_said(text: str) -> None:
    with pytest.raises(EnvironmentFault, match="no /metrics of breakeven"):
        parse(text, source="http://x")


def test_the_servers_page_names_what_rules_need() -> None:
    watch = Watch(lambda: 3, lambda: 0)
    figures = watch.release("words-1")
    watch.costs(lambda name: {"marginal": ("USD", 0.001), "at_volume": ("USD", 0.01)} if name == "words-1" else {})
    figures.batch(20, 0.5)
    watch.release("other").batch(5, 0.1)  # nobody knows what this one costs
    watch.first(0.2)
    watch.refused("overloaded", 503)
    watch.used({"answers": 20})
    read = parse(watch.page().decode(), source="x")
    counted = {name: value for (name, labels), value in read.counters.items() if not labels or dict(labels).get("kind")}
    assert read.started is not None and counted["process_cpu_seconds_total"] > 0
    assert counted["breakeven_first_part_seconds_count"] == 1
    assert read.gauges["breakeven_queue_cases", ()] == 3
    costs = {
        dict(labels)["kind"]: value for (name, labels), value in read.counters.items() if name == "breakeven_cost_total"
    }
    assert costs == pytest.approx({"marginal": 0.02, "at_volume": 0.2})
    assert (
        read.gauges["breakeven_release_cost", (("currency", "USD"), ("kind", "marginal"), ("release", "words-1"))]
        == 0.001
    )
