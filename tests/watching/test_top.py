"""The live view of real servers: one frame, as data, on narrow terminals, until Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from breakeven.cli.top import drawn
from breakeven.errors import EnvironmentFault
from breakeven.serving.watch import Watch
from breakeven.watching.history import parse
from breakeven.watching.overview import Overview
from breakeven.watching.sources import Server
from tests.watching.shop import ask, free_port, run, server, write

RELEASE, CANARY = "shop-0123456789ab", "shop-ba9876543210"


class Counting:
    """A server's page, changed between two looks."""

    def __init__(self) -> None:
        from breakeven.ledger.plans import PricePlan

        self.watch, self.plan = Watch(lambda: 4, lambda: 1), PricePlan.of({"answers": "0.004"})
        self.releases = {name: self.watch.release(name) for name in (RELEASE, CANARY)}
        self.watch.costs(lambda name: {"marginal": ("USD", 0.001), "at_volume": ("USD", 0.005)})
        self.watch.follows(7, {(RELEASE, "current"): 0.9, (CANARY, "canary"): 0.1})
        self.why: dict[str, Any] | None = None

    def work(self) -> None:
        for status, count in (("200", 50), ("429", 10)):
            for _ in range(count):
                self.watch.answered("predict", int(status), 0.02)
        for figures, count in zip(self.releases.values(), (40, 10), strict=True):
            figures.batch(count, 0.1)
            figures.answered.inc(count)
        self.watch.used({"answers": 50}, self.plan)
        self.watch.refused("rate-limited", 429)
        self.watch.refused("[bold]boom[/bold]", 500)
        self.watch.shadowed(CANARY, "agree", 3)
        self.watch.shadowed(CANARY, "differ", 1)

    def __call__(self, address: str) -> Server:
        return Server(parse(self.watch.page().decode(), source=address), self.why)


def usage(place: str, command: str, **arguments: Any) -> list[dict[str, Any]]:
    row = {"model": "m", "plan": "p", "key": "k", "currency": "USD", "events": 9, "meter": "answers"}
    return [{**row, "customer": f"cus_{n}", "name": "北京 [red]acme[/red]" if n == 12 else None, "quantity": 10 * n,
             "price": str(n)} for n in range(1, 15)]  # fmt: skip


def frame() -> dict[str, Any]:
    counting = Counting()
    overview = Overview(["http://a"], ledger="x", read=counting, ask=usage)
    overview.look()
    counting.work()
    time.sleep(0.05)
    overview.look()
    found = overview.frame()
    row = {"rule": "slow", "labels": {}, "state": "firing", "note": None, "fires": True}
    return {**found, "alerts": {"looked": "2026-11-22T22:00:00.000Z", "stale": False, "alerts": [row]}}


def text(found: dict[str, Any], width: int) -> str:
    out = io.StringIO()
    screen = Console(file=out, width=width, no_color=True, highlight=False)
    screen.print(drawn(found, width))
    return out.getvalue()


def test_a_frame_says_what_happened_between_two_readings() -> None:
    found = frame()
    traffic, first = found["traffic"], found["releases"][0]
    covered = found["seconds"] or 0.05
    assert 60 / 20 < traffic["requests_per_second"] < 60 / 0.04 and covered < 20  # a busy machine sleeps longer
    assert traffic["refused_share"] == pytest.approx(1 / 6, abs=1e-5) and traffic["batch_cases"] == 25
    assert 0.01 < traffic["p50_seconds"] <= traffic["p99_seconds"] <= 0.025
    assert (traffic["queue_cases"], traffic["ledger_queue"], traffic["first_part_p95_seconds"]) == (4, 1, None)
    assert (first["release"], first["role"], first["share"], first["ms_per_answer"]) == (RELEASE, "current", 0.9, 2.5)
    assert found["releases"][1]["role"] == "canary" and found["releases"][1]["shadow_agrees"] == 0.75
    money = found["money"]["USD"]
    assert money["margin_share"] == pytest.approx({"marginal": 0.75, "at_volume": -0.25})
    assert money["charged_per_minute"] == pytest.approx(money["cost_per_minute"]["at_volume"] * 0.8)
    assert [row["code"] for row in found["errors"]] == ["rate-limited", "[bold]boom[/bold]"]
    assert [row["customer"] for row in found["customers"][:2]] == ["cus_14", "cus_13"] and len(found["customers"]) == 10
    assert found["servers"][0]["decision"] == 7 and found["servers"][0]["memory_mb"] > 10


@pytest.mark.parametrize("width", [40, 58, 80, 120, 200])
def test_it_fits_every_terminal_and_obeys_nobodys_markup(width: int) -> None:
    found = frame()
    assert "acme" in found["customers"][2]["customer"]
    said = text(found, width)
    assert max(cell_len(line) for line in said.splitlines()) <= width
    assert "firing: slow" in said and "p99" in said and "\x1b" not in said
    if width >= 58:
        assert RELEASE in said and "[bold]boom[/bold]" in said and "[red]acme[/red]" in said


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", ["a-name-that-goes-on-" * 5, "北京云海数据科技有限公司客户服务中心" * 3])
def test_long_names_take_no_figures_place(width: int, name: str) -> None:
    found = frame()
    long = "review-triage-of-a-product-with-a-long-name-0123456789ab"
    releases = [{**found["releases"][0], "release": long, "requests_per_second": 12345}]
    customers = [{**found["customers"][0], "customer": name, "price": 98.765, "units": {"answers": 4321}}]
    said = text({**found, "releases": releases, "customers": customers}, width)
    lines = said.splitlines()
    (release,) = [line for line in lines if "12,345" in line]
    assert "0123456789ab" in release.split()[0] and "90%" in release
    (customer,) = [line for line in lines if "98.7" in line]  # one line a customer
    assert "4,321 answers" in customer and customer.startswith(name[:4])
    assert max(cell_len(line) for line in lines) <= width
    heads = next(line for line in lines if "requests/s" in line)
    assert "…" not in heads


def test_before_the_second_reading_nothing_is_invented() -> None:
    overview = Overview(["http://a"], read=Counting())
    overview.look()
    found = overview.frame()
    assert found["traffic"]["requests_per_second"] is None and found["customers"] is None
    assert "requests" in text({**found, "alerts": None}, 80)


def test_a_server_that_goes_away_is_shown_as_such_and_none_at_all_is_an_error() -> None:
    counting = Counting()
    overview = Overview(["http://a"], read=counting)
    overview.look()
    counting.why = {"code": "alerts-not-ready", "fields": {"reason": "shutting down"}}
    overview.look()
    assert "shutting down" in text({**overview.frame(), "alerts": None}, 100)

    last = counting("http://a")
    assert last.page is not None
    dead = Overview(["http://a"], read=lambda address: pages.pop(0))
    pages = [Server(last.page), Server(why={"code": "alerts-unreachable", "fields": {"reason": "refused"}})]
    dead.look()
    dead.look()
    found = dead.frame()
    assert (found["servers"][0]["ready"], found["servers"][0]["memory_mb"]) == (False, None)
    assert found["traffic"]["queue_cases"] is None and "no answer: refused" in text({**found, "alerts": None}, 100)

    def gone(address: str) -> Server:
        return Server(why={"code": "alerts-unreachable", "fields": {"reason": "refused"}})

    with pytest.raises(EnvironmentFault, match="no server could be read at http://b: no answer: refused"):
        Overview(["http://b"], read=gone).look()


def test_a_ledger_that_nobody_owns_is_said() -> None:
    overview = Overview(["http://a"], ledger="/nowhere/ledger.sqlite", read=Counting())
    overview.look()
    found = {**overview.frame(), "alerts": None}
    assert "customers cannot be told: no running server owns the ledger" in text(found, 100)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    root, port = tmp_path_factory.mktemp("shop"), free_port()
    write(root, [f"http://127.0.0.1:{port}"], rules=[{"name": "busy", "watch": "queue_cases", "below": 1}])
    with server(root, port, plan={"rates": {"answers": "0.004"}}) as running:
        yield root, running


@pytest.mark.slow
def test_one_frame_as_words_and_as_data(shop: tuple[Path, Any]) -> None:
    root, running = shop
    for _ in range(5):
        ask(running, "a", "b")
    ask(running, "boom")
    run(root, "alerts", "--once", code=1)
    said = run(root, "top", "--once", "--interval", "0.5").stdout
    assert running.url in said and "load test" in said and "firing: busy" in said and "0.04 USD" in said
    found = json.loads(run(root, "top", "--once", "--json", "--interval", "0.5").stdout)
    assert found["customers"][0]["units"] == {"answers": 10} and found["servers"][0]["ready"]
    assert [row["rule"] for row in found["alerts"]["alerts"]] == ["busy"]
    assert "告警中：busy" in run(root, "top", "--interval", "0.5", BREAKEVEN_LANG="zh").stdout.replace(": ", "：")


@pytest.mark.slow
def test_an_absent_server_and_a_wrong_address_are_a_sentence(tmp_path: Path) -> None:
    write(tmp_path, ["http://127.0.0.1:9"])
    absent = run(tmp_path, "top", code=5)
    assert "no server could be read at http://127.0.0.1:9" in absent.stderr and absent.stdout == ""
    assert "no address of a server" in run(tmp_path, "top", "localhost:8000", code=2).stderr
    told = json.loads(run(tmp_path, "top", "--json", "--once", code=5).stdout)
    assert told["error"]["code"] == "top-no-server"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_terminal_comes_back(shop: tuple[Path, Any], number: int, code: int) -> None:
    root, running = shop
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "breakeven", "top", running.url, "--interval", "0.5", "-C", str(root)]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, close_fds=True,
                               env={**os.environ, "TERM": "xterm", "BREAKEVEN_LANG": "en"})  # fmt: skip
    os.close(follower)
    seen, until = b"", time.monotonic() + 120
    while seen.count(b"requests") < 2:
        assert time.monotonic() < until and process.poll() is None, seen[-2000:]
        if select.select([leader], [], [], 0.2)[0]:
            seen += os.read(leader, 65536)
    process.send_signal(number)
    while process.poll() is None or select.select([leader], [], [], 0.2)[0]:
        assert time.monotonic() < until
        try:
            seen += os.read(leader, 65536) if select.select([leader], [], [], 0.2)[0] else b""
        except OSError:  # the other end is closed
            break
    os.close(leader)
    assert process.wait(90) == code and b"Traceback" not in seen
    assert seen.count(b"\x1b[?1049h") == seen.count(b"\x1b[?1049l") == 1  # the alternate screen, entered and left
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l")  # the cursor is shown again
