"""Taking one person's lines out of batch files, where they lie, and while a server may be at work on them.

A line is written over and keeps its length, so that no offset moves: of the input it becomes blank, which whoever goes
on skips; of the output and the errors a line that says so. What a server had read before is waited for, and so is an
upload that is just being received; one that takes too long is cut off, and its sender told to send it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from breakeven.ledger.subjects import contains
from breakeven.serving.batch_files import ENDED, UPLOAD, Batch, BatchFolder

_PATIENCE = 30.0  # seconds for a chunk that was read before; it takes half a second where others wait
_PAUSE = 0.02
_WRITTEN = ("output", "errors")


@dataclass
class Lines:
    """Events of the lines that were written over, how many these were, uploads that were cut off, and folders that
    could not be looked through.
    """

    events: set[str] = field(default_factory=set)
    count: int = 0
    uploads: int = 0
    left: list[str] = field(default_factory=list)


def erase(
    folder: BatchFolder, customer: str, events: Collection[str], text: str | None, *, patience: float = _PATIENCE
) -> Lines:
    """Takes out of a customer's batches the lines of these events and those that contain a text, with what was
    answered to them. `patience`: seconds for an upload that is under way.
    """
    found = Lines()
    if text is not None:  # first: one that is whole meanwhile is a batch
        uploads = sorted((folder.root / customer).glob(f"{UPLOAD}*"))
        found.uploads = sum(_cut_off(upload, folder, patience) for upload in uploads)
    known = {batch.folder.name: batch for batch in folder.list(customer)}
    for place in sorted((folder.root / customer).glob("bat_*")):
        batch = known.get(place.name)
        if batch is None or not _erase(batch, folder, found, events, text):
            found.left.append(str(place))
    return found


def _cut_off(upload: Path, folder: BatchFolder, patience: float) -> bool:
    """Waits until an upload is whole, and so a batch, or given up; else cuts it off, for part of it is only in the
    server's memory. Whether it was cut off.
    """
    until = time.monotonic() + patience
    with contextlib.suppress(FileNotFoundError):
        while _receiving(upload / "input.jsonl"):
            if time.monotonic() > until:
                break
            time.sleep(_PAUSE)
        upload.stat()
        folder.discard(upload)
        return True
    return False


def _receiving(path: Path) -> bool:
    """Whether a server still writes to an upload; one that was killed no longer does."""
    with open(path, "rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def _erase(batch: Batch, folder: BatchFolder, found: Lines, events: Collection[str], text: str | None) -> bool:
    """One batch. False: a server still holds lines that it read before, or a file could not be read."""
    numbers = {int(event[len(batch.id) + 1 :]) for event in events if _of(batch, event)}
    for name in ("input", *_WRITTEN):
        numbers |= _containing(batch.path(name), name, text)
    if not numbers:
        return True
    whole = True
    with contextlib.suppress(FileNotFoundError):
        _over(batch.path("input"), "input", numbers)
        whole = _settled(batch, folder)
        for name in _WRITTEN:
            numbers |= _containing(batch.path(name), name, text)
        for name in ("input", *_WRITTEN):
            _over(batch.path(name), name, numbers)
    found.count += len(numbers)
    found.events |= {f"{batch.id}-{number}" for number in numbers}
    return whole


def _of(batch: Batch, event: str) -> bool:
    return event.startswith(f"{batch.id}-") and event[len(batch.id) + 1 :].isdecimal()


def _settled(batch: Batch, folder: BatchFolder) -> bool:
    """Waits until whoever works on a batch has written what it read before; False: it takes too long."""
    first = folder.find(batch.customer, batch.id)
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        now = folder.find(batch.customer, batch.id)
        if first is None or now is None or now.state in ENDED or now.next != first.next:
            return True
        lock = now.lock()
        if lock is not None:  # nobody works on it, and whoever will reads it anew
            lock.close()
            return True
        time.sleep(_PAUSE)
    return False


def _containing(path: Path, name: str, text: str | None) -> set[int]:
    """Numbers of the lines of a file that contain a text, in whatever way JSON writes it."""
    if text is None or not path.is_file():
        return set()
    with open(path, "rb") as stream:
        return {number for number, line, _ in _numbered(stream, name) if _says(line, text)}


def _says(line: bytes, text: str) -> bool:
    shown = line.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        shown += "\n" + json.dumps(json.loads(line), ensure_ascii=False)
    return contains(shown, text)


def _numbered(stream: IO[bytes], name: str) -> Iterator[tuple[int, bytes, int]]:
    """(number of the line of the input, text, where it begins); what was answered names the line itself."""
    begin = stream.tell()
    for place, line in enumerate(iter(stream.readline, b""), start=1):
        number = place if name == "input" else _named(line)
        if number is not None and line.strip():
            yield number, line.rstrip(b"\r\n"), begin
        begin += len(line)


def _named(line: bytes) -> int | None:
    try:
        number = json.loads(line)["line"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # half written by a server that was killed: it is cut off before anybody reads it
    return number if isinstance(number, int) else None


def _over(path: Path, name: str, numbers: Collection[int]) -> None:
    """Writes over the lines of these numbers, through to the disk."""
    if not path.is_file():
        return
    instead: Callable[[int], bytes] = (lambda _: b"") if name == "input" else _placeholder
    with open(path, "r+b", buffering=0) as stream, open(path, "rb") as reader:
        for number, line, begin in _numbered(reader, name):
            if number in numbers:
                os.pwrite(stream.fileno(), instead(number).ljust(len(line))[: len(line)], begin)
        os.fsync(stream.fileno())


def _placeholder(number: int) -> bytes:
    return b'{"line":%d,"erased":true}' % number
