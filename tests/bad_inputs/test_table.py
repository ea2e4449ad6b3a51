"""The table of bad inputs names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_case_of_the_table_has_its_test() -> None:
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", (Path(__file__).parent / "TABLE.md").read_text(encoding="utf-8"))
    assert len(named) > 60
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text("utf-8")]
    assert not missing
