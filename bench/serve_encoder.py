"""A text encoder behind five servers, side by side: equal weights, equal texts, equal answers, the same two cores.

    python bench/serve_encoder.py [--rounds 3] [--seconds 4] [--connections 64 16 1] [--threads 2] [--pairs 10]

MiniLM-L6 with a linear head over mails of 8 to 128 tokens. Ours (in fp32, and as chosen by `evaluate`: bf16 without
padding) runs with keys, validation and metering; the others are as people write them: FastAPI + transformers, LitServe
and BentoML with batching and padding, and LitServe around our very package. Rounds take turns. Servers, their threads
and the load generator share all cores. Then p99 at one rate of arrivals for all, CPU seconds an answer with and
without metering, in pairs, and the limit: what the machine's best bf16 product of the encoder's shapes would answer.

LitServe and BentoML go into an environment of their own beside the weights' cache (made once; torch is ours in it).
Needs: pip install 'breakeven[text]' fastapi
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
from texts import cases, context, mails

from breakeven.serving.launch import ServerProcess
from breakeven.serving.load import LAG_LIMIT_MS, LoadResult, closed_loop, open_loop

HERE = Path(__file__).resolve().parent
PEERS = ("litserve==0.2.19", "bentoml==1.4.39")
ARRIVAL_ROUNDS = 3  # at most, where the generator was late
SAME_FP32, SAME_BF16, LABELS_ALIKE = 1e-4, 0.02, 0.999
PATIENT = {"queue_seconds": 20.0}  # the others have no bound: 64 who wait 0.9 s each are near ours of a second
FP32, BF16, OTHERS = "ours fp32", "ours as chosen", ("litserve", "bentoml")


@dataclass(frozen=True)
class Server:
    """Where one answers. `pid`: its first process."""

    url: str
    pid: int
    key: str = ""

    def cpu(self) -> float:
        """CPU seconds of all its processes so far."""
        parent = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
        return float(sum(one.user + one.system for one in times))

    def probabilities(self, text: str) -> list[float]:
        """What it answers to a text, in the order of the classes."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        body = json.dumps({"inputs": [text]}).encode()
        with urlopen(Request(self.url + "/v1/predict", data=body, headers=headers), timeout=120) as answer:
            found = json.load(answer)
        first = (found["outputs"] if isinstance(found, dict) else found)[0]
        return list(first["probabilities"].values()) if isinstance(first, dict) else first


def packages(root: Path) -> dict[str, Path]:
    """One encoder, packaged in fp32 and as chosen among all runtimes; made once, with a fixed seed."""
    from breakeven.models.encoder import Encoder, EncoderSettings
    from breakeven.packaging.package import build
    from breakeven.tasks.text_classification import TextClassification

    places = {FP32: root / "fp32", BF16: root / "chosen"}
    if all((place / "package.json").exists() for place in places.values()):
        return places
    task, rows = TextClassification(), mails(450)
    model, where = Encoder(EncoderSettings(weights="minilm-l6", adapt="frozen"), task), context(2)
    train, held = cases(rows[:300]), cases(rows[300:])
    model.fit(train, held, where)
    for name, place in places.items():
        place.mkdir(parents=True, exist_ok=True)
        only = [] if name == FP32 else ["torch-packed-bf16"]
        build(
            model, trained=where.folder, folder=place, candidate="encoder", model_name="encoder",
            facts=task.facts(train), chain=None, cases=held, task=task, calibration={}, tolerance=SAME_BF16,
            agreement=0.99, runtimes=only,
        )  # fmt: skip
    return places


def environment(root: Path) -> str:
    """The Python of an environment with the peers in it, that finds everything else where this one does."""
    place = root / "peers"
    python = place / "bin" / "python"
    if not (place / "made").exists():
        venv.create(place, with_pip=True, clear=True)
        site = subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        )
        (Path(site.strip()) / "product.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
        (place / "made").touch()
    return str(python)


@contextlib.contextmanager
def peer(command: Callable[[int], list[str]], folder: Path, threads: int) -> Iterator[Server]:
    """A server of somebody else's, ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    import breakeven

    paths = os.pathsep.join([str(HERE), str(Path(breakeven.__file__).parents[1])])
    about = {"ENCODER_FOLDER": str(folder), "ENCODER_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    quiet = {"TOKENIZERS_PARALLELISM": "false", "BENTOML_DO_NOT_TRACK": "true", "TRANSFORMERS_VERBOSITY": "error"}
    settings = {**os.environ, **about, **quiet, "PYTHONPATH": paths}
    said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
    process = psutil.Popen(command(port), env=settings, cwd=HERE, stdout=said, stderr=said)
    try:
        server = Server(f"http://127.0.0.1:{port}", process.pid)
        for _ in range(600):
            with contextlib.suppress(OSError):
                server.probabilities("hello")
                break
            if process.poll() is not None:
                said.seek(0)
                raise SystemExit(f"{command(port)} ended: {said.read().decode()[-2000:]}")
            time.sleep(0.2)
        yield server
    finally:
        family = [process]
        with contextlib.suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.terminate()
        for one in psutil.wait_procs(family, timeout=10)[1]:
            one.kill()


def start(stack: contextlib.ExitStack, root: Path, threads: int) -> dict[str, Server]:
    """All servers, ready."""
    ready, other, script = packages(root), environment(root), str(HERE / "encoder_peers.py")
    lit = str(HERE / "encoder_litserve.py")
    weights, servers = ready[FP32] / "torch-fp32", {}
    for name, place in ready.items():
        plan = {"rates": {"answers": "0.004"}}
        one = stack.enter_context(ServerProcess(place, threads=threads, plan=plan, limits=PATIENT))
        servers[name] = Server(one.url, one.pid, one.key)
    commands: dict[str, tuple[Path, Callable[[int], list[str]]]] = {
        "fastapi": (weights, lambda port: [sys.executable, script, str(weights), str(port), str(threads)]),
        "litserve": (weights, lambda port: [other, lit, "plain", str(weights), str(port), str(threads)]),
        "litserve, our package": (
            ready[BF16], lambda port: [other, lit, "package", str(ready[BF16]), str(port), str(threads)]
        ),
        "bentoml": (weights, lambda port: [
            other, "-m", "bentoml", "serve", "encoder_bento:Encoder", "--host", "127.0.0.1", "--port", str(port)
        ]),
    }  # fmt: skip
    for name, (folder, command) in commands.items():
        servers[name] = stack.enter_context(peer(command, folder, threads))
    return servers


def compare(servers: dict[str, Server], texts: list[str]) -> dict[str, Any]:
    """How far each server's probabilities are from our fp32's; asserts that they are the same answers."""
    wanted, found = [servers[FP32].probabilities(text) for text in texts], {}
    for name, server in servers.items():
        said = [server.probabilities(text) for text in texts]
        gap = max(abs(a - b) for one, other in zip(said, wanted, strict=True) for a, b in zip(one, other, strict=True))
        alike = sum((a[0] > a[1]) == (b[0] > b[1]) for a, b in zip(said, wanted, strict=True)) / len(texts)
        limit = SAME_FP32 if name in (FP32, "fastapi", *OTHERS) else SAME_BF16
        assert gap <= limit and alike >= (1.0 if limit == SAME_FP32 else LABELS_ALIKE), (name, gap, alike)
        found[name] = {"largest_gap": round(gap, 6), "labels_alike": alike}
    return found


def closed(servers: dict[str, Server], bodies: list[str], chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Medians over the rounds, for each number of connections."""
    for count in chosen.connections:
        found: dict[str, list[tuple[LoadResult, float]]] = {name: [] for name in servers}
        for number in range(chosen.rounds):
            order = list(servers) if number % 2 == 0 else list(reversed(servers))
            for name in order:
                found[name].append(_loaded(servers[name], bodies, count, chosen.seconds))
        for name, rounds in found.items():
            yield {"connections": count, "server": name, **_medians(rounds)}
        rates = {name: statistics.median(one.achieved for one, _ in rounds) for name, rounds in found.items()}
        best = max(rates[name] for name in OTHERS)
        yield {
            "connections": count,
            "fp32 to the better peer": round(rates[FP32] / best, 2),
            "as chosen to the better peer": round(rates[BF16] / best, 2),
            "as chosen to LitServe with it": round(rates[BF16] / rates["litserve, our package"], 2),
        }


def _loaded(server: Server, bodies: list[str], count: int, seconds: float) -> tuple[LoadResult, float]:
    before = server.cpu()
    result = closed_loop(server.url, server.key, bodies, count, seconds)
    assert not result.errors, result.errors
    return result, (server.cpu() - before) / result.answers * 1000


def _medians(rounds: list[tuple[LoadResult, float]]) -> dict[str, Any]:
    runs, spent = [run for run, _ in rounds], [cost for _, cost in rounds]
    return {
        "per_second": round(statistics.median(run.achieved for run in runs), 1),
        "p50_ms": round(statistics.median(run.p50_ms or 0.0 for run in runs)),
        "p99_ms": round(statistics.median(run.p99_ms or 0.0 for run in runs)),
        "cpu_ms_per_answer": round(statistics.median(spent), 2),
        "rounds": [round(run.achieved, 1) for run in runs],
    }


def arrivals(servers: dict[str, Server], bodies: list[str], rate: float, answers: int) -> Iterator[dict[str, Any]]:
    """Latencies from when a request was due, at one rate for all who can hold it. A round in which the generator was
    late says nothing of the server: it is made again, and `judged` says whether the last one was punctual.
    """
    for name in (FP32, BF16, "litserve", "litserve, our package", "bentoml"):
        if name not in servers:
            continue
        one, late = servers[name], list[float]()
        for _ in range(ARRIVAL_ROUNDS):
            run = open_loop(one.url, one.key, bodies, rate, answers / rate, drain=30, lag_limit_ms=float("inf"))
            if run.lag_ms <= LAG_LIMIT_MS:
                break
            late.append(round(run.lag_ms, 1))
        told = {"p50_ms": run.p50_ms, "p99_ms": run.p99_ms, "answers": run.answers, "errors": run.errors}
        own = {"late_ms": round(run.lag_ms, 1), "judged": run.lag_ms <= LAG_LIMIT_MS, "late_rounds_ms": late}
        waited = round(run.connection_wait_ms, 1)  # a server that lags behind the rate keeps all connections busy
        yield {"arrivals_per_second": round(rate, 1), "server": name, **own, "connection_wait_ms": waited, **told}


def metering(place: Path, bodies: list[str], chosen: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds an answer with and without metering, in pairs that take turns."""
    ratios, plan = [], {"rates": {"answers": "0.004"}}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    with (
        ServerProcess(place, threads=chosen.threads, plan=plan) as metered,
        ServerProcess(place, threads=chosen.threads, plan=plan, module="unmetered_server") as bare,
    ):
        pair = [Server(one.url, one.pid, one.key) for one in (metered, bare)]
        for one in pair:
            _loaded(one, bodies, 16, chosen.warm)
        for number in range(chosen.pairs):
            order = pair if number % 2 == 0 else pair[::-1]
            spent = {one.pid: _loaded(one, bodies, 16, chosen.seconds)[1] for one in order}
            ratios.append(spent[metered.pid] / spent[bare.pid])
    return {"metering_cpu_ratio": round(statistics.median(ratios), 3), "pairs": [round(one, 3) for one in ratios]}


def limit(bodies: list[str], folder: Path, threads: int) -> float:
    """Answers a second that the machine's best bf16 product would allow for these texts."""
    import torch
    from frozen import arithmetic

    from breakeven.models.encoder import open_encoder
    from breakeven.models.tokens import Tokeniser

    torch.set_num_threads(threads)
    ids = Tokeniser(folder, max_length=128).encode([json.loads(body)["inputs"][0] for body in bodies])
    encoder, _ = open_encoder(folder)
    weights = sum(
        part.numel()
        for name, part in encoder.named_parameters()
        if name.endswith("weight") and "encoder.layer" in name and part.ndim == 2
    )
    return float(arithmetic() / (2 * weights * sum(map(len, ids)) / len(ids)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, nargs="*", default=[64, 16, 1])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--answers", type=int, default=1000, help="of a server at equal arrivals; 0 leaves that out")
    parser.add_argument("--rate", type=float, help="of arrivals; else 0.7 of the better peer's at most connections")
    parser.add_argument("--pairs", type=int, default=10, help="with and without metering; 0 leaves that out")
    parser.add_argument("--compared", type=int, default=200, help="texts whose answers are compared first")
    parser.add_argument("--warm", type=float, default=2.0, help="seconds of load on each server before it is timed")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the peers end with it
    from breakeven.training.weights import cache_folder

    root = cache_folder() / "bench" / "serve"
    texts = [text for text, _ in mails(1000, seed=7)]
    bodies = [json.dumps({"inputs": [text]}) for text in texts]
    ready, best = packages(root), 0.0
    with contextlib.ExitStack() as stack:
        servers = start(stack, root, chosen.threads)
        print(json.dumps({"answers": compare(servers, texts[: chosen.compared])}), flush=True)
        for one in servers.values():
            closed_loop(one.url, one.key, bodies, 64, chosen.warm)
        for row in closed(servers, bodies, chosen):
            if row.get("server") in OTHERS:
                best = max(best, row["per_second"])
            print(json.dumps(row), flush=True)
        if chosen.answers:
            for row in arrivals(servers, bodies, chosen.rate or 0.7 * best, chosen.answers):
                print(json.dumps(row), flush=True)
    if chosen.pairs:
        print(json.dumps(metering(ready[BF16], bodies, chosen)), flush=True)
    found = max(limit(bodies, ready[FP32] / "torch-fp32", chosen.threads) for _ in range(3))
    print(json.dumps({"bf16_limit_per_second": round(found), "load_average": os.getloadavg()}))


if __name__ == "__main__":
    main()
