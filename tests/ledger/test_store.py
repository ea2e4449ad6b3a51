from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from breakeven.errors import BreakevenError, EnvironmentFault, IntegrityError, UsageError
from breakeven.ledger import open_ledger
from breakeven.ledger.events import Charge


def made(place: Path) -> Path:
    with open_ledger(place) as ledger:
        ledger.record([Charge("c", {"answers": 1})])
    return place


def test_a_newer_schema_is_refused_and_left_alone(place: Path) -> None:
    with sqlite3.connect(made(place)) as connection:
        connection.execute("UPDATE facts SET value = '99' WHERE name = 'schema'")
    before = place.read_bytes()
    with pytest.raises(UsageError, match="schema 99") as caught:
        open_ledger(place)
    assert caught.value.exit_code == 2
    assert place.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"this is not a database, it is a text of some length", b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_broken_file_is_an_integrity_error(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    with pytest.raises(IntegrityError, match="not a sound database") as caught:
        open_ledger(place)
    assert caught.value.exit_code == 4
    assert place.read_bytes() == content


def test_no_ledger_where_one_was_expected(place: Path) -> None:
    with pytest.raises(EnvironmentFault, match="keys create"):
        open_ledger(place, create=False)
    assert not place.exists()


def test_another_database_is_named_without_its_password() -> None:
    with pytest.raises(UsageError, match="host/db") as caught:
        open_ledger("mysql://me:secret@host/db")
    assert "secret" not in str(caught.value)


def test_files_are_private_whatever_the_umask(place: Path) -> None:
    before = os.umask(0)
    try:
        made(place)
    finally:
        os.umask(before)
    for file in place.parent.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file.name


def test_a_folder_that_cannot_be_written_is_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BreakevenError, match="cannot be written") as caught:
        open_ledger(tmp_path / "file" / "ledger.sqlite")
    assert caught.value.exit_code == 5


def test_a_lost_write_ahead_log_loses_no_acknowledged_event_of_a_closed_ledger(place: Path) -> None:
    made(place)
    for suffix in ("-wal", "-shm"):
        place.with_name(place.name + suffix).unlink(missing_ok=True)
    with open_ledger(place) as ledger:
        assert ledger.verify()["events"] == 1
