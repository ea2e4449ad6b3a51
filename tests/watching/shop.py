"""A project whose servers are real processes over a fake package, and the commands that watch them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from breakeven.serving.launch import ServerProcess


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def write(root: Path, servers: list[str], **alerts: Any) -> Path:
    """A project file with alerts: quick looks, only the rules that are given."""
    section = {"servers": servers, "interval": "1s", "ledger_interval": "1s", "no_data_for": "1s", "ready_made": False}
    (root / "breakeven.yaml").write_text(json.dumps({
        "version": 1, "product": {"name": "shop", "task": "text-classification"},
        "watching": {"alerts": {**section, **alerts}}}))  # fmt: skip
    return root


def server(root: Path, port: int, **more: Any) -> ServerProcess:
    """A server over an echo, with the project's ledger."""
    return ServerProcess(root, port=port, ledger=root / "ledger.sqlite", module="tests.serving.echo_server", **more)


def ask(running: ServerProcess, *inputs: str) -> int:
    """The status of a request."""
    body = json.dumps({"inputs": list(inputs)}).encode()
    headers = {"authorization": f"Bearer {running.key}", "content-type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{running.url}/v1/predict", body, headers)) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


def command(root: Path, *arguments: str, **environment: str) -> list[Any]:
    surroundings = {**os.environ, "BREAKEVEN_LANG": "en", **environment}
    return [[sys.executable, "-m", "breakeven", *arguments, "-C", str(root)], surroundings]


def run(root: Path, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a person calls it."""
    words, surroundings = command(root, *arguments, **environment)
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, env=surroundings)
    assert done.returncode == code, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done


class Watching:
    """A running `breakeven alerts --json`: its lines, its end."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root = root
        words, surroundings = command(root, "alerts", "--json", **environment)
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=surroundings)  # fmt: skip
        self.lines: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def told(self) -> list[tuple[str, str]]:
        return [(line["status"], line["rule"]) for line in self.lines[1:]]

    def wait(self, count: int, seconds: float = 90.0) -> list[tuple[str, str]]:
        """What was told, once it is so much."""
        until = time.monotonic() + seconds
        while len(self.told()) < count:
            assert self.process.poll() is None, self.process.stderr.read() if self.process.stderr else ""
            assert time.monotonic() < until, self.told()
            time.sleep(0.05)
        return self.told()

    def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 90.0) -> dict[str, Any]:
        """The kept state, once `holds` says so of it."""
        path, until = self.root / "artifacts" / "watching" / "alerts.json", time.monotonic() + seconds
        while True:
            state = json.loads(path.read_text()) if path.exists() else {"looked": 0.0, "outbox": [], "alerts": []}
            if holds(state):
                return state
            assert self.process.poll() is None and time.monotonic() < until, state
            time.sleep(0.05)

    def looks(self, count: int) -> None:
        """Waits for so many rounds."""
        for _ in range(count):
            last = self.until(lambda state: True)["looked"]
            self.until(lambda state, last=last: state["looked"] > last)  # type: ignore[misc]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """(exit code, what it said on stderr)."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=90) if self.process.stdout is None else (None, self._rest())
        return self.process.wait(90), said

    def _rest(self) -> str:
        self.process.wait(90)
        return self.process.stderr.read() if self.process.stderr is not None else ""


@contextlib.contextmanager
def watching(root: Path, **environment: str) -> Iterator[Watching]:
    one = Watching(root, **environment)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        for stream in (one.process.stdout, one.process.stderr):
            if stream is not None:
                stream.close()
