"""The smallest complete tasks there are: a streaming echo, two meters, a stateful policy on seeds, and a remote API.

They prove the contract beyond classification, and are what `docs/add-a-task.md` points at. A project file reaches them
as `task: tests.conformance.tasks:Echo`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from breakeven.artifacts import read_json, write_json
from breakeven.errors import EnvironmentFault, InputError, Place
from breakeven.task import Cases, MetricInfo, Model, ModelEntry, Predictor, Role, Task, TrainContext

HERE = "tests.conformance.tasks"


class NoSettings(BaseModel):
    """These models have nothing to set."""

    model_config = ConfigDict(extra="forbid")


class Same:
    """Scoring of answers that are right when they equal the truth. Raw outputs are any JSON."""

    def pack(self, raw: list[Any]) -> dict[str, np.ndarray]:
        return {"raw": np.array([json.dumps(item) for item in raw])}

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> list[Any]:
        return [json.loads(str(item)) for item in arrays["raw"]]

    def calibrate(self, raw: list[Any], targets: list[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def calibrated(self, raw: list[Any], calibration: Mapping[str, Any]) -> list[Any]:
        return raw

    def rule(
        self, payoff: Mapping[str, Any], base_rates: Mapping[str, float] | None, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {}

    def decide(self, raw: list[Any], rule: Mapping[str, Any]) -> list[Any]:
        return raw

    def outcome_names(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        return ("correct", "wrong")

    def outcomes(self, answers: list[Any], cases: Cases, facts: Mapping[str, Any]) -> np.ndarray:
        right = np.array([answer == target for answer, target in zip(answers, cases.targets or [], strict=True)], float)
        return np.stack([right, 1 - right], axis=1)

    def metrics(
        self, answers: list[Any], raw: list[Any], cases: Cases, weights: np.ndarray, facts: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        right = self.outcomes(answers, cases, facts)[:, 0]
        return {"exact": weights @ right / weights.sum(axis=1)}

    def pictures(self, answers: list[Any], raw: list[Any], cases: Cases, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {}


class TextTask(Task):
    """What the text tasks here share: one string in, one string out."""

    roles: ClassVar[tuple[Role, ...]] = (Role("inputs", "text", many=True), Role("target", "text"))
    metrics: ClassVar[Mapping[str, MetricInfo]] = {
        "exact": MetricInfo("share", True, "answers equal to the truth", 0, 1)
    }
    scoring_reference: ClassVar[str] = f"{HERE}:Same"

    def facts(self, train: Cases) -> dict[str, Any]:
        return {}

    def case(self, row: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[Any, Any]:
        names = fields["inputs"]
        return row[names[0]], row[fields["target"]]

    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "string"}

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "string"}

    def parse(self, payload: Any, facts: Mapping[str, Any]) -> Any:
        if not isinstance(payload, str):
            raise InputError("input-not-text", at=Place(field="input"), found=type(payload).__name__)
        return payload

    def payload(self, item: Any) -> Any:
        return item

    def render(self, raw: Any, answer: Any, facts: Mapping[str, Any]) -> Any:
        return answer

    def agree(self, one: Any, other: Any, tolerance: float) -> bool:
        return bool(one == other)


class Saying(Predictor):
    """Says every input back, in capitals where told so, word by word when streamed."""

    def __init__(self, capitals: bool) -> None:
        self.capitals = capitals

    def predict(self, inputs: list[Any]) -> list[Any]:
        return [item.upper() if self.capitals else item for item in inputs]

    def stream(self, item: Any) -> Iterator[Any]:
        words = self.predict([item])[0].split(" ")
        yield from (word if index == 0 else f" {word}" for index, word in enumerate(words))


class Say(Model):
    """Learns from its rows whether to answer in capitals."""

    settings: ClassVar[type[BaseModel]] = NoSettings

    def fit(self, train: Cases, validation: Cases, context: TrainContext) -> dict[str, Any]:
        capitals = all(target.isupper() for target in train.targets or [])
        write_json(context.folder / "say.json", {"capitals": capitals})
        return {"steps": 1, "stopped": "converged", "still_improving": False, "history": [], "parameters": 1}

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        write_json(folder / "say.json", read_json(trained / "say.json"))

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        return Saying(read_json(folder / "say.json")["capitals"])


class Echo(TextTask):
    """Streams its input back."""

    name: ClassVar[str] = "echo"
    streams: ClassVar[bool] = True
    models: ClassVar[Mapping[str, ModelEntry]] = {"say": ModelEntry(f"{HERE}:Say")}


class TwoMeters(TextTask):
    """Bills what goes in and what comes out apart, in words."""

    name: ClassVar[str] = "two-meters"
    meters: ClassVar[tuple[str, ...]] = ("input_tokens", "output_tokens")
    models: ClassVar[Mapping[str, ModelEntry]] = {"say": ModelEntry(f"{HERE}:Say")}

    def usage(self, item: Any, output: Any) -> dict[str, int]:
        return {"input_tokens": len(item.split()), "output_tokens": len(output.split())}


class Corridor:
    """A walk to the end of a corridor whose length comes from the seed; the state is all there is to remember."""

    def start(self, seed: int) -> Any:
        return {"at": 0, "length": 3 + seed % 5, "steps": 0}

    def step(self, state: Any, observation: Any) -> tuple[Any, Any]:
        push = int(observation.get("push", 1)) if isinstance(observation, dict) else 1
        moved = {**state, "at": state["at"] + push, "steps": state["steps"] + 1}
        return moved, {"at": moved["at"], "arrived": moved["at"] >= moved["length"]}


class Walking(Predictor):
    """Plays whole episodes for evaluation, one step at a time for a customer."""

    def predict(self, inputs: list[Any]) -> list[Any]:
        return [self._episode(seed) for seed in inputs]

    def session(self) -> Corridor:
        return Corridor()

    def _episode(self, seed: int) -> dict[str, int]:
        walk = Corridor()
        state, arrived = walk.start(seed), False
        while not arrived:
            state, answer = walk.step(state, {"push": 1})
            arrived = answer["arrived"]
        return {"steps": state["steps"]}


class Walk(Model):
    """Nothing to fit: the policy is to walk on."""

    settings: ClassVar[type[BaseModel]] = NoSettings

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        write_json(folder / "walk.json", {"format": 1})

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        read_json(folder / "walk.json")
        return Walking()


class Policy(Task):
    """A policy in an environment; a case is a seed, its answer the number of steps it took."""

    name: ClassVar[str] = "policy"
    resample_by = "unit"
    roles: ClassVar[tuple[Role, ...]] = (Role("inputs", "number", many=True), Role("target", "number"))
    models: ClassVar[Mapping[str, ModelEntry]] = {"walk": ModelEntry(f"{HERE}:Walk")}
    metrics: ClassVar[Mapping[str, MetricInfo]] = {
        "exact": MetricInfo("share", True, "episodes as short as can be", 0, 1)
    }
    scoring_reference: ClassVar[str] = f"{HERE}:Same"

    def facts(self, train: Cases) -> dict[str, Any]:
        return {}

    def case(self, row: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[Any, Any]:
        return int(row[fields["inputs"][0]]), {"steps": int(row[fields["target"]])}

    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "integer"}

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "object"}

    def parse(self, payload: Any, facts: Mapping[str, Any]) -> Any:
        if not isinstance(payload, int) or isinstance(payload, bool):
            raise InputError("input-not-text", at=Place(field="input"), found=type(payload).__name__)
        return payload

    def payload(self, item: Any) -> Any:
        return item

    def render(self, raw: Any, answer: Any, facts: Mapping[str, Any]) -> Any:
        return answer

    def agree(self, one: Any, other: Any, tolerance: float) -> bool:
        return bool(one == other)


class Calling(Predictor):
    """Asks somebody's API over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def predict(self, inputs: list[Any]) -> list[Any]:
        import httpx

        try:
            answer = httpx.post(self.url, json={"texts": inputs}, timeout=5)
            answer.raise_for_status()
            return list(answer.json()["answers"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise EnvironmentFault("system-refused", reason=str(error)) from error


class Call(Model):
    """Nothing to fit; the address comes from the environment when the package is loaded, never from a file."""

    settings: ClassVar[type[BaseModel]] = NoSettings
    variable: ClassVar[str] = "CONFORMANCE_URL"

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        write_json(folder / "call.json", {"url_env": self.variable})

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        return Calling(os.environ[read_json(folder / "call.json")["url_env"]])


class Distant(TextTask):
    """Somebody else answers."""

    name: ClassVar[str] = "distant"
    models: ClassVar[Mapping[str, ModelEntry]] = {"call": ModelEntry(f"{HERE}:Call")}
