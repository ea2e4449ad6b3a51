"""The end of a server: what runs may finish until the deadline; what has not by then is cut off, and says so.

A stream ends with an error in it and is charged for what was sent. Whoever got no answer is not charged; where the
ledger was just about to write, it is asked.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa

from breakeven.ledger import schema
from breakeven.serving.wire import HttpError

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger
    from breakeven.ledger.events import Charge
    from breakeven.serving.app import Service

log = logging.getLogger("breakeven.serving")

LAST_SECONDS = 3  # for the last words of what is cut off at the deadline


async def cut_streams(service: Service) -> None:
    """Waits for the deadline of a server that ends, then ends its streams."""
    await asyncio.sleep(service.limits.shutdown_seconds)
    if service.streams:
        log.warning("%d streams did not end in time", len(service.streams))
    for parts in list(service.streams):
        parts.tell("error", HttpError(503, "shutting-down"))


def written(ledger: Ledger, charge: Charge) -> bool:
    """Whether a charge that was put to the writer is in the ledger, once all that was put before is dealt with.

    HttpError 503 `shutting-down` where it is not: nothing is charged then.
    """
    ledger.writer.wait(lambda _connection, _private: None)
    cell = schema.events.c
    query = sa.select(cell.position).where(cell.id == charge.id, cell.source == charge.source)
    with ledger.stores.reading.connect() as connection:
        if connection.execute(query).first() is None:
            raise HttpError(503, "shutting-down")
    return True
