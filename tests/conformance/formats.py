"""Throwaway tasks that prove the wire formats: one generates, one embeds, one looks at bytes. The smallest of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from breakeven.artifacts import read_json, write_json
from breakeven.errors import InputError, Place
from breakeven.task import Cases, Model, ModelEntry, Predictor, Reply, Role, Task, TrainContext, bytes_of
from tests.conformance.tasks import NoSettings, TextTask

HERE = "tests.conformance.formats"
MOST_WORDS = 64


class Continuing(Predictor):
    """Goes on with the word that followed last time, until it knows none, meets a stop, or has said enough."""

    def __init__(self, following: Mapping[str, str]) -> None:
        self.following = following

    def predict(self, inputs: list[Any]) -> list[Any]:
        outputs = []
        for item in inputs:
            parts = list(self.stream(item))
            text = "".join(part["text"] for part in parts)
            outputs.append({"text": text, "finish": parts[-1]["finish"] if parts else "stop"})
        return outputs

    def stream(self, item: Any) -> Iterator[Any]:
        word = item["text"].split()[-1] if item["text"].split() else ""
        for count in range(1, item["max_tokens"] + 1):
            following = self.following.get(word)
            if following is None or following in item["stop"]:
                return
            more = following in self.following and self.following[following] not in item["stop"]
            cut = more and count == item["max_tokens"]
            yield {"text": following if count == 1 else f" {following}", "finish": "length" if cut else "stop"}
            word = following


class Follow(Model):
    """Learns which word follows which."""

    settings: ClassVar[type[BaseModel]] = NoSettings

    def fit(self, train: Cases, validation: Cases, context: TrainContext) -> dict[str, Any]:
        following: dict[str, str] = {}
        for item, target in zip(train.inputs, train.targets or [], strict=True):
            words = f"{item['text']} {target['text']}".split()
            following |= dict(itertools.pairwise(words))
        write_json(context.folder / "following.json", following)
        return {"steps": 1, "stopped": "converged", "still_improving": False, "history": [], "parameters": 1}

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        write_json(folder / "following.json", read_json(trained / "following.json"))

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        return Continuing(read_json(folder / "following.json"))


class Continuation(TextTask):
    """Generates: a text goes on."""

    name: ClassVar[str] = "continuation"
    meters: ClassVar[tuple[str, ...]] = ("input_tokens", "output_tokens")
    streams: ClassVar[bool] = True
    generates = ("chat", "text")
    sampling: ClassVar[frozenset[str]] = frozenset({"max_tokens", "stop"})
    models: ClassVar[Mapping[str, ModelEntry]] = {"follow": ModelEntry(f"{HERE}:Follow")}

    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        fields = {
            "text": {"type": "string"},
            "max_tokens": {"type": "integer", "minimum": 1, "maximum": MOST_WORDS},
            "stop": {"type": "array", "items": {"type": "string"}},
        }
        return {"type": "object", "properties": fields, "required": ["text"]}

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {"text": {"type": "string"}, "finish": {"enum": ["stop", "length"]}}}

    def parse(self, payload: Any, facts: Mapping[str, Any]) -> Any:
        if not isinstance(payload, dict) or not isinstance(payload.get("text"), str):
            raise InputError("input-not-text", at=Place(field="text"), found=type(payload).__name__)
        if not isinstance(payload.get("max_tokens", 1), int) or not isinstance(payload.get("stop", []), list):
            raise InputError("input-not-text", at=Place(field="max_tokens"), found="options of another type")
        return {
            "text": payload["text"],
            "max_tokens": min(payload.get("max_tokens", MOST_WORDS), MOST_WORDS),
            "stop": payload.get("stop", []),
        }

    def usage(self, item: Any, output: Any) -> dict[str, int]:
        return {
            "input_tokens": max(1, len(item["text"].split())),
            "output_tokens": max(1, len(self.reply(output).text.split())),
        }

    def prompt(self, request: Mapping[str, Any]) -> Any:
        said = request["messages"][-1]["content"] if "messages" in request else request["prompt"]
        return {"text": said, **{name: request[name] for name in self.sampling if name in request}}

    def reply(self, output: Any) -> Reply:
        parts = output if isinstance(output, list) else [output]
        return Reply("".join(part["text"] for part in parts), parts[-1]["finish"] if parts else "stop")


class Counting(Predictor):
    """A vector of how often each letter occurs."""

    def predict(self, inputs: list[Any]) -> list[Any]:
        return [[item.lower().count(letter) / max(1, len(item)) for letter in "aeiou"] for item in inputs]


class Count(Model):
    """Nothing to fit."""

    settings: ClassVar[type[BaseModel]] = NoSettings

    def package(self, trained: Path, folder: Path, runtime: str, sample: list[Any]) -> None:
        write_json(folder / "count.json", {"format": 1})

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        return Counting()


class Letters(TextTask):
    """Embeds: a text becomes a vector."""

    name: ClassVar[str] = "letters"
    meters: ClassVar[tuple[str, ...]] = ("input_tokens",)
    embeds: ClassVar[bool] = True
    models: ClassVar[Mapping[str, ModelEntry]] = {"count": ModelEntry(f"{HERE}:Count")}

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "number"}}

    def usage(self, item: Any, output: Any) -> dict[str, int]:
        return {"input_tokens": max(1, len(item.split()))}

    def vector(self, output: Any) -> list[float]:
        return list(output)


class Weighing(Predictor):
    """The mean of a picture's bytes, and how many there are."""

    def predict(self, inputs: list[Any]) -> list[Any]:
        return [
            {"bytes": len(item["image"]), "mean": sum(item["image"]) / len(item["image"]), "note": item["note"]}
            for item in inputs
        ]


class Weigh(Count):
    """Nothing to fit."""

    def load(self, folder: Path, runtime: str, *, threads: int) -> Predictor:
        return Weighing()


class Pictures(TextTask):
    """Looks at bytes: a picture and a note to it."""

    name: ClassVar[str] = "pictures"
    meters: ClassVar[tuple[str, ...]] = ("images",)
    roles: ClassVar[tuple[Role, ...]] = (Role("inputs", "image"), Role("target", "number"))
    models: ClassVar[Mapping[str, ModelEntry]] = {"weigh": ModelEntry(f"{HERE}:Weigh")}

    def input_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        image = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/*"}
        return {"type": "object", "properties": {"image": image, "note": {"type": "string"}}, "required": ["image"]}

    def output_schema(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {"bytes": {"type": "integer"}, "mean": {"type": "number"}}}

    def parse(self, payload: Any, facts: Mapping[str, Any]) -> Any:
        if not isinstance(payload, dict) or "image" not in payload:
            raise InputError("input-not-bytes", at=Place(field="image"), found="nothing")
        image = bytes_of(payload["image"], field="image")
        if not image:
            raise InputError("input-not-bytes", at=Place(field="image"), found="nothing")
        return {"image": image, "note": str(payload.get("note", ""))}

    def payload(self, item: Any) -> Any:
        import base64

        return {"image": base64.b64encode(item["image"]).decode(), "note": item["note"]}

    def usage(self, item: Any, output: Any) -> dict[str, int]:
        return {"images": 1}


TASKS: tuple[type[Task], ...] = (Continuation, Letters, Pictures)
