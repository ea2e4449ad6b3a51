"""Releases on their way out: each closes after its last request, or when its time is up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from breakeven.serving.deployment import Deployment
from breakeven.serving.shadow import Shadow

log = logging.getLogger("breakeven.releases")

_LOOK_SECONDS = 0.05


class Leaving:
    """Closes what nobody is sent to any more, after at most `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def release(self, deployment: Deployment) -> None:
        """Lets a release finish what runs on it."""
        self._keep(self._drained(deployment))

    def shadow(self, shadow: Shadow) -> None:
        """Ends a shadow; nobody waits for it."""
        self._keep(asyncio.to_thread(shadow.close))

    async def end(self) -> None:
        """Closes at once what is still leaving: the server ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drained(self, deployment: Deployment) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        try:
            while deployment.running and loop.time() < until:
                await asyncio.sleep(_LOOK_SECONDS)
            if deployment.running:
                log.warning("%s: %d requests did not end in time", deployment.name, deployment.running)
        finally:
            # In a thread even when this task is cancelled: the worker's last batch must not hold the event loop.
            closing = asyncio.ensure_future(asyncio.to_thread(deployment.close))
            await asyncio.shield(closing)
            log.info("%s is closed", deployment.name)
