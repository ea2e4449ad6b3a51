"""The server without its meter, to see what metering costs: nothing is admitted, charged or counted."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from breakeven.serving import routes, run
from breakeven.serving.app import Service
from breakeven.serving.watch import Watch


async def _admit(*_: Any) -> None:
    return None


async def _commit(*_: Any) -> bool:
    return True


@contextlib.contextmanager
def unmetered() -> Iterator[None]:
    """While it is open, every service of this process answers without metering."""
    before = routes.admit, Service.commit, Watch.used
    routes.admit = _admit  # type: ignore[assignment]
    Service.commit = _commit  # type: ignore[method-assign, assignment]
    Watch.used = lambda *_: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        routes.admit, Service.commit, Watch.used = before  # type: ignore[method-assign]


def main() -> int:
    with unmetered():
        return run.main()


if __name__ == "__main__":
    sys.exit(main())
