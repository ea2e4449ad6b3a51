"""Bad input to the commands that answer, list and bill: strange files, customers, months and times."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import inprocess
from tests.bad_inputs import strangers
from tests.bad_inputs.strangers import COMMAND, project

pytestmark = pytest.mark.slow


def breakeven(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return inprocess.breakeven(*arguments, cwd=folder, COLUMNS="160")


def refused(folder: Path, *arguments: str, code: int, words: str) -> str:
    done = breakeven(folder, *arguments)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    return done.stderr


INPUTS: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 2, "there is nothing to answer"),
    "blank lines": (b"\n \n\r\n", 2, "there is nothing to answer"),
    "latin-1": (b"fine\ncaf\xe9\n", 3, "inputs:2: byte 0xe9 at offset 8 fits none of the encodings tried"),
    "binary": (b"PK\x03\x04\x00\x00", 3, "holds a NUL byte at 4"),
    "cut off": (b'{"text": "a"}\n{"text": "a"\n', 3, "inputs:2:13: is not JSON"),
    "deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", 3, "inputs:1: is nested too deeply"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_predict_names_the_line_it_cannot_read(tmp_path: Path, name: str) -> None:
    data, code, words = INPUTS[name]
    (project(tmp_path) / "inputs").write_bytes(data)
    refused(tmp_path, "predict", "--file", "inputs", code=code, words=words)


@pytest.mark.parametrize(("name", "code", "words"), [
    ("nowhere", 2, "No such file"), (".", 2, "Is a directory"), ("/dev/zero", 3, "holds more than 100 MB"),
    ("/proc/self/mem", 5, "Input/output error"),
])  # fmt: skip
def test_predict_takes_no_endless_or_broken_file(tmp_path: Path, name: str, code: int, words: str) -> None:
    refused(project(tmp_path), "predict", "--file", name, code=code, words=words)


def test_predict_without_a_release_says_what_makes_one(tmp_path: Path) -> None:
    told = refused(project(tmp_path), "predict", "hello", code=2, words="breakeven run")
    assert "release" in told


def test_predict_reads_a_pipe(tmp_path: Path) -> None:
    command = [*COMMAND, "predict", "--file", "-"]
    done = subprocess.run(
        command, cwd=project(tmp_path), input=b'{"text": \n', capture_output=True, timeout=120, env=dict(os.environ)
    )
    assert done.returncode == 3 and b":1:" in done.stderr and b"is not JSON" in done.stderr, done.stderr


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one customer and no events."""
    folder = project(tmp_path_factory.mktemp("books"))
    assert breakeven(folder, "customers", "add", "acme").returncode == 0
    return folder


STRANGE = ["", "' or 1=1 --", "a\x1b[31mb 😀", "../" + "x" * 3000]


@pytest.mark.parametrize("customer", STRANGE, ids=lambda text: ascii(text[:12]))
def test_a_strange_customer_is_nobody_everywhere(books: Path, customer: str) -> None:
    for command in (("usage", "--customer", customer), ("feedback", "--customer", customer)):
        told = refused(books, *command, code=3, words="there is no customer")
        assert "\x1b" not in told, "a terminal is not steered by a name"
    draft = ("invoice", "draft", customer, "--month", "2026-01")
    if customer:
        assert "\x1b" not in refused(books, *draft, code=3, words="there is no customer")
    else:
        refused(books, *draft, code=2, words="which customer?")
    with sqlite3.connect(books / "ledger.sqlite") as connection:
        assert connection.execute("select count(*) from customers").fetchone() == (1,)


@pytest.mark.parametrize("month", ["2026-13", "202601", "", "２０２６-０１"])
def test_a_strange_month_is_no_month(books: Path, month: str) -> None:
    refused(books, "invoice", "draft", "acme", "--month", month, code=2, words="expected YYYY-MM")


def test_a_month_that_the_calendar_cannot_hold_is_refused(books: Path) -> None:
    refused(books, "invoice", "draft", "acme", "--month", "9999-12", code=2, words="9999")


@pytest.mark.parametrize("moment", ["2026-02-30", "", "１"])
def test_a_strange_time_is_no_time(books: Path, moment: str) -> None:
    done = breakeven(books, "usage", "--from", moment)
    assert done.returncode in (2, 3) and "is not a time; expected ISO 8601" in done.stderr, done.stderr


def test_a_document_that_was_never_issued_is_named(books: Path) -> None:
    for number in ("99", "../1"):
        told = breakeven(books, "invoice", "show", "--", number)
        assert told.returncode == 3 and "there is no document" in told.stderr, told.stderr


@pytest.mark.parametrize("command", [("usage",), ("feedback",), ("invoice", "draft", "acme", "--month", "2026-01")])
def test_a_broken_ledger_is_told_and_left_as_it_is(tmp_path: Path, command: tuple[str, ...]) -> None:
    for name, data in {"junk": b"junk", "cut": b"SQLite format 3\x00" + b"\x10" * 40}.items():
        folder = project(tmp_path / name)
        (folder / "ledger.sqlite").write_bytes(data)
        refused(folder, *command, code=4, words="not a sound database")
        assert (folder / "ledger.sqlite").read_bytes() == data


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [os.mkfifo, _folder], ids=["pipe", "folder"])
def test_a_ledger_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(project(tmp_path) / "ledger.sqlite")
    done = strangers.breakeven(tmp_path, "usage", timeout=120)
    assert done.returncode in (4, 5) and "ledger.sqlite" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_nothing_used_is_an_answer_and_no_error(tmp_path: Path) -> None:
    for command in ("usage", "feedback"):
        done = breakeven(project(tmp_path / command), command, "--json")
        assert done.returncode == 0 and json.loads(done.stdout) is not None
