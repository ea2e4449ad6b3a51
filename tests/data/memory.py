"""How much memory reading one file takes, in a process of its own: `python -m tests.data.memory FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from breakeven.data.limits import Limits
from breakeven.data.snapshots import Snapshots
from breakeven.data.sources import Source, read
from breakeven.data.structured import write_parquet


def peak() -> int:
    """The most memory this process ever held, in bytes."""
    # Not getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def main(path: Path) -> None:
    """Prints how far the peak grew while the file was read and written as collect does it."""
    source = Source(path=path.name)
    pl.DataFrame({"a": ["x"] * 1000}).write_parquet(path.with_suffix(".warm"))
    before = peak()
    found = read("source", source, path.parent, Limits(), snapshots=Snapshots(path.parent), keep=["text", "label"])
    write_parquet(found.frame, path.with_suffix(".parquet"))
    print(peak() - before, found.frame.height, found.card["encoding"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
