"""Connections never take the last file that the system lets the server open."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from breakeven.serving.launch import ServerProcess

resource = pytest.importorskip("resource")

ASKS = """
import resource, sys
from breakeven.serving.descriptors import fitting
from breakeven.serving.protocol import Guard
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(fitting(Guard(connections=1000)).connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "allowed"),
    [(256, 4096, 1000, 1256), (2000, 2000, 1000, 2000), (300, 800, 544, 800), (100, 200, 100, 200)],
)
def test_the_limit_is_raised_and_connections_stay_below_it(
    soft: int, hard: int, connections: int, allowed: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKS, str(soft), str(hard)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(connections), str(allowed)]
    assert ("connections instead of 1000" in done.stderr) is (connections < 1000)


@pytest.mark.slow
def test_a_server_with_few_files_answers_while_somebody_holds_all_its_connections(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = ServerProcess(
            "nowhere",
            module="tests.serving.few_files_server",
            guard={"head_seconds": 60.0},
            ledger=tmp_path / "l.sqlite",
        )
        stack.enter_context(server)
        port = int(server.url.rsplit(":", 1)[1])
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json", "Connection": "close"}
        asked = Request(f"{server.url}/v1/predict", data=b'{"inputs":["a"]}', headers=headers)
        until, answered = time.monotonic() + 20, False
        while not answered and time.monotonic() < until:
            with contextlib.suppress(OSError):
                answered = urlopen(asked, timeout=5).status == 200
            time.sleep(0.1)
    assert answered
