from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from breakeven.ledger import Ledger, open_ledger
from breakeven.ledger.plans import PricePlan
from breakeven.serving.app import Limits, Service, create_app
from tests.serving.fakes import EchoPackage
from tests.serving.shelf import Shelf


@dataclass
class Answer:
    """What came back over ASGI."""

    status: int
    headers: dict[str, str]
    body: bytes
    parts: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        body: dict[str, Any] = self.json
        found = body["error"]
        if isinstance(found, str):  # as the Open Inference Protocol wants it
            found = {**body, "message": body.pop("error")}
            del found["error"]
        assert set(found) == {"type", "code", "message", "param", "hint", "request_id"}
        assert found["request_id"] == self.headers["x-request-id"]
        return found


class Caller:
    """A client that speaks ASGI to the service: exactly the bytes and headers it is told to."""

    def __init__(self, service: Service, secret: str) -> None:
        self.service = service
        self.secret = secret

    def headers(self, **more: str | None) -> dict[str, str]:
        given: dict[str, str | None] = {"content-type": "application/json", "authorization": f"Bearer {self.secret}"}
        given |= {name.replace("_", "-"): value for name, value in more.items()}
        return {name: value for name, value in given.items() if value is not None}

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        chunks: Sequence[bytes | Callable[[], Awaitable[bytes]]] | None = None,
        leave_after: int | None = None,
        **headers: str | None,
    ) -> Answer:
        """`body`: an object or the bytes. `chunks`: a body in pieces, or what makes them, without a length.
        `leave_after`: parts until the client goes.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        pieces = chunks if chunks is not None else [content]
        given = self.headers(**headers)
        if chunks is None:
            given.setdefault("content-length", str(len(content)))
        raw, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": ("192.0.2.1", 1),
        }
        messages = [
            {"type": "http.request", "body": piece, "more_body": index + 1 < len(pieces)}
            for index, piece in enumerate(pieces)
        ]
        sent: list[Any] = []
        left = asyncio.Event()

        async def receive() -> Any:
            if messages:
                message = messages.pop(0)
                return {**message, "body": await message["body"]()} if callable(message["body"]) else message
            await left.wait()
            return {"type": "http.disconnect"}

        async def take(message: Any) -> None:
            sent.append(message)
            if leave_after is not None and len(sent) > leave_after:
                left.set()

        await self.service(scope, receive, take)
        parts = [message.get("body", b"") for message in sent[1:]]
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, b"".join(parts), parts)

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return asyncio.run(self.send(method, path, body, **more))

    def predict(self, *inputs: Any, **more: Any) -> Answer:
        return self("POST", "/v1/predict", {"inputs": list(inputs)}, **more)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with one customer and their key, made once and copied: making one syncs the disk many times."""
    place = tmp_path_factory.mktemp("empty")
    with open_ledger(place / "ledger.sqlite") as opened:
        opened.customers.add("acme")
        (place / "key").write_text(opened.keys.create("acme")[0])
    return place


@pytest.fixture
def ledger(tmp_path: Path, empty: Path) -> Iterator[Ledger]:
    for name in ("ledger.sqlite", "private.sqlite"):
        shutil.copy(empty / name, tmp_path / name)
    with open_ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def make(ledger: Ledger, empty: Path) -> Iterator[Callable[..., Caller]]:
    """A caller over a package: `make(package, rates={...}, **limits)`; each has a key of its own."""
    made: list[Service] = []
    there = [(empty / "key").read_text()]

    def build(package: EchoPackage | None = None, *, rates: dict[str, Any] | None = None, **limits: Any) -> Caller:
        secret = there.pop() if there else ledger.keys.create("acme")[0]
        service = create_app(
            package or EchoPackage(),
            None,
            ledger,
            Limits(**limits) if limits else None,
            plan=PricePlan.of(rates if rates is not None else {"answers": "0.004"}),
        )
        made.append(service)
        return Caller(service, secret)

    yield build
    for service in made:
        service.close()


@pytest.fixture
def call(make: Callable[..., Caller]) -> Caller:
    return make()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Three signed releases, nothing decided; copy it."""
    return Shelf(tmp_path_factory.mktemp("shelf") / "project").fill()
