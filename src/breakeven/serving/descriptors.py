"""How many files and connections the system lets this process have open: raised, and connections kept below it.

Where connections take the last one, neither the ledger nor a release can open a file.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from breakeven.serving.protocol import Guard

log = logging.getLogger("breakeven.serving")

OWN = 256  # for the ledger, releases, batch files and the log
_FEWEST = 16


def fitting(guard: Guard) -> Guard:
    """The bounds with no more connections than the system allows beside our own files; tells where these are fewer."""
    try:
        import resource
    except ModuleNotFoundError:  # no such limits here
        return guard
    wanted = guard.connections + OWN
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return guard
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    found = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if found >= wanted:
        return guard
    room = max(_FEWEST, found - OWN if found > 2 * OWN else found // 2)
    log.warning("the system allows %d open files: %d connections instead of %d", found, room, guard.connections)
    return replace(guard, connections=min(room, guard.connections))
