"""What every test stands on: a terminal of no stated width, a core a process, and how many examples properties see."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Runners that share the work among processes state the width of their own terminal, which folds tables otherwise.
os.environ.pop("COLUMNS", None)

# Processes that share the work take a core each: threads that wait for each other's turn only burn time.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# `--hypothesis-profile thorough` tries many; no example is timed, since a busy machine is no fault of what it runs.
for _name, _count in (("quick", 30), ("thorough", 1000)):
    settings.register_profile(
        _name, max_examples=_count, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
    )
settings.load_profile("quick")

MEMORY, ENOUGH = Path("/dev/shm"), 1 << 30


def pytest_configure(config: pytest.Config) -> None:
    """What the fast tests write need not outlive the machine: in memory their thousands of commits wait for no disk."""
    if config.getoption("-m") == "not slow" and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    """What collecting made stays to the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
