"""A server process over one of the throwaway tasks: `python -m tests.serving.formats_server NAME --ledger ...`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from breakeven.serving.run import main
from tests.conformance.test_contract import ENTRIES


def opener(folder: Path, threads: int) -> Any:
    return ENTRIES[folder.name].package(Path(tempfile.mkdtemp(prefix="breakeven-formats-")))


if __name__ == "__main__":
    sys.exit(main(opener=opener))
