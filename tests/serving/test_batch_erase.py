"""Erasing a customer takes their batch files too; erasing one person among them takes that person's lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from breakeven.cli.books import customers
from breakeven.ledger import Ledger, open_ledger
from breakeven.ledger.commands import subjects_erased
from breakeven.serving import batch_erase
from breakeven.serving.batch_files import Batch, BatchFolder
from tests.serving.conftest import Caller
from tests.serving.fakes import EchoPackage
from tests.serving.test_batches import ended, lines, post, rows, run, together

Make = Callable[..., Caller]


def kept(place: Path, name: str, text: str = '{"input": "private"}\n') -> tuple[str, Batch]:
    """(customer's id, a batch of theirs that nobody works on)."""
    with open_ledger(place / "ledger.sqlite") as ledger:
        owner = ledger.customers.add(name).id
    folder = BatchFolder.beside(place / "ledger.sqlite")
    assert folder is not None
    scratch = folder.scratch(owner)
    (scratch / "input.jsonl").write_text(text)
    number = sum(map(ord, name))
    batch = folder.adopt(scratch, Batch(scratch, f"bat_{number:028x}", owner, "k", None, "", 20))
    assert batch is not None
    return owner, batch


def command(place: Path, *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(customers, ["erase", "acme", "--yes", "-C", str(place), "--json", *options])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.output)
    return found


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BREAKEVEN_FILES", raising=False)
    monkeypatch.delenv("BREAKEVEN_DATABASE_URL", raising=False)


def test_files_go_with_their_customer(tmp_path: Path) -> None:
    (_, mine), (_, theirs) = kept(tmp_path, "acme"), kept(tmp_path, "other")
    assert command(tmp_path)["erased"]["batches"] == 1
    assert not mine.folder.exists() and theirs.path("input").read_text() == '{"input": "private"}\n'


def test_lines_that_contain_a_text_become_blank_and_keep_their_length(tmp_path: Path) -> None:
    text = '{"input": "of quux"}\r\n{"input": "other"}\n{"input": "\\u0051UUX"}\nno JSON of Quux'
    (_, mine), (_, theirs) = kept(tmp_path, "acme", text), kept(tmp_path, "other", text)
    found = command(tmp_path, "--containing", "quux")
    assert (found["erased"]["batch_lines"], found["copies"]) == (3, [])
    after = mine.path("input").read_bytes().decode()
    assert [line.strip() for line in after.split("\n")] == ["", '{"input": "other"}', "", ""]
    assert len(after) == len(text) and theirs.path("input").read_bytes().decode() == text
    assert command(tmp_path, "--containing", "quux")["erased"]["batch_lines"] == 0


def test_a_batch_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    _, mine = kept(tmp_path, "acme")
    (mine.folder / "state.json").write_text("{")
    assert command(tmp_path, "--containing", "private")["copies"] == [str(mine.folder)]


def test_answers_go_with_their_lines_by_request_or_by_text(make: Make, ledger: Ledger, tmp_path: Path) -> None:
    call = make()
    batch, output, _ = run(call, lines("of quux", "of others", 7, "theirs"))
    folder = call.service.batches.folder
    assert folder is not None
    owner = ledger.customers.find("acme")
    done = batch_erase.erase(folder, owner, {output[2]["charge"]}, "QUUX")
    assert (done.count, done.left) == (2, [])
    assert done.events == {f"{batch['id']}-1", f"{batch['id']}-4"}

    async def work() -> Any:
        return await rows(call, batch["id"]), await rows(call, batch["id"], "errors")

    now, errors = asyncio.run(work())
    assert [row.get("output") for row in now] == [None, {"echo": "of others"}, None]
    assert now[0] == {"line": 1, "erased": True} and now[2] == {"line": 4, "erased": True}
    assert [row["line"] for row in errors] == [3]
    held = (folder.root / owner / batch["id"]).iterdir()
    assert not any(word in path.read_bytes() for path in held for word in (b"quux", b"theirs"))


def test_the_ledger_and_whoever_copies_hear_of_the_lines(make: Make, ledger: Ledger, tmp_path: Path) -> None:
    call = make()
    batch, _, _ = run(call, lines("of quux", "of others"))
    ledger.close()
    found = command(tmp_path, "--containing", "quux")
    assert (found["requests"], found["events"]) == (1, [f"{batch['id']}-1"])
    assert subjects_erased(tmp_path / "ledger.sqlite").events == {f"{batch['id']}-1"}


def test_lines_that_a_server_is_at_work_on_are_taken_too(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(seconds=0.01), max_batch=1)
    folder = call.service.batches.folder
    assert folder is not None

    async def work() -> Any:
        name = (await post(call, lines(*(f"quux {n}" if n % 2 else f"other {n}" for n in range(200))))).json["id"]
        while (await call.send("GET", f"/v1/batches/{name}")).json["state"] == "validating":
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        done = await asyncio.to_thread(batch_erase.erase, folder, ledger.customers.find("acme"), (), "quux")
        return done, await ended(call, name), await rows(call, name), await rows(call, name, "errors")

    done, batch, output, errors = together(call, work)
    assert (done.count, done.left, errors) == (100, [], [])
    assert batch["state"] == "done" and batch["counts"]["answered"] < 200
    answered = [row for row in output if "erased" not in row]
    assert [row["output"]["echo"] for row in answered] == [f"other {n}" for n in range(0, 200, 2)]
    held = [path for path in folder.root.rglob("*") if path.is_file()]
    assert held and not any(b"quux" in path.read_bytes() for path in held)


def test_an_upload_that_does_not_end_is_cut_off_and_its_sender_told(make: Make, ledger: Ledger) -> None:
    call = make()
    folder = call.service.batches.folder
    assert folder is not None

    async def last() -> bytes:
        done = await asyncio.to_thread(batch_erase.erase, folder, ledger.customers.find("acme"), (), "quux", patience=0)
        assert (done.uploads, done.left) == (1, [])
        assert not [path for path in folder.root.rglob("*") if path.is_file()]
        return lines("more")

    chunks = [lines("quux") * 30_000, last]
    answer = call("POST", "/v1/batches", chunks=chunks, content_type="application/x-ndjson")
    assert (answer.status, answer.error["code"]) == (409, "batch-cut-off")
    assert not [path for path in folder.root.rglob("*") if path.is_file()]


def test_an_upload_of_a_server_that_was_killed_is_removed(make: Make, ledger: Ledger) -> None:
    folder = make().service.batches.folder
    assert folder is not None
    owner = ledger.customers.find("acme")
    (folder.scratch(owner) / "input.jsonl").write_bytes(lines("quux")[:-3])
    assert batch_erase.erase(folder, owner, {"some-event"}, None).uploads == 0
    assert batch_erase.erase(folder, owner, (), "other").uploads == 1
    assert list((folder.root / owner).iterdir()) == []


@given(st.text(min_size=1).filter(str.strip), st.booleans())
def test_a_text_is_found_however_json_writes_it(text: str, ascii_only: bool) -> None:
    line = json.dumps({"input": f"a {text} b"}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert batch_erase._says(line, text) and batch_erase._says(line, text.swapcase()) == (
        text.swapcase().casefold() in f"a {text} b".casefold()
    )
