"""The baseline that needs no download and no extra: every input gets the class rates of the training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from breakeven.artifacts import read_json, write_json
from breakeven.errors import IntegrityError, Place
from breakeven.task import Cases, Model, Predictor, TrainContext

FORMAT = 1
FILE = "majority.json"


class MajoritySettings(BaseModel):
    """The majority class has nothing to set."""

    model_config = ConfigDict(extra="forbid")


class Majority(Model):
    """Answers with the rates seen in training, so that its most probable class is the majority class."""

    settings: ClassVar[type[BaseModel]] = MajoritySettings

    def fit(self, train: Cases, validation: Cases, context: TrainContext) -> dict[str, Any]:
        """Counts the classes; nothing is optimised."""
        facts = self.task.facts(train)
        classes = [str(label) for label in facts["classes"]]
        rates = [float(facts["train_rates"][label]) for label in classes]
        write_json(context.folder / FILE, {"format": FORMAT, "classes": classes, "rates": rates})
        return {
            "steps": 0,
            "stopped": "converged",
            "still_improving": False,
            "history": [],
            "parameters": len(rates),
            "base": None,
        }

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        """The class rates are the whole package."""
        write_json(folder / FILE, read_json(trained / FILE))

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        """A predictor that looks at no input."""
        data = read_json(folder / FILE)
        rates = data.get("rates") if isinstance(data, dict) else None
        if not isinstance(rates, list) or not rates or abs(sum(rates) - 1.0) > 1e-6:
            raise IntegrityError(
                "model-file-wrong", at=Place(file=str(folder / FILE)), found="rates that do not sum to 1"
            )
        return Rates([float(rate) for rate in rates])


class Rates(Predictor):
    """Gives the same probabilities to every input."""

    def __init__(self, rates: list[float]) -> None:
        self._rates = rates

    def predict(self, inputs: list[Any]) -> list[Any]:
        """The training rates, one copy an input."""
        return [list(self._rates) for _ in inputs]
