"""One customer asks for everything that another one ever got from the server, by every id in it, and learns nothing.
Then many customers at once: each gets what it asked for, and pays for that alone.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from breakeven.ledger import commands
from breakeven.serving.launch import ServerProcess
from tests.serving.lines import Heard, ask
from tests.serving.mixing import mixed_up, prices_of

pytestmark = pytest.mark.slow

SECRET = "belongs-to-the-victim"
ID = re.compile(r"\b(?:bat_|req_|cus_|bek_)?[0-9A-Za-z]{8,}\b")
LINES = {"Content_Type": "application/x-ndjson"}


class Customer:
    """One key, and everything that came back for it."""

    def __init__(self, server: ServerProcess, name: str) -> None:
        self.server = server
        self.key = str(commands.keys_create(server.ledger, name)["secret"])
        self.heard: list[Heard] = []

    def __call__(self, method: str, path: str, body: Any = None, **headers: Any) -> Heard:
        found = ask(self.server.url, method, path, body, key=self.key, **headers)
        self.heard.append(found)
        return found

    def batch(self, *texts: str, **headers: Any) -> str:
        body = "".join(json.dumps({"id": text, "input": text}) + "\n" for text in texts)
        name = str(self("POST", "/v1/batches", body.encode(), **LINES, **headers).json["id"])
        while self("GET", f"/v1/batches/{name}").json["state"] not in ("done", "failed", "cancelled"):
            time.sleep(0.02)
        return name

    def ids(self) -> set[str]:
        """Everything in what was heard that looks like a name of something."""
        text = " ".join(f"{heard.headers} {heard.body.decode()}" for heard in self.heard)
        return {found for found in ID.findall(text) if any(sign.isdigit() for sign in found)}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess("nowhere", module="tests.serving.echo_server", plan={"rates": {"answers": "0.1"}}) as running:
        yield running


def a_life(victim: Customer) -> dict[str, str]:
    """Uses every route; what it is called by."""
    answer = victim("POST", "/v1/predict", {"inputs": [SECRET]}, Idempotency_Key=f"key {SECRET}").json["id"]
    model = victim("GET", "/v1/models").json["data"][0]["id"]
    victim("POST", "/v1/feedback", {"id": answer, "comment": SECRET, "correct": False})
    done = victim.batch(f"{SECRET} one", f"{SECRET} two", Idempotency_Key=f"batch {SECRET}")
    tensor = {"name": "input", "datatype": "BYTES", "shape": [1], "data": [SECRET]}
    victim("POST", f"/v2/models/{model}/infer", {"inputs": [tensor]})
    for path in ("/output", "/errors"):
        victim("GET", f"/v1/batches/{done}{path}")
    victim("GET", "/v1/usage")
    victim("GET", "/v1/batches")
    return {"answer": answer, "batch": done, "model": model}


def asked_for(name: str, folder: str) -> list[tuple[str, str, Any]]:
    """(method, path, body) of everything that could reveal or change what is called `name`."""
    spellings = {name, name.upper(), f"%2e%2e/{name}", f"..%2f{folder}%2f{name}", f"../{folder}/{name}", f"{name}%00",
                 f"{folder}/{name}", f"{name}/"}  # fmt: skip
    found: list[tuple[str, str, Any]] = []
    for one in sorted(spellings):
        found += [("GET", f"/v1/batches/{one}{end}", None) for end in ("", "/output", "/errors")]
        found += [("DELETE", f"/v1/batches/{one}?erase=true", None), ("GET", f"/v1/models/{one}", None)]
    found += [("POST", "/v1/feedback", {"id": name, "correct": True}), ("GET", f"/v1/usage?customer={name}", None),
              ("GET", f"/v1/usage?start={name}", None), ("POST", "/v1/predict", {"inputs": ["x"], "model": name}),
              ("GET", f"/v1/batches?customer={name}", None)]  # fmt: skip
    return found


def test_a_crawl_over_everything_of_another_customer_reads_and_changes_nothing(server: ServerProcess) -> None:
    victim, crawler = Customer(server, "victim"), Customer(server, "crawler")
    own = a_life(victim)
    output = victim("GET", f"/v1/batches/{own['batch']}/output").body
    usage, feedback = commands.usage(server.ledger, "victim"), commands.feedback_list(server.ledger, "victim")
    customers = {row["name"]: row["id"] for row in commands.customers_list(server.ledger)}
    names = victim.ids() | {customers["victim"], victim.key.split("_")[1]} - {own["model"]}
    assert {own["answer"], own["batch"]} < names
    for name in sorted(names):
        for method, path, body in asked_for(name, customers["victim"]):
            heard = crawler(method, path, body)
            told = heard.body.decode().replace(name, "")  # a refusal may repeat what it refuses
            assert SECRET not in told and not any(other in told for other in names), (method, path, heard)
            assert heard.status in (400, 404, 405, 422) or path.startswith("/v1/batches?"), (method, path, heard)
    assert crawler("GET", "/v1/batches").json["data"] == []
    assert crawler("GET", "/v1/usage").json["usage"] == []
    assert victim("GET", f"/v1/batches/{own['batch']}/output").body == output
    assert commands.usage(server.ledger, "victim") == usage
    assert commands.feedback_list(server.ledger, "victim") == feedback


def test_an_idempotency_key_of_another_customer_is_a_key_of_ones_own(server: ServerProcess) -> None:
    victim, crawler = Customer(server, "careful"), Customer(server, "curious")
    own = victim("POST", "/v1/predict", {"inputs": [SECRET]}, Idempotency_Key="shared")
    same = crawler("POST", "/v1/predict", {"inputs": [SECRET]}, Idempotency_Key="shared")
    assert same.status == 200 and "idempotent-replayed" not in same.headers and same.json["id"] != own.json["id"]
    other = crawler("POST", "/v1/predict", {"inputs": ["other"]}, Idempotency_Key="shared")
    assert other.code == "idempotency-other-body", "compared with its own request"
    batches = [one.batch("a line", Idempotency_Key="shared") for one in (victim, crawler)]
    assert len(set(batches)) == 2
    assert [row["quantity"] for row in commands.usage(server.ledger, "curious")] == [2]


def test_many_customers_at_once_get_what_they_asked_for_and_pay_for_that_alone(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    with ServerProcess("nowhere", module="tests.serving.echo_server", ledger=place) as server:
        found = mixed_up(server, answers=3000, connections=64, customers=16)
        batch = server.batches()
    assert found.wrong == [] and found.answers >= 3000
    assert batch[0] / batch[1] > 1.5, "answers were made in batches of several requests"
    with sqlite3.connect(place) as connection:
        assert prices_of(connection) == found.charged
