"""The log: lines for people or for machines, and never what a customer sent."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from breakeven.errors import EnvironmentFault
from breakeven.ledger import open_ledger
from breakeven.ledger.reconcile import answers, with_answers
from breakeven.serving import logs
from breakeven.serving.batches import LINES

SECRET = "the-customers-own-words"


@pytest.fixture
def restored() -> Iterator[None]:
    """The log as the test runner set it up."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    requests = logging.getLogger(logs.REQUESTS).level
    yield
    root.handlers[:], root.level = before, level
    logging.getLogger(logs.REQUESTS).setLevel(requests)


def written(kind: Any, work: Any) -> str:
    stream = io.StringIO()
    lines = logs.configure(kind, stream)
    work(logging.getLogger("breakeven.test"))
    lines.close()
    return stream.getvalue()


def test_a_line_that_repeats_itself_fills_no_disk(restored: None) -> None:
    def work(log: logging.Logger) -> None:
        for number in range(5000):
            log.warning("somebody sent junk, number %d", number)
        log.warning("something else")

    text = written("text", work)
    assert "number 19" in text and "number 20" not in text
    assert "something else" in text
    assert "4980 more lines like this were left out: somebody sent junk, number %d" in text


def test_lines_of_requests_are_all_written(restored: None) -> None:
    text = written("json", lambda _: [logging.getLogger(logs.REQUESTS).info("charged") for _ in range(500)])
    assert text.count("charged") == 500


def test_repeated_lines_come_again_after_a_while() -> None:
    repeats, line = logs.Repeats(), logging.makeLogRecord({"name": "a", "msg": "b"})
    assert [repeats.passes(line, 0.0) for _ in range(30)].count(True) == 20
    assert not list(repeats.ended(9.0))
    assert [record.args for record in repeats.ended(10.0)] == [(10, "b")]
    assert repeats.passes(line, 10.0) and not list(repeats.ended(20.0))


def test_what_others_write_into_a_line_looks_like_no_other_line(restored: None) -> None:
    text = written("text", lambda log: log.warning("file %s", "a\nERROR breakeven: forged\x1b[31m"))
    assert text == "WARNING breakeven.test: file a\n  ERROR breakeven: forged?[31m\n"


def fail(log: logging.Logger) -> None:
    def parse(text: str) -> None:
        raise ValueError(f"cannot read {text!r}")

    try:
        parse(SECRET)
    except ValueError as error:
        log.exception("request %s failed", "req_1")
        log.error("a batch failed (%s)", error)
        log.error("%s", error, exc_info=error)


@pytest.mark.parametrize("kind", ["text", "json"])
def test_of_a_foreign_exception_only_its_type_and_place_are_told(kind: str, restored: None) -> None:
    found = written(kind, fail)
    assert SECRET not in found
    assert found.count("ValueError") >= 3
    assert "test_logs.py" in found and " parse" in found, "where it arose is told"
    assert "request req_1 failed" in found


def test_our_own_errors_are_told_in_their_words(restored: None) -> None:
    fault = EnvironmentFault("ledger-busy", reason="locked")
    found = written("text", lambda log: log.warning("a batch waits: %s", fault))
    assert found == f"WARNING breakeven.test: a batch waits: {fault}\n"


def test_lines_for_machines_are_json(restored: None) -> None:
    line = json.loads(written("json", lambda log: log.warning("%d%% of %s", 5, {"a": 1})))
    assert (line["level"], line["logger"], line["message"]) == ("warning", "breakeven.test", "5% of {'a': 1}")
    assert line["time"].endswith("Z")
    broken = json.loads(written("json", lambda log: log.warning("%d", "no number")))
    assert broken["message"] == "%d"


class Stuck(io.StringIO):
    """A reader that stands still until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait(30)
        self.go.set()
        return super().write(text)


def test_a_reader_that_stands_still_stops_nobody(restored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_WAITING", 10)
    stream = Stuck()
    logs.configure("text", stream)
    for number in range(2000):
        logging.getLogger("breakeven.test").warning("line %d", number)
    assert not stream.go.is_set()  # it stands still to the last line
    stream.go.set()
    until = time.monotonic() + 90
    while "were dropped" not in stream.getvalue() and time.monotonic() < until:
        time.sleep(0.05)
    assert "lines of the log were dropped" in stream.getvalue()


def ask(url: str, body: bytes, **headers: str) -> int:
    given = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        with urlopen(Request(url, data=body or None, headers=given), timeout=90) as answer:
            answer.read()
            return int(answer.status)
    except HTTPError as error:
        error.read()
        return error.code


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["json", "text"])
def test_no_text_key_or_header_is_ever_written_by_a_server(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-m", "tests.serving.loud_server", str(tmp_path), "--ledger", str(tmp_path / "l.sqlite"),
               "--unsigned", "--key-for", "acme", "--log", kind]  # fmt: skip
    environment = {**os.environ, "BREAKEVEN_LANG": "en"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    facts = json.loads(process.stdout.readline())
    key, url = {"Authorization": f"Bearer {facts['key']}"}, facts["url"]
    statuses = [
        ask(f"{url}/v1/predict", json.dumps({"inputs": [SECRET]}).encode(), X_Request_Id="mine", **key),
        ask(f"{url}/v1/predict", json.dumps({"inputs": [f"boom {SECRET}"]}).encode(), **key),
        ask(f"{url}/v1/predict", json.dumps({"inputs": [f"parse {SECRET}"]}).encode(), **key),
        ask(f"{url}/v1/predict", json.dumps({"inputs": [f"boom {SECRET}"], "stream": True}).encode(), **key),
        ask(f"{url}/v1/predict", f'{{"inputs": ["{SECRET}'.encode(), **key),
        ask(f"{url}/v1/predict", json.dumps({SECRET: 1}).encode(), **key),
        ask(f"{url}/v1/predict", b"{}", Authorization=f"Bearer {SECRET}"),
        ask(f"{url}/v1/{SECRET}?q={SECRET}", b"", **key),
        ask(f"{url}/v1/batches", json.dumps({"input": f"boom {SECRET}"}).encode(), Content_Type=LINES[0], **key),
    ]
    time.sleep(0.5)
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert statuses == [200, 500, 500, 200, 400, 422, 401, 404, 202], said
    for secret in (SECRET, facts["key"], facts["key"][4:20], "Bearer"):
        assert secret not in said
    assert "loud_server.py" in said and "KeyError" in said, "what failed and where is told"
    if kind == "json":
        told = [json.loads(line) for line in said.splitlines()]
        requests = [line for line in told if line["logger"] == logs.REQUESTS and line["message"] == "request"]
        assert [line["status"] for line in requests] == statuses
        first = requests[0]
        assert (first["request_id"], first["route"], first["method"]) == ("mine", "predict", "POST")
        assert first["customer"].startswith("cus_") and first["seconds"] > 0
        assert requests[6]["error"] == "key-malformed" and "key" not in requests[6]
        assert requests[7]["route"] == "other"
        (tmp_path / "log").write_text(said)
        with open_ledger(tmp_path / "l.sqlite") as ledger:
            assert with_answers(ledger.events(), answers(tmp_path / "log"))["agrees"]
            assert len(ledger.events()) == len(answers(tmp_path / "log")) > 0
    else:
        assert "request mine" not in said, "without JSON only what is wrong is told"
