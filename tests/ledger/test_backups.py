"""The drill: a backup is made while the ledger is written to, restored elsewhere, and proved by its heads."""

from __future__ import annotations

import json
import sqlite3
import threading
import zipfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from breakeven.artifacts import file_hash
from breakeven.errors import BreakevenError, Busy, IntegrityError, UsageError
from breakeven.ledger import Ledger, open_ledger, schema
from breakeven.ledger.backups import heads_of, restore, write_backup
from breakeven.ledger.events import Charge
from breakeven.ledger.store import private_path
from breakeven.ledger.verify import verify
from tests.ledger.test_migrations import SECRET, former, holds_everything


def test_a_backup_of_a_busy_ledger_is_restored_whole(ledger: Ledger, tmp_path: Path) -> None:
    owner = ledger.customers.add("acme").id
    secret, _ = ledger.keys.create(owner)
    ledger.settle(None, Charge(owner, {"answers": 1}, idempotency="k", request="r", body=b"kept", expires=1 << 60))
    acknowledged, stop = [], threading.Event()

    def work() -> None:
        while not stop.is_set():
            charge = Charge(owner, {"answers": 1})
            ledger.settle(None, charge)
            acknowledged.append(charge.id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        while len(acknowledged) < 20:
            threading.Event().wait(0.01)
        before = list(acknowledged)
        facts = write_backup(ledger, str(tmp_path / "ledger.backup"))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (tmp_path / "ledger.backup").stat().st_mode & 0o077 == 0
    assert ledger.verify(heads_of(tmp_path / "ledger.backup"))["holds"]

    place = tmp_path / "elsewhere" / "ledger.sqlite"
    restored = restore(place, tmp_path / "ledger.backup")
    assert restored["kept"] == []
    with open_ledger(place) as copy:
        found = copy.verify(heads_of(tmp_path / "ledger.backup"))
        assert found["holds"], found["broken"]
        assert found["events"] == facts["events"]
        assert set(before) <= {row["id"] for row in copy.events()}
        assert copy.keys.check(secret).customer == owner
        stored = copy.replay.find("k", "r")
        assert stored is not None
        assert stored.body == b"kept"
        copy.record([Charge(owner, {"answers": 1})])
        assert copy.verify(heads_of(tmp_path / "ledger.backup"))["holds"]


def of_a_former_program(place: Path, file: Path) -> None:
    """A backup as a program of schema 2 made it."""
    engine = sa.create_engine(f"sqlite:///{former(place, 2)}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        known = connection.execute(sa.select(schema.facts.c.value).where(schema.facts.c.name == "ledger")).scalar_one()
        found = verify(connection, known)
    parts = {"ledger.sqlite": place, "private.sqlite": private_path(place)}
    facts = {name: found[name] for name in ("events", "audit", "heads")}
    facts |= {"format": 1, "made": "then", "ledger": known, "schema": 2}
    with zipfile.ZipFile(file, "w") as archive:
        facts["sha256"] = {name: file_hash(part) for name, part in parts.items()}
        archive.writestr("backup.json", json.dumps(facts))
        for name, part in parts.items():
            archive.write(part, name)


def test_a_backup_of_a_former_schema_is_migrated(tmp_path: Path) -> None:
    (tmp_path / "then").mkdir()
    of_a_former_program(tmp_path / "then" / "ledger.sqlite", tmp_path / "b")
    place = tmp_path / "now" / "ledger.sqlite"
    restore(place, tmp_path / "b")
    assert sorted(item.name for item in place.parent.iterdir() if not item.name.endswith(".lock")) == [
        "ledger.sqlite",
        "private.sqlite",
    ]
    with open_ledger(place) as ledger:
        holds_everything(ledger, SECRET["sqlite"])


def test_a_backup_of_a_later_schema_is_refused(place: Path, tmp_path: Path) -> None:
    with open_ledger(place) as ledger:
        write_backup(ledger, str(tmp_path / "b"))
    with zipfile.ZipFile(tmp_path / "b") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["backup.json"] = json.dumps({**json.loads(parts["backup.json"]), "schema": 99}).encode()
    with zipfile.ZipFile(tmp_path / "b", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(UsageError, match="schema 99"):
        restore(tmp_path / "other.sqlite", tmp_path / "b")


def test_what_is_there_is_kept_when_it_is_replaced(place: Path, tmp_path: Path) -> None:
    with open_ledger(place) as ledger:
        ledger.record([Charge("c", {"answers": 1})])
        write_backup(ledger, str(tmp_path / "b"))
        ledger.record([Charge("c", {"answers": 1})])
    with pytest.raises(UsageError, match="--replace"):
        restore(place, tmp_path / "b")
    done = restore(place, tmp_path / "b", replace=True)
    with open_ledger(place) as ledger:
        assert ledger.verify()["events"] == 1
    assert len(done["kept"]) == 2
    with sqlite3.connect(done["kept"][0]) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)


def test_a_ledger_in_use_is_not_replaced(ledger: Ledger, place: Path, tmp_path: Path) -> None:
    write_backup(ledger, str(tmp_path / "b"))
    with pytest.raises(Busy, match="owned by process"):
        restore(place, tmp_path / "b", replace=True)


def spoil(file: Path, how: str) -> None:
    data = file.read_bytes()
    if how == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif how == "text":
        file.write_text("not a backup")
    elif how == "empty":
        file.write_bytes(b"")
    else:
        with zipfile.ZipFile(file) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        if how == "changed":
            parts["ledger.sqlite"] = parts["ledger.sqlite"].replace(b'{"answers":1}', b'{"answers":2}')
        elif how == "more":
            parts["../../evil"] = b"x"
        elif how == "format":
            parts["backup.json"] = json.dumps({**json.loads(parts["backup.json"]), "format": 9}).encode()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)


@pytest.mark.parametrize("how", ["cut", "text", "empty", "changed", "more", "format"])
def test_a_broken_backup_changes_nothing(place: Path, tmp_path: Path, how: str) -> None:
    with open_ledger(place) as ledger:
        ledger.record([Charge("c", {"answers": 1})])
        write_backup(ledger, str(tmp_path / "b"))
    before = place.read_bytes()
    spoil(tmp_path / "b", how)
    with pytest.raises(IntegrityError, match="not a sound backup") as caught:
        restore(place, tmp_path / "b", replace=True)
    assert caught.value.exit_code == 4
    assert place.read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir() if item.name.startswith(".")) == []


def test_a_whole_chain_written_anew_is_seen_by_heads_kept_elsewhere(place: Path, tmp_path: Path) -> None:
    with open_ledger(place) as ledger:
        ledger.record([Charge("c", {"answers": 2}, id="e")])
        (tmp_path / "heads.json").write_text(json.dumps(ledger.verify()))
    place.unlink()
    private_path(place).unlink()
    with open_ledger(place) as ledger:
        ledger.record([Charge("c", {"answers": 1}, id="e")])
        heads = heads_of(tmp_path / "heads.json")
        assert ledger.verify()["holds"]
        assert "another ledger" in ledger.verify(heads)["broken"][0]["what"]
        found = ledger.verify({**heads, "ledger": None})
        assert "missing or changed" in found["broken"][0]["what"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"heads": {"main": 1}}'])
def test_what_holds_no_heads_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "heads.json").write_text(text)
    with pytest.raises(IntegrityError, match="no heads"):
        heads_of(tmp_path / "heads.json")


def test_a_place_that_cannot_be_written_is_named(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BreakevenError, match="cannot be written"):
        write_backup(ledger, str(tmp_path / "file" / "b"))
