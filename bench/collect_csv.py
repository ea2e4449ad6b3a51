"""A CSV of a million rows x 10 columns: collected, split and written by this program, read and written by Polars alone.

"Collected" is the whole step: encoding and delimiter found, quotes and cells checked, text into numbers without losing
a digit, condition, card with counts, Croissant, hashes. "Split" is the keyed hash of the id column, as process does it.
Both write the same columns to Parquet by zstd, each at its own level, and the rows written are asserted equal. The
interval is that of the median ratio over the pairs, by bootstrap.

    python bench/collect_csv.py [--rows 1000000] [--rounds 12]
    python bench/collect_csv.py --memory [--rows 1000000]    peak memory for so many rows, and for four times as many
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl

from breakeven import pipeline
from breakeven.artifacts import Store
from breakeven.data.splits import by_hash
from breakeven.stages import collect
from breakeven.tasks import find


def write_csv(path: Path, rows: int) -> None:
    chance = np.random.default_rng(0)
    words = np.array("good bad film great awful shop slow fast phone screen love hate never again buy".split())  # noqa: SIM905
    days = np.datetime64("2024-01-01") + chance.integers(0, 900, rows)
    pl.DataFrame({
        "id": np.arange(rows), "text": [" ".join(words[row]) for row in chance.integers(0, len(words), (rows, 8))],
        "label": chance.choice(["pos", "neg"], rows), "channel": chance.choice(["web", "app", "shop"], rows),
        "amount": chance.normal(100, 20, rows).round(2), "quantity": chance.integers(0, 100, rows),
        "flag": chance.integers(0, 2, rows), "x": chance.random(rows), "code": chance.integers(1000, 9999, rows),
        "day": np.datetime_as_string(days),
    }).write_csv(path)  # fmt: skip


def ours(root: Path) -> pl.DataFrame:
    """The collect step as the pipeline runs it, then the split; the table is written with its side."""
    fields = {"inputs": ["text"], "target": "label", "slices": ["channel"], "id": "id"}
    settings = collect.Settings(source="data.csv", fields=fields)
    config = SimpleNamespace(collect=settings, product=SimpleNamespace(name="bench"))
    setup = pipeline.Setup(root, config, find("text-classification"), 0)
    folder = root / "out"
    folder.mkdir(exist_ok=True)
    step = collect.STAGE.steps(setup)[0]
    context = pipeline.Context(setup, Store(root / "artifacts"), step, folder, "", pipeline.Quiet())
    table = collect.gathered(context)
    sides = by_hash(table.frame["id"], 0.15, 0.15, 0)
    table.frame = table.frame.with_columns(sides.alias("_split"))
    collect.write(context, table)
    return table.frame


def polars_alone(root: Path) -> pl.DataFrame:
    frame = pl.read_csv(root / "data.csv")
    frame.write_parquet(root / "alone.parquet", compression="zstd", statistics=False)
    return frame


def timed(work: Callable[[Path], pl.DataFrame], root: Path) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work(root)
    return time.perf_counter() - wall, time.process_time() - cpu


def interval(ratios: list[float]) -> tuple[float, float]:
    """95% of the median, by 2,000 resamples of the pairs."""
    drawn = np.random.default_rng(0).choice(np.array(ratios), (2_000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def memory(rows: int) -> None:
    """Peak memory of fresh processes that collect, split and write; each reports how far it grew from its start."""
    for count in (rows, 4 * rows):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.csv"
            write_csv(path, count)
            done = subprocess.run(
                [sys.executable, __file__, "--measure", folder], capture_output=True, text=True, check=True
            )
            before, peak = map(int, done.stdout.split())
            size = path.stat().st_size
            print(f"{count} rows, {size / 1e6:.0f} MB: peak {peak / 1e6:.0f} MB, {before / 1e6:.0f} MB of it before; "
                  f"grown by {(peak - before) / size:.1f} times the file")  # fmt: skip


def peak() -> int:
    # Not getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        before = peak()
        ours(Path(options.measure))
        print(before, peak())
        return
    if options.memory:
        memory(options.rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_csv(root / "data.csv", options.rows)
        mine, theirs = ours(root), polars_alone(root)
        assert mine.drop("_split").with_columns(pl.col("id").cast(pl.Int64)).equals(theirs), "not the same table"
        pairs = [(timed(ours, root), timed(polars_alone, root)) for _ in range(options.rounds)]
    for place, name in ((0, "wall"), (1, "CPU")):
        ratios = sorted(one[place] / other[place] for one, other in pairs)
        mine_s = statistics.median(one[place] for one, _ in pairs)
        alone_s = statistics.median(other[place] for _, other in pairs)
        low, high = interval(ratios)
        print(f"{name:>4}: breakeven {mine_s:.2f} s, Polars alone {alone_s:.2f} s, {statistics.median(ratios):.2f}x "
              f"({low:.2f} to {high:.2f}; single pairs from {ratios[0]:.2f} to {ratios[-1]:.2f}, "
              f"{len(ratios)} interleaved pairs)")  # fmt: skip
    print(f"{options.rows} rows x 10 columns; {platform.machine()}, {pl.thread_pool_size()} threads, "
          f"Python {platform.python_version()}, Polars {pl.__version__}")  # fmt: skip


if __name__ == "__main__":
    main()
