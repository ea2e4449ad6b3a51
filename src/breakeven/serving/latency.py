"""How long a release's answers take while a canary runs beside it: counts by size of the request, not the requests.

Both releases are timed over the same period, and of each one request at a time: one that overlaps a timed one is not
counted, so a single pause does not look like a hundred slow requests.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

SIZES = 8  # classes of requests, each four times as large as the one before
BUCKETS = 128
_FIRST = 0.0005  # seconds; what is quicker is in bucket 0
_RATIO = 1.1  # of a bucket's end to its begin: no figure is finer
_PLAIN_SIZE = 16  # of an input that is neither text nor bytes

Counts = dict[str, dict[str, int]]  # size class -> bucket -> requests


class Latencies:
    """The counts of one release. On the event loop, but for `as_json`."""

    def __init__(self) -> None:
        self._counts: dict[int, dict[int, int]] = {}
        self._timed = False

    def follow(self, inputs: Sequence[Any], answer: asyncio.Future[Any]) -> None:
        """Times a request from now until it is answered, unless another one is being timed. A failure counts nowhere
        here.
        """
        if self._timed:
            return
        self._timed, began = True, time.perf_counter()

        def ended(found: asyncio.Future[Any]) -> None:
            self._timed = False
            if not found.cancelled() and found.exception() is None:
                self.count(size_class(inputs), time.perf_counter() - began)

        answer.add_done_callback(ended)

    def count(self, size: int, seconds: float) -> None:
        """Counts one request."""
        counts = self._counts.setdefault(size, {})
        place = bucket(seconds)
        counts[place] = counts.get(place, 0) + 1

    def as_json(self) -> Counts:
        """The counts by size and bucket, as they are at this moment."""
        return {
            str(size): {str(place): n for place, n in dict(counts).items()}
            for size, counts in dict(self._counts).items()
        }


def size_class(inputs: Sequence[Any]) -> int:
    """The class of a request by the characters or bytes of its inputs together: below 16, 64, 256 ..."""
    size = sum(len(item) if isinstance(item, (str, bytes)) else _PLAIN_SIZE for item in inputs)
    return min(max((size.bit_length() - 3) // 2, 0), SIZES - 1)


def bucket(seconds: float) -> int:
    """The bucket of a time."""
    if seconds < _FIRST:
        return 0
    return min(int(math.log(seconds / _FIRST) / math.log(_RATIO)) + 1, BUCKETS)


def begins(place: int) -> float:
    """The shortest time of a bucket, in seconds."""
    return 0.0 if place == 0 else _FIRST * _RATIO ** (place - 1)


def read(counts: Mapping[str, Any]) -> dict[int, dict[int, int]]:
    """Counts as `as_json` wrote them."""
    return {int(size): {int(place): int(n) for place, n in found.items()} for size, found in counts.items()}
