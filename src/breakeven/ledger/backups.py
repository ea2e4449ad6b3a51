"""Backup while serving, and restore: one file that holds both halves, their hashes and the heads of every chain.

A backup is verified when it is made and again before it is put in place. The public half is copied first: what the
private half then holds too much (an answer whose event is not in the copy) is never replayed. On PostgreSQL the file
holds a dump by the database's own tools instead (`dumps`). A backup of an older schema is migrated when it is restored.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from breakeven.artifacts import file_hash, unreadable
from breakeven.errors import EnvironmentFault, IntegrityError, Place, UsageError
from breakeven.ledger import clock, dumps, schema
from breakeven.ledger.book import Ledger
from breakeven.ledger.owner import Lock
from breakeven.ledger.store import connect, copy_file, copy_halves, prepare, private_path
from breakeven.ledger.verify import verify

FORMAT = 1
FACTS = "backup.json"
PUBLIC, PRIVATE, DUMP = "ledger.sqlite", "private.sqlite", "ledger.pgdump"
_KINDS = {(PUBLIC, PRIVATE): "SQLite", (DUMP,): "PostgreSQL"}  # what a backup holds, and where it came from
_LARGEST_FACTS = 16 << 20


def write_backup(ledger: Ledger, target: str) -> dict[str, Any]:
    """Writes a backup of a ledger that may be in use; whole or not at all. Its facts: heads, events, hashes, bytes."""
    file = Path(target).absolute()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as scratch:  # 0700
            folder = Path(scratch)
            facts = _copy(ledger, folder)
            packed = folder / "packed"
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr(FACTS, json.dumps(facts, indent=1))
                for name in facts["sha256"]:
                    archive.write(folder / name, name)
            packed.chmod(0o600)
            with packed.open("rb") as stream:
                os.fsync(stream.fileno())
            packed.replace(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFault("file-unwritable", at=Place(file=str(file)), reason=reason) from error
    ledger.note("command", "ledger.backup", file.name[:200], events=facts["events"])
    return {**facts, "file": str(file), "bytes": file.stat().st_size}


def _copy(ledger: Ledger, folder: Path) -> dict[str, Any]:
    """Copies a ledger into a folder and proves the copy; its facts."""
    names: tuple[str, ...] = (DUMP,) if ledger.stores.path is None else (PUBLIC, PRIVATE)
    if ledger.stores.path is None:
        found = dumps.write(ledger.stores.reading, folder / DUMP)
    else:
        for source, name in zip((ledger.stores.path, private_path(ledger.stores.path)), names, strict=True):
            copy_file(source, folder / name)
        found = _verified(folder / PUBLIC)
        if not found["holds"]:
            first = found["broken"][0]
            raise IntegrityError("ledger-does-not-hold", where=first["where"], what=first["what"])
    return {
        "format": FORMAT,
        "made": clock.text(clock.now()),
        **{name: found[name] for name in ("ledger", "schema", "events", "audit", "heads")},
        "sha256": {name: file_hash(folder / name) for name in names},
    }


def _verified(public: Path) -> dict[str, Any]:
    """What `verify` says of a file that nobody else has open."""
    engine = sa.create_engine(f"sqlite:///file:{public}?mode=ro&immutable=1&uri=true", poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            facts = schema.facts.c
            known = {row.name: row.value for row in connection.execute(sa.select(facts.name, facts.value))}
            found = verify(connection, known["ledger"]) if int(known["schema"]) == schema.SCHEMA else None
    except sa.exc.DatabaseError as error:
        raise IntegrityError("ledger-broken", at=Place(file=str(public)), reason=str(error.orig)) from error
    finally:
        engine.dispose()
    if found is None:
        raise UsageError("ledger-newer", at=Place(file=str(public)), found=known["schema"], known=schema.SCHEMA)
    return {**found, "ledger": known["ledger"], "schema": int(known["schema"])}


def read_facts(file: Path) -> dict[str, Any]:
    """What a backup says of itself; IntegrityError where it is none."""
    try:
        with zipfile.ZipFile(file) as archive:
            if sorted(archive.namelist()) not in [sorted((FACTS, *names)) for names in _KINDS]:
                raise ValueError(f"it holds {', '.join(archive.namelist()[:5])}")
            if archive.getinfo(FACTS).file_size > _LARGEST_FACTS:
                raise ValueError(f"{FACTS} is too large")
            facts = json.loads(archive.read(FACTS))
            if facts["format"] != FORMAT or {FACTS, *facts["sha256"]} != set(archive.namelist()):
                raise ValueError(f"format {facts['format']}, this program knows {FORMAT}")
            return {**facts, "schema": int(facts["schema"])}
    except OSError as error:
        raise unreadable(file, error) from error
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, NotImplementedError, RuntimeError) as error:
        raise IntegrityError("backup-broken", at=Place(file=str(file)), reason=str(error)) from error


def restore(place: str | Path, source: str | Path, *, replace: bool = False) -> dict[str, Any]:
    """Puts a backup where the ledger is. Nobody may have the ledger open. Facts, and what was there before in `kept`.

    A ledger that is there already is refused without `replace`; with it, its two files (PostgreSQL: its tables, in
    schemas of their own) are kept under another name.
    """
    text, file = str(place), Path(source).absolute()
    facts, here = read_facts(file), "PostgreSQL" if text.startswith("postgres") else "SQLite"
    kind = _KINDS[tuple(facts["sha256"])]
    if kind != here:
        raise UsageError("backup-other-database", at=Place(file=str(file)), found=kind, here=here)
    if facts["schema"] > schema.SCHEMA:
        raise UsageError("ledger-newer", at=Place(file=str(file)), found=facts["schema"], known=schema.SCHEMA)
    if here == "PostgreSQL":
        with tempfile.TemporaryDirectory(prefix="breakeven-restore-") as scratch:
            _unpack(file, facts, Path(scratch))
            kept = dumps.restore(text, Path(scratch) / DUMP, facts["heads"], replace=replace)
        return {**facts, "file": sa.make_url(text).render_as_string(), "kept": kept}
    path = Path(text.removeprefix("sqlite:///")).absolute()
    return {**facts, "file": str(path), "kept": [str(item) for item in _put(path, file, facts, replace=replace)]}


def _put(path: Path, file: Path, facts: dict[str, Any], *, replace: bool) -> list[Path]:
    """Puts both halves in place under the ledger's lock; what was there, under its new names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock.take(path)
    try:
        if path.exists() and not replace:
            raise UsageError("ledger-there", at=Place(file=str(path)))
        with tempfile.TemporaryDirectory(prefix=".restore.", dir=path.parent) as scratch:
            folder = Path(scratch)
            _unpack(file, facts, folder)
            if facts["schema"] < schema.SCHEMA:
                _migrate(folder / PUBLIC)
            found = _verified(folder / PUBLIC)
            if not found["holds"] or found["heads"] != facts["heads"]:
                raise IntegrityError("backup-broken", at=Place(file=str(file)), reason="its chains do not hold")
            kept = _aside(path) if path.exists() else []
            (folder / PRIVATE).replace(private_path(path))
            (folder / PUBLIC).replace(path)  # last: without it there is no ledger, and nothing half-restored is opened
    finally:
        lock.release()
    return kept


def _migrate(public: Path) -> None:
    """Brings an unpacked backup to today's schema; one file a half afterwards, without a log."""
    stores = connect(public, create=False)
    try:
        prepare(stores)
    finally:
        stores.dispose()


def _unpack(file: Path, facts: dict[str, Any], folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        for name in facts["sha256"]:
            if shutil.disk_usage(folder).free < archive.getinfo(name).file_size + (64 << 20):
                raise EnvironmentFault("file-unwritable", at=Place(file=str(folder)), reason="not enough free space")
            digest = hashlib.sha256()
            try:
                with archive.open(name) as packed, (folder / name).open("wb") as out:
                    (folder / name).chmod(0o600)
                    while block := packed.read(1 << 20):
                        digest.update(block)
                        out.write(block)
                    out.flush()
                    os.fsync(out.fileno())
            except zipfile.BadZipFile as error:
                raise IntegrityError("backup-broken", at=Place(file=str(file)), reason=str(error)) from error
            if digest.hexdigest() != facts["sha256"][name]:
                raise IntegrityError("backup-broken", at=Place(file=str(file)), reason=f"{name} is not what was saved")


def _aside(path: Path) -> list[Path]:
    """Keeps the ledger that is there under another name, its log merged, and takes every file of it away."""
    kept = copy_halves(path, "before-restore")
    for half in (path, private_path(path)):
        for suffix in ("", "-wal", "-shm"):
            half.with_name(half.name + suffix).unlink(missing_ok=True)
    return kept


def heads_of(file: Path) -> dict[str, Any]:
    """The heads that `verify --json` printed or a backup holds: `{ledger: id | None, heads: {writer: {seq, hash}}}`."""
    if zipfile.is_zipfile(file):
        facts = read_facts(file)
        return {"ledger": facts["ledger"], "heads": facts["heads"]}
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        heads = {str(writer): {"seq": int(head["seq"]), "hash": str(head["hash"])} for writer, head in
                 data["heads"].items()}  # fmt: skip
    except OSError as error:
        raise unreadable(file, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError("heads-broken", at=Place(file=str(file)), reason=str(error)) from error
    return {"ledger": data.get("ledger"), "heads": heads}
