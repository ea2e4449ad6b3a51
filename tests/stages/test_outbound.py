"""Nothing leaves the machine: a whole project and its server run under watch, every address they reach for is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from breakeven.artifacts import read_json

WATCH = Path(__file__).parent / "watch"
FILE = """\
version: 1
product: {name: quiet, task: text-classification}
collect: {source: rows.csv, fields: {inputs: [text], target: label}}
train: {candidates: [{name: linear, model: linear}]}
evaluate: {payoff: {correct: 1.0, wrong: -0.1}, load: {seconds: 4, rounds: 1}}
"""
LOCAL = re.compile(r"\('(127\.\d+\.\d+\.\d+|::1)', |'(127\.0\.0\.1|::1|localhost)'|b?'127\.0\.0\.1'| None ")


def project(folder: Path) -> None:
    rows = [f"text number {i} of {'many' if i % 3 else 'few'},{'yes' if i % 3 else 'no'}" for i in range(240)]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    (folder / "breakeven.yaml").write_text(FILE)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(WATCH), "WATCH_FILE": str(folder / "watched.txt")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def leaving(folder: Path) -> list[str]:
    lines = (folder / "watched.txt").read_text().splitlines()
    assert lines, "the watch saw nothing at all, not even the server on loopback"
    return [line for line in lines if not LOCAL.search(line)]


@pytest.mark.slow
def test_a_whole_project_and_its_server_reach_for_nothing_outside(tmp_path: Path) -> None:
    project(tmp_path)
    assert run(tmp_path, "-m", "breakeven.packaging.signing", "keys/release.key").returncode == 0
    done = run(tmp_path, "-m", "breakeven", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(tmp_path / "releases" / "current.json")["decision"] == 1
    answered = run(tmp_path, "-m", "breakeven", "predict", "many of them")
    assert "yes" in answered.stdout, answered.stdout + answered.stderr
    assert leaving(tmp_path) == []


@pytest.mark.slow
def test_the_watch_sees_what_leaves(tmp_path: Path) -> None:
    run(tmp_path, "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))")
    assert len(leaving(tmp_path)) == 1
