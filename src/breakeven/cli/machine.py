"""Commands about the machine and the program: doctor, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from breakeven.cli.options import answer, as_json, console, part_of, spoken

# package -> (import name, extra, what it is for)
PACKAGES: dict[str, tuple[str, str]] = {
    "sklearn": ("linear", "the linear candidate"),
    "torch": ("text", "encoders"),
    "transformers": ("text", "encoders"),
    "peft": ("text", "LoRA"),
    "onnxruntime": ("text", "the ONNX runtime of a package"),
    "fastexcel": ("excel", "Excel sources"),
    "psycopg": ("postgres", "the ledger on PostgreSQL"),
    "presidio_analyzer": ("pii", "more kinds of personal data"),
}


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Check this machine: what is installed, how large it is, what would stop a run."""
    rows = [*_machine(), *_packages(), *_disk(), *_network()]
    if as_json:
        answer(rows)
    else:
        from rich.text import Text

        marks = {"ok": "green", "note": "yellow", "bad": "red"}
        out = console()
        for row in rows:
            mark, words = spoken(row["state"]), part_of(spoken(row["what"]), spoken(row["found"]))
            words += f" - {spoken(row['do'])}" if row["do"] else ""
            out.print(Text(f"{mark:<5}", style=marks[row["state"]]).append(words, style="default"))
    if any(row["state"] == "bad" for row in rows):
        raise click.exceptions.Exit(5)


def _row(state: str, what: str, found: str, do: str = "") -> dict[str, Any]:
    return {"state": state, "what": what, "found": found, "do": do}


def _machine() -> list[dict[str, Any]]:
    import os
    import platform
    import sqlite3

    import psutil

    memory = psutil.virtual_memory().available / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [
        _row("ok", "python", platform.python_version()),
        _row(
            "ok" if cores >= 2 else "note",
            "cores",
            str(cores),
            "" if cores >= 2 else "capacity is measured with server and load on one core: figures are low",
        ),
        _row(
            "ok" if memory >= 4 else "note",
            "free memory",
            f"{memory:.1f} GiB",
            "" if memory >= 4 else "encoders need about 2 GiB",
        ),
        _row(
            "ok",
            "sqlite",
            sqlite3.sqlite_version,
            "one connection writes and checkpoints; several servers need PostgreSQL",
        ),
    ]


def _packages() -> list[dict[str, Any]]:
    import importlib.util

    rows = []
    for name, (extra, purpose) in PACKAGES.items():
        there = importlib.util.find_spec(name) is not None
        rows.append(
            _row(
                "ok" if there else "note",
                name,
                f"installed ({purpose})" if there else f"absent ({purpose})",
                "" if there else f"pip install 'breakeven[{extra}]'",
            )
        )
    return rows


def _disk() -> list[dict[str, Any]]:
    import os
    import shutil

    import platformdirs

    rows = []
    cache = Path(os.environ.get("BREAKEVEN_CACHE") or platformdirs.user_cache_dir("breakeven"))
    for name, place in (("here", Path.cwd()), ("cache", cache)):
        existing = next(parent for parent in (place, *place.parents) if parent.exists())
        free = shutil.disk_usage(existing).free / 2**30
        state = "ok" if free >= 2 else "bad"
        rows.append(
            _row(state, f"disk {name}", f"{free:.1f} GiB free at {place}", "" if free >= 2 else "make room: 2 GiB")
        )
        if not os.access(existing, os.W_OK):
            rows.append(_row("bad", f"disk {name}", f"{existing} cannot be written", "choose another folder"))
    kind = _filesystem(Path.cwd())
    if kind in ("nfs", "nfs4", "9p", "cifs", "smb3", "overlay"):
        rows.append(
            _row("note", "filesystem", kind, "SQLite's WAL is not safe on network disks; use PostgreSQL for the ledger")
        )
    return rows


def _filesystem(path: Path) -> str:
    import psutil

    mounts = sorted(psutil.disk_partitions(all=True), key=lambda part: -len(part.mountpoint))
    for part in mounts:
        if str(path).startswith(part.mountpoint):
            return str(part.fstype)
    return "unknown"


def _network() -> list[dict[str, Any]]:
    import socket

    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError as error:
            return [_row("note", "port 8000", error.strerror or "taken", "breakeven serve --port 8001")]
    return [_row("ok", "port 8000", "free")]


@click.command()
def schema() -> None:
    """Print the JSON Schema of breakeven.yaml (editors complete and check with it)."""
    from breakeven.project import schema as build

    answer(build())
