"""What customers say about answers. Erasable, so it lies in the private part and never in the chain."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from breakeven.errors import InputError, Place
from breakeven.ledger import clock, schema
from breakeven.ledger.writer import Writer

FIELDS = ("correct", "label", "rating", "comment")


class Feedback:
    """The door `ledger.feedback`."""

    def __init__(self, writer: Writer, reading: sa.Engine, private_reading: sa.Engine) -> None:
        self._writer = writer
        self._reading = reading
        self._private = private_reading

    def add(
        self, event: str, value: Mapping[str, Any], *, customer: str | None = None, index: int | None = None
    ) -> dict[str, Any]:
        """Keeps a word on a request's answers. `customer` None: the owner of the ledger speaks.

        Another customer's request is as unknown as one that never was.
        """
        if not value or set(value) - set(FIELDS):
            raise InputError(
                "feedback-value", at=Place(field=next(iter(set(value) - set(FIELDS)), "correct")), allowed=FIELDS
            )
        with self._reading.connect() as connection:
            query = sa.select(schema.events.c.customer, schema.events.c.answers).where(schema.events.c.id == event)
            found = connection.execute(query).first()
        if found is None or (customer is not None and found.customer != customer):
            raise InputError("request-not-found", at=Place(field="id"), id=event[:64])
        if index is not None and not 0 <= index < found.answers:
            raise InputError("feedback-index", at=Place(field="index"), found=index, answers=found.answers)
        row = {
            "event": event,
            "customer": found.customer,
            "item": index,
            "time": clock.now(),
            "value": json.dumps(dict(value), ensure_ascii=False, sort_keys=True),
        }

        def change(_public: Connection, private: Callable[[], Connection]) -> None:
            private().execute(sa.insert(schema.feedback), row)

        self._writer.wait(change)
        return {"id": event, "index": index, **value}

    def list(self, customer: str | None = None, limit: int = 10_000) -> list[dict[str, Any]]:
        """Feedback, oldest first."""
        query = sa.select(schema.feedback).order_by(schema.feedback.c.position).limit(limit)
        if customer is not None:
            query = query.where(schema.feedback.c.customer == customer)
        with self._private.connect() as connection:
            return [
                {
                    "id": row["event"],
                    "index": row["item"],
                    "customer": row["customer"],
                    "time": clock.text(row["time"]),
                    **json.loads(row["value"]),
                }
                for row in connection.execute(query).mappings()
            ]
