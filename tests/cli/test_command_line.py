"""The command line as a person meets it: exit codes, words on stderr, JSON on stdout; processes where they matter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from breakeven.project import Project
from tests.inprocess import breakeven as run

COMMAND = [sys.executable, "-m", "breakeven"]


def test_help_lists_every_command_and_version_answers() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("init", "check", "status", "run", "show", "compare", "serve", "predict", "keys", "usage", "simulate"):
        assert f"  {name}" in done.stdout
    assert run("--version").stdout.startswith("breakeven, version ")


def test_a_process_of_its_own_says_the_same(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "check", "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    here = run("check", "--json", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (here.returncode, here.stdout, here.stderr)
    assert done.returncode == 2 and "breakeven.yaml" in done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("breakeven st", ["status"]),
        ("breakeven run ev", ["evaluate"]),
        ("breakeven init --recipe sentiment-", ["sentiment-zh"]),
        ("breakeven run --dr", ["--dry-run"]),
    ],
)
def test_the_shell_completes_commands_options_stages_and_recipes(typed: str, offered: list[str]) -> None:
    place = str(len(typed.split()) - 1)
    done = run(_BREAKEVEN_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=place)
    assert done.stdout.split() == [f"plain,{name}" for name in offered]


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


PROJECT = """version: 1
product: {name: tickets, task: text-classification}
collect: {source: rows.csv, fields: {inputs: [text], target: label}}
train: {candidates: [{name: majority, model: majority}]}
"""


@pytest.mark.parametrize("environment", [{"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, {"BREAKEVEN_LANG": "zh"}])
def test_a_chinese_terminal_is_answered_in_chinese(tmp_path: Path, environment: dict[str, str]) -> None:
    environment = {"PYTHONUTF8": "1", **environment}
    (tmp_path / "breakeven.yaml").write_text(PROJECT)
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"t{i},{'ab'[i % 2]}\n" for i in range(30)))
    told = run("doctor", cwd=tmp_path, **environment).stdout
    assert "核数：" in told and "空闲内存：" in told and not [w for w in ("cores", "memory", "installed") if w in told]
    assert "：无误；共 7 步：" in run("check", cwd=tmp_path, **environment).stdout
    assert run("status", cwd=tmp_path, **environment).stdout.split()[:4] == ["步骤", "状态", "运行次数", "原因"]
    ran = run("run", "collect", cwd=tmp_path, **environment)
    assert "collect：完成，用时 " in ran.stderr and " 秒" in ran.stderr


def test_check_and_dry_run_warn_of_an_extra_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breakeven.yaml").write_text(PROJECT + "process: {personal_names: true}\n")
    (tmp_path / "rows.csv").write_text("text,label\na,b\n")
    # An installation that lacks the package: its metadata names what no one installed.
    monkeypatch.setattr(metadata, "requires", lambda name: ["no-such-package>=1; extra == 'pii'", "click>=8"])
    for command in (["check"], ["run", "--dry-run"]):
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "process.personal_names needs the extra 'pii', of which is not installed: no-such-package" in done.stderr
        assert "pip install 'breakeven[pii]'" in done.stderr
    told = run("check", "--json", cwd=tmp_path).stdout
    assert [finding["code"] for finding in json.loads(told)["findings"]] == ["extra-absent"]


def test_a_broken_manifest_does_not_stop_status(tmp_path: Path) -> None:
    (tmp_path / "breakeven.yaml").write_text(PROJECT)
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"t{i},{'ab'[i % 2]}\n" for i in range(30)))
    assert run("run", "process", cwd=tmp_path).returncode == 0
    (tmp_path / "artifacts" / "collect" / "manifest.json").write_text("{ cut")
    done = run("status", cwd=tmp_path)
    assert done.returncode == 0
    told = " ".join(done.stdout.split())  # a narrow terminal folds it
    assert "broken 1 collect/manifest.json cannot be read: run again" in told
    again = run("run", "process", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["ran"] == ["collect", "process"]


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
        [*COMMAND, "predict", "--file", str(tmp_path / "inputs")],
        cwd=tmp_path / "p",
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )
    pipe = opened_for_writing(tmp_path / "inputs", process)  # so it reads
    process.send_signal(sent)
    _, words = process.communicate(timeout=240)
    os.close(pipe)
    assert process.returncode == code, words
    assert "Traceback" not in words


def opened_for_writing(pipe: Path, process: subprocess.Popen[str]) -> int:
    """The pipe, as soon as the process reads it."""
    while process.poll() is None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.02)
    raise AssertionError(process.communicate()[1])


def test_check_reads_the_local_file_and_names_a_wrong_column(tmp_path: Path) -> None:
    (tmp_path / "breakeven.yaml").write_text(PROJECT)
    (tmp_path / "rows.csv").write_text("text,lable\na,b\n")
    wrong = run("check", cwd=tmp_path)
    assert wrong.returncode == 3 and "field label: there is no such column" in wrong.stderr
    assert "did you mean 'lable'?" in wrong.stderr
    (tmp_path / "rows.csv").write_text("text,label\na,b\n")
    assert "the data: 1 rows read" in run("check", cwd=tmp_path).stdout
    assert json.loads(run("check", "--json", cwd=tmp_path).stdout)["rows"] == 1
    assert not (tmp_path / "artifacts").exists(), "checking writes nothing"


def test_a_plan_without_a_model_is_told_what_answers_it(tmp_path: Path) -> None:
    made = run("init", "--recipe", "plan", cwd=tmp_path)
    assert made.returncode == 0 and "breakeven simulate" in made.stdout and "run --dry-run" not in made.stdout
    assert not (tmp_path / "keys").exists(), "nothing to sign"
    for command in ("run", "status", "show", "report", "serve"):
        told = run(command, cwd=tmp_path)
        assert told.returncode == 2 and "breakeven simulate answers it" in told.stderr, command
    done = run("simulate", "--set", "business.scenarios=200", cwd=tmp_path)
    assert done.returncode == 0 and "you sell summaries of contracts" in done.stdout


def test_a_file_that_is_edited_during_a_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "breakeven.yaml"
    file.write_text(PROJECT)
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"t{i},{'ab'[i % 2]}\n" for i in range(30)))
    assert "was changed while this ran" not in run("run", "collect", cwd=tmp_path).stderr
    real = Project.run

    def edited(self: Project, *targets: Any, **options: Any) -> list[str]:
        file.write_text(PROJECT + "seed: 3\n")
        return real(self, *targets, **options)

    monkeypatch.setattr(Project, "run", edited)
    done = run("run", "process", cwd=tmp_path)
    assert done.returncode == 0 and "breakeven.yaml was changed while this ran" in done.stderr


def test_a_tab_is_called_a_tab(tmp_path: Path) -> None:
    (tmp_path / "breakeven.yaml").write_text("version: 1\nseed:\n\tx: 1\n")
    done = run("check", cwd=tmp_path)
    assert done.returncode == 2 and "breakeven.yaml:3:1: a tab stands" in done.stderr


@pytest.mark.parametrize(("line", "said"), [
    ("product: {name: Ticket Triage, task: text-classification}", "small letters, digits and dashes, such as ticket"),
    ("business: {currency: dollars, price: {per_answer: 1}}", "three capital letters of ISO 4217, such as EUR"),
    ("business: {price: {per_answer: 1}, customers: {start: 3, answers_each: 20,000}}", "write 20000, not 20,000"),
])  # fmt: skip
def test_what_is_often_written_wrong_is_told_in_words(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "breakeven.yaml").write_text(f"version: 1\n{line}\n")
    done = run("check", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "[a-z" not in done.stderr
