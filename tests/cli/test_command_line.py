"""The command line as a person meets it: real processes, exit codes, words on stderr, JSON on stdout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "breakeven"]


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


def test_help_lists_every_command_and_version_answers() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("init", "check", "status", "run", "show", "compare", "serve", "predict", "keys", "usage", "simulate"):
        assert f"  {name}" in done.stdout
    assert run("--version").stdout.startswith("breakeven, version ")


def test_a_wrong_command_is_exit_2_with_the_nearest() -> None:
    done = run("staus")
    assert done.returncode == 2 and "did you mean 'status'?" in done.stderr


def test_no_project_here_says_what_to_do(tmp_path: Path) -> None:
    done = run("run", cwd=tmp_path)
    assert done.returncode == 2
    assert "breakeven.yaml: there is no such file; breakeven init" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_json_where_json_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "breakeven.yaml").write_text("version: 1\nevalute: {}\n")
    done = run("check", "--json", cwd=tmp_path)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 2 and done.stderr == ""
    assert error["code"] == "unknown-key" and error["where"]["line"] == 2


def test_a_newer_file_says_to_upgrade(tmp_path: Path) -> None:
    (tmp_path / "breakeven.yaml").write_text("version: 2\n")
    assert "has version 2, this program knows 1" in run("check", cwd=tmp_path).stderr


def test_doctor_and_schema_answer_in_json() -> None:
    assert {row["what"] for row in json.loads(run("doctor", "--json").stdout)} >= {"python", "cores", "free memory"}
    assert json.loads(run("schema").stdout)["title"] == "breakeven.yaml"


def test_a_reader_that_leaves_is_no_error() -> None:
    done = subprocess.run(f"{' '.join(COMMAND)} schema | head -1", shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("{") and done.stderr == ""


def test_init_never_overwrites_and_keeps_the_key_secret(tmp_path: Path) -> None:
    first = run("init", "p", "--recipe", "sentiment", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    key = tmp_path / "p" / "keys" / "release.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "keys/" in (tmp_path / "p" / ".gitignore").read_text()
    before = key.read_bytes()
    again = run("init", "p", "--recipe", "sentiment", cwd=tmp_path)
    assert again.returncode == 2 and "breakeven.yaml" in again.stderr
    assert key.read_bytes() == before
    assert run("init", "q", "--recipe", "sentimant", cwd=tmp_path).returncode == 2


def test_two_runs_at_once_the_second_is_told_the_first(tmp_path: Path) -> None:
    import fcntl

    run("init", "p", cwd=tmp_path)
    lock = tmp_path / "p" / "artifacts" / ".lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        held.write("4711\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run("run", cwd=tmp_path / "p")
    assert done.returncode == 6 and "process 4711" in done.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_with_their_codes(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    # The lock is waited for nowhere, so a run that hangs in a download is stood in for by reading a pipe.
    os.mkfifo(tmp_path / "inputs")
    run("init", "p", cwd=tmp_path)
    process = subprocess.Popen(
        [*COMMAND, "predict", "--file", str(tmp_path / "inputs")], cwd=tmp_path / "p", stderr=subprocess.PIPE, text=True
    )
    time.sleep(1.5)
    process.send_signal(sent)
    _, words = process.communicate(timeout=20)
    assert process.returncode == code, words
    assert "Traceback" not in words
