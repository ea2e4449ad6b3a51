"""Batch files on the disk: a private folder beside the ledger, in it a folder a customer, in it a folder a batch.

A batch's state is one file that is written whole or not at all. It says how far the output and the error file are good,
so that whoever resumes cuts off what a killed server half wrote. Nothing here knows HTTP or the model.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from breakeven.artifacts import read_json
from breakeven.errors import BreakevenError, EnvironmentFault, Place, Refused
from breakeven.ledger import clock

ENVIRONMENT = "BREAKEVEN_FILES"
ENDED = frozenset({"done", "failed", "cancelled"})
_ID = re.compile(r"bat_[0-9a-f]{28}")
_FORMAT = 1
UPLOAD = ".new-"  # begins the name of a folder in which an input is being received
Kind = Literal["output", "errors"]


@dataclass(frozen=True)
class BatchLimits:
    """`active`, `kept` and `held_bytes` are a customer's; files go `keep_days` after their batch ended. `free_bytes` of
    the disk are left for the ledger.
    """

    bytes: int = 100 << 20
    lines: int = 50_000
    active: int = 20
    kept: int = 1000
    held_bytes: int = 1 << 30
    keep_days: int = 7
    free_bytes: int = 256 << 20


@dataclass
class Batch:
    """One batch and where it stands. `next`: lines dealt with; `sizes`: how far the files are good."""

    folder: Path
    id: str
    customer: str
    key: str
    model: str | None
    request: str  # the hash of what was sent, by which a retry is known
    input_bytes: int
    state: str = "validating"
    created: int = field(default_factory=clock.now)
    started: int | None = None
    ended: int | None = None
    expires: int | None = None
    lines: int | None = None
    next: int = 0
    offset: int = 0  # where line `next` begins in the input
    answered: int = 0
    failed: int = 0
    sizes: dict[str, int] = field(default_factory=lambda: {"output": 0, "errors": 0})
    error: dict[str, Any] | None = None

    def path(self, name: str) -> Path:
        """The file of that name."""
        return self.folder / f"{name}.jsonl"

    def save(self) -> None:
        """Writes the state whole. Not synced: files that are shorter than a state says are made anew."""
        kept = {name: value for name, value in vars(self).items() if name != "folder"}
        temporary = self.folder / ".state"
        with _faults(temporary), private(temporary, "w") as stream:
            json.dump({"format": _FORMAT, **kept}, stream)
        temporary.replace(self.folder / "state.json")

    def cancel(self) -> None:
        """Asks whoever works on it to stop; a file, because that may be another process."""
        (self.folder / "cancel").touch(mode=0o600)

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return (self.folder / "cancel").exists()

    def end(self, state: str, keep_days: int, error: BreakevenError | None = None) -> None:
        """Nothing more will happen to it."""
        self.state, self.ended = state, clock.now()
        self.expires = self.ended + keep_days * clock.DAY
        if error is not None:
            told = error.as_json()
            self.error = {name: told[name] for name in ("code", "message", "param", "hint")}
        self.save()

    def as_json(self) -> dict[str, Any]:
        """What its customer may know."""
        counts = {"lines": self.lines, "answered": self.answered, "failed": self.failed, "dealt_with": self.next}
        times = {name: clock.text(getattr(self, name)) for name in ("created", "started", "ended", "expires")}
        return {
            "id": self.id,
            "object": "batch",
            "state": self.state,
            "cancelling": self.state not in ENDED and self.cancelled,
            "model": self.model,
            "counts": counts,
            "bytes": {"input": self.input_bytes, **self.sizes},
            **times,
            "error": self.error,
        }

    def lock(self) -> IO[Any] | None:
        """The right to work on it until this is closed or the process ends; None where another process has it."""
        stream = private(self.folder / "lock", "a")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            stream.close()
            return None
        return stream


def private(path: Path, mode: str) -> IO[Any]:
    """A file that only this user may open, whatever the umask is."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags, 0o600))


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentFault("file-unwritable", at=Place(file=str(path)), reason=reason) from error


class BatchFolder:
    """All batches of a ledger. Ids of one customer mean nothing to another."""

    def __init__(self, root: Path, limits: BatchLimits | None = None) -> None:
        self.root = root
        self.limits = limits or BatchLimits()
        self._lock = threading.Lock()
        self._coming: dict[Path, int] = {}  # folders in which this process receives, and how much at most

    @classmethod
    def beside(cls, ledger: Path | None) -> BatchFolder | None:
        """`batches` beside a SQLite ledger, else the folder that the environment names; None: nowhere."""
        named = os.environ.get(ENVIRONMENT)
        if named:
            return cls(Path(named).absolute() / "batches")
        if ledger is None:
            return None
        return cls(ledger.with_name("batches" if ledger.stem == "ledger" else f"{ledger.stem}.batches"))

    def scratch(self, customer: str, size: int = 0) -> Path:
        """A new folder to receive an input of at most `size` bytes in; `adopt` or `discard` it. Refused when a customer
        has too many batches under way, or too many or too much kept; what is just being received counts.
        """
        folder = self.root / customer / f"{UPLOAD}{secrets.token_hex(8)}"
        with _faults(folder), self._lock:
            self._check_room(customer)
            for level in (self.root, self.root / customer, folder):
                level.mkdir(mode=0o700, exist_ok=True, parents=True)
                level.chmod(0o700)
            free = shutil.disk_usage(self.root).free - sum(self._coming.values())
            if free - size < self.limits.free_bytes:
                shutil.rmtree(folder, ignore_errors=True)
                raise EnvironmentFault("batch-no-disk", free=max(free, 0), limit=self.limits.free_bytes + size)
            self._coming[folder] = size
        return folder

    def _check_room(self, customer: str) -> None:
        batches, limits = self.list(customer), self.limits
        coming = [size for folder, size in self._coming.items() if folder.parent.name == customer]
        if sum(batch.state not in ENDED for batch in batches) + len(coming) >= limits.active:
            raise Refused("batch-too-many", limit=limits.active, retry_after=60)
        if len(batches) + len(coming) >= limits.kept:
            raise Refused("batch-too-many-kept", limit=limits.kept)
        held = sum(batch.input_bytes + sum(batch.sizes.values()) for batch in batches) + sum(coming)
        if held >= limits.held_bytes:
            raise Refused("batch-too-much", found=held, limit=limits.held_bytes)

    def _received(self, folder: Path) -> None:
        with self._lock:
            self._coming.pop(folder, None)

    def adopt(self, scratch: Path, batch: Batch) -> Batch | None:
        """Makes a received input a batch. None: there is one of that id already, and this one is discarded."""
        batch.folder = scratch
        batch.save()
        final = scratch.parent / batch.id
        try:
            scratch.rename(final)
        except OSError:
            self.discard(scratch)
            if final.exists():
                return None
            raise
        self._received(scratch)
        batch.folder = final
        return batch

    def discard(self, folder: Path) -> None:
        """Removes a folder and all in it."""
        shutil.rmtree(folder, ignore_errors=True)
        self._received(folder)

    def forget(self, customer: str) -> int:
        """Removes all files of a customer; how many batches there were. One that runs ends."""
        count = len(self.list(customer))
        self.discard(self.root / customer)
        return count

    def find(self, customer: str, name: str) -> Batch | None:
        """A customer's batch; None for what is none of its own."""
        if _ID.fullmatch(name) is None:
            return None
        return _load(self.root / customer / name)

    def list(self, customer: str) -> list[Batch]:
        """A customer's batches, newest first."""
        found = [_load(folder) for folder in (self.root / customer).glob("bat_*")]
        return sorted((batch for batch in found if batch), key=lambda batch: (-batch.created, batch.id))

    def unfinished(self) -> Iterator[Batch]:
        """Everybody's batches that have not ended, oldest first."""
        found = [batch for folder in self.root.glob("*/bat_*") if (batch := _load(folder)) is not None]
        yield from sorted((batch for batch in found if batch.state not in ENDED), key=lambda batch: batch.created)

    def sweep(self) -> int:
        """Removes what is past its time, and inputs that were never received whole; how many."""
        moment, gone = clock.now(), 0
        for folder in [*self.root.glob("*/bat_*"), *self.root.glob(f"*/{UPLOAD}*")]:
            batch = _load(folder) if folder.name.startswith("bat_") else None
            age = moment - int(folder.stat().st_mtime * 1_000_000) if folder.exists() else 0
            left = batch is None and age > clock.DAY
            if left or (batch is not None and batch.expires is not None and batch.expires <= moment):
                self.discard(folder)
                gone += 1
        return gone


def _load(folder: Path) -> Batch | None:
    """None where there is no batch, or none that could be read: it is left for a person to look at."""
    try:
        data = read_json(folder / "state.json")
        if data.pop("format", None) != _FORMAT:
            return None
        return Batch(folder=folder, **data)
    except (BreakevenError, TypeError, AttributeError):
        return None
