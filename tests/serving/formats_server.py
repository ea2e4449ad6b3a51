"""A server process over one of the throwaway tasks: `python -m tests.serving.formats_server NAME --ledger ...`."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from breakeven.serving.run import main
from tests.conformance.test_contract import ENTRIES


def opener(folder: Path, threads: int, *, scratch: Path) -> Any:
    return ENTRIES[folder.name].package(scratch)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="breakeven-formats-") as made:
        sys.exit(main(opener=partial(opener, scratch=Path(made))))
