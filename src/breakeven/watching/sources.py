"""Reading what rules watch, each source in a thread of its own: whoever hangs is "cannot tell", and stops nobody."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from breakeven.errors import BreakevenError, Busy, EnvironmentFault, Place
from breakeven.watching.history import Page, parse
from breakeven.watching.measures import Books, CannotTell

Read = TypeVar("Read")

PAGE_SECONDS = 5.0
_LARGEST_PAGE = 16 << 20


@dataclass(frozen=True)
class Server:
    """What one server said: its page, and whether it takes requests; `why` it is down otherwise."""

    page: Page | None = None
    why: dict[str, Any] | None = None


def read_server(address: str, *, seconds: float = PAGE_SECONDS) -> Server:
    """`/readyz` and `/metrics` of a server. Never raises what a server can cause."""
    try:
        status, text = _get(f"{address.rstrip('/')}/metrics", seconds)
        if status != 200:
            raise EnvironmentFault("alerts-answered", at=Place(file=address), status=status)
        page = parse(text, source=address)
        ready, said = _get(f"{address.rstrip('/')}/readyz", seconds)
    except BreakevenError as error:
        return Server(why=CannotTell.because(error).why)
    if ready == 200:
        return Server(page)
    return Server(page, CannotTell("alerts-not-ready", reason=_reason(said) or str(ready)).why)


def _reason(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        return ""
    return str(found.get("reason", ""))[:200] if isinstance(found, dict) else ""


def _get(url: str, limit: float) -> tuple[int, str]:
    """(status, body) of a server of ours; EnvironmentFault `alerts-unreachable`. No proxy stands between."""
    import httpx

    until = time.monotonic() + limit
    parts, size = [], 0
    try:
        with httpx.Client(timeout=limit, trust_env=False) as client, client.stream("GET", url) as answer:
            for part in answer.iter_bytes():
                parts.append(part)
                size += len(part)
                if size > _LARGEST_PAGE or time.monotonic() > until:
                    raise httpx.ReadTimeout(f"{size} bytes in {limit:g} s")
            return answer.status_code, b"".join(parts).decode("utf-8", "replace")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise EnvironmentFault("alerts-unreachable", reason=reason) from None


class Poll(Generic[Read]):
    """A source that is read every so often on a thread; its last reading is valid for twice as long."""

    def __init__(self, read: Callable[[], Read], *, every: float, patience: float) -> None:
        self._read = read
        self._every = every
        self._patience = patience
        self._running: threading.Thread | None = None
        self._begun = float("-inf")
        self._read_at = float("-inf")
        self._last: Read | CannotTell = CannotTell("alerts-not-yet")

    def seed(self, value: Read, age: float) -> None:
        """Takes what a former process read `age` seconds ago."""
        self._last, self._begun, self._read_at = value, time.monotonic() - age, time.monotonic() - age

    @property
    def age(self) -> float:
        """Seconds since the last reading ended."""
        return time.monotonic() - self._read_at

    def begin(self) -> None:
        """Begins a reading where it is time and none runs."""
        if self._running is None and time.monotonic() - self._begun >= self._every:
            self._begun = time.monotonic()
            self._running = threading.Thread(target=self._take, daemon=True)
            self._running.start()

    def wait(self, patience: float) -> Read | CannotTell:
        """The newest reading; one that runs is waited for until `patience` seconds after it began, and not again."""
        running = self._running
        if running is not None:
            running.join(max(self._begun + patience - time.monotonic(), 0.0))
        if self.age > 2 * self._every + self._patience and not isinstance(self._last, CannotTell):
            self._last = CannotTell("alerts-silent", seconds=round(time.monotonic() - self._begun))
        return self._last

    def now(self, *, patience: float | None = None) -> Read | CannotTell:
        """Both, with the source's own patience where none is given."""
        self.begin()
        return self.wait(self._patience if patience is None else patience)

    def _take(self) -> None:
        try:
            found: Read | CannotTell = self._read()
        except BreakevenError as error:
            found = CannotTell.because(error)
        except Exception as error:  # a source may fail in any way; that is what must be told
            found = CannotTell("alerts-unreachable", reason=f"{type(error).__name__}: {error}"[:300])
        self._last, self._read_at, self._running = found, time.monotonic(), None


def ask_owner(place: str, command: str, **arguments: Any) -> Any:
    """A command of the ledger, run by the process that owns it; EnvironmentFault `alerts-no-owner` where nobody does.
    The lock is never taken here: a server that starts just then would find its own ledger locked.
    """
    from breakeven.ledger import commands
    from breakeven.ledger.owner import ask

    if place.startswith("postgres"):
        return commands.call(place, command, **arguments)
    try:
        return ask(Path(place.removeprefix("sqlite:///")).absolute(), command, arguments)
    except Busy:
        raise EnvironmentFault("alerts-no-owner") from None


@dataclass
class LedgerReader:
    """What rules want of the ledger, in few questions: customers with limits, this month's use, charges by window."""

    place: str
    windows: Sequence[float] = ()
    ask: Callable[..., Any] = ask_owner
    clock: Callable[[], float] = time.time
    limits: bool = True

    def __call__(self) -> Books:
        """One reading; raises what the ledger raises."""
        now = self.clock()
        month = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-01")
        customers = self.ask(self.place, "customers.list") if self.limits else []
        bounded = any(row["terms"]["spend_cap"] or row["terms"]["quotas"] for row in customers)
        used = self._usage(month) if bounded else []
        charges = {window: self._charges(now - window) for window in self.windows}
        return Books(customers, used, charges)

    def _usage(self, start: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.ask(self.place, "usage", customer=None, start=start, end=None)
        return rows

    def _charges(self, since: float) -> int:
        start = datetime.fromtimestamp(since, UTC).isoformat()
        by_meter: dict[tuple[str, str, str, str], int] = {}
        for row in self._usage(start):  # an event is in the row of each of its meters
            place = row["customer"], row["key"], row["model"], row["plan"]
            by_meter[place] = max(by_meter.get(place, 0), row["events"])
        return sum(by_meter.values())


class DriftReader:
    """Column -> whether it drifted, by `breakeven drift --json` in a process of its own: what it loads is gone with it.

    EnvironmentFault `alerts-drift` with what it said where it could not be computed; empty where rows are too few.
    """

    def __init__(self, command: Sequence[str], *, seconds: float = 900.0) -> None:
        self._command = list(command)
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def __call__(self) -> dict[str, bool]:
        """One computation."""
        pipe = subprocess.PIPE
        try:
            with subprocess.Popen(self._command, stdout=pipe, stderr=pipe, text=True) as self._process:
                try:
                    said, words = self._process.communicate(timeout=self._seconds)
                finally:
                    self.close()
            found = json.loads(said or "{}")
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise EnvironmentFault("alerts-drift", reason=type(error).__name__) from None
        if self._process.returncode not in (0, 1) or "statistics" not in found:
            reason = (found.get("error") or {}).get("message") or words.strip()[-300:]
            raise EnvironmentFault("alerts-drift", reason=reason or str(self._process.returncode))
        columns: dict[str, bool] = {}
        for item in found["statistics"]:
            columns[item["column"]] = columns.get(item["column"], False) or item["verdict"] == "drift"
        return columns

    def close(self) -> None:
        """Ends one that runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
