"""Customers and their terms: quotas by meter and month, a spend cap, a rate of requests."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import InputError, Place
from breakeven.ledger import clock, schema
from breakeven.ledger.audit import write_audit
from breakeven.ledger.inputs import withdraw
from breakeven.ledger.keys import customer_id
from breakeven.ledger.writer import Writer


@dataclass(frozen=True)
class Terms:
    """What a customer may use. Empty: no limit. Quotas and the cap are per calendar month, UTC."""

    quotas: Mapping[str, int] = field(default_factory=dict)
    spend_cap: Decimal | None = None
    requests_per_second: float | None = None
    burst: int | None = None
    consent: bool = False  # to keep inputs and outputs, where the project file asks for it

    def as_json(self) -> dict[str, Any]:
        """The shape kept in the table; money as an exact decimal string."""
        return {
            "quotas": dict(self.quotas),
            "spend_cap": None if self.spend_cap is None else str(self.spend_cap),
            "requests_per_second": self.requests_per_second,
            "burst": self.burst,
            "consent": self.consent,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Terms:
        """Reads what `as_json` wrote or a person typed; unknown names and negative numbers are refused."""
        unknown = sorted(set(data) - {"quotas", "spend_cap", "requests_per_second", "burst", "consent"})
        if unknown:
            raise InputError("terms-unknown", at=Place(field=unknown[0]))
        quotas = data.get("quotas") or {}
        for meter, quantity in quotas.items():
            if not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 0:
                raise InputError("terms-number", at=Place(field=f"quotas.{meter}"), found=quantity)
        consent = data.get("consent", False)
        if not isinstance(consent, bool):
            raise InputError("terms-consent", at=Place(field="consent"), found=consent)
        cap, rate, burst = data.get("spend_cap"), data.get("requests_per_second"), data.get("burst")
        try:
            money = None if cap is None else Decimal(str(cap))
        except InvalidOperation:
            raise InputError("terms-number", at=Place(field="spend_cap"), found=cap) from None
        for name, number in (("spend_cap", money), ("requests_per_second", rate), ("burst", burst)):
            if number is not None and (not Decimal(str(number)).is_finite() or number < 0):
                raise InputError("terms-number", at=Place(field=name), found=number)
        return cls(dict(quotas), money, rate, burst, consent)


@dataclass(frozen=True)
class Customer:
    """Somebody who is billed."""

    id: str
    name: str
    created: int
    terms: Terms

    def as_json(self) -> dict[str, Any]:
        """The row that the command line prints."""
        return {"id": self.id, "name": self.name, "created": clock.text(self.created), "terms": self.terms.as_json()}


class Customers:
    """The door `ledger.customers`."""

    def __init__(self, writer: Writer, reading: sa.Engine, *, remember_seconds: float | None) -> None:
        """`remember_seconds`: how long terms are trusted; None where this process sees every change itself."""
        self._writer = writer
        self._reading = reading
        self._remember = remember_seconds
        self._terms: dict[str, tuple[Terms, float]] = {}

    def add(self, name: str, *, terms: Terms | None = None, actor: str = "local") -> Customer:
        """A new customer; the same name again returns the one there is."""
        name = name.strip()
        if not name or len(name) > 200 or not name.isprintable():
            raise InputError("customer-name", at=Place(field="name"))
        fresh = Customer("cus_" + secrets.token_hex(8), name, clock.now(), terms or Terms())

        def change(connection: Connection, _private: Callable[[], Connection]) -> Customer:
            found = (
                connection.execute(sa.select(schema.customers).where(schema.customers.c.name == name))
                .mappings()
                .first()
            )
            if found is not None:
                return _customer(found)
            connection.execute(
                sa.insert(schema.customers),
                {"id": fresh.id, "name": name, "created": fresh.created, "terms": json.dumps(fresh.terms.as_json())},
            )
            write_audit(connection, actor, "customer.add", fresh.id, {})  # no name: it must be erasable
            return fresh

        customer: Customer = self._writer.wait(change)
        return customer

    def set_terms(self, customer: str, terms: Terms, *, actor: str = "local") -> Customer:
        """Changes what a customer (id or name) may use, from the next request on. Without consent, what was kept of
        them is erased.
        """

        def change(connection: Connection, private: Callable[[], Connection]) -> Customer:
            found = customer_id(connection, customer)
            if not terms.consent:
                withdraw(connection, private(), found)
            connection.execute(
                sa.update(schema.customers)
                .where(schema.customers.c.id == found)
                .values(terms=json.dumps(terms.as_json()))
            )
            write_audit(connection, actor, "customer.terms", found, terms.as_json())
            return _customer(
                connection.execute(sa.select(schema.customers).where(schema.customers.c.id == found)).mappings().one()
            )

        changed: Customer = self._writer.wait(change)
        self.forget()
        return changed

    def list(self) -> list[Customer]:
        """All customers, oldest first."""
        with self._reading.connect() as connection:
            rows = connection.execute(sa.select(schema.customers).order_by(schema.customers.c.created)).mappings()
            return [_customer(row) for row in rows]

    def find(self, customer: str) -> str:
        """The id behind an id or a name."""
        with self._reading.connect() as connection:
            return customer_id(connection, customer)

    def terms(self, customer: str) -> Terms:
        """A customer's terms by id; remembered until they change."""
        known = self._terms.get(customer)
        if known is not None and (self._remember is None or time.monotonic() - known[1] < self._remember):
            return known[0]
        with self._reading.connect() as connection:
            query = sa.select(schema.customers.c.terms).where(schema.customers.c.id == customer)
            text = connection.execute(query).scalar()
        terms = Terms.from_json(json.loads(text)) if text else Terms()
        self._terms[customer] = terms, time.monotonic()
        return terms

    def forget(self) -> None:
        """Drops remembered terms."""
        self._terms.clear()


def _customer(row: Any) -> Customer:
    return Customer(row["id"], row["name"], row["created"], Terms.from_json(json.loads(row["terms"])))
