"""Keys, usage and what predict reads, as a person meets them."""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from breakeven.cli import books, invoices, service
from breakeven.cli.keys import keys
from breakeven.data.inputs import read_inputs
from breakeven.errors import DataError, InputError, Refused, UsageError
from breakeven.ledger import open_ledger
from breakeven.tasks.text_classification import TextClassification
from tests.cli.test_books import asked, call, project

__all__ = ["project"]


@pytest.mark.parametrize(("found", "shown"), [
    ("short enough", "short enough"),
    ({"text": "word " * 300, "rank": 3}, {"text": ("word " * 16).strip(), "rank": 3}),
    (["字" * 300], ["字" * 80]),
])  # fmt: skip
def test_the_example_to_paste_is_short(found: Any, shown: Any) -> None:
    assert service._brief(found) == shown


FACTS = {"classes": ["bad", "good"], "fields": ["text"]}


def test_a_key_with_one_right_from_a_day_on(project: Path) -> None:
    at = ("-C", str(project))
    later = (datetime.date.today() + datetime.timedelta(days=9)).isoformat()
    row = asked(keys, "create", "--customer", "acme", "--scope", "usage", "--not-before", later, *at)
    assert row["scopes"] == ["usage"] and row["not_before"].startswith(later)
    listed = call(keys, "list", *at)
    assert "may" in listed and later in listed
    assert "acme" in listed and f"{row['secret'][-4:]}" in listed, "whose key it is, and how it ends"
    assert f"{later} 00:00:00 UTC" in listed, "a time is for people"
    with open_ledger(project / "ledger.sqlite") as ledger, pytest.raises(Refused, match=later):
        ledger.keys.check(row["secret"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--not-before", "soon"), "--not-before: 'soon' is not a time"),
        (("--not-before", "2030-01-02", "--expires", "2030-01-02"), "--not-before is later than --expires"),
    ],
)
def test_times_of_keys_that_cannot_be_meant(project: Path, options: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        call(keys, "create", "--customer", "acme", *options, "-C", str(project))
    assert caught.value.exit_code == 2


def test_a_right_that_there_is_not_and_a_name_of_nothing(project: Path) -> None:
    told = call(keys, "create", "--customer", "acme", "--scope", "all", "-C", str(project), code=2)
    assert "predict" in told
    with pytest.raises(UsageError, match="name is empty"):
        call(keys, "create", "--customer", " ", "-C", str(project))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "2026-02-01", "--to", "2026-01-01"), "--from is later than --to"),
        (("--to", "yesterday"), "--to: 'yesterday' is not a time"),
    ],
)
def test_spans_of_usage_that_cannot_be_meant(project: Path, options: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        call(service.usage, *options, "-C", str(project))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", [[""], [" "], ["--customer", ""], [], ["acme", "--customer", "acme"]])
def test_a_draft_for_nobody_asks_for_whom(given: list[str]) -> None:
    done = CliRunner().invoke(invoices.invoice, ["draft", *given, "--month", "2026-10"])
    assert done.exit_code == 2 and "which customer?" in done.output


def test_an_object_with_another_field_is_refused_and_its_fields_are_joined_as_trained() -> None:
    task = TextClassification()
    with pytest.raises(InputError, match=r"unknown field 'txt'.*did you mean 'text'"):
        task.parse({"txt": "a"}, FACTS)
    assert task.parse({"text": "a"}, FACTS) == "a"
    both = {**FACTS, "fields": ["title", "body"]}
    trained, _ = task.case({"title": "t", "body": "b"}, {"inputs": both["fields"]})
    assert task.parse({"body": "b", "title": "t"}, both) == trained == "t\nb"
    assert task.parse({"any": "a"}, {"classes": ["bad"]}) == "a"  # a package that does not tell its fields


def test_what_predict_cannot_decode_speaks_of_no_source() -> None:
    with pytest.raises(DataError, match="iconv") as caught:
        read_inputs(io.BytesIO(b"a caf\xe9\nna\xefve \xff\n"), "lines.txt")
    assert "source" not in str(caught.value)


def test_the_words_are_said_in_chinese_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BREAKEVEN_LANG", "zh")
    row = asked(keys, "create", "--customer", "acme", "-C", str(project))
    assert "已吊销" in call(keys, "revoke", row["id"], "-C", str(project))
    done = CliRunner().invoke(keys, ["create", "--customer", "acme", "-C", str(project)])
    assert "仅显示这一次" in done.output
    assert call(books.customers, "list", "-C", str(project))


def test_feedback_shows_which_answer_who_said_what(project: Path) -> None:
    at = ("-C", str(project))
    assert "no feedback yet" in call(service.feedback, *at)
    with open_ledger(project / "ledger.sqlite") as ledger:
        ledger.feedback.add("e1", {"label": "billing"})
        ledger.feedback.add("e2", {"correct": False, "comment": "no\n\x1b[31mway"})
    shown = call(service.feedback, *at)
    for part in ("acme", "e1", "e2", "label: billing", "wrong; comment: no  [31mway"):
        assert part in shown
    assert "\x1b" not in shown and "null" not in shown
    assert "index" not in shown, "a column that says nothing"
    assert [row["id"] for row in asked(service.feedback, *at)] == ["e1", "e2"]


@pytest.mark.parametrize(("found", "shown"), [
    ("2026-11-23T01:52:17.251908Z", "2026-11-23 01:52:17 UTC"),
    ("2026-11-23T01:52:17+00:00", "2026-11-23 01:52:17 UTC"),
    ("2026-11-23T01:52:17+02:00", "2026-11-23T01:52:17+02:00"), (None, None),
])  # fmt: skip
def test_a_moment_for_people(found: str | None, shown: str | None) -> None:
    assert service.short_time(found) == shown
