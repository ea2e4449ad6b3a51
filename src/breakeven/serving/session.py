"""What a measuring session ran on: hardware, versions, and a fixed load whose pace shows whether the machine
changed.
"""

from __future__ import annotations

import hashlib
import platform
import time
from typing import Any


def hardware() -> dict[str, Any]:
    """The machine as packages and measurements name it."""
    from breakeven.packaging.hardware import hardware as described

    found = dict(described())
    found.setdefault("name", str(found.get("key", platform.machine())))
    return found


def versions() -> dict[str, str]:
    """Versions that a figure depends on."""
    from breakeven.packaging.hardware import library_versions

    return library_versions(
        [
            "numpy",
            "torch",
            "onnxruntime",
            "transformers",
            "scikit-learn",
            "uvicorn",
            "httptools",
            "uvloop",
            "sqlalchemy",
        ]
    )


def reference_load(seconds: float = 0.4) -> dict[str, Any]:
    """A fixed mix of hashing and float32 arithmetic on one thread: rounds a second of CPU time. The same work
    every time.
    """
    import numpy as np

    block = bytes(1 << 16)
    values = np.linspace(0.1, 1.0, 1 << 15, dtype=np.float32)
    rounds, started, cpu = 0, time.perf_counter(), time.thread_time()
    while time.perf_counter() - started < seconds:
        hashlib.sha256(block).digest()
        np.sqrt(np.exp(values) * values + values).sum()
        rounds += 1
    spent = time.thread_time() - cpu
    return {
        "per_second": rounds / spent,
        "rounds": rounds,
        "cpu_seconds": round(spent, 4),
        "wall_seconds": round(time.perf_counter() - started, 4),
    }
