"""Files of other formats, and things that are not files at all."""

from __future__ import annotations

import io
import json
import os
import subprocess
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


def row_groups(claimed: int) -> bytes:
    """A footer that promises so many row groups: the list's length in it, rewritten as the format writes it."""
    data = parquet(pl.DataFrame({"text": ["a"] * 40, "label": ["b"] * 40}))
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8]
    # Field 4 of the file's metadata, a list of structures: 0x19, then its size and type; one row group stands as 0x1c.
    place = footer.index(b"\x19\x1c\x19")
    size = b""
    while claimed:
        claimed, low = claimed >> 7, claimed & 0x7F
        size += bytes([low | (0x80 if claimed else 0)])
    lying = footer[:place] + b"\x19\xfc" + size + footer[place + 2 :]
    return data[: -8 - length] + lying + len(lying).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize("claimed", [20, 100_000, 2**31 - 1])
def test_an_absurd_count_of_row_groups_is_refused(tmp_path: Path, claimed: int) -> None:
    with pytest.raises(DataError, match=r"not readable Parquet"):
        collected(tmp_path, row_groups(claimed))


@pytest.mark.slow
def test_no_footer_crashes_the_reader(tmp_path: Path) -> None:
    """In a process of its own: a reader that aborts would take the tests with it."""
    done = subprocess.run(
        [sys.executable, "-c", _FUZZ, str(tmp_path)], capture_output=True, text=True, timeout=240,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


_FUZZ = """
import random, sys
from pathlib import Path
from breakeven.data.limits import Limits
from breakeven.data.structured import read_parquet
from breakeven.errors import DataError
from tests.data.test_files import parquet
whole, draw, refused = parquet(), random.Random(1), 0
length = int.from_bytes(whole[-8:-4], "little")
for _ in range(1500):
    data = bytearray(whole)
    for _ in range(draw.randint(1, 4)):
        data[draw.randrange(len(data) - 8 - length, len(data) - 8)] = draw.randrange(256)
    try:
        read_parquet(bytes(data), "x", Limits(memory_mb=200))
    except DataError:
        refused += 1
assert refused > 300, refused
"""


def test_macros_and_links_of_a_workbook_are_passed_over(tmp_path: Path) -> None:
    buffer = io.BytesIO(formulas("7", "8"))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"a macro that nobody runs")
        link = '<externalLink xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"/>'
        archive.writestr("xl/externalLinks/externalLink1.xml", link)
        target = 'Target="http://127.0.0.1:9/secret.xlsx" TargetMode="External"'
        archive.writestr(
            "xl/externalLinks/_rels/externalLink1.xml.rels", f"<Relationships><R {target}/></Relationships>"
        )
    folder = collected(tmp_path, buffer.getvalue(), source={"path": "data.csv", "sheet": "Rows & more"})
    assert folder.table()["n"].to_list() == [7, 8]


def test_a_workbook_that_declares_entities_is_not_expanded(tmp_path: Path) -> None:
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "'
        + b"x" * 1000
        + b'"><!ENTITY b "'
        + b"&a;" * 1000
        + b'">]><worksheet>&b;</worksheet>'
    )
    source, buffer = zipfile.ZipFile(io.BytesIO(formulas("7"))), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, bomb if name.endswith("sheet2.xml") else source.read(name))
    with pytest.raises(DataError, match=r"not a readable workbook|0 rows"):
        collected(tmp_path, buffer.getvalue(), source={"path": "data.csv", "sheet": "Rows & more"})


def test_a_workbook_that_unpacks_to_a_hundred_times_its_size_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 30_000_000)
    with pytest.raises(DataError, match=r"unpacks to more than 10 MB; expected at most 100 times its size"):
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
