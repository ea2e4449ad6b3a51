"""schemathesis over the OpenAPI documents of four servers. It has an environment of its own: see `make stress`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from breakeven.serving.launch import ServerProcess

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]
PROGRAM = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
SECONDS = os.environ.get("STRESS_DOCUMENT_SECONDS", "120")
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "unsupported_method", "ignored_auth"]  # fmt: skip


@pytest.mark.skipif(PROGRAM is None, reason="schemathesis is not here")
@pytest.mark.parametrize("task", ["continuation", "letters", "policy", "pictures"])
def test_document(task: str, figures: Callable[..., None]) -> None:
    assert PROGRAM is not None
    with ServerProcess(task, module="tests.serving.formats_server") as server:
        command = [PROGRAM, "run", f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {server.key}",
                   "-c", ",".join(CHECKS), "--max-time", SECONDS, "--continue-on-failure", "--no-shrink",
                   "--warnings", "off"]  # fmt: skip
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("hooks.py"))}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        alive = server.alive()
    cases = re.search(r"([\d,]+) generated", done.stdout)
    figures("schemathesis", task=task, cases=int(cases[1].replace(",", "")) if cases else 0, exit=done.returncode)
    assert alive and "ST101" not in done.stdout, done.stdout[-6000:] + server.stderr()
    assert done.returncode == 0, done.stdout[-6000:]
