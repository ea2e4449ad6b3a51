"""The one thread that writes: it commits together all that queued during the last commit, with no timer.

An entry is acknowledged only after its transaction is on the disk. The private part commits first: if the machine stops
between the two, a stored answer without an event is simply never replayed, and nothing is charged that was not
answered.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import BreakevenError, EnvironmentFault
from breakeven.ledger import chain, events, schema, totals
from breakeven.ledger.events import Charge, Head, append, append_plain, existing
from breakeven.ledger.periods import late_of
from breakeven.ledger.rows import insert_together
from breakeven.ledger.store import Stores
from breakeven.ledger.totals import Totals

log = logging.getLogger("breakeven.ledger")

Deliver = Callable[["list[Entry]"], None]
Settle = Callable[["list[Entry]"], None]
Change = Callable[[Connection, Callable[[], Connection]], Any]


@dataclass(frozen=True)
class Appending:
    """What a change returns that also adds events: they enter the chain in the change's own savepoint."""

    charges: list[Charge]
    result: Any = None


@dataclass(frozen=True)
class Between:
    """Work on the files themselves (VACUUM, a checkpoint), done on the writer's thread while no transaction is open."""

    work: Callable[[Stores], Any]


@dataclass(slots=True, eq=False)
class Entry:
    """One thing to write: a charge, or a change (a function of the public connection and the private one on demand)."""

    work: Charge | Change | Between
    deliver: Deliver | None = None  # called on the writer's thread, once a commit for all entries that share it
    token: Any = None
    held: Any = None  # what was reserved for a charge
    result: Any = None  # of a charge: True recorded, False already there under another id
    error: BreakevenError | None = None
    done: threading.Event | None = field(default=None)


class Writer:
    """Owns the writing connections. `put` never blocks; entries are answered in the order they came."""

    def __init__(self, stores: Stores, writer: str, *, settle: Settle | None = None, batch: int = 4096) -> None:
        """`settle`: called on the writer's thread, before they are answered, with those entries of a commit for which
        something is held.
        """
        self.stores = stores
        self.batch = batch
        self._settle = settle
        self.fault: BreakevenError | None = None
        self.commits = 0
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._head = self._read_head(writer)
        self._totals = Totals()
        self._open: list[Connection] = []  # public and private, kept from commit to commit
        self._alone: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    @property
    def head(self) -> Head:
        """Where the chain stands after the last commit."""
        return self._head

    def put(self, entry: Entry) -> None:
        """Queues an entry; its `deliver` is called after the commit."""
        self._queue.put(entry)

    def wait(self, work: Charge | Change | Between) -> Any:
        """Queues, waits for the commit and returns the result or raises."""
        entry = Entry(work, done=threading.Event())
        self.put(entry)
        assert entry.done is not None
        entry.done.wait()
        if entry.error is not None:
            raise entry.error
        return entry.result

    def queued(self) -> int:
        """Entries that wait for a commit."""
        return self._queue.qsize()

    def close(self) -> None:
        """Writes what is queued, then ends the thread."""
        self._queue.put(None)
        self._thread.join()

    def _read_head(self, writer: str) -> Head:
        with self.stores.reading.connect() as connection:
            ledger = connection.execute(
                sa.select(schema.facts.c.value).where(schema.facts.c.name == "ledger")
            ).scalar_one()
            last = connection.execute(
                sa.select(schema.events.c.seq, schema.events.c.hash)
                .where(schema.events.c.writer == writer)
                .order_by(schema.events.c.position.desc())
                .limit(1)
            ).first()
        return Head(writer, last.seq, last.hash) if last else Head(writer, 0, chain.genesis(ledger, writer))

    def _run(self) -> None:
        open_ = True
        while open_:
            entries = []
            entry = self._queue.get()
            while True:
                if entry is None:
                    open_ = False
                else:
                    entries.append(entry)
                if len(entries) >= self.batch or self._queue.empty():
                    break
                entry = self._queue.get()
            if entries:
                try:
                    self._write([entry for entry in entries if not isinstance(entry.work, Between)])
                    for entry in entries:
                        if isinstance(entry.work, Between):
                            self._totals.forget()
                            entry.result = entry.work.work(self.stores)
                except Exception as error:  # a defect of ours must not leave callers waiting for ever
                    log.exception("ledger write failed")
                    _fail(entries, EnvironmentFault("ledger-write-failed", reason=type(error).__name__))
                self._settle_held(entries)
                _deliver(entries)
        self._let_go()

    def _settle_held(self, entries: list[Entry]) -> None:
        held = [entry for entry in entries if entry.held is not None]
        if not held or self._settle is None:
            return
        try:
            self._settle(held)
        except Exception:  # the charges are safe; their reservations stay, which grants too little
            log.exception("reservations could not be settled")

    def _write(self, entries: list[Entry]) -> None:
        if not entries:
            return
        if self.fault is not None:
            _fail(entries, self.fault)
            return
        try:
            self._commit(entries)
        except sa.exc.IntegrityError:
            self._one_by_one(entries)
        except sa.exc.DBAPIError as error:
            self._recover(entries, error)

    def _commit(self, entries: list[Entry]) -> None:
        doubled: set[str] = set()
        try:
            charges = self._plain(entries)
            if charges is not None:
                head = self._write_directly(charges)
            else:
                with self._transaction() as (connection, private):
                    doubled, head = self._apply(entries, connection, private)
        except BaseException:
            for entry in entries:  # nothing of it was kept, whatever a change has returned
                entry.error = entry.result = None
            self._totals.rolled_back()
            raise
        self._head = head
        self._totals.committed()
        self.commits += 1
        for entry in entries:
            if isinstance(entry.work, Charge):
                entry.result = entry.work.id not in doubled

    def _plain(self, entries: list[Entry]) -> list[Charge] | None:
        """The charges of a group that holds nothing else, none with an Idempotency-Key and none late."""
        charges = [entry.work for entry in entries if isinstance(entry.work, Charge) and not entry.work.idempotency]
        return charges if len(charges) == len(entries) and not late_of(charges) else None

    def _write_directly(self, charges: list[Charge]) -> Head:
        """One transaction by the driver itself: SQLAlchemy's layers cost more than the rows of a small commit, and on
        PostgreSQL a round trip is saved for every statement that goes with another.
        """
        try:
            if self.stores.sqlite:
                return self._by_sqlite(charges)
            rows, head = events.part(charges, self._head)
            insert_together(self._own_commits().connection.driver_connection, (rows, totals.part(charges)))
            return head
        except Exception as error:
            self._let_go()
            if any(kind.__name__ == "Error" for kind in type(error).__mro__):  # the driver's, whichever it is
                raise sa.exc.DBAPIError.instance("charges", None, error, Exception) from error
            raise

    def _by_sqlite(self, charges: list[Charge]) -> Head:
        driver = self._connection().connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            driver.execute("BEGIN IMMEDIATE")
            head = append_plain(driver, charges, self._head, totals=self._totals)
            driver.execute("COMMIT")
            return head
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                driver.rollback()
            raise

    def _own_commits(self) -> Connection:
        """A connection to PostgreSQL whose every statement is a transaction of its own."""
        if self._alone is None:
            self._alone = self.stores.writing.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self._alone

    def _connection(self) -> Connection:
        if not self._open:
            self._open.append(self.stores.writing.connect())
        return self._open[0]

    def _apply(
        self, entries: list[Entry], connection: Connection, private: Callable[[], Connection]
    ) -> tuple[set[str], Head]:
        head, charges = self._head, []
        for entry in entries:
            if isinstance(entry.work, Charge):
                charges.append(entry.work)
            elif not isinstance(entry.work, Between):
                head = self._change(entry, connection, private, head)
        return append(connection, private, charges, head, totals=self._totals) if charges else (set(), head)

    def _change(self, entry: Entry, connection: Connection, private: Callable[[], Connection], head: Head) -> Head:
        """Runs a change in a savepoint; the head of the chain after it."""
        assert callable(entry.work)
        try:
            with connection.begin_nested():
                result = entry.work(connection, private)
                if isinstance(result, Appending):
                    charges = result.charges
                    _, head = append(connection, private, charges, head, totals=self._totals, nested=True)
                    result = result.result
                entry.result = result
        except BreakevenError as error:
            entry.error = error
        except sa.exc.DBAPIError:
            raise
        except Exception as error:  # a defect in one change takes nobody else's with it
            log.exception("a change of the ledger failed")
            entry.error = EnvironmentFault("ledger-write-failed", reason=type(error).__name__)
        return head

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[tuple[Connection, Callable[[], Connection]]]:
        """(public connection, the private one on demand); what is written in either is committed at the end."""
        connection = self._connection()

        def private() -> Connection:
            if not self.stores.sqlite:
                return connection
            if len(self._open) == 1:
                self._open.append(self.stores.private_writing.connect())
            return self._open[1]

        try:
            yield connection, private
            for part in reversed(self._open):  # the private part first
                if part.in_transaction():
                    part.commit()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """Rolls back and gives the connections back; the next commit opens them anew."""
        parts, self._open = self._open, []
        if self._alone is not None:
            parts, self._alone = [*parts, self._alone], None
        for part in parts:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                part.close()

    def _one_by_one(self, entries: list[Entry]) -> None:
        """A row of the group broke a rule: each gets its own transaction, so that only that one is refused."""
        for entry in entries:
            entry.error = entry.result = None
            try:
                self._commit([entry])
            except sa.exc.IntegrityError:
                entry.error = BreakevenError("event-doubled", id=getattr(entry.work, "id", "?"))
            except sa.exc.DBAPIError as error:
                self._recover([entry], error)

    def _recover(self, entries: list[Entry], error: sa.exc.DBAPIError) -> None:
        """After a failed commit: look up what did arrive, write the rest once more, or refuse with the cause."""
        reason = str(error.orig).strip().splitlines()[0]
        log.error("ledger commit failed: %s", reason)
        if self.stores.sqlite:
            if "locked" in reason or "full" in reason:
                _fail(entries, EnvironmentFault("ledger-busy", reason=reason))
            else:  # after a failed sync nothing that is read back can be trusted: stop, and let a person look
                self.fault = EnvironmentFault("ledger-stopped", reason=reason)
                _fail(entries, self.fault)
            return
        for pause in (0.0, 0.2, 0.5, 1.0, 2.0):
            time.sleep(pause)
            with contextlib.suppress(sa.exc.DBAPIError):
                self._again(entries)
                return
        _fail(entries, EnvironmentFault("ledger-busy", reason=reason))

    def _again(self, entries: list[Entry]) -> None:
        with self.stores.reading.connect() as connection:
            arrived = existing(connection, [entry.work for entry in entries if isinstance(entry.work, Charge)])
        self._head = self._read_head(self._head.writer)
        rest = []
        for entry in entries:
            if isinstance(entry.work, Charge) and entry.work.id in arrived:
                entry.result = True
            else:
                rest.append(entry)
        if rest:
            self._commit(rest)


def _fail(entries: list[Entry], error: BreakevenError) -> None:
    for entry in entries:
        if entry.result is None and entry.error is None:
            entry.error = error


def _deliver(entries: list[Entry]) -> None:
    groups: dict[Deliver, list[Entry]] = {}
    for entry in entries:
        if entry.done is not None:
            entry.done.set()
        elif entry.deliver is not None:
            groups.setdefault(entry.deliver, []).append(entry)
    for deliver, group in groups.items():
        try:
            deliver(group)
        except Exception:  # a closed event loop must not end the writer
            log.exception("an acknowledgement could not be delivered")
