"""Batch files over HTTP: what comes back, who may read it, what broken lines, limits and leaving do."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.errors import Refused
from breakeven.ledger import Ledger
from breakeven.ledger.customers import Terms
from breakeven.serving.batch_files import BatchLimits
from breakeven.serving.batches import byte_range
from breakeven.serving.wire import HttpError
from tests.serving.conftest import Answer, Caller
from tests.serving.fakes import EchoPackage

Make = Callable[..., Caller]
PATH = "/v1/batches"
NDJSON = "application/x-ndjson"


def lines(*inputs: Any) -> bytes:
    return b"".join(json.dumps({"id": f"r{n}", "input": text}).encode() + b"\n" for n, text in enumerate(inputs))


def together(call: Caller, work: Callable[[], Awaitable[Any]]) -> Any:
    """Runs a talk with a service on one event loop, and ends its batches as a server that ends does."""

    async def talk() -> Any:
        try:
            return await work()
        finally:
            call.service.draining = True
            await call.service.batches.stop()

    return asyncio.run(talk())


async def post(call: Caller, body: bytes, path: str = PATH, **headers: Any) -> Answer:
    return await call.send("POST", path, body, content_type=headers.pop("content_type", NDJSON), **headers)


async def ended(call: Caller, name: str) -> dict[str, Any]:
    for _ in range(1000):
        found: dict[str, Any] = (await call.send("GET", f"{PATH}/{name}")).json
        if found["state"] in ("done", "failed", "cancelled"):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"still {found}")


async def rows(call: Caller, name: str, kind: str = "output") -> list[Any]:
    answer = await call.send("GET", f"{PATH}/{name}/{kind}")
    assert (answer.status, answer.headers["content-type"]) == (200, NDJSON)
    return [json.loads(line) for line in answer.body.splitlines()]


def run(call: Caller, body: bytes) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """(the batch at its end, its output, its errors)."""

    async def work() -> Any:
        name = (await post(call, body)).json["id"]
        return await ended(call, name), await rows(call, name), await rows(call, name, "errors")

    found: tuple[dict[str, Any], list[Any], list[Any]] = together(call, work)
    return found


def test_every_line_is_answered_in_order_and_charged(call: Caller, ledger: Ledger) -> None:
    batch, output, errors = run(call, lines(*(f"text {n}" for n in range(150))))
    assert (batch["state"], batch["object"], errors) == ("done", "batch", [])
    assert batch["counts"] == {"lines": 150, "answered": 150, "failed": 0, "dealt_with": 150}
    assert [row["line"] for row in output] == list(range(1, 151))
    assert output[7] == {
        "line": 8, "id": "r7", "model": "echo", "output": {"echo": "text 7"}, "charge": f"{batch['id']}-8",
        "usage": [{"meter": "answers", "quantity": 1}], "price": "0.004", "currency": "USD",
    }  # fmt: skip
    assert {event["id"] for event in ledger.events()} == {row["charge"] for row in output}
    assert ledger.usage()[0]["quantity"] == 150
    assert batch["created"] <= batch["started"] <= batch["ended"] < batch["expires"]


def test_posting_answers_at_once_with_where_to_look(call: Caller) -> None:
    async def work() -> Any:
        answer = await post(call, lines("a"))
        return answer, await ended(call, answer.json["id"])

    answer, batch = together(call, work)
    assert (answer.status, answer.headers["location"]) == (202, f"{PATH}/{batch['id']}")
    assert answer.json["state"] in ("validating", "running")


def test_bad_lines_stop_nothing_and_say_what_is_wrong(call: Caller, ledger: Ledger) -> None:
    body = b"\n".join([
        b'\xef\xbb\xbf{"input": "good"}', b"{broken", b"\xff", b'{"input": 3, "id": "mine"}', b"", b'{"id": "x"}',
        b"[]",
        b'{"input": "a", "price": 0}', b'{"input": "boom"}', b'{"input": "nan"}', b'{"input": "last"}\r',
    ])  # fmt: skip
    batch, output, errors = run(call, body)
    assert batch["state"] == "done"
    assert batch["counts"] == {"lines": 11, "answered": 2, "failed": 8, "dealt_with": 11}
    assert [row["line"] for row in output] == [1, 11]
    told = {row["line"]: row["error"]["code"] for row in errors}
    assert told == {
        2: "json-broken", 3: "json-encoding", 4: "input-not-text", 6: "body-field", 7: "body-not-object",
        8: "body-unknown-field", 9: "answer-failed", 10: "answer-broken",
    }  # fmt: skip
    assert errors[2]["id"] == "mine" and errors[2]["error"]["param"] == "input"
    assert len(ledger.events()) == 2, "what got no answer costs nothing"


def test_a_line_that_is_too_long_is_an_error_of_that_line(make: Make) -> None:
    call = make(max_bytes=200)
    batch, output, errors = run(call, lines("a", "b" * 300, "c"))
    assert [row["output"]["echo"] for row in output] == ["a", "c"]
    assert [(row["line"], row["error"]["code"]) for row in errors] == [(2, "body-too-large")]
    assert batch["counts"]["lines"] == 3


def test_a_form_may_bring_the_file(call: Caller) -> None:
    model = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\necho\r\n'
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
    form = model + head + lines("a") + b"\r\n--x--\r\n"
    kind = "multipart/form-data; boundary=x"

    async def work() -> Any:
        cut = await post(call, form[:-8], content_type=kind)
        other = await post(call, form.replace(b'"file"', b'"data"'), content_type=kind)
        good = await call.send("POST", PATH, chunks=[form[:70], form[70:90], form[90:]], content_type=kind)
        return cut, other, await ended(call, good.json["id"]), await rows(call, good.json["id"])

    cut, other, batch, output = together(call, work)
    assert (cut.status, cut.error["code"]) == (400, "form-broken")
    assert (other.status, other.error["code"]) == (422, "body-unknown-field")
    assert (batch["state"], batch["model"], output[0]["output"]) == ("done", "echo", {"echo": "a"})


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 422, "body-field"),
        (b"{}", {"content_type": "application/json"}, 415, "body-type"),
        (b"{}", {"content_encoding": "gzip"}, 415, "body-encoding"),
        (b"x" * 2000, {}, 413, "body-too-large"),
        (b"{}", {"authorization": None}, 401, "key-missing"),
        (b"{}", {"idempotency_key": "\u00e9"}, 400, "idempotency-key"),
        (b"{}", {"path": PATH + "?model=other"}, 404, "model-not-found"),
        (b"{}", {"path": PATH + "?speed=9"}, 422, "body-unknown-field"),
    ],
)
def test_what_is_no_batch_is_refused_and_leaves_nothing(
    call: Caller, tmp_path: Path, body: bytes, headers: dict[str, Any], status: int, code: str
) -> None:
    assert call.service.batches.folder is not None
    call.service.batches.folder.limits = BatchLimits(bytes=1000)
    answer = together(call, lambda: post(call, body, **headers))
    assert (answer.status, answer.error["code"]) == (status, code)
    assert not list(tmp_path.glob("batches/*/*"))


def test_a_body_without_a_length_is_cut_off_at_the_limit(call: Caller, tmp_path: Path) -> None:
    assert call.service.batches.folder is not None
    call.service.batches.folder.limits = BatchLimits(bytes=1000)
    pieces = [b"x" * 400] * 10
    answer = together(call, lambda: call.send("POST", PATH, chunks=pieces, content_type=NDJSON))
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert not list(tmp_path.glob("batches/*/*"))


def test_a_file_of_too_many_lines_fails_before_anything_is_charged(call: Caller, ledger: Ledger) -> None:
    assert call.service.batches.folder is not None
    call.service.batches.folder.limits = BatchLimits(lines=2)
    batch, output, errors = run(call, lines("a", "b", "c"))
    assert (batch["state"], batch["error"]["code"], output, errors) == ("failed", "batch-lines", [], [])
    assert "3 lines" in batch["error"]["message"]
    assert not ledger.events()


def test_another_customer_finds_nothing(call: Caller, ledger: Ledger) -> None:
    ledger.customers.add("other")
    stranger = Caller(call.service, ledger.keys.create("other")[0])

    async def work() -> Any:
        name = (await post(call, lines("a"))).json["id"]
        await ended(call, name)
        asked = [("GET", ""), ("GET", "/output"), ("GET", "/errors"), ("DELETE", "?erase=true")]
        found = [await stranger.send(method, f"{PATH}/{name}{end}") for method, end in asked]
        return found, await stranger.send("GET", PATH), await call.send("GET", PATH), name

    found, theirs, ours, name = together(call, work)
    assert [(answer.status, answer.error["code"]) for answer in found] == [(404, "batch-not-found")] * 4
    assert theirs.json["data"] == []
    assert [batch["id"] for batch in ours.json["data"]] == [name]


@pytest.mark.parametrize("name", ["bat_1", "..", "%2e%2e", "bat_" + "0" * 28, "x/y/z", "", "output"])
def test_what_is_no_batch_is_404(call: Caller, name: str) -> None:
    assert together(call, lambda: call.send("GET", f"{PATH}/{name}")).status == 404


def test_files_are_private_and_beside_the_ledger(call: Caller, tmp_path: Path) -> None:
    run(call, lines("a", 3))
    found = [tmp_path / "batches", *(tmp_path / "batches").rglob("*")]
    assert {path.name for path in found} >= {"input.jsonl", "output.jsonl", "errors.jsonl", "state.json"}
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_quota_holds_and_every_line_past_it_says_so(make: Make, ledger: Ledger) -> None:
    call = make()
    ledger.customers.set_terms("acme", Terms(quotas={"answers": 5}))
    batch, output, errors = run(call, lines(*"abcdefgh"))
    assert (batch["state"], len(output)) == ("done", 5)
    assert {row["error"]["code"] for row in errors} == {"quota-exhausted"}
    assert ledger.usage()[0]["quantity"] == 5


def test_a_spend_cap_holds(make: Make, ledger: Ledger) -> None:
    from decimal import Decimal

    call = make()
    ledger.customers.set_terms("acme", Terms(spend_cap=Decimal("0.013")))
    _, output, errors = run(call, lines(*"abcdefgh"))
    assert len(output) == 3
    assert {row["error"]["code"] for row in errors} == {"spend-cap-reached"}
    assert ledger.usage()[0]["price"] == "0.012"


def test_a_retry_under_its_key_meets_the_same_batch(call: Caller, ledger: Ledger) -> None:
    async def work() -> Any:
        first = await post(call, lines("a", "b"), idempotency_key="k")
        await ended(call, first.json["id"])
        again = await post(call, lines("a", "b"), idempotency_key="k")
        return first, again, await post(call, lines("c"), idempotency_key="k")

    first, again, other = together(call, work)
    assert (again.status, again.json["id"], again.json["state"]) == (202, first.json["id"], "done")
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status, other.error["code"]) == (422, "idempotency-other-body")
    assert len(ledger.events()) == 2


def test_a_key_used_again_for_another_file_after_the_first_was_erased_gives_nothing_away(
    call: Caller, ledger: Ledger
) -> None:
    async def work() -> Any:
        first = (await post(call, lines("a"), idempotency_key="k")).json["id"]
        await ended(call, first)
        erased = await call.send("DELETE", f"{PATH}/{first}?erase=true")
        again = (await post(call, lines("free?"), idempotency_key="k")).json["id"]
        return erased, await ended(call, again), await rows(call, again), await rows(call, again, "errors")

    erased, batch, output, errors = together(call, work)
    assert (erased.status, batch["state"], output) == (200, "done", [])
    assert errors[0]["error"]["code"] == "idempotency-other-body"
    assert len(ledger.events()) == 1


def test_cancelling_stops_it_and_keeps_what_was_answered(make: Make, ledger: Ledger, tmp_path: Path) -> None:
    call = make(EchoPackage(seconds=0.03))

    async def work() -> Any:
        name = (await post(call, lines(*map(str, range(2000))))).json["id"]
        while not (await call.send("GET", f"{PATH}/{name}")).json["counts"]["answered"]:
            await asyncio.sleep(0.01)
        answer = await call.send("DELETE", f"{PATH}/{name}")
        again = await call.send("DELETE", f"{PATH}/{name}")
        batch, output = await ended(call, name), await rows(call, name)
        gone = await call.send("DELETE", f"{PATH}/{name}?erase=true")
        return answer, again, batch, output, gone, await call.send("GET", f"{PATH}/{name}")

    answer, again, batch, output, gone, after = together(call, work)
    assert (answer.status, answer.json["state"], again.json["state"]) == (200, "cancelled", "cancelled")
    assert 0 < batch["counts"]["answered"] == len(output) == len(ledger.events()) < 2000
    assert (gone.status, after.status) == (200, 404)
    assert not list(tmp_path.glob("batches/*/*"))


def test_a_revoked_key_ends_its_batches(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(seconds=0.03))
    other = Caller(call.service, ledger.keys.create("acme")[0])

    async def work() -> Any:
        name = (await post(call, lines(*map(str, range(2000))))).json["id"]
        while not (await call.send("GET", f"{PATH}/{name}")).json["counts"]["answered"]:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(ledger.keys.revoke, call.secret.split("_")[1])
        return await ended(other, name)

    batch = together(call, work)
    assert (batch["state"], batch["error"]["code"]) == ("failed", "key-revoked")
    assert batch["counts"]["answered"] == len(ledger.events())


def test_files_that_are_erased_under_way_end_that_batch_alone(make: Make, ledger: Ledger) -> None:
    call = make(EchoPackage(seconds=0.03))
    ledger.customers.add("other")
    other = Caller(call.service, ledger.keys.create("other")[0])
    folder = call.service.batches.folder
    assert folder is not None

    async def work() -> Any:
        first = (await post(call, lines(*map(str, range(2000))))).json["id"]
        while not (await call.send("GET", f"{PATH}/{first}")).json["counts"]["answered"]:
            await asyncio.sleep(0.01)
        gone = folder.forget(ledger.customers.find("acme"))
        second = (await post(other, lines("a", "b"))).json["id"]
        return gone, await ended(other, second), await call.send("GET", f"{PATH}/{first}")

    gone, batch, after = together(call, work)
    assert (gone, batch["state"], batch["counts"]["answered"], after.status) == (1, "done", 2, 404)


def test_a_defect_ends_that_batch_alone(make: Make) -> None:
    class Odd(EchoPackage):
        def usage(self, inputs: list[str], outputs: list[Any]) -> dict[str, int]:
            if inputs == ["odd"]:
                raise ZeroDivisionError
            return super().usage(inputs, outputs)

    call = make(Odd())

    async def work() -> Any:
        names = [(await post(call, lines(text))).json["id"] for text in ("odd", "even")]
        return [await ended(call, name) for name in names]

    odd, even = together(call, work)
    assert (odd["state"], odd["error"]["code"], even["state"]) == ("failed", "internal", "done")


def test_too_many_at_once_are_refused(make: Make) -> None:
    call = make(EchoPackage(seconds=0.05))
    assert call.service.batches.folder is not None
    call.service.batches.folder.limits = BatchLimits(active=2)

    async def work() -> Any:
        return [await post(call, lines(*map(str, range(500)))) for _ in range(3)]

    answers = together(call, work)
    assert [answer.status for answer in answers] == [202, 202, 429]
    assert (answers[2].error["code"], answers[2].headers["retry-after"]) == ("batch-too-many", "60")


def test_kept_bytes_are_bounded(call: Caller) -> None:
    assert call.service.batches.folder is not None
    call.service.batches.folder.limits = BatchLimits(held_bytes=30)

    async def work() -> Any:
        await ended(call, (await post(call, lines("a" * 40))).json["id"])
        return await post(call, lines("b"))

    answer = together(call, work)
    assert (answer.status, answer.error["code"]) == (413, "batch-too-much")


def test_the_number_of_kept_batches_is_bounded(call: Caller) -> None:
    """A file of one byte takes a folder and four files all the same."""
    assert call.service.batches.folder is not None
    call.service.batches.folder.limits = BatchLimits(kept=2)

    async def work() -> Any:
        for text in "ab":
            await ended(call, (await post(call, lines(text))).json["id"])
        return await post(call, lines("c"))

    answer = together(call, work)
    assert (answer.status, answer.error["code"]) == (429, "batch-too-many-kept")


def test_uploads_that_are_under_way_count(call: Caller, tmp_path: Path) -> None:
    """Who opens many uploads at once would fill the disk before the first is whole."""
    folder = call.service.batches.folder
    assert folder is not None
    folder.limits = BatchLimits(active=2, held_bytes=1000)
    first, second = folder.scratch("acme", 10), folder.scratch("acme", 10)
    with pytest.raises(Refused, match="2 batches are under way"):
        folder.scratch("acme", 10)
    assert folder.scratch("other", 10).exists()
    folder.discard(first)
    folder.scratch("acme", 990)
    folder.limits = BatchLimits(active=9, held_bytes=1000)
    with pytest.raises(Refused, match="have 1000 bytes"):
        folder.scratch("acme", 10)
    folder.discard(second)
    assert folder.scratch("acme", 10).exists()


def test_the_ledger_keeps_its_room_on_the_disk(call: Caller, tmp_path: Path) -> None:
    assert call.service.batches.folder is not None
    call.service.batches.folder.limits = BatchLimits(free_bytes=1 << 60)
    answer = together(call, lambda: post(call, lines("a")))
    assert (answer.status, answer.error["code"]) == (503, "batch-no-disk")
    assert not list(tmp_path.glob("batches/*/*"))


def test_what_a_batch_was_charged_pays_for_no_answer_of_another_with_its_id(call: Caller, ledger: Ledger) -> None:
    """The same file under the same key, once the first was erased: another release may answer now."""

    async def work() -> Any:
        name = (await post(call, lines("a"), idempotency_key="k")).json["id"]
        await ended(call, name)
        await call.send("DELETE", f"{PATH}/{name}?erase=true")
        again = (await post(call, lines("a"), idempotency_key="k")).json["id"]
        await ended(call, again)
        return name == again, await rows(call, again), await rows(call, again, "errors")

    same, output, errors = together(call, work)
    assert same and output == []
    assert errors[0]["error"]["code"] == "idempotency-other-body"
    assert len(ledger.events()) == 1


def test_interactive_requests_go_first(make: Make) -> None:
    """More lines of 2 ms wait than the queue holds; who asks meanwhile waits for a few of them, not for all."""
    package = EchoPackage(work=0.002)
    call = make(package)

    async def work() -> Any:
        name = (await post(call, lines(*map(str, range(150))))).json["id"]
        went_first = []
        for _ in range(6):
            before = len(package.batches)
            answer = await call.send("POST", "/v1/predict", {"inputs": ["now"]})
            assert answer.status == 200
            went_first.append(sum(package.batches[before:]) - 1)
        return went_first, await ended(call, name)

    went_first, batch = together(call, work)
    assert max(went_first) < 40  # of the 64 that wait in the queue; it is about 8
    assert (batch["state"], batch["counts"]["answered"]) == ("done", 150)


def test_what_waits_gets_its_turn_though_others_never_stop(make: Make) -> None:
    call = make(EchoPackage(work=0.001))

    async def work() -> Any:
        name = (await post(call, lines("a"))).json["id"]
        stop = asyncio.Event()

        async def crowd() -> None:
            while not stop.is_set():
                await call.send("POST", "/v1/predict", {"inputs": ["x"] * 20})

        clients = [asyncio.ensure_future(crowd()) for _ in range(4)]
        batch = await ended(call, name)
        stop.set()
        await asyncio.gather(*clients)
        return batch

    assert together(call, work)["state"] == "done"


def test_files_are_read_in_ranges(call: Caller) -> None:
    async def work() -> Any:
        name = (await post(call, lines(*"abc"))).json["id"]
        await ended(call, name)
        path = f"{PATH}/{name}/output"
        whole = await call.send("GET", path)
        parts = [await call.send("GET", path, range=asked) for asked in ("bytes=0-9", "bytes=10-", "bytes=-5")]
        outside = await call.send("GET", path, range="bytes=99999-")
        stale = await call.send("GET", path, range="bytes=0-9", if_range='"other"')
        fresh = await call.send("GET", path, range="bytes=0-9", if_range=whole.headers["etag"])
        head = await call.send("HEAD", path)
        return whole, parts, outside, stale, fresh, head, await call.send("GET", f"{PATH}/{name}/errors")

    whole, parts, outside, stale, fresh, head, errors = together(call, work)
    assert [part.status for part in parts] == [206] * 3
    assert parts[0].body + parts[1].body == whole.body and parts[2].body == whole.body[-5:]
    assert parts[0].headers["content-range"] == f"bytes 0-9/{len(whole.body)}"
    assert (outside.status, outside.headers["content-range"]) == (416, f"bytes */{len(whole.body)}")
    assert (stale.status, stale.body, fresh.status) == (200, whole.body, 206)
    assert (head.body, int(head.headers["content-length"])) == (b"", len(whole.body))
    assert (errors.status, errors.body, errors.headers["content-length"]) == (200, b"", "0")


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_is_what_a_slice_is(size: int, first: int, last: int) -> None:
    content = bytes(range(size))
    for asked, expected in ((f"bytes={first}-", content[first:]), (f"bytes=-{last}", content[-last:] if last else b"")):
        try:
            begin, end = byte_range(asked, size)
        except HttpError as error:
            assert (error.status, expected) == (416, b"")
        else:
            assert content[begin : end + 1] == expected
    for odd in ("bytes=5-2", "lines=0-3", "bytes=-", "bytes=0-1,4-5", "bytes=a-b", ""):
        assert byte_range(odd, size) == (0, size - 1)


def test_a_server_without_a_folder_offers_none(call: Caller) -> None:
    call.service.batches.folder = None
    answer = call("GET", PATH)
    assert (answer.status, answer.error["code"]) == (404, "batch-not-offered")
    assert "BREAKEVEN_FILES" in answer.error["hint"]
