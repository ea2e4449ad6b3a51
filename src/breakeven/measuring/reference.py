"""A fixed load that says how fast this machine is just now, so that results of two sessions can be compared."""

from __future__ import annotations

import hashlib
import time

MOVED = 0.15  # results whose reference moved by more are measured again
BLOCK = b"breakeven" * 8192


def reference_load(seconds: float = 0.4, rounds: int = 5) -> float:
    """Work units a second on one core: hashing, plain Python and a small matrix product. The median of short rounds."""
    import numpy as np

    matrix = np.random.default_rng(0).random((96, 96), dtype=np.float32)
    rates = []
    for _ in range(rounds):
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds / rounds:
            hashlib.sha256(BLOCK).digest()
            sum(i * i for i in range(2000))
            for _ in range(4):
                matrix @ matrix
            done += 1
        rates.append(done / (time.perf_counter() - started))
    return sorted(rates)[rounds // 2]


def moved(now: float, then: float) -> float:
    """By which share the reference moved, either way."""
    return max(now, then) / min(now, then) - 1 if min(now, then) > 0 else float("inf")
