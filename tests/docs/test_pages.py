"""The pages are true: made ones equal the program, links lead somewhere, settings in them are taken, commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from breakeven.cli import COMMANDS
from breakeven.economics.plan import BusinessPlan
from breakeven.project import ProjectSettings
from breakeven.yaml12 import parse

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
# What keeps a run of the demo short: the commands are the page's own.
SMALL = [
    "--set", "collect.limit=900", "--set", "evaluate.load.seconds=12", "--set", "business.scenarios=500",
    "--set", "train.candidates=[{name: majority, model: majority}, {name: linear, model: linear}]",
    "--set", "evaluate.gates={macro_f1: {min: 0.4, judge: point}}",
    "--set", "evaluate.payoff={correct: 0.02, wrong: -0.01}",
    "--set", "business.price.per_answer=0.0005",
]  # fmt: skip


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.S)


def test_made_pages_equal_the_program() -> None:  # a process of its own: click keeps options as they were first asked
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_that_pages_name_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"```(?:console|bash|sh)\n(.*?)```", text, re.S):
        for name in re.findall(r"(?m)^(?:\$ )?breakeven ([a-z]+)", block):
            assert name in COMMANDS, f"{path.name} names breakeven {name}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_settings_that_pages_show_are_taken(path: Path) -> None:
    for block in blocks(path, "yaml"):
        value, _ = parse(block.replace("...", "").replace(", }", "}"), file=path.name)
        if not isinstance(value, dict) or "..." in block:
            continue
        if "version" in value:
            ProjectSettings.model_validate(value)
        elif set(value) == {"business"}:
            BusinessPlan.model_validate(value["business"])
        elif set(value) <= set(ProjectSettings.model_fields):
            for section in value:
                annotation = ProjectSettings.model_fields[section].annotation
                model = next(
                    (kind for kind in getattr(annotation, "__args__", (annotation,)) if kind is not type(None)), None
                )
                model.model_validate(value[section])  # type: ignore[union-attr]


def test_both_readmes_show_the_same_blocks() -> None:
    for language in ("yaml", "console"):
        assert blocks(READMES[0], language) == blocks(READMES[1], language)


def _why_not(project: Path) -> dict[str, object]:
    """Why each candidate was refused, and how its load test went: what an exit code of 1 does not say."""
    evaluated = project / "artifacts" / "evaluate"
    if not (evaluated / "verdict.json").is_file():
        return {}
    judged = json.loads((evaluated / "verdict.json").read_text())["candidates"]
    measured = json.loads((evaluated / "speed" / "speed.json").read_text())["candidates"]
    steps = {name: [step for part in one["rounds"] for step in part["trail"]] for name, one in measured.items()}
    held = {
        name: [(step["rate"], step.get("lagged"), step["latency_ms_p95"]) for step in steps[name]] for name in steps
    }
    return {name: (one.get("why_not"), one.get("gates"), held.get(name)) for name, one in judged.items()}


@pytest.mark.slow
@pytest.mark.alone
def test_the_readmes_commands_run_and_three_answers_are_billed(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line) + (SMALL if line.startswith("breakeven run") else [])
        return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=540)

    lines = "".join(blocks(READMES[0], "console")[:1]).splitlines()
    cwd, key = tmp_path, ""
    for line in lines:
        if line.startswith("cd "):
            cwd = cwd / line.removeprefix("cd ")
        elif not line.startswith("breakeven serve"):
            done = run(line, cwd)
            assert done.returncode == 0, (line, done.stdout, done.stderr, _why_not(cwd))
            if "keys create" in line:
                key = done.stdout.strip()
    server = subprocess.Popen(
        ["breakeven", "serve", "--port", "0", "--json"], cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        text = server.stdout.readline()
        while "}" not in text:
            text += server.stdout.readline()
        request = urllib.request.Request(
            json.loads(text)["url"] + "/v1/predict",
            json.dumps({"inputs": ["what a lovely film", "the plot is a mess", "fine"]}).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            assert len(json.load(response)["outputs"]) == 3
        rows = json.loads(run("breakeven usage --json", cwd).stdout)
        assert [(row["name"], row["meter"], row["quantity"], row["price"]) for row in rows] == [
            ("me", "answers", 3, rows[0]["price"])
        ]
    finally:
        server.terminate()
        server.wait(120)
