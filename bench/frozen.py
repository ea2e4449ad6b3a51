"""A frozen encoder with a linear head: rows embedded a second, against the machine's own bf16 arithmetic.

The limit is measured in the same run: products of the encoder's largest shape in bf16, turned into rows a second by
the multiplications that a row of the same texts needs. Rows as in fine_tune.py.

    python bench/frozen.py --rows 2000
"""

from __future__ import annotations

import argparse
import json
import os
import time

from fine_tune import cases, context, task, texts


def arithmetic_limit(tokens: float, parameters: int) -> float:
    """Rows of `tokens` a second if only products of 1024 x 384 x 1536 in bf16 were computed, the best of 20."""
    import torch

    left, right = torch.randn(1024, 384, dtype=torch.bfloat16), torch.randn(1536, 384, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(10):
            torch.nn.functional.linear(left, right)
        best = min(best, (time.perf_counter() - started) / 10)
    return 2 * 1024 * 384 * 1536 / best / (2 * parameters * tokens)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args()
    import torch

    from breakeven.models.encoder import Encoder, EncoderSettings, open_encoder
    from breakeven.models.text_learner import vectors_of
    from breakeven.models.tokens import Tokeniser
    from breakeven.training.weights import cache_folder, resolve

    torch.set_num_threads(chosen.threads)
    rows = texts(chosen.rows + 300)
    train, test = rows[: chosen.rows], rows[chosen.rows :]
    folder = resolve("minilm-l6", cache_folder()).folder
    ids = Tokeniser(folder, max_length=128).encode([text for text, _ in train])
    tokens = sum(map(len, ids)) / len(ids)
    encoder, _ = open_encoder(folder)
    encoder.cast(torch.bfloat16)
    encoder.eval().merge()
    parameters = sum(part.numel() for name, part in encoder.named_parameters() if "embeddings" not in name)
    parameters += 0
    limit, rates = arithmetic_limit(tokens, parameters), []
    for _ in range(3):
        started = time.perf_counter()
        vectors_of(encoder, ids, torch.device("cpu"))
        rates.append(len(ids) / (time.perf_counter() - started))
    model, where = (
        Encoder(EncoderSettings(weights="minilm-l6", adapt="frozen"), task()),
        context(chosen.threads, cache_folder()),
    )
    started = time.perf_counter()
    record = model.fit(cases(train), cases(test), where)
    print(
        json.dumps(
            {
                "embedded_per_second": [round(rate, 1) for rate in rates],
                "arithmetic_limit_per_second": round(limit, 1),
                "share_of_limit": round(max(rates) / limit, 3),
                "tokens_per_row": round(tokens, 1),
                "fit_rows_per_second": round(len(rows) / (time.perf_counter() - started), 1),
                "validation": record["validation"],
                "threads": chosen.threads,
                "load_average": os.getloadavg(),
                "torch": torch.__version__,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
