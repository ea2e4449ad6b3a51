"""The pictures of a business: amounts add up, shares fill their bar, and what is drawn stands in a table beside it."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakeven.quantity import Quantity
from breakeven.report import money, numbers
from breakeven.report.blocks import Picture
from breakeven.report.compose import compose
from breakeven.report.sections import plan_pictures
from breakeven.report.words import Words
from tests.report import example, example_plan
from tests.report.test_pictures import parsed

WORDS = dict.fromkeys(("title", "description", "x", "y"), "words <&>")
AMOUNTS = st.floats(0, 1e6, allow_nan=False)
SHARES = st.lists(st.floats(0.001, 1), min_size=1, max_size=9)


def amount(value: float) -> Quantity:
    return Quantity(value, "USD/1000 answers", "measured")


def sheet(value: float | None, price: float | None, costs: list[float]) -> dict[str, object]:
    """A unit sheet whose parts add up to its cost."""
    parts = {f"part {place}": amount(cost).as_json() for place, cost in enumerate(costs)}
    known = {"value": value, "ceiling": None if value is None else 0.9 * value, "price": price, "cost": sum(costs)}
    return {name: None if held is None else amount(held).as_json() for name, held in known.items()} | {
        "cost_parts": parts
    }


@given(st.none() | AMOUNTS, AMOUNTS, st.lists(AMOUNTS, min_size=1, max_size=6))
def test_every_total_of_the_waterfall_is_where_the_steps_before_it_lead(value, price, costs):
    bars = plan_pictures.unit_bars(sheet(value, price, costs), Words())
    at = 0.0
    for place, bar in enumerate(bars):
        if bar.kind == "total" and place:
            assert bar.amount.value == pytest.approx(at, rel=1e-6, abs=1e-6 * (1 + price + sum(costs)))
        at = bar.amount.value if bar.kind == "total" else at + bar.amount.value
    assert bars[-1].amount.value == pytest.approx(price - sum(costs), rel=1e-6, abs=1e-6 * (1 + price + sum(costs)))
    parsed(money.waterfall("w", bars, WORDS, str))


def test_a_plan_that_asks_nothing_shows_what_it_costs():
    bars = plan_pictures.unit_bars(sheet(None, None, [2.0, 1.0]), Words())
    assert [(bar.kind, bar.amount.value) for bar in bars] == [("change", 2.0), ("change", 1.0), ("total", 3.0)]
    assert plan_pictures.unit_bars({}, Words()) == []


def test_amounts_of_the_waterfall_have_the_digits_of_the_largest_and_none_reads_as_nothing():
    svg = money.waterfall("w", [money.Bar("a", amount(10.22)), money.Bar("b", amount(-4.6e-7))], WORDS, str)
    assert ">$10.22<" in svg
    assert "&lt; $0.01<" in svg
    small = money.waterfall("w", [money.Bar("a", amount(0.00412)), money.Bar("b", amount(-0.001))], WORDS, str)
    assert ">$0.00412<" in small


@given(SHARES)
def test_shares_that_sum_to_one_fill_their_bar(parts):
    shares = {f"holder {place}": part / sum(parts) for place, part in enumerate(parts)}
    svg = money.stacks("s", [money.Stack("round", "2026-01-01", shares)], list(shares), WORDS)
    bars = [item for item in parsed(svg).iter() if item.attrib.get("height") == "31.0"]
    missing = sum(share for share in shares.values() if share < money.THIN)
    ends = [(float(bar.attrib["x"]), float(bar.attrib["width"])) for bar in bars]
    assert sum(width for _, width in ends) == pytest.approx((1 - missing) * (460 - ends[0][0]), abs=8)
    assert all(x + width <= after + 2.5 for (x, width), (after, _) in pairwise(ends))


@given(st.lists(st.lists(AMOUNTS, min_size=5, max_size=5), min_size=1, max_size=8))
def test_payouts_of_any_amounts_are_drawn_and_their_names_do_not_overlap(rows):
    paid = [money.Paid(f"holder {place}", row, place) for place, row in enumerate(rows)]
    root = parsed(money.payouts("p", [0.0, 1.0, 2.0, 3.0, 4.0], paid, WORDS, str))
    tall = sorted(float(item.attrib["y"]) for item in root.iter() if "series" in item.attrib.get("class", ""))
    assert len(tall) == len(rows)
    assert all(after - before > 14.8 for before, after in pairwise(tall))


def test_thousands_and_millions_in_the_readers_letters():
    plan = example_plan.plan()
    assert [plan_pictures.label_of(plan, Words())(value) for value in (0.5, 20_000, 1_500_000)] == [
        "$0.5",
        "$20k",
        "$1.5M",
    ]
    assert plan_pictures.label_of(plan, Words("zh"))(1_500_000) == "$150万"
    assert plan_pictures.label_of(plan, Words())(-2e9) == "\u2212$2bn"


def drawn(language: str = "en") -> dict[str, Picture]:
    """Every picture of the example's report."""
    report = compose(replace(example.snapshot(), language=language))
    return {block.key: block for part in report.sections for block in part.blocks if isinstance(block, Picture)}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_picture_says_what_to_read_off_and_has_its_numbers_in_a_table(language):
    found = drawn(language)
    assert {"frontier", "latency", "unit", "mrr", "cash", "break-even", "tornado", "owners", "exit"} <= set(found)
    for key, picture in found.items():
        assert picture.caption.endswith((".", "。")), key
        if key != "lineage":  # it draws no number
            assert picture.table is not None, key
            assert picture.table.title == picture.title
            assert any(cell.quantity is not None for row in picture.table.rows for cell in row), key
        if language == "zh":
            assert not re.search("[a-z]{4,} [a-z]{3,}", picture.caption), key


def test_not_breaking_even_is_said_in_the_caption_and_stands_in_the_table():
    picture = drawn()["break-even"]
    assert "Not within 24 months: operating 14%, cash 20%, all paid back 40%." in picture.caption
    assert picture.table is not None
    assert [cell.text for cell in picture.table.rows[-1]] == ["not within 24 months", "14%", "20%", "40%"]


def test_a_planned_round_is_dashed_with_its_chance_and_a_holder_keeps_the_colour():
    found = drawn()
    assert "2026-10-01, in 74%" in found["owners"].svg
    assert found["owners"].svg.count(' planned"') == 5
    assert [cell.text for cell in found["owners"].table.rows[-1]][1:] == ["40%", "20%", "10%", "10%", "20%"]
    colours = dict(re.findall(r'class="series s(\d)">([^<]+)<', found["exit"].svg))
    assert colours == {"0": "Ann", "1": "Bob", "3": "aunt", "4": "seed"}


def test_many_holders_are_drawn_as_the_largest_and_the_others():
    rows = [{f"h{place}": (place + 1) / 55 for place in range(10)}]
    held = plan_pictures._gathered(rows, Words())[0]
    assert len(held) == plan_pictures.HOLDERS
    assert held["others"] == pytest.approx(6 / 55)
    assert sum(held.values()) == pytest.approx(1.0)


def test_a_plan_without_these_parts_draws_none_of_them():
    bare = {"candidates": {"plan": {"break_even": {}, "unit": None, "cap_table": None, "fans": {}}}, "currency": "USD"}
    for part in (plan_pictures.unit, plan_pictures.growth, plan_pictures.break_even, plan_pictures.owners):
        assert list(part(bare, "plan", Words())) == []
        assert list(part({}, None, Words())) == []


def test_fans_name_a_few_months_with_their_intervals():
    table = drawn()["mrr"].table
    assert table is not None
    assert [row[0].text for row in table.rows] == ["1", "4", "8", "12", "16", "20", "24"]
    assert table.rows[-1][1].line.startswith("$3,000 [1,500, 4,800]")
    assert numbers.full(table.rows[-1][1].quantity).endswith("per month")
