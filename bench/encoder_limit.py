"""Which share of the machine's bf16 arithmetic a text encoder reaches behind the real server, and where the rest goes.

    python bench/encoder_limit.py [--connections 64] [--threads 2] [--seconds 6] [--rounds 3]

The limit: the best bf16 product of the encoder's own shapes (1,024 rows, plain or prepacked), in multiplications a CPU
second of one thread, measured between the rounds. An answer needs the multiplications of the linear layers for its own
tokens. Both sides are CPU seconds, so that a busy machine changes little: the server's are those of all its threads,
event loop, keys, validation and metering included; the generator runs beside it on the same cores. The parts of the
model come from torch's profiler, in this process, over the same texts in batches of the chosen size.

Needs: pip install 'breakeven[text]'
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from frozen import SHAPES
from serve_encoder import BF16, packages
from texts import mails

from breakeven.serving.launch import ServerProcess
from breakeven.serving.load import closed_loop

PLAN = {"rates": {"answers": "0.004"}}
LIMITS = {"queue_seconds": 20.0}  # who waits long on a busy machine is not refused: nothing but the cost is asked
PARTS = {
    "linear layers": ("mkldnn::_linear_pointwise", "aten::linear", "aten::addmm", "aten::mm"),
    "attention": ("aten::_scaled_dot_product", "aten::scaled_dot_product", "aten::bmm", "aten::_softmax"),
    "layer norm": ("aten::native_layer_norm",),
    "casts and copies": ("aten::copy_", "aten::cat", "aten::clone"),
    "additions": ("aten::add",),
    "word vectors": ("aten::embedding", "aten::index"),
    "means": ("aten::mean", "aten::sum"),
}


def arithmetic() -> float:
    """Multiplications and additions a CPU second of one thread in bf16: the best product of any shape."""
    import torch

    from breakeven.models import prepacked

    torch.set_num_threads(1)
    best = 0.0
    with torch.inference_mode():
        for width, height in SHAPES:
            layer = torch.nn.Linear(width, height).bfloat16()
            rows = torch.randn(1024, width, dtype=torch.bfloat16)
            for product in [layer, *([prepacked.Prepacked(layer)] if prepacked.able(torch.bfloat16) else [])]:
                for _ in range(15):
                    started = time.thread_time()
                    product(rows)
                    best = max(best, 2 * rows.numel() * height / (time.thread_time() - started))
    return best


def by_thread(pid: int) -> dict[int, float]:
    """CPU seconds of each thread so far; the process's own number is the event loop's."""
    return {one.id: one.user_time + one.system_time for one in psutil.Process(pid).threads()}


def served(place: Path, bodies: list[str], chosen: argparse.Namespace) -> tuple[list[dict[str, Any]], list[float]]:
    """(rounds of the server under load, the limit measured between them)."""
    rounds, limits = [], [arithmetic()]
    with ServerProcess(place, threads=chosen.threads, plan=PLAN, limits=LIMITS) as server:
        closed_loop(server.url, server.key, bodies, chosen.connections, 2.0)
        for _ in range(chosen.rounds):
            before, cases = by_thread(server.pid), server.batches()
            found = closed_loop(server.url, server.key, bodies, chosen.connections, chosen.seconds)
            assert not found.errors, found.errors
            after, now = by_thread(server.pid), server.batches()
            spent = {one: used - before.get(one, 0.0) for one, used in after.items()}
            loop = spent.pop(server.pid, 0.0)
            rounds.append(
                {
                    "per_second": found.achieved,
                    "p99_ms": found.p99_ms,
                    "cpu_ms_an_answer": 1000 * (loop + sum(spent.values())) / found.answers,
                    "event_loop_ms": 1000 * loop / found.answers,
                    "other_threads_ms": [
                        round(1000 * one / found.answers, 3) for one in sorted(spent.values())[:-5:-1]
                    ],
                    "cases_a_batch": (now[0] - cases[0]) / max(now[1] - cases[1], 1),
                }
            )
            limits.append(arithmetic())
    return rounds, limits


def work(place: Path, texts: list[str]) -> tuple[float, float]:
    """(multiplications and additions a text needs in the linear layers, tokens a text)."""
    from breakeven.models.encoder import open_encoder
    from breakeven.models.tokens import Tokeniser

    folder = place / "torch-fp32"
    ids = Tokeniser(folder, max_length=128).encode(texts)
    encoder, _ = open_encoder(folder)
    named = encoder.named_parameters()
    weights = sum(one.numel() for name, one in named if "encoder.layer" in name and one.ndim == 2)
    tokens = sum(map(len, ids)) / len(ids)
    return 2.0 * weights * tokens, tokens


def profiled(place: Path, texts: list[str]) -> dict[str, float]:
    """Milliseconds a text by part, one thread, texts answered 64 at a time as the server does."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from breakeven.packaging.opened import open_package

    parts: dict[str, float] = defaultdict(float)
    with open_package(place, threads=1) as package:
        batches = [texts[start : start + 64] for start in range(0, len(texts), 64)]
        for batch in batches[:2]:
            package.raw(batch)
        started, clock = time.thread_time(), time.perf_counter()
        for batch in batches:
            package.raw(batch)
        whole, wall = time.thread_time() - started, time.perf_counter() - clock
        started = time.thread_time()
        package.sizes(texts)
        parts["tokenising once"] = 1000 * (time.thread_time() - started)
        with profile(activities=[ProfilerActivity.CPU]) as seen, torch.inference_mode():
            for batch in batches:
                package.raw(batch)
    for event in seen.events():
        name = next((part for part, names in PARTS.items() if event.name.startswith(names)), "other operations")
        parts[name] += event.self_cpu_time_total / 1000
    known = {name: round(spent / len(texts), 4) for name, spent in sorted(parts.items(), key=lambda item: -item[1])}
    return {"whole, without the profiler": 1000 * whole / len(texts), "wall": 1000 * wall / len(texts), **known}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--package", type=Path, help="a package of the encoder; default: the one of serve_encoder.py")
    chosen = parser.parse_args()
    from breakeven.training.weights import cache_folder

    place = chosen.package or packages(cache_folder() / "bench" / "serve")[BF16]
    texts = [text for text, _ in mails(1000, seed=7)]
    bodies = [json.dumps({"inputs": [text]}) for text in texts]
    needed, tokens = work(place, texts)
    parts = profiled(place, texts[:512])
    rounds, limits = served(place, bodies, chosen)
    least = 1000 * needed / max(limits)
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0] if name != "other_threads_ms"}
    print(
        json.dumps(
            {
                "share_of_limit": round(least / middle["cpu_ms_an_answer"], 3),
                "share_of_limit_in_process": round(least / parts["whole, without the profiler"], 3),
                "limit_ms_an_answer": round(least, 3),
                "limit_per_cpu_second": [round(one / needed, 1) for one in limits],
                "served": {name: round(value, 3) for name, value in middle.items()},
                "rounds": rounds,
                "parts_ms": parts,
                "tokens_a_text": round(tokens, 1),
                "load_average": os.getloadavg(),
                "threads": chosen.threads,
                "connections": chosen.connections,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
