"""How a package is opened before a server answers with it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from breakeven.errors import UsageError
from breakeven.serving.loading import apart
from breakeven.serving.run import serve


def test_a_package_is_opened_on_a_thread_that_does_not_stay():
    thread = apart(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_what_opening_fails_with_is_passed_on():
    with pytest.raises(ZeroDivisionError, match="division"):
        apart(lambda: 1 // 0)


def test_a_server_opens_apart_and_bounds_how_long_openmp_waits_awake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "to be put back")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    seen = []

    def opener(_folder: Path, _threads: int) -> None:
        seen.append((threading.current_thread(), os.environ["GOMP_SPINCOUNT"]))
        raise UsageError("trust-missing")

    with pytest.raises(UsageError, match="trust"):
        serve(tmp_path, ledger=tmp_path / "ledger.sqlite", port=0, opener=opener)
    ((thread, spins),) = seen
    assert thread is not threading.current_thread() and int(spins) <= 100_000
