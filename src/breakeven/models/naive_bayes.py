"""Naive Bayes over TF-IDF of words and character n-grams: the first model that learns, with NumPy alone.

One pass over the rows and no extra to install, so that a bare installation has a candidate that can pay. It keeps its
weights as the linear model does and is served by the same scorer. After Rennie and others, "Tackling the Poor
Assumptions of Naive Bayes Text Classifiers" (2003): sub-linear counts, inverse document frequency, length normalised.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from breakeven.artifacts import write_atomic, write_json
from breakeven.models.linear import FILES, FORMAT, LinearPredictor, load_scorer
from breakeven.models.ngrams import Analyzer
from breakeven.task import Cases, Model, TrainContext

if TYPE_CHECKING:
    import numpy as np


class NaiveBayesSettings(BaseModel):
    """What may be set of naive Bayes."""

    model_config = ConfigDict(extra="forbid")

    words: tuple[int, int] = Field((1, 2), description="lengths of word n-grams, from and to")
    characters: tuple[int, int] = Field((1, 3), description="lengths of character n-grams, from and to")
    min_rows: int = Field(2, ge=1, description="an n-gram counts when at least this many training rows hold it")
    max_features: int = Field(100_000, ge=100, description="at most this many n-grams of each kind, the most frequent")
    smoothing: tuple[float, ...] = Field(
        (0.01, 0.03, 0.1, 0.3), min_length=1, description="added to every count; the best on validation rows is kept"
    )


class NaiveBayes(Model):
    """Log rates of n-grams by class; raw output: probabilities over the classes."""

    settings: ClassVar[type[BaseModel]] = NaiveBayesSettings
    options: NaiveBayesSettings

    def estimate(self, rows: int) -> dict[str, float]:
        """About 5,000 rows a second on one core."""
        return {"minutes": rows / 5000 / 60, "memory_gb": 0.2 + rows * 4e-6, "download_mb": 0.0, "money": 0.0}

    def fit(self, train: Cases, validation: Cases, context: TrainContext) -> dict[str, Any]:
        """Counts once; validation log loss chooses the smoothing."""
        import numpy as np
        from safetensors.numpy import save

        facts = self.task.facts(train)
        classes = [str(label) for label in facts["classes"]]
        kinds = [self._kind(train, kind) for kind in ("words", "characters")]
        sums = np.concatenate([part.sums(train, classes, self.task) for part in kinds])
        arrays = {"idf": np.concatenate([part.idf for part in kinds])}
        arrays["intercept"] = np.log([float(facts["train_rates"][label]) for label in facts["classes"]])
        data = {
            "format": FORMAT,
            "classes": classes,
            "words": list(self.options.words),
            "characters": list(self.options.characters),
            "sizes": [len(part.grams) for part in kinds],
        }
        vocabularies = [part.grams for part in kinds]
        best: tuple[float, np.ndarray] | None = None
        history = []
        for done, smoothing in enumerate(self.options.smoothing):
            rates = np.log((sums + smoothing) / (sums + smoothing).sum(axis=0))
            scorer = LinearPredictor(self.task, data, vocabularies, {**arrays, "coefficients": rates})
            loss, accuracy = _judge(scorer.predict(validation.inputs), validation.targets or [], classes)
            history.append({"smoothing": smoothing, "log_loss": loss, "accuracy": accuracy})
            if best is None or loss < best[0]:
                best = (loss, rates)
            context.progress(done + 1, len(self.options.smoothing), log_loss=loss)
        assert best is not None
        write_json(context.folder / FILES[0], data)
        write_json(context.folder / FILES[1], vocabularies)
        write_atomic(context.folder / FILES[2], save({**arrays, "coefficients": np.ascontiguousarray(best[1])}))
        kept = min(history, key=lambda item: item["log_loss"])
        return {
            "steps": 1,
            "stopped": "converged",
            "still_improving": False,
            "history": history,
            "validation": {"log_loss": kept["log_loss"], "accuracy": kept["accuracy"]},
            "parameters": int(sums.size + len(classes)),
            "base": None,
        }

    def _kind(self, train: Cases, kind: str) -> _Kind:
        sizes = self.options.words if kind == "words" else self.options.characters
        minimum = self.options.min_rows if len(train) >= 100 else 1
        return _Kind(Analyzer(kind, *sizes), train, self.task, minimum=minimum, most=self.options.max_features)

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        """Copies the three files; they are already what is served."""
        for name in FILES:
            write_atomic(folder / name, (trained / name).read_bytes())

    def load(self, folder: Path, runtime: str, *, threads: int) -> LinearPredictor:
        """A scorer over the stored weights."""
        return load_scorer(folder, self.task)


class _Kind:
    """The n-grams of one kind: which count, their inverse document frequency, and their weights by class."""

    def __init__(self, analyse: Analyzer, train: Cases, task: Any, *, minimum: int, most: int) -> None:
        import numpy as np

        self._rows = [Counter(analyse(task.text_of(item) or "")) for item in train.inputs]
        seen: Counter[str] = Counter()
        for row in self._rows:
            seen.update(row.keys())
        self.grams = sorted(gram for gram, count in seen.most_common(most) if count >= minimum)
        self._column = {gram: place for place, gram in enumerate(self.grams)}
        held = np.array([seen[gram] for gram in self.grams], dtype=float)
        self.idf = np.log((1 + len(train)) / (1 + held)) + 1.0

    def sums(self, train: Cases, classes: Sequence[str], task: Any) -> np.ndarray:
        """[grams, classes]: the weights of the training rows, each row of length 1, added up by class."""
        import numpy as np

        found = np.zeros((len(self.grams), len(classes)))
        place = {label: number for number, label in enumerate(classes)}
        for row, target in zip(self._rows, train.targets or [], strict=True):
            known = [(self._column[gram], count) for gram, count in row.items() if gram in self._column]
            if known:
                columns = np.array([column for column, _ in known])
                weights = (1.0 + np.log(np.array([count for _, count in known], dtype=float))) * self.idf[columns]
                found[columns, place[str(target)]] += weights / math.sqrt(weights @ weights)
        return found


def _judge(probabilities: list[list[float]], targets: Sequence[Any], classes: Sequence[str]) -> tuple[float, float]:
    """(log loss, accuracy) on held-out rows, (0, 0) where there are none; an unseen class costs the floor."""
    place = {label: number for number, label in enumerate(classes)}
    truths = [place.get(str(target)) for target in targets]
    if not truths:
        return 0.0, 0.0
    pairs = list(zip(probabilities, truths, strict=True))
    loss = -sum(math.log(max(1e-12, p[t]) if t is not None else 1e-12) for p, t in pairs) / len(pairs)
    return loss, sum(t is not None and p[t] == max(p) for p, t in pairs) / len(pairs)
