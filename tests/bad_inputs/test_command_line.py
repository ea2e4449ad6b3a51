"""Bad input through the command line: exit code, words that name it, no traceback, no hang, nothing half-written.

One case of each kind goes through a real process here; the tests of `config` and `data` hold the others.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_inputs.strangers import COMMAND, CONFIG, breakeven, project, table

pytestmark = pytest.mark.slow

FINE = CONFIG.replace("SOURCE", "data.csv")
SECONDS = 120
ROOT = Path(__file__).parents[2]


def refused(folder: Path, *arguments: str, code: int, words: str, **options: object) -> str:
    """Runs, and checks what every refusal must keep: its code, its words, no traceback, in time."""
    done = breakeven(folder, *arguments, timeout=SECONDS, **options)  # type: ignore[arg-type]
    assert done.returncode == code, done.stderr
    assert words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


CONFIGS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "config is empty"),
    "unknown key": (FINE.replace("gates:", "gate:"), "breakeven.yaml:9:3: unknown key 'evaluate.gate'; did you mean"),
    "negative price": (FINE.replace("0.004", "-0.004"), "expected a price of at least 0"),
    "bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{n}: &{n} [{','.join([f'*{p}'] * 10)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
        "more than 100000 values",
    ),
    "50 MB": (b"version: 1\nx: " + b"a" * 50_000_000, "larger than 1000000 bytes"),
    "secret in an address": (
        FINE.replace("source: data.csv", "source: 'https://x.example/t.csv?token=hunter2'"),
        "looks like a secret",
    ),
    "scheme": (FINE.replace("data.csv", "'ftp://x.example/t.csv'"), "is not an http or https address"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    text, words = CONFIGS[name]
    told = refused(project(tmp_path, config=text), "check", code=2, words=words)
    assert "hunter2" not in told


BOMB = """
import sys
from pathlib import Path
from breakeven.config import read
from breakeven.errors import ConfigError
from tests.data.memory import peak
import time
read(Path(sys.argv[2]))
before, started = peak(), time.process_time()
try:
    read(Path(sys.argv[1]))
except ConfigError as error:
    print(error.code, peak() - before, time.process_time() - started)
"""


@pytest.mark.parametrize("width", [10, 1000], ids=["deep", "wide"])
def test_anchors_that_multiply_cost_little(tmp_path: Path, width: int) -> None:
    """Ten thousand million values are refused without making them: in a process of its own, whose peak is asked for."""
    depth = 10 if width == 10 else 4
    lines = [f"a0: &a0 [{','.join(['x'] * width)}]"]
    lines += [f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * width)}]" for level in range(1, depth)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    (tmp_path / "fine.yaml").write_text("a: &a [x]\nb: *a\n")
    done = subprocess.run(
        [sys.executable, "-c", BOMB, tmp_path / "bomb.yaml", tmp_path / "fine.yaml"],
        cwd=ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    code, grown, seconds = done.stdout.split()
    assert code == "config-too-many"
    assert int(grown) < 50_000_000 and float(seconds) < 5


def test_a_home_and_a_slash_at_the_end_lead_to_the_project(tmp_path: Path) -> None:
    """A `~` that no shell expanded, in the folder's name, the source and the folder to make."""
    home = tmp_path / "my home"
    project(home / "p", table(), source="~/p/data.csv")
    for folder in ("~/p", "~/p/", str(home / "p") + "/"):
        done = breakeven(tmp_path, "run", "collect", "-q", "-C", folder, HOME=str(home))
        assert done.returncode == 0, done.stderr
    project(home / "p", source="data.csv/")
    assert breakeven(tmp_path, "run", "collect", "-q", "-C", "~/p", HOME=str(home)).returncode == 0
    made = breakeven(tmp_path, "init", "~/new/", HOME=str(home))
    assert made.returncode == 0 and (home / "new" / "breakeven.yaml").is_file(), made.stderr
    assert not (tmp_path / "~").exists()


def _broken_link(path: Path) -> None:
    path.symlink_to("gone.csv")


SOURCES: dict[str, tuple[Callable[[Path], None], str]] = {
    "pipe": (os.mkfifo, "is a pipe"),
    "broken link": (_broken_link, "which does not exist"),
    "nothing": (lambda path: None, "there is no such file"),
    "too large to hash": (lambda path: _sparse(path, 3_000_000_000), "is larger than 1000 MB"),
}


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as out:
        out.truncate(size)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_is_no_table_is_named_at_once(tmp_path: Path, name: str) -> None:
    make, words = SOURCES[name]
    make(project(tmp_path) / "data.csv")
    refused(tmp_path, "run", "collect", "-q", code=3, words=words)


def test_an_endless_device_is_not_read(tmp_path: Path) -> None:
    project(tmp_path, source="/dev/zero")
    for command in (("run", "-q"), ("status",)):
        refused(tmp_path, *command, code=3, words="/dev/zero: is a character device")


TABLES: dict[str, tuple[str | bytes | Callable[[], str], str]] = {
    "header only": ("text,label\n", "0 rows: a header and no rows"),
    "unclosed quote": (table() + '"open,ship\n' + "more,ship\n" * 9, "data.csv:122: a quote"),
    "latin-1": ((table() + "caf\xe9 ole,ship\n").encode("latin-1"), "at offset"),
    "name alike": ("text,label,ｔext\na,b,c\n", "differs from 'text' only in case or width"),
    "a million columns": (lambda: ",".join(f"c{n}" for n in range(1_000_000)) + "\n", "columns or more"),
    "repeats": ("text,label\n" + "one and the same thing,a\nanother thing,b\n" * 40, "after dropping 78 exact"),
    "deep JSON": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "data.csv:1: is nested too deeply"),
    "a web page": ("<!DOCTYPE html><html><body>sign in</body></html>", "is a web page, not a table"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_refused_and_the_former_one_kept(tmp_path: Path, name: str) -> None:
    given, words = TABLES[name]
    data = given() if callable(given) else given
    kept = tmp_path / "artifacts" / "collect"
    kept.mkdir(parents=True)
    (kept / "card.json").write_text("{}")
    refused(project(tmp_path, data), "run", "process", "-q", code=3, words=words)
    assert (kept / "card.json").is_file()
    assert not list((tmp_path / "artifacts" / "scratch").glob("*"))


def test_a_key_is_secret_whatever_the_mask(tmp_path: Path) -> None:
    done = breakeven(tmp_path, "init", "p", before=lambda: os.umask(0))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p" / "keys" / "release.key").stat().st_mode & 0o777 == 0o600


def test_little_memory_is_a_clean_refusal(tmp_path: Path) -> None:
    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    project(tmp_path, table())
    done = breakeven(tmp_path, "run", "process", "-q", "--json", timeout=SECONDS, before=little)
    assert "Traceback" not in done.stderr
    if done.returncode:  # some builds of the libraries fit into 1 GiB of addresses
        assert done.returncode == 5 and json.loads(done.stdout)["error"]["code"] == "memory-short", done.stdout
    assert not list((tmp_path / "artifacts" / "scratch").glob("*"))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    project(tmp_path, table())
    done = breakeven(tmp_path, "run", "process", "-q", timeout=SECONDS, before=full)
    assert done.returncode == 5 and "Traceback" not in done.stderr, done.stderr
    assert "File too large" in done.stderr or "cannot be written" in done.stderr
    assert not list((tmp_path / "artifacts" / "scratch").glob("*"))
    assert breakeven(tmp_path, "run", "process", "-q").returncode == 0


def test_a_removed_file_of_an_artifact_is_made_again(tmp_path: Path) -> None:
    project(tmp_path, table())
    assert breakeven(tmp_path, "run", "process", "-q").returncode == 0
    (tmp_path / "artifacts" / "process" / "rows.parquet").unlink()
    rows = json.loads(breakeven(tmp_path, "status", "--json").stdout)
    assert rows[1]["state"] == "missing" and "rows.parquet was removed" in rows[1]["why"]
    assert breakeven(tmp_path, "run", "process", "-q").returncode == 0
    assert (tmp_path / "artifacts" / "process" / "rows.parquet").is_file()


def test_two_runs_at_once_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    project(tmp_path, table())
    first = subprocess.Popen([*COMMAND, "run", "-q"], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        # The load test takes a minute: there is time to meet the first run while it works.
        deadline = time.monotonic() + 180
        while not (tmp_path / "artifacts" / "train" / "majority" / "manifest.json").is_file():
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.1)
        refused(tmp_path, "run", "-q", code=6, words=f"process {first.pid}")
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    done = breakeven(tmp_path, "run", "train", "-q")
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "artifacts" / "scratch").glob("*"))
    assert (tmp_path / "artifacts" / "runs.jsonl").read_text().count('"train/majority"') == 1
    _none_left(tmp_path)


SLOW = """
import time
from breakeven.cli.interrupts import second_leaves
with second_leaves():
    try:
        print("working", flush=True)
        time.sleep(600)
    finally:
        print("cleaning", flush=True)
        time.sleep(600)
"""


def test_ctrl_c_twice_leaves_at_once() -> None:
    """The first waits for the cleaning up, which takes long here; the second does not."""
    worker = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    for said in ("working", "cleaning"):
        assert worker.stdout.readline().strip() == said
        worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=120) == 130


def test_a_run_that_was_left_twice_over_is_taken_up_again(tmp_path: Path) -> None:
    project(tmp_path, table())
    run = subprocess.Popen([*COMMAND, "run", "-q"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    _wait_for(tmp_path / "artifacts" / "train" / "majority" / "manifest.json", run)
    for _ in range(2):
        run.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert run.wait(timeout=120) in (130, -signal.SIGINT)  # the second may meet a Python that is gone already
    assert "Traceback" not in run.stderr.read()  # type: ignore[union-attr]
    done = breakeven(tmp_path, "run", "train", "-q")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "artifacts" / "runs.jsonl").read_text().count('"train/majority"') == 1
    assert not list((tmp_path / "artifacts" / "scratch").glob("*"))
    _none_left(tmp_path)


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 180
    while not path.is_file():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)


def _none_left(folder: Path) -> None:
    """No server that the killed run started is alive after a minute."""
    import psutil

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        left = [
            item for item in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(item.info["cmdline"] or ())
        ]
        if not left:
            return
        time.sleep(0.2)
    raise AssertionError(left)
