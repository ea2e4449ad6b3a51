"""TF-IDF of words and character n-grams with logistic regression: a second to train, cheap to serve, any language.

scikit-learn fits; what it learnt is kept as safetensors and a JSON vocabulary and scored by a few lines of NumPy,
which for one short text is several times faster than the vectorisers themselves. Nothing is pickled.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from breakeven.artifacts import read_json, write_atomic, write_json
from breakeven.errors import DataError, IntegrityError, Place, need_package
from breakeven.models.ngrams import Analyzer
from breakeven.task import Cases, Model, Predictor, TrainContext

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
FILES = ("linear.json", "vocabulary.json", "linear.safetensors")


class LinearSettings(BaseModel):
    """What may be set of the linear model; the defaults suit texts of a sentence to a page."""

    model_config = ConfigDict(extra="forbid")

    words: tuple[int, int] = Field((1, 2), description="lengths of word n-grams, from and to")
    characters: tuple[int, int] = Field((1, 4), description="lengths of character n-grams, from and to")
    min_rows: int = Field(2, ge=1, description="an n-gram counts when at least this many training rows hold it")
    max_features: int = Field(200_000, ge=100, description="at most this many n-grams of each kind, the most frequent")
    strength: tuple[float, ...] = Field(
        (1.0, 4.0, 16.0), min_length=1, description="inverse regularisation; the best on validation rows is kept"
    )
    class_weight: str | None = Field(None, pattern="^balanced$", description="'balanced' to weigh rare classes up")


class Linear(Model):
    """Logistic regression over TF-IDF features; raw output: probabilities over the classes."""

    settings: ClassVar[type[BaseModel]] = LinearSettings
    options: LinearSettings

    def estimate(self, rows: int) -> dict[str, float]:
        """About 2,000 rows a second on one core, each strength tried once."""
        return {
            "minutes": rows / 2000 / 60 * len(self.options.strength),
            "memory_gb": 0.3 + rows * 4e-6,
            "download_mb": 0.0,
            "money": 0.0,
        }

    def fit(self, train: Cases, validation: Cases, context: TrainContext) -> dict[str, Any]:
        """Fits one vocabulary and one regression a strength; validation log loss chooses."""
        import numpy as np
        from safetensors.numpy import save

        classes = [str(label) for label in self.task.facts(train)["classes"]]
        vocabularies, idf, features, held_out = self._vectorise(train, validation)
        targets = [str(label) for label in train.targets or []]
        best, history = self._search(features, targets, held_out, validation, context)
        order = [list(best.classes_).index(label) for label in classes]
        coefficients, intercept = _softmax_form(best)
        table = np.ascontiguousarray(coefficients[order].T)
        write_json(
            context.folder / "linear.json",
            {
                "format": FORMAT,
                "classes": classes,
                "words": list(self.options.words),
                "characters": list(self.options.characters),
                "sizes": [len(part) for part in vocabularies],
            },
        )
        write_json(context.folder / "vocabulary.json", vocabularies)
        write_atomic(
            context.folder / "linear.safetensors",
            save({"coefficients": table, "intercept": intercept[order], "idf": np.concatenate(idf).astype(np.float64)}),
        )
        kept = min(history, key=lambda item: item["log_loss"])
        return {
            "steps": int(kept["steps"]),
            "stopped": "converged",
            "still_improving": False,
            "history": history,
            "validation": {"log_loss": kept["log_loss"], "accuracy": kept["accuracy"]},
            "parameters": int(table.size + len(classes)),
            "base": None,
        }

    def _vectorise(self, train: Cases, validation: Cases) -> tuple[list[list[str]], list[Any], Any, Any]:
        """(n-grams by kind in column order, idf by kind, training matrix, validation matrix)."""
        try:
            from scipy.sparse import hstack
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ModuleNotFoundError as error:
            raise need_package(error.name or "scikit-learn", "linear", purpose="to train the linear model") from error

        texts, unseen = self._texts(train.inputs), self._texts(validation.inputs) or [""]  # it refuses an empty list
        # A rare n-gram is noise in a large table and all there is in a tiny one.
        for minimum in (self.options.min_rows if len(texts) >= 100 else 1, 1):
            vocabularies: list[list[str]] = []
            idf: list[Any] = []
            columns, held_out = [], []
            for kind, sizes in (("words", self.options.words), ("characters", self.options.characters)):
                vectoriser = TfidfVectorizer(
                    analyzer=Analyzer(kind, *sizes),
                    min_df=minimum,
                    sublinear_tf=True,
                    max_features=self.options.max_features,
                )
                try:
                    columns.append(vectoriser.fit_transform(texts))
                except ValueError:  # no n-gram of this kind stands in enough rows, as with sentences without spaces
                    vocabularies.append([])
                    idf.append([])
                    continue
                held_out.append(vectoriser.transform(unseen))
                vocabularies.append([str(gram) for gram in vectoriser.get_feature_names_out()])
                idf.append(vectoriser.idf_)
            if columns:
                return vocabularies, idf, hstack(columns, format="csr"), hstack(held_out, format="csr")
        raise DataError("texts-empty", rows=len(texts))

    def _search(
        self, features: Any, targets: list[str], held_out: Any, validation: Cases, context: TrainContext
    ) -> tuple[Any, list[dict[str, float]]]:
        """(the regression with the lowest validation log loss, what each strength reached)."""
        from sklearn.linear_model import LogisticRegression

        best, history = None, []
        for done, strength in enumerate(self.options.strength):
            started = time.monotonic()
            model = LogisticRegression(
                C=strength, max_iter=300, random_state=context.seed, class_weight=self.options.class_weight
            ).fit(features, targets)
            loss, accuracy = _judge(model, held_out, [str(label) for label in validation.targets or []])
            if best is None or loss < min(item["log_loss"] for item in history):
                best = model
            history.append(
                {
                    "strength": strength,
                    "log_loss": loss,
                    "accuracy": accuracy,
                    "steps": float(max(model.n_iter_)),
                    "seconds": round(time.monotonic() - started, 3),
                }
            )
            context.progress(done + 1, len(self.options.strength), log_loss=loss)
        return best, history

    def _texts(self, inputs: list[Any]) -> list[str]:
        return [self.task.text_of(item) or "" for item in inputs]

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        """Copies the three files; they are already what is served."""
        for name in FILES:
            write_atomic(folder / name, (trained / name).read_bytes())

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        """A scorer over the stored weights."""
        return load_scorer(folder, self.task)


def load_scorer(folder: Path, task: Any) -> LinearPredictor:
    """The scorer over the three stored files; sizes that do not fit together are an IntegrityError."""
    from safetensors.numpy import load_file

    data, vocabularies = read_json(folder / "linear.json"), read_json(folder / "vocabulary.json")
    try:
        arrays = load_file(folder / "linear.safetensors")
        found = (arrays["coefficients"].shape, arrays["intercept"].shape, arrays["idf"].shape)
        features, classes = sum(len(part) for part in vocabularies), len(data["classes"])
    except Exception as error:
        raise IntegrityError("model-file-wrong", at=Place(file=str(folder)), found=str(error)) from error
    if found != ((features, classes), (classes,), (features,)):
        raise IntegrityError("model-file-wrong", at=Place(file=str(folder)), found=f"arrays of {found}")
    return LinearPredictor(task, data, vocabularies, arrays)


class LinearPredictor(Predictor):
    """Scores texts one by one: n-grams, counts, one gather and one product each."""

    def __init__(
        self, task: Any, data: Mapping[str, Any], vocabularies: list[list[str]], arrays: Mapping[str, np.ndarray]
    ) -> None:
        self._text_of = task.text_of
        self._coefficients, self._intercept, self._idf = arrays["coefficients"], arrays["intercept"], arrays["idf"]
        self._kinds = []
        start = 0
        for kind, grams in zip(("words", "characters"), vocabularies, strict=True):
            columns = {gram: start + offset for offset, gram in enumerate(grams)}
            self._kinds.append((Analyzer(kind, *data[kind]), columns))
            start += len(grams)

    def predict(self, inputs: list[Any]) -> list[Any]:
        """Probabilities over the classes, one list an input."""
        return [self._one(self._text_of(item) or "") for item in inputs]

    def _one(self, text: str) -> list[float]:
        import numpy as np

        scores = self._intercept
        for analyse, columns in self._kinds:
            counts: dict[int, int] = {}
            find = columns.get
            for gram in analyse(text):
                column = find(gram)
                if column is not None:
                    counts[column] = counts.get(column, 0) + 1
            if counts:
                where = np.fromiter(counts, np.int64, len(counts))
                weights = (1.0 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))) * self._idf[where]
                scores = scores + (weights / np.sqrt(weights @ weights)) @ self._coefficients[where]
        powers = np.exp(scores - scores.max())
        return [float(value) for value in powers / powers.sum()]

    def sizes(self, inputs: list[Any]) -> list[int]:
        """Characters: the work of one input grows with them."""
        return [len(self._text_of(item) or "") for item in inputs]


def _softmax_form(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """(coefficients [classes, features], intercept [classes]); scikit-learn keeps one row for two classes."""
    import numpy as np

    if len(model.classes_) > 2:
        return model.coef_, model.intercept_
    return np.vstack([np.zeros_like(model.coef_), model.coef_]), np.concatenate([[0.0], model.intercept_])


def _judge(model: Any, features: Any, targets: list[str]) -> tuple[float, float]:
    """(log loss, accuracy) on held-out rows, (0, 0) where there are none; an unseen class costs the floor."""
    import numpy as np

    if not targets:
        return 0.0, 0.0
    column = {str(label): place for place, label in enumerate(model.classes_)}
    probabilities = model.predict_proba(features)
    truths = np.array([column.get(label, -1) for label in targets])
    given = np.where(truths < 0, 1e-12, probabilities[np.arange(len(truths)), truths])
    return float(-np.log(np.maximum(given, 1e-12)).mean()), float((probabilities.argmax(1) == truths).mean())
