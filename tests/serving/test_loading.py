"""How a package is opened before a server answers with it."""

from __future__ import annotations

import threading

import pytest

from breakeven.serving.loading import apart


def test_a_package_is_opened_on_a_thread_that_does_not_stay():
    thread = apart(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_what_opening_fails_with_is_passed_on():
    with pytest.raises(ZeroDivisionError, match="division"):
        apart(lambda: 1 // 0)
