"""Fine-tuning side by side: our loop, Hugging Face Trainer as it comes, and Trainer at its best.

Same weights, same rows, same number of epochs, interleaved rounds; accuracy on the same held-out rows. Only steps are
timed: loading, tokenising and our warm-up are not. On a busy machine CPU seconds are the fairer figure. Rows: the
human-rated English sentences of the sentiment recipe, joined to texts of 8 to 128 tokens.

    python bench/fine_tune.py --rows 400 --rounds 2

Needs: pip install 'breakeven[text]' accelerate
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from breakeven.task import Cases

PACKAGE = ("vaderSentiment==2.5", "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84")
INNER = "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz//hutto_ICWSM_2014/{}_GroundTruth.txt"
PARTS = ("movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets", "tweets")


def sentences() -> list[tuple[str, int]]:
    """(text, 1 for praise, 0 for complaint) of every sentence whose mean rating is beyond half a point."""
    from breakeven.data.archives import member
    from breakeven.data.limits import Limits
    from breakeven.data.packages import Package, fetch
    from breakeven.data.web import Web

    data = fetch(Package(*PACKAGE), Web())
    rows = []
    for part in PARTS:
        text = member(data, INNER.format(part), "vaderSentiment-2.5.tar.gz", Limits()).decode("utf-8", "replace")
        for line in text.splitlines():
            cells = line.split("\t")
            if len(cells) >= 3 and abs(float(cells[1])) > 0.5:
                rows.append((cells[2], int(float(cells[1]) > 0)))
    return rows


def texts(count: int, seed: int = 0) -> list[tuple[str, int]]:
    """Sentences of one label joined until a drawn length of 6 to 90 words is reached."""
    draw = random.Random(seed)
    by_label = {label: [text for text, own in sentences() if own == label] for label in (0, 1)}
    found = []
    for _ in range(count):
        label, length, parts = draw.randint(0, 1), draw.randint(6, 90), []
        while sum(len(part.split()) for part in parts) < length:
            parts.append(draw.choice(by_label[label]))
        found.append((" ".join(" ".join(parts).split()[:length]), label))
    return found


def cases(rows: list[tuple[str, int]]) -> Cases:
    return Cases(
        [str(place) for place in range(len(rows))], [text for text, _ in rows], [str(label) for _, label in rows]
    )


def task() -> Any:
    return SimpleNamespace(
        text_of=lambda item: item, facts=lambda train: {"classes": ["0", "1"], "train_rates": {"0": 0.5, "1": 0.5}}
    )


def context(threads: int, cache: Path) -> Any:
    root = Path(tempfile.mkdtemp())
    for name in ("trained", "checkpoints", "shared"):
        (root / name).mkdir()

    def shared(key: Any, build: Any) -> Path:
        build(root / "shared")
        return root / "shared"

    return SimpleNamespace(
        folder=root / "trained",
        checkpoints=root / "checkpoints",
        cache=cache,
        seed=0,
        example="x",
        threads=threads,
        budget_seconds=None,
        progress=lambda *a, **k: None,
        find=lambda f: None,
        shared=shared,
    )


def accuracy(raw: list[list[float]], rows: list[tuple[str, int]]) -> float:
    return sum(int(one[1] > one[0]) == label for one, (_, label) in zip(raw, rows, strict=True)) / len(rows)


def ours(train: list[Any], test: list[Any], epochs: float, threads: int, cache: Path) -> tuple[float, float, float]:
    from breakeven.models.encoder import TORCH_FP32, Encoder, EncoderSettings

    settings = EncoderSettings(weights="minilm-l6", epochs=epochs, patience=100)
    model, where = Encoder(settings, task()), context(threads, cache)
    steps: list[tuple[float, float]] = []
    where.progress = lambda *_, **__: steps.append((time.perf_counter(), time.process_time()))
    model.fit(cases(train), cases(test[:32]), where)
    share = (len(steps) - 1) / len(steps)  # from the end of the first step to the end of the last
    seconds, used = ((steps[-1][kind] - steps[0][kind]) / share for kind in (0, 1))
    place = where.folder.parent / "package"
    place.mkdir()
    model.package(where.folder, place, TORCH_FP32, [])
    predicted = model.load(place, TORCH_FP32, threads=threads).predict([text for text, _ in test])
    return len(train) * epochs / seconds, len(train) * epochs / used, accuracy(predicted, test)


def trainer(train: list[Any], test: list[Any], epochs: float, cache: Path, *, best: bool) -> tuple[float, float, float]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments
    from transformers.utils import logging

    from breakeven.training.weights import resolve

    logging.set_verbosity_error()
    folder = resolve("minilm-l6", cache).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)

    def encoded(rows: list[Any]) -> list[dict[str, Any]]:
        return [{**tokenizer(text, truncation=True, max_length=128), "labels": label} for text, label in rows]

    options: dict[str, Any] = {"train_sampling_strategy": "group_by_length", "bf16": True} if best else {}
    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            out,
            num_train_epochs=epochs,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            logging_strategy="no",
            **_known(options),
        )
        loop = Trainer(model=model, args=arguments, train_dataset=encoded(train), processing_class=tokenizer)
        started, before = time.perf_counter(), time.process_time()
        loop.train()
        seconds, used = time.perf_counter() - started, time.process_time() - before
        logits = torch.tensor(loop.predict(encoded(test)).predictions)
    right = accuracy(torch.softmax(logits, 1).tolist(), test)
    return len(train) * epochs / seconds, len(train) * epochs / used, right


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Older versions name grouping by length otherwise."""
    from transformers import TrainingArguments

    if "train_sampling_strategy" in options and "train_sampling_strategy" not in TrainingArguments.__dataclass_fields__:
        options = {**options, "group_by_length": True}
        del options["train_sampling_strategy"]
    return options


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args()
    import torch

    from breakeven.training.weights import cache_folder

    torch.set_num_threads(chosen.threads)
    rows, cache = texts(chosen.rows + 400), cache_folder()
    train, test = rows[: chosen.rows], rows[chosen.rows :]
    ways = {
        "breakeven": lambda: ours(train, test, chosen.epochs, chosen.threads, cache),
        "Trainer at its best": lambda: trainer(train, test, chosen.epochs, cache, best=True),
        "Trainer as it comes": lambda: trainer(train, test, chosen.epochs, cache, best=False),
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        for name, way in ways.items():
            found[name].append(way())
            print(name, "{:.1f} samples/s, {:.1f} a CPU second, accuracy {:.4f}".format(*found[name][-1]), flush=True)
    print(
        json.dumps(
            {
                "samples_per_second": {
                    name: round(statistics.median(one[0] for one in got), 1) for name, got in found.items()
                },
                "samples_per_cpu_second": {
                    name: round(statistics.median(one[1] for one in got), 1) for name, got in found.items()
                },
                "accuracy": {name: round(statistics.mean(one[2] for one in got), 4) for name, got in found.items()},
                "rows": chosen.rows,
                "epochs": chosen.epochs,
                "rounds": chosen.rounds,
                "threads": chosen.threads,
                "load_average": os.getloadavg(),
                "torch": torch.__version__,
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
