"""Running the service: a socket, uvicorn, a ledger, an end without a dropped request.

`python -m breakeven.serving.run` is what tests and load tests start; people use `breakeven serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from breakeven.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from breakeven.ledger.plans import PricePlan
    from breakeven.packaging.decisions import Decision
    from breakeven.serving.app import Limits, Service
    from breakeven.serving.inputs import Keep
    from breakeven.serving.loading import Loaded
    from breakeven.serving.protocol import Guard
    from breakeven.serving.roster import Roster

log = logging.getLogger("breakeven.serving")

SHUTDOWN_SECONDS = 30
TIDY_SECONDS = 3600
_SPIN_COUNT = "20000"  # some 0.2 ms
Opener = Callable[[Path, int], Any]


def serve(
    folder: str | Path,
    *,
    ledger: str | Path,
    trust: str | Path | None = None,
    unsigned: bool = False,
    rule: Mapping[str, Any] | None = None,
    plan: PricePlan | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int = 1,
    limits: Limits | None = None,
    guard: Guard | None = None,
    name: str | None = None,
    opener: Opener | None = None,
    keep: Keep | None = None,
    ready: Callable[[str, Service], None] | None = None,
) -> int | None:
    """Serves until SIGTERM or SIGINT: refuses new requests, finishes what runs, closes the ledger. Returns the signal
    that ended it (None: something else did), for the caller to leave with 128 + it.

    `folder` is a releases folder (its newest decision is followed, see `roster`), or one release, each checked against
    the public key `trust`; with `unsigned`, a bare package, on loopback only. `rule` None: the decision's, else the
    task's default.
    `threads` 0: as measured to be fastest here, else all cores.
    `ledger`: see `ledger_place`. `port` 0 takes a free one. `opener(folder, threads)` replaces how a package is opened.
    `keep`: what is kept of requests with consent. `ready(url, service)` is called once requests are taken. Raises
    IntegrityError (signature, manifest), EnvironmentFault (port, package), Busy (another process owns the ledger).
    """
    from breakeven.ledger import open_ledger
    from breakeven.ledger.commands import COMMANDS
    from breakeven.ledger.owner import Desk
    from breakeven.serving.app import create_app
    from breakeven.serving.inputs import InputLog
    from breakeven.serving.orders import Orders
    from breakeven.serving.roster import Roster

    if unsigned and not _loopback(host):
        raise UsageError("unsigned-not-loopback", host=host)
    listening = listen(host, port)
    with contextlib.ExitStack() as stack:
        stack.callback(listening.close)
        loaded, found_name, decision = _open(
            Path(folder), trust=trust, unsigned=unsigned, threads=threads, opener=opener
        )
        given = rule if rule is not None or decision is None else decision.rule
        book = stack.enter_context(open_ledger(ledger))
        orders = Orders()
        if book.lock is not None:
            stack.callback(Desk(book, {**COMMANDS, **orders.commands()}).close)
        service = create_app(loaded.package, given, book, limits, plan=plan, name=name or found_name)
        service.watch.opened(service.current.name, loaded)
        service.inputs = InputLog(book, keep, service.watch.kept) if keep is not None else None
        stack.callback(service.close)
        if decision is not None and rule is None and name is None:
            orders.roster = Roster(service, Path(folder), Path(trust or ""), decision, threads=threads)
        return _run(service, listening, guard, ready, orders.roster)


def _open(
    folder: Path, *, trust: str | Path | None, unsigned: bool, threads: int, opener: Opener | None
) -> tuple[Loaded, str | None, Decision | None]:
    """(what is open, name on the wire, decision). On other hardware than measured the package checks itself first."""
    from breakeven.serving.loading import Loaded, apart, load

    # Between two operations of a text OpenMP's threads wait awake; after the last one they need not for 3 ms more. Read
    # when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", _SPIN_COUNT)
    if opener is not None:
        return Loaded(apart(partial(opener, folder, threads)), 0), None, None
    if unsigned:
        from breakeven.packaging.opened import open_package

        return Loaded(apart(partial(open_package, folder, threads=threads)), 0), None, None
    from breakeven.packaging.decisions import open_current
    from breakeven.packaging.release import open_release

    if trust is None:
        raise UsageError("trust-missing")
    if (folder / "release.json").exists():
        release, decision = open_release(folder, Path(trust)), None
    else:
        release, decision = open_current(folder, Path(trust))
    return load(release, threads=threads), release.id, decision


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, or EnvironmentFault that names who has the port."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
        return listening
    except (OSError, OverflowError) as error:
        import errno

        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise EnvironmentFault("port-taken", host=host, port=port, by=_port_owner(port)) from error
        reason = getattr(error, "strerror", None) or str(error)
        raise EnvironmentFault("address-unusable", host=host, port=port, reason=reason) from error


def _port_owner(port: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == "LISTEN" and connection.laddr.port == port and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def _run(
    service: Service,
    listening: socket.socket,
    guard: Guard | None,
    ready: Callable[[str, Service], None] | None,
    roster: Roster | None = None,
) -> int | None:
    import uvicorn

    from breakeven.serving.ending import cut_streams
    from breakeven.serving.protocol import Guard, sweep

    class Server(uvicorn.Server):  # type: ignore[misc]
        """uvicorn, which says when it is ready and drains when told to end."""

        sweeper: asyncio.Future[Any] | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            if roster is not None:
                await roster.begin()
            await super().startup(sockets)
            service.batches.start()
            works = [sweep(self.server_state.connections), _tidy(service)]
            self.sweeper = asyncio.gather(*works, *([roster.follow()] if roster is not None else []))
            if ready is not None:
                host, port = listening.getsockname()[:2]
                ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", service)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            service.draining = True
            cutting = asyncio.ensure_future(cut_streams(service))
            await super().shutdown(sockets)
            cutting.cancel()
            await service.batches.stop()
            if self.sweeper is not None:
                self.sweeper.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self.sweeper
            if roster is not None:
                await roster.end()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            service.draining = True
            super().handle_exit(sig, frame)

    server = Server(_config(service, guard or Guard()))
    with _signals_held(server) as held:
        server.run(sockets=[listening])
    return held[-1] if held else None


def _config(service: Service, guard: Guard) -> Any:
    """How uvicorn serves; after the deadline it cancels what is left."""
    import uvicorn

    from breakeven.serving.descriptors import fitting
    from breakeven.serving.ending import LAST_SECONDS
    from breakeven.serving.protocol import guarded

    return uvicorn.Config(
        service,
        http=guarded(fitting(guard)),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(service.limits.shutdown_seconds)) + LAST_SECONDS,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
    )


async def _tidy(service: Service) -> None:
    """Every hour: erases stored answers past their time, and anchors the chain."""
    loop = asyncio.get_running_loop()
    while True:
        for work in (service.ledger.replay.sweep, service.ledger.anchor):
            try:
                await loop.run_in_executor(None, work)
            except Exception as error:  # the ledger says itself why; the next hour tries again
                log.warning("the ledger could not be tidied: %s", error)
        await asyncio.sleep(TIDY_SECONDS)


@contextlib.contextmanager
def _signals_held(server: Any) -> Iterator[list[int]]:
    """uvicorn raises its signals again when it is done, the first one last: kept here, because the ledger must close
    first. One that comes before uvicorn listens for it ends the server as well.
    """
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)
        server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    before = {number: signal.signal(number, hold) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield held
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def main(arguments: list[str] | None = None, *, opener: Opener | None = None) -> int:
    """The entry of a server subprocess. Prints one JSON line `{url, pid, key}` when it is ready."""
    from breakeven.errors import BreakevenError
    from breakeven.serving import logs

    options = _options(arguments)
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    lines = logs.configure(options.log)
    if options.watch_stdin:
        threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    try:
        ended_by = serve(
            options.folder,
            ledger=options.ledger,
            trust=options.trust,
            unsigned=options.unsigned,
            rule=json.loads(options.rule) if options.rule else None,
            plan=_plan(options.plan),
            host=options.host,
            port=options.port,
            threads=options.threads,
            limits=_limits(options.limits),
            guard=_guard(options.guard),
            opener=opener,
            ready=_announce(options.key_for),
        )
    except BreakevenError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    finally:
        lines.close()
    return 0 if ended_by is None else 128 + ended_by


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m breakeven.serving.run")
    parser.add_argument("folder")
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--trust")
    parser.add_argument("--unsigned", action="store_true")
    parser.add_argument("--rule", help="the answer rule, JSON")
    parser.add_argument("--plan", help='{"currency": ..., "rates": {meter: price}}, JSON')
    parser.add_argument("--limits", help="fields of Limits, JSON")
    parser.add_argument("--guard", help="fields of Guard, JSON")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", type=int)
    parser.add_argument("--key-for", help="make a key for this customer and print it with the ready line")
    parser.add_argument("--log", choices=["text", "json"], default="text")
    parser.add_argument("--watch-stdin", action="store_true", help="end when the standard input closes")
    return parser.parse_args(arguments)


def _plan(text: str | None) -> PricePlan | None:
    if not text:
        return None
    from breakeven.ledger.plans import PricePlan

    data = json.loads(text)
    return PricePlan.of(data["rates"], data.get("currency", "USD"))


def _limits(text: str | None) -> Limits | None:
    if not text:
        return None
    from breakeven.serving.app import Limits

    return Limits(**json.loads(text))


def _guard(text: str | None) -> Guard | None:
    if not text:
        return None
    from breakeven.serving.protocol import Guard

    return Guard(**json.loads(text))


def _announce(customer: str | None) -> Callable[[str, Service], None]:
    def ready(url: str, service: Service) -> None:
        facts: dict[str, Any] = {"url": url, "pid": os.getpid(), "model": service.current.name}
        if customer:
            service.ledger.customers.add(customer)
            facts["key"], _ = service.ledger.keys.create(customer, name="server process")
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()

    return ready


def _end_with_parent() -> None:
    """A parent that is killed closes the pipe: the server ends too, and leaves no orphan."""
    while os.read(0, 4096):  # not sys.stdin, whose lock would be held when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(SHUTDOWN_SECONDS)
    os._exit(143)


if __name__ == "__main__":
    sys.exit(main())
