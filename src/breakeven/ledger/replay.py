"""Idempotency: a key names a request; its answer is kept for a day, that it was charged is remembered for ever."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import Refused
from breakeven.ledger import clock, schema
from breakeven.ledger.store import Stores
from breakeven.ledger.writer import Writer

RETENTION = clock.DAY


@dataclass(frozen=True)
class Stored:
    """An answer given before."""

    status: int
    body: bytes


class Replay:
    """The door `ledger.replay`."""

    def __init__(self, writer: Writer, stores: Stores, salt: str) -> None:
        self._writer = writer
        self._stores = stores
        self._salt = bytes.fromhex(salt)

    def name(self, customer: str, idempotency_key: str) -> str:
        """The keyed hash under which a customer's Idempotency-Key is kept."""
        return hmac.digest(self._salt, f"{customer}\0{idempotency_key}".encode(), "sha256").hex()

    def request(self, body: bytes) -> str:
        """The keyed hash of a request, by which the same body is known again."""
        return hmac.digest(self._salt, hashlib.sha256(body).digest(), "sha256").hex()[:32]

    def find(self, name: str, request: str) -> Stored | None:
        """The stored answer; None if the key is new. Refused: other body (`idempotency-other-body`), answer gone
        (`-expired`).
        """
        with self._stores.reading.connect() as connection:
            query = sa.select(schema.idempotency.c.request).where(schema.idempotency.c.id == name)
            charged = connection.execute(query).scalar()
        if charged is None:
            return None
        if charged != request:
            raise Refused("idempotency-other-body")
        with self._stores.private_reading.connect() as connection:
            row = connection.execute(
                sa.select(schema.answers.c.status, schema.answers.c.body, schema.answers.c.expires).where(
                    schema.answers.c.id == name
                )
            ).first()
        if row is None or row.expires <= clock.now():
            raise Refused("idempotency-expired")
        return Stored(row.status, bytes(row.body))

    def sweep(self) -> int:
        """Erases answers and inputs past their time; how many."""

        def change(_public: Connection, private: Callable[[], Connection]) -> int:
            moment = clock.now()
            return sum(
                private().execute(sa.delete(table).where(table.c.expires <= moment)).rowcount
                for table in (schema.answers, schema.inputs)
            )

        gone: int = self._writer.wait(change)
        return gone
