"""What this server counts, written for whoever looks at all servers of a ledger: into the database that they share.

On PostgreSQL every few seconds, so that it is known who serves; on SQLite, where one process owns the ledger and is
asked itself, only while a canary runs, so that a restart loses nothing of what was counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from breakeven.ledger import servers

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger

log = logging.getLogger("breakeven.releases")

EVERY_SECONDS = 5.0
Status = dict[str, Any]


class Reports:
    """The words of one process. `beat`, `write` and `end` run on the event loop, `now` on any other thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._name = servers.new_name()
        self._shared = not ledger.stores.sqlite
        self._said = float("-inf")
        self._running: asyncio.Task[None] | None = None

    def beat(self, status: Callable[[], Status], *, canary: bool) -> None:
        """Writes the status where it is time, and waits for nothing: a database that is down must not stop a swap."""
        due = time.monotonic() - self._said >= EVERY_SECONDS and (self._shared or canary)
        if due and (self._running is None or self._running.done()):
            self._running = asyncio.ensure_future(self.write(status()))

    async def write(self, status: Status, *, ended: bool = False) -> None:
        """Writes a status. `ended`: this decision is followed no longer. A failure is told and stops nothing."""
        self._said = time.monotonic()
        if not (self._shared or status["canary"]):
            return
        try:
            await asyncio.to_thread(self._report, status, ended)
        except Exception as error:  # the ledger says itself what is wrong with it, and /readyz too
            log.warning("what was counted could not be written: %s", error)

    def now(self, status: Status) -> Status:
        """A status with what all servers counted under its decision, those that have ended too."""
        if not status["canary"]:
            return status
        self._report(status, False)
        return {**status, **counted(servers.rows(self._ledger, status["decision"]))}

    def _report(self, status: Status, ended: bool) -> None:
        servers.report(self._ledger, self._name, status["decision"], status, ended=ended)


def counted(rows: list[Status]) -> Status:
    """What the rows of one decision counted together: `{tried, latency}`."""
    found: Status = {"tried": {}, "latency": {}}
    for row in rows:
        for name, sums in found.items():
            _add(sums, row.get(name) or {})
    return found


def _add(sums: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict):
            _add(sums.setdefault(name, {}), value)
        else:
            sums[name] = sums.get(name, 0) + value


def together(rows: list[Status]) -> Status | None:
    """The status of all servers that share a ledger, as that of one: the decision that all of them follow, the first
    refusal, counts summed. `rows`: see `ledger.servers.rows`. None: nobody serves.
    """
    alive = [row for row in rows if row["alive"]]
    if not alive:
        return None
    last = min(alive, key=lambda row: row["decision"])
    requests: Status = {}
    for row in alive:
        _add(requests, row["requests"])
    refused = next((row["refused"] for row in alive if row["refused"] is not None), None)
    under = [row for row in rows if row["decision"] == last["decision"]]
    return {**last, "servers": len(alive), "refused": refused, "requests": requests, **counted(under)}
