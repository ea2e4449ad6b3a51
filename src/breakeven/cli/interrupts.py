"""Ctrl-C while something long runs: the first ends it and cleans up, a second leaves at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_SHOW_CURSOR = b"\x1b[?25h"
INTERRUPTED = 130


@contextlib.contextmanager
def second_leaves() -> Iterator[None]:
    """Holds for the block. What a second Ctrl-C leaves behind is what kill -9 leaves: the next run puts it in order."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's alone
        return
    former = signal.signal(signal.SIGINT, _unwind)
    try:
        yield
    except KeyboardInterrupt:
        raise  # the rest of the way out may be slow as well: the second one keeps its meaning
    except BaseException:
        signal.signal(signal.SIGINT, former)
        raise
    signal.signal(signal.SIGINT, former)


def _unwind(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _leave)
    raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> None:
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR + b"\n")  # a bar of progress hid it
    os._exit(INTERRUPTED)
