"""One customer who gives most of the new rows is found, whoever else is in the table."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from breakeven.data.ledger_source import CUSTOMER, customer_hash
from breakeven.refresh.comparison import Terms, judged, refusals
from breakeven.refresh.rows import Parts
from breakeven.refresh.voices import Voice, loudest, of_others
from tests.refresh.test_comparison import COUNT, answers, bench

ANN, BOB = customer_hash("cus_ann"), customer_hash("cus_bob")


def table(place: Path, owners: list[str | None]) -> Path:
    ids = [str(number) for number in range(len(owners))]
    pl.DataFrame({"_id": ids, CUSTOMER: owners}, schema={"_id": pl.String, CUSTOMER: pl.String}).write_parquet(place)
    return place


@pytest.mark.parametrize(("owners", "known", "found"), [
    ([ANN] * 11 + [None] * 10, 0, Voice(ANN, 11, 21)),
    ([ANN] * 10 + [None] * 10, 0, None),
    ([ANN] * 9, 0, None),
    ([None] * 30, 0, None),
    ([], 0, None),
    ([None] * 50 + [BOB] * 20 + [ANN] * 15, 50, Voice(BOB, 20, 35)),
    ([BOB] * 50 + [ANN] * 15, 50, Voice(ANN, 15, 15)),
])  # fmt: skip
def test_only_new_rows_count_and_only_more_than_half_of_them(
    tmp_path: Path, owners: list[str | None], known: int, found: Voice | None
) -> None:
    assert loudest(table(tmp_path / "rows.parquet", owners), {str(number): "train" for number in range(known)}) == found


def test_a_table_without_origins_has_no_voices(tmp_path: Path) -> None:
    pl.DataFrame({"_id": ["1"]}).write_parquet(tmp_path / "rows.parquet")
    assert loudest(tmp_path / "rows.parquet", {}) is None


def test_the_finding_names_the_customer_where_the_ledger_knows_them(tmp_path: Path) -> None:
    voice = Voice(ANN, 30, 40)
    assert "30 of the 40 new rows (75%) are customer cus_ann's" in str(voice.finding(["cus_bob", "cus_ann"]))
    assert voice.finding([]).fields["customer"] == ANN


def test_rows_of_others_are_kept_in_order(tmp_path: Path) -> None:
    path = table(tmp_path / "rows.parquet", [ANN, BOB, None, ANN, BOB])
    assert of_others(path, ["4", "3", "2", "1", "0"], [0, 1, 2, 4], Voice(ANN, 2, 5)) == [0, 2]


def test_what_others_say_convicts_and_what_one_customer_says_of_his_own_rows_does_not() -> None:
    mine, theirs = range(60), range(60, 100)
    champion = answers({mine: 1.0, theirs: 0.4})
    poisoned = answers({theirs: 1.0}, 1)
    parts = Parts(list(range(COUNT)), list(range(100)), list(range(100, COUNT)), [])
    alone = judged(bench(), parts, champion, poisoned)
    assert refusals(alone, Terms()) == [] and "others" not in alone
    heard = judged(bench(), Parts(parts.fair, parts.fresh, parts.established, [], list(theirs)), champion, poisoned)
    assert [one["code"] for one in refusals(heard, Terms())] == ["refresh-one-word"]
    few = judged(bench(), Parts(parts.fair, parts.fresh, parts.established, [], list(theirs)[:9]), champion, poisoned)
    assert refusals(few, Terms()) == []
