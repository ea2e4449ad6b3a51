"""A small shop whose reviews are told apart by their words, and a new kind of review that nobody has learnt yet."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.refresh.customers import Said

OLD = {"good": ["fine", "great", "lovely", "works", "quick"], "bad": ["broken", "late", "awful", "slow", "refund"]}
NEW = {"good": ["zippy", "cromulent", "snazzy", "nifty"], "bad": ["gnarly", "borked", "janky", "cursed"]}
PROJECT = """version: 1
product: {name: shop, task: text-classification}
collect:
  sources:
    reviews: reviews.csv
    customers: {ledger: feedback}
  fields: {inputs: [text], target: label}
process: {deduplicate: exact}
train:
  candidates:
    - {name: words, model: naive-bayes}
evaluate:
  payoff: {correct: 0.02, wrong: -0.02}
  draws: 400
  runtimes: 1
  load: {seconds: 2, rounds: 1}
  machines: [{name: small, price_per_hour: 0.05, cores: 1, memory_gb: 4, measured: here}]
deploy: {parity_rows: 4}
"""


def texts(words: dict[str, list[str]], count: int, seed: int) -> list[tuple[str, str]]:
    """Distinct texts of four words of their class and one of the other, with the label."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        label, other = draw.sample(["good", "bad"], 2)
        said = [draw.choice(words[label]) for _ in range(4)] + [draw.choice(words[other])]
        draw.shuffle(said)
        order = "".join(draw.choices("abcdefgh", k=9))  # so that no text is another's repeat
        found.append((f"{' '.join(said)} order {order}", label))
    return found


def make(root: Path, rows: int = 500) -> Path:
    """The project with its reviews."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "breakeven.yaml").write_text(PROJECT)
    lines = [f"{text},{label}" for text, label in texts(OLD, rows, 1)]
    (root / "reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return root


def said_of(rows: list[tuple[str, str]], *, truly: bool = True) -> list[Said]:
    """Answers that were wrong, with the right label; `truly` False: right answers called wrong."""
    turned = {"good": "bad", "bad": "good"}
    if truly:
        return [(text, turned[label], {"label": label}) for text, label in rows]
    return [(text, label, {"label": turned[label]}) for text, label in rows]


def breakeven(root: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """A command as a person calls it, with --json; its answer."""
    command = [sys.executable, "-m", "breakeven", *arguments, "-C", str(root), "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "BREAKEVEN_LANG": "en"}
    )
    assert done.returncode == code, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found
