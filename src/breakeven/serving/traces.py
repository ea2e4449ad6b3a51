"""OpenTelemetry traces: on where an OTLP endpoint is set, and then only is the package imported.

A request's span has three children: `queue` (waiting for the model), `inference` (in the model, with the batch's other
requests) and `ledger commit`. The caller's `traceparent` is taken, and passed on to a model behind an API.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breakeven.serving.exchange import Exchange

log = logging.getLogger("breakeven.serving")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_CHILDREN = (("queue", "queued", "taken"), ("inference", "taken", "answered"), ("ledger commit", "asked", "committed"))


class Trace:
    """One request's span, and the moments (nanoseconds since 1970) that its children are made of; 0: not come to."""

    __slots__ = ("answered", "asked", "cases", "committed", "model", "queued", "span", "taken", "trace_id")

    def __init__(self, span: Any) -> None:
        self.span = span
        self.trace_id = f"{span.get_span_context().trace_id:032x}"
        self.queued = self.taken = self.answered = self.asked = self.committed = self.cases = 0
        self.model = ""

    def mark(self, *names: str) -> None:
        """This moment is the end of one thing and the beginning of the next."""
        moment = time.time_ns()
        for name in names:
            setattr(self, name, moment)


current: ContextVar[Trace | None] = ContextVar("breakeven_trace", default=None)


class Traces:
    """Makes spans and sends them on a thread of its own."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("breakeven")
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def if_wanted(cls) -> Traces | None:
        """None unless the environment names an OTLP endpoint. A missing package is told, and the service runs on."""
        if not any(os.environ.get(name) for name in ENDPOINTS) or _disabled():
            return None
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError as error:
            from breakeven.errors import need_package

            log.warning("no traces are sent: %s", need_package(str(error.name), "traces", purpose="traces"))
            return None
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "breakeven"}
        provider = TracerProvider(resource=Resource.create(name), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def begin(self, exchange: Exchange) -> Trace:
        """The request's span, a child of the caller's where it sent a `traceparent`."""
        from opentelemetry.trace import SpanKind

        headers = {name: exchange.header(name.encode()) for name in ("traceparent", "tracestate")}
        parent = self._propagator.extract({name: value for name, value in headers.items() if value})
        span = self._tracer.start_span(exchange.method[:20], context=parent, kind=SpanKind.SERVER)
        trace = Trace(span)
        current.set(trace)
        return trace

    def end(self, exchange: Exchange, route: str, status: int) -> None:
        """Ends the span. Its attributes are names and numbers of ours: nothing of the request's content."""
        from opentelemetry.trace import Status, StatusCode

        trace = exchange.trace
        if trace is None:
            return
        self._children(trace)
        trace.span.update_name(f"{exchange.method[:20]} {route}")
        trace.span.set_attributes(
            {"http.request.method": exchange.method[:20], "http.route": route, "http.response.status_code": status,
             "breakeven.request_id": exchange.id, "breakeven.cases": trace.cases, "breakeven.model": trace.model}
        )  # fmt: skip
        if exchange.failure is not None:
            trace.span.set_attribute("error.type", exchange.failure)
        if status >= 500:
            trace.span.set_status(Status(StatusCode.ERROR))
        trace.span.end()

    def _children(self, trace: Trace) -> None:
        from opentelemetry.trace import set_span_in_context

        context = set_span_in_context(trace.span)
        for name, first, last in _CHILDREN:
            start, end = getattr(trace, first), getattr(trace, last)
            if start and end:
                self._tracer.start_span(name, context=context, start_time=start).end(end)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()


def _disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"


@contextlib.contextmanager
def batch(traces: Sequence[Trace]) -> Iterator[None]:
    """On the worker's thread: what the model sends belongs to the first of the batch's traced requests."""
    if not traces:
        yield
        return
    for trace in traces:
        if not trace.taken:  # a request may span several batches
            trace.mark("taken")
    from opentelemetry import context
    from opentelemetry.trace import set_span_in_context

    token = context.attach(set_span_in_context(traces[0].span))
    try:
        yield
    finally:
        context.detach(token)
        for trace in traces:
            trace.mark("answered")
