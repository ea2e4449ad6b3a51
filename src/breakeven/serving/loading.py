"""Opening a verified release on this machine: what memory it will take is said first, then that it answers here.

A release that needs more memory than there is left is not opened at all: it would take down the one that serves.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from breakeven.errors import EnvironmentFault, Place
from breakeven.packaging.opened import read_info
from breakeven.packaging.recheck import HERE, open_here
from breakeven.packaging.release import Release

log = logging.getLogger("breakeven.releases")

Opened = TypeVar("Opened")

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
    package = apart(lambda: open_here(release.model, threads=threads, beside=release.folder.parent / HERE))
    _tell(release.id, package.here)
    return Loaded(package, max(0, _resident() - before), bool(package.here.get("fell_back")))


def apart(opening: Callable[[], Opened]) -> Opened:
    """What a call returns that is made on a thread of its own, which ends with it.

    Opening a model computes, and a thread that has computed keeps OpenMP's threads for itself. With those of the thread
    that answers they would be more than there are cores, and then OpenMP's threads sleep where else they wait awake for
    the next operation: 90 wakes a text, a third of the time that one text takes.
    """
    with ThreadPoolExecutor(1, "opening") as pool:
        return pool.submit(opening).result()


def _tell(name: str, here: Mapping[str, Any]) -> None:
    """Says what a machine that differs from the measured one came to; nothing where it does not differ."""
    if not here.get("moved"):
        return
    differs = "; ".join(here["moved"])
    if not here["checked"]:
        log.warning("%s: this machine differs (%s) and the package holds no rows to check it by", name, differs)
        return
    found = f"{here['agree']} of {here['rows']} rows agree" + (
        ", known from an earlier start" if "remembered" in here else ""
    )
    if here["fell_back"]:
        log.warning(
            "%s: this machine differs (%s): serving with the reference runtime '%s' (%s; %s)",
            name, differs, here["runtime"], here["reason"], found,
        )  # fmt: skip
    else:
        log.info("%s: this machine differs (%s): runtime '%s' holds (%s)", name, differs, here["runtime"], found)


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
