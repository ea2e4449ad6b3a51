"""Labels as people write them: one class in several spellings, no label in words, targets that are no labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.data import labels
from breakeven.errors import ConfigError, DataError
from tests.data.folder import Folder, collected, csv_of, sentences

FIELDS = {"inputs": ["text"], "target": "label"}


def processed(root: Path, rows: list[tuple[str, str]], **process: Any) -> Folder:
    (root / "data.csv").write_text(csv_of(rows), encoding="utf-8")
    return Folder(root, {"source": "data.csv", "fields": FIELDS}, process).run()


def test_one_class_in_several_spellings_is_named_with_the_setting_that_makes_it_one(tmp_path: Path) -> None:
    rows = [(text, "Good" if row % 10 == 0 else label) for row, (text, label) in enumerate(sentences(200))]
    finding = processed(tmp_path, rows).findings("process")["labels-alike"]
    assert finding.level == "problem" and finding.fields["rows"] == 20
    assert "'good' = 'Good'" in str(finding)
    assert 'collect.derive: {label: "lower(trim(label))"}' in str(finding)
    mended = {"source": "data.csv", "fields": FIELDS, "derive": {"label": "lower(trim(label))"}}
    again = Folder(tmp_path, mended).run()
    assert "labels-alike" not in again.findings("process")
    assert set(again.report()["classes"]["train"]) == {"good", "bad"}


def test_a_class_of_one_row_that_is_a_spelling_says_so_where_it_stops(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"several spellings \('good' = 'good '\)") as caught:
        processed(tmp_path, [*sentences(50), ("quite alone", '"good "')])
    assert "a class has a single row: 'good '" in str(caught.value), "its ends are seen"


def test_a_class_that_is_called_missing_is_named_with_the_condition(tmp_path: Path) -> None:
    rows = [(text, "N/A" if row % 9 == 0 else label) for row, (text, label) in enumerate(sentences(200))]
    finding = processed(tmp_path, rows).findings("process")["labels-missing"]
    assert "label <> 'N/A'" in str(finding) and finding.fields["rows"] == 23


def test_clean_labels_are_not_spoken_of(tmp_path: Path) -> None:
    found = processed(tmp_path, sentences(200)).findings("process")
    assert not {"labels-alike", "labels-missing", "texts-are-numbers"} & set(found)


@pytest.mark.parametrize(("target", "words"), [
    ("text {row} is no label", "has 200 different values in 200 rows, such as text 0 is no label"),
    ("{row}.25", "200 different numbers in 200 rows, such as 0.25"),
])  # fmt: skip
def test_a_target_that_is_no_label_is_refused_and_other_columns_are_named(
    tmp_path: Path, target: str, words: str
) -> None:
    lines = ["text,label,queue", *(f"{text},{target.format(row=row)},{label}"
                                   for row, (text, label) in enumerate(sentences(200)))]  # fmt: skip
    (tmp_path / "data.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=words) as caught:
        Folder(tmp_path, {"source": "data.csv", "fields": FIELDS}).run()
    assert caught.value.exit_code == 3 and "stand in: queue" in str(caught.value)


def test_the_target_among_the_inputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'label' is the target and one of the inputs as well") as caught:
        collected(tmp_path, csv_of(sentences(50)), fields={"inputs": ["text", "label"], "target": "label"})
    assert caught.value.exit_code == 2


def test_numbers_as_the_only_texts_are_told(tmp_path: Path) -> None:
    lines = ["text,label", *(f"{row}.{row % 7},{'ab'[row % 2]}" for row in range(200))]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    found = Folder(tmp_path, {"source": "data.csv", "fields": FIELDS}).run().findings("process")
    assert found["texts-are-numbers"].level == "warning"


def test_the_time_that_cannot_be_read_is_shown_and_counted(tmp_path: Path) -> None:
    lines = ["text,label,day", *(f"{text},{label},{'10/6/25' if row == 7 else '2025-08-12'}"
                                 for row, (text, label) in enumerate(sentences(60)))]  # fmt: skip
    (tmp_path / "data.csv").write_text("\n".join(lines))
    there = Folder(
        tmp_path, {"source": "data.csv", "fields": {**FIELDS, "time": "day"}}, {"split": {"kind": "temporal"}}
    )
    with pytest.raises(DataError, match=r"1 of 60 values .* the first of them '10/6/25'"):
        there.run()


def test_nothing_left_says_which_column_to_look_at(tmp_path: Path) -> None:
    rows = [("the same", label) for _, label in sentences(50)]
    with pytest.raises(DataError, match=r"whether collect\.fields\.inputs names the right columns"):
        processed(tmp_path, rows)


def test_all_classes_with_few_test_rows_stand_in_one_finding() -> None:
    totals = {f"class {number}": 20 + number for number in range(12)}
    found = labels.too_few_tested(totals, {"class 3": 5, "class 4": 97}, 0.15)
    assert found is not None and found.level == "problem"
    assert found.fields["count"] == 11 and "class 3 5" not in found.fields["classes"], "the emptiest first, eight named"
    assert str(found).count("…") == 1 and "97 of a class" in str(found)
    assert labels.too_few_tested({"a": 700}, {"a": 97}, 0.15) is None


@given(st.dictionaries(st.text(max_size=6), st.integers(1, 50), max_size=12))
def test_every_label_of_a_group_folds_alike_and_none_is_in_two(counts: dict[str, int]) -> None:
    groups = labels.alike(counts)
    assert all(len({labels.folded(label) for label in group}) == 1 < len(group) for group in groups)
    assert len({label for group in groups for label in group}) == sum(map(len, groups))
    for label in counts:
        assert "\n" not in labels.shown(label) and len(labels.shown(label)) <= 42
