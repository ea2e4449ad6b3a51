"""A text is sent in every way there is, then erased while the server runs: no file and no page of a database has it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from breakeven.ledger.commands import customers_add, customers_list, keys_create, subjects_erased
from breakeven.ledger.keys import DEFAULT_SCOPES
from tests.ledger.cluster import Cluster
from tests.ledger.conftest import cluster, database  # noqa: F401  fixtures of the ledger
from tests.serving.shelf import Shelf

pytestmark = pytest.mark.slow

TEXT = "Zq7Vx93kPw-quux@example.com"
OTHER = "somebody-else@example.com"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    made = Shelf(tmp_path_factory.mktemp("made") / "project").fill(("red",))
    made.ship("red")
    settings = made.root / "breakeven.yaml"
    settings.write_text(settings.read_text() + "\nwatching: {inputs: {days: 30}}\n")
    return made


def environment(place: str) -> dict[str, str]:
    given = {**os.environ, "BREAKEVEN_LANG": "en"}
    given.pop("BREAKEVEN_DATABASE_URL", None)
    if place.startswith("postgres"):
        given["BREAKEVEN_DATABASE_URL"] = place
    return given


def breakeven(root: Path, place: str, *words: str, **more: str) -> Any:
    command = [sys.executable, "-m", "breakeven", *words, "-C", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment(place) | more)
    assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout) if "--json" in words else done


@contextmanager
def serving(root: Path, place: str, **more: str) -> Iterator[str]:
    """A server as a person starts it, its log in the project's folder; its address."""
    command = [sys.executable, "-m", "breakeven", "serve", "-C", str(root), "--port", "0", "--json", "--log", "json"]
    with open(root / "server.log", "ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment(place) | more)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            while line and not line.startswith(b"{"):
                line += process.stdout.readline()
            yield json.JSONDecoder().raw_decode((line + process.stdout.read1()).decode())[0]["url"]
        finally:
            process.terminate()
            process.wait(40)
            process.stdout.close()


class Customer:
    """Sends a text in every way that leaves something."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    def ask(self, path: str, body: bytes | None, kind: str = "application/json", **headers: str) -> Any:
        given = {"Authorization": f"Bearer {self.key}", "Content-Type": kind, **headers}
        with urlopen(Request(self.url + path, data=body, headers=given), timeout=60) as answer:
            return json.loads(answer.read())

    def everything(self, text: str) -> None:
        body = json.dumps({"inputs": [f"write to {text}", "and nobody"]}).encode()
        name = {"Idempotency-Key": f"{time.monotonic_ns()} of {text}"}
        found = self.ask("/v1/predict", body, **name)
        assert self.ask("/v1/predict", body, **name)["id"] == found["id"], "kept and replayed"
        word = {"id": found["id"], "index": 0, "comment": f"{text} is not amused"}
        self.ask("/v1/feedback", json.dumps(word).encode())
        tensors = {"inputs": [{"name": "input", "datatype": "BYTES", "shape": [1], "data": [f"tensor {text}"]}]}
        self.ask(f"/v2/models/{found['model']}/infer", json.dumps(tensors).encode())
        lines = [f'{{"id": "{text} {n}", "input": "line {n} of {text if n % 2 else "nobody"}"}}' for n in range(20)]
        lines += [f'{{"input": 7, "more": "{text}"}}', f"no JSON of {text}"]
        batch = self.ask("/v1/batches", "\n".join(lines).encode(), "application/x-ndjson")
        while self.ask(f"/v1/batches/{batch['id']}", None)["state"] != "done":
            time.sleep(0.05)

    def upload(self, text: str) -> Callable[[], str]:
        """Begins an upload whose last line is half there; what goes on with it, and gives the answer's head."""
        address = urlsplit(self.url)
        lines = [f"a {text}", f"nobody {'x' * (1 << 18)}", f"half {text}"]
        whole = "\n".join(json.dumps({"input": line}) for line in lines).encode()
        begun = whole[: -len(text)]
        connection = socket.create_connection((address.hostname, address.port))
        head = (f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n"
                f"Content-Type: application/x-ndjson\r\nContent-Length: {len(whole)}\r\n\r\n")  # fmt: skip
        connection.sendall(head.encode() + begun)

        def rest() -> str:
            connection.sendall(whole[-len(text) :])
            connection.settimeout(120)
            answer = connection.recv(65536).decode()
            connection.close()
            return answer

        return rest


def holding(folder: Path, text: str) -> list[str]:
    """Files in which a text stands, in whatever case."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if path.is_file() and text.lower().encode() in path.read_bytes().lower())  # fmt: skip


def pages(cluster: Cluster, text: str) -> list[str]:  # noqa: F811
    """Files of a PostgreSQL's tables and indexes in which a text stands; its write-ahead log is no table."""
    import psycopg

    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    return holding(cluster.folder / "data" / "base", text)


def analyse(place: str) -> None:
    """What PostgreSQL's autovacuum does on its own time: it samples columns for the planner."""
    import psycopg

    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("ANALYZE")


def customer(place: str, url: str, name: str) -> Customer:
    customers_add(place, name, {"consent": True})
    return Customer(url, keys_create(place, name, scopes=(*DEFAULT_SCOPES,), name=f"{name}'s laptop")["secret"])


def wait_until(check: Callable[[], bool]) -> None:
    until = time.monotonic() + 90
    while not check():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_one_person_on_sqlite(shelf: Shelf, tmp_path: Path) -> None:
    root = shelf.copy(tmp_path / "project").root
    place = str(root / "ledger.sqlite")
    with serving(root, place) as url:
        us = customer(place, url, "agency")
        us.everything(TEXT)
        us.everything(OTHER)
        wait_until(lambda: "private.sqlite-wal" in holding(root, f"tensor {TEXT}"))
        rest = us.upload(TEXT)
        wait_until(lambda: any("/.new-" in name for name in holding(root, TEXT)))
        eraser = subprocess.Popen(
            [sys.executable, "-m", "breakeven", "customers", "erase", "agency", "--containing", TEXT.upper(), "--yes",
             "--json", "-C", str(root)], stdout=subprocess.PIPE, env=environment(place))  # fmt: skip
        wait_until(lambda: not holding(root, f"tensor {TEXT}"))  # now it waits for what is still to come
        answer = rest()
        found = json.loads(eraser.communicate(timeout=240)[0])
        assert answer.startswith("HTTP/1.1 202"), answer
        assert (found["copies"], found["unreached"]) == ([], [])
        assert found["erased"]["inputs"] >= 3 and found["erased"]["answers"] >= 1 and found["erased"]["feedback"] == 1
        assert holding(root, TEXT) == []
        assert holding(root, OTHER)
        assert subjects_erased(place).events == {*found["events"]}
    assert holding(root, TEXT) == []
    assert "still holds" not in (root / "server.log").read_text()


def test_a_whole_customer_with_an_upload_under_way(shelf: Shelf, tmp_path: Path) -> None:
    root = shelf.copy(tmp_path / "project").root
    place = str(root / "ledger.sqlite")
    with serving(root, place) as url:
        us = customer(place, url, f"Agency of {TEXT}")
        us.everything(TEXT)
        rest = us.upload(TEXT)
        wait_until(lambda: any("/.new-" in name for name in holding(root, TEXT)))
        breakeven(root, place, "customers", "erase", f"Agency of {TEXT}", "--yes", "--json")
        assert holding(root, TEXT) == []
        assert rest().startswith("HTTP/1.1 401"), "the key is revoked, and nothing of it is left"
        assert holding(root, TEXT) == []
    assert holding(root, TEXT) == []


def test_on_postgresql_no_page_has_it(shelf: Shelf, tmp_path: Path, cluster: Cluster, database: str) -> None:  # noqa: F811
    root, files = shelf.copy(tmp_path / "project").root, tmp_path / "files"
    files.mkdir()
    with serving(root, database, BREAKEVEN_FILES=str(files)) as url:
        us, them = (customer(database, url, name) for name in (f"Agency of {TEXT}", "other"))
        us.everything(TEXT)
        them.everything(OTHER)
        time.sleep(1.5)
        analyse(database)
        assert pages(cluster, TEXT) and holding(files, TEXT)
        found = breakeven(root, database, "customers", "erase", f"Agency of {TEXT}", "--containing", TEXT, "--yes",
                          "--json", BREAKEVEN_FILES=str(files))  # fmt: skip
        assert found["erased"]["feedback"] == 1 and found["erased"]["batch_lines"] == 22
        assert holding(files, TEXT) == []
        us.everything(TEXT)
        here = [row["id"] for row in customers_list(database) if TEXT in row["name"]]
        found = breakeven(root, database, "customers", "erase", here[0], "--yes", "--json")
        assert found["unreached"] == ["batches"], "whoever erases elsewhere is told, and the server does it"
        analyse(database)
        assert pages(cluster, TEXT) == []
        assert pages(cluster, OTHER)
        assert them.ask("/v1/batches", b'{"input": "wakes the server"}', "application/x-ndjson")
        wait_until(lambda: not holding(files, TEXT))
    assert holding(root, TEXT) == holding(files, TEXT) == pages(cluster, TEXT) == []
