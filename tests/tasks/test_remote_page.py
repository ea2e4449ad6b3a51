"""The page on training shows a remote candidate that the program takes."""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

from breakeven.models.remote import RemoteSettings

PAGE = Path(__file__).parents[2] / "docs" / "train.md"


def test_the_remote_candidate_of_the_page_is_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (shown,) = YAML(typ="safe").load(next(block for block in blocks if "api_model" in block))
    assert shown.pop("name") and shown.pop("model") == "remote"
    shown["price"]["as_of"] = str(shown["price"]["as_of"])
    assert RemoteSettings(**shown).spend_cap == 5
