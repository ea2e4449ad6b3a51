"""Numbers read as numbers at once: never another table than the one that reading all as text and looking gives."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.data import numbers
from breakeven.data.columns import typed
from breakeven.data.delimited import read_delimited
from breakeven.data.limits import Limits
from tests.data.folder import collected

CELLS = st.sampled_from([
    "0", "1", "-1", "+5", "12", "007", "-08", "0.5", "00.5", " 3", "4 ", "1e3", "-0", "", "NA", "nan", "inf", "x",
    "9007199254740993", "9007199254740993.0", "9223372036854775807", "9223372036854775808", '"7"', '" 08"', '"a,0b"',
])  # fmt: skip


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12), st.integers(1, 6))
def test_the_short_way_gives_the_table_of_the_long_way(rows: list[tuple[str, ...]], sampled: int) -> None:
    data = ("a,b,c\n" + "".join(",".join(row) + ",\n" for row in rows)).replace("a,b,c\n", "a,b,c,last\n").encode()
    keep = ["c"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "_SAMPLE", sampled)
        short, found = typed(read_delimited(data, "x.csv", Limits(), keep=keep, delimiter=",")[0], keep=keep)
    text = pl.read_csv(data, infer_schema=False)
    long, expected = typed(text, keep=keep)
    assert short.equals(long), (short, long)
    assert [str(finding) for finding in found] == [str(finding) for finding in expected]


@given(st.text('0015-+., a\n"\t;|', max_size=60), st.sampled_from(",;|\t"), st.integers(4, 40))
def test_a_leading_zero_is_found_wherever_a_field_may_begin(text: str, delimiter: str, block: int) -> None:
    data = f"ab\n{text}".encode()
    pattern = rb'(?:^|[\n\r\t "+' + re.escape(delimiter).encode() + rb"])[+-]?0[0-9]"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbers, "_STEP", block)
        assert numbers.zeros_lead(data, delimiter, '"') == bool(re.search(pattern, data))


def test_a_leading_zero_far_down_keeps_its_column_as_text_and_no_other(tmp_path: Path) -> None:
    rows = "".join(f"words {row},a,{row},{row}.5\n" for row in range(1000))
    folder = collected(tmp_path, "text,label,code,share\n" + rows + "last,b,0012,2.5\n")
    table = folder.table()
    assert (table["code"][-1], table["code"][0], table["share"].dtype) == ("0012", "0", pl.Float64)
    assert "kept-as-text-zeros" in folder.findings("collect")


def test_a_leading_zero_behind_a_space_is_kept(tmp_path: Path) -> None:
    folder = collected(tmp_path, "text,label,code\na,x, 0012\nb,y, 7\n")
    assert folder.table()["code"].to_list() == [" 0012", " 7"]
