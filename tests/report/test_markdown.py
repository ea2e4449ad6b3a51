"""The Markdown report: whole tables, nothing that data could turn into markup."""

from __future__ import annotations

import re

import pytest

from breakeven.report import markdown
from tests.report import example
from tests.report.test_html import evil


@pytest.mark.parametrize("snapshot", [example.snapshot(), example.empty(), evil()], ids=["whole", "empty", "evil"])
def test_every_row_has_as_many_cells_as_its_head(snapshot):
    width = 0
    for line in markdown.render(snapshot).splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert cells == width or not width or not cells
        width = cells


def test_the_answer_stands_first():
    lines = markdown.render(example.snapshot()).splitlines()
    assert lines[0] == "# example"
    assert lines[2].startswith("**ship 'linear'")
    assert "| linear | 0.784 \\[0.767, 0.801\\] <sup>m</sup> |" in "\n".join(lines)


def test_markup_in_the_data_is_text():
    text = markdown.render(evil())
    body = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)  # code shows what it holds
    assert re.search(r"(?<!\\)<(?!/?sup>)", body) is None


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a|b", "a\\|b"),
        ("![x](http://y)", "\\!\\[x\\](http&#58;//y)"),
        ("one\n# two", "one \\# two"),
        ("javascript:alert(1)", "javascript&#58;alert(1)"),
        ("&lt;b>", "&amp;lt;b\\>"),
    ],
)
def test_escapes(text, safe):
    assert markdown.escape(text) == safe
