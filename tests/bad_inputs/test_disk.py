"""Disks and rights that fail under a run: full, out of inodes, read-only, unreadable, errors on reading."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bad_inputs.strangers import COMMAND, CONFIG, breakeven, project, table

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="mounts and capabilities of Linux")]
_OVERRIDE = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def like_anyone() -> None:
    """From here on root must keep to the rights of files, as everybody else does."""
    libc = ctypes.CDLL(None)
    for capability in _OVERRIDE:
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.parametrize(("name", "words"), [
    ("data.csv", "data.csv: cannot be read: Permission denied"),
    ("breakeven.yaml", "breakeven.yaml: cannot be read: Permission denied"),
    ("texts", "texts: cannot be read: Permission denied"),
    ("texts/a", "texts/a: cannot be read: Permission denied"),
    ("texts/a/1.txt", "1.txt: cannot be read: Permission denied"),
])  # fmt: skip
def test_what_may_not_be_read_is_named(tmp_path: Path, name: str, words: str) -> None:
    project(tmp_path, table(), source="texts" if name.startswith("texts") else "data.csv")
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "b").mkdir()
    for name_ in ("a/1.txt", "b/2.txt"):
        (tmp_path / "texts" / name_).write_text("fine")
    (tmp_path / name).chmod(0)
    try:
        done = breakeven(tmp_path, "run", "collect", "-q", before=like_anyone)
    finally:
        (tmp_path / name).chmod(0o755)
    assert done.returncode == 5 and words in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_a_project_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    project(tmp_path, table())
    tmp_path.chmod(0o555)
    try:
        done = breakeven(tmp_path, "run", "collect", "-q", before=like_anyone)
    finally:
        tmp_path.chmod(0o755)
    assert done.returncode == 5 and "Permission denied" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["breakeven.yaml", "data.csv"]


def test_an_error_on_reading_is_named(tmp_path: Path) -> None:
    project(tmp_path, source="/proc/self/mem")  # a regular file whose first byte gives EIO
    done = breakeven(tmp_path, "run", "collect", "-q")
    assert done.returncode == 5 and "Input/output error" in done.stderr and "Traceback" not in done.stderr, done.stderr


MOUNTED = """
set -e
mount -t tmpfs -o {options} none "$1"
cp breakeven.yaml data.csv "$1"; cd "$1"
{before}
set +e; shift; "$@" run process -q; echo "code $?"; find artifacts/scratch -mindepth 1 2>/dev/null | sed 's/^/left /'
{after}
"$@" run process -q; echo "again $?"
"""


def _mountable() -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a disk can be mounted here by nobody")


def mounted(folder: Path, options: str, before: str, after: str) -> tuple[list[str], str]:
    """What a run says on a small disk of its own, before and after that disk is mended."""
    _mountable()
    project(folder, table())
    (folder / "disk").mkdir()
    script = MOUNTED.format(options=options, before=before, after=after)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(folder / "disk"), *COMMAND],
        cwd=folder, capture_output=True, text=True, timeout=180, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    fill = "dd if=/dev/zero of=filler bs=4k 2>/dev/null || true"
    lines, words = mounted(tmp_path, "size=1m", fill, "rm filler")
    assert lines == ["code 5", "again 0"], (lines, words)
    assert "No space left on device" in words


def test_a_disk_that_fills_in_the_middle_of_a_table_leaves_none(tmp_path: Path) -> None:
    fill = "dd if=/dev/zero of=filler bs=4k 2>/dev/null || true; truncate -s -16k filler"
    lines, words = mounted(tmp_path, "size=1m", fill, "rm filler")
    assert lines == ["code 5", "again 0"], (lines, words)


def test_used_up_inodes_are_named(tmp_path: Path) -> None:
    fill = "i=0; while touch filler$i 2>/dev/null; do i=$((i+1)); done"
    lines, words = mounted(tmp_path, "size=8m,nr_inodes=30", fill, "rm filler*; mount -o remount,nr_inodes=1000 .")
    assert lines == ["code 5", "again 0"], (lines, words)
    assert "No space left on device" in words


def test_a_disk_that_turned_read_only_is_named(tmp_path: Path) -> None:
    lines, words = mounted(tmp_path, "size=8m", 'mount -o remount,ro "$1"', "mount -o remount,rw .")
    assert lines == ["code 5", "again 0"], (lines, words)
    assert "Read-only file system" in words


@pytest.mark.parametrize("options", ["size=1m,noexec,nosuid,nodev", "size=4k"], ids=["noexec", "full"])
def test_a_temporary_folder_that_is_good_for_nothing_does_not_matter(tmp_path: Path, options: str) -> None:
    """What must be on the project's disk is written there; nothing is made to be executed."""
    _mountable()
    linear = CONFIG.replace("SOURCE", "data.csv").replace("[{name: majority, model", "[{name: linear, model")
    project(tmp_path, table(), config=linear.replace("model: majority", "model: linear"))
    (tmp_path / "tmp").mkdir()
    script = 'mount -t tmpfs -o "$1" none tmp; dd if=/dev/zero of=tmp/filler bs=4k 2>/dev/null; shift; exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", options, *COMMAND, "run", "evaluate/linear", "-q"],
        cwd=tmp_path, capture_output=True, text=True, timeout=180,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path / "tmp")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "artifacts" / "evaluate" / "linear" / "package" / "package.json").is_file()


CLOSING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int close(int fd) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    readlink(link, path, sizeof path - 1);
    int writes = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    int done = ((int (*)(int))dlsym(RTLD_NEXT, "close"))(fd);
    if (done == 0 && writes && strstr(path, getenv("FAILING"))) { errno = EIO; return -1; }
    return done;
}
"""


@pytest.mark.parametrize("file", ["card.json", "table.parquet", "manifest.json"])
def test_an_error_on_closing_is_a_failed_write(tmp_path: Path, file: str) -> None:
    """As a disk behind a network says that what it took before was not kept."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("nothing here makes a close() fail")
    (tmp_path / "closing.c").write_text(CLOSING)
    library = tmp_path / "closing.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, tmp_path / "closing.c"], check=True)
    folder = project(tmp_path / "p", table())
    done = breakeven(folder, "run", "collect", "-q", LD_PRELOAD=str(library), FAILING=file)
    assert done.returncode == 5 and "Traceback" not in done.stderr, done.stderr
    assert f"{file}: cannot be written: Input/output error" in done.stderr
    assert not list((folder / "artifacts" / "scratch").glob("*"))
    assert not (folder / "artifacts" / "collect").exists()
    assert breakeven(folder, "run", "collect", "-q").returncode == 0


def test_an_absent_temporary_folder_does_not_matter(tmp_path: Path) -> None:
    project(tmp_path, table())
    done = breakeven(tmp_path, "run", "process", "-q", TMPDIR=str(tmp_path / "nowhere"))
    assert done.returncode == 0, done.stderr
