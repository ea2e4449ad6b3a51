"""A server process over a fake package: `python -m tests.serving.echo_server` takes the arguments of `serving.run`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from breakeven.serving.run import main
from tests.serving.fakes import EchoPackage


def opener(folder: Path, threads: int) -> Any:
    return EchoPackage(seconds=float(os.environ.get("ECHO_SECONDS", "0")), work=float(os.environ.get("ECHO_WORK", "0")))


if __name__ == "__main__":
    sys.exit(main(opener=opener))
