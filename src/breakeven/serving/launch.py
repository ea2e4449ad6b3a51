"""A real server in its own process, for parity, load tests and tests: started, awaited, measured, ended.

with ServerProcess(package_folder, rule=rule, cpu=0) as server:
    server.url, server.key, server.cpu_seconds(), server.memory_mb(), server.start_seconds
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from breakeven.errors import EnvironmentFault

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


class ServerProcess:
    """`python -m breakeven.serving.run` on a free loopback port, with a key of its own.

    rule: the answer rule, None for the task's default. cpu: the core it is pinned to. threads: of the model.
    ledger: None
    for one that vanishes with the server. trust: a public key; without one the folder is an unsigned package.
    The server
    ends when this process ends, however that ends. EnvironmentFault `server-not-ready` with what it said if it fails.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        rule: Mapping[str, Any] | None = None,
        cpu: int | None = None,
        threads: int = 1,
        ledger: str | Path | None = None,
        unsigned: bool = True,
        trust: str | Path | None = None,
        limits: Mapping[str, Any] | None = None,
        guard: Mapping[str, Any] | None = None,
        plan: Mapping[str, Any] | None = None,
        port: int = 0,
        ready_seconds: float = 120.0,
        module: str = "breakeven.serving.run",
    ) -> None:
        self._scratch = contextlib.ExitStack()
        if ledger is None:
            ledger = (
                Path(self._scratch.enter_context(tempfile.TemporaryDirectory(prefix="breakeven-"))) / "ledger.sqlite"
            )
        command = [
            sys.executable,
            "-m",
            module,
            str(folder),
            "--ledger",
            str(ledger),
            "--port",
            str(port),
            "--watch-stdin",
            "--threads",
            str(threads),
            "--key-for",
            "load test",
        ]
        command += ["--unsigned"] if unsigned and trust is None else []
        for name, value in (("--trust", trust), ("--cpu", cpu)):
            command += [] if value is None else [name, str(value)]
        for name, content in (("--rule", rule), ("--limits", limits), ("--guard", guard), ("--plan", plan)):
            command += [] if content is None else [name, json.dumps(content)]
        self._command = command
        self._threads = threads
        self._ready_seconds = ready_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._said: list[str] = []
        self.ledger = ledger
        self.url = self.key = self.model = ""
        self.pid = 0
        self.start_seconds = 0.0

    def __enter__(self) -> ServerProcess:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> ServerProcess:
        """Starts it and waits until it takes requests; `start_seconds` is how long that took."""
        started = time.monotonic()
        environment = {
            **os.environ,
            **dict.fromkeys(_THREAD_SETTINGS, str(self._threads)),
            "TOKENIZERS_PARALLELISM": "false",
        }
        environment.pop("BREAKEVEN_DATABASE_URL", None)
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        threading.Thread(target=self._listen, daemon=True).start()
        line = self._first_line(started)
        facts = json.loads(line)
        self.url, self.key, self.pid, self.model = facts["url"], facts["key"], facts["pid"], facts["model"]
        self.start_seconds = time.monotonic() - started
        return self

    def _first_line(self, started: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        found: list[bytes] = []
        stdout = self._process.stdout
        reader = threading.Thread(target=lambda: found.append(stdout.readline()), daemon=True)
        reader.start()
        reader.join(max(0.0, self._ready_seconds - (time.monotonic() - started)))
        if not found or not found[0]:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            raise EnvironmentFault(
                "server-not-ready", seconds=round(time.monotonic() - started, 1), reason=self.stderr()
            )
        return found[0]

    def _listen(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line.decode("utf-8", "replace").rstrip())
            del self._said[:-200]

    def stderr(self) -> str:
        """The last lines the server said."""
        return "\n".join(self._said[-20:]) or "it said nothing"

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def cpu_seconds(self) -> float:
        """User and system CPU seconds of the server and its children since it started."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(Exception):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory_mb(self) -> float:
        """Resident memory of the server and its children, in 10^6 bytes."""
        total = 0
        for process in self._processes():
            with contextlib.suppress(Exception):
                total += process.memory_info().rss
        return total / 1e6

    def batches(self) -> tuple[float, float]:
        """(cases, batches) answered so far, from the server's own figures: their quotient is the mean batch."""
        from urllib.request import urlopen

        with urlopen(self.url + "/metrics", timeout=10) as page:  # noqa: S310  our own server on loopback
            lines = page.read().decode().splitlines()
        figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return float(figures["breakeven_batch_cases_sum"]), float(figures["breakeven_batch_cases_count"])

    def _processes(self) -> list[Any]:
        import psutil

        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            raise EnvironmentFault("server-gone", reason=self.stderr()) from None

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, seconds: float = 40.0) -> None:
        """Ends it gracefully, by force after `seconds`; removes its scratch ledger."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process is not None:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        self._scratch.close()
