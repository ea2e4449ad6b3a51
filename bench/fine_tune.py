"""Fine-tuning side by side: our loop, Hugging Face Trainer as it comes, and Trainer at its best.

Same weights, same rows, same number of epochs, each run in a process of its own, interleaved rounds with new rows each;
medians over the rounds, and of the ratios within a round. Only steps are timed: loading, tokenising, our warm-up and
Trainer's construction are not. On a busy machine CPU seconds are the fairer figure. The default takes about five
minutes.

    python bench/fine_tune.py                       # --even: all lengths alike, --adapt lora
    python bench/fine_tune.py --paired              # accuracy in bf16 against fp32, the same loop and the same rows

Needs: pip install 'breakeven[text]' accelerate
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import Any

from texts import Row, cases, context, mails, right, shuffled, task

WAYS = {"ours": "breakeven", "best": "Trainer at its best", "plain": "Trainer as it comes"}


@dataclass(frozen=True)
class Run:
    """What one training came to; memory in MB: the peak while training, and before anything was loaded."""

    per_second: float
    per_cpu_second: float
    accuracy: float
    peak_mb: int
    before_mb: int
    tokens: float
    computed_tokens: float


def ours(train: list[Row], test: list[Row], chosen: argparse.Namespace) -> Run:
    import torch  # noqa: F401

    from breakeven.models.encoder import TORCH_BF16, Encoder, EncoderSettings

    before = _memory()
    settings = EncoderSettings(weights="minilm-l6", epochs=chosen.epochs, patience=100, adapt=chosen.adapt)
    model, where = Encoder(settings, task()), context(chosen.threads)
    steps: list[tuple[float, float]] = []
    where.progress = lambda *_, **__: steps.append((time.perf_counter(), time.process_time()))
    model.fit(cases(train), cases(test[:32]), where)
    peak, share = _memory(), (len(steps) - 1) / len(steps)  # from the end of the first step to the end of the last
    seconds, used = ((steps[-1][kind] - steps[0][kind]) / share for kind in (0, 1))
    answers = _answers(model, where, TORCH_BF16, test, chosen.threads)
    done, lengths = len(train) * chosen.epochs, _lengths(train)
    mean = sum(lengths) / len(lengths)
    return Run(done / seconds, done / used, sum(answers) / len(answers), peak, before, mean, mean)


def _answers(model: Any, where: Any, runtime: str, test: list[Row], threads: int) -> list[bool]:
    place = where.root / "package"
    place.mkdir()
    model.package(where.folder, place, runtime, [])
    answers = right(model.load(place, runtime, threads=threads).predict([text for text, _ in test]), test)
    shutil.rmtree(where.root)
    return answers


def trainer(train: list[Row], test: list[Row], chosen: argparse.Namespace) -> Run:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments
    from transformers.utils import logging

    from breakeven.training.weights import cache_folder, resolve

    logging.set_verbosity_error()
    torch.set_num_threads(chosen.threads)
    before, folder = _memory(), resolve("minilm-l6", cache_folder()).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)

    def encoded(rows: list[Row]) -> list[dict[str, Any]]:
        return [{**tokenizer(text, truncation=True, max_length=128), "labels": label} for text, label in rows]

    best = {"train_sampling_strategy": "group_by_length", "bf16": True} if chosen.way == "best" else {}
    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            out,
            num_train_epochs=chosen.epochs,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            logging_strategy="no",
            **_known(best),
        )
        data = encoded(train)
        loop = Trainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
        started, used = time.perf_counter(), time.process_time()
        loop.train()
        seconds, used, peak = time.perf_counter() - started, time.process_time() - used, _memory()
        computed = sum(batch["input_ids"].numel() for batch in loop.get_train_dataloader())
        logits = torch.tensor(loop.predict(sorted(encoded(test), key=lambda row: len(row["input_ids"]))).predictions)
    ordered = sorted(test, key=lambda row: len(tokenizer(row[0], truncation=True, max_length=128)["input_ids"]))
    answers, done = right(torch.softmax(logits, 1).tolist(), ordered), len(train) * chosen.epochs
    tokens = sum(len(row["input_ids"]) for row in data) / len(data)
    accuracy = sum(answers) / len(answers)
    return Run(done / seconds, done / used, accuracy, peak, before, tokens, computed / len(train))


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """Older versions name grouping by length otherwise."""
    from transformers import TrainingArguments

    if "train_sampling_strategy" in options and "train_sampling_strategy" not in TrainingArguments.__dataclass_fields__:
        options = {**options, "group_by_length": True}
        del options["train_sampling_strategy"]
    return options


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _lengths(rows: list[Row]) -> list[int]:
    from breakeven.models.tokens import Tokeniser
    from breakeven.training.weights import cache_folder, resolve

    tokens = Tokeniser(resolve("minilm-l6", cache_folder()).folder, max_length=128)
    return [len(ids) for ids in tokens.encode([text for text, _ in rows])]


def one(chosen: argparse.Namespace) -> None:
    """One way, one round, in this process; a line of JSON."""
    rows = mails(chosen.rows + chosen.test, chosen.seed, even=chosen.even)
    way = ours if chosen.way == "ours" else trainer
    print(json.dumps(asdict(way(rows[: chosen.rows], rows[chosen.rows :], chosen))))


def side_by_side(chosen: argparse.Namespace) -> None:
    """All ways in turn, round after round."""
    found: dict[str, list[Run]] = {way: [] for way in WAYS}
    for number in range(chosen.rounds):
        for way, name in WAYS.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--seed", str(number)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            got = Run(**json.loads(output.splitlines()[-1]))
            found[way].append(got)
            print(f"{name}: {got}", file=sys.stderr, flush=True)
    print(json.dumps({**_summary(found), **_conditions(chosen)}, indent=1))


def _summary(found: dict[str, list[Run]]) -> dict[str, Any]:
    def middle(way: str, field: str) -> float:
        return float(round(statistics.median(getattr(run, field) for run in found[way]), 3))

    fields = list(Run.__dataclass_fields__)
    table = {name: {field: middle(way, field) for field in fields} for way, name in WAYS.items()}
    for way, name in WAYS.items():
        table[name]["accuracy"] = round(statistics.mean(run.accuracy for run in found[way]), 4)
    ratios = {
        f"{field} against {WAYS[way]}": [
            round(getattr(mine, field) / getattr(theirs, field), 2)
            for mine, theirs in zip(found["ours"], found[way], strict=True)
        ]
        for way in ("plain", "best")
        for field in ("per_second", "per_cpu_second")
    }
    return {"median": table, "ratios": ratios}


def _conditions(chosen: argparse.Namespace) -> dict[str, Any]:
    import torch

    return {**vars(chosen), "load_average": os.getloadavg(), "torch": torch.__version__}


def paired(chosen: argparse.Namespace) -> None:
    """The same loop in bf16 and in fp32, several epochs on the same sentences; one difference for each test row.

    The model of each is answered in the type that it was trained in. With several seeds a row's difference is the mean
    over them, so the interval is over test rows.
    """
    from breakeven.models.encoder import TORCH_BF16, TORCH_FP32, Encoder, EncoderSettings

    rows = shuffled()
    train, held_out = rows[: chosen.rows], rows[chosen.rows : chosen.rows + 300]
    test = rows[chosen.rows + 300 :][: chosen.test]
    found: dict[bool, list[list[bool]]] = {True: [], False: []}
    for seed in range(chosen.rounds):
        for bf16, got in found.items():
            options = {"learning_rate": 1e-4, "epochs": chosen.epochs, "patience": 100, "bf16": bf16}
            model = Encoder(EncoderSettings(weights="minilm-l6", adapt=chosen.adapt, **options), task())
            where, started = context(chosen.threads, seed=seed), time.process_time()
            model.fit(cases(train), cases(held_out), where)
            used, runtime = time.process_time() - started, TORCH_BF16 if bf16 else TORCH_FP32
            got.append(_answers(model, where, runtime, test, chosen.threads))
            line = f"seed {seed}, {runtime}: accuracy {sum(got[-1]) / len(test):.4f}, {used:.0f} CPU seconds"
            print(line, file=sys.stderr, flush=True)
    print(json.dumps({**_difference(found), **_conditions(chosen)}, indent=1))


def _difference(found: dict[bool, list[list[bool]]]) -> dict[str, Any]:
    seeds, count = len(found[True]), len(found[True][0])
    means = {bf16: [sum(column) / seeds for column in zip(*got, strict=True)] for bf16, got in found.items()}
    gaps = [low - full for low, full in zip(means[True], means[False], strict=True)]
    gap, spread = statistics.mean(gaps), 1.96 * statistics.stdev(gaps) / count**0.5
    return {
        "accuracy_bf16": round(statistics.mean(means[True]), 4),
        "accuracy_fp32": round(statistics.mean(means[False]), 4),
        "accuracy_by_seed": {
            "bf16" if kind else "fp32": [round(sum(one) / count, 4) for one in got] for kind, got in found.items()
        },
        "difference_points": round(100 * gap, 2),
        "interval_95_points": [round(100 * (gap - spread), 2), round(100 * (gap + spread), 2)],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--paired", action="store_true")
    parser.add_argument("--even", action="store_true")
    parser.add_argument("--adapt", choices=("full", "lora"), default="full")
    parser.add_argument("--rows", type=int, help="rows to train on; default 400, paired 1500")
    parser.add_argument("--test", type=int, help="rows to answer; default 300, paired 6000")
    parser.add_argument("--epochs", type=float, help="default 1, paired 2")
    parser.add_argument("--rounds", type=int, help="default 3; of --paired: seeds, default 2")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--way", choices=tuple(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    usual = {"rows": 1500, "test": 6000, "epochs": 2.0, "rounds": 2} if chosen.paired else {}
    for name, value in {"rows": 400, "test": 300, "epochs": 1.0, "rounds": 3, **usual}.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    (one if chosen.way else paired if chosen.paired else side_by_side)(chosen)


if __name__ == "__main__":
    main()
