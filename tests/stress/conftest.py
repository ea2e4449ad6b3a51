"""The proofs at full length: `make stress`. They are collected only where `-m stress` asks for them."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FIGURES = Path(os.environ.get("STRESS_FIGURES", "stress.json"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    wanted = "stress" in (config.getoption("-m") or "")
    return True if collection_path.name.startswith("test_") and not wanted else None


@pytest.fixture
def figures() -> Callable[..., None]:
    """`figures(name, **values)` appends a line to stress.json, with the machine's load at that moment."""

    def keep(name: str, **values: Any) -> None:
        line = {"proof": name, **values, "load": [round(value, 1) for value in os.getloadavg()],
                "cores": os.cpu_count(), "python": platform.python_version(),
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}  # fmt: skip
        with open(FIGURES, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        print("\n" + json.dumps(line, indent=1))

    return keep
