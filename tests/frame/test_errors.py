"""The catalogue: every code has words, every word has a code, and no message fails to print."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from breakeven.errors import BreakevenError, ConfigError, Finding, Place, catalogue, need_package, page_of, render

SOURCE = Path(__file__).parents[2] / "src" / "breakeven"
# Codes stand as the first argument of an error or a finding, or as a plain literal that is passed on as one.
RAISED = re.compile(
    r"(?:Error|Fault|Busy|Refused|Finding|_(?:error|fault|refuse|finding|problem|reject))"
    r"\(\s*[\"']([a-z][a-z0-9]*(?:-[a-z0-9]+)+)[\"']"
)


def sources() -> str:
    return "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize(
    "page", sorted(SOURCE.glob("catalogue/*/*.toml")), ids=lambda page: f"{page.parent.name}/{page.name}"
)
def test_a_page_is_read_as_toml_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert page_of(text) == tomllib.loads(text)


@pytest.mark.parametrize("text", [
    "[a]\ntext = 'one'\n", '[a]\ntext = """\nlong\n"""\n', "[a.b]\ntext = \"x\"\n", 'text = "top"\n[a]\n',
    "[a]  # a word\n", '[a]\ntext = "tab\\t \\"said\\" \\\\ \\u4e2d"\n', '[a]\ntext = "\\U0001F600"\n',
    'a = { text = "x", hint = "y" }\n',
])  # fmt: skip
def test_other_forms_of_toml_are_read_too(text: str) -> None:
    assert page_of(text) == tomllib.loads(text)


def test_every_raised_code_has_words() -> None:
    missing = sorted(set(RAISED.findall(sources())) - set(catalogue("en")))
    assert not missing, f"no catalogue entry for {missing}"


def test_every_entry_is_used() -> None:
    text = sources() + "\n".join(path.read_text() for path in SOURCE.rglob("*.html"))
    # The report's labels are checked where they are rendered (tests/report), the settings' words in test_chinese, the
    # command line's, which stand in the code in English, in the next test.
    codes = [code for code in catalogue("en") if not code.startswith(("report-", "setting-", "cli-"))]
    unused = [code for code in codes if f'"{code}"' not in text and f"'{code}'" not in text]
    assert not unused, f"entries that nothing raises: {unused}"


def test_every_word_of_the_command_line_is_said_somewhere() -> None:
    said = sources()
    codes = [code for code in catalogue("en") if code.startswith("cli-")]
    # The longest piece between places, as it stands or as the name of a kind.
    longest = {code: max(re.split(r"\{\w+\}|: ", catalogue("en")[code]["text"]), key=len).strip() for code in codes}
    unsaid = [code for code, part in longest.items() if part not in said and part.replace(" ", "_") not in said]
    assert len(codes) > 40 and not unsaid


@pytest.mark.parametrize(
    "path", sorted((SOURCE / "catalogue").glob("*/*.toml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_entries_are_well_formed(path: Path) -> None:
    import tomllib

    for code, entry in tomllib.loads(path.read_text()).items():
        assert isinstance(entry, dict) and entry.get("text"), code
        assert set(entry) <= {"text", "expected", "hint"}, code
        assert path.stem == "report" or not entry["text"].endswith("."), (
            f"{code}: a message ends without a full stop, so that it can be continued"
        )


def test_a_message_says_where_what_expected_and_what_next() -> None:
    error = ConfigError(
        "unknown-model", at=Place("breakeven.yaml", 3, 7), model="liner", task="t", allowed=["linear"], nearest="linear"
    )
    assert (
        str(error)
        == "breakeven.yaml:3:7: task 't' has no model 'liner'; expected one of linear; did you mean 'linear'?"
    )
    assert error.exit_code == 2
    assert error.as_json()["where"] == {"file": "breakeven.yaml", "line": 3, "column": 7}


def test_places_are_completed_on_the_way_up_never_overwritten() -> None:
    error = ConfigError("config-empty", at=Place(line=3)).located(file="a.yaml", line=9)
    assert (error.at.file, error.at.line) == ("a.yaml", 3)
    assert str(Place("a.csv", row=5, field="text")) == "a.csv, row 5, field text"


def test_a_message_never_fails_to_print() -> None:
    assert render("no-such-code", {"a": 1}) == "no-such-code: a=1"
    assert "?" in render("config-too-big", {})
    assert BreakevenError("no-such-code").exit_code == 70


def test_findings_survive_json() -> None:
    finding = Finding("config-empty", "warning", "collect", "a.csv", {"x": 1})
    assert Finding.from_json(finding.as_json()) == finding


def test_a_missing_package_names_its_extra() -> None:
    assert "pip install 'breakeven[text]'" in str(need_package("torch", "text", purpose="encoders"))
