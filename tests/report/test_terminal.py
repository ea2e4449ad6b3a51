"""Tables in the terminal: narrow, colourless and plain terminals included."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from breakeven.report import terminal
from tests.report import example


def printed(action, *, width: int = 80, encoding: str = "utf-8", **more) -> str:
    """What an action writes to a terminal of that width and encoding."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", newline="\n")
    action(Console(file=stream, width=width, highlight=False, **more))
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_the_table_of_candidates_then_the_sentence():
    text = printed(lambda console: terminal.print_verdict(console, example.snapshot()), width=130)
    lines = text.splitlines()
    assert lines[0].split() == [
        "candidate", "macro", "F1", "p95", "ms", "marginal/1000", "at", "volume/1000", "value/1000", "gates", "pays?",
    ]  # fmt: skip
    linear = next(line for line in lines if line.startswith("linear"))
    assert " ".join(linear.split()) == "linear 0.784 m 1.60 m $0.000310 d $1.19 d $9.82 d ok best: 93% d"
    assert "[0.767, 0.801]" in lines[lines.index(linear) + 1]
    assert "-> ship 'linear': 'encoder' is 4.5 points better" in text
    assert text.index("still improving") < text.index("-> ship")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("what", ["evaluate", "collect", "process", "train", "deploy", "business", "linear"])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width, what):
    text = printed(lambda console: terminal.show(console, example.snapshot(), what), width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    if what == "evaluate":
        for words in ("[0.767, 0.801]", "$0.000310", "best: 93%", "[10.46, 11.78]"):
            assert words in text


def test_two_candidates_side_by_side_with_the_paired_difference():
    text = printed(lambda console: terminal.compare(console, example.snapshot(), "linear", "encoder"), width=120)
    value = next(line for line in text.splitlines() if line.startswith("value/1000"))
    assert value.split() == ["value/1000", "$9.82", "d", "$11.12", "d", "-$1.30", "d"]
    assert "[-1.80, -0.80]" in text
    metric = next(line for line in text.splitlines() if line.startswith("macro F1"))
    assert "-0.045" in metric
    other = printed(lambda console: terminal.compare(console, example.snapshot(), "encoder", "linear"), width=120)
    assert "[0.80, 1.80]" in other


def test_a_difference_is_that_of_the_numbers_shown_and_carries_their_unit():
    snapshot = example.snapshot()
    for name, value, half in (("linear", 0.7604, 0.028), ("encoder", 0.8493, 0.024)):
        held = snapshot.verdict["candidates"][name]["metrics"]["macro_f1"]
        held |= {"value": value, "low": value - half, "high": value + half}
    text = printed(lambda console: terminal.compare(console, snapshot, "linear", "encoder"), width=120)
    metric = next(line for line in text.splitlines() if line.startswith("macro F1"))
    assert metric.split() == ["macro", "F1", "0.760", "m", "0.849", "m", "-0.089"]
    for name, value in (("linear", 772.0), ("encoder", 1523.0)):
        held = snapshot.verdict["candidates"][name]["contribution_per_month"]
        held |= {"value": value, "low": value / 7, "high": value * 3.5, "unit": "USD/month"}
    text = printed(lambda console: terminal.compare(console, snapshot, "linear", "encoder"), width=120)
    month = next(line for line in text.splitlines() if line.startswith("contribution a month"))
    assert [word for word in month.split() if "$" in word] == ["$770", "$1,500", "-$730"]
    assert next(line for line in text.splitlines() if line.startswith("latency p95")).rstrip().endswith(" ms")


def test_plain_ascii_where_the_terminal_has_nothing_else():
    verdict = example.verdict()
    for found in verdict["candidates"].values():
        for name in ("value_per_1000", "at_volume_per_1000", "marginal_per_1000"):
            found[name]["unit"] = "EUR/1000 answers"
    for what in ("evaluate", "process", "train", "linear"):
        text = printed(
            lambda console, what=what: terminal.show(console, example.snapshot(verdict=verdict), what), encoding="ascii"
        )
        assert text.isascii()
    assert "EUR 9.82" in printed(
        lambda console: terminal.print_verdict(console, example.snapshot(verdict=verdict)), encoding="ascii"
    )


def test_colour_only_where_it_is_wanted():
    def act(console):
        terminal.print_verdict(console, example.snapshot())

    assert "\x1b[" not in printed(act, force_terminal=True, no_color=True, color_system=None)
    assert "\x1b[" in printed(act, force_terminal=True, color_system="standard")
    assert "\x1b[" not in printed(act)


def test_control_characters_and_markup_of_the_data_do_nothing():
    verdict = example.verdict()
    verdict["sentence"] = {"code": "x", "text": "ship \x1b[31m'linear'\x07 [red]now[/red]"}
    text = printed(lambda console: terminal.print_verdict(console, example.snapshot(verdict=verdict)), width=120)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]now[/red]" in text


def test_before_the_first_run():
    assert "breakeven run" in printed(lambda console: terminal.print_verdict(console, example.empty()))
    assert "breakeven run collect" in printed(lambda console: terminal.show(console, example.empty(), "collect"))
    assert "breakeven run train/linear" in printed(
        lambda console: terminal.show(console, example.empty(), "linear"), width=120
    )
    assert "never run" in printed(lambda console: terminal.status(console, example.empty()))


def test_two_candidates_plans_stand_beside_one_another_with_the_paired_difference():
    snapshot = example.snapshot()
    plans = snapshot.business["candidates"]
    more = {"value": 12_000, "low": 9_000, "high": 15_000, "unit": "USD", "origin": "assumed", "interval": 0.8}
    snapshot.business["npv_differences"] = {"encoder": {"linear": more}}
    text = printed(lambda console: terminal.compare(console, snapshot, "linear", "encoder"), width=120)
    worth = next(line for line in text.splitlines() if line.startswith("net present value"))
    assert "-$12,000" in worth
    assert "[-15,000, -9,000]" in text
    assert any(line.startswith("operating break-even") for line in text.splitlines())
    del plans["linear"]
    without = printed(lambda console: terminal.compare(console, snapshot, "linear", "encoder"), width=120)
    assert "net present value" not in without
