"""Decisions: numbered, signed records of what is served by which rule, chained to one another.

A decision either ships a release or withholds one. The newest that ships is followed: the release it ships, and beside
it the canary with its share of the customers, the shadow, and what answers by name only. A later one that withholds
does not stop what is served. Records are never changed and never removed; `current.json` repeats them for others.
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
class Named:
    """A release that a decision names, and its answer rule. `share`: of the customers, for a canary."""

    release: str
    package: str
    rule: dict[str, Any] | None
    share: float | None = None

    def as_json(self) -> dict[str, Any]:
        """As the decision records it."""
        record = {"release": self.release, "package": self.package, "rule": self.rule}
        return record if self.share is None else {**record, "share": self.share}


@dataclass(frozen=True)
class Decision:
    """A verified decision: its number, the release it ships (None: it withholds), the answer rule, and what it names
    beside: a canary, a shadow, and releases that answer whoever names them.
    """

    number: int
    release: str | None
    rule: dict[str, Any] | None
    info: dict[str, Any]
    canary: Named | None = None
    shadow: Named | None = None
    beside: tuple[Named, ...] = ()

    @property
    def current(self) -> Named:
        """What it ships, in the shape of the others."""
        return Named(self.release or "", str(self.info.get("package")), self.rule)

    def named(self) -> list[Named]:
        """Every release that a server needs to follow it, the current one first."""
        others = (self.canary, self.shadow, *self.beside)
        return [self.current, *(other for other in others if other is not None)]


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
    canary, shadow = (_named(path, part, info.get(part), part == "canary") for part in ("canary", "shadow"))
    others = info.get("beside") or []
    if not isinstance(others, list):
        raise IntegrityError("release-shape", at=Place(file=str(path)), part="beside")
    beside = tuple(found for other in others if (found := _named(path, "beside", other, False)) is not None)
    return Decision(number, release, rule, info, canary, shadow, beside)


def _named(path: Path, part: str, entry: Any, shared: bool) -> Named | None:
    """A release named in a decision; what is signed may still be wrong."""
    if entry is None:
        return None
    if isinstance(entry, dict):
        release, package, rule = entry.get("release"), entry.get("package"), entry.get("rule")
        share = entry.get("share")
        fits = isinstance(share, float) and 0 < share < 1 if shared else share is None
        ruled = isinstance(rule, (dict, type(None)))
        if isinstance(release, str) and NAME.fullmatch(release) and isinstance(package, str) and ruled and fits:
            return Named(release, package, rule, share)
    raise IntegrityError("release-shape", at=Place(file=str(path)), part=part)


def open_shipping(releases: Path, trust: Path) -> Decision:
    """The newest decision that ships, verified and linked to the one before it; UsageError where nothing is released.

    `current.json` is not asked which one that is: it is not signed, and whoever could write it could move traffic back.
    """
    pointer = _current(releases)
    if pointer is None or pointer.get("decision") is None:
        raise UsageError("release-none", at=Place(file=str(releases)))
    if not isinstance(pointer["decision"], int):
        raise IntegrityError("release-shape", at=Place(file=str(releases / CURRENT)), part="decision")
    for number in reversed(numbers(releases)):
        decision = open_decision(releases, number, trust)
        if decision.release is not None:
            _check_link(releases, decision)
            return decision
    raise UsageError("release-none", at=Place(file=str(releases)))


def _check_link(releases: Path, decision: Decision) -> None:
    """The record before it, where it is kept here, must be the very one that this one was signed after."""
    previous = decision.info.get("previous")
    if not isinstance(previous, dict) or not isinstance(previous.get("number"), int):
        return
    before = releases / DECISIONS / str(previous["number"]) / DECISION
    if before.is_file() and file_hash(before) != previous.get("sha256"):
        raise IntegrityError("artifact-changed-file", at=Place(file=str(before)))


def open_current(releases: Path, trust: Path) -> tuple[Release, Decision]:
    """The release that is served now and the decision that says so, both verified; nothing is loaded."""
    decision = open_shipping(releases, trust)
    return open_decided(releases, decision, trust), decision


def open_decided(releases: Path, decision: Decision, trust: Path) -> Release:
    """The release that a decision ships, verified and shown to be the very one that was decided on."""
    if not NAME.fullmatch(decision.release or ""):
        place = Place(file=str(releases / DECISIONS / str(decision.number)))
        raise IntegrityError("release-shape", at=place, part="release")
    return open_named(releases, decision.current, trust)


def open_named(releases: Path, named: Named, trust: Path) -> Release:
    """A release that a decision names, verified and shown to be the very one that was decided on."""
    release = open_release(releases / named.release, trust)
    if release.id != named.release or release.package != named.package:
        raise IntegrityError("release-other-package", at=Place(file=str(releases / named.release)))
    return release


def prune(releases: Path, keep: int) -> list[str]:
    """Removes releases beyond the `keep` most recently decided on; never one that the newest shipping decision names.
    Returns what was removed.
    """
    order: list[str] = []
    needed: set[str] = set()
    for number in reversed(numbers(releases)):
        record = read_json(releases / DECISIONS / str(number) / DECISION)
        if isinstance(record.get("release"), str):
            needed = needed or _needed(record)
            order = list(dict.fromkeys([*order, record["release"], *sorted(_needed(record))]))
    removed = []
    for name in [name for name in order[max(keep, 1) :] if name not in needed]:
        place = releases / name
        if NAME.fullmatch(name) and not place.is_symlink() and (place / RELEASE).is_file():
            # Moved aside first: a kill in the middle leaves no half release under its name.
            aside = releases / f".new-{name}"
            os.rename(place, aside)
            shutil.rmtree(aside, ignore_errors=True)
            removed.append(name)
    return removed


def _needed(record: Mapping[str, Any]) -> set[str]:
    """Names of all releases in a decision's record."""
    entries = [record, record.get("canary"), record.get("shadow"), *(record.get("beside") or [])]
    return {str(entry["release"]) for entry in entries if isinstance(entry, dict) and entry.get("release")}
