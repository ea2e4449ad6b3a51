"""Opening a verified release on this machine: what memory it will take is said first, then that it answers here.

A release that needs more memory than there is left is not opened at all: it would take down the one that serves.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakeven.errors import EnvironmentFault, Place
from breakeven.packaging.opened import read_info
from breakeven.packaging.release import Release

log = logging.getLogger("breakeven.releases")

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Loaded:
    """An open package that answers here, and what opening it added to the process, in bytes."""

    package: Any
    added: int
    fell_back: bool = False


def load(release: Release, *, threads: int) -> Loaded:
    """Opens a release's package and checks it on this machine: parity, a short measurement, else the reference.

    EnvironmentFault `release-memory` before anything is loaded where its weights do not fit, `package-not-here` where
    even the reference gives other answers.
    """
    log.setLevel(logging.INFO)  # what is opened and served, and why not, is always told
    state_memory(release)
    before = _resident()
    package = release.open(threads=threads)
    try:
        checked = package.check_here()
    except BaseException:
        package.close()
        raise
    if checked["fell_back"]:
        differs = "; ".join(checked["moved"])
        log.warning("%s: this machine differs (%s): serving with the reference runtime", release.id, differs)
    return Loaded(package, max(0, _resident() - before), bool(checked["fell_back"]))


def state_memory(release: Release, free: int | None = None) -> None:
    """Says what a release will take at least and what is left (`free` None: measured); EnvironmentFault where it cannot
    fit.
    """
    need, free = weights(release), available() if free is None else free
    log.info("%s: %.1f MB of weights, %.0f MB of memory left", release.id, need / 1e6, free / 1e6)
    if need > free:
        place = Place(file=str(release.folder))
        raise EnvironmentFault("release-memory", at=place, need=f"{need / 1e6:.0f}", free=f"{free / 1e6:.0f}")


def weights(release: Release) -> int:
    """Bytes of the runtime that will be loaded: the least that it takes in memory."""
    folder = release.model / str(read_info(release.model)["runtimes"]["chosen"])
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def available() -> int:
    """Bytes of memory that this process may still take: what the machine has, or less where a container allows less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # no container, or no limit ("max")
        limit = int((_CGROUP / "memory.max").read_text())
        free = min(free, limit - int((_CGROUP / "memory.current").read_text()))
    return max(free, 0)


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
