"""Traces, to a receiver that speaks OTLP over HTTP; nothing of them where no endpoint is set."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from tests.serving.conftest import Caller
from tests.serving.fakes import EchoPackage, Streaming

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
Make = Callable[..., Caller]
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        super().__init__(("127.0.0.1", 0), Taking)
        Thread(target=self.serve_forever, daemon=True).start()

    def spans(self) -> dict[str, Any]:
        """Spans by name; the newest of a name."""
        return {span.name: span for span in self.all_spans()}

    def all_spans(self) -> list[Any]:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        import gzip

        assert isinstance(self.server, Receiver)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
        self.server.paths.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER"):
        monkeypatch.delenv(name, raising=False)
    server = Receiver()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    yield server
    server.shutdown()


def flush(call: Caller) -> None:
    assert call.service.traces is not None
    call.service.traces._provider.force_flush()


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for item in span.attributes:
        kind = item.value.WhichOneof("value")
        found[item.key] = getattr(item.value, kind)
    return found


def test_a_request_is_a_span_with_queue_inference_and_commit_inside(make: Make, receiver: Receiver) -> None:
    call = make(EchoPackage(seconds=0.02))
    answer = call.predict("a", "b", traceparent=PARENT, x_request_id="mine")
    assert answer.status == 200
    flush(call)
    assert receiver.paths == ["/v1/traces"]
    spans = receiver.spans()
    assert set(spans) == {"POST predict", "queue", "inference", "ledger commit"}
    whole = spans["POST predict"]
    assert (whole.trace_id.hex(), whole.parent_span_id.hex()) == (PARENT[3:35], PARENT[36:52])
    for name in ("queue", "inference", "ledger commit"):
        assert (spans[name].trace_id, spans[name].parent_span_id) == (whole.trace_id, whole.span_id)
        assert whole.start_time_unix_nano <= spans[name].start_time_unix_nano <= spans[name].end_time_unix_nano
        assert spans[name].end_time_unix_nano <= whole.end_time_unix_nano
    inference = spans["inference"]
    assert inference.end_time_unix_nano - inference.start_time_unix_nano >= 20_000_000
    assert spans["queue"].end_time_unix_nano == inference.start_time_unix_nano
    assert attributes(whole) == {
        "http.request.method": "POST", "http.route": "predict", "http.response.status_code": 200,
        "breakeven.request_id": "mine", "breakeven.cases": 2, "breakeven.model": "echo",
    }  # fmt: skip


def test_without_a_parent_a_trace_begins_here_and_a_broken_one_is_no_parent(make: Make, receiver: Receiver) -> None:
    call = make()
    for given in (None, "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "nonsense"):
        call("GET", "/livez", traceparent=given)
    flush(call)
    spans = receiver.all_spans()
    assert [span.parent_span_id for span in spans] == [b""] * 3
    assert len({span.trace_id for span in spans}) == 3


def test_a_parent_that_is_not_sampled_is_not_sent(make: Make, receiver: Receiver) -> None:
    call = make()
    call("GET", "/livez", traceparent=PARENT[:-1] + "0")
    flush(call)
    assert receiver.all_spans() == []


def test_a_failure_is_told_by_its_code_and_never_by_its_words(make: Make, receiver: Receiver) -> None:
    call = make()
    call.predict("boom")
    call.predict(3, authorization="Bearer bek_secret")
    flush(call)
    failed, refused = receiver.all_spans()[-2:] if len(receiver.all_spans()) == 2 else _requests(receiver)
    assert (attributes(failed)["error.type"], failed.status.code) == ("internal", 2)
    assert (attributes(refused)["error.type"], refused.status.code) == ("key-malformed", 0)
    assert b"boom" not in b"".join(receiver.bodies)
    assert b"bek_secret" not in b"".join(receiver.bodies)


def _requests(receiver: Receiver) -> list[Any]:
    return [span for span in receiver.all_spans() if span.name == "POST predict"]


def test_a_stream_has_its_inference_too(make: Make, receiver: Receiver) -> None:
    call = make(EchoPackage(Streaming(), seconds=0.01))
    call("POST", "/v1/predict", {"inputs": ["a b c"], "stream": True})
    flush(call)
    inference = receiver.spans()["inference"]
    assert inference.end_time_unix_nano - inference.start_time_unix_nano >= 30_000_000


class Provider(BaseHTTPRequestHandler):
    """Somebody's API: keeps the headers it is sent."""

    told: ClassVar[list[str | None]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.told.append(self.headers["traceparent"])
        self.send_response(200)
        body = b'{"choices": [{"message": {"content": "a"}}]}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


def test_a_model_behind_an_api_is_told_the_requests_trace(make: Make, receiver: Receiver) -> None:
    from breakeven.models.remote_calls import Calls

    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    Thread(target=provider.serve_forever, daemon=True).start()

    class Free:
        def reserve(self, most: float) -> None:
            pass

        def settle(self, most: float, spent: float) -> None:
            pass

    calls = Calls(f"http://127.0.0.1:{provider.server_address[1]}/", {}, timeout_seconds=5, retries=0, concurrency=2,
                  spending=Free())  # type: ignore[arg-type]  # fmt: skip

    class Asking(EchoPackage):
        def raw(self, inputs: list[str]) -> list[str]:
            calls.all([{} for _ in inputs], [0.0] * len(inputs), lambda _: 0.0)
            return super().raw(inputs)

    call = make(Asking())
    assert call.predict("a", traceparent=PARENT).status == 200
    flush(call)
    provider.shutdown()
    inference = receiver.spans()["POST predict"]
    assert Provider.told == [f"00-{PARENT[3:35]}-{inference.span_id.hex()}-01"]


def test_requests_at_once_keep_their_own_traces(make: Make, receiver: Receiver) -> None:
    call = make(EchoPackage(seconds=0.005))
    parents = [f"00-{n:032x}-{n:016x}-01" for n in range(1, 21)]

    async def crowd() -> None:
        await asyncio.gather(
            *(call.send("POST", "/v1/predict", {"inputs": ["a"]}, traceparent=parent) for parent in parents)
        )

    asyncio.run(crowd())
    flush(call)
    by_trace: dict[bytes, set[str]] = {}
    for span in receiver.all_spans():
        by_trace.setdefault(span.trace_id, set()).add(span.name)
    assert len(by_trace) == 20
    assert all(names == {"POST predict", "queue", "inference", "ledger commit"} for names in by_trace.values())


def test_without_an_endpoint_nothing_is_made_and_nothing_imported() -> None:
    code = """if True:
        import os, sys
        for name in [name for name in os.environ if name.startswith("OTEL_")]:
            del os.environ[name]
        from breakeven.serving.app import create_app
        from breakeven.serving.traces import Traces
        assert Traces.if_wanted() is None
        print([name for name in sys.modules if name.startswith("opentelemetry")])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_told_and_the_service_runs_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, receiver: Receiver
) -> None:
    from breakeven.serving.traces import Traces

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert Traces.if_wanted() is None
    assert "pip install 'breakeven[traces]'" in caplog.text


def test_a_receiver_that_is_down_costs_no_answer(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    assert make().predict("a").status == 200
