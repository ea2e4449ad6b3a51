"""The service as an ASGI application: a table of routes over the served releases and one ledger.

It speaks ASGI itself: a framework's routing, validation and response objects cost more than a small model
does, and what
a request may hold is known only from the release. `openapi.py` states it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from breakeven.errors import BreakevenError, EnvironmentFault
from breakeven.serving import batches, documents, ending, inference, openai, policies, routes
from breakeven.serving.access import Access
from breakeven.serving.batch_files import BatchFolder
from breakeven.serving.batch_work import Batches
from breakeven.serving.deployment import Deployment, Standing, compare
from breakeven.serving.exchange import Exchange, Receive, Scope, Send
from breakeven.serving.intake import Intake
from breakeven.serving.logs import RequestLog
from breakeven.serving.promises import Remarks
from breakeven.serving.traces import Traces, current
from breakeven.serving.watch import Watch
from breakeven.serving.wire import HttpError, Response, error_response, status_of

if TYPE_CHECKING:
    from breakeven.ledger.book import Ledger
    from breakeven.ledger.events import Charge
    from breakeven.ledger.keys import Key
    from breakeven.ledger.limits import Admission
    from breakeven.ledger.plans import PricePlan
    from breakeven.ledger.writer import Entry
    from breakeven.serving.inputs import InputLog
    from breakeven.serving.parts import Parts

log = logging.getLogger("breakeven.serving")

Handler = Callable[["Service", Exchange], Awaitable[Response | None]]
LONGEST_PATH = 8192
_LARGEST_AT_ONCE = 8
_MODELS = "/v2/models/"
_BATCHES = ("/v1/batches/", "batch")
_ONE_MODEL = ("/v1/models/", "model")
_SECURITY = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


@dataclass(frozen=True)
class Limits:
    """What the service takes. `held_bytes`: of large bodies at once, from their arrival to their answer, but never less
    than eight of the largest. `request_seconds`: the whole of a request in the server's hands. `queue_seconds`: the
    longest wait for which a request is taken at all, where two batches do not take longer (see `batcher.Batcher.room`).
    """

    max_bytes: int = 1 << 20
    max_inputs: int = 256
    held_bytes: int = 256 << 20
    max_queue: int = 2048
    max_batch: int = 64
    window_ms: float = 2.0
    request_seconds: float = 30.0
    queue_seconds: float = 1.0
    stuck_seconds: float = 120.0
    shutdown_seconds: float = 30.0


ROUTES: dict[str, tuple[str, dict[str, Handler]]] = {
    "/v1/predict": ("predict", {"POST": routes.predict}),
    "/v1/batches": ("batches", {"POST": batches.create, "GET": batches.listed}),
    "/v1/batches/{batch}": ("batch", {"GET": batches.read, "DELETE": batches.cancel}),
    "/v1/batches/{batch}/output": ("batch-output", {"GET": batches.output}),
    "/v1/batches/{batch}/errors": ("batch-errors", {"GET": batches.errors}),
    "/v1/chat/completions": ("chat", {"POST": openai.chat}),
    "/v1/completions": ("completions", {"POST": openai.completions}),
    "/v1/embeddings": ("embeddings", {"POST": openai.embeddings}),
    "/v1/feedback": ("feedback", {"POST": routes.feedback}),
    "/v1/usage": ("usage", {"GET": routes.usage}),
    "/v1/models": ("models", {"GET": routes.models}),
    "/v1/models/{model}": ("model", {"GET": openai.model}),
    "/v1/session/start": ("session-start", {"POST": policies.start}),
    "/v1/session/step": ("session-step", {"POST": policies.step}),
    "/openapi.json": ("openapi", {"GET": documents.openapi}),
    "/docs": ("docs", {"GET": documents.docs}),
    "/v2": ("v2-server", {"GET": inference.server}),
    "/v2/health/live": ("v2-live", {"GET": inference.live}),
    "/v2/health/ready": ("v2-ready", {"GET": inference.ready}),
    "/v2/models/{model}": ("v2-model", {"GET": inference.model}),
    "/v2/models/{model}/ready": ("v2-model-ready", {"GET": inference.model_ready}),
    "/v2/models/{model}/infer": ("v2-infer", {"POST": inference.infer}),
    "/v2/models/{model}/versions/{version}": ("v2-model", {"GET": inference.model}),
    "/v2/models/{model}/versions/{version}/ready": ("v2-model-ready", {"GET": inference.model_ready}),
    "/v2/models/{model}/versions/{version}/infer": ("v2-infer", {"POST": inference.infer}),
    "/livez": ("livez", {"GET": routes.livez}),
    "/readyz": ("readyz", {"GET": routes.readyz}),
    "/metrics": ("metrics", {"GET": routes.metrics}),
}


class Service:
    """Releases behind HTTP. Made by `create_app`; also what the handlers in `routes` work on."""

    def __init__(
        self,
        package: Any,
        rule: Mapping[str, Any] | None,
        ledger: Ledger,
        *,
        limits: Limits,
        plan: PricePlan,
        name: str,
        source: str,
    ) -> None:
        self.ledger = ledger
        self.limits = limits
        self.source = source
        self.access = Access(ledger)
        self.intake = Intake(max(limits.held_bytes, _LARGEST_AT_ONCE * limits.max_bytes))
        self.watch = Watch(lambda: sum(one.batcher.queued for one in self.served.values()), ledger.writer.queued)
        self.plan = plan
        first = self.deploy(package, rule, name=name, limits=limits)
        self.standing = Standing(first, served={name: first})
        self.running: dict[str, tuple[str, asyncio.Future[Response]]] = {}  # by Idempotency-Key: request, outcome
        self.remarks = Remarks()
        self.draining = False
        self.refused: tuple[int, str] | None = None  # a decision that is not followed, and the code of the reason
        self.open = 0
        self.streams: set[Parts] = set()
        self.batches = Batches(self, BatchFolder.beside(ledger.stores.path))
        self.requests = RequestLog.if_wanted()
        self.traces = Traces.if_wanted()
        self.inputs: InputLog | None = None  # set by who serves, where requests are kept

    def deployment(self, model: str | None, key: Key) -> Deployment:
        """The release that answers a request of `key`: the one it names, else the current one. HttpError 404
        `model-not-found`.
        """
        if model is not None:
            return self.named(model)
        standing = self.standing
        return standing.current if standing.canary is None else standing.pick(key.customer)

    @property
    def current(self) -> Deployment:
        """The release that answers whoever names none and is no customer of the canary."""
        return self.standing.current

    @property
    def served(self) -> dict[str, Deployment]:
        """Every release that answers, by name."""
        return self.standing.served

    def deploy(
        self, package: Any, rule: Mapping[str, Any] | None, *, name: str, limits: Limits | None = None
    ) -> Deployment:
        """A package made ready to answer; nobody is sent to it yet. `limits` None: ours, with the package's own."""
        own = limits or package_limits(package, self.limits)
        return Deployment(package, rule, name=name, plan=self.plan, limits=own, figures=self.watch.release(name))

    def stand(self, standing: Standing) -> None:
        """Sends every request from now on where `standing` says."""
        taken = max(one.limits.max_bytes for one in standing.served.values())
        self.limits = replace(self.limits, max_bytes=taken, max_inputs=standing.current.limits.max_inputs)
        compare(self.standing, standing)
        self.standing = standing

    def named(self, model: str) -> Deployment:
        """The release of that name; HttpError 404 `model-not-found` with what is served."""
        found = self.served.get(model)
        if found is None:
            raise HttpError(404, "model-not-found", models=", ".join(self.served))
        return found

    async def commit(self, admission: Admission | None, charge: Charge) -> bool:
        """Waits until the charge is on the disk. False: this Idempotency-Key was charged before."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        trace = current.get()
        if trace is not None:
            trace.mark("asked")
        self.ledger.settle_soon(admission, charge, self._committed, future)
        try:
            fresh = await future
        except asyncio.CancelledError:
            if not self.draining:
                raise
            fresh = await asyncio.get_running_loop().run_in_executor(None, ending.written, self.ledger, charge)
        if trace is not None:
            trace.mark("committed")
        return fresh

    def _committed(self, entries: list[Entry]) -> None:
        """On the writer's thread: one hop to the event loop for all answers of a commit."""
        entries[0].token.get_loop().call_soon_threadsafe(_resolve, entries)

    def ready(self) -> str | None:
        """None when requests are taken, else why not."""
        if self.draining:
            return "shutting down"
        if self.ledger.writer.fault is not None:
            return str(self.ledger.writer.fault)
        for deployment in self.served.values():
            busy = deployment.batcher.busy_since
            if busy is not None and time.monotonic() - busy > self.limits.stuck_seconds:
                return f"the model of {deployment.name} has not answered for {self.limits.stuck_seconds:g} s"
        return None

    def close(self) -> None:
        """Ends the workers and closes the packages; the ledger is its opener's."""
        for deployment in self.served.values():
            deployment.close()
        if self.inputs is not None:
            self.inputs.close()
        if self.traces is not None:
            self.traces.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            await self._http(Exchange(scope, receive, send))
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, exchange: Exchange) -> None:
        started = time.perf_counter()
        name, response = "other", None
        self.open += 1
        exchange.intake = self.intake
        if self.traces is not None:
            exchange.trace = self.traces.begin(exchange)
        try:
            name, handler = _route(exchange)
            response = await handler(self, exchange)
        except BreakevenError as error:
            response = self._refusal(exchange, error)
        except SQLAlchemyError as error:
            reason = type(getattr(error, "orig", None) or error).__name__
            response = self._refusal(exchange, EnvironmentFault("ledger-busy", reason=reason))
        except Exception:
            log.exception("request %s failed", exchange.id)
            response = self._refusal(exchange, HttpError(500, "internal"))
        except asyncio.CancelledError:  # the server ends, and its time for what runs is over
            if not self.draining:
                raise
            refused = self._refusal(exchange, HttpError(503, "shutting-down", headers={"connection": "close"}))
            response = None if exchange.begun else refused
        finally:
            self.open -= 1
            exchange.let_go()
        self._tell(exchange, name, exchange.status if response is None else response.status, started)
        if response is not None:  # a stream has sent itself
            await _send(exchange, response)

    def charged(self, deployment: Deployment, charge: Charge) -> None:
        """Counts what was used and, where a log for machines is kept, writes its line: `ledger reconcile` reads it."""
        self.watch.used(charge.quantities, deployment.plan)
        if self.requests is not None:
            self.requests.charged(charge)

    def answered(self, deployment: Deployment, charge: Charge) -> None:
        """Counts a request that was answered whole and charged."""
        self.charged(deployment, charge)
        deployment.count_answered()

    def _tell(self, exchange: Exchange, name: str, status: int, started: float) -> None:
        seconds = time.perf_counter() - started
        self.watch.answered(name, status, seconds)
        if self.traces is not None:
            self.traces.end(exchange, name, status)
        if self.requests is not None:
            self.requests.answered(exchange, name, status, seconds)

    def _refusal(self, exchange: Exchange, error: BreakevenError) -> Response:
        exchange.failure = error.code
        self.watch.refused(error.code, status_of(error))
        if status_of(error) >= 500 and status_of(error) not in (503, 504):
            log.error("request %s: %s", exchange.id, error)
        flat = exchange.scope["path"].startswith("/v2")  # the Open Inference Protocol's own shape
        return error_response(error, exchange.id, flat=flat)


def create_app(
    package: Any,
    rule: Mapping[str, Any] | None,
    ledger: Ledger,
    limits: Limits | None = None,
    *,
    plan: PricePlan | None = None,
    name: str | None = None,
    source: str = "breakeven",
) -> Service:
    """The ASGI application that serves `package` by `rule` (None: the task's default) and charges in `ledger`.

    `package`: see `packaging.open_package`. `plan`: prices shown and kept by version. `name`: the model's name
    on the wire.
    """
    from breakeven.ledger.plans import PricePlan

    kept = ledger.keep_plan(plan if plan is not None else PricePlan())
    info = getattr(package, "info", {})
    chosen = limits or package_limits(package, Limits())
    error_response(HttpError(503, "overloaded", retry_after=1), "-")  # reads the words once: a refusal must be quick
    return Service(
        package, rule, ledger, limits=chosen, plan=kept, name=name or str(info.get("candidate", "model")), source=source
    )


def package_limits(package: Any, limits: Limits) -> Limits:
    """`limits` with the `max_bytes` and `max_inputs` that the package states."""
    given = getattr(package, "info", {}).get("limits", {})
    return replace(
        limits,
        max_bytes=int(given.get("max_bytes", Limits.max_bytes)),
        max_inputs=int(given.get("max_inputs", Limits.max_inputs)),
    )


def _route(exchange: Exchange) -> tuple[str, Handler]:
    scope = exchange.scope
    length = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    if length > LONGEST_PATH:
        raise HttpError(414, "uri-too-long", found=length, limit=LONGEST_PATH)
    # The path as sent: nothing that is decoded, joined or cut can name another route.
    raw = scope.get("raw_path")
    path = raw.split(b"?")[0].decode("latin-1") if raw else scope["path"]
    template, exchange.named = _template(path)
    found = ROUTES.get(template)
    if found is None:
        raise HttpError(404, "not-found")
    name, methods = found
    method = "GET" if exchange.method == "HEAD" else exchange.method
    if method not in methods:
        allowed = sorted(methods) + (["HEAD"] if "GET" in methods else [])
        raise HttpError(
            405,
            "method-not-allowed",
            headers={"allow": ", ".join(allowed)},
            method=exchange.method[:20],
            allowed=allowed,
        )
    if name != "docs":
        exchange.check_accept()
    return name, methods[method]


def _template(path: str) -> tuple[str, dict[str, str]]:
    """(key of ROUTES, what the path names, as it was sent)."""
    for before, name in (_BATCHES, _ONE_MODEL):
        if path.startswith(before) and "{" not in path:
            value, *rest = path[len(before) :].split("/")
            return "/".join([f"{before}{{{name}}}", *rest]), {name: value}
    if path == "/v2/":  # as the protocol's own OpenAPI document writes it
        return "/v2", {}
    if "{" in path or not path.startswith(_MODELS):
        return ("" if "{" in path else path), {}
    model, *rest = path[len(_MODELS) :].split("/")
    named = {"model": model}
    if len(rest) > 1 and rest[0] == "versions":
        named["version"] = rest[1]
        rest[1] = "{version}"
    return "/".join([_MODELS + "{model}", *rest]), named


async def _send(exchange: Exchange, response: Response) -> None:
    headers = [
        *response.headers,
        (b"content-length", str(len(response.body)).encode()),
        (b"x-request-id", exchange.id.encode()),
        *_SECURITY,
    ]
    await exchange.send({"type": "http.response.start", "status": response.status, "headers": headers})
    body = b"" if exchange.method == "HEAD" else response.body
    await exchange.send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _resolve(entries: list[Entry]) -> None:
    for entry in entries:
        if entry.token.done():
            continue
        if entry.error is not None:
            entry.token.set_exception(entry.error)
        else:
            entry.token.set_result(bool(entry.result))
