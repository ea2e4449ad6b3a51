"""Drift: silent where nothing changed, loud on real changes of text, and honest about too few rows."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from breakeven.errors import IntegrityError
from breakeven.watching import drift
from breakeven.watching.drift import Statistic, compare, findings, psi
from breakeven.watching.features import Features, describe, places, script
from breakeven.watching.reference import read

COUNTS = arrays.arrays(np.int64, 6, elements=st.integers(0, 10_000))
ROOT = Path(__file__).parents[2]


def drifted(found: list[Statistic]) -> set[str]:
    return {item.column for item in found if item.verdict == "drift"}


def answers(texts: list[str], good: float, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [{"label": "good" if draw.random() < good else "bad", "probability": draw.uniform(0.5, 1)} for _ in texts]


@given(COUNTS, COUNTS)
def test_psi_is_a_symmetric_distance(one: Any, other: Any) -> None:
    assert psi(one, other) >= 0
    assert psi(one, other) == pytest.approx(psi(other, one))
    assert psi(one, one) == 0
    assert psi(one[::-1], other[::-1]) == pytest.approx(psi(one, other))


def test_psi_is_the_textbooks() -> None:
    one, other = np.array([500_000, 300_000, 200_000]), np.array([300_000, 300_000, 400_000])
    by_hand = (0.5 - 0.3) * np.log(0.5 / 0.3) + (0.2 - 0.4) * np.log(0.2 / 0.4)
    assert psi(one, other) == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("rows", [100, 150, 1000])
def test_chance_alone_raises_no_alarm_though_psi_passes_its_folklore(rows: int) -> None:
    draw = np.random.default_rng(7)
    alarms, loud = 0, 0
    for seed in range(20):
        one, other = draw.lognormal(3, 1, rows), draw.lognormal(3, 1, rows)
        kinds = [np.array(["a", "b", "c"])[draw.integers(0, 3, rows)] for _ in range(2)]
        found = compare(Features(rows, {"length": one}, {"label": kinds[0]}),
                        Features(rows, {"length": other}, {"label": kinds[1]}), seed=seed)  # fmt: skip
        alarms += bool(drifted(found))
        loud += any(item.statistic == "psi" and item.value > 0.1 for item in found)
    assert alarms <= 1
    if rows <= 150:
        assert loud > 5, "the fixed limit alone would have cried wolf"


def test_a_small_change_in_many_rows_is_told_but_is_no_drift() -> None:
    draw = np.random.default_rng(1)
    one, other = draw.normal(0, 1, 20_000), draw.normal(0.08, 1, 20_000)
    found = compare(Features(20_000, {"length": one}), Features(20_000, {"length": other}))
    assert {item.verdict for item in found} == {"small"}
    assert findings(found, reference=20_000, current=20_000) == []


def test_values_that_many_rows_share_are_told_from_those_beside_them() -> None:
    found = compare(
        Features(200, {"probability": np.full(200, 0.99)}), Features(200, {"probability": np.full(200, 0.9)})
    )
    assert [(item.statistic, item.verdict) for item in found] == [("psi", "drift"), ("ks", "drift")]


def test_too_few_rows_is_an_answer() -> None:
    texts = ["a text"] * (drift.FEWEST - 1)
    found = compare(describe(texts * 2, answers(texts * 2, 0.5, 0)), describe(texts, answers(texts, 0.5, 1)))
    assert found == []
    (told,) = findings(found, reference=198, current=99)
    assert (told.code, told.level) == ("drift-too-few", "info")
    assert "99 kept, 198 of reference; at least 100 of each" in told.as_json()["text"]


def test_labels_that_shift_are_found_without_any_input() -> None:
    nothing = [None] * 400
    found = compare(describe(nothing, answers(["x"] * 400, 0.5, 0)), describe(nothing, answers(["x"] * 400, 0.75, 1)))
    assert drifted(found) == {"label"}
    (told,) = findings(found, reference=400, current=400)
    assert told.subject == "label" and "label has drifted" in str(told)


def test_outputs_of_other_shapes_are_left_out() -> None:
    assert describe([{"a": 1}] * 3, [[1, 2], {"label": "x"}, "y"]).kinds["label"].tolist() == ["x"]
    assert describe([], []).rows == 0


@pytest.mark.parametrize(
    ("text", "name"),
    [("good film", "latin"), ("这部电影很好 ok", "han"), ("хорошо", "cyrillic"), ("12 34", "digits"), ("!?", "other")],
)
def test_scripts(text: str, name: str) -> None:
    assert script(text) == name


@given(st.lists(st.text(max_size=40), max_size=8))
def test_places_are_of_unit_length_and_the_same_for_the_same_text(texts: list[str]) -> None:
    rows = places(texts)
    lengths = np.linalg.norm(rows, axis=1)
    assert all(length == pytest.approx(1, abs=1e-5) or length == 0 for length in lengths)
    assert np.array_equal(rows, places(texts))


def test_the_reference_comes_back_as_it_was_written_and_holds_no_text(tmp_path: Path) -> None:
    texts = [f"wombat number {number}" for number in range(50)]
    made = describe(texts, answers(texts, 0.5, 0))
    data = made.as_bytes()
    assert b"wombat" not in data and "wombat".encode("utf-32-le") not in data
    path = tmp_path / "r.npz"
    path.write_bytes(data)
    back = read(path)
    assert back.rows == 50
    for one, other in ((made.numbers, back.numbers), (made.kinds, back.kinds)):
        assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    assert np.array_equal(made.places, back.places)
    for broken in (b"", b"junk", data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(IntegrityError, match="reference of drift"):
            read(path)


@pytest.mark.slow
def test_real_texts_reviews_are_no_news_and_chinese_is_no_english() -> None:
    """The sentiment recipe's own sources: shop reviews and newspaper editorials; Chinese from this product's pages."""
    sides = _sources()
    reviews, news = sides["amazonReviewSnippets"], sides["nytEditorialSnippets"]
    random.Random(0).shuffle(reviews)
    half = len(reviews) // 2

    def of(texts: list[str], seed: int) -> Features:
        return describe(texts, answers(texts, 0.6, seed))

    assert drifted(compare(of(reviews[:half], 0), of(reviews[half:], 1))) == set()
    assert {"text", "length"} <= drifted(compare(of(reviews, 0), of(news, 1)))
    mixed = compare(of(reviews[:half], 0), of(reviews[half : half + 300] + news[:300], 1))
    assert "text" in drifted(mixed)
    chinese = [line for page in ("README.zh-CN.md", "docs/tutorial.zh-CN.md")
               for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if script(line) == "han"]  # fmt: skip
    chinese += [part.strip() for line in list(chinese) for part in line.split("，") if script(part) == "han"]
    assert len(chinese) >= drift.FEWEST
    assert {"text", "script"} <= drifted(compare(of(reviews, 0), of(chinese, 1)))


def _sources() -> dict[str, list[str]]:
    from bench.texts import INNER, PACKAGE

    from breakeven.data.archives import member
    from breakeven.data.limits import Limits
    from breakeven.data.packages import Package, fetch
    from breakeven.data.web import Web

    data = fetch(Package(*PACKAGE), Web())
    found = {}
    for part in ("amazonReviewSnippets", "nytEditorialSnippets"):
        text = member(data, INNER.format(part), "vaderSentiment-2.5.tar.gz", Limits()).decode("utf-8", "replace")
        found[part] = [line.split("\t")[2] for line in text.splitlines() if line.count("\t") >= 2]
    return found
