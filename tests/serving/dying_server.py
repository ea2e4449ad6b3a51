"""The echo server that is killed where it hurts most: the lines of a batch are charged, and not written down yet."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from breakeven.serving import batch_work
from breakeven.serving.run import main
from tests.serving.echo_server import opener

write, written = batch_work._write, [0]


def die(*arguments: Any, **more: Any) -> None:
    if written[0] >= 3:
        os.kill(os.getpid(), signal.SIGKILL)
    written[0] += 1
    write(*arguments, **more)


if __name__ == "__main__":
    batch_work._write = die
    sys.exit(main(opener=opener))
