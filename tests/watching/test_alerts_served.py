"""Alerts of real servers to a real webhook: fired once, resolved once, through restarts of everything."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from breakeven.serving.launch import ServerProcess
from tests.watching.receiver import Receiver, receiving
from tests.watching.shop import Watching, ask, free_port, run, server, watching, write

pytestmark = pytest.mark.slow

DOWN = {
    "name": "down",
    "watch": "server_down",
    "above": 0,
    "for": "1s",
    "keep_firing_for": "0s",
    "severity": "critical",
}
ERRORS = {
    "name": "errors",
    "watch": "error_share",
    "above": 0.1,
    "window": "4s",
    "at_least": 5,
    "keep_firing_for": "1s",
}


def hook(there: Receiver, **more: Any) -> dict[str, Any]:
    return {"ops": {"url": there.url, "allow_private": True, "timeout": "5s", **more}}


def test_a_server_that_dies_is_told_once_and_again_when_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    with receiving() as there:
        write(tmp_path, [f"http://127.0.0.1:{port}"], rules=[DOWN], receivers=hook(there))
        first = server(tmp_path, port)
        with first, watching(tmp_path) as watcher:
            watcher.looks(2)
            first.kill()
            watcher.wait(1)
            with server(tmp_path, port):
                assert watcher.wait(2) == [("firing", "down"), ("resolved", "down")]
                assert there.wait(2) == [("firing", "down"), ("resolved", "down")]
                code, said = watcher.end()
        assert (code, "Traceback" in said) == (143, False)
        assert "Connection refused" in there.bodies[0]["alerts"][0]["annotations"]["summary"]
        assert there.bodies[0]["commonLabels"]["server"] == f"http://127.0.0.1:{port}"
        assert len({headers["webhook-id"] for headers, _ in there.got}) == 2


def test_a_watcher_that_is_killed_neither_forgets_nor_repeats(tmp_path: Path) -> None:
    with receiving(answers=[500, 200]) as there:
        write(tmp_path, [f"http://127.0.0.1:{free_port()}"], rules=[DOWN], receivers=hook(there))
        with watching(tmp_path) as watcher:
            watcher.wait(1)
            there.wait(2)  # the second attempt arrives
            watcher.until(lambda state: not state["outbox"])
            watcher.process.kill()
        with watching(tmp_path) as watcher:
            watcher.looks(3)
            assert watcher.told() == []  # it fires still, and that was told
            code, _ = watcher.end(signal.SIGINT)
            assert code == 130
        ids = [headers["webhook-id"] for headers, _ in there.got]
        assert len(ids) == 2 and len(set(ids)) == 1
        kept = run(tmp_path, "alerts", "--status", "--json", code=1)
        (alert,) = [row for row in json.loads(kept.stdout)["alerts"] if row["rule"] == "down"]
        assert alert["state"] == "firing" and json.loads(kept.stdout)["waiting"] == 0


def test_a_message_that_waited_for_its_receiver_goes_out_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    with receiving() as there:
        url = there.url
    write(tmp_path, [f"http://127.0.0.1:{free_port()}"], rules=[DOWN],
          receivers={"ops": {"url": f"http://127.0.0.1:{port}/", "allow_private": True}})  # fmt: skip
    with watching(tmp_path) as watcher:
        watcher.until(lambda state: bool(state["outbox"]) and state["outbox"][0]["attempts"] > 0)
        code, said = watcher.end()
        assert code == 143 and "did not arrive" in said
    with receiving() as there:
        url = there.url
        write(tmp_path, [f"http://127.0.0.1:{free_port()}"], rules=[DOWN],
              receivers={"ops": {"url": url, "allow_private": True}})  # fmt: skip
        with watching(tmp_path) as watcher:
            assert there.wait(1)[0] == ("firing", "down")


def until_told(watcher: Watching, running: ServerProcess, text: str) -> set[int]:
    """Asks five times a fifth of a second until the watcher has something to say; the statuses."""
    until, statuses = time.monotonic() + 150, set[int]()
    while not watcher.told():
        assert time.monotonic() < until
        statuses |= {ask(running, text) for _ in range(5)}
        time.sleep(0.2)
    return statuses


@pytest.mark.alone
def test_errors_over_a_window_through_a_restart_of_the_server(tmp_path: Path) -> None:
    port = free_port()
    with receiving() as there:
        write(tmp_path, [f"http://127.0.0.1:{port}"], rules=[ERRORS], receivers=hook(there))
        with server(tmp_path, port) as running, watching(tmp_path) as watcher:
            watcher.looks(2)
            asked = until_told(watcher, running, "boom")
            there.wait(1)
            watcher.until(lambda state: not state["outbox"])  # that it arrived is noted
            assert asked == {500}
        with server(tmp_path, port) as running, watching(tmp_path) as watcher:
            asked = until_told(watcher, running, "fine")
            assert asked == {200} and watcher.told()[0] == ("resolved", "errors")
            there.wait(2)
        assert there.told() == [("firing", "errors"), ("resolved", "errors")]


@pytest.mark.alone
def test_a_slow_receiver_delays_no_judgement_and_no_other_receiver(tmp_path: Path) -> None:
    gate = threading.Event()
    with receiving(gate=gate) as slow, receiving() as quick:
        receivers = {"slow": hook(slow, timeout="2m")["ops"], "quick": hook(quick)["ops"]}
        write(tmp_path, [f"http://127.0.0.1:{free_port()}"], rules=[DOWN], receivers=receivers)
        with watching(tmp_path) as watcher:
            watcher.wait(1)
            slow.wait(1)
            quick.wait(1)
            watcher.looks(3)
            assert [letter["receiver"] for letter in watcher.until(lambda state: True)["outbox"]] == ["slow"]
            threading.Timer(1.0, gate.set).start()
            assert watcher.end()[0] == 143  # what was on its way is waited for
        assert len(slow.got) == 1
        assert json.loads((tmp_path / "artifacts" / "watching" / "alerts.json").read_text())["outbox"] == []


def test_customers_and_silence_are_asked_of_the_ledgers_owner(tmp_path: Path) -> None:
    port = free_port()
    rules = [
        {"name": "cap", "watch": "spend_share", "above": 0.5},
        {"name": "quota", "watch": "quota_share", "above": 0.5},
        {"name": "quiet", "watch": "charges", "below": 1, "window": "1h"},
    ]
    write(tmp_path, [f"http://127.0.0.1:{port}"], rules=rules)
    with server(tmp_path, port, plan={"rates": {"answers": "0.01"}}) as running:
        run(tmp_path, "customers", "terms", "load test", "--spend-cap", "1", "--quota", "answers=1000")
        quiet = json.loads(run(tmp_path, "alerts", "--once", "--json", code=1).stdout)
        assert [change["rule"] for change in quiet["changes"]] == ["quiet"]
        for _ in range(6):
            ask(running, *["x"] * 10)
        near = json.loads(run(tmp_path, "alerts", "--once", "--json", code=1).stdout)
        assert [(change["rule"], change["status"]) for change in near["changes"]] == [("cap", "firing")]
        rows = {row["rule"]: row for row in near["alerts"]}
        assert rows["cap"]["value"] == 0.6 and rows["quota"]["value"] == 0.06 and rows["quiet"]["value"] == 6
        assert rows["cap"]["labels"]["customer"].startswith("cus_")
    gone = json.loads(run(tmp_path, "alerts", "--once", "--json", code=1).stdout)
    states = {(row["rule"], tuple(row["labels"].values())): row for row in gone["alerts"]}
    assert states["cap", (rows["cap"]["labels"]["customer"],)]["fires"]
    assert {row["state"] for row in gone["alerts"] if row["rule"] == "quota"} == {"cannot-tell"}
    assert "no running server owns the ledger" in str(gone)


def test_two_processes_are_judged_together(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    many = {**ERRORS, "above": 0.4, "at_least": 10, "window": "30s"}
    write(tmp_path, urls, rules=[many, DOWN])
    (tmp_path / "b").mkdir()
    with server(tmp_path, ports[0]) as one, server(tmp_path / "b", ports[1]) as other:
        run(tmp_path, "alerts", "--once", "--json")
        for _ in range(6):
            ask(one, "boom")
            ask(other, "fine")
        told = json.loads(run(tmp_path, "alerts", "--once", "--json", code=1).stdout)
        row = next(row for row in told["alerts"] if row["rule"] == "errors")
        assert row["value"] == 0.5 and row["fires"]
        assert sum(row["rule"] == "down" and not row["fires"] for row in told["alerts"]) == 2


def test_without_a_rule_for_it_a_source_that_cannot_be_read_is_an_alert_itself(tmp_path: Path) -> None:
    with receiving() as there:
        write(tmp_path, [f"http://127.0.0.1:{free_port()}"], rules=[ERRORS], receivers=hook(there))
        with watching(tmp_path) as watcher:
            assert watcher.wait(1) == [("firing", "cannot-tell")]
            there.wait(1)
    assert "cannot be read" in there.bodies[0]["alerts"][0]["annotations"]["summary"]
    shown = run(tmp_path, "alerts", "--status", code=1)
    assert "cannot tell" in shown.stdout and "no server was read twice" in shown.stdout


def test_drift_is_computed_by_its_own_command_and_a_failure_of_it_is_told(tmp_path: Path) -> None:
    rules = [{"name": "drift", "watch": "drifted", "above": 0}]
    write(tmp_path, [f"http://127.0.0.1:{free_port()}"], rules=rules)
    told = json.loads(run(tmp_path, "alerts", "--once", "--json").stdout)
    (row,) = [row for row in told["alerts"] if row["rule"] == "drift"]
    assert row["state"] == "cannot-tell" and "drift could not be computed" in row["why"]
    assert {row["labels"].get("source") for row in told["alerts"] if row["rule"] == "cannot-tell"} >= {"drift"}


def test_a_test_message_goes_to_the_rules_receivers(tmp_path: Path) -> None:
    with receiving() as there, receiving(answers=[403]) as wrong:
        receivers = {"ops": hook(there, secret_env="HOOK_SECRET")["ops"], "bad": hook(wrong)["ops"]}
        write(tmp_path, ["http://127.0.0.1:1"], rules=[{**DOWN, "to": ["ops"]}, {**ERRORS, "to": ["bad"]}],
              receivers=receivers)  # fmt: skip
        sent = run(tmp_path, "alerts", "--test", "down", HOOK_SECRET="s")
        assert "was delivered to ops" in sent.stderr
        assert there.bodies[0]["alerts"][0]["labels"]["test"] == "true"
        assert there.got[0][0]["webhook-signature"].startswith("v1,")
        refused = run(tmp_path, "alerts", "--test", "errors", code=5)
        assert "the answer was 403" in refused.stderr
        unset = run(tmp_path, "alerts", "--test", "down", code=5)
        assert "HOOK_SECRET" in unset.stderr
        assert "expected one of" in run(tmp_path, "alerts", "--test", "nothing", code=2).stderr
    write(tmp_path, ["http://127.0.0.1:1"], rules=[DOWN])
    assert "no receivers" in run(tmp_path, "alerts", "--test", "down", code=2).stderr
    assert not (tmp_path / "artifacts" / "watching" / "alerts.json").exists()


def test_wrong_calls_are_said(tmp_path: Path) -> None:
    write(tmp_path, ["http://127.0.0.1:1"], rules=[DOWN])
    assert "nothing was judged here yet" in run(tmp_path, "alerts", "--status", code=2).stderr
    assert "three things" in run(tmp_path, "alerts", "--status", "--once", code=2).stderr
    with watching(tmp_path) as watcher:
        watcher.wait(1)
        assert f"process {watcher.process.pid} watches" in run(tmp_path, "alerts", "--once", code=6).stderr
        assert "down" in run(tmp_path, "alerts", "--status", code=1).stdout
    state = tmp_path / "artifacts" / "watching" / "alerts.json"
    kept = json.loads(state.read_text())
    for age, nobody in ((-60, False), (60, True)):  # a minute ahead: the command may take some of it to start
        state.write_text(json.dumps({**kept, "looked": time.time() - age}))
        assert ("nobody watches now" in run(tmp_path, "alerts", "--status", code=1).stderr) is nobody
    state.write_text(state.read_text()[:50])
    broken = run(tmp_path, "alerts", "--once", code=4)
    assert "state of alerts cannot be read" in broken.stderr and "delete the file" in broken.stderr
    state.write_text('{"format": 99}')
    assert "99" in run(tmp_path, "alerts", "--once", code=4).stderr


def test_what_answers_is_no_server_of_ours(tmp_path: Path) -> None:
    import http.server

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>it works</html>")

        def log_message(self, *_: Any) -> None:
            pass

    other = http.server.HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=other.serve_forever, args=(0.05,), daemon=True).start()
    try:
        write(tmp_path, [f"http://127.0.0.1:{other.server_port}"], rules=[{**DOWN, "for": "0s"}])
        told = run(tmp_path, "alerts", "--once", code=1)
        assert "no /metrics of breakeven" in told.stdout
    finally:
        other.shutdown()
        other.server_close()
