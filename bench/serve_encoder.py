"""One packaged model behind three servers, same texts, same core: breakeven with keys, validation and metering on, a
plain FastAPI handler, and LitServe where it is installed.

    python bench/serve_encoder.py PACKAGE TEXTS.txt [--rounds 3] [--seconds 4] [--connections 1 16 64]

PACKAGE: for example demo/artifacts/evaluate/encoder/package. TEXTS: a text a line. The peers host the very same
package, so that the servers are compared and not the models; LitServe batches up to 64 within 10 ms. Rounds take turns;
the other core generates the load. Answers are compared first: all servers must say the same.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import psutil

from breakeven.serving.launch import ServerProcess
from breakeven.serving.load import closed_loop

FASTAPI = """
import os, sys
os.sched_setaffinity(0, {0})
import uvicorn
from fastapi import FastAPI
from pathlib import Path
from breakeven.packaging.opened import open_package
package = open_package(Path(sys.argv[1]))
app = FastAPI()
@app.post("/v1/predict")
def predict(body: dict):
    raw = package.raw([package.parse(item) for item in body["inputs"]])
    return {"outputs": package.render(raw, package.answer(raw, None))}
uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="warning")
"""
LITSERVE = """
import os, sys
os.sched_setaffinity(0, {0})
import litserve
from pathlib import Path
class Api(litserve.LitAPI):
    def setup(self, device):
        from breakeven.packaging.opened import open_package
        self.package = open_package(Path(sys.argv[1]))
    def decode_request(self, request):
        return self.package.parse(request["inputs"][0])
    def batch(self, inputs):
        return list(inputs)
    def predict(self, inputs):
        raw = self.package.raw(inputs)
        return self.package.render(raw, self.package.answer(raw, None))
    def unbatch(self, output):
        return output
    def encode_response(self, output):
        return {"outputs": [output]}
if __name__ == "__main__":
    server = litserve.LitServer(Api(max_batch_size=64, batch_timeout=0.01, api_path="/v1/predict"), accelerator="cpu")
    server.run(port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
"""


@contextlib.contextmanager
def peer(code: str, package: Path) -> Iterator[tuple[str, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with Path(os.devnull).open("wb") as nowhere:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(package), str(port)], env=environment, stdout=nowhere
        )
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.terminate()
            process.terminate()
            process.wait()


def cpu(pid: int) -> float:
    total = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def outputs(url: str, key: str, body: str) -> object:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    with urlopen(Request(url + "/v1/predict", data=body.encode(), headers=headers), timeout=60) as answer:
        return json.load(answer)["outputs"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("package", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64])
    options = parser.parse_args()
    texts = [line for line in options.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    bodies = [json.dumps({"inputs": [text]}) for text in texts[:2000]]
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(ServerProcess(options.package, cpu=0, plan={"rates": {"answers": "0.004"}}))
        servers = {"breakeven": (ours.url, ours.pid, ours.key)}
        servers["fastapi"] = (*stack.enter_context(peer(FASTAPI, options.package)), "")
        if importlib.util.find_spec("litserve"):
            servers["litserve"] = (*stack.enter_context(peer(LITSERVE, options.package)), "")
        for body in bodies[:20]:
            said = {name: json.dumps(outputs(url, key, body)) for name, (url, _, key) in servers.items()}
            assert len(set(said.values())) == 1, said
        for count in options.connections:
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in servers}
            for _ in range(options.rounds):
                for name, (url, pid, key) in servers.items():
                    before = cpu(pid)
                    result = closed_loop(url, key, bodies, count, options.seconds, cpu=1)
                    assert not result.errors, (name, result.errors)
                    spent = (cpu(pid) - before) / result.answers * 1000
                    found[name].append((result.achieved, result.p99_ms or 0.0, spent))
            for name, rounds in found.items():
                rate, p99, spent = (statistics.median(values) for values in zip(*rounds, strict=True))
                print(
                    json.dumps(
                        {
                            "connections": count,
                            "server": name,
                            "per_second": round(rate, 1),
                            "p99_ms": round(p99, 1),
                            "cpu_ms_per_answer": round(spent, 3),
                            "rounds": [round(entry[0], 1) for entry in rounds],
                        }
                    )
                )


if __name__ == "__main__":
    main()
