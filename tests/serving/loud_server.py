"""A server over a package whose exceptions hold what customers sent, as other people's code does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from breakeven.serving.run import main
from tests.serving.fakes import EchoPackage, Streaming


class Loud(EchoPackage):
    def parse(self, payload: Any) -> str:
        if isinstance(payload, str) and payload.startswith("parse"):
            raise KeyError(payload)
        return super().parse(payload)

    def raw(self, inputs: list[str]) -> list[str]:
        if any(item.startswith("boom") for item in inputs):
            raise KeyError(f"no such thing: {inputs}")
        return super().raw(inputs)

    def stream(self, item: str) -> Iterator[str]:
        yield "a"
        raise KeyError(item)


def opener(folder: Path, threads: int) -> Any:
    return Loud(Streaming())


if __name__ == "__main__":
    sys.exit(main(opener=opener))
