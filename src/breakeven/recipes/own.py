"""A project around a table of one's own: which column is the label and which hold the texts, proposed and told.

Nothing is decided in silence: what was found stands in the file with its reason, and a choice that is not clear is
asked for by name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from breakeven.artifacts import write_atomic
from breakeven.data import labels
from breakeven.data.limits import Limits
from breakeven.data.snapshots import Snapshots
from breakeven.data.sources import Source, read
from breakeven.errors import Place, UsageError
from breakeven.recipes import IGNORED, MAIN, put

if TYPE_CHECKING:
    import polars as pl

_USUAL = (
    "label",
    "target",
    "class",
    "category",
    "queue",
    "topic",
    "intent",
    "sentiment",
    "tag",
    "标签",
    "类别",
    "分类",
)
_MOST_CLASSES = 50
_MOST_INPUTS = 3


@dataclass(frozen=True)
class Guess:
    """The columns that a table seems to have for a text classifier, and what its labels need."""

    target: str
    inputs: list[str]
    classes: dict[str, int] = field(default_factory=dict)

    @property
    def untidy(self) -> bool:
        """Whether classes differ only in spelling."""
        return bool(labels.alike(self.classes))

    @property
    def missing(self) -> list[str]:
        """Labels that say that there is none, as they read when untidy ones are folded."""
        found = [label for label in self.classes if labels.folded(label) in labels.NO_LABEL]
        return sorted({label.strip().lower() for label in found} if self.untidy else found)


def write(data: Path, directory: Path, target: str | None, inputs: Sequence[str]) -> tuple[Guess, list[Path]]:
    """Writes a project for the table at `data` into `directory`: (what it is about, the files written)."""
    if (directory / MAIN).exists():
        raise UsageError("project-exists", at=Place(file=str(directory / MAIN)))
    path = data.expanduser().resolve()
    source = Source(path=str(path))
    snapshots = Snapshots(directory / "artifacts" / "snapshots")
    frame = read("source", source, path.parent, Limits(4000, 2000, 10.0), snapshots=snapshots, keep=[]).frame
    guess = guessed(frame, target, inputs)
    near = path.is_relative_to(directory.resolve()) or path.parent == directory.resolve().parent
    shown = os.path.relpath(path, directory.resolve()) if near else str(path)
    write_atomic(directory / MAIN, text(guess, shown, _product(directory)).encode())
    return guess, [directory / MAIN, *put(directory / ".gitignore", ("\n".join(IGNORED) + "\n").encode())]


def guessed(frame: pl.DataFrame, target: str | None, inputs: Sequence[str]) -> Guess:
    """The columns as named, else as found; UsageError where a name is not there or several would do."""
    for name in [*([target] if target else []), *inputs]:
        if name not in frame.columns:
            raise UsageError("own-column", column=name, columns=frame.columns[:30])
    label = target or _target(frame)
    texts = list(inputs) or _inputs(frame, label)
    if label in texts:
        raise UsageError("own-both", column=label)
    return Guess(label, texts, _classes(frame, label))


def _classes(frame: pl.DataFrame, name: str) -> dict[str, int]:
    import polars as pl

    counts = frame[name].cast(pl.String).drop_nulls().value_counts(name="_count", sort=True)
    return {label: count for label, count in counts.iter_rows() if label.strip()}


def _target(frame: pl.DataFrame) -> str:
    found = {name: len({labels.folded(label) for label in _classes(frame, name)}) for name in frame.columns}
    likely = [name for name, count in found.items() if 2 <= count <= min(_MOST_CLASSES, frame.height // 5)]
    usual = [name for name in likely if name.strip().casefold() in _USUAL]
    chosen = usual if len(usual) == 1 else likely
    if len(chosen) != 1:
        code = "own-target-several" if chosen else "own-target-none"
        raise UsageError(code, columns=chosen or frame.columns[:30])
    return str(chosen[0])


def _inputs(frame: pl.DataFrame, target: str) -> list[str]:
    """Columns of sentences: most values differ and hold white space, or are long where a language writes none."""
    import polars as pl

    found = []
    for series in (frame[name] for name in frame.columns if name != target):
        values = series.drop_nulls()
        if values.dtype != pl.String or not len(values) or values.n_unique() * 3 < len(values):
            continue
        sample = [value for value in values.head(500).to_list() if value.strip()]
        wordy = sum(" " in value.strip() or not value.isascii() for value in sample)
        if sample and wordy * 2 > len(sample):
            found.append(series.name)
    if not found:
        raise UsageError("own-inputs-none", columns=[name for name in frame.columns if name != target][:30])
    return found[:_MOST_INPUTS]


def text(guess: Guess, path: str, product: str) -> str:
    """The file: what was found, and numbers of an example that are marked as such."""
    column = guess.target if re.fullmatch(r"[A-Za-z_]\w*", guess.target, re.ASCII) else f"`{guess.target}`"
    tidy = ""
    if guess.untidy:
        folded = _quoted(f"lower(trim({column}))")
        tidy += f"  derive: {{{_quoted(guess.target)}: {folded}}}   # one class was spelt several ways\n"
    if guess.missing:
        quoted = " and ".join(f"{column} <> '{label}'" for label in guess.missing)
        tidy += f"  where: {_quoted(quoted)}   # reads like a missing label\n"
    inputs = ", ".join(map(_quoted, guess.inputs))
    return f"""\
# Made from {json.dumps(Path(path).name, ensure_ascii=False)}.
# Columns were found by what they hold: look whether they are the right ones.
version: 1

product: {{name: {product}, task: text-classification}}

collect:
  source: {_quoted(path)}
  fields: {{inputs: [{inputs}], target: {_quoted(guess.target)}}}
{tidy}
train:                                  # a ladder, the cheapest first; docs/train.md has encoders and APIs
  candidates:
    - {{name: majority, model: majority}}
    - {{name: bayes, model: naive-bayes}}
    - {{name: linear, model: linear}}

# From here on every number is an example: put your own.
evaluate:
  metric: macro_f1
  payoff: {{correct: 0.02, wrong: -0.04}}   # what a right and a wrong answer is worth to your customer, in money
  machines: [{{name: small, price_per_hour: 0.05, memory_gb: 4}}]
  gates: {{macro_f1: {{min: 0.60}}}}

business:
  price: {{per_answer: 0.004}}
  customers: {{start: 3, answers_each: 20000}}   # answers a month
"""


def _quoted(value: str) -> str:
    """A YAML scalar: bare where that is safe."""
    return value if re.fullmatch(r"[A-Za-z_][\w./-]*", value, re.ASCII) else json.dumps(value, ensure_ascii=False)


def _product(directory: Path) -> str:
    """A product's name out of the folder's."""
    name = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-")[:60]
    return name or "product"
