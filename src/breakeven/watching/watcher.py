"""The process that watches: rounds of reading and judging, what changed sent once, all of it kept on the disk.

`alerts.json` (states and messages that wait) is written before anything is sent; `samples.json` (what servers counted)
once a minute, since sums that never fall lose nothing by it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakeven.artifacts import read_json, write_json
from breakeven.errors import BreakevenError, Busy, EnvironmentFault, IntegrityError, Place
from breakeven.watching import delivery
from breakeven.watching.alerting import Alert, Board, Change, Notes
from breakeven.watching.history import History, View
from breakeven.watching.measures import Books, CannotTell, Sources, Values, measure
from breakeven.watching.outbox import Letter, Lost, Outbox, Send
from breakeven.watching.ready_made import source_rule
from breakeven.watching.settings import Alerts, Rule, seconds
from breakeven.watching.sources import PAGE_SECONDS, DriftReader, LedgerReader, Poll, Server, read_server
from breakeven.watching.wording import body, message_id

log = logging.getLogger("breakeven.alerts")

FORMAT = 1
STATE = "alerts.json"
SAMPLES = "samples.json"
_SAMPLES_SECONDS = 60.0
_BOOKS = ("spend_share", "quota_share", "charges")
_FIRST_PAUSE = 5.0  # between the two readings that a first look needs


@dataclass(frozen=True)
class Watched:
    """What is watched. `folder`: where the state is kept; `ledger`: see `ledger_place`; `drift`: column -> drifted."""

    project: str
    root: Path
    folder: Path
    alerts: Alerts
    rules: Sequence[Rule]
    ledger: str
    drift: DriftReader | None = None


class Clock:
    """Seconds since 1970 that never go back and pass evenly: a clock that is set changes no duration, but one that is
    more than a minute ahead (the machine slept) is followed.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._offset = wall() - steady()

    def __call__(self) -> float:
        """The moment."""
        ahead = self._wall() - self._steady() - self._offset
        if ahead > 60:
            self._offset += ahead
        return self._steady() + self._offset


class Watcher:
    """One watching process. `now`, `read` and `send` are the seams for tests."""

    def __init__(
        self,
        watched: Watched,
        *,
        now: Callable[[], float] | None = None,
        read: Callable[[str], Server] = read_server,
        send: Send | None = None,
        ledger: Callable[[], Books] | None = None,
    ) -> None:
        self.watched, alerts = watched, watched.alerts
        self.now = now or Clock()
        self.board = Board()
        self.outbox = Outbox(send or self._send, seconds(alerts.give_up_after))
        self.histories = {address: History() for address in alerts.servers}
        self.stopped = False
        self._interval = seconds(alerts.interval)
        self._longest = max([seconds(rule.window) for rule in watched.rules], default=300.0)
        self._servers = {address: _server_poll(read, address) for address in alerts.servers}
        self._seen: dict[str, object] = {}
        self._ledger = self._ledger_poll(ledger)
        self._drift = None
        if watched.drift is not None and any(rule.watch == "drifted" for rule in watched.rules):
            self._drift = Poll(watched.drift, every=seconds(alerts.drift_interval), patience=0.0)
        self._samples_at = float("-inf")

    def _ledger_poll(self, read: Callable[[], Books] | None) -> Poll[Books] | None:
        asked = [rule for rule in self.watched.rules if rule.watch in _BOOKS]
        if not asked:
            return None
        windows = sorted({seconds(rule.window) for rule in asked if rule.watch == "charges"})
        limits = any(rule.watch != "charges" for rule in asked)
        reader = read or LedgerReader(self.watched.ledger, windows, limits=limits)
        return Poll(reader, every=seconds(self.watched.alerts.ledger_interval), patience=10.0)

    def load(self) -> None:
        """Goes on from what a former process left; IntegrityError `alerts-state` where that cannot be read."""
        now, state = self.now(), _read(self.watched.folder / STATE)
        samples = _read(self.watched.folder / SAMPLES)
        try:
            for item in state.get("alerts", []):
                alert = Alert.from_json(item, now)
                self.board.alerts.setdefault(alert.rule, {})[alert.labels] = alert
            self.outbox.load(state.get("outbox", []), self.watched.alerts.receivers, now)
            for address in self.histories.keys() & samples.get("servers", {}).keys():
                self.histories[address] = History.from_json(samples["servers"][address], now)
            if self._drift is not None and (kept := samples.get("drift")) is not None:
                self._drift.seed(kept["columns"], max(now - kept["at"], 0.0))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IntegrityError("alerts-state", at=Place(file=str(self.watched.folder / STATE))) from error

    def look(self, *, patience: float | None = None) -> list[Change]:
        """One round: reads, judges, and puts messages of what changed into the outbox; whoever calls it saves before
        anything is sent. `patience`: seconds to wait for drift.
        """
        now = self.now()
        sources = self._sources(now, patience)
        rules = [*self.watched.rules, source_rule(self.watched.alerts)]
        repeat = seconds(self.watched.alerts.repeat_interval)
        changes = self.board.forget(rules)
        for rule in self.watched.rules:
            down: Notes = {(("server", server),): why for server, why in sources.down.items()}
            notes = down if rule.watch == "server_down" else None
            changes += self.board.judge(rule, _measured(rule, sources), now, repeat, notes=notes)
        unread = self._unread(sources)
        values: Values = {labels: float(why is not None) for labels, why in unread.items()}
        changes += self.board.judge(rules[-1], values, now, repeat, notes=unread)
        self._write(changes, now)
        return changes

    def _sources(self, now: float, patience: float | None) -> Sources:
        down: dict[str, dict[str, Any] | None] = {}
        for poll in self._servers.values():
            poll.begin()  # all of them, before one is waited for
        for address, poll in self._servers.items():
            down[address] = self._server(address, poll.wait(2 * PAGE_SECONDS), now)
        books = self._ledger.now() if self._ledger is not None else Books()
        drift = self._drift.now(patience=patience) if self._drift is not None else CannotTell("alerts-drift-not-asked")
        return Sources(View(self.histories, now), down, books, drift)

    def _server(self, address: str, found: Server | CannotTell, now: float) -> dict[str, Any] | None:
        """Takes a server's page; why it is down, or None."""
        history = self.histories[address]
        silent = isinstance(found, CannotTell) or self._seen.get(address) is found  # no new page since the last round
        server = Server(why=CannotTell("alerts-silent", seconds=round(2 * PAGE_SECONDS)).why)
        if isinstance(found, Server) and not silent:
            server, self._seen[address] = found, found
        why = server.why
        if server.page is None:
            history.gauges = {}
            return why
        try:
            history.add(server.page, now, longest=self._longest)
        except EnvironmentFault as error:
            why = CannotTell.because(error).why
        return why

    def _unread(self, sources: Sources) -> dict[Any, dict[str, Any] | None]:
        """(source, label) -> why it cannot be read. Servers are left to the rule that watches them, if there is one."""
        found: dict[Any, dict[str, Any] | None] = {}
        if not any(rule.watch == "server_down" for rule in self.watched.rules):
            found = {(("source", address),): why for address, why in sources.down.items()}
        alive = any(why is None for why in sources.down.values())
        if self._ledger is not None and alive:  # with no server up, its ledger is no news
            found[(("source", "ledger"),)] = sources.books.why if isinstance(sources.books, CannotTell) else None
        if self._drift is not None and not (isinstance(sources.drift, CannotTell) and sources.drift.early):
            found[(("source", "drift"),)] = sources.drift.why if isinstance(sources.drift, CannotTell) else None
        return found

    def _write(self, changes: Sequence[Change], now: float) -> None:
        """A message a rule and receiver for all that changed in this round."""
        by_rule: dict[str, list[Change]] = {}
        for change in changes:
            by_rule.setdefault(change.rule.name, []).append(change)
        for group in by_rule.values():
            for receiver in receivers_of(group[0].rule, self.watched.alerts):
                said = body(self.watched.project, group[0].rule, receiver, group)
                self.outbox.put(Letter(message_id(said, now), receiver, said, now, now))

    def _send(self, receiver: str, message: str, said: Mapping[str, Any]) -> None:
        delivery.deliver(self.watched.alerts.receivers[receiver], message, said, folder=self.watched.root)

    def save(self, *, samples: bool = False) -> None:
        """Writes the state; the samples too where a minute has passed, or when told to."""
        now = self.now()
        state = {
            "format": FORMAT,
            "looked": now,
            "interval": self._interval,
            "alerts": [alert.as_json() for alert in self.board.each()],
            "outbox": self.outbox.as_json(),
        }
        write_json(self.watched.folder / STATE, state)
        if not samples and time.monotonic() - self._samples_at < _SAMPLES_SECONDS:
            return
        self._samples_at = time.monotonic()
        kept: dict[str, Any] = {"servers": {name: history.as_json() for name, history in self.histories.items()}}
        if self._drift is not None and not isinstance(columns := self._drift.now(patience=0.0), CannotTell):
            kept["drift"] = {"columns": columns, "at": now - self._drift.age}
        write_json(self.watched.folder / SAMPLES, {"format": FORMAT, **kept})

    def once(self, *, seconds_each: float = 30.0) -> tuple[list[Change], list[Letter]]:
        """A single round and the messages it makes. (changes, messages that could not be delivered yet)."""
        if any(len(history.times) == 0 for history in self.histories.values()):
            self._sources(self.now(), 0.0)
            time.sleep(min(_FIRST_PAUSE, self._interval))
        changes = self.look(patience=900.0)
        self.save()
        until = self.now() + seconds_each
        self.outbox.begin(self.now())
        while (self.outbox.busy or self.outbox.letters) and self.now() < until:
            self._hear(min(until - self.now(), 0.5))
        self.save(samples=True)
        return changes, list(self.outbox.letters)

    def run(self, tell: Callable[[list[Change]], None]) -> None:
        """Rounds until `stop` is called; what is being delivered then is waited for, for at most 10 seconds."""
        following = self.now()
        while not self.stopped:
            if self.now() >= following:
                tell(self._round())
                following = max(following + self._interval, self.now())
            due = self.outbox.next_due()
            self._hear(min(following, following if due is None else due) - self.now())
        until = self.now() + 10.0
        while self.outbox.busy and self.now() < until:
            self._hear(until - self.now(), begin=False)
        self._kept(samples=True)

    def stop(self) -> None:
        """Ends `run`; may be called from a signal's handler."""
        self.stopped = True
        self.outbox.wake()

    def _round(self) -> list[Change]:
        changes = self.look()
        self._kept()
        return changes

    def _hear(self, timeout: float, *, begin: bool = True) -> None:
        ended = self.outbox.wait(timeout)
        if ended is not None:
            lost = self.outbox.settle(*ended, self.now())
            _log(*ended, lost)
            self._kept()
        if begin and not self.stopped:
            self.outbox.begin(self.now())

    def _kept(self, *, samples: bool = False) -> None:
        """Saves; where the disk is full alerts are told all the same."""
        try:
            self.save(samples=samples)
        except EnvironmentFault as error:
            log.error("%s", error)


def receivers_of(rule: Rule, alerts: Alerts) -> list[str]:
    """Who hears of a rule: those it names, else those the section names, else all."""
    named = rule.to if rule.to is not None else alerts.to
    return list(alerts.receivers) if named is None else list(named)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The right to watch a project; Busy `alerts-running` where another process does, for it would tell all twice."""
    import fcntl
    import os

    path = folder / "alerts.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EnvironmentFault("file-unwritable", at=Place(file=str(path)), reason=error.strerror or "") from error
    with os.fdopen(handle, "r+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy("alerts-running", pid=stream.read(20).strip() or "?") from None
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _measured(rule: Rule, sources: Sources) -> Values | CannotTell:
    try:
        return measure(rule, sources)
    except CannotTell as why:
        return why


def _read(path: Path) -> dict[str, Any]:
    """A file of ours, empty where there is none; a newer or broken one is an IntegrityError."""
    if not path.exists():
        return {}
    try:
        data = read_json(path)
    except IntegrityError:
        data = None
    if not isinstance(data, dict):
        raise IntegrityError("alerts-state", at=Place(file=str(path)))
    if data.get("format") != FORMAT:
        raise IntegrityError("format-newer", at=Place(file=str(path)), found=data.get("format"), known=FORMAT)
    return data


def kept_state(folder: Path) -> dict[str, Any]:
    """What the watching process wrote last: `{looked, interval, alerts, outbox}`; empty where there is none."""
    try:
        return _read(folder / STATE)
    except BreakevenError:
        return {}


def _log(letter: Letter, error: str | None, lost: Lost | None) -> None:
    name = letter.body["groupLabels"]["alertname"]
    if lost is not None:
        log.error("%s: %s is given up after %d attempts: %s", letter.receiver, name, letter.attempts, error)
    elif error is not None:
        log.warning("%s: %s did not arrive: %s", letter.receiver, name, error)


def _server_poll(read: Callable[[str], Server], address: str) -> Poll[Server]:
    return Poll(lambda: read(address), every=0.0, patience=2 * PAGE_SECONDS)
