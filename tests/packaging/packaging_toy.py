"""A small task and model for packaging: texts into two classes by their letters; weights in safetensors.

The model's settings make it misbehave in the ways that packaging must notice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import load_file, save_file

from breakeven.artifacts import write_json
from breakeven.errors import InputError, Place
from breakeven.task import Cases, MetricInfo, Model, ModelEntry, Predictor, Role, Task

CLASSES = ["no", "yes"]


class ToyScoring:
    """Probabilities over two classes; calibration raises them to a power."""

    def pack(self, raw: list[Any]) -> dict[str, np.ndarray]:
        return {"p": np.array(raw, dtype=np.float64)}

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> list[Any]:
        return arrays["p"].tolist()

    def calibrate(self, raw: list[Any], targets: list[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"power": 2.0, "fitted_on": len(targets)}

    def calibrated(self, raw: list[Any], calibration: Mapping[str, Any]) -> list[Any]:
        powered = np.array(raw) ** calibration["power"]
        return (powered / powered.sum(axis=1, keepdims=True)).tolist()

    def rule(self, payoff: Any, base_rates: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"threshold": 0.5}

    def decide(self, raw: list[Any], rule: Mapping[str, Any]) -> list[Any]:
        return [CLASSES[int(p[1] >= rule["threshold"])] for p in raw]


class ToyTask(Task):
    """Texts into two classes."""

    name: ClassVar[str] = "toy"
    roles: ClassVar[tuple[Role, ...]] = (Role("inputs", "text"), Role("target", "category"))
    models: ClassVar[Mapping[str, ModelEntry]] = {"toy": ModelEntry("packaging_toy:Toy")}
    metrics: ClassVar[Mapping[str, MetricInfo]] = {}
    scoring_reference: ClassVar[str] = "packaging_toy:ToyScoring"

    def facts(self, train: Cases) -> dict[str, Any]:
        return {"classes": CLASSES}

    def case(self, row: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[Any, Any]:
        return row["text"], row["label"]

    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "string"}

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "object"}

    def parse(self, payload: Any, facts: Mapping[str, Any]) -> Any:
        if not isinstance(payload, str):
            raise InputError("input-not-text", at=Place(field="input"), found=type(payload).__name__)
        return payload

    def payload(self, item: Any) -> Any:
        return item

    def render(self, raw: Any, answer: Any, facts: Mapping[str, Any]) -> Any:
        return {"label": answer, "probability": round(raw[1], 6)}

    def agree(self, one: Any, other: Any, tolerance: float) -> bool:
        return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= tolerance

    def text_of(self, item: Any) -> str | None:
        return str(item)

    def with_text(self, item: Any, text: str) -> Any:
        return text


class ToySettings(BaseModel):
    """How the model misbehaves."""

    model_config = ConfigDict(extra="forbid")

    offered: tuple[str, ...] = ("reference",)
    reference_ms: float = 0.0
    fast_ms: float = 0.0
    fast_error: float = 0.0
    fast_raises: bool = False
    fast_broken: bool = False
    batch_error: dict[str, float] = {}
    unsorted_error: dict[str, float] = {}
    weight: float = 1.0
    diverged: bool = False
    answer_nan: bool = False
    extra_file: str | None = None


class Toy(Model):
    """Counts letters before and after 'm' and weighs them."""

    settings: ClassVar[type[BaseModel]] = ToySettings
    options: ToySettings

    def runtimes(self) -> tuple[str, ...]:
        return self.options.offered

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        if runtime == "fast" and self.options.fast_broken:
            raise RuntimeError("the exporter gave up\nwith a long trace")
        weights = load_file(trained / "weights.safetensors")
        factor = np.float32(np.inf if self.options.diverged else self.options.weight)
        save_file({"w": weights["w"] * factor}, folder / "weights.safetensors")
        write_json(folder / "config.json", {"runtime": runtime})
        if self.options.extra_file:
            (folder / self.options.extra_file).write_bytes(b"\x80\x04payload")

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        return ToyPredictor(load_file(folder / "weights.safetensors")["w"], runtime, self.options)


class ToyPredictor(Predictor):
    """Answers with two probabilities."""

    def __init__(self, weights: np.ndarray, runtime: str, options: ToySettings) -> None:
        self._weights, self._runtime, self._options = weights, runtime, options
        self.batches: list[int] = []
        self.closed = False

    def predict(self, inputs: list[Any]) -> list[Any]:
        self.batches.append(len(inputs))
        if self._options.fast_raises and self._runtime == "fast":
            raise RuntimeError("no such instruction\nwith a long trace")
        slow_ms = self._options.reference_ms if self._runtime == "reference" else self._options.fast_ms
        if slow_ms:
            time.sleep(slow_ms * len(inputs) / 1000)
        error = self._options.fast_error if self._runtime == "fast" else 0.0
        error += self._options.batch_error.get(self._runtime, 0.0) * (len(inputs) - 1)
        if len(inputs[0]) > len(inputs[-1]):
            error += self._options.unsorted_error.get(self._runtime, 0.0)
        return [self._one(text, error) for text in inputs]

    def _one(self, text: str, error: float) -> list[float]:
        if self._options.answer_nan:
            return [float("nan"), 1.0]
        early = sum(letter < "m" for letter in text)
        weights = np.nan_to_num(self._weights, posinf=1.0, neginf=-1.0)
        score = float(weights[0] * early + weights[1] * (len(text) - early))
        p = min(max(1 / (1 + np.exp(-score)) + error, 0.0), 1.0)
        return [1 - p, p]

    def sizes(self, inputs: list[Any]) -> list[int] | None:
        return [len(text) for text in inputs]

    def close(self) -> None:
        self.closed = True


def toy(**settings: Any) -> Toy:
    return Toy(ToySettings(**settings), ToyTask())


def trained(folder: Path, values: tuple[float, float] = (0.3, -0.2)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.array(values, dtype=np.float32)}, folder / "weights.safetensors")
    return folder


def cases(count: int = 40) -> Cases:
    texts = [("ab" * (i % 5) + "xyz" * (i % 3) + chr(97 + i % 26)) for i in range(count)]
    return Cases([str(i) for i in range(count)], texts, [CLASSES[i % 2] for i in range(count)])
