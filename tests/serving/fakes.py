"""Small packages at the seam of the server: no model, every kind of behaviour."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from breakeven.errors import InputError, Place

_BLOCK = bytes(1 << 17)


class FakeTask:
    """A task as the server sees it."""

    name = "echo"
    meters: ClassVar[tuple[str, ...]] = ("answers",)
    streams = False

    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "string"}

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {"echo": {"type": "string"}}}


class TwoMeters(FakeTask):
    meters = ("answers", "input_tokens")


class Streaming(FakeTask):
    meters = ("answers", "output_tokens")
    streams = True


class EchoPackage:
    """Gives back what it gets. `seconds`: a batch's time, asleep. `work`: a case's CPU seconds. `hold`: what answers
    wait for. "boom" fails, "nan" is no JSON.
    """

    def __init__(
        self,
        task: FakeTask | None = None,
        *,
        seconds: float = 0.0,
        work: float = 0.0,
        hold: threading.Event | None = None,
    ) -> None:
        self.task = task or FakeTask()
        self.facts: dict[str, Any] = {}
        self.info = {"candidate": "echo", "limits": {"max_inputs": 64, "max_bytes": 1 << 20}, "example": "hello"}
        self.seconds = seconds
        self.work = work
        self.hold = hold
        self.batches: list[int] = []
        self.closed = False

    def parse(self, payload: Any) -> str:
        if not isinstance(payload, str):
            raise InputError("input-not-text", at=Place(field="input"), found=type(payload).__name__)
        return payload

    def raw(self, inputs: list[str]) -> list[str]:
        self.batches.append(len(inputs))
        if self.seconds:
            time.sleep(self.seconds)
        if self.hold is not None and not self.hold.wait(30):
            raise TimeoutError("nothing let go of the answers")
        until = time.thread_time() + self.work * len(inputs)
        while time.thread_time() < until:
            hashlib.sha256(_BLOCK).digest()  # leaves the interpreter to others meanwhile, as a model does
        if "boom" in inputs:
            raise ValueError("boom")
        return list(inputs)

    def answer(self, raw: list[str], rule: Mapping[str, Any] | None) -> list[str]:
        return raw

    def render(self, raw: list[str], answers: list[str]) -> list[Any]:
        return [{"echo": float("nan") if answer == "nan" else answer} for answer in answers]

    def usage(self, inputs: list[str], outputs: list[Any]) -> dict[str, int]:
        counted = {"answers": len(inputs)}
        if "input_tokens" in self.task.meters:
            counted["input_tokens"] = sum(len(item.split()) for item in inputs)
        if "output_tokens" in self.task.meters:
            counted["output_tokens"] = sum(len(output) for output in outputs if isinstance(output, list))
        return counted

    def stream(self, item: str) -> Iterator[str]:
        for word in item.split():
            if self.seconds:
                time.sleep(self.seconds)
            if word == "boom":
                raise ValueError("boom")
            yield word

    def session(self) -> Any:
        return CountingSession() if isinstance(self.task, Stateful) else None

    def close(self) -> None:
        self.closed = True


class Stateful(FakeTask):
    pass


class CountingSession:
    def start(self, seed: int) -> Any:
        return {"steps": 0, "sum": seed}

    def step(self, state: Any, observation: Any) -> tuple[Any, Any]:
        total = state["sum"] + len(observation)
        return {"steps": state["steps"] + 1, "sum": total}, {"sum": total}
