"""A stream's parts on their way from the worker's thread to whoever reads them on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

_UNREAD_PARTS = 64


class Parts:
    """A stream's parts as they come: iterate over it on the event loop. Leaving early stops the model."""

    def __init__(self, make: Callable[[], Iterator[Any]], loop: asyncio.AbstractEventLoop, lane: str = "") -> None:
        self.make = make
        self.lane = lane
        self.loop = loop
        self.iterator: Iterator[Any] | None = None
        self.queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.left = False

    @property
    def ready(self) -> bool:
        """Whether a step makes sense: its reader is not far behind, or has left."""
        return self.left or self.queue.qsize() < _UNREAD_PARTS

    def __aiter__(self) -> Parts:
        return self

    async def __anext__(self) -> Any:
        kind, value = await self.queue.get()
        if kind == "part":
            return value
        if kind == "error":
            raise value
        raise StopAsyncIteration

    def tell(self, kind: str, value: Any = None) -> None:
        """Called on the worker's thread."""
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, (kind, value))
        except RuntimeError:  # the loop is closed: nobody listens any more
            self.left = True

    def step(self) -> bool:
        """One part more, on the worker's thread. False: this stream is over."""
        try:
            if self.left:
                raise StopIteration
            if self.queue.qsize() >= _UNREAD_PARTS:
                return True
            if self.iterator is None:
                self.iterator = self.make()
            self.tell("part", next(self.iterator))
            if not self.left:
                return True
            raise StopIteration
        except StopIteration:
            self.tell("end")
        except Exception as error:
            self.tell("error", error)
        close = getattr(self.iterator, "close", None)
        if close is not None:
            close()
        return False
