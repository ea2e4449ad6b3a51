"""A real task, a real package, a signed release, over HTTP."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from breakeven.errors import EnvironmentFault
from breakeven.ledger import open_ledger
from breakeven.packaging import decisions, release, signing
from breakeven.packaging.package import build
from breakeven.serving.launch import ServerProcess
from breakeven.task import Cases
from breakeven.tasks.text_classification import TextClassification

pytestmark = pytest.mark.slow

TASK = TextClassification()
TEXTS = [f"{word} {number}" for number in range(20) for word in ("good", "bad", "awful")]
CASES = Cases([str(number) for number in range(60)], TEXTS, ["yes", "no", "no"] * 20)


class Quiet:
    """What `Model.fit` needs of its context."""

    def __init__(self, folder: Path) -> None:
        self.folder = self.checkpoints = self.cache = folder
        self.seed, self.threads, self.budget_seconds, self.example = 0, 1, None, TEXTS[0]

    def progress(self, done: float, total: float, **figures: float) -> None:
        pass

    def find(self, finding: Any) -> None:
        pass


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from breakeven.models import create

    root = tmp_path_factory.mktemp("package")
    model = create(TASK, "majority", {})
    (root / "trained").mkdir()
    model.fit(CASES, CASES, Quiet(root / "trained"))  # type: ignore[arg-type]
    build(model, trained=root / "trained", folder=root / "package", candidate="majority", model_name="majority",
          facts=TASK.facts(CASES), chain=None, cases=CASES, task=TASK, seconds=0.02, example="good")  # fmt: skip
    return root / "package"


@pytest.fixture(scope="module")
def signed(package: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("release")
    signing.make_key(root / "release.key")
    folder = root / "made"
    folder.mkdir()
    digest = release.copy_package(package, folder)
    name = release.release_id("demo", digest)
    release.complete(folder, record={"id": name, "product": "demo", "task": TASK.name, "package": digest},
                     parity={"release": name, "package": digest, "rows": 8, "agree": 8}, card="# demo\n",
                     key=root / "release.key")  # fmt: skip
    return folder, signing.public_path(root / "release.key")


@pytest.fixture(scope="module")
def served(signed: tuple[Path, Path]) -> Iterator[ServerProcess]:
    folder, trust = signed
    with ServerProcess(folder, trust=trust, plan={"rates": {"answers": "0.004"}}) as server:
        yield server


def ask(server: ServerProcess, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(server.url + path, data=data, headers=headers)) as answer:
        return json.load(answer)


def test_a_signed_release_answers_as_its_task_says(served: ServerProcess) -> None:
    import jsonschema

    found = ask(served, "/v1/predict", {"inputs": ["good", {"title": "bad", "text": "day"}]})
    document = ask(served, "/openapi.json")
    for output in found["outputs"]:
        jsonschema.validate(output, document["components"]["schemas"]["Output"])
    assert found["outputs"][0]["label"] == "no"
    assert (found["usage"], found["price"]) == ([{"meter": "answers", "quantity": 2}], "0.008")
    assert found["model"].startswith("demo-")


def test_a_release_is_refused_under_another_key(signed: tuple[Path, Path], tmp_path: Path) -> None:
    signing.make_key(tmp_path / "other.key")
    with (
        pytest.raises(EnvironmentFault, match="sign"),
        ServerProcess(signed[0], trust=signing.public_path(tmp_path / "other.key")),
    ):
        pass


def test_a_changed_file_is_refused(signed: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(signed[0], folder)
    (folder / "MODEL_CARD.md").write_text("# better than it is\n")
    with pytest.raises(EnvironmentFault, match="server did not get ready"), ServerProcess(folder, trust=signed[1]):
        pass


def test_a_release_without_a_key_to_trust_is_not_served(signed: tuple[Path, Path]) -> None:
    with pytest.raises(EnvironmentFault, match="--trust"), ServerProcess(signed[0], unsigned=False):
        pass


@pytest.fixture(scope="module")
def project(signed: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder whose current decision ships the release."""
    root = tmp_path_factory.mktemp("project") / "demo"
    subprocess.run([sys.executable, "-m", "breakeven", "init", str(root)], check=True, capture_output=True)
    folder, trust = signed
    record = json.loads((folder / "release.json").read_text())
    shutil.copytree(folder, root / "releases" / record["id"])
    (root / "keys").mkdir(exist_ok=True)
    shutil.copy(trust, root / "keys" / "release.pub")
    with decisions.publishing(root / "releases") as scratch:
        shipped = {"release": record["id"], "package": record["package"], "candidate": "majority", "rule": None,
                   "verdict": "", "gates": [], "choice": {}}  # fmt: skip
        decisions.decide(root / "releases", scratch, shipped, key=folder.parent / "release.key")
    return root


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_serve_ends_gracefully_and_says_by_which_signal(project: Path, sent: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "breakeven", "serve", "-C", str(project), "--port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        told = ""
        while not told.rstrip().endswith("}") and (line := process.stdout.readline()):
            told += line
        assert told, process.stderr.read()
        with urlopen(json.loads(told)["url"] + "/readyz") as answer:
            assert answer.status == 200
        process.send_signal(sent)
        _, words = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code, words
    assert "Traceback" not in words
    with open_ledger(project / "ledger.sqlite", create=False) as closed:  # nobody owns it any more
        assert closed.verify()["holds"]
