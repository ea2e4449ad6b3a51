"""Texts for the encoder benches: the human-rated English sentences of the sentiment recipe, alone or joined.

`mails` draws lengths from 8 to 128 tokens, short ones as often as long ones on a logarithmic scale, as letters come.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from breakeven.task import Cases

PACKAGE = ("vaderSentiment==2.5", "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84")
INNER = "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz//hutto_ICWSM_2014/{}_GroundTruth.txt"
PARTS = ("movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets", "tweets")
WORDS_A_TOKEN = 0.75
Row = tuple[str, int]


def sentences() -> list[Row]:
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


def shuffled(seed: int = 0) -> list[Row]:
    """The sentences, each once, in a drawn order."""
    found = list(dict(sentences()).items())
    random.Random(seed).shuffle(found)
    return found


def mails(count: int, seed: int = 0, *, even: bool = False) -> list[Row]:
    """Sentences of one label joined and cut at a drawn length; `even`: all lengths from 8 to 128 tokens alike."""
    draw = random.Random(seed)
    by_label = {label: [text for text, own in sentences() if own == label] for label in (0, 1)}
    found = []
    for _ in range(count):
        label, words = draw.randint(0, 1), list[str]()
        tokens = draw.uniform(8, 128) if even else 8 * 16 ** draw.random()
        while len(words) < tokens * WORDS_A_TOKEN:
            words += draw.choice(by_label[label]).split()
        found.append((" ".join(words[: round(tokens * WORDS_A_TOKEN)]), label))
    return found


def cases(rows: list[Row]) -> Cases:
    """Rows as models take them."""
    return Cases([str(place) for place in range(len(rows))], [text for text, _ in rows], [str(own) for _, own in rows])


def task() -> Any:
    """As much of a task as an encoder asks for."""
    return SimpleNamespace(
        text_of=lambda item: item, facts=lambda train: {"classes": ["0", "1"], "train_rates": {"0": 0.5, "1": 0.5}}
    )


def context(threads: int, *, seed: int = 0) -> Any:
    """A training's surroundings, in a temporary folder, without a time budget."""
    from breakeven.training.weights import cache_folder

    root = Path(tempfile.mkdtemp(prefix="breakeven-bench-"))
    for name in ("trained", "checkpoints", "shared"):
        (root / name).mkdir()

    def shared(key: Any, build: Any) -> Path:
        build(root / "shared")
        return root / "shared"

    return SimpleNamespace(
        root=root,
        folder=root / "trained",
        checkpoints=root / "checkpoints",
        cache=cache_folder(),
        seed=seed,
        example="x",
        threads=threads,
        budget_seconds=None,
        progress=lambda *a, **k: None,
        find=lambda f: None,
        shared=shared,
    )


def right(raw: list[list[float]], rows: list[Row]) -> list[bool]:
    """Whether each answer is right."""
    return [int(one[1] > one[0]) == label for one, (_, label) in zip(raw, rows, strict=True)]
