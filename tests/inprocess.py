"""`breakeven` called in this process: the words and exit codes of a process of its own, without its start."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
from pathlib import Path

from breakeven.cli import main


def breakeven(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `breakeven ARGUMENTS` says and leaves with; the environment and the handlers are put back afterwards."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    os.environ.update(environment)
    try:
        with (
            contextlib.chdir(cwd or Path.cwd()),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main(list(arguments))
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    finally:
        os.environ.clear()
        os.environ.update(before)
        signal.signal(signal.SIGTERM, handler)
    said = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code, *said)
