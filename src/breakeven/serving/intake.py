"""How many bytes of large bodies the server holds at once: each is within its limit, but many together fill memory."""

from __future__ import annotations

from breakeven.serving.wire import HttpError


class Intake:
    """Counts the bytes of bodies from their arrival until their answer. Methods run on the event loop.

    At most `most` bytes in all, and half of them for one key, so that one that sends much leaves room for the others.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._lanes: dict[str, int] = {}

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._held

    def take(self, lane: str, size: int) -> None:
        """Counts `size` bytes more; HttpError 503 where they are too many."""
        mine = self._lanes.get(lane, 0) + size
        if mine > self._most // 2 or self._held + size > self._most:
            raise HttpError(503, "overloaded", retry_after=1, headers={"connection": "close"})
        self._lanes[lane] = mine
        self._held += size

    def give(self, lane: str, size: int) -> None:
        """Counts `size` bytes less."""
        self._held -= size
        left = self._lanes[lane] - size
        if left:
            self._lanes[lane] = left
        else:
            del self._lanes[lane]
