"""Decisions: numbered, signed records of what is served by which rule, chained to one another.

A decision either ships a release or withholds one. `current.json` points at the newest that ships; a later one that
withholds is named beside it and does not stop what is served. Records are never changed and never removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakeven.artifacts import file_hash, now, read_json, write_json
from breakeven.errors import Busy, EnvironmentFault, IntegrityError, Place, UsageError
from breakeven.packaging.release import FORMAT, NAME, RELEASE, Release, open_release, publish, read_part
from breakeven.packaging.signing import sign, verify

DECISIONS = "decisions"
DECISION = "decision.json"
CURRENT = "current.json"


@dataclass(frozen=True)
class Decision:
    """A verified decision: its number, the release it ships (None: it withholds) and the answer rule."""

    number: int
    release: str | None
    rule: dict[str, Any] | None
    info: dict[str, Any]


@contextlib.contextmanager
def publishing(releases: Path) -> Iterator[Path]:
    """Holds a releases folder and gives a scratch folder in it; a second publisher gets Busy (exit 6)."""
    try:
        releases.mkdir(parents=True, exist_ok=True)
        handle = os.open(releases / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritable(releases, error) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("releases-locked", at=Place(file=str(releases))) from None
        # Only whoever holds the lock makes scratch folders, so these are left over from a killed publisher.
        for left in releases.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(dir=releases, prefix=".new-"))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise _unwritable(releases, error) from error
    finally:
        os.close(handle)


def _unwritable(place: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault("file-unwritable", at=Place(file=str(place)), reason=error.strerror or str(error))


def numbers(releases: Path) -> list[int]:
    """The numbers of the decisions on record, in order."""
    folder = releases / DECISIONS
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def decide(releases: Path, scratch: Path, record: Mapping[str, Any], *, key: Path) -> dict[str, Any]:
    """Signs `record` as the next decision and points `current.json` at it; returns what was written.

    `record`: `{release, package, candidate, rule, verdict, gates, choice, reasons ...}`; a release of None withholds.
    Called inside `publishing`, after the release itself has been published.
    """
    known = numbers(releases)
    number = known[-1] + 1 if known else 1
    before = releases / DECISIONS / str(known[-1]) / DECISION if known else None
    previous = {"number": known[-1], "sha256": file_hash(before)} if before is not None else None
    ships = record.get("release") is not None
    written = {"format": FORMAT, "number": number, "decision": "ship" if ships else "withhold", **record,
               "previous": previous, "created": now()}  # fmt: skip
    folder = scratch / DECISIONS
    folder.mkdir()
    write_json(folder / DECISION, written)
    sign(folder, key)
    publish(folder, releases / DECISIONS / str(number))
    former = _current(releases) or {}
    pointer = {"decision": number, "release": record["release"], "withheld": None} if ships else {
        "decision": former.get("decision"), "release": former.get("release"), "withheld": number}  # fmt: skip
    write_json(releases / CURRENT, {"format": FORMAT, **pointer})
    return written


def _current(releases: Path) -> dict[str, Any] | None:
    path = releases / CURRENT
    return read_part(path, ()) if path.is_file() else None


def open_decision(releases: Path, number: int, trust: Path) -> Decision:
    """A decision whose signature, number and shape hold; IntegrityError otherwise."""
    folder = releases / DECISIONS / str(number)
    path = folder / DECISION
    if set(verify(folder, trust)) != {DECISION}:
        raise IntegrityError("release-shape", at=Place(file=str(folder)), part=DECISION)
    info = read_part(path, ("decision",))
    if info.get("number") != number:
        raise IntegrityError("decision-renumbered", at=Place(file=str(path)), found=info.get("number"), expected=number)
    release, rule = info.get("release"), info.get("rule")
    if (info["decision"] == "ship") != isinstance(release, str) or not isinstance(rule, (dict, type(None))):
        raise IntegrityError("release-shape", at=Place(file=str(path)), part="release")
    return Decision(number, release, rule, info)


def open_current(releases: Path, trust: Path) -> tuple[Release, Decision]:
    """The release that is served now and the decision that says so, both verified; nothing is loaded."""
    pointer = _current(releases)
    if pointer is None or pointer.get("decision") is None:
        raise UsageError("release-none", at=Place(file=str(releases)))
    number = pointer["decision"]
    if not isinstance(number, int):
        raise IntegrityError("release-shape", at=Place(file=str(releases / CURRENT)), part="decision")
    decision = open_decision(releases, number, trust)
    return open_decided(releases, decision, trust), decision


def open_decided(releases: Path, decision: Decision, trust: Path) -> Release:
    """The release that a decision ships, verified and shown to be the very one that was decided on."""
    name = decision.release or ""
    if not NAME.fullmatch(name):
        place = Place(file=str(releases / DECISIONS / str(decision.number)))
        raise IntegrityError("release-shape", at=place, part="release")
    release = open_release(releases / name, trust)
    if release.id != name or release.package != decision.info.get("package"):
        raise IntegrityError("release-other-package", at=Place(file=str(releases / name)))
    return release


def prune(releases: Path, keep: int) -> list[str]:
    """Removes releases beyond the `keep` most recently decided on; never the current one. Returns what was removed."""
    current = (_current(releases) or {}).get("release")
    order: list[str] = [current] if current else []
    for number in reversed(numbers(releases)):
        name = read_json(releases / DECISIONS / str(number) / DECISION).get("release")
        if isinstance(name, str) and name not in order:
            order.append(name)
    removed = []
    for name in order[max(keep, 1) :]:
        place = releases / name
        if NAME.fullmatch(name) and not place.is_symlink() and (place / RELEASE).is_file():
            # Moved aside first: a kill in the middle leaves no half release under its name.
            aside = releases / f".new-{name}"
            os.rename(place, aside)
            shutil.rmtree(aside, ignore_errors=True)
            removed.append(name)
    return removed
