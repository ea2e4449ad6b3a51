"""A small shop with a signed release, served by the real command."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORDS = {"good": ["fine", "great", "lovely", "works", "quick"], "bad": ["broken", "late", "awful", "slow", "refund"]}
PROJECT = """version: 1
product: {name: shop, task: text-classification}
collect:
  sources: {reviews: reviews.csv}
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
watching:
  inputs: {keep: inputs-and-outputs, days: 2}
"""


def texts(count: int, seed: int, *, words: int = 5) -> list[tuple[str, str]]:
    """Distinct texts of words of their class and one of the other, with the label."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        label, other = draw.sample(["good", "bad"], 2)
        said = [draw.choice(WORDS[label]) for _ in range(words - 1)] + [draw.choice(WORDS[other])]
        draw.shuffle(said)
        found.append((f"{' '.join(said)} order {''.join(draw.choices('abcdefgh', k=9))}", label))
    return found


def make(root: Path, rows: int = 900) -> Path:
    """The project with its reviews."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "breakeven.yaml").write_text(PROJECT)
    lines = [f"{text},{label}" for text, label in texts(rows, 1)]
    (root / "reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return root


def run(root: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command as a person calls it."""
    command = [sys.executable, "-m", "breakeven", *arguments, "-C", str(root)]
    surroundings = {**os.environ, "BREAKEVEN_LANG": "en"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=surroundings)
    assert done.returncode == code, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done


@contextlib.contextmanager
def served(root: Path) -> Iterator[dict[str, Any]]:
    """A running server's facts; ended by SIGTERM."""
    command = [sys.executable, "-m", "breakeven", "serve", "-C", str(root), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            line = process.stdout.readline()
            assert line, "the server ended"
            text += line
        yield json.loads(text)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def predict(url: str, key: str, inputs: list[str]) -> dict[str, Any]:
    """An answer over HTTP."""
    asked = urllib.request.Request(
        f"{url}/v1/predict",
        json.dumps({"inputs": inputs}).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found
