"""Where the time of a training step goes: MiniLM in bf16 on the CPU, batches of 768 tokens, by torch's profiler.

    python bench/profile_step.py --threads 1

Needs: pip install 'breakeven[text]'
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from typing import Any

from texts import mails

OPERATIONS = {
    "linear layers: products": ("aten::mm", "aten::addmm"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "layer norm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "dropout": ("aten::random_", "aten::bitwise", "aten::__"),
    "casts and copies": ("aten::copy_", "aten::cat"),
    "biases' gradients": ("aten::sum",),
    "word vectors": ("aten::embedding", "aten::index"),
}
REGIONS = {"pack": "packing the batch", "optimiser": "clipping and AdamW", "GridAttention": "attention"}


def kind(event: Any) -> str:
    """The part of a step that an operation belongs to: of a region that it runs in, else by its own name."""
    parent = event
    while parent is not None:
        for name, shown in REGIONS.items():
            if parent.name.startswith(name):
                return shown
        parent = parent.cpu_parent
    for shown, names in OPERATIONS.items():
        if event.name.startswith(names):
            return shown
    return "sums, residuals, loss, dispatch"


def learner(threads: int, count: int = 400) -> Any:
    """MiniLM with a head over `count` texts, in bf16, in training."""
    import torch

    from breakeven.models.encoder import open_encoder
    from breakeven.models.text_learner import Rows, TextLearner
    from breakeven.models.tokens import Tokeniser
    from breakeven.training.weights import cache_folder, resolve

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    rows, folder = mails(count), resolve("minilm-l6", cache_folder()).folder
    ids = Tokeniser(folder, max_length=128).encode([text for text, _ in rows])
    data, (encoder, size) = Rows(ids, [label for _, label in rows]), open_encoder(folder, dropout=0.1)
    made = TextLearner(encoder, size, 2, train=data, validation=data, device=torch.device("cpu"), key="profile")
    made.cast(torch.bfloat16)
    made.train(True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=20)
    chosen = parser.parse_args()
    from torch.profiler import ProfilerActivity, profile, record_function

    from breakeven.models import text_learner
    from breakeven.training import allocator, batches
    from breakeven.training.optimiser import MasterAdamW

    made = learner(chosen.threads)
    packer, optimiser = made._pack, MasterAdamW(made.named(), made.start(), weight_decay=0.01)

    def packed(rows: list[list[int]]) -> Any:
        with record_function("pack"):
            return packer(rows)

    def step(rows: list[int]) -> None:
        made.loss(rows).backward()
        with record_function("optimiser"):
            optimiser.step(1e-5, clip=1.0)

    order = batches.epoch(made.lengths, 768, seed=0, number=0)
    with allocator.kept(allocator.glibc()):
        for rows in order[:4]:
            step(rows)
        wall, used = time.perf_counter(), time.process_time()
        for rows in order[4 : 4 + chosen.steps]:
            step(rows)
        wall, used = time.perf_counter() - wall, time.process_time() - used
        made._pack = packed
        with profile(activities=[ProfilerActivity.CPU]) as found:
            for rows in order[4 : 4 + chosen.steps]:
                step(rows)
    count = len(order[4 : 4 + chosen.steps])
    parameters = sum(value.numel() for value in made.named().values())
    table = f"{text_learner.TABLE}"
    print(f"{parameters / 1e6:.1f} M parameters, {made.named()[table].numel() / 1e6:.1f} M of them word vectors")
    print(f"without the profiler: {1e3 * wall / count:.0f} ms wall, {1e3 * used / count:.0f} ms CPU a step")
    parts: dict[str, float] = defaultdict(float)
    for event in found.events():
        parts[kind(event)] += event.self_cpu_time_total / 1e3 / count
    for name, spent in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"{name:34} {spent:7.1f} ms {100 * spent / sum(parts.values()):5.1f}%")


if __name__ == "__main__":
    main()
