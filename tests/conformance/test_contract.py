"""One suite over every task and model, and over the throwaway tasks: what the contract promises, checked."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema
import numpy as np
import pytest

from breakeven import tasks as table
from breakeven.packaging.package import Package
from breakeven.task import Task
from tests.conformance import formats
from tests.conformance.rooms import Entry
from tests.conformance.tasks import Corridor, Distant, Echo, Policy, TwoMeters

WORDS = ["good", "fine", "lovely", "poor", "awful", "slow", "film", "shop", "note", "really", "very", "不错", "很差"]


def reviews() -> tuple[tuple[str, str], ...]:
    source = random.Random(5)
    rows = []
    for index in range(60):
        good = index % 2 == 0
        words = source.choices(WORDS[:3] if good else WORDS[3:6], k=2) + source.choices(WORDS[6:], k=4)
        source.shuffle(words)
        rows.append((" ".join(words), "positive" if good else "negative"))
    return tuple(rows)


SENTENCES = tuple((text, text.upper()) for text in ("one two", "three", "four five six", "seven", "eight nine"))
STORIES = tuple(
    ({"text": text, "max_tokens": 8, "stop": []}, {"text": rest, "finish": "stop"})
    for text, rest in (("once upon", "a time"), ("a", "time there"), ("there was", "an end"), ("was", "an end"))
)
PICTURES = tuple({"image": bytes(range(start, start + 9)), "note": f"note {start}"} for start in range(6))
ENTRIES = {
    "majority": Entry(table.find("text-classification"), "majority", reviews()),
    "naive-bayes": Entry(table.find("text-classification"), "naive-bayes", reviews()),
    "linear": Entry(table.find("text-classification"), "linear", reviews()),
    "echo": Entry(Echo(), "say", SENTENCES),
    "two-meters": Entry(TwoMeters(), "say", SENTENCES),
    "policy": Entry(Policy(), "walk", tuple((seed, {"steps": 3 + seed % 5}) for seed in range(12))),
    "distant": Entry(Distant(), "call", SENTENCES),
    "continuation": Entry(formats.Continuation(), "follow", STORIES),
    "letters": Entry(formats.Letters(), "count", tuple((text, [0.0] * 5) for text, _ in SENTENCES)),
    "pictures": Entry(formats.Pictures(), "weigh", tuple((picture, {}) for picture in PICTURES)),
}


class Shouting(BaseHTTPRequestHandler):
    """Somebody's API: answers in capitals."""

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["texts"]
        body = json.dumps({"answers": [text.upper() for text in texts]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Package]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shouting)
    Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFORMANCE_URL", f"http://127.0.0.1:{server.server_address[1]}/")
        patch.setenv(
            table.TRUST,
            ",".join(f"{type(entry.task).__module__}:{type(entry.task).__name__}" for entry in ENTRIES.values()),
        )
        yield {name: entry.package(tmp_path_factory.mktemp(name)) for name, entry in ENTRIES.items()}
    server.shutdown()


each = pytest.mark.parametrize("name", ENTRIES)


@each
def test_an_answer_never_depends_on_its_batch(packages: dict[str, Package], name: str) -> None:
    package, inputs = packages[name], ENTRIES[name].cases.inputs
    alone = [package.raw([item])[0] for item in inputs]
    together = package.raw(inputs)
    shuffled = list(range(len(inputs)))
    random.Random(1).shuffle(shuffled)
    mixed = package.raw([inputs[i] for i in shuffled])
    for position, index in enumerate(shuffled):
        assert package.task.agree(alone[index], together[index], 1e-6)
        assert package.task.agree(alone[index], mixed[position], 1e-6)


@each
def test_payloads_survive_the_wire(packages: dict[str, Package], name: str) -> None:
    package = packages[name]
    schema = package.task.input_schema(package.facts)
    for item in ENTRIES[name].cases.inputs:
        payload = json.loads(json.dumps(package.task.payload(item)))
        jsonschema.validate(payload, schema)
        assert package.parse(payload) == item


@each
def test_answers_are_json_of_the_stated_schema(packages: dict[str, Package], name: str) -> None:
    package, inputs = packages[name], ENTRIES[name].cases.inputs
    raw = package.raw(inputs)
    outputs = package.render(raw, package.answer(raw, None))
    for output in json.loads(json.dumps(outputs)):
        jsonschema.validate(output, package.task.output_schema(package.facts))


@each
def test_usage_is_counted_by_the_declared_meters(packages: dict[str, Package], name: str) -> None:
    package, inputs = packages[name], ENTRIES[name].cases.inputs
    raw = package.raw(inputs)
    outputs = package.render(raw, package.answer(raw, None))
    whole = package.usage(inputs, outputs)
    assert set(whole) == set(package.task.meters)
    assert all(isinstance(quantity, int) and quantity > 0 for quantity in whole.values())
    parts = [package.usage([item], [output]) for item, output in zip(inputs, outputs, strict=True)]
    assert whole == {meter: sum(part[meter] for part in parts) for meter in whole}


@each
def test_raw_outputs_survive_storage(packages: dict[str, Package], name: str) -> None:
    package, inputs = packages[name], ENTRIES[name].cases.inputs
    raw = package.raw(inputs)
    arrays = package.scoring.pack(raw)
    assert all(array.dtype != object for array in arrays.values()), "an object array would be pickled"
    for one, other in zip(raw, package.scoring.unpack(arrays), strict=True):
        assert package.task.agree(one, other, 1e-6)


@each
def test_outcomes_are_counted_once_a_case_and_metrics_are_declared(packages: dict[str, Package], name: str) -> None:
    package, cases = packages[name], ENTRIES[name].cases
    raw = package.raw(cases.inputs)
    answers = package.answer(raw, None)
    names = package.scoring.outcome_names(package.facts)
    counts = package.scoring.outcomes(answers, cases, package.facts)
    assert counts.shape == (len(cases), len(names))
    weights = np.ones((3, len(cases)))
    found = package.scoring.metrics(answers, raw, cases, weights, package.facts)
    assert set(package.task.metrics) <= set(found)
    assert all(np.shape(values) == (3,) for values in found.values())
    assert all(np.ptp(found[metric]) < 1e-12 for metric in package.task.metrics), "equal weights, equal figures"


@each
def test_artifacts_hold_no_pickle(packages: dict[str, Package], name: str) -> None:
    for path in packages[name].folder.rglob("*"):
        assert path.is_dir() or path.suffix in {".json", ".safetensors", ".onnx", ".txt"}, path


@pytest.mark.parametrize("name", ["naive-bayes", "linear"])
def test_models_that_learn_learn(packages: dict[str, Package], name: str) -> None:
    package, cases = packages[name], ENTRIES[name].cases
    answers = package.answer(package.raw(cases.inputs), None)
    assert sum(a == t for a, t in zip(answers, cases.targets or [], strict=True)) > 55


def test_streamed_parts_make_the_whole_answer(packages: dict[str, Package]) -> None:
    parts = list(packages["echo"].stream("one two three"))
    assert len(parts) == 3 and "".join(parts) == packages["echo"].raw(["one two three"])[0] == "ONE TWO THREE"


def test_a_policy_keeps_nothing_between_calls(packages: dict[str, Package]) -> None:
    session = packages["policy"].session()
    assert isinstance(session, Corridor)
    first, second = session.start(1), session.start(2)
    first, _ = session.step(first, {"push": 1})
    assert second == session.start(2), "another customer's state did not move"
    assert json.loads(json.dumps(first)) == first


def test_a_third_partys_task_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from breakeven.errors import ConfigError

    monkeypatch.delenv(table.TRUST, raising=False)
    with pytest.raises(ConfigError, match="BREAKEVEN_TRUST"):
        table.find("tests.conformance.tasks:Echo")
    assert isinstance(table.find("tests.conformance.tasks:Echo", allow=True), Task)


def test_every_model_of_every_task_is_in_the_suite_or_has_its_own() -> None:
    # Encoders need weights, remotes an API: tests/models runs them; here only that each entry loads and has settings.
    for name in table.TABLE:
        task = table.find(name)
        for model in task.models:
            assert task.model(model).load().settings.model_config.get("extra") == "forbid", (name, model)
    assert Path(__file__).with_name("tasks.py").is_file()
