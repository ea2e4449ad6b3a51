"""Every route that the OpenAPI documents name, with every kind of credential: the outcome is what the table of
docs/serving.md says. Three servers offer all routes between them.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from breakeven.ledger import commands
from breakeven.ledger.keys import SCOPES, _checksum, new_secret
from breakeven.serving.app import ROUTES
from breakeven.serving.launch import ServerProcess
from tests.serving.lines import Heard, Line, ask

pytestmark = pytest.mark.slow

TASKS = ("continuation", "letters", "policy")
PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
RULES = {(method, path): scope
         for method, path, scope in re.findall(r"(?m)^\| `([A-Z]+) (/[^`]*)` \| (\w+) \|", PAGE)}  # fmt: skip
NOT_DOCUMENTED = {("GET", "/openapi.json"), ("GET", "/docs")}
IDS = ("/v1/batches/{batch}", "/v1/feedback")  # routes that speak of something that one customer has
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@dataclass
class Site:
    """A running server, its document, and what customers have there."""

    server: ServerProcess
    document: dict[str, Any]
    secrets: dict[str, str]
    sample: Any  # an input of this task
    answer: str = ""
    batch: str = ""
    state: Any = None

    def operations(self) -> list[tuple[str, str]]:
        return [(method.upper(), path) for path, methods in self.document["paths"].items() for method in methods]

    def body(self, path: str) -> Any:
        """A request that is answered."""
        model = self.server.model
        if path == "/v1/batches":
            return json.dumps({"input": self.sample}).encode()
        if path.endswith("/infer"):
            fields = self.sample if isinstance(self.sample, dict) else {"input": self.sample}
            return {"inputs": [{"name": name, "datatype": "INT64" if isinstance(value, int) else "BYTES", "shape": [1],
                                "data": [value]} for name, value in fields.items()]}  # fmt: skip
        return {
            "/v1/predict": {"inputs": [self.sample]},
            "/v1/chat/completions": {"model": model, "messages": [{"role": "user", "content": "once"}]},
            "/v1/completions": {"prompt": "once"},
            "/v1/embeddings": {"input": "hello"},
            "/v1/feedback": {"id": self.answer, "correct": True},
            "/v1/session/start": {"seed": 1},
            "/v1/session/step": {"state": self.state, "observation": 1},
        }[path]

    def filled(self, path: str) -> str:
        return path.format(model=self.server.model, version="1", batch=self.batch)

    async def send(self, method: str, path: str, headers: dict[str, str], host: str, query: str = "") -> Heard:
        body = self.body(path) if method == "POST" else None
        kind = {"Content_Type": "application/x-ndjson"} if path == "/v1/batches" else {}
        line = await Line.open(self.server.url, host)
        try:
            return await line.ask(method, self.filled(path) + query, body, **kind, **headers)
        finally:
            line.close()


def credentials(server: ServerProcess) -> dict[str, str]:
    """Name of a key -> its secret."""

    def key(customer: str, **more: Any) -> str:
        return str(commands.keys_create(server.ledger, customer, **more)["secret"])

    found = {"right": key("owner"), "other": key("somebody else"), "revoked": key("owner"),
             "expired": key("owner", expires="2020-01-01T00:00:00Z"),
             "early": key("owner", not_before="2999-01-01T00:00:00Z")}  # fmt: skip
    commands.keys_revoke(server.ledger, found["revoked"].split("_")[1])
    for scope in SCOPES:
        found[f"only {scope}"] = key("owner", scopes=(scope,))
        found[f"all but {scope}"] = key("owner", scopes=tuple(other for other in SCOPES if other != scope))
    return found


SAMPLES: dict[str, Any] = {"continuation": {"text": "once"}, "letters": "hello", "policy": 1}


def site(task: str) -> Site:
    server = ServerProcess(task, module="tests.serving.formats_server").start()
    found = Site(server, ask(server.url, "GET", "/openapi.json").json, credentials(server), SAMPLES[task])
    right = found.secrets["right"]
    found.answer = ask(server.url, "POST", "/v1/predict", found.body("/v1/predict"), key=right).json["id"]
    made = ask(server.url, "POST", "/v1/batches", found.body("/v1/batches"), key=right,
               Content_Type="application/x-ndjson")  # fmt: skip
    found.batch = made.json["id"]
    while ask(server.url, "GET", f"/v1/batches/{found.batch}", key=right).json["state"] != "done":
        time.sleep(0.02)
    if task == "policy":
        found.state = ask(server.url, "POST", "/v1/session/start", {"seed": 1}, key=right).json["state"]
    return found


@pytest.fixture(scope="module")
def sites() -> Iterator[list[Site]]:
    with ThreadPoolExecutor(len(TASKS)) as pool:
        found = list(pool.map(site, TASKS))
    yield found
    for one in found:
        one.server.stop()


def wrong(site: Site, scope: str) -> dict[str, tuple[dict[str, str], str, int, str]]:
    """Name -> (headers, query, status, code) of everything that must be refused where `scope` is wanted."""
    right = site.secrets["right"]
    changed = right[:-1] + ("0" if right[-1] != "0" else "1")
    forged = "_".join([*right.split("_")[:2], new_secret()[1].split("_")[2][:43]])
    found: dict[str, tuple[dict[str, str], str, int, str]] = {
        "none": ({}, "", 401, "key-missing"),
        "empty": ({"Authorization": "Bearer "}, "", 401, "key-missing"),
        "another scheme": ({"Authorization": f"Basic {right}"}, "", 401, "key-missing"),
        "in the address": ({}, f"?api_key={right}", 401, "key-in-query"),
    }
    bearers = {
        "not ours": ("sk-0123456789", "key-malformed"), "too long": (right * 9, "key-malformed"),
        "cut": (right[:-1], "key-malformed"), "wrong checksum": (changed, "key-malformed"),
        "other case": (right.swapcase(), "key-malformed"), "unknown": (new_secret()[1], "key-unknown"),
        "forged": (forged + _checksum(forged), "key-unknown"), "expired": (site.secrets["expired"], "key-expired"),
        "not yet valid": (site.secrets["early"], "key-not-yet"), "revoked": (site.secrets["revoked"], "key-revoked"),
    }  # fmt: skip
    found |= {name: ({"Authorization": f"Bearer {secret}"}, "", 401, code) for name, (secret, code) in bearers.items()}
    others = [f"only {other}" for other in SCOPES if other != scope] + [f"all but {scope}"]
    for name in others:
        found[name] = ({"Authorization": f"Bearer {site.secrets[name]}"}, "", 403, "key-scope-missing")
    return found


def test_the_page_states_a_scope_for_every_route_and_three_servers_document_all(sites: list[Site]) -> None:
    routes = {(method, path) for path, (_, methods) in ROUTES.items() for method in methods}
    assert set(RULES) == routes
    assert {operation for one in sites for operation in one.operations()} | NOT_DOCUMENTED == routes


def test_no_route_is_opened_by_a_wrong_credential(sites: list[Site]) -> None:
    for one in sites:
        before = commands.usage(one.server.ledger)
        tried, failures = asyncio.run(all_wrong(one))
        assert failures == [] and tried > 200
        assert commands.usage(one.server.ledger) == before, "nothing was charged"
        batches = ask(one.server.url, "GET", "/v1/batches", key=one.secrets["right"]).json["data"]
        assert [batch["id"] for batch in batches] == [one.batch] and not batches[0]["cancelling"]


async def all_wrong(site: Site) -> tuple[int, list[str]]:
    """(requests, those with another outcome than the rule's). An address guesses sixty times a minute at most, so
    each kind of credential comes from one of its own.
    """
    failures, tried = [], 0
    for method, path in site.operations():
        scope = RULES[method, path]
        cases = wrong(site, "predict" if scope == "none" else scope)
        for number, (name, (headers, query, status, code)) in enumerate(cases.items()):
            heard = await site.send(method, path, headers, f"127.0.1.{number + 1}", query)
            tried += 1
            right = heard.status == 200 if scope == "none" else (heard.status, heard.code) == (status, code)
            if not right or (status == 401 and scope != "none" and b"usage" in heard.body):
                failures.append(f"{method} {path} with {name}: {heard.status} {heard.code}")
    return tried, failures


def test_the_right_credential_opens_every_route_and_answers_keep_their_schema(sites: list[Site]) -> None:
    for one in sites:
        for method, path in sorted(one.operations()):  # DELETE comes first, of a batch that has ended
            for name in ("other", "right", f"only {RULES[method, path]}"):
                scope = RULES[method, path]
                headers = {} if scope == "none" else {"Authorization": f"Bearer {one.secrets[name]}"}
                heard = asyncio.run(one.send(method, path, headers, "127.0.0.1")) if name in one.secrets else None
                if heard is not None:
                    judge(one, method, path, name, heard)


def judge(site: Site, method: str, path: str, name: str, heard: Heard) -> None:
    if name == "other" and path.startswith(IDS):
        assert heard.status == 404, (method, path, heard)
        return
    responses = site.document["paths"][path][method.lower()]["responses"]
    assert str(heard.status) in responses and heard.status < 300, (method, path, name, heard)
    content = responses[str(heard.status)]["content"]
    kind = heard.headers["content-type"].split(";")[0]
    assert kind in content, (method, path, kind)
    if kind == "application/json":
        jsonschema.validate(heard.json, {**content[kind]["schema"], "components": site.document["components"]})


def test_no_route_takes_a_method_that_is_not_documented(sites: list[Site]) -> None:
    for one in sites:
        for path, methods in one.document["paths"].items():
            for method in METHODS:
                if method.lower() in methods:
                    continue
                for key in (None, one.secrets["right"]):
                    heard = ask(one.server.url, method, one.filled(path), b"{}", key=key)
                    assert heard.status == 405 and heard.headers["allow"], (method, path, heard)
