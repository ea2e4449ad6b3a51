"""The running server follows the signed decisions: what they name is verified, opened and warmed beside what serves,
then swapped in between two requests.

A decision is taken as a whole or not at all. One that fails its checks changes nothing: what served goes on serving,
and the reason is in the log, in `/metrics`, in the audit log and in the status. Requests that run finish on the release
that they began on (`leaving`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakeven.artifacts import canonical
from breakeven.errors import BreakevenError, IntegrityError, Place
from breakeven.packaging.decisions import CURRENT, DECISIONS, Decision, Named, numbers, open_named, open_shipping
from breakeven.serving.deployment import Deployment, Standing
from breakeven.serving.leaving import Leaving
from breakeven.serving.loading import Loaded, load
from breakeven.serving.reports import Reports
from breakeven.serving.shadow import Shadow

if TYPE_CHECKING:
    from breakeven.packaging.release import Release
    from breakeven.serving.app import Service

log = logging.getLogger("breakeven.releases")

LOOK_SECONDS = 1.0
DRAIN_SECONDS = 30.0
_LONGEST_LOOK = 590.0
_WARM_CASES = 8
_WARM_ROUNDS = 3
Loader = Callable[..., Loaded]


class Roster:
    """Follows a releases folder for a service that serves its `decision` already. `trust`: the public key.

    All methods but `follow_now` run on the event loop.
    """

    def __init__(
        self,
        service: Service,
        releases: Path,
        trust: Path,
        decision: Decision,
        *,
        threads: int = 1,
        drain_seconds: float = DRAIN_SECONDS,
        loader: Loader = load,
    ) -> None:
        self._service = service
        self._releases = releases
        self._trust = trust
        self._threads = threads
        self._leaving = Leaving(drain_seconds)
        self._reports = Reports(service.ledger)
        self._load = loader
        self._held = {_identity(decision.current): service.current}
        self._shadow: tuple[str, Shadow] | None = None
        self._seen: object = None
        self._looking = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.decision = decision
        self.complete = len(decision.named()) == 1
        self.refused: tuple[int, BreakevenError] | None = None

    async def begin(self) -> None:
        """Opens what the first decision names beside the release that serves. A failure is told and stops nothing."""
        self._loop = asyncio.get_running_loop()
        self._seen = self._signature()
        if not self.complete:
            await self.look()
        else:
            await self._tell()

    async def follow(self) -> None:
        """Looks for a new decision every second, for ever. A look that finds nothing costs two calls of the system."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._reports.beat(self.status, canary=self._service.standing.canary is not None)
            signature = self._signature()
            if signature != self._seen:
                self._seen = signature
                await self.look()

    def follow_now(self) -> dict[str, Any]:
        """Looks at once, for the command line; called on another thread. Returns `status` afterwards."""
        if self._loop is None:
            return self.status()
        return asyncio.run_coroutine_threadsafe(self.look(), self._loop).result(_LONGEST_LOOK)

    async def look(self) -> dict[str, Any]:
        """Follows the newest decision that ships, if it is not followed yet. Returns `status`."""
        async with self._looking:
            number = max([self.decision.number, *numbers(self._releases)[-1:]])
            try:
                decision = await asyncio.to_thread(open_shipping, self._releases, self._trust)
                number = decision.number
                if number < self.decision.number:
                    place = Place(file=str(self._releases / DECISIONS))
                    raise IntegrityError("decision-backwards", at=place, found=number, followed=self.decision.number)
                # The same number again, with other words: a damaged record was moved away, and decided anew.
                if number > self.decision.number or decision.info != self.decision.info or not self.complete:
                    await self._take(decision)
                self._no_refusal()
            except BreakevenError as error:
                await self._refuse(number, error)
            except Exception as error:  # a package may raise anything; the one that serves must not feel it
                log.exception("decision %d could not be followed", number)
                reason = f"{type(error).__name__}: {error}"[:300]
                await self._refuse(number, BreakevenError("release-unusable", reason=reason))
            return self.status()

    def status(self) -> dict[str, Any]:
        """`{decision, current, canary, share, shadow, beside, refused, requests, tried, latency}` as JSON. `tried`:
        requests since the canary that runs began.
        """
        standing, shadow = self._service.standing, self._shadow
        refused = None if self.refused is None else {"decision": self.refused[0], **self.refused[1].as_json()}
        return {
            "pid": os.getpid(),
            "decision": self.decision.number,
            "current": standing.current.name,
            "canary": None if standing.canary is None else standing.canary.name,
            "share": standing.share,
            "shadow": None if shadow is None else {"release": shadow[1].name, **shadow[1].counts},
            "beside": [name for name, one in standing.served.items() if one not in (standing.current, standing.canary)],
            "refused": refused,
            "requests": {one.name: one.figures.requests() for one in standing.served.values() if one.figures},
            "tried": {one.name: one.tried() for one in standing.served.values() if one.latencies and one.figures},
            "latency": {one.name: one.latencies.as_json() for one in standing.served.values() if one.latencies},
        }

    def told(self) -> dict[str, Any]:
        """`status`, with what every server of this ledger counted since the canary began; called on another thread."""
        return self._reports.now(self.status())

    async def end(self) -> None:
        """Closes what is on its way out and the shadow."""
        await self._reports.write(self.status(), ended=True)
        await self._leaving.end()
        if self._shadow is not None:
            await asyncio.to_thread(self._shadow[1].close)

    async def _take(self, decision: Decision) -> None:
        """Opens what is not open yet, then swaps; what was opened for nothing is closed again."""
        fresh: list[Deployment] = []
        shadow: Shadow | None = None
        try:
            answering = [decision.current, *([decision.canary] if decision.canary else []), *decision.beside]
            for named in answering:
                if _identity(named) not in self._held:
                    deployment = await self._opened(named)
                    fresh.append(deployment)
                    self._held[_identity(named)] = deployment
            if decision.shadow is not None and (self._shadow is None or self._shadow[0] != _identity(decision.shadow)):
                shadow = await self._shadowed(decision.shadow)
        except BaseException:
            self._held = {key: one for key, one in self._held.items() if one not in fresh}
            for deployment in fresh:
                await asyncio.to_thread(deployment.close)
            raise
        if decision.number != self.decision.number:
            await self._reports.write(self.status(), ended=True)
        self._swap(decision, shadow)
        await self._tell()

    async def _opened(self, named: Named) -> Deployment:
        """A release that has passed every check, has answered once, and is sent nobody yet."""
        release, loaded = await self._loaded(named)
        deployment = self._service.deploy(loaded.package, named.rule, name=release.id)
        try:
            await _warm(deployment)
        except BaseException:
            await asyncio.to_thread(deployment.close)
            raise
        return deployment

    async def _shadowed(self, named: Named) -> Shadow:
        release, loaded = await self._loaded(named)
        return Shadow(
            loaded.package,
            named.rule,
            name=release.id,
            idle=lambda: all(one.batcher.idle for one in self._service.served.values()),
            count=lambda outcome, cases: self._service.watch.shadowed(release.id, outcome, cases),
        )

    async def _loaded(self, named: Named) -> tuple[Release, Loaded]:
        release = await asyncio.to_thread(open_named, self._releases, named, self._trust)
        loaded = await asyncio.to_thread(self._load, release, threads=self._threads)
        log.info("%s is open: %.0f MB more", release.id, loaded.added / 1e6)
        self._service.watch.opened(release.id, loaded)
        return release, loaded

    def _swap(self, decision: Decision, shadow: Shadow | None) -> None:
        """Without a pause in between: the next request that asks is answered by the new releases."""
        keys = [_identity(named) for named in (decision.current, *decision.beside)]
        canary = None if decision.canary is None else self._held[_identity(decision.canary)]
        current, *beside = (self._held[key] for key in keys)
        answering = [current, *([canary] if canary is not None else []), *beside]
        share = decision.canary.share if decision.canary is not None else None
        self._swap_shadow(decision, shadow, current)
        self._service.stand(Standing(current, canary, share or 0.0, {one.name: one for one in answering}))
        self.decision, self.complete = decision, True
        for key, deployment in list(self._held.items()):
            if deployment not in answering:
                del self._held[key]
                self._leaving.release(deployment)

    def _swap_shadow(self, decision: Decision, shadow: Shadow | None, current: Deployment) -> None:
        before = self._shadow
        if decision.shadow is None:
            self._shadow = None
        elif shadow is not None:
            self._shadow = _identity(decision.shadow), shadow
        for deployment in self._held.values():
            deployment.shadow = self._shadow[1] if self._shadow is not None and deployment is current else None
        if before is not None and before is not self._shadow:
            self._leaving.shadow(before[1])

    async def _refuse(self, number: int, error: BreakevenError) -> None:
        known = self.refused is not None and (self.refused[0], str(self.refused[1])) == (number, str(error))
        self.refused = number, error
        self._service.refused = number, error.code
        self._service.watch.refuses(number, error.code)
        if known:
            return
        log.error("decision %d is not followed, %s goes on serving: %s", number, self._service.current.name, error)
        await self._note("releases.refuse", number=number, code=error.code)
        await self._reports.write(self.status())

    def _no_refusal(self) -> None:
        if self.refused is not None:
            self.refused = self._service.refused = None
            self._service.watch.follows(self.decision.number, self._shares())

    def _shares(self) -> dict[tuple[str, str], float]:
        """Share of the customers by (release, role)."""
        decision = self.decision
        canary = decision.canary if self._service.standing.canary is not None else None
        share = (canary.share if canary is not None else None) or 0.0
        found = {(decision.current.release, "current"): 1.0 - share}
        if canary is not None:
            found[canary.release, "canary"] = share
        if self._shadow is not None:
            found[self._shadow[1].name, "shadow"] = 0.0
        return found | {(one.release, "beside"): 0.0 for one in decision.beside}

    async def _tell(self) -> None:
        status, decision = self.status(), self.decision
        self._service.watch.follows(decision.number, self._shares())
        shadow = None if self._shadow is None else self._shadow[1].name
        beside = status["beside"]
        said = [f"canary {status['canary']} {status['share']:.3g}"] if status["canary"] else []
        said += [f"shadow {shadow}"] if shadow else []
        said += [f"beside {', '.join(beside)}"] if beside else []
        log.info("follows decision %d: %s", decision.number, "; ".join([f"{status['current']} serves", *said]))
        detail = {
            "canary": status["canary"],
            "share": status["share"] or None,
            "shadow": shadow,
            "beside": beside or None,
        }
        told = {name: value for name, value in detail.items() if value is not None}
        await self._note("releases.follow", number=decision.number, **told)
        await self._reports.write(self.status())

    async def _note(self, action: str, **detail: Any) -> None:
        try:
            await asyncio.to_thread(self._service.ledger.note, "server", action, self._service.current.name, **detail)
        except Exception as error:  # the ledger says itself what is wrong with it, and /readyz too
            log.warning("the audit log could not be written: %s", error)

    def _signature(self) -> object:
        """Changes whenever a decision is published; touching `current.json` asks for another look."""
        found = []
        for path in (self._releases / DECISIONS, self._releases / CURRENT):
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_ino))
            except OSError:
                found.append((0, 0))
        return tuple(found)


async def _warm(deployment: Deployment) -> None:
    """Answers its own example on the worker that will answer requests: what fails does so now, what is lazy is done,
    and the queue knows the pace before the first request comes.
    """
    info = getattr(deployment.package, "info", {})
    if info.get("example") is not None:
        items = [deployment.package.parse(info["example"])] * _WARM_CASES
        await deployment.on_worker(lambda: deployment.answer_now(items[:1]))
        rounds = []
        for _ in range(_WARM_ROUNDS):
            began = time.monotonic()
            await deployment.on_worker(lambda: deployment.answer_now(items))
            rounds.append(time.monotonic() - began)
        deployment.batcher.learn(len(items), min(rounds))


def _identity(named: Named) -> str:
    """What makes two answers of a release alike: its package and its rule."""
    return canonical([named.release, named.package, named.rule])
