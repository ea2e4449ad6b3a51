"""Every command of the page on wire formats is run, against servers whose tasks offer what it shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from breakeven.serving.batch_files import BatchLimits
from breakeven.serving.launch import ServerProcess

pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parents[2] / "docs" / "wire-formats.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
TASKS = {"chat/completions": "continuation", "/v1/embeddings": "letters", "picture.png": "pictures"}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, ServerProcess]]:
    names = ("naive-bayes", *TASKS.values())
    running = {name: ServerProcess(name, module="tests.serving.formats_server") for name in names}
    try:
        for server in running.values():
            server.start()
        yield running
    finally:
        for server in running.values():
            server.stop()


def said(block: str, server: ServerProcess, folder: Path, **more: str) -> str:
    environment = {**os.environ, "URL": server.url, "KEY": server.key, "MODEL": server.model, **more}
    done = subprocess.run(["bash", "-ec", block], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page speaks curl")
def test_every_command_is_answered(servers: dict[str, ServerProcess], tmp_path: Path) -> None:
    batch = ""
    for block in BLOCKS:
        name = next((task for words, task in TASKS.items() if words in block), "naive-bayes")
        commands = re.split(r"\n(?=curl|printf)", block.strip())
        for command in commands:
            found = said(command, servers[name], tmp_path, BATCH=batch)
            if command.startswith("printf") or "/output" in command:
                continue
            if "/errors" in command:
                assert json.loads(found)["error"]["code"] == "json-broken"
            elif "stream_options" in command:
                assert found.endswith("data: [DONE]\n\n") and '"total_tokens":8' in found
            else:
                answer = json.loads(found)
                assert "error" not in answer or answer["error"] is None, (command, found)
                batch = answer["id"] if answer.get("object") == "batch" and not batch else batch
        if "lines.jsonl" in block:
            wait_for(servers[name], batch)
    assert len(BLOCKS) == 9


def wait_for(server: ServerProcess, batch: str) -> None:
    from urllib.request import Request

    headers = {"Authorization": f"Bearer {server.key}"}
    for _ in range(500):
        with urlopen(Request(f"{server.url}/v1/batches/{batch}", headers=headers)) as answer:
            if json.load(answer)["state"] == "done":
                return
    raise AssertionError("the batch does not end")


def test_the_figures_it_names_are_there(servers: dict[str, ServerProcess]) -> None:
    server = servers["continuation"]
    said(BLOCKS[5], server, Path("/"))
    with urlopen(server.url + "/metrics") as answer:
        shown = answer.read().decode()
    for name, labels in re.findall(r"^\| `(breakeven_\w+)(?:\{([^}]*)\})?` \|", PAGE, re.M):
        lines = re.findall(rf"^{name}(?:_count|_bucket)?(?:\{{([^}}]*)\}})? ", shown, re.M)
        # Nothing failed, nothing has a price, and no input is kept here.
        if name in ("breakeven_errors_total", "breakeven_charged_total", "breakeven_inputs_total"):
            assert f"# TYPE {name.removesuffix('_total')}" in shown
            continue
        assert lines, name
        assert {label for label in labels.split(",") if label} == set(re.findall(r'(\w+)="', lines[0])) - {"le"}, name


def test_the_limits_it_names_are_the_programs() -> None:
    limits = BatchLimits()
    assert f"{limits.bytes >> 20} MiB a file" in PAGE and f"over {limits.lines:,}" in PAGE
    assert f"{limits.active} batches under way (uploads included)" in PAGE
    assert f"{limits.kept:,} and {limits.held_bytes >> 30} GiB kept" in PAGE
    assert f"{limits.free_bytes >> 20} MiB of the\n  disk stay free" in PAGE
    assert f"Files go {limits.keep_days} days" in PAGE
