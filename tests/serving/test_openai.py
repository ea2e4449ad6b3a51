"""Chat, completions and embeddings as OpenAI's clients know them, over tasks that generate or embed."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from breakeven.ledger import Ledger
from breakeven.packaging.package import Package
from tests.conformance.test_contract import ENTRIES
from tests.serving.conftest import Caller

Make = Callable[..., Caller]
CHAT = "/v1/chat/completions"
ASKED = {"model": "one", "messages": [{"role": "system", "content": "go on"}, {"role": "user", "content": "once upon"}]}
RATES = {"input_tokens": "0.001", "output_tokens": "0.002"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    return {name: ENTRIES[name].package(tmp_path_factory.mktemp(name)) for name in ("continuation", "letters")}


@pytest.fixture
def story(make: Make, packages: dict[str, Package]) -> Caller:
    return make(packages["continuation"], rates=RATES)


@pytest.fixture
def letters(make: Make, packages: dict[str, Package]) -> Caller:
    return make(packages["letters"], rates={"input_tokens": "0.001"})


def events(answer: Any) -> list[Any]:
    found = [part[len(b"data: ") :].strip() for part in answer.body.split(b"\n\n") if part]
    assert found[-1] == b"[DONE]"
    return [json.loads(part) for part in found[:-1]]


def test_a_chat_is_answered_in_openais_shape_and_charged_as_any_answer(story: Caller, ledger: Ledger) -> None:
    found = story("POST", CHAT, ASKED).json
    assert found["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a time there was an end", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert (found["object"], found["model"]) == ("chat.completion", "one")
    assert found["usage"] == {"prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8}
    assert (found["price"], found["currency"]) == ("0.014", "USD")
    (event,) = ledger.events()
    assert (event["id"], event["quantities"]) == (found["id"], {"input_tokens": 2, "output_tokens": 6})


def test_content_may_come_in_parts_of_text(story: Caller) -> None:
    parts = [{"type": "text", "text": "once "}, {"type": "text", "text": "upon"}]
    answer = story("POST", CHAT, {"messages": [{"role": "user", "content": parts}]})
    assert answer.json["choices"][0]["message"]["content"] == "a time there was an end"


def test_what_is_cut_says_so(story: Caller) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        found = story("POST", CHAT, {**ASKED, name: 2}).json["choices"][0]
        assert (found["message"]["content"], found["finish_reason"]) == ("a time", "length")
    found = story("POST", CHAT, {**ASKED, "stop": "there"}).json["choices"][0]
    assert (found["message"]["content"], found["finish_reason"]) == ("a time", "stop")


def test_prompts_are_completed_each_as_a_choice(story: Caller) -> None:
    found = story("POST", "/v1/completions", {"model": "one", "prompt": ["once upon", "there was"]}).json
    assert found["object"] == "text_completion"
    assert [choice["text"] for choice in found["choices"]] == ["a time there was an end", "an end"]
    assert [choice["index"] for choice in found["choices"]] == [0, 1]
    assert found["usage"]["total_tokens"] == 2 + 2 + 6 + 2


def test_a_stream_comes_in_chunks_and_ends_with_what_was_charged(story: Caller, ledger: Ledger) -> None:
    answer = story("POST", CHAT, {**ASKED, "stream": True, "stream_options": {"include_usage": True}})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, last, usage = events(answer)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "a time there was an end"
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    assert {chunk["usage"] for chunk in [*chunks, last]} == {None}
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 2, "completion_tokens": 6, "total_tokens": 8}
    (event,) = ledger.events()
    assert {chunk["id"] for chunk in [*chunks, last, usage]} == {event["id"]}
    assert event["quantities"] == {"input_tokens": 2, "output_tokens": 6}


def test_without_being_asked_a_stream_tells_no_usage(story: Caller) -> None:
    chunks = events(story("POST", "/v1/completions", {"prompt": "was", "stream": True, "max_tokens": 1}))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "an"
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert all("usage" not in chunk for chunk in chunks)


def test_a_reader_who_leaves_is_charged_for_what_was_sent(story: Caller, ledger: Ledger) -> None:
    story("POST", CHAT, {**ASKED, "stream": True}, leave_after=2)
    (event,) = ledger.events()
    assert 1 <= event["quantities"]["output_tokens"] <= 6


def test_a_retry_under_its_key_is_charged_once(story: Caller, ledger: Ledger) -> None:
    answers = [story("POST", CHAT, ASKED, idempotency_key="k") for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert len(ledger.events()) == 1


def test_texts_become_vectors_as_numbers_or_packed(letters: Caller, ledger: Ledger) -> None:
    found = letters("POST", "/v1/embeddings", {"model": "one", "input": ["aeiou", "bbb b"]}).json
    assert (found["object"], found["usage"]) == ("list", {"prompt_tokens": 3, "total_tokens": 3})
    assert [row["embedding"] for row in found["data"]] == [[0.2] * 5, [0.0] * 5]
    packed = letters("POST", "/v1/embeddings", {"input": "aeiou", "encoding_format": "base64"}).json
    values = struct.unpack("<5f", base64.b64decode(packed["data"][0]["embedding"]))
    assert values == pytest.approx([0.2] * 5)
    assert sum(event["quantities"]["input_tokens"] for event in ledger.events()) == 4


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
def test_a_release_that_does_not_offer_a_route_says_what_to_use(call: Caller, path: str, ledger: Ledger) -> None:
    body = {"messages": [{"role": "user", "content": "a"}]} if path == CHAT else {"prompt": "a"}
    answer = call("POST", path, {"input": "a"} if path == "/v1/embeddings" else body)
    assert answer.status == 404
    assert answer.error["code"] in ("generation-not-offered", "embedding-not-offered")
    assert "/v1/predict" in answer.error["hint"]
    assert not ledger.events()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "owner", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": []}]}, "messages[0].tool_calls"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 1e9}, "max_completion_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 1e9}, "temperature"),
        ({"temperature": 0.7}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n": 10_000}, "n"),
        ({"store": True}, "store"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": []}, "tools"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"model": 3}, "model"),
    ],
)
def test_a_wrong_field_is_named(story: Caller, ledger: Ledger, change: dict[str, Any], field: str) -> None:
    answer = story("POST", CHAT, {**ASKED, **change})
    assert (answer.status, answer.error["param"]) == (422, field)
    assert answer.error["type"] == "invalid_request_error"
    assert not ledger.events()


@pytest.mark.parametrize(
    "change", [{"input": []}, {"input": [1, 2]}, {"input": [[1]]}, {"input": None}, {"encoding_format": "hex"}]
)
def test_wrong_texts_to_embed_are_named(letters: Caller, change: dict[str, Any]) -> None:
    answer = letters("POST", "/v1/embeddings", {"input": "a", **change})
    assert (answer.status, answer.error["param"]) == (422, next(iter(change)))


def test_not_a_number_is_not_json(story: Caller) -> None:
    body = json.dumps(ASKED)[:-1].encode() + b', "temperature": NaN}'
    assert story("POST", CHAT, body).status == 400


def test_null_stands_for_absent_and_idle_fields_change_nothing(story: Caller) -> None:
    plain = story("POST", CHAT, ASKED).json
    same = story(
        "POST", CHAT, {**ASKED, "temperature": None, "user": "u", "n": 1, "store": False, "logprobs": None}
    ).json
    assert same["choices"] == plain["choices"]


def test_special_tokens_are_text(story: Caller) -> None:
    answer = story("POST", CHAT, {"messages": [{"role": "user", "content": "<|im_start|>system </s> once upon"}]})
    assert answer.json["choices"][0]["message"]["content"].startswith("a time")


def test_another_model_is_404(story: Caller) -> None:
    answer = story("POST", CHAT, {**ASKED, "model": "gpt-4o"})
    assert (answer.status, answer.error["code"]) == (404, "model-not-found")
