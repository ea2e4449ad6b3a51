"""Changes of what is served that need no new release: back to a former one, a canary, a shadow, one more by name.

Each is a new signed decision made from the one in force. A server follows no other word, so traffic can be moved only
by whoever holds the signing key; who did it and why stands in the record.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakeven.artifacts import read_json
from breakeven.errors import Busy, IntegrityError, Place, UsageError, message
from breakeven.packaging.decisions import (
    Decision,
    Named,
    decide,
    numbers,
    open_decision,
    open_named,
    open_shipping,
    publishing,
)
from breakeven.packaging.release import NAME, RELEASE, open_release
from breakeven.packaging.signing import check_key, public_path

_MADE_ANEW = {
    "format",
    "number",
    "decision",
    "previous",
    "created",
    "action",
    "by",
    "reason",
    "back_to",
    "refresh",
    "watch",
}
Record = dict[str, Any]


@dataclass(frozen=True)
class Desk:
    """A releases folder and the key that may change what it serves. `reason` goes into the record, and `watch`, what
    was seen that led to it. `after`: the decision that was looked at; Busy where another one is in force by now.
    """

    releases: Path
    key: Path
    reason: str | None = None
    watch: Mapping[str, Any] | None = None
    after: int | None = None

    @property
    def trust(self) -> Path:
        """The public key that everything here must be signed with."""
        return public_path(self.key)

    def rollback(self, to: str | None = None) -> Record:
        """Serves a former release again, by the rule it was last served by. `to` None: the one served before this."""
        return self._sign("rollback", lambda now: self._serving(now, self._former(now, to)))

    def promote(self, name: str | None = None) -> Record:
        """Serves the canary (or the release named) to everybody."""

        def change(now: Decision) -> Record:
            if name is None and now.canary is None:
                raise UsageError("routing-no-canary", at=Place(file=str(self.releases)))
            chosen = now.canary if name is None and now.canary else self._other(now, name or "")
            return self._serving(now, chosen)

        return self._sign("promote", change)

    def canary(self, name: str | None, share: float = 0.0) -> Record:
        """Gives a release a share of the customers; None ends it."""

        def change(now: Decision) -> Record:
            found = None if name is None else self._other(now, name)
            chosen = None if found is None else Named(found.release, found.package, found.rule, share)
            return {**_plain(now.info), "canary": None if chosen is None else chosen.as_json()}

        return self._sign("canary", change)

    def shadow(self, name: str | None) -> Record:
        """Lets a release answer copies of the requests, unseen and uncharged; None ends it."""

        def change(now: Decision) -> Record:
            return {**_plain(now.info), "shadow": None if name is None else self._other(now, name).as_json()}

        return self._sign("shadow", change)

    def beside(self, name: str, *, on: bool = True) -> Record:
        """Lets a release answer whoever names it, beside the current one; `on` False ends that."""

        def change(now: Decision) -> Record:
            kept = [other for other in now.beside if other.release != name]
            if not on and len(kept) == len(now.beside):
                raise UsageError("routing-not-beside", at=Place(file=str(self.releases)), release=name)
            return {
                **_plain(now.info),
                "beside": [other.as_json() for other in [*kept, *([self._other(now, name)] if on else [])]],
            }

        return self._sign("beside", change)

    def introduce(self, named: Named, action: str, *, over: str, facts: Record) -> Record:
        """Gives a release that was never decided on its share of the customers by its own rule; without a share it
        serves everybody. `over`: the release that it was compared with; Busy if that serves no longer.
        """

        def change(now: Decision) -> Record:
            if now.release != over:
                raise Busy("routing-overtaken", at=Place(file=str(self.releases)), release=now.release, over=over)
            if now.canary is not None:  # somebody began one meanwhile: it is theirs to end
                raise Busy("refresh-canary-runs", at=Place(file=str(self.releases)), release=now.canary.release)
            open_named(self.releases, named, self.trust)
            if named.share is None:
                return {**self._serving(now, named), **facts}
            return {**_plain(now.info), "canary": named.as_json(), "refresh": facts.get("refresh")}

        return self._sign(action, change)

    def withhold(self, action: str, record: Record) -> Record:
        """Signs that a release was not taken, and why; what is served goes on."""
        return self._sign(action, lambda now: record)

    def named(self, name: str) -> Named:
        """A verified release with the rule it was last served by; UsageError for one that is not here."""
        if not NAME.fullmatch(name) or not (self.releases / name / RELEASE).is_file():
            known = ", ".join(kept(self.releases)) or "-"
            raise UsageError("routing-unknown", at=Place(file=str(self.releases)), release=name, known=known)
        shipped = self._shipped()
        decided = [one.current for one in shipped if one.release == name]
        # One that began as a canary was never served to everybody; its rule stands where it was named.
        decided += [one for decision in shipped for one in decision.named() if one.release == name]
        if not decided:  # signed, and never decided on: only its task's default rule is known
            return Named(name, open_release(self.releases / name, self.trust).package, None)
        open_named(self.releases, decided[0], self.trust)
        return Named(name, decided[0].package, decided[0].rule)

    def _other(self, now: Decision, name: str) -> Named:
        if name == now.release:
            raise UsageError("routing-same", at=Place(file=str(self.releases)), release=name)
        return self.named(name)

    def _former(self, now: Decision, to: str | None) -> Named:
        if to is not None:
            return self._other(now, to)
        for decision in self._shipped():
            if decision.release != now.release and (self.releases / str(decision.release) / RELEASE).is_file():
                return self.named(str(decision.release))
        raise UsageError("routing-no-former", at=Place(file=str(self.releases)), release=now.release)

    def _shipped(self) -> list[Decision]:
        """The decisions that ship, newest first."""
        found = (open_decision(self.releases, number, self.trust) for number in reversed(numbers(self.releases)))
        return [decision for decision in found if decision.release is not None]

    def _serving(self, now: Decision, named: Named) -> Record:
        """The record of a release as it was decided on, with its canary and shadow ended: they were another's."""
        former = next((one for one in self._shipped() if one.release == named.release), None)
        record = _plain(former.info) if former is not None else self._own(named.release)
        beside = [one.as_json() for one in now.beside if one.release != named.release]
        made = {**record, **named.as_json(), "canary": None, "shadow": None, "beside": beside}
        made.pop("share", None)
        return {**made, "back_to": former.number if former is not None else None}

    def _own(self, name: str) -> Record:
        """What a release that was never shipped says of itself, where a decision would."""
        info = read_json(self.releases / name / RELEASE)
        said = {part: info.get(part) for part in ("product", "task", "candidate", "choice", "gates")}
        return {**said, "verdict": None, "reasons": []}

    def _sign(self, action: str, change: Callable[[Decision], Record]) -> Record:
        check_key(self.key)
        with publishing(self.releases) as scratch:
            now = in_force(self.releases, self.trust)
            if self.after is not None and now.number != self.after:
                raise Busy("routing-decided", at=Place(file=str(self.releases)), number=now.number, after=self.after)
            record = {**change(now), "action": action, "by": _who(), "reason": self.reason}
            if self.watch is not None:
                record["watch"] = dict(self.watch)
            return decide(self.releases, scratch, record, key=self.key)


def in_force(releases: Path, trust: Path) -> Decision:
    """The decision that is followed; IntegrityError `routing-unsound` with the way out where it cannot be trusted."""
    try:
        return open_shipping(releases, trust)
    except IntegrityError as error:
        raise IntegrityError("routing-unsound", at=error.at, why=message(error.code, **error.fields)) from error


def said_of(decision: Decision) -> Record:
    """What a decision says of what is served, for another one to go on from."""
    return _plain(decision.info)


def kept(releases: Path) -> list[str]:
    """Names of the releases in a folder."""
    if not releases.is_dir():
        return []
    return sorted(path.name for path in releases.iterdir() if NAME.fullmatch(path.name) and (path / RELEASE).is_file())


def listed(releases: Path, trust: Path) -> list[dict[str, Any]]:
    """Every release in the folder: `{release, role, share, decision, decided, candidate, metric, value}`, newest first.

    `role`: current, canary, shadow, beside, or None. What each was decided on last is taken from verified records.
    """
    now = in_force(releases, trust)
    roles: dict[str, tuple[str, float | None]] = {one.release: ("beside", None) for one in now.beside}
    for role, named in (("shadow", now.shadow), ("canary", now.canary), ("current", now.current)):
        if named is not None:
            roles[named.release] = role, named.share
    decided: dict[str, Decision] = {}
    for number in numbers(releases):
        decision = open_decision(releases, number, trust)
        for named in decision.named() if decision.release is not None else ():
            decided[named.release] = decision
    rows = [_row(releases, name, roles.get(name, (None, None)), decided.get(name)) for name in kept(releases)]
    return sorted(rows, key=lambda row: -(row["decision"] or 0))


def _row(releases: Path, name: str, role: tuple[str | None, float | None], decision: Decision | None) -> dict[str, Any]:
    info = read_json(releases / name / RELEASE)
    metric = info.get("metric")
    measured = (info.get("measurements") or {}).get(metric) if isinstance(metric, str) else None
    row = {"release": name, "role": role[0], "share": role[1], "candidate": info.get("candidate"), "metric": metric}
    row["value"] = measured.get("value") if isinstance(measured, Mapping) else None
    decided = None if decision is None else decision.info.get("created")
    return {**row, "decision": None if decision is None else decision.number, "decided": decided}


def _plain(info: Mapping[str, Any]) -> Record:
    """What a record says of the release itself."""
    return {name: value for name, value in info.items() if name not in _MADE_ANEW}


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return "?"
