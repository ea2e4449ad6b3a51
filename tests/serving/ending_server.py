"""A server whose task streams: a word a part, each after ECHO_SECONDS; the input "slow" takes 6 s."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from breakeven.serving.run import main
from tests.serving.fakes import EchoPackage, Streaming


class Slow(EchoPackage):
    def raw(self, inputs: list[str]) -> list[str]:
        if "slow" in inputs:
            time.sleep(6)
        return super().raw(inputs)


def opener(folder: Path, threads: int) -> Any:
    return Slow(Streaming(), seconds=float(os.environ.get("ECHO_SECONDS", "0")))


if __name__ == "__main__":
    sys.exit(main(opener=opener))
