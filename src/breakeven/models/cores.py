"""Several threads, each on one core, for batches of texts that have nothing to do with each other.

Threads that share one operation wait for each other at its end, many times a layer, the more so where other programs
want the cores: batches beside each other wait for nobody. Imported only inside functions.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Made = TypeVar("Made")
LEAST_TOKENS = 128  # a thread: below this, threads that share every operation answer sooner (measured with two)
EVEN = 0.85  # of what each thread would have if all had alike


class Cores:
    """`threads` threads of one core each."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        started = threading.Barrier(threads + 1)
        self._pool = ThreadPoolExecutor(threads, "encoder", _alone)
        for _ in range(threads):
            self._pool.submit(started.wait)
        started.wait()
        # The number for threads yet to come, which torch keeps apart from that of threads that are there.
        torch.set_num_threads(threads)

    def parts(self, lengths: Sequence[int], most: int) -> list[list[int]]:
        """Every index once, in as many parts of about equal tokens for each thread, of about `most` at most; one part
        where there is too little to share, or where one long text would leave the other threads idle.
        """
        tokens = sum(lengths)
        longest = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        found: list[list[int]] = [[] for _ in range(self.threads * math.ceil(tokens / (self.threads * most)))]
        loads = [(0, part) for part in range(len(found))]
        for index in longest:
            load, part = loads[0]
            heapq.heapreplace(loads, (load + lengths[index], part))
            found[part].append(index)
        if tokens < LEAST_TOKENS * self.threads or tokens < EVEN * len(found) * max(loads)[0]:
            return [longest] if longest else []
        return found

    def map(self, work: Callable[[Part], Made], parts: Sequence[Part]) -> list[Made]:
        """`work` of every part, in their order. A single part is done here, by threads that share an operation."""
        if len(parts) < 2:
            return [work(part) for part in parts]
        return list(self._pool.map(work, parts))


def _alone() -> None:
    torch.get_num_threads()  # torch gives a thread its number when it first asks, over one set before
    torch.set_num_threads(1)
