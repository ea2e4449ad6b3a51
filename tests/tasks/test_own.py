"""A project made around one's own table: columns found by what they hold, or asked for by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from breakeven.errors import DataError, UsageError
from breakeven.project import Project
from breakeven.recipes import own
from breakeven.stages.collect import tried
from tests.data.folder import sentences


def table(folder: Path, labels: tuple[str, ...] = ("Billing", "tech "), head: str = "No;Text;My queue") -> Path:
    rows = [f"T-{row};{text};{labels[row % len(labels)]}" for row, (text, _) in enumerate(sentences(60))]
    path = folder / "tickets.csv"
    path.write_bytes(("\ufeff" + "\n".join([head, *rows]) + "\n").encode())
    return path


def test_the_file_names_what_was_found_and_is_read_by_the_program(tmp_path: Path) -> None:
    guess, written = own.write(table(tmp_path), tmp_path / "Ticket Triage!", None, ())
    assert (guess.target, guess.inputs) == ("My queue", ["Text"])
    assert {path.name for path in written} == {"breakeven.yaml", ".gitignore"}
    project = Project(tmp_path / "Ticket Triage!")
    assert project.name == "ticket-triage" and tried(project.setup()) == 60
    with pytest.raises(UsageError, match="there is a project already"):
        own.write(table(tmp_path), tmp_path / "Ticket Triage!", None, ())


def test_spellings_are_made_one_and_missing_labels_left_out(tmp_path: Path) -> None:
    guess, _ = own.write(table(tmp_path, ("tech", "Tech ", "billing", "N/A")), tmp_path, None, ())
    assert guess.untidy and guess.missing == ["n/a"]
    data = YAML(typ="safe").load(tmp_path / "breakeven.yaml")
    assert data["collect"]["derive"] == {"My queue": "lower(trim(`My queue`))"}
    assert data["collect"]["where"] == "`My queue` <> 'n/a'"
    assert tried(Project(tmp_path).setup()) == 45


@pytest.mark.parametrize(("target", "inputs", "said"), [
    ("quue", (), "no column 'quue' in the table; expected one of No, Text, My queue"),
    ("Text", ("Text",), "cannot be the label and a text at once"),
])  # fmt: skip
def test_names_that_cannot_be_meant(tmp_path: Path, target: str, inputs: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        own.write(table(tmp_path), tmp_path / "new", target, inputs)
    assert not (tmp_path / "new" / "breakeven.yaml").exists()


def test_what_is_not_clear_is_asked_for(tmp_path: Path) -> None:
    rows = "".join(f"a text of row {row},{'ab'[row % 2]},{'xyz'[row % 3]}\n" for row in range(60))
    (tmp_path / "two.csv").write_text("text,channel,kind\n" + rows)
    with pytest.raises(UsageError, match="several columns could be the label: channel, kind; name it: --target"):
        own.write(tmp_path / "two.csv", tmp_path / "new", None, ())
    guess, _ = own.write(tmp_path / "two.csv", tmp_path / "new", "kind", ())
    assert guess.inputs == ["text"]
    (tmp_path / "numbers.csv").write_text("a,b\n" + "".join(f"{row}.5,{row}.25\n" for row in range(60)))
    with pytest.raises(UsageError, match="no column looks like a label"):
        own.write(tmp_path / "numbers.csv", tmp_path / "other", None, ())
    with pytest.raises(UsageError, match="no column looks like texts"):
        own.write(tmp_path / "numbers.csv", tmp_path / "other", "b", ())


def test_a_file_that_is_not_there_makes_no_project(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        own.write(tmp_path / "none.csv", tmp_path / "new", None, ())
    assert not (tmp_path / "new").exists()
