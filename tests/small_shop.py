"""A small shop whose reviews are told apart by their words, a kind of review that it has not learnt, and its commands:
the world of the tests that refresh and watch, run by real processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from breakeven.ledger import open_ledger
from breakeven.ledger.clock import now
from breakeven.ledger.customers import Terms
from breakeven.ledger.events import Charge
from breakeven.ledger.inputs import Kept, keep

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
watching:
  inputs: {keep: inputs-and-outputs, days: 2}
"""
Said = tuple[str, str, dict[str, Any] | None]  # input, label answered, feedback


def texts(count: int, seed: int, *, of: Mapping[str, list[str]] = OLD, words: int = 5) -> list[tuple[str, str]]:
    """Distinct texts of words of their class and one of the other, with the label."""
    draw, found = random.Random(seed), []
    for _ in range(count):
        label, other = draw.sample(["good", "bad"], 2)
        said = [draw.choice(of[label]) for _ in range(words - 1)] + [draw.choice(of[other])]
        draw.shuffle(said)
        order = "".join(draw.choices("abcdefgh", k=9))  # so that no text is another's repeat
        found.append((f"{' '.join(said)} order {order}", label))
    return found


def make(root: Path, rows: int = 500) -> Path:
    """The project with its reviews."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "breakeven.yaml").write_text(PROJECT)
    lines = [f"{text},{label}" for text, label in texts(rows, 1)]
    (root / "reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return root


def said_of(rows: list[tuple[str, str]], *, truly: bool = True) -> list[Said]:
    """Answers that were wrong, with the right label; `truly` False: right answers called wrong."""
    turned = {"good": "bad", "bad": "good"}
    if truly:
        return [(text, turned[label], {"label": label}) for text, label in rows]
    return [(text, label, {"label": turned[label]}) for text, label in rows]


def answered(root: Path, customer: str, cases: Iterable[Said], *, consent: bool = True, release: str = "") -> list[str]:
    """Charges a request a case in the real ledger, keeps what may be kept, writes the feedback; the requests' ids."""
    events = []
    with open_ledger(root / "ledger.sqlite") as ledger:
        owner = ledger.customers.add(customer, terms=Terms(consent=consent)).id
        for text, label, words in cases:
            charge = Charge(owner, {"answers": 1}, release=release)
            ledger.settle(None, charge)
            row = Kept(charge.id, 0, owner, json.dumps(text), json.dumps({"label": label, "probability": 0.9}))
            keep(ledger, [row], expires=now() + 10**12)
            if words is not None:
                ledger.feedback.add(charge.id, words, index=0)
            events.append(charge.id)
    return events


def run(root: Path, *arguments: str, code: int | tuple[int, ...] = 0) -> subprocess.CompletedProcess[str]:
    """A command as a person calls it."""
    command = [sys.executable, "-m", "breakeven", *arguments, "-C", str(root)]
    surroundings = {**os.environ, "BREAKEVEN_LANG": "en"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=surroundings)
    codes = code if isinstance(code, tuple) else (code,)
    assert done.returncode in codes, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done


def breakeven(root: Path, *arguments: str, code: int | tuple[int, ...] = 0) -> dict[str, Any]:
    """The same with --json; its answer."""
    found: dict[str, Any] = json.loads(run(root, *arguments, "--json", code=code).stdout)
    return found


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
