"""Labels: every one that is asked for exists, in every language, with the same places to fill."""

from __future__ import annotations

import re
import string
import tomllib
from importlib.resources import files
from pathlib import Path

import breakeven.report
from breakeven.report.words import Words

ROOM = Path(breakeven.report.__file__).parent


def labels(language: str) -> dict[str, dict[str, str]]:
    """The labels of every page of the catalogue; no two pages may name the same."""
    found: dict[str, dict[str, str]] = {}
    for page in sorted((files("breakeven") / "catalogue" / language).iterdir(), key=lambda item: item.name):
        if page.name.endswith(".toml"):
            held = tomllib.loads(page.read_text(encoding="utf-8"))
            own = {name: entry for name, entry in held.items() if name.startswith("report-")}
            assert not found.keys() & own.keys(), page.name
            found |= own
    return found


def test_every_label_that_the_code_names_is_there():
    known = labels("en")
    sources = [path.read_text(encoding="utf-8") for path in [*ROOM.rglob("*.py"), *ROOM.rglob("*.html")]]
    asked = {
        name for text in sources for name in re.findall(r"""(?<!\w)words\(\s*["']([a-z0-9-]+[a-z0-9])["']""", text)
    }
    assert len(asked) > 80
    assert {name for name in asked if f"report-{name}" not in known} == set()


def test_languages_have_the_same_labels_with_the_same_places():
    english, chinese = labels("en"), labels("zh")
    assert set(english) == set(chinese)

    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    assert [name for name in english if places(english[name]["text"]) != places(chinese[name]["text"])] == []


def test_an_unknown_key_of_the_data_is_shown_in_words():
    assert Words().term("some_new_metric") == "some new metric"
    assert Words("zh").term("macro_f1") == "宏 F1"


def test_a_finding_speaks_the_readers_language_or_its_own_words():
    known = {"code": "artifact-extra-file", "fields": {}, "text": "old words"}
    assert "not in the manifest" in Words().finding(known)
    assert Words().finding({"code": "nobody-knows", "text": "its own words"}) == "its own words"
