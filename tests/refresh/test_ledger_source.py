"""Rows out of the ledger: only with consent, only with a label, by the customer's last word, and gone when erased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.data.ledger_source import CUSTOMER, REQUEST, erased_rows, label_of, labelled
from breakeven.data.sources import Source
from breakeven.ledger import open_ledger
from breakeven.ledger.commands import subjects_erased
from breakeven.ledger.subjects import Selection, erase
from tests.data.folder import Folder, csv_of, sentences
from tests.small_shop import answered

ROLES: dict[str, Any] = {"inputs": ["text"], "target": "label"}
OUTPUT = {"label": "good", "probability": 0.9}


def folder(root: Path, **settings: Any) -> Folder:
    (root / "data.csv").write_text(csv_of(sentences(60)))
    sources = {"shop": "data.csv", "customers": {"ledger": "feedback"}}
    return Folder(root, {"sources": sources, **settings})


@pytest.mark.parametrize(("words", "label"), [
    ([{"correct": True}], "good"),
    ([{"correct": False}], None),
    ([{"label": "bad"}], "bad"),
    ([{"label": "bad"}, {"correct": True}], "good"),
    ([{"label": "bad"}, {"correct": False}], None),
    ([{"correct": False}, {"label": "bad"}, {"comment": "at last"}], "bad"),
    ([{"rating": 5}], None),
])  # fmt: skip
def test_the_last_word_that_names_an_answer_counts(words: list[dict[str, Any]], label: str | None) -> None:
    assert label_of(words, OUTPUT) == label


def test_an_answer_that_was_refused_cannot_be_confirmed() -> None:
    assert label_of([{"correct": True}], {"label": None}) is None


@given(st.lists(st.sampled_from([{"correct": True}, {"correct": False}, {"label": "bad"}, {"rating": 1}])))
def test_words_before_the_last_label_change_nothing(words: list[dict[str, Any]]) -> None:
    assert label_of([*words, {"label": "new"}], OUTPUT) == "new"


def test_every_case_is_a_row_or_is_counted_as_none(tmp_path: Path) -> None:
    answered(tmp_path, "Ann", [("a fine film", "bad", {"label": "good"}), ("a poor one", "bad", {"correct": True}),
                               ("nobody spoke", "bad", None), ("only wrong", "bad", {"correct": False})])  # fmt: skip
    answered(tmp_path, "Bob", [("no consent", "bad", {"label": "good"})], consent=False)
    found = labelled(tmp_path, ROLES)
    assert sorted((row["text"], row["label"]) for row in found.rows) == [("a fine film", "good"), ("a poor one", "bad")]
    counts = dict(found.counts)
    assert counts == {"cases": 4, "labelled": 2, "without_feedback": 1, "without_label": 1, "without_input": 0,
                      "other_fields": 0}  # fmt: skip
    assert all(row["origin"] == "feedback" and row["origin_customer"] and row["origin_time"] for row in found.rows)


def test_collect_puts_them_below_the_other_sources_and_process_takes_them(tmp_path: Path) -> None:
    place = folder(tmp_path)
    events = answered(tmp_path, "Ann", [(text, "bad", {"label": "good"}) for text, _ in sentences(90)[60:]])
    place.run()
    table = place.table()
    assert table.height == 90
    assert table["origin_request"].drop_nulls().sort().to_list() == sorted(events)
    card = next(source for source in place.card()["sources"] if source["kind"] == "ledger")
    assert (card["rows"], card["ledger"]["labelled"], card["location"]) == (30, 30, "ledger: feedback")
    assert set(place.rows().filter(place.rows()["origin"] == "feedback")["label"]) == {"good"}


def test_a_project_without_a_ledger_collects_the_rest(tmp_path: Path) -> None:
    place = folder(tmp_path).run()
    assert place.table().height == 60
    assert place.table()["origin"].null_count() == 60
    assert not (tmp_path / "ledger.sqlite").exists()


def test_new_feedback_counts_at_the_next_refresh_only(tmp_path: Path) -> None:
    place = folder(tmp_path).run()
    answered(tmp_path, "Ann", [("quite another text", "bad", {"label": "good"})])
    assert {item.state for item in place.plan()} == {"fresh"}
    assert place.plan(refresh=True)[0].state == "stale"
    assert place.run(refresh=True).table().height == 61
    assert {item.state for item in place.plan(refresh=True)} == {"fresh"}


def test_an_id_and_a_unit_are_filled(tmp_path: Path) -> None:
    answered(tmp_path, "Ann", [("a fine film", "bad", {"label": "good"}), ("another", "bad", {"label": "good"})])
    found = labelled(tmp_path, {**ROLES, "id": "number"}, unit="shop").rows
    assert len({row["number"] for row in found}) == 2
    assert {row["shop"] for row in found} == {found[0]["origin_customer"]}


def test_whoever_is_erased_is_missing_from_the_next_table_and_found_in_the_old_one(tmp_path: Path) -> None:
    place = folder(tmp_path)
    first = answered(tmp_path, "Ann", [("her first text", "bad", {"label": "good"}),
                                       ("her other text", "bad", {"label": "good"})])  # fmt: skip
    answered(tmp_path, "Bob", [("his only text", "bad", {"label": "good"})])
    old = place.run().table()
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        erase(ledger, "Bob")
        erase(ledger, "Ann", Selection((first[0],)))
    gone = erased_rows(old[CUSTOMER], old[REQUEST], subjects_erased(tmp_path / "ledger.sqlite"))
    assert sorted(old.filter(gone)["text"]) == ["her first text", "his only text"]
    assert place.run(refresh=True).table()["text"].to_list()[60:] == ["her other text"]


def test_a_source_is_one_thing() -> None:
    with pytest.raises(ValueError, match="exactly one of path, url, url_env, package, ledger; found path, ledger"):
        Source(path="data.csv", ledger="feedback")
