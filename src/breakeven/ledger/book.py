"""The ledger: one object, few doors. Opening it creates or migrates; closing it writes what is queued."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import InputError, Place
from breakeven.ledger import chain, clock, schema
from breakeven.ledger.audit import audit_rows, write_audit
from breakeven.ledger.corrections import Correction, correct, history
from breakeven.ledger.customers import Customers
from breakeven.ledger.events import Charge, insert
from breakeven.ledger.feedback import Feedback
from breakeven.ledger.keys import Key, Keys
from breakeven.ledger.limits import (
    NOTHING,
    Admission,
    Balances,
    MemoryBalances,
    SharedBalances,
    counted,
    limits_of,
    used_in,
)
from breakeven.ledger.owner import Lock
from breakeven.ledger.periods import check_not_ahead, close_period, closed_rows
from breakeven.ledger.plans import PricePlan
from breakeven.ledger.replay import Replay
from breakeven.ledger.store import Stores, connect, prepare
from breakeven.ledger.usage import event_rows, usage_rows
from breakeven.ledger.writer import Deliver, Entry, Writer

log = logging.getLogger("breakeven.ledger")

ENVIRONMENT = "BREAKEVEN_DATABASE_URL"


def ledger_place(project: str | Path) -> str:
    """Where a project's ledger is: the environment's database, else `ledger.sqlite` in the folder."""
    return os.environ.get(ENVIRONMENT) or str(Path(project) / "ledger.sqlite")


def open_ledger(place: str | Path, *, create: bool = True) -> Ledger:
    """The ledger at a path or URL. On SQLite this process becomes its owner; Busy if another one is."""
    stores = connect(place, create=create)
    lock = Lock.take(stores.path) if stores.path is not None else None
    try:
        prepare(stores)
        return Ledger(stores, lock)
    except BaseException:
        stores.dispose()
        if lock is not None:
            lock.release()
        raise


class Ledger:
    """Customers, keys, charges, usage, feedback and audit of one business."""

    def __init__(self, stores: Stores, lock: Lock | None = None) -> None:
        self.stores = stores
        self.lock = lock
        # One chain for the one owner of a file; a chain for every process on PostgreSQL.
        self.writer = Writer(
            stores,
            "main" if stores.sqlite else f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}",
            settle=self._settled,
        )
        alone = stores.sqlite  # then every change passes through this process
        self.customers = Customers(self.writer, stores.reading, remember_seconds=None if alone else 10.0)
        self.keys = Keys(self.writer, stores.reading, remember_seconds=None if alone else 0.5)
        self.feedback = Feedback(self.writer, stores.reading, stores.private_reading)
        self.replay = Replay(self.writer, stores, self._fact("salt"))
        self.balances: Balances = (
            MemoryBalances(self._used) if stores.sqlite else SharedBalances(stores.reading, self._used)
        )
        self._anchored = self.writer.head.seq
        self._plans: dict[str, PricePlan] = {"": PricePlan()}

    def close(self) -> None:
        """Writes what is queued, anchors the chain, closes the files."""
        if self.writer.fault is None:
            self.anchor()
        self.writer.close()
        self.stores.dispose()
        if self.lock is not None:
            self.lock.release()

    def anchor(self) -> None:
        """Writes the chain's head into the audit log, so that a tail cut off later is seen."""
        head = self.writer.head
        if head.seq != self._anchored:
            self._anchored = head.seq
            self.note("ledger", "chain.anchor", head.writer, seq=head.seq, hash=head.hash)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fact(self, name: str) -> str:
        with self.stores.reading.connect() as connection:
            value: str = connection.execute(
                sa.select(schema.facts.c.value).where(schema.facts.c.name == name)
            ).scalar_one()
            return value

    def plan(self, version: str) -> PricePlan:
        """A price plan by the version that events carry; an unknown version has no rates."""
        if version not in self._plans:
            with self.stores.reading.connect() as connection:
                body = connection.execute(
                    sa.select(schema.plans.c.body).where(schema.plans.c.version == version)
                ).scalar()
            if body is None:
                return PricePlan(version=version)
            data = json.loads(body)
            self._plans[version] = PricePlan.of(data["rates"], data["currency"])
        return self._plans[version]

    def keep_plan(self, plan: PricePlan) -> PricePlan:
        """Remembers a plan under its version, so that its events can be priced for ever."""
        if plan.rates and plan.version not in self._plans:
            row = {"version": plan.version, "body": json.dumps(plan.as_json()), "created": clock.now()}
            self.writer.wait(
                lambda connection, _: (
                    connection.execute(insert(connection, schema.plans).on_conflict_do_nothing(), row) and None
                )
            )
            self._plans[plan.version] = plan
        return plan

    def _used(self, customer: str, period: str) -> dict[str, int]:
        return used_in(self.stores.reading, customer, period, self.plan)

    def admit(self, key: Key, quantities: Mapping[str, int], plan: PricePlan) -> Admission:
        """Reserves what a request may use at most; Refused `quota-exhausted` or `spend-cap-reached`, nothing
        reserved.
        """
        terms = self.customers.terms(key.customer)
        if not terms.quotas and terms.spend_cap is None:
            return Admission(key.customer, "", NOTHING)
        limits = limits_of(terms)
        wanted, period = counted(quantities, limits, plan), clock.month(clock.now())
        self.balances.reserve(key.customer, period, wanted, limits)
        return Admission(key.customer, period, wanted)

    def settle_soon(self, admission: Admission | None, charge: Charge, deliver: Deliver, token: Any = None) -> None:
        """Queues a charge; `deliver` hears of it after the commit, with the reservation turned into use."""
        held = admission if admission is not None and admission.period else None
        self.writer.put(Entry(charge, deliver, token, held))

    def settle(self, admission: Admission | None, charge: Charge) -> bool:
        """Writes a charge and waits. False: this Idempotency-Key was charged before and nothing was added."""
        import threading

        done, heard = threading.Event(), list[Entry]()

        def deliver(entries: list[Entry]) -> None:
            heard.extend(entries)
            done.set()

        self.settle_soon(admission, charge, deliver)
        done.wait()
        if heard[0].error is not None:
            raise heard[0].error
        return bool(heard[0].result)

    def release(self, admission: Admission | None) -> None:
        """Gives back what was reserved; nothing was used."""
        if admission is not None and admission.period:
            self.balances.settle([(admission, NOTHING)])

    def _settled(self, entries: list[Entry]) -> None:
        """On the writer's thread, once a commit: reservations become use."""
        pairs: list[tuple[Admission, Mapping[str, int]]] = []
        for entry in entries:
            used: Mapping[str, int] = NOTHING
            if entry.result and isinstance(entry.work, Charge):
                limits = limits_of(self.customers.terms(entry.held.customer))
                used = counted(entry.work.quantities, limits, self.plan(entry.work.plan))
            pairs.append((entry.held, used))
        self.balances.settle(pairs)

    def record(self, batch: Iterable[Charge]) -> int:
        """Writes many charges in few transactions; how many were new. One that is there already is left alone."""
        import threading

        charges, moment = list(batch), clock.now()
        for charge in charges:
            for name in ("id", "source", "customer", "key", "release", "plan", "about"):
                if not chain.plain(getattr(charge, name)):
                    raise InputError("event-text", at=Place(field=name))
            check_not_ahead(charge.time, now=moment)
            for meter, quantity in charge.quantities.items():
                if isinstance(quantity, bool) or not isinstance(quantity, int):
                    raise InputError("quantity-not-whole", at=Place(field=meter), found=quantity)
        heard: list[Entry] = []
        done = threading.Event()

        def deliver(entries: list[Entry]) -> None:
            heard.extend(entries)
            if len(heard) == len(charges):
                done.set()

        for charge in charges:
            self.writer.put(Entry(charge, deliver))
        if charges:
            done.wait()
        for entry in heard:
            if entry.error is not None and entry.error.code != "event-doubled":
                raise entry.error
        fresh = [entry.work for entry in heard if entry.result and isinstance(entry.work, Charge)]
        self.account(fresh)
        return len(fresh)

    def account(self, charges: Iterable[Charge]) -> None:
        """Tells the limits of what was written without a reservation."""
        sums: dict[tuple[str, str], dict[str, int]] = {}
        for charge in charges:
            terms = self.customers.terms(charge.customer)
            if not terms.quotas and terms.spend_cap is None:
                continue
            moment = charge.time if charge.counted is None else charge.counted
            used = sums.setdefault((charge.customer, clock.month(moment)), {})
            quantities = counted(charge.quantities, limits_of(terms), self.plan(charge.plan))
            for meter, quantity in quantities.items():
                used[meter] = used.get(meter, 0) + quantity
        for (customer, period), used in sums.items():
            self.balances.adjust(customer, period, used)

    def correct(
        self,
        event: str,
        quantities: Mapping[str, int] | None,
        *,
        reason: str,
        source: str | None = None,
        actor: str = "local",
    ) -> dict[str, Any]:
        """Says what an event's quantities really were (None: nothing, it is void), by an event that is appended.

        Meters that are not named stay. A second time changes nothing. See `corrections.correct`.
        """
        wish = Correction(event, quantities, reason, source, actor)
        appended: list[Charge] = []
        found: dict[str, Any] = self.change(lambda connection, private: correct(connection, private, wish, appended))
        self.account(appended[-1:])
        return found

    def history(self, event: str, *, source: str | None = None) -> dict[str, Any]:
        """An event, its corrections with their reasons, and what is left of it: `{event, corrections, quantities}`."""
        with self.stores.reading.connect() as connection, self.stores.private_reading.connect() as private:
            return history(connection, private, event, source)

    def usage(self, customer: str | None = None, start: Any = None, end: Any = None) -> list[dict[str, Any]]:
        """Quantities and exact prices in [start, end), by customer (id or name), key, model, plan and meter."""
        owner = self.customers.find(customer) if customer is not None else None
        with self.stores.reading.connect() as connection:
            return usage_rows(connection, owner, clock.moment(start, "start"), clock.moment(end, "end"), self.plan)

    def events(
        self,
        customer: str | None = None,
        start: Any = None,
        end: Any = None,
        *,
        after: int = 0,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Single events in [start, end), of one customer (id or name) or all. Oldest first; with `limit`, a page in the
        ledger's own order that follows the position `after`.
        """
        owner = self.customers.find(customer) if customer is not None else None
        first, last = clock.moment(start, "start"), clock.moment(end, "end")
        with self.stores.reading.connect() as connection:
            return event_rows(connection, owner, first, last, after=after, limit=limit)

    def close_month(self, customer: str, period: str, *, reference: str = "", actor: str = "local") -> bool:
        """Closes a customer's (id or name) month `2026-11`: what comes for it later counts in the next open one.

        False: it was closed before. UsageError `month-not-over`. To close it together with an invoice, call
        `periods.close_period` inside `change`.
        """
        owner = self.customers.find(customer)
        closed: bool = self.change(
            lambda connection, _: close_period(connection, owner, period, reference=reference, actor=actor)
        )
        return closed

    def closed_months(self, customer: str | None = None) -> list[dict[str, Any]]:
        """Closed months of a customer (id or name) or of all: customer, month, closed, reference."""
        owner = self.customers.find(customer) if customer is not None else None
        with self.stores.reading.connect() as connection:
            return closed_rows(connection, owner)

    def audit(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The newest lines of the audit log."""
        with self.stores.reading.connect() as connection:
            return audit_rows(connection, limit)

    def note(self, actor: str, action: str, subject: str, **detail: Any) -> None:
        """Adds a line to the audit log."""
        self.writer.wait(lambda connection, _: write_audit(connection, actor, action, subject, detail))

    def verify(self, against: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Walks every chain and compares the totals with the events. `{holds, events, audit, broken: [...]}`.

        `against`: heads that were kept elsewhere, `{ledger, heads}`.
        """
        from breakeven.ledger.verify import verify

        with self.stores.reading.connect() as connection:
            return verify(connection, self._fact("ledger"), against)

    def change(self, work: Callable[[Connection, Callable[[], Connection]], Any]) -> Any:
        """Runs a change on the writer's connections, in its own savepoint of the next commit."""
        return self.writer.wait(work)

    def genesis(self) -> str:
        """The hash before the first event of this process's chain."""
        return chain.genesis(self._fact("ledger"), self.writer.head.writer)
