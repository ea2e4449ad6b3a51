"""Delimited text: what is detected, and what a lenient reader would have swallowed."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from breakeven.errors import DataError
from tests.data.folder import collected

GOOD = "text,label\nfine,good\npoor,bad\n"
CHINESE = "text,label\n这本书很好看,好\n质量太差了不要买,差\n"


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found_and_stated(tmp_path: Path, delimiter: str) -> None:
    folder = collected(tmp_path, GOOD.replace(",", delimiter))
    assert folder.table().rows() == [("fine", "good"), ("poor", "bad")]
    assert folder.card()["sources"][0]["delimiter"] == delimiter


def test_commas_inside_quotes_do_not_mislead_the_detection(tmp_path: Path) -> None:
    folder = collected(tmp_path, 'text;label\n"a, b, c";good\n"d, ""e"", f";bad\n')
    assert folder.table()["text"].to_list() == ["a, b, c", 'd, "e", f']


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
def test_the_encoding_is_found_and_stated(tmp_path: Path, encoding: str) -> None:
    content = (CHINESE if not encoding.startswith("utf-16-") else GOOD).encode(encoding)
    folder = collected(tmp_path, content)
    assert folder.table().height == 2
    assert folder.card()["sources"][0]["encoding"] == encoding
    if encoding == "gb18030":
        assert folder.table()["text"][0] == "这本书很好看"


def test_latin1_is_taken_only_by_statement(tmp_path: Path) -> None:
    content = "text,label\ncafé crème,good\nnaïve,bad\n".encode("latin-1")
    with pytest.raises(DataError, match=r"data.csv:2: byte 0xe9 at offset 14 fits none .*utf-8, utf-16, gb18030"):
        collected(tmp_path, content)
    folder = collected(tmp_path, content, source={"path": "data.csv", "encoding": "latin-1"})
    assert folder.table()["text"].to_list() == ["café crème", "naïve"]


def test_latin1_that_happens_to_decode_as_gb18030_is_not_taken_for_chinese(tmp_path: Path) -> None:
    content = "text,label\nGröße,gut\n".encode("latin-1")
    assert content.decode("gb18030")
    with pytest.raises(DataError, match=r"fits none of the encodings tried"):
        collected(tmp_path, content)


def test_a_stated_encoding_that_does_not_fit_names_the_offset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"byte 0x.. at offset \d+ is not utf-8"):
        collected(tmp_path, CHINESE.encode("gb18030"), source={"path": "data.csv", "encoding": "utf-8"})


@pytest.mark.parametrize(("content", "words"), [
    (b"", "0 rows: the file is empty"),
    (b"text,label\n", "0 rows: a header and no rows"),
    (b"\n\n", "0 rows"),
    (b"text,text\na,b\n", "data.csv:1, field text: the name stands twice; column 2"),
    (b"text,Text\na,b\n", "differs from 'text' only in case or width"),
    ("text,ｔｅｘｔ\na,b\n".encode(), "differs from 'text' only in case or width"),
    (b"text,,label\na,b,c\n", "column 2 has no name"),
    (b"text,_id\na,b\n", "used by this program"),
    (b"text,label\na,b\nc,d,e\n", "data.csv:3: has 3 fields; expected 2"),
    (b'text,label\na,b\n"c,d\ne,f\n', "data.csv:3: a quote .* opens here and never closes"),
    (b'text,label\na,b\n"c,d\ne,"f"\n', "data.csv:3: a quote"),
    (b'text,label\na,b\nc,"d\ne,f\ng,h\n', "data.csv:3: a quote .* never closes"),
    (b"text,label\na\x00b,c\n", "NUL byte at 12"),
    (b"\x1f\x8b\x08rest", "is compressed"),
])  # fmt: skip
def test_broken_tables_end_with_place_and_reason(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        collected(tmp_path, content)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "artifacts" / "collect").exists()


def test_a_header_of_a_million_columns_is_refused_early(tmp_path: Path) -> None:
    header = ",".join(f"c{number}" for number in range(1_000_000)) + "\n1\n"
    with pytest.raises(DataError, match=r"data.csv:1: has \d+ columns or more; expected at most 2000"):
        collected(tmp_path, header)


def test_one_huge_cell_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.csv:3: holds a cell or line larger than 0.1 MB"):
        collected(tmp_path, b"text,label\na,b\n" + b"x" * 300_000 + b",b\n", max_cell_mb=0.1)


def test_a_source_beyond_the_memory_budget_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"would take about 8 MB of memory, the budget is 5 MB"):
        collected(tmp_path, GOOD + "x,y\n" * 500_000, memory_mb=5)


def test_numbers_that_would_lose_digits_stay_text_and_are_warned_of(tmp_path: Path) -> None:
    content = ("text,label,zip,big,exact,plain,rate\n" "a,x,0012,9223372036854775808,9007199254740993.5,7,0.5\n"
               "b,y,1200,1,2.5,8,1e3\n")  # fmt: skip
    folder = collected(tmp_path, content)
    assert folder.table()["zip"].to_list() == ["0012", "1200"]
    assert folder.table()["big"].to_list() == ["9223372036854775808", "1"]
    assert folder.table()["exact"].to_list() == ["9007199254740993.5", "2.5"]
    assert folder.table()["plain"].dtype == pl.Int64
    assert folder.table()["rate"].to_list() == [0.5, 1000.0]
    assert {"kept-as-text-zeros", "kept-as-text-large", "kept-as-text-precision"} <= set(folder.findings("collect"))


def test_the_first_number_that_a_float_rounds_stays_text(tmp_path: Path) -> None:
    folder = collected(tmp_path, "text,label,n\na,x,9007199254740993\nb,y,0.5\n")
    assert folder.table()["n"].to_list() == ["9007199254740993", "0.5"]


def test_labels_and_ids_stay_text_whatever_they_look_like(tmp_path: Path) -> None:
    folder = collected(
        tmp_path, "text,label,key\n1,0,007\n2,1,8\n", fields={"inputs": "text", "target": "label", "id": "key"}
    )
    assert folder.table().rows() == [("1", "0", "007"), ("2", "1", "8")]


def test_missing_words_in_a_column_of_numbers_are_missing(tmp_path: Path) -> None:
    folder = collected(tmp_path, "text,label,n\na,x,1\nb,y,NA\nc,x,\n")
    assert folder.table()["n"].to_list() == [1, None, None]


def test_a_quote_inside_a_plain_field_is_text(tmp_path: Path) -> None:
    folder = collected(tmp_path, 'text,label\na 5" screen,good\n"quoted, well",bad\n')
    assert folder.table()["text"].to_list() == ['a 5" screen', "quoted, well"]


def test_a_file_without_header_and_with_plain_quotes(tmp_path: Path) -> None:
    source = {"path": "data.csv", "header": False, "columns": ["text", "label"], "quote": None, "delimiter": "\t"}
    folder = collected(tmp_path, 'say "hi\tgood\n"no"\tbad\n', source=source)
    assert folder.table().rows() == [('say "hi', "good"), ('"no"', "bad")]


def test_the_card_states_what_was_found(tmp_path: Path) -> None:
    card = collected(tmp_path, GOOD + "mail bob@example.com,good\n", licence="CC0").card()
    text = card["columns"][0]
    assert (card["rows"], text["kind"], text["distinct"], card["columns"][1]["kind"]) == (3, "text", 3, "category")
    assert text["examples"][2] == "mail [mail]"
    assert card["sources"][0]["licence"] == "CC0"
    assert len(card["sources"][0]["sha256"]) == 64
