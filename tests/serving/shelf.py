"""Real signed releases of a tiny project: each answers every text with its own label, so a mixed answer is seen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from breakeven import recipes
from breakeven.models import create
from breakeven.packaging import decisions, release, signing
from breakeven.packaging.package import build
from breakeven.task import Cases
from breakeven.tasks.text_classification import TextClassification

TASK = TextClassification()
LABELS = ("red", "green", "blue")


class Quiet:
    """What `Model.fit` needs of its context."""

    def __init__(self, folder: Path) -> None:
        self.folder = self.checkpoints = self.cache = folder
        self.seed, self.threads, self.budget_seconds, self.example = 0, 1, None, "good"

    def progress(self, done: float, total: float, **figures: float) -> None:
        pass

    def find(self, finding: Any) -> None:
        pass


class Shelf:
    """A project folder with a key and releases: `shelf.names["red"]` answers "red"."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.releases = root / "releases"
        self.key = root / "keys" / "release.key"
        self.trust = signing.public_path(self.key)
        self.names: dict[str, str] = {}

    def fill(self, labels: tuple[str, ...] = LABELS) -> Shelf:
        """Makes a project, its key and a release a label."""
        recipes.write("sentiment", self.root)
        signing.make_key(self.key)
        for label in labels:
            self.names[label] = self._release(label)
        return self

    def add(self, label: str, model: str, words: tuple[str, ...]) -> Shelf:
        """One more release, of a model that learnt a label's texts from the others'."""
        self.names[model] = self._release(label, model, words)
        return self

    def copy(self, root: Path) -> Shelf:
        """The same releases and decisions in another folder."""
        shutil.copytree(self.root, root)
        other = Shelf(root)
        other.names = dict(self.names)
        return other

    def ship(self, label: str, **record: Any) -> int:
        """Signs the decision that ships a release; returns its number."""
        name = self.names[label]
        package = json.loads((self.releases / name / "release.json").read_text())["package"]
        with decisions.publishing(self.releases) as scratch:
            given = {"release": name, "package": package, "candidate": label, "rule": None, "verdict": "", "gates": [],
                     "choice": {}, **record}  # fmt: skip
            number: int = decisions.decide(self.releases, scratch, given, key=self.key)["number"]
        return number

    def _release(self, label: str, kind: str = "majority", words: tuple[str, ...] = ("text",)) -> str:
        scratch = self.root / "scratch" / label
        (scratch / "trained").mkdir(parents=True)
        others = [name for name in LABELS if name != label]
        texts = [f"{words[number % len(words)]} {number}" for number in range(40)]
        cases = Cases([str(number) for number in range(40)], texts, [label, label, *others] * 10)
        model = create(TASK, kind, {})
        model.fit(cases, cases, Quiet(scratch / "trained"))  # type: ignore[arg-type]
        build(model, trained=scratch / "trained", folder=scratch / "package", candidate=label, model_name=kind,
              facts=TASK.facts(cases), chain=None, cases=cases, task=TASK, seconds=0.02, example="good")  # fmt: skip
        digest = release.copy_package(scratch / "package", scratch / "made")
        name = release.release_id("demo", digest)
        record = {"id": name, "product": "demo", "task": TASK.name, "package": digest, "candidate": label}
        parity = {"release": name, "package": digest, "rows": 8, "agree": 8}
        release.complete(scratch / "made", record=record, parity=parity, card="# demo\n", key=self.key)
        release.publish(scratch / "made", self.releases / name)
        shutil.rmtree(self.root / "scratch")
        return name

    def elsewhere(self, label: str, *, agrees: bool) -> None:
        """Makes a release one that was measured on another machine; `agrees`: it answers here as it did there."""
        folder = self.releases / self.names[label]
        parts = {name: json.loads((folder / name).read_text()) for name in ("release.json", "parity.json")}
        for name in ("model/package.json", "model/check.json"):
            path = folder / name
            data = json.loads(path.read_text())
            if name == "model/package.json":
                data["hardware"]["key"] = "another machine"
            elif not agrees:
                outputs = next(iter(data["outputs"].values()))
                outputs["values"] = [row[::-1] for row in outputs["values"]]
            path.write_text(json.dumps(data))
        (folder / "model.sig").unlink()
        (folder / "manifest.json").unlink()
        card = (folder / "MODEL_CARD.md").read_text()
        release.complete(folder, record=parts["release.json"], parity=parts["parity.json"], card=card, key=self.key)
