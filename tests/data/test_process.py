"""process on whole tables: what is dropped adds up, sides are stable, and what is missing is said."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from breakeven.data.cases import load_cases
from breakeven.errors import DataError
from breakeven.stages.process import Settings, Split
from breakeven.tasks import find
from breakeven.transforms import Chain
from tests.data.folder import FIELDS, Folder, csv_of, hash_words, sentences


def processed(root: Path, content: str, fields: dict[str, Any] | None = None, **process: Any) -> Folder:
    (root / "data.csv").write_text(content, encoding="utf-8")
    return Folder(root, {"source": "data.csv", "fields": fields or FIELDS}, process).run()


def sides(folder: Folder) -> dict[str, str]:
    return dict(folder.rows().select("_id", "_split").iter_rows())


def test_everything_dropped_is_counted_and_adds_up(tmp_path: Path) -> None:
    rows = sentences(300)
    near = rows[0][0].replace(rows[0][0][:3], "qqq", 1)
    extra = [
        rows[0],
        rows[1],
        (near, "good"),
        ("", "good"),
        ("no label", ""),
        ("both sides", "good"),
        ("Both  sides", "bad"),
    ]
    report = processed(tmp_path, csv_of(rows + extra)).report()
    assert report["dropped"] == {"missing_target": 1, "empty_input": 1, "conflicting_label": 2, "exact_duplicate": 2,
                                 "near_duplicate": 1}  # fmt: skip
    assert report["rows_in"] == 307 == sum(report["dropped"].values()) + report["rows_out"]
    assert sum(report["splits"].values()) == report["rows_out"] == 300
    assert sum(sum(side.values()) for side in report["classes"].values()) == 300
    assert (report["duplicates"]["exact"], report["duplicates"]["near"], report["conflicts"]) == (3, 1, 2)


def test_the_share_of_repeats_is_told_whether_they_are_dropped_or_not(tmp_path: Path) -> None:
    rows = sentences(100)
    near = rows[0][0].replace(rows[0][0][:3], "qqq", 1)
    for choice in ("near", "none"):
        folder = processed(tmp_path, csv_of([*rows, rows[1], rows[2], (near, rows[0][1])]), deduplicate=choice)
        told = str(folder.findings("process")["texts-repeat"])
        assert "2 rows repeat another text exactly (1.9%), 1 more nearly (1.0%)" in told


@pytest.mark.parametrize(("deduplicate", "left"), [("near", 300), ("exact", 301), ("none", 303)])
def test_repeats_are_dropped_as_asked_and_never_on_both_sides(tmp_path: Path, deduplicate: str, left: int) -> None:
    rows = sentences(300)
    near = rows[0][0].replace(rows[0][0][:3], "qqq", 1)
    folder = processed(tmp_path, csv_of([*rows, rows[0], rows[1], (near, rows[0][1])]), deduplicate=deduplicate)
    assert folder.report()["rows_out"] == left
    assert folder.report()["duplicates"]["across_split"] == 0
    by_text = dict(folder.rows().select("text", "_split").iter_rows())
    assert by_text.get(near, by_text[rows[0][0]]) == by_text[rows[0][0]]


def test_near_repeats_stay_together_under_ids_of_their_own(tmp_path: Path) -> None:
    texts = [text for text, _ in sentences(60)]
    pairs = [(text, text.replace(text[:3], "qqq", 1)) for text in texts]
    lines = [f"{row},{text},{'ab'[row % 2]}\n" for row, text in enumerate(text for pair in pairs for text in pair)]
    content = "key,text,label\n" + "".join(lines)
    folder = processed(tmp_path, content, {**FIELDS, "id": "key"}, deduplicate="none")
    by_id = sides(folder)
    assert all(by_id[str(2 * pair)] == by_id[str(2 * pair + 1)] for pair in range(60))
    assert folder.report()["duplicates"] == {**folder.report()["duplicates"], "near": 60, "across_split": 0}


def test_no_row_changes_side_as_data_grows(tmp_path: Path) -> None:
    rows = sentences(600)
    before = sides(processed(tmp_path, csv_of(rows[:400])))
    after = sides(processed(tmp_path, csv_of(rows)))
    assert all(after[key] == side for key, side in before.items())
    assert len(after) == 600


def test_with_an_id_the_side_hangs_on_the_id_and_not_on_the_text(tmp_path: Path) -> None:
    rows = [f"{row},{hash_words(row)},{'ab'[row % 2]}\n" for row in range(200)]
    fields = {**FIELDS, "id": "key"}
    before = sides(processed(tmp_path, "key,text,label\n" + "".join(rows), fields))
    edited = [line.replace(hash_words(row), hash_words(row + 1000)) for row, line in enumerate(rows)]
    assert sides(processed(tmp_path, "key,text,label\n" + "".join(edited), fields)) == before
    assert set(before) == {str(row) for row in range(200)}
    with pytest.raises(DataError, match=r"field key: the id '7' stands on several rows"):
        processed(tmp_path, "key,text,label\n" + "".join(rows) + f"7,{hash_words(5000)},a\n", fields)


def test_groups_stay_whole_and_are_what_is_resampled(tmp_path: Path) -> None:
    lines = "".join(f"{text},{label},user{row % 40}\n" for row, (text, label) in enumerate(sentences(400)))
    folder = processed(tmp_path, "text,label,user\n" + lines, split={"by": "user", "kind": "grouped"})
    assert folder.rows().group_by("user").agg(pl.col("_split").n_unique())["_split"].to_list() == [1] * 40
    assert folder.rows()["_unit"].to_list() == folder.rows()["user"].to_list()


def test_stratified_shares_are_exact(tmp_path: Path) -> None:
    rows = sentences(200, ("a", "a", "a", "b"))
    report = processed(tmp_path, csv_of(rows), split={"kind": "stratified", "validation": 0.2, "test": 0.1}).report()
    assert report["classes"]["test"] == {"a": 15, "b": 5}
    assert report["classes"]["validation"] == {"a": 30, "b": 10}


def test_a_split_by_time_tests_on_the_newest(tmp_path: Path) -> None:
    lines = "".join(f"{text},{label},2024-01-{row % 28 + 1:02d}\n" for row, (text, label) in enumerate(sentences(280)))
    fields = {**FIELDS, "time": "day"}
    rows = processed(tmp_path, "text,label,day\n" + lines, fields, split={"kind": "temporal"}).rows()
    by_side = {side: set(rows.filter(pl.col("_split") == side)["day"]) for side in ("train", "validation", "test")}
    assert max(by_side["train"]) < min(by_side["validation"]) <= max(by_side["validation"]) < min(by_side["test"])
    with pytest.raises(DataError, match=r"field day: 10 of 280 values are not a date .* 'Monday'"):
        processed(
            tmp_path, "text,label,day\n" + lines.replace("2024-01-01", "Monday"), fields, split={"kind": "temporal"}
        )
    with pytest.raises(DataError, match=r"a split by time needs collect.fields.time"):
        processed(tmp_path, "text,label,day\n" + lines, split={"kind": "temporal"})


@pytest.mark.parametrize(("rows", "words"), [
    ([(text, "good") for text, _ in sentences(50)], r"every row has the same class \(good: 50\)"),
    ([*sentences(50), ("alone here", "odd")], r"a class has a single row: odd \(good: 25, bad: 25, odd: 1\)"),
    ([(text, "") for text, _ in sentences(50)], "none of 50 rows has a label"),
    ([("", label) for _, label in sentences(50)], "0 rows are left after dropping"),
    (sentences(4), "4 rows are too few for a split"),
])  # fmt: skip
def test_too_little_to_learn_from_ends_with_the_counts(tmp_path: Path, rows: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        processed(tmp_path, csv_of(rows))
    assert caught.value.exit_code == 3


def test_a_class_of_one_can_be_dropped_and_is_counted(tmp_path: Path) -> None:
    report = processed(tmp_path, csv_of([*sentences(100), ("alone here", "odd")]), rare_classes="drop").report()
    assert report["dropped"] == {"rare_class": 1}


def test_two_hundred_rows_work_and_say_how_many_are_missing(tmp_path: Path) -> None:
    folder = processed(tmp_path, csv_of(sentences(200)))
    finding = folder.findings("process")["test-rows-few"]
    assert finding.fields["needed"] == 97
    assert int(finding.fields["rows"].replace(",", "")) == pytest.approx(97 / 0.15 / 0.5, abs=1)
    assert "2 of 2 classes have few test rows" in str(finding)


def test_a_gb18030_table_of_twelve_columns_and_five_classes_works(tmp_path: Path) -> None:
    labels = ("物流", "质量", "价格", "服务", "其他")
    names = ["订单号", "正文", "类别", "渠道", *[f"列{number}" for number in range(8)]]
    lines = [",".join([f"0{row}", f"{labels[row % 5]}问题 {hash_words(row)}", labels[row % 5], "网店", *"12345678"])
             for row in range(500)]  # fmt: skip
    (tmp_path / "data.csv").write_bytes("\n".join([",".join(names), *lines]).encode("gb18030"))
    fields = {"inputs": "正文", "target": "类别", "slices": ["渠道"], "id": "订单号"}
    folder = Folder(tmp_path, {"source": "data.csv", "fields": fields}).run()
    assert folder.card()["sources"][0]["encoding"] == "gb18030"
    assert sorted(folder.report()["classes"]["train"]) == sorted(labels)
    assert folder.report()["columns"]["constant"] == ["渠道", *[f"列{number}" for number in range(8)]]
    assert "column-constant" in folder.findings("process")
    cases = load_cases(tmp_path / "artifacts/process", find("text-classification"), fields, "test")
    assert cases.ids[0].startswith("0")


def test_personal_data_is_found_and_masked_by_the_transform_not_in_the_rows(tmp_path: Path) -> None:
    rows = [(f"{text} call 13812345678 or a{row}@b.cn", label) for row, (text, label) in enumerate(sentences(120))]
    folder = processed(tmp_path, csv_of(rows))
    assert folder.report()["personal_data"] == {"mail": 120, "phone": 120}
    assert "13812345678" in folder.rows()["text"][0]
    task = find("text-classification")
    chain = Chain.read(tmp_path / "artifacts/process/transforms.json")
    cases = load_cases(tmp_path / "artifacts/process", task, FIELDS, "train")
    assert all("[phone]" in text and "138" not in text for text in chain.apply(task, cases.inputs))
    assert "masked in rows and requests" in str(folder.findings("process")["personal-data"])


@pytest.mark.parametrize(("choice", "rows", "chain"), [("drop", 99, ["normalise"]), ("report", 100, ["normalise"])])
def test_rows_with_personal_data_can_be_dropped_or_left(
    tmp_path: Path, choice: str, rows: int, chain: list[str]
) -> None:
    content = csv_of([*sentences(99), ("write to bob@example.com please", "good")])
    folder = processed(tmp_path, content, personal_data=choice)
    assert folder.report()["rows_out"] == rows
    kept = json.loads((tmp_path / "artifacts/process/transforms.json").read_text())["chain"]
    assert [link["name"] for link in kept] == chain


def test_cases_are_the_rows_of_one_side_in_order(tmp_path: Path) -> None:
    lines = "".join(f"{text},{label},{'xy'[row % 2]},{row}.5\n" for row, (text, label) in enumerate(sentences(100)))
    fields = {**FIELDS, "slices": ["channel"], "columns": ["amount"]}
    folder = processed(tmp_path, "text,label,channel,amount\n" + lines, fields)
    task, place = find("text-classification"), tmp_path / "artifacts/process"
    parts = {side: load_cases(place, task, fields, side) for side in ("train", "validation", "test")}  # type: ignore[arg-type]
    assert sum(map(len, parts.values())) == 100
    rows = folder.rows().filter(pl.col("_split") == "test")
    assert parts["test"].inputs == rows["text"].to_list()
    assert parts["test"].targets == rows["label"].to_list()
    assert parts["test"].slices == {"channel": rows["channel"].to_list()}
    assert parts["test"].columns == {"amount": rows["amount"].to_list()}
    assert parts["test"].ids == parts["test"].units == rows["_id"].to_list()


def test_a_new_payoff_column_or_target_makes_the_step_stale(tmp_path: Path) -> None:
    folder = processed(tmp_path, "text,label,other\n" + "".join(f"{t},{lab},{lab}\n" for t, lab in sentences(60)))
    assert [item.state for item in folder.plan()] == ["fresh", "fresh"]
    folder.process = {"deduplicate": "exact"}
    planned = folder.plan()[1]
    assert (planned.state, planned.why) == ("stale", "process.deduplicate: near -> exact")


@pytest.mark.parametrize(("settings", "words"), [
    ({"validation": 0.5, "test": 0.5}, "must leave rows to train on"), ({"kind": "grouped"}, "needs by"),
    ({"kind": "temporal", "by": "user"}, "goes by time"), ({"test": 0}, "greater than 0"),
])  # fmt: skip
def test_split_settings_say_what_is_wrong(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Split(**settings)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not permitted"):
        Settings(dedupe="near")  # type: ignore[call-arg]


def test_a_field_to_split_by_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"field user: there is no such column"):
        processed(tmp_path, csv_of(sentences(50)), split={"by": "user"})


def test_a_class_that_only_the_test_side_shows_is_dropped_and_named(tmp_path: Path) -> None:
    rows = sentences(100)
    taken = Counter(sides(processed(tmp_path, csv_of(rows))).values())
    assert taken["test"] > 1
    on_test = [text for text, side in processed(tmp_path, csv_of(rows)).rows().select("text", "_split").iter_rows()
               if side == "test"][:2]  # fmt: skip
    relabelled = [(text, "odd" if text in on_test else label) for text, label in rows]
    folder = processed(tmp_path, csv_of(relabelled))
    assert folder.report()["dropped"] == {"class_not_in_train": 2}
    assert "no row of odd is on the training side" in str(folder.findings("process")["class-not-trained"])
