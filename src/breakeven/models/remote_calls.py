"""Calls of a JSON API within limits: time, size, retries, money. Whatever comes back wrong becomes one clear error."""

from __future__ import annotations

import fcntl
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breakeven.artifacts import write_json
from breakeven.errors import EnvironmentFault, Refused

MAX_BYTES = 1_000_000
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)  # worth another try


@dataclass(frozen=True)
class Spending:
    """Money spent at one API over all processes of this user, in one locked file."""

    path: Path
    cap: float

    @classmethod
    def of(cls, folder: Path, name: str, cap: float) -> Spending:
        """The account of one API and model."""
        return cls(folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json", cap)

    def total(self) -> float:
        """Money spent and reserved so far."""
        return float(json.loads(self.path.read_text())["spent"]) if self.path.is_file() else 0.0

    def reserve(self, amount: float) -> None:
        """Takes an amount before a call; Refused when it would pass the cap."""
        with self._held() as total:
            if total + amount > self.cap:
                raise Refused("remote-cap", spent=f"{total:.6f}", cap=self.cap)
            self._write(total + amount)

    def settle(self, reserved: float, spent: float) -> None:
        """Replaces what was reserved by what the call cost."""
        with self._held() as total:
            self._write(max(total - reserved + spent, 0.0))

    def _write(self, total: float) -> None:
        write_json(self.path, {"format": 1, "spent": total})

    @contextmanager
    def _held(self) -> Iterator[float]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.total()


class Calls:
    """POSTs of JSON bodies to one address; redirects are not followed, for the key would travel with them."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_seconds: float,
        retries: int,
        concurrency: int,
        spending: Spending,
    ) -> None:
        import httpx

        self._url, self._timeout, self._retries, self._spending = url, timeout_seconds, retries, spending
        self._client = httpx.Client(headers=dict(headers), timeout=timeout_seconds, follow_redirects=False)
        self._concurrency = concurrency

    def all(
        self, bodies: list[dict[str, Any]], most: list[float], cost: Callable[[Mapping[str, Any]], float]
    ) -> list[dict[str, Any]]:
        """Answers in order. `most`: money each call may cost at most; `cost`: what an answer did cost."""
        from concurrent.futures import ThreadPoolExecutor

        trace = _trace()

        def one(body: dict[str, Any], limit: float) -> dict[str, Any]:
            self._spending.reserve(limit)
            spent = 0.0
            try:
                answer = self._answer(body, trace)
                spent = cost(answer)
            finally:
                self._spending.settle(limit, spent)
            return answer

        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(one, bodies, most))

    def _answer(self, body: dict[str, Any], trace: Mapping[str, str]) -> dict[str, Any]:
        """One answer within the time and the retries, else an EnvironmentFault that says what came instead."""
        deadline, reason = time.monotonic() + self._timeout, "no try was made"
        for attempt in range(self._retries + 1):
            status, payload, wait = self._once(body, deadline, trace)
            if status == 200:
                return _checked(payload, self._url)
            reason = f"status {status}" if status else payload.decode("utf-8", "replace")
            if status in (401, 403):
                raise EnvironmentFault("remote-refused", url=self._url, status=status)
            if status and status not in AGAIN:
                break
            pause = min(wait if wait is not None else 0.25 * 2**attempt * random.uniform(0.5, 1.0), 30.0)
            if attempt == self._retries or time.monotonic() + pause >= deadline:
                break
            time.sleep(pause)
        raise EnvironmentFault("remote-unreachable", url=self._url, reason=reason, tries=attempt + 1)

    def _once(self, body: dict[str, Any], deadline: float, trace: Mapping[str, str]) -> tuple[int, bytes, float | None]:
        """(status, body, seconds to wait if told); status 0 and a reason where no answer came whole."""
        import httpx

        left = max(deadline - time.monotonic(), 0.05)
        try:
            with self._client.stream("POST", self._url, json=body, timeout=left, headers=trace) as answer:
                parts, size = [], 0
                for part in answer.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_BYTES:
                        return 0, f"more than {MAX_BYTES} bytes".encode(), None
                    if time.monotonic() > deadline:
                        return 0, f"nothing whole within {self._timeout} s".encode(), None
                return answer.status_code, b"".join(parts), _seconds(answer.headers.get("retry-after"))
        except httpx.TimeoutException:
            return 0, f"nothing whole within {self._timeout} s".encode(), None
        except (httpx.HTTPError, OSError) as error:
            return 0, (str(error) or type(error).__name__).encode(), None

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


def _trace() -> dict[str, str]:
    """The headers that tell the other side which trace this call belongs to; none where nobody traces."""
    import sys

    if "opentelemetry.sdk.trace" not in sys.modules:
        return {}
    from opentelemetry import propagate

    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def _seconds(told: str | None) -> float | None:
    try:
        return None if told is None else max(0.0, float(told))
    except ValueError:
        return None


def _checked(payload: bytes, url: str) -> dict[str, Any]:
    """A chat completion's JSON; HTML with status 200 and other shapes are named."""
    try:
        answer = json.loads(payload)
        answer["choices"][0]["message"].get("content")
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError) as error:
        shown = payload[:60].decode("utf-8", "replace").replace("\n", " ")
        raise EnvironmentFault("remote-shape", url=url, found=shown) from error
    found: dict[str, Any] = answer
    return found
