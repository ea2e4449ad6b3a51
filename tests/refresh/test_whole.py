"""The whole circle with real processes: requests and words over HTTP, a refresh beside the running server, a canary
that serves everybody, one that is rolled back, and one person erased from all that was kept of it.
"""

from __future__ import annotations

import json
import random
import time
import urllib.request
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from breakeven.ledger.commands import kept_inputs
from breakeven.ledger.subjects import lines
from breakeven.packaging.decisions import open_shipping
from breakeven.packaging.signing import public_path
from tests.small_shop import NEW, breakeven, make, served, texts

PERSON = "zoe.quux@example.com"
TABLE = Path("refresh") / "artifacts" / "collect" / "table.parquet"


class Shop:
    """A project, its customers with their keys, and its running server."""

    def __init__(self, root: Path) -> None:
        self.root, self.keys, self.url = root, dict[str, str](), ""

    def add(self, customer: str, consent: str) -> None:
        self("customers", "add", customer, "--consent", consent)
        self.keys[customer] = self("keys", "create", "--customer", customer)["secret"]

    def __call__(self, *arguments: str, code: int | tuple[int, ...] = 0) -> dict[str, Any]:
        return breakeven(self.root, *arguments, code=code)

    def post(self, customer: str, path: str, body: Any, kind: str = "application/json") -> dict[str, Any]:
        head = {"authorization": f"Bearer {self.keys[customer]}", "content-type": kind}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, head), timeout=120) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def says(self, customer: str, rows: list[tuple[str, str]], model: str | None = None) -> list[str]:
        """Asks for labels and names the right ones; returns the labels that were answered."""
        body = {"inputs": [text for text, _ in rows], **({"model": model} if model else {})}
        answer = self.post(customer, "/v1/predict", body)
        for index, (_, label) in enumerate(rows):
            self.post(customer, "/v1/feedback", {"id": answer["id"], "index": index, "label": label})
        return [output["label"] for output in answer["outputs"]]

    def kept(self) -> str:
        """Everything that is kept of requests, as text: a line a case."""
        return "".join(line.decode() for line in lines(kept_inputs(self.root / "ledger.sqlite")))

    def waits(self, cases: int) -> None:
        """Until the server has written what it keeps."""
        while self.kept().count("\n") < cases:
            time.sleep(0.1)

    def serving(self) -> tuple[str | None, str | None]:
        now = open_shipping(self.root / "releases", public_path(self.root / "keys" / "release.key"))
        return now.release, None if now.canary is None else now.canary.release


@pytest.mark.slow
def test_from_requests_to_a_better_release_and_back_to_nothing_of_one_person(tmp_path: Path) -> None:
    shop = Shop(make(tmp_path / "shop"))
    shop("run")
    first, _ = shop.serving()
    shop.add("Ann", "yes")
    shop.add("Bob", "yes")
    shop.add("Cleo", "no")
    with served(shop.root) as server:
        shop.url = server["url"]
        told(shop)
        second = learnt(shop, str(first))
        rolled_back(shop, str(first), second)
        erased(shop)


def told(shop: Shop) -> None:
    """Customers send a kind of review that the release does not know, and say what is right."""
    for customer, count, seed in (("Ann", 90, 2), ("Bob", 84, 3), ("Cleo", 90, 4)):
        shop.says(customer, texts(count, seed, of=NEW))
    shop.says("Bob", [(f"{text} {PERSON}", label) for text, label in texts(6, 5, of=NEW)])
    line = json.dumps({"id": "z", "input": f"zippy for {PERSON}"}) + "\n" + json.dumps({"input": "janky"}) + "\n"
    shop.post("Bob", "/v1/batches", line.encode(), "application/x-ndjson")
    shop.waits(182)
    assert PERSON in shop.kept() and "Cleo" not in shop.kept()


def learnt(shop: Shop, first: str) -> str:
    """The refresh learns from those who consented; the canary answers, and then serves everybody."""
    done = shop("refresh", "--share", "30%")
    assert (done["outcome"], done["rows"]["new"], done["ledger"]["labelled"]) == ("canary", 180, 180)
    assert done["server"]["canary"] == done["challenger"] and shop.serving() == (first, done["challenger"])
    assert done["decision"]["refresh"]["comparison"]["fresh"]["differ"] > 0
    assert done["findings"] == []
    assert PERSON in " ".join(pl.read_parquet(shop.root / TABLE)["text"])
    rows = texts(60, 6, of=NEW)
    right = [label for _, label in rows]
    good = sum(map(str.__eq__, shop.says("Ann", rows, done["challenger"]), right))
    assert good > sum(map(str.__eq__, shop.says("Bob", rows, first), right)) + 10
    shop.waits(182 + 120)
    found = shop("refresh", "--watch", "--answers", "1")
    assert (found["outcome"], found["champion"]) == ("promoted", first)
    assert found["watches"]["answers"]["all"] == 60 and found["decision"]["watch"]["fired"] is None
    assert shop.serving() == (done["challenger"], None)
    return str(done["challenger"])


def rolled_back(shop: Shop, worse: str, champion: str) -> None:
    """The first release again as a canary: customers call its answers wrong, and it goes by itself."""
    shop("releases", "canary", worse, "30%")
    draw = random.Random(7)
    for number in range(3):
        rows = texts(60, 10 + number, of=NEW)
        shop.says("Ann", rows, champion)
        shop.says("Bob", [(text, draw.choice(["bad", "good", label])) for text, label in rows], worse)
    shop.waits(302 + 360)
    done = shop("refresh", "--watch", code=1)
    assert (done["outcome"], done["challenger"], done["server"]["canary"]) == ("rolled-back", worse, None)
    assert done["decision"]["watch"]["fired"] == done["watch"] == "feedback"
    assert shop.serving() == (champion, None)


def erased(shop: Shop) -> None:
    """One person among a customer's requests, from log, words, batch files and tables; the others stay."""
    done = shop("customers", "erase", "Bob", "--containing", PERSON, "--yes")
    assert (done["erased"]["inputs"], done["erased"]["feedback"], done["erased"]["batch_lines"]) == (7, 6, 1)
    assert done["copies"] == []
    assert PERSON not in shop.kept() and shop.kept().count("\n") == 662 - 7
    batches = [path.read_text() for path in (shop.root / "batches").rglob("*.jsonl")]
    assert batches and not any(PERSON in text for text in batches) and any("janky" in text for text in batches)
    forgot = shop("refresh", "--forget")
    assert list(forgot["rows"]) == ["refresh/artifacts"]
    assert not (shop.root / TABLE).exists()
    again = shop("refresh", code=(0, 1))  # a busy machine may refuse it
    assert PERSON not in " ".join(pl.read_parquet(shop.root / TABLE)["text"])
    assert again["outcome"] in ("unchanged", "canary", "refused")
    held = [path for path in shop.root.rglob("*") if path.suffix in (".sqlite", ".sqlite-wal", ".jsonl", ".json")]
    assert not [path for path in held if PERSON.encode() in path.read_bytes()]
