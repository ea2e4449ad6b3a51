"""The light task: rows and requests become the same inputs, and bad ones are named."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven import tasks
from breakeven.errors import ConfigError, InputError
from breakeven.task import Cases, Task
from breakeven.tasks.text_classification import TextClassification

TASK = TextClassification()
FACTS = {"classes": ["bad", "good"], "max_characters": 50}


class Echo(TextClassification):
    """A third party's task."""


class NotATask:
    """Nothing of the kind."""


def test_facts_are_sorted_classes_and_their_shares() -> None:
    facts = TASK.facts(Cases(["1", "2", "3", "4"], ["a"] * 4, ["good", "bad", "good", "good"]))
    assert facts["classes"] == ["bad", "good"]
    assert facts["train_rates"] == {"bad": 0.25, "good": 0.75}


@pytest.mark.parametrize(("row", "fields", "case"), [
    ({"t": "hi", "y": "a"}, {"inputs": "t", "target": "y"}, ("hi", "a")),
    ({"t": "hi", "u": "you", "y": 1}, {"inputs": ["t", "u"], "target": "y"}, ("hi\nyou", "1")),
    ({"t": "hi", "u": None, "y": 1.0}, {"inputs": ["t", "u"], "target": "y"}, ("hi", "1")),
    ({"t": None, "y": True}, {"inputs": ["t"], "target": "y"}, ("", "true")),
    ({"t": "hi", "y": None}, {"inputs": "t", "target": "y"}, ("hi", None)),
    ({"t": "hi"}, {"inputs": "t"}, ("hi", None)),
])  # fmt: skip
def test_rows_become_cases(row: dict[str, Any], fields: dict[str, Any], case: tuple[Any, Any]) -> None:
    assert TASK.case(row, fields) == case


def test_a_request_with_several_fields_is_the_same_input_as_the_row() -> None:
    row = {"title": "Great", "body": "It works", "y": "good"}
    assert TASK.parse({"title": "Great", "body": "It works"}, FACTS) == TASK.case(row, {"inputs": ["title", "body"]})[0]


@pytest.mark.parametrize(("payload", "words"), [
    (7, "input: is a number; expected a string"), (None, "is null"), (True, "is true or false"), (["a"], "is a list"),
    ("x" * 51, "has 51 characters; expected at most 50"), ("a\x00b", "holds NUL at position 1"),
    ("a\ud800", "half of a surrogate pair at position 1"), ("", "the text is empty"), (" \n", "the text is empty"),
    ({"title": 7}, "field title: is a number"), ({"title": "a\x00"}, "field title: holds NUL"), ({}, "text is empty"),
    ({"a": "x" * 30, "b": "y" * 30}, "has 61 characters"),
])  # fmt: skip
def test_payloads_that_are_refused(payload: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        TASK.parse(payload, FACTS)
    assert caught.value.at.field


def test_special_tokens_are_plain_text() -> None:
    assert TASK.parse("<|im_start|> </s> [MASK]", FACTS) == "<|im_start|> </s> [MASK]"


@given(st.text(min_size=1, max_size=50).filter(lambda text: text.strip() and "\x00" not in text))
def test_payload_is_the_inverse_of_parse(text: str) -> None:
    item = TASK.parse(text, FACTS)
    assert TASK.parse(TASK.payload(item), FACTS) == item


def test_an_answer_carries_every_probability() -> None:
    assert TASK.render([0.25, 0.75], "good", FACTS) == {
        "label": "good", "probability": 0.75, "probabilities": {"bad": 0.25, "good": 0.75}}  # fmt: skip


@pytest.mark.parametrize(("one", "other", "equal"), [
    ([0.2, 0.8], [0.205, 0.795], True), ([0.2, 0.8], [0.22, 0.78], False), ([0.499, 0.501], [0.501, 0.499], True),
    ([0.49, 0.51], [0.5001, 0.4999], False), ([float("nan"), 0.5], [0.5, 0.5], False),
])  # fmt: skip
def test_when_two_outputs_are_equal(one: list[float], other: list[float], equal: bool) -> None:
    assert TASK.agree(one, other, 0.01) is equal


def test_outputs_fit_their_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(TASK.render([0.25, 0.75], "good", FACTS), TASK.output_schema(FACTS))
    jsonschema.validate({"title": "a"}, TASK.input_schema(FACTS))
    with pytest.raises(jsonschema.ValidationError, match=r"is not valid under any"):
        jsonschema.validate(7, TASK.input_schema(FACTS))


def test_the_table_finds_tasks_and_suggests() -> None:
    assert all(isinstance(tasks.find(name), Task) for name in tasks.TABLE)
    with pytest.raises(ConfigError, match=r"no task 'text-clasification'.*did you mean 'text-classification'"):
        tasks.find("text-clasification")


def test_a_third_partys_task_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{__name__}:Echo"
    with pytest.raises(ConfigError, match=r"code from outside this program; if you trust it.*BREAKEVEN_TRUST="):
        tasks.find(name)
    assert isinstance(tasks.find(name, allow=True), Echo)
    monkeypatch.setenv("BREAKEVEN_TRUST", f"other:Task, {name}")
    assert isinstance(tasks.find(name), Echo)
    for wrong in (f"{__name__}:NotATask", f"{__name__}:Missing"):
        with pytest.raises(ConfigError, match=r"not a subclass of breakeven.task.Task"):
            tasks.find(wrong, allow=True)


def test_the_task_is_light() -> None:
    heavy = "{'numpy', 'torch', 'polars', 'sklearn'} & set(sys.modules)"
    code = f"import sys; from breakeven.tasks import find; find('text-classification'); print({heavy})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
