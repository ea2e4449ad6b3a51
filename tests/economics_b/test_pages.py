"""The pages on pricing, financing and price research: every Python block runs, in order, and says what it shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from breakeven.economics.fees import Fee
from breakeven.economics.plan import BusinessPlan
from breakeven.yaml12 import parse

DOCS = Path(__file__).parents[2] / "docs"


def printed(page: str) -> str:
    text, names, out = (DOCS / f"{page}.md").read_text(encoding="utf-8"), {}, io.StringIO()  # type: ignore[var-annotated]
    with contextlib.redirect_stdout(out):
        for block in re.findall(r"```python\n(.*?)```", text, re.S):
            exec(compile(block, page, "exec"), names)
    return out.getvalue()


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("pricing", ["0.012", "53.94 USD 10.25 USD 64.19 USD", "-5.00 USD 10.00 USD", "minor=1700", "minor=1400"]),
        (
            "financing",
            ["500000", "1.1144 17946424", "350000 options promised", "4938272 1547771", "[-0.6789, -0.0833]"],
        ),
        ("price-research", ["0.668 3.806", "0.37799"]),
        ("business", ["[True, True, True, True]", "USD/month"]),
        ("economics", ["500000.0", "0.0827"]),
    ],
)
def test_blocks_run(page: str, said: list[str]) -> None:
    found = printed(page)
    assert [part for part in said if part not in found] == []


@pytest.mark.parametrize("page", ["business", "pricing", "financing", "price-research"])
def test_sections_of_a_file_are_what_the_program_takes(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.S) if re.search("^business:", block, re.M)]
    assert blocks
    for block in blocks:
        section = parse(block, file=page)[0]["business"]
        BusinessPlan.model_validate(section)


def test_every_kind_of_fee_has_its_line() -> None:
    table = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "pricing.md").read_text(encoding="utf-8"), re.M))
    kinds = {kind.model_fields["kind"].default for kind in Fee.__args__[0].__args__}  # type: ignore[attr-defined]
    assert kinds <= table
