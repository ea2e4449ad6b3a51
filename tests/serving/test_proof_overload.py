"""At three times what a server can do nobody is charged for a refusal, and every request gets one answer or the other.
How many answers and how fast: make stress.
"""

from __future__ import annotations

import pytest

from breakeven.serving.launch import ServerProcess
from tests.serving.overload import overloaded

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_refused_is_never_charged_and_everybody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHO_SECONDS", "0.02")
    limits = {"max_batch": 1, "queue_seconds": 0.1}
    with ServerProcess("nowhere", module="tests.serving.echo_server", limits=limits) as fifty:
        found = overloaded(fifty, rate=300, seconds=3, connections=200)
        alive = fifty.alive()
    assert found["unaccounted"] == found["astray"] == 0 and alive, found
    assert set(found["errors"]) == {"503"} and found["answered"] > 0, found
    assert len(found["texts"]) <= 3 and all('"code":"overloaded"' in text for text in found["texts"]), found
