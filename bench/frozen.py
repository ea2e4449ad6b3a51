"""A frozen encoder with a linear head, and scoring in batches: rows a second against the machine's own bf16 arithmetic.

The limit is measured between the rounds: products of the encoder's own shapes in bf16, plain and prepacked, the best of
all; turned into rows a second by the multiplications that the linear layers need for a row of the same texts. What is
timed has no tokenising in `embedded` and everything in `scored` (texts in, probabilities out, as packaged).

    python bench/frozen.py

Needs: pip install 'breakeven[text]'
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from texts import cases, context, mails, task

SHAPES = ((384, 1152), (384, 384), (384, 1536), (1536, 384))


def arithmetic() -> float:
    """Multiplications and additions a second in bf16: the best product of 1,024 rows of any shape."""
    import torch

    from breakeven.models import prepacked

    best = 0.0
    with torch.inference_mode():
        for width, height in SHAPES:
            layer = torch.nn.Linear(width, height).bfloat16()
            rows = torch.randn(1024, width, dtype=torch.bfloat16)
            for product in [layer, *([prepacked.Prepacked(layer)] if prepacked.able(torch.bfloat16) else [])]:
                best = max(best, 2 * rows.numel() * height / _shortest(partial(product, rows)))
    return best


def _shortest(work: Callable[[], Any]) -> float:
    found = float("inf")
    for _ in range(15):
        started = time.perf_counter()
        work()
        found = min(found, time.perf_counter() - started)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--even", action="store_true", help="all lengths from 8 to 128 tokens alike")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args()
    import torch

    from breakeven.models.encoder import TORCH_BF16, Encoder, EncoderSettings, open_encoder
    from breakeven.models.text_learner import vectors_of
    from breakeven.models.tokens import Tokeniser
    from breakeven.training.weights import cache_folder, resolve

    torch.set_num_threads(chosen.threads)
    rows = mails(chosen.rows + 300, even=chosen.even)
    train, test = rows[: chosen.rows], rows[chosen.rows :]
    model, where = Encoder(EncoderSettings(weights="minilm-l6", adapt="frozen"), task()), context(chosen.threads)
    started = time.perf_counter()
    record = model.fit(cases(train), cases(test), where)
    fitted = time.perf_counter() - started
    place = where.root / "package"
    place.mkdir()
    model.package(where.folder, place, TORCH_BF16, [])
    scorer, inputs = model.load(place, TORCH_BF16, threads=chosen.threads), [text for text, _ in train]
    folder = resolve("minilm-l6", cache_folder()).folder
    ids = Tokeniser(folder, max_length=128).encode(inputs)
    tokens = sum(map(len, ids)) / len(ids)
    encoder, _ = open_encoder(folder)
    parameters = sum(
        part.numel()
        for name, part in encoder.named_parameters()
        if name.endswith("weight") and "encoder.layer" in name and part.ndim == 2
    )
    encoder.cast(torch.bfloat16)
    encoder.eval().settle()
    work: dict[str, Callable[[], Any]] = {
        "embedded": lambda: vectors_of(encoder, ids, torch.device("cpu")),
        "scored": lambda: scorer.predict(inputs),
    }
    found: dict[str, list[float]] = {"embedded": [], "scored": [], "limit": []}
    used: dict[str, list[float]] = {"embedded": [], "scored": []}
    for _ in range(chosen.rounds):
        found["limit"].append(arithmetic() / (2 * parameters * tokens))
        for name, do in work.items():
            started, before = time.perf_counter(), time.process_time()
            do()
            found[name].append(len(ids) / (time.perf_counter() - started))
            used[name].append(len(ids) / (time.process_time() - before))
    shutil.rmtree(where.root)
    limit = max(found["limit"])
    print(
        json.dumps(
            {
                "per_second": {name: [round(rate, 1) for rate in rates] for name, rates in found.items()},
                "per_cpu_second": {name: [round(rate, 1) for rate in rates] for name, rates in used.items()},
                "share_of_limit_median": {name: round(statistics.median(found[name]) / limit, 3) for name in work},
                "share_of_limit_best": {name: round(max(found[name]) / limit, 3) for name in work},
                "tokens_per_row": round(tokens, 1),
                "fit_rows_per_second": round(len(rows) / fitted, 1),
                "validation": record["validation"],
                **vars(chosen),
                "load_average": os.getloadavg(),
                "torch": torch.__version__,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
