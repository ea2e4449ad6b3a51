"""Files of other formats, and things that are not files at all."""

from __future__ import annotations

import io
import json
import os
import sys
import tracemalloc
import zipfile
from pathlib import Path

import polars as pl
import pytest

from breakeven.data.limits import Limits
from breakeven.data.snapshots import Snapshots
from breakeven.data.sources import Source, read
from breakeven.errors import BreakevenError, DataError, EnvironmentFault
from tests.data.folder import Folder, collected

TABLE = pl.DataFrame({"text": ["fine", "poor"], "label": ["good", "bad"]})


def parquet(frame: pl.DataFrame = TABLE) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def excel(frame: pl.DataFrame = TABLE) -> bytes:
    buffer = io.BytesIO()
    frame.write_excel(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [
    parquet(), excel(),
    b'{"text": "fine", "label": "good"}\n{"text": "poor", "label": "bad"}\n',
    b'[{"text": "fine", "label": "good"}, {"text": "poor", "label": "bad"}]',
], ids=["parquet", "excel", "json lines", "json list"])  # fmt: skip
def test_the_format_is_found_by_content_not_by_suffix(tmp_path: Path, content: bytes) -> None:
    assert collected(tmp_path, content, "data.csv").table().rows() == TABLE.rows()


def test_json_numbers_keep_their_digits_and_nested_values_stay_json(tmp_path: Path) -> None:
    lines = [
        {"text": "a", "label": True, "n": 2**70, "x": 1.5, "more": {"k": [1]}},
        {"text": "b", "label": False, "x": 2},
    ]
    folder = collected(tmp_path, "\n".join(json.dumps(line) for line in lines))
    assert folder.table()["n"].to_list() == [str(2**70), None]
    assert folder.table()["x"].to_list() == [1.5, 2.0]
    assert folder.table()["label"].to_list() == ["true", "false"]
    assert folder.table()["more"][0] == '{"k": [1]}'


@pytest.mark.parametrize(("content", "words"), [
    ('{"text": "a", "label": "b"}\n{"text": ' + "[" * 100_000, r"data.csv:2: is nested too deeply"),
    ('{"text": "a"}\n{"text": }\n', r"data.csv:2:10: is not JSON"),
    ('{"text": "a"}\n[1]\n', r"data.csv:2: is a list"),
    ('{"text": "a", "text": "b"}\n', "the key 'text' stands twice"),
    ('{"text": NaN}\n', "NaN is not JSON"),
])  # fmt: skip
def test_broken_json_names_its_line(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        collected(tmp_path, content)


def damaged_footer(data: bytes) -> bytes:
    return data[:-8] + (2**31 - 1).to_bytes(4, "little") + data[-4:]


@pytest.mark.parametrize(("content", "words"), [
    (parquet()[: len(parquet()) // 2], "truncated"),
    (damaged_footer(parquet()), "footer whose length is wrong"),
    (b"PAR1" + os.urandom(300) + (200).to_bytes(4, "little") + b"PAR1", "not readable Parquet"),
    (parquet(TABLE.clear()), "0 rows"),
    (b"PAR1", "truncated"),
    (b"PK\x03\x04 nothing", "not a readable workbook"),
])  # fmt: skip
def test_broken_binary_files_end_in_words(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        collected(tmp_path, content)


def test_a_workbook_that_unpacks_to_a_hundred_times_its_size_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 30_000_000)
    with pytest.raises(DataError, match=r"unpacks to 30 MB, more than 100 times"):
        collected(tmp_path, buffer.getvalue())


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    source = {"path": "data.xlsx", "sheet": "Nowhere"}
    with pytest.raises(DataError, match=r"no sheet 'Nowhere'; expected one of Sheet1"):
        collected(tmp_path, excel(), "data.xlsx", source=source)


def formulas(*values: str | None) -> bytes:
    """A workbook with a formula a row under `n`, and the value kept with each; None: no program ever computed it."""
    import xlsxwriter

    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    book.add_worksheet("Notes").write(0, 0, "=not one of these")
    sheet = book.add_worksheet("Rows & more")
    sheet.write_row(0, 0, ["text", "label", "n"])
    for row, value in enumerate(values, 1):
        sheet.write_row(row, 0, [f"text {row}", "ab"[row % 2]])
        sheet.write_formula(row, 2, "=1+1", None, "" if value is None else value)
    book.close()
    return buffer.getvalue()


def test_formulas_give_the_kept_value_and_are_told(tmp_path: Path) -> None:
    folder = collected(tmp_path, formulas("7", "2"), source={"path": "data.csv", "sheet": "Rows & more"})
    assert folder.table()["n"].to_list() == [7, 2], "the kept value, not what the formula would give"
    assert "2 cells of 'source' hold formulas" in str(folder.findings("collect")["formulas-as-kept"])


def test_formulas_that_were_never_computed_are_counted_and_missing(tmp_path: Path) -> None:
    folder = collected(tmp_path, formulas("7", None, None), source={"path": "data.csv", "sheet": "Rows & more"})
    assert folder.table()["n"].to_list() == [7, None, None]
    assert "2 of 3 formula cells" in str(folder.findings("collect")["formulas-without-value"])
    assert folder.card()["sources"][0]["formulas"] == {"cells": 3, "without_value": 2}


def test_a_workbook_without_formulas_says_nothing_about_them(tmp_path: Path) -> None:
    assert collected(tmp_path, excel()).findings("collect") == {}


def test_a_folder_of_texts_gives_label_and_id(tmp_path: Path) -> None:
    for label, name, text in (("good", "1", "很好"), ("bad", "2", "poor"), ("good", "3", "fine")):
        (tmp_path / "texts" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / label / f"{name}.txt").write_text(text, encoding="utf-8")
    folder = Folder(tmp_path, {"source": "texts"}).run("collect")
    assert sorted(folder.table().rows()) == [("bad/2.txt", "bad", "poor"), ("good/1.txt", "good", "很好"),
                                             ("good/3.txt", "good", "fine")]  # fmt: skip
    assert folder.plan()[0].state == "fresh"
    (tmp_path / "texts" / "bad" / "1.txt").write_text("new", encoding="utf-8")
    assert folder.plan()[0].state == "stale"


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(("make", "words", "code"), [
    (lambda path: None, "there is no such file", 3),
    (os.mkfifo, "is a pipe", 3),
    (lambda path: path.symlink_to("/dev/zero"), "is a character device", 3),
    (lambda path: path.symlink_to("nowhere"), "is a link to nowhere, which does not exist", 3),
    (make_loop, "leads back to itself", 3),
    (lambda path: path.mkdir(), "0 rows: no <label>/<name>.txt", 3),
])  # fmt: skip
@pytest.mark.timeout(5)
def test_what_is_not_a_file_is_named_and_never_opened(tmp_path: Path, make, words: str, code: int) -> None:
    make(tmp_path / "data.csv")
    with pytest.raises(BreakevenError, match=words) as caught:
        Folder(tmp_path, {"source": "data.csv"}).run("collect")
    assert caught.value.exit_code == code


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_the_environments_fault(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\na,b\n")
    (tmp_path / "data.csv").chmod(0)
    with pytest.raises(EnvironmentFault, match=r"cannot be read: Permission denied"):
        Folder(tmp_path, {"source": "data.csv"}).run("collect")


def test_a_name_beyond_the_systems_limit_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"longer name than this system takes"):
        Folder(tmp_path, {"source": "x" * 300}).run("collect")


@pytest.mark.parametrize("name", ["with space.csv", "数据表.csv", "emoji 🎈.csv", "$HOME.csv"])
def test_unusual_names_work(tmp_path: Path, name: str) -> None:
    assert collected(tmp_path, "text,label\na,b\n", name).table().height == 1


def test_a_file_of_two_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "data.csv").open("wb") as stream:
        stream.truncate(2_000_000_000)
    source = Source(path="data.csv")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"is larger than 1000 MB"):
            read("source", source, tmp_path, Limits(), snapshots=Snapshots(tmp_path), keep=[])
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_pinned_hash_is_checked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the hash .*; expected 00ff"):
        collected(tmp_path, "text,label\na,b\n", source={"path": "data.csv", "sha256": "00ff"})
